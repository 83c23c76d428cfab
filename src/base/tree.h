/* SPDX-License-Identifier: MIT */
/*
 * tree.h - an ordered set whose nodes lie in its members.
 *
 * A treap: a binary search tree by the caller's order, a heap by a priority that is a hash of the
 * node's address, so its expected depth is logarithmic whatever the order of insertion, and no
 * balance is stored. No node knows its parent: removal walks down from the root.
 *
 * `less` must be a strict total order of the members that does not change while they are in; it is
 * a constant at every call, so the compiler inlines it.
 */
#ifndef VM_TREE_H
#define VM_TREE_H

#include "base/base.h"

struct tree_node {
	struct tree_node *left;
	struct tree_node *right;
};

typedef bool tree_less(const struct tree_node *a, const struct tree_node *b);

/* Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4), twice: once alone gives nodes at
 * equal distances, as records come, priorities in long runs, and paths of hundreds (test/unit/tree.c). */
static inline uint64_t tree_priority(const struct tree_node *node)
{
	uint64_t hash = (uint64_t)(uintptr_t)node * UINT64_C(0x9E3779B97F4A7C15);
	return (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15);
}

static ALWAYS_INLINE inline void tree_insert(struct tree_node **root, struct tree_node *node,
					     tree_less *less)
{
	struct tree_node **link = root;
	while (*link && tree_priority(*link) > tree_priority(node))
		link = less(node, *link) ? &(*link)->left : &(*link)->right;

	struct tree_node *rest = *link;
	struct tree_node **below = &node->left;
	struct tree_node **above = &node->right;
	*link = node;
	while (rest) {
		if (less(rest, node)) {
			*below = rest;
			below = &rest->right;
			rest = rest->right;
		} else {
			*above = rest;
			above = &rest->left;
			rest = rest->left;
		}
	}
	*below = NULL;
	*above = NULL;
}

/* `node` is in the tree. */
static ALWAYS_INLINE inline void tree_remove(struct tree_node **root, struct tree_node *node,
					     tree_less *less)
{
	struct tree_node **link = root;
	while (*link != node)
		link = less(node, *link) ? &(*link)->left : &(*link)->right;

	struct tree_node *left = node->left;
	struct tree_node *right = node->right;
	while (left && right) {
		if (tree_priority(left) > tree_priority(right)) {
			*link = left;
			link = &left->right;
			left = left->right;
		} else {
			*link = right;
			link = &right->left;
			right = right->left;
		}
	}
	*link = left ? left : right;
}

/* The least member that is not less than `key`, a node that need not be a member; or NULL. */
static ALWAYS_INLINE inline struct tree_node *tree_at_least(struct tree_node *root,
							    const struct tree_node *key,
							    tree_less *less)
{
	struct tree_node *best = NULL;
	while (root) {
		if (less(root, key)) {
			root = root->right;
		} else {
			best = root;
			root = root->left;
		}
	}
	return best;
}

/* The greatest member that is less than `key`, a node that need not be a member; or NULL. */
static ALWAYS_INLINE inline struct tree_node *tree_below(struct tree_node *root,
							 const struct tree_node *key,
							 tree_less *less)
{
	struct tree_node *best = NULL;
	while (root) {
		if (less(root, key)) {
			best = root;
			root = root->right;
		} else {
			root = root->left;
		}
	}
	return best;
}

static inline struct tree_node *tree_first(struct tree_node *root)
{
	while (root && root->left)
		root = root->left;
	return root;
}

static inline struct tree_node *tree_last(struct tree_node *root)
{
	while (root && root->right)
		root = root->right;
	return root;
}

#endif
