/* SPDX-License-Identifier: MIT */
/* The interpreter, and the threads that take turns at it. */
#define _GNU_SOURCE 1
#include "program.h"

#include "child.h"
#include "crew.h"
#include "heap.h"
#include "kernel.h"
#include "model.h"
#include "must.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, BOXES = 64 };

/* The words that a forked child plays: enough for each kind of block. A fork takes the time of a
 * thousand calls, and short programs are played again and again. */
enum { CHILD_WORDS = 24, FORKS_MOST = 8 };

/* The words of each thread: fewer, and the first has done before the last begins. */
enum { AT_ONCE_LEAST = 1000 };

/* Of all threads together; with several programs at a time it must fit into small machines. */
#define LIVE_MOST (96 * MIB)

/* The largest block of growth by steps, and of many. */
#define GROWN_MOST (16 * MIB)

bool program_trace;
_Atomic uint64_t program_number;

static struct model models[THREADS];

/* Through which threads that run at once hand blocks to each other. */
static struct {
	pthread_mutex_t lock;
	struct block block;
} boxes[BOXES];

struct player {
	struct model *model;
	const uint8_t *next;
	const uint8_t *end;
	unsigned thread; /* whose turn it is */
	unsigned threads;
	bool at_once;
	unsigned forks;
};

struct word {
	uint8_t byte[PROGRAM_WORD];
};

static unsigned word_slot(struct word word)
{
	return (unsigned)(word.byte[0] >> 5) << 8 | word.byte[1];
}

/* Sizes: eight steps to a doubling, as the size classes are, and a little more or less. */
static size_t word_size(struct word word, int more)
{
	static const uint8_t doubling[] = { 3,  3,  4,  4,  4,  5,  5,  5,  6,  6,  6,
					    7,  7,  7,  8,  8,  9,  9,  10, 10, 11, 11,
					    12, 12, 13, 14, 15, 16, 17, 19, 22 };
	const unsigned row = word.byte[2] >> 3;
	const size_t step = word.byte[2] & 7, fine = word.byte[3];

	if (row < sizeof doubling)
		return (((8 + step) << doubling[row]) >> 3) + (size_t)more;
	switch (step) {
	case 0:
		return fine & 7;
	case 1:
		return fine;
	case 2:
		return fine * PAGE_BYTES + (size_t)more;
	case 3:
		return fine * 64 * KIB + (size_t)more;
	case 4:
		return MIB - 128 * PAGE_BYTES + fine * PAGE_BYTES + (size_t)more;
	case 5:
		return (size_t)PTRDIFF_MAX - 128 + fine;
	case 6:
		return SIZE_MAX - fine;
	default:
		return (size_t)1 << (29 + fine % 34);
	}
}

/* Next to the step: the borders between classes are where mistakes are made. */
static int word_more(struct word word)
{
	return word.byte[3] < 128 ? (word.byte[3] & 7) - 4 : word.byte[3] - 192;
}

static size_t word_alignment(struct word word)
{
	const unsigned code = word.byte[3] & 31;

	return code < 26 ? (size_t)1 << code : code < 28 ? (size_t)1 << (code * 2 + 8) : code - 28;
}

/* Calls ------------------------------------------------------------------------------------- */

static struct block *slot_of(struct player *player, struct word word, unsigned further)
{
	return &player->model->block[(word_slot(word) + further) % MODEL_SLOTS];
}

static void play_malloc(struct player *player, struct word word)
{
	model_malloc(player->model, slot_of(player, word, 0), word_size(word, word_more(word)));
}

/* It may have to clear all of it, so it is either small or more than there is. */
static size_t calloc_size(size_t size)
{
	return size > GROWN_MOST ? max_size(size, 16384 * GIB) : size;
}

static void play_calloc(struct player *player, struct word word)
{
	const size_t size = calloc_size(word_size(word, word_more(word)));
	const size_t count = 1 + word.byte[3] % 8;

	if (size > PTRDIFF_MAX / 8)
		model_calloc(player->model, slot_of(player, word, 0), count, size);
	else if (word.byte[3] & 8)
		model_calloc(player->model, slot_of(player, word, 0), size / count, count);
	else
		model_calloc(player->model, slot_of(player, word, 0), count, size / count);
}

static void play_realloc(struct player *player, struct word word)
{
	model_realloc(player->model, slot_of(player, word, 0), word_size(word, word_more(word)));
}

static void play_reallocarray(struct player *player, struct word word)
{
	const size_t size = word_size(word, word_more(word)), count = 1 + word.byte[3] % 8;

	model_reallocarray(player->model, slot_of(player, word, 0), count,
			   size > PTRDIFF_MAX / 8 ? size : size / count);
}

static void play_aligned(struct player *player, struct word word)
{
	static const enum aligner how[] = { ALIGNED_ALLOC, MEMALIGN, ALIGNED_ALLOC, MEMALIGN,
					    ALIGNED_ALLOC, MEMALIGN, VALLOC,        PVALLOC };

	model_align(player->model, slot_of(player, word, 0), how[word.byte[3] >> 5],
		    word_alignment(word), word_size(word, 0));
}

static void play_posix_memalign(struct player *player, struct word word)
{
	model_align(player->model, slot_of(player, word, 0), POSIX_MEMALIGN, word_alignment(word),
		    word_size(word, (word.byte[3] >> 5) - 4));
}

static void play_free(struct player *player, struct word word)
{
	model_free(player->model, slot_of(player, word, 0), FREE);
}

static void play_free_sized(struct player *player, struct word word)
{
	model_free(player->model, slot_of(player, word, 0),
		   word.byte[3] & 1 ? FREE_SIZED : FREE_ALIGNED_SIZED);
}

/* Many blocks of one size, and many given back, all of them or every second or third. */
static void play_many_mallocs(struct player *player, struct word word)
{
	const size_t size = min_size(word_size(word, 0), GROWN_MOST);

	for (unsigned i = 0; i <= word.byte[3]; i++)
		model_malloc(player->model, slot_of(player, word, i), size);
}

static void play_many_frees(struct player *player, struct word word)
{
	for (unsigned i = 0; i <= word.byte[3]; i++) {
		struct block *block = slot_of(player, word, i * (1 + word.byte[2] % 3));
		if (block->memory)
			model_free(player->model, block, FREE);
	}
}

static void play_growth(struct player *player, struct word word)
{
	struct block *block = slot_of(player, word, 0);
	const size_t step = min_size(word_size(word, 0), MIB);

	for (unsigned i = word.byte[3] % 16; i && block->size < GROWN_MOST; i--)
		model_realloc(player->model, block, block->memory ? block->size + step : step);
}

/* Rare, for it takes away all that other calls need to meet anything interesting. */
static void play_check_or_trim(struct player *player, struct word word)
{
	if (word.byte[3] % 16) {
		model_check(player->model, slot_of(player, word, 0));
		return;
	}
	player->model->calls++;
	heap_trim(word.byte[3] ? word_size(word, 0) : 0);
}

static void play_time(struct player *player, struct word word)
{
	(void)player;
	kernel_pass_time(1U << word.byte[3] % 13);
}

static void play_null(struct player *player, struct word word)
{
	(void)word;
	model_null(player->model);
}

static void play_disturb(struct player *player, struct word word)
{
	kernel_disturb(word.byte[2], word.byte[3], !player->at_once);
}

static void exchange(struct model *model, struct block *block, unsigned box)
{
	if (block->memory)
		model_forget(model, block);
	must(!pthread_mutex_lock(&boxes[box].lock));
	const struct block received = boxes[box].block;
	boxes[box].block = *block;
	must(!pthread_mutex_unlock(&boxes[box].lock));
	*block = received;
	if (block->memory)
		model_adopt(model, block);
}

static void play_switch(struct player *player, struct word word)
{
	if (player->at_once)
		exchange(player->model, slot_of(player, word, 0), word.byte[3] % BOXES);
	else
		player->thread = word.byte[3] % player->threads;
}

static void play(struct player *player);

/* What it inherited is as it was, and it goes on by itself with what the program would do next. */
static void be_the_child(void *parent)
{
	struct player player = *(struct player *)parent;

	kernel_forked();
	player.end = player.next + min_size((size_t)(player.end - player.next),
					    CHILD_WORDS * PROGRAM_WORD);
	player.at_once = false;
	player.forks = FORKS_MOST;
	model_check_all(player.model);
	play(&player);
	model_free_all(player.model);
}

static void play_fork(struct player *player)
{
	if (player->forks == FORKS_MOST || !kernel_may_fork(!player->at_once))
		return;
	player->forks++;
	must(child_status(be_the_child, player) == 0);
	model_check_all(player->model);
}

/* The thread ends, and a later one of its number is new; or, rarely, the process forks. */
static void play_end_or_fork(struct player *player, struct word word)
{
	if (word.byte[3] % 32 == 31)
		play_fork(player);
	else if (word.byte[3] % 4 == 0 && !player->at_once)
		player->thread = THREADS;
}

static const struct {
	const char *name;
	void (*play)(struct player *player, struct word word);
} calls[PROGRAM_CALLS] = {
	{ "malloc", play_malloc },
	{ "malloc", play_malloc },
	{ "malloc", play_malloc },
	{ "malloc", play_malloc },
	{ "calloc", play_calloc },
	{ "calloc", play_calloc },
	{ "realloc", play_realloc },
	{ "realloc", play_realloc },
	{ "realloc", play_realloc },
	{ "realloc", play_realloc },
	{ "reallocarray", play_reallocarray },
	{ "aligned", play_aligned },
	{ "aligned", play_aligned },
	{ "posix_memalign", play_posix_memalign },
	{ "free", play_free },
	{ "free", play_free },
	{ "free", play_free },
	{ "free", play_free },
	{ "free", play_free },
	{ "free_sized", play_free_sized },
	{ "free_sized", play_free_sized },
	{ "growth", play_growth },
	{ "null", play_null },
	{ "check or trim", play_check_or_trim },
	{ "many mallocs", play_many_mallocs },
	{ "many frees", play_many_frees },
	{ "many frees", play_many_frees },
	{ "time", play_time },
	{ "switch", play_switch },
	{ "switch", play_switch },
	{ "end or fork", play_end_or_fork },
	{ "disturb", play_disturb },
};

static void trace(const struct player *player, unsigned call, struct word word)
{
	dprintf(STDERR_FILENO, "thread %u: %s, slot %u, size %zu, alignment %zu, last byte %u\n",
		player->thread, calls[call].name, word_slot(word), word_size(word, word_more(word)),
		word_alignment(word), word.byte[3]);
}

/* Until the turn goes to another thread, or the program ends. */
static void play(struct player *player)
{
	const unsigned thread = player->thread;

	while (player->thread == thread && player->end - player->next >= PROGRAM_WORD) {
		struct word word;
		memcpy(word.byte, player->next, sizeof word.byte);
		player->next += PROGRAM_WORD;
		const unsigned call = word.byte[0] % PROGRAM_CALLS;
		if (program_trace)
			trace(player, call, word);
		calls[call].play(player, word);
	}
}

/* In turns ---------------------------------------------------------------------------------- */

static struct player *in_turns;
static struct seat {
	sem_t turn;
	pthread_t thread;
	bool taken;
	bool leave;
} seats[THREADS];

static void wait_for_turn(struct seat *seat)
{
	while (sem_wait(&seat->turn))
		must(errno == EINTR);
}

static void give_turn(struct seat *seat)
{
	must(!sem_post(&seat->turn));
}

/* Back to the first thread, which knows who is next. */
static void *take_seat(void *argument)
{
	struct seat *seat = argument;

	wait_for_turn(seat);
	while (!seat->leave) {
		play(in_turns);
		give_turn(&seats[0]);
		wait_for_turn(seat);
	}
	return NULL;
}

static void pass_turn_to(struct seat *seat)
{
	if (!seat->taken) {
		seat->leave = false;
		must(!pthread_create(&seat->thread, NULL, take_seat, seat));
		seat->taken = true;
	}
	give_turn(seat);
	wait_for_turn(&seats[0]);
}

static void empty_seat(struct seat *seat)
{
	seat->leave = true;
	give_turn(seat);
	must(!pthread_join(seat->thread, NULL));
	seat->taken = false;
}

static void play_in_turns(struct player *player)
{
	in_turns = player;
	while (player->end - player->next >= PROGRAM_WORD) {
		const unsigned thread = player->thread;
		if (thread)
			pass_turn_to(&seats[thread]);
		else
			play(player);
		if (player->thread != THREADS)
			continue;
		if (thread)
			empty_seat(&seats[thread]);
		player->thread = 0;
	}
	for (unsigned i = 1; i < THREADS; i++)
		if (seats[i].taken)
			empty_seat(&seats[i]);
}

/* At once ----------------------------------------------------------------------------------- */

static const struct player *whole;

static size_t words_between(const uint8_t *from, const uint8_t *to)
{
	return (size_t)(to - from) / PROGRAM_WORD;
}

/* The whole program, from another place for each thread; a short one again and again. */
static void play_around(unsigned index)
{
	const size_t words = words_between(whole->next, whole->end);
	struct player player = *whole;
	size_t left = max_size(words, AT_ONCE_LEAST);

	player.model = &models[index];
	player.thread = index;
	player.next += words / whole->threads * index * PROGRAM_WORD;
	while (words && left) {
		const size_t piece = min_size(left, words_between(player.next, whole->end));
		player.end = player.next + piece * PROGRAM_WORD;
		play(&player);
		player.next = whole->next;
		left -= piece;
	}
}

static void play_at_once(const struct player *player)
{
	whole = player;
	crew_run(player->threads, NULL, play_around);
}

/* All of it --------------------------------------------------------------------------------- */

static void begin(const struct player *player)
{
	for (unsigned i = 0; i < THREADS; i++) {
		models[i].live_most = player->at_once ? LIVE_MOST / player->threads : LIVE_MOST;
		models[i].seeds = (uint64_t)i << 56;
		models[i].calls = 0;
		must(!sem_init(&seats[i].turn, 0, 0));
	}
	for (unsigned i = 0; i < BOXES; i++)
		must(!pthread_mutex_init(&boxes[i].lock, NULL));
}

static uint64_t finish(void)
{
	uint64_t made = 0;

	for (unsigned i = 0; i < BOXES; i++)
		exchange(&models[0], &models[0].block[i], i);
	for (unsigned i = 0; i < THREADS; i++)
		model_free_all(&models[i]);
	for (unsigned i = 0; i < BOXES; i++)
		exchange(&models[0], &models[0].block[i], i);
	model_free_all(&models[0]);
	for (unsigned i = 0; i < THREADS; i++)
		made += models[i].calls;
	kernel_end();
	/* What the kernel did not take back a moment ago is not offered to it again in the same. */
	kernel_pass_time(10);
	heap_trim(0);
	heap_must_be_empty();
	return made;
}

uint64_t program_play(const uint8_t *bytes, size_t length)
{
	if (length < PROGRAM_WORD)
		return 0;
	struct player player = {
		.model = &models[0],
		.next = bytes + PROGRAM_WORD,
		.end = bytes + length,
		.threads = 1 + bytes[0] % THREADS,
		.at_once = bytes[0] & 4,
	};
	program_number++;
	begin(&player);
	kernel_begin(bytes + 1);
	if (player.at_once)
		play_at_once(&player);
	else
		play_in_turns(&player);
	return finish();
}
