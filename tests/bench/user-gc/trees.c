// SPDX-License-Identifier: GPL-2.0
/*
 * binary-trees of the Computer Language Benchmarks Game, and GCBench of Ellis, Kovac
 * and Boehm, with karena and with Boehm's collector (layer.h).  peers/trees.go is the
 * same.
 *
 *	usage: trees trees|gcbench|nothing DEPTH [spin]
 *
 * spin: a second thread looks for pauses (gaps.h).  "nothing" computes meanwhile and
 * collects nothing: what is to be seen is the machine's own.
 */
#include <string.h>

#include "layer.h"
#include "gaps.h"

#define MIN_DEPTH 4

struct tree {
	struct tree *left, *right;
};

struct node {
	struct node *left, *right;
	int i, j;
};

static struct kind trees = KIND(struct tree);
static struct kind nodes = KIND(struct node);

static struct tree *bottom_up(unsigned int depth)
{
	struct tree *tree = make(&trees);

	if (depth) {
		tree->left = bottom_up(depth - 1);
		tree->right = bottom_up(depth - 1);
	}
	return tree;
}

static unsigned long count(const struct tree *tree)
{
	return tree->left ? 1 + count(tree->left) + count(tree->right) : 1;
}

static unsigned long binary_trees(unsigned int most)
{
	unsigned long check = count(bottom_up(most + 1)), i;
	struct tree *long_lived = bottom_up(most);
	unsigned int depth;

	for (depth = MIN_DEPTH; depth <= most; depth += 2)
		for (i = 0; i < 1UL << (most - depth + MIN_DEPTH); i++)
			check += count(bottom_up(depth));
	return check + count(long_lived);
}

/* --- GCBench --- */

static struct node *make_node(unsigned int depth)
{
	struct node *node = make(&nodes);

	if (depth) {
		node->left = make_node(depth - 1);
		node->right = make_node(depth - 1);
	}
	return node;
}

/* From the top: into objects that are there. */
static void populate(unsigned int depth, struct node *node)
{
	if (!depth)
		return;
	node->left = make(&nodes);
	node->right = make(&nodes);
	populate(depth - 1, node->left);
	populate(depth - 1, node->right);
}

static unsigned long tree_size(unsigned int depth)
{
	return (2UL << depth) - 1;
}

static unsigned long gcbench(unsigned int most)
{
	struct node *long_lived, *temporary;
	unsigned long i, iterations, check = 0;
	unsigned int depth;
	double *array;

	make_node(most + 2);
	long_lived = make(&nodes);
	populate(most, long_lived);
	array = make_bytes(tree_size(most) * 4 * sizeof(*array));
	for (i = 0; i < tree_size(most) * 2; i++)
		array[i] = 1.0 / (i + 1);
	for (depth = MIN_DEPTH; depth <= most; depth += 2) {
		iterations = 2 * tree_size(most + 2) / tree_size(depth);
		for (i = 0; i < iterations; i++) {
			temporary = make(&nodes);
			populate(depth, temporary);
			check += !!temporary->left;
		}
		for (i = 0; i < iterations; i++)
			check += !!make_node(depth)->right;
	}
	return check + (long_lived->right && array[1000] == 1.0 / 1001);
}

/* As long as the other two about, without an object. */
static unsigned long nothing(unsigned int seconds)
{
	__u64 end = now_ns() + seconds * 1000000000ULL;
	unsigned long n = 1, i;

	while (now_ns() < end)
		for (i = 0; i < 1000; i++)
			n = n * 6364136223846793005UL + 1442695040888963407UL;
	return n | 1;
}

static unsigned long run(const char *name, unsigned int depth)
{
	if (!strcmp(name, "trees"))
		return binary_trees(depth);
	return strcmp(name, "gcbench") ? nothing(depth) : gcbench(depth);
}

static bool has(int argc, char **argv, const char *word)
{
	while (argc-- > 3)
		if (!strcmp(argv[argc], word))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool spins = has(argc, argv, "spin");
	struct gaps *gaps = NULL;
	pthread_t thread;

	if (argc < 3)
		return 2;
	layer_begin(0);
	kind_begin(&trees, struct tree, left, right);
	kind_begin(&nodes, struct node, left, right);
	if (spins) {
		gaps = shared_memory(sizeof(*gaps));
		if (pthread_create(&thread, NULL, spin, gaps))
			return 1;
	}
	printf("check=%lu ", run(argv[1], atoi(argv[2])));
	if (spins) {
		__atomic_store_n(&gaps->stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		gaps_report(gaps);
	}
	layer_report();
	return 0;
}
