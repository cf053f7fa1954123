// SPDX-License-Identifier: GPL-2.0
/*
 * The program at the top of <karena.h>: a heap in which nothing is freed by hand.
 *
 *	cc collect.c $(pkg-config --cflags --libs karena) -o collect
 */
#include <stdio.h>
#include <karena.h>

struct node {
	struct node *next;
	int number;
};

static struct node *list;

int main(void)
{
	struct karena_options opts = { .flags = KARENA_COLLECT };
	struct karena *heap = karena_open(&opts);
	struct karena_type type;
	int i;

	if (!heap)
		return perror("karena_open"), 1;
	type = KARENA_TYPE(heap, struct node, next);
	for (i = 0; i < 1000000; i++) {
		struct node *node = karena_new(heap, type);

		if (!node)
			return perror("karena_new"), 1;
		node->number = i;
		node->next = i % 1000 ? list : NULL;
		list = node;
	}
	printf("the last one is %d\n", list->number);
}
