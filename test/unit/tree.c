/* SPDX-License-Identifier: MIT */
/* base/tree.h against a sorted array, and its depth in the orders of insertion that the allocator has. */
#include "must.h"
#include "rng.h"
#include "suite.h"

#include "base/tree.h"

#include <stdlib.h>

struct member {
	struct tree_node node;
	uint64_t key;
	char padding[128 - sizeof(struct tree_node) - 8]; /* of a record's size: priorities are by address */
};

static uint64_t key_of(const struct tree_node *node)
{
	return CONTAINER_OF(node, struct member, node)->key;
}

static bool less(const struct tree_node *a, const struct tree_node *b)
{
	return key_of(a) < key_of(b);
}

/* The depth; proves the order of keys and of priorities on the way. */
static unsigned prove(const struct tree_node *node, const struct tree_node *low,
		      const struct tree_node *high)
{
	if (!node)
		return 0;
	must(!low || less(low, node));
	must(!high || less(node, high));
	must(!node->left || tree_priority(node->left) <= tree_priority(node));
	must(!node->right || tree_priority(node->right) <= tree_priority(node));
	unsigned left = prove(node->left, low, node);
	unsigned right = prove(node->right, node, high);
	return 1 + (left > right ? left : right);
}

enum { KEYS = 300, MANY = 199999 /* a prime: any stride meets all */ };

static struct member members[MANY];
static struct tree_node *root;

static struct tree_node *nearest_in(const bool *in, size_t from, int step)
{
	for (size_t key = from; key < KEYS; key += (size_t)step)
		if (in[key])
			return &members[key].node;
	return NULL;
}

START_TEST(finds_what_a_sorted_array_finds)
{
	struct rng rng = rng_make(rng_process_seed());
	bool in[KEYS] = {false};
	for (int i = 0; i < 100000; i++) {
		size_t at = rng_below(&rng, KEYS);
		members[at].key = at;
		if (in[at])
			tree_remove(&root, &members[at].node, less);
		else
			tree_insert(&root, &members[at].node, less);
		in[at] = !in[at];

		struct member key = {.key = rng_below(&rng, KEYS)};
		must(tree_at_least(root, &key.node, less) == nearest_in(in, key.key, +1));
		must(tree_below(root, &key.node, less) == nearest_in(in, key.key - 1, -1));
		must(tree_first(root) == nearest_in(in, 0, +1));
		must(tree_last(root) == nearest_in(in, KEYS - 1, -1));
		if (i % 64 == 0)
			prove(root, NULL, NULL);
	}
}
END_TEST

START_TEST(an_empty_tree_has_nothing)
{
	struct member key = {.key = 1};
	ck_assert_ptr_null(tree_first(root));
	ck_assert_ptr_null(tree_last(root));
	ck_assert_ptr_null(tree_at_least(root, &key.node, less));
	ck_assert_ptr_null(tree_below(root, &key.node, less));
}
END_TEST

/* A random tree of so many has paths of 24 on average and about 50 at most. */
enum { DEPTH_MOST = 70 };

static unsigned depth_of(uint64_t (*key_at)(size_t i), size_t stride)
{
	root = NULL;
	for (size_t i = 0; i < MANY; i++) {
		struct member *member = &members[i * stride % MANY];
		member->key = key_at(i);
		tree_insert(&root, &member->node, less);
	}
	return prove(root, NULL, NULL);
}

static uint64_t rising(size_t i)
{
	return i;
}

static uint64_t falling(size_t i)
{
	return MANY - i;
}

static uint64_t scattered(size_t i)
{
	return i * UINT64_C(0xD1B54A32D192ED03);
}

START_TEST(stays_shallow_where_records_and_keys_come_in_order)
{
	ck_assert_uint_lt(depth_of(rising, 1), DEPTH_MOST);
	ck_assert_uint_lt(depth_of(falling, 1), DEPTH_MOST);
	ck_assert_uint_lt(depth_of(scattered, 1), DEPTH_MOST);
	/* Records of other sizes lie at other distances. */
	for (size_t stride = 3; stride < 600; stride = stride * 2 + 1)
		ck_assert_uint_lt(depth_of(rising, stride), DEPTH_MOST);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		finds_what_a_sorted_array_finds,
		an_empty_tree_has_nothing,
		stays_shallow_where_records_and_keys_come_in_order,
		NULL,
	};
	return suite_run("tree", tests, 60);
}
