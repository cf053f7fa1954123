/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest in the heap of a program: builds a tree there that the program walks with
 * plain pointers, and moves what the program has put into a table.
 */
#ifndef _KARENA_SAMPLE_GUEST_H
#define _KARENA_SAMPLE_GUEST_H

#include <linux/types.h>

struct karena_heap;

/* What the program calls struct node; its type says that left and right are references. */
struct guest_node {
	struct guest_node __user *left;
	struct guest_node __user *right;
	u64 number;
	u64 check;			/* number * GUEST_CHECK */
	char name[32];
};

#define GUEST_CHECK	0x9e3779b97f4a7c15ULL

struct guest {
	struct karena_heap *heap;
	struct karena_type *type;
	struct guest_node __user *root;	/* of the tree, pinned; NULL if it is empty */
};

/* A word of a table. */
struct guest_slot {
	struct guest_node __user *node;
};

/* What guest_move() and bare_swap() work on: a part of an array of references. */
struct guest_table {
	struct guest_slot __user *slot;
	u32 nr;
	u64 steps;
	u64 seed;
};

struct guest *guest_open(int fd, u32 type);
void guest_close(struct guest *guest);
int guest_add(struct guest *guest, u64 number, const char *name);
int guest_add_tasks(struct guest *guest);
void guest_forget(struct guest *guest);
int guest_move(struct guest *guest, const struct guest_table *table);

/* bare.c */
int bare_swap(const struct guest_table *table);

/* line.c */
int guest_answer(struct guest **guest, char *line, char *answer, size_t room);

#endif /* _KARENA_SAMPLE_GUEST_H */
