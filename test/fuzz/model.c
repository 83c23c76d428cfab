/* SPDX-License-Identifier: MIT */
/* The rules of the malloc family, as vmalloc.h and malloc(3) have them. */
#define _GNU_SOURCE 1
#include "model.h"

#include "heap.h"
#include "kernel.h"
#include "must.h"
#include "pattern.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Every machine has as much: less may be refused only if the kernel refused something. */
#define SURE_BYTES (256 * MIB)

/* Blocks up to WHOLE are filled in full, and so is one of RARELY up to SOMETIMES. */
enum { WHOLE = 1024, ENDS = 64, SAMPLE = 8, MARK = 4711, RARELY = 32 };
#define SOMETIMES (256 * KIB)

/* Contents ---------------------------------------------------------------------------------- */

static bool is_whole(const struct block *block, uint64_t seed)
{
	return block->usable <= WHOLE || (block->usable <= SOMETIMES && seed % RARELY == 0);
}

/* The next sample of a larger block, by the offset alone, for realloc changes the size. */
static size_t next_sample(size_t at)
{
	return at + (at < 256 * KIB ? 4 * KIB : at < 4 * MIB ? 64 * KIB : MIB);
}

static void fill(struct model *model, struct block *block)
{
	const size_t usable = block->usable;

	kernel_touched(block->memory, usable);
	block->seed = ++model->seeds;
	if (is_whole(block, block->seed)) {
		pattern_fill(block->memory, usable, block->seed);
		return;
	}
	pattern_fill(block->memory, ENDS, block->seed);
	for (size_t at = next_sample(0) - SAMPLE; at + SAMPLE + ENDS <= usable;
	     at = next_sample(at))
		pattern_fill(block->memory + at, SAMPLE, block->seed ^ at);
	pattern_fill(block->memory + usable - ENDS, ENDS, ~block->seed);
}

/* Whether `memory` begins with the first `bytes` of what the block was filled with. */
static bool holds(const struct block *block, const unsigned char *memory, size_t bytes)
{
	if (is_whole(block, block->seed))
		return pattern_holds(memory, bytes, block->seed);
	for (size_t at = next_sample(0) - SAMPLE;
	     at + SAMPLE <= bytes && at + SAMPLE + ENDS <= block->usable; at = next_sample(at))
		if (!pattern_holds(memory + at, SAMPLE, block->seed ^ at))
			return false;
	return pattern_holds(memory, min_size(bytes, ENDS), block->seed) &&
	       (bytes < block->usable || pattern_holds(memory + bytes - ENDS, ENDS, ~block->seed));
}

/* Where it would take too long, at the places where blocks are filled. */
static void must_be_zero(const unsigned char *memory, size_t bytes)
{
	if (bytes <= 32 * KIB) {
		must(pattern_is_zero(memory, bytes));
		return;
	}
	must(pattern_is_zero(memory, PAGE_BYTES));
	for (size_t at = next_sample(0) - SAMPLE; at + SAMPLE <= bytes; at = next_sample(at))
		must(pattern_is_zero(memory + at, SAMPLE));
	must(pattern_is_zero(memory + bytes - PAGE_BYTES, PAGE_BYTES));
}

/* The live set ------------------------------------------------------------------------------ */

static bool lies_lower(const struct tree_node *a, const struct tree_node *b)
{
	return CONTAINER_OF(a, struct block, node)->memory <
	       CONTAINER_OF(b, struct block, node)->memory;
}

static void must_lie_apart(const struct model *model, const struct block *block)
{
	struct tree_node *below = tree_below(model->live, &block->node, lies_lower);
	struct tree_node *above = tree_at_least(model->live, &block->node, lies_lower);

	if (below) {
		const struct block *other = CONTAINER_OF(below, struct block, node);
		must(other->memory + other->usable <= block->memory);
	}
	if (above)
		must(block->memory + block->usable <=
		     CONTAINER_OF(above, struct block, node)->memory);
}

void model_adopt(struct model *model, struct block *block)
{
	must_lie_apart(model, block);
	tree_insert(&model->live, &block->node, lies_lower);
	model->live_bytes += block->usable;
}

void model_forget(struct model *model, struct block *block)
{
	tree_remove(&model->live, &block->node, lies_lower);
	model->live_bytes -= block->usable;
}

static void enter(struct model *model, struct block *block, void *memory, size_t size,
		  size_t alignment)
{
	*block = (struct block){ .memory = memory, .size = size, .alignment = alignment };
	must((uintptr_t)memory % max_size(alignment, size > 8 ? 16 : 8) == 0);
	block->usable = heap_usable_size(memory);
	must(block->usable >= size);
	model_adopt(model, block);
	fill(model, block);
}

/* Making ------------------------------------------------------------------------------------ */

struct call {
	size_t size;
	size_t wanted; /* of memory or addresses: the size, or more for an alignment */
	uint64_t refusals;
};

static struct call call_of(size_t size, size_t wanted)
{
	return (struct call){ size, wanted, kernel_refusals() };
}

/* False: it would be too much for this machine, and there is no call. */
static bool begin(struct model *model, const struct call *call)
{
	if (call->wanted <= SURE_BYTES && model->live_bytes + call->wanted > model->live_most)
		return false;
	model->calls++;
	errno = MARK;
	return true;
}

static void must_be_refused_with_reason(const struct call *call, int error)
{
	must(error == ENOMEM);
	must(call->wanted > SURE_BYTES || kernel_refusals() > call->refusals);
	heap_must_tell(call->size > PTRDIFF_MAX    ? FAULT_OF_SIZE :
		       call->wanted <= SURE_BYTES ? FAULT_OF_KERNEL :
						    FAULT_OF_EITHER);
}

/* Blocks that are larger than anything here are given back at once. */
static void end(struct model *model, struct block *block, const struct call *call, void *memory,
		size_t alignment)
{
	if (!memory) {
		must_be_refused_with_reason(call, errno);
		return;
	}
	must(call->size <= PTRDIFF_MAX);
	if (call->wanted <= SURE_BYTES) {
		enter(model, block, memory, call->size, alignment);
		return;
	}
	must(heap_usable_size(memory) >= call->size);
	heap_free(memory);
}

static void make_room(struct model *model, struct block *block)
{
	if (block->memory)
		model_free(model, block, FREE);
}

void model_malloc(struct model *model, struct block *block, size_t size)
{
	make_room(model, block);
	const struct call call = call_of(size, size);
	if (begin(model, &call))
		end(model, block, &call, heap_malloc(size), 1);
}

/* SIZE_MAX where it overflows, which no function serves. */
static size_t product(size_t count, size_t size)
{
	size_t bytes;
	return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

void model_calloc(struct model *model, struct block *block, size_t count, size_t size)
{
	make_room(model, block);
	const size_t bytes = product(count, size);
	const struct call call = call_of(bytes, bytes);
	if (!begin(model, &call))
		return;
	void *memory = heap_calloc(count, size);
	if (memory && bytes <= SURE_BYTES)
		must_be_zero(memory, bytes);
	end(model, block, &call, memory, 1);
}

static void must_be_invalid(const void *memory, int error)
{
	must(!memory && error == EINVAL);
}

static void posix_memalign_into(struct model *model, struct block *block, const struct call *call,
				size_t alignment)
{
	void *const untouched = &model->calls;
	void *memory = untouched;
	const int error = heap_posix_memalign(&memory, alignment, call->size);

	must(errno == MARK);
	if (!error) {
		end(model, block, call, memory, alignment);
		return;
	}
	must(memory == untouched);
	if (!is_power_of_two(alignment) || alignment % sizeof memory)
		must(error == EINVAL);
	else
		must_be_refused_with_reason(call, error);
}

void model_align(struct model *model, struct block *block, enum aligner how, size_t alignment,
		 size_t size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t asked = alignment;
	void *memory;

	if (how == MEMALIGN)
		alignment = memalign_alignment(asked);
	make_room(model, block);
	/* What stands before an aligned block may have to be had as well. */
	const struct call call = call_of(size, size + min_size(alignment, SIZE_MAX - size));
	if (!begin(model, &call))
		return;
	switch (how) {
	case POSIX_MEMALIGN:
		posix_memalign_into(model, block, &call, alignment);
		return;
	case VALLOC:
		end(model, block, &call, heap_valloc(size), page);
		return;
	case PVALLOC:
		end(model, block, &call, heap_pvalloc(size), page);
		return;
	case MEMALIGN:
		memory = heap_memalign(asked, size);
		break;
	default:
		memory = heap_aligned_alloc(alignment, size);
	}
	if (is_power_of_two(alignment))
		end(model, block, &call, memory, alignment);
	else
		must_be_invalid(memory, errno);
}

/* Changing ---------------------------------------------------------------------------------- */

static void after_realloc(struct model *model, struct block *block, const struct call *call,
			  void *memory)
{
	const size_t size = call->size;

	if (!memory) {
		must(size > block->usable);
		must_be_refused_with_reason(call, errno);
		must(heap_usable_size(block->memory) == block->usable);
		must(holds(block, block->memory, block->usable));
		return;
	}
	must(size <= PTRDIFF_MAX);
	must(size > block->usable || memory == block->memory);
	must(holds(block, memory, min_size(size, block->size)));
	model_forget(model, block);
	if (size > SURE_BYTES) {
		heap_free(memory);
		block->memory = NULL;
		return;
	}
	enter(model, block, memory, size, 1);
}

typedef void *reallocator(void *block, size_t count, size_t size);

static void *realloc_product(void *block, size_t count, size_t size)
{
	return heap_realloc(block, count * size);
}

static void resize(struct model *model, struct block *block, reallocator *function, size_t count,
		   size_t size)
{
	const size_t bytes = product(count, size);
	const struct call call = call_of(bytes, bytes);

	if (block->memory && !bytes)
		model_free(model, block, REALLOC_TO_ZERO);
	else if (!begin(model, &call))
		return;
	else if (block->memory)
		after_realloc(model, block, &call, function(block->memory, count, size));
	else
		end(model, block, &call, function(NULL, count, size), 1);
}

void model_realloc(struct model *model, struct block *block, size_t size)
{
	resize(model, block, realloc_product, 1, size);
}

void model_reallocarray(struct model *model, struct block *block, size_t count, size_t size)
{
	resize(model, block, heap_reallocarray, count, size);
}

/* Ending ------------------------------------------------------------------------------------ */

void model_free(struct model *model, struct block *block, enum freer how)
{
	unsigned char *memory = block->memory;

	model->calls++;
	errno = MARK;
	if (memory) {
		must(holds(block, memory, block->usable));
		model_forget(model, block);
		block->memory = NULL;
	}
	/* realloc(NULL, 0) would make a block. */
	if (how == FREE || !memory)
		heap_free(memory);
	else if (how == FREE_SIZED)
		heap_free_sized(memory, block->size);
	else if (how == FREE_ALIGNED_SIZED)
		heap_free_aligned_sized(memory, block->alignment, block->size);
	else
		must(!heap_realloc(memory, 0));
	must(errno == MARK);
}

void model_check(struct model *model, struct block *block)
{
	if (!block->memory)
		return;
	model->calls++;
	must(heap_usable_size(block->memory) == block->usable);
	must(holds(block, block->memory, block->usable));
}

void model_check_all(struct model *model)
{
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		model_check(model, &model->block[i]);
}

void model_null(struct model *model)
{
	model->calls += 2;
	errno = MARK;
	must(heap_usable_size(NULL) == 0);
	heap_free(NULL);
	must(errno == MARK);
}

void model_free_all(struct model *model)
{
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (model->block[i].memory)
			model_free(model, &model->block[i], FREE);
	must(!model->live && !model->live_bytes);
}
