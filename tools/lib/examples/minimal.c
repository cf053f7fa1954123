// SPDX-License-Identifier: GPL-2.0
/*
 * The least that shows what karena is for: a parent makes a list in a heap,
 * and a child that got the heap through a socket walks it by its pointers.
 *
 *	cc minimal.c $(pkg-config --cflags --libs karena) -o minimal
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

struct node {
	struct node *next;
	int number;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Runs in a process that has never seen the heap before. */
static int read_list(int socket)
{
	struct karena *heap = karena_recv(socket);
	struct node *node;

	if (!heap)
		die("karena_recv");
	if (read(socket, &node, sizeof(node)) != sizeof(node))
		die("read");
	for (; node; node = node->next)
		printf("%d at %p\n", node->number, (void *)node);
	karena_close(heap);
	return 0;
}

static struct node *make_list(struct karena *heap)
{
	struct node *list = NULL, *node;
	int i;

	for (i = 3; i > 0; i--) {
		node = karena_alloc(heap, sizeof(*node));
		if (!node)
			die("karena_alloc");
		node->number = i;
		node->next = list;
		list = node;
	}
	return list;
}

int main(void)
{
	struct karena *heap;
	struct node *list;
	int pair[2], status = 1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("socketpair");
	if (!fork())
		return read_list(pair[1]);

	heap = karena_open(NULL);
	if (!heap)
		die("karena_open");
	list = make_list(heap);
	if (karena_send(pair[0], heap, KARENA_SHARE_RDONLY))
		die("karena_send");
	/* Where the list begins, the two have to tell each other. */
	if (write(pair[0], &list, sizeof(list)) != sizeof(list))
		die("write");
	wait(&status);
	karena_close(heap);
	return status ? 1 : 0;
}
