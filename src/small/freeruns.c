/* SPDX-License-Identifier: MIT */
#include "small/freeruns.h"

#include "base/check.h"
#include "meta/meta.h"

struct freeruns vm_freeruns;

void vm_freeruns_init(void)
{
	list_init(&vm_freeruns.by_age);
}

static inline struct run *run_of_node(struct tree_node *node)
{
	return node ? CONTAINER_OF(node, struct run, node) : NULL;
}

static bool shorter(const struct tree_node *a, const struct tree_node *b)
{
	const struct run *left = CONTAINER_OF(a, const struct run, node);
	const struct run *right = CONTAINER_OF(b, const struct run, node);
	return left->pages != right->pages ? left->pages < right->pages
					   : left->start < right->start;
}

/* Enters or erases the first and the last page of a run. */
static void mark_ends(const struct run *run, struct run *entry)
{
	struct run **run_of_pages = run_region(run)->run_of + run_page(run);
	run_of_pages[0] = entry;
	run_of_pages[run->pages - 1] = entry;
}

void vm_freeruns_insert(struct run *run, struct list *place)
{
	run->state = RUN_FREE;
	mark_ends(run, run);
	vm_freeruns.pages += run->pages;
	vm_freeruns.dirty_pages += run->dirty_pages;
	if (run->dirty_pages) {
		tree_insert(&vm_freeruns.dirty, &run->node, shorter);
		list_insert_before(place, &run->link);
	} else {
		tree_insert(&vm_freeruns.clean, &run->node, shorter);
	}
}

struct list *vm_freeruns_remove(struct run *run)
{
	mark_ends(run, NULL);
	vm_freeruns.pages -= run->pages;
	vm_freeruns.dirty_pages -= run->dirty_pages;
	if (!run->dirty_pages) {
		tree_remove(&vm_freeruns.clean, &run->node, shorter);
		return &vm_freeruns.by_age;
	}
	tree_remove(&vm_freeruns.dirty, &run->node, shorter);
	list_remove(&run->link);
	return run->link.next;
}

/* Joins a run that is in no tree with a FREE neighbour: `run` then holds both. */
static void absorb(struct run *run, struct run *neighbour, struct list **place)
{
	struct list *place_of_neighbour = vm_freeruns_remove(neighbour);
	if (neighbour->dirty_pages > run->dirty_pages) {
		run->freed_ms = neighbour->freed_ms;
		*place = place_of_neighbour;
	} else if (neighbour->dirty_pages && *place == &neighbour->link) {
		*place = place_of_neighbour;
	}
	run->start = min_size(run->start, neighbour->start);
	run->pages += neighbour->pages;
	run->dirty_pages += neighbour->dirty_pages;
	vm_meta_free(neighbour, sizeof *neighbour);
}

void vm_freeruns_merge(struct run *run)
{
	const struct region *region = run_region(run);
	size_t page = run_page(run);
	struct run *before = page ? freeruns_at(region, page - 1) : NULL;
	struct run *behind = freeruns_at(region, page + run->pages);
	struct list *place = &vm_freeruns.by_age;
	if (before)
		absorb(run, before, &place);
	if (behind)
		absorb(run, behind, &place);
	vm_freeruns_insert(run, place);
}

/* The pages that a run must be cut off at its start for the alignment. */
static size_t gap_before(const struct run *run, size_t alignment_pages)
{
	return (align_up(run->start, alignment_pages << PAGE_SHIFT) - run->start) >> PAGE_SHIFT;
}

static bool fits(const struct run *run, size_t pages, size_t alignment_pages)
{
	return run && gap_before(run, alignment_pages) + pages <= run->pages;
}

/* The best fit in a tree; where the shortest that is long enough lies askew, one that is long
 * enough however it lies. */
static struct run *best_fit(struct tree_node *root, size_t pages, size_t alignment_pages)
{
	struct run key = {.start = 0, .pages = (uint32_t)pages};
	struct run *run = run_of_node(tree_at_least(root, &key.node, shorter));
	if (!run || fits(run, pages, alignment_pages))
		return run;
	key.pages = (uint32_t)(pages + alignment_pages - 1);
	return run_of_node(tree_at_least(root, &key.node, shorter));
}

struct run *vm_freeruns_find_dirty(size_t pages, size_t alignment_pages)
{
	return best_fit(vm_freeruns.dirty, pages, alignment_pages);
}

struct run *vm_freeruns_find(size_t pages, size_t alignment_pages)
{
	struct run *run = vm_freeruns_find_dirty(pages, alignment_pages);
	return run ? run : best_fit(vm_freeruns.clean, pages, alignment_pages);
}

/* Of the first `pages` of a run. */
static size_t count_dirty(const struct run *run, size_t pages)
{
	if (!run->dirty_pages || run->dirty_pages == run->pages)
		return min_size(run->dirty_pages, pages);
	return region_count_dirty(run_region(run), run_page(run), pages);
}

/* So little of what lies ready, as a share of it, may have no memory. */
enum { READY_BUT_FOR = 8 };

struct run *vm_freeruns_find_ready(size_t pages)
{
	struct run *run = vm_freeruns_find_dirty(pages, 1);
	return run && count_dirty(run, pages) >= pages - pages / READY_BUT_FOR ? run : NULL;
}

/* Cuts a run that is in no tree after `pages`; the record `rest` describes what follows. */
static void cut(struct run *run, size_t pages, struct run *rest)
{
	size_t dirty = count_dirty(run, pages);
	run_describe(rest, run_region(run), run_page(run) + pages, run->pages - pages);
	rest->dirty_pages = run->dirty_pages - (uint32_t)dirty;
	rest->freed_ms = run->freed_ms;
	run->pages = (uint32_t)pages;
	run->dirty_pages = (uint32_t)dirty;
}

struct run *vm_freeruns_carve(struct run *run, size_t pages, size_t alignment_pages)
{
	size_t gap = gap_before(run, alignment_pages);
	bool has_rest = gap + pages < run->pages;
	struct run *aligned = gap ? vm_meta_alloc(sizeof *aligned) : NULL;
	struct run *rest = has_rest ? vm_meta_alloc(sizeof *rest) : NULL;
	if ((gap && !aligned) || (has_rest && !rest)) {
		vm_meta_free(aligned, sizeof *aligned);
		vm_meta_free(rest, sizeof *rest);
		return NULL;
	}
	struct list *place = vm_freeruns_remove(run);
	if (gap) {
		cut(run, gap, aligned);
		vm_freeruns_insert(run, place);
		run = aligned;
	}
	if (has_rest) {
		cut(run, pages, rest);
		vm_freeruns_insert(rest, place);
	}
	return run;
}

struct run *vm_freeruns_oldest(void)
{
	return list_empty(&vm_freeruns.by_age)
		       ? NULL
		       : CONTAINER_OF(vm_freeruns.by_age.next, struct run, link);
}

struct run *vm_freeruns_cut_off(struct run *run, size_t pages_below)
{
	struct run *upper = pages_below ? vm_meta_alloc(sizeof *upper) : NULL;
	struct list *place = vm_freeruns_remove(run);
	if (!upper)
		return run;
	cut(run, pages_below, upper);
	vm_freeruns_insert(run, place);
	return upper;
}

/* Returns the pages of its runs. */
static size_t check_tree(struct tree_node *node, bool dirty)
{
	if (!node)
		return 0;
	const struct run *run = run_of_node(node);
	vm_assert(run->state == RUN_FREE && (run->dirty_pages > 0) == dirty);
	return run->pages + check_tree(node->left, dirty) + check_tree(node->right, dirty);
}

static size_t check_ages(void)
{
	size_t dirty_pages = 0;
	for (const struct list *link = vm_freeruns.by_age.next; link != &vm_freeruns.by_age; link = link->next) {
		const struct run *run = CONTAINER_OF(link, const struct run, link);
		vm_assert(run->state == RUN_FREE && run->dirty_pages > 0);
		dirty_pages += run->dirty_pages;
	}
	return dirty_pages;
}

void vm_freeruns_check(size_t pages)
{
	vm_assert(vm_freeruns.pages == pages);
	vm_assert(check_tree(vm_freeruns.dirty, true) + check_tree(vm_freeruns.clean, false) == pages);
	vm_assert(check_ages() == vm_freeruns.dirty_pages);
}
