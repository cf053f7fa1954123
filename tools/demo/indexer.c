// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, the process that writes the index.
 *
 * It is started as a program of its own, so that nothing is inherited: the
 * heap comes to it, or goes from it, through the socket only.  When all is
 * added it waits to be killed; it has no way of its own to end well.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo.h"

int send_message(int socket, enum message_kind kind, __u64 value)
{
	struct message message = { .kind = kind, .value = value };
	ssize_t len = send(socket, &message, sizeof(message), MSG_NOSIGNAL);

	return len == sizeof(message) ? 0 : -1;
}

/* Fails as well when the other end is gone or says something else. */
int recv_message(int socket, enum message_kind kind, __u64 *value)
{
	struct message message;
	ssize_t len = recv(socket, &message, sizeof(message), 0);

	if (len < 0)
		return -1;
	if (len != sizeof(message) || message.kind != kind) {
		errno = len ? EPROTO : ECONNRESET;
		return -1;
	}
	*value = message.value;
	return 0;
}

static int fail(const char *what)
{
	fprintf(stderr, "karena-demo: indexer: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static int fail_heap(const char *what)
{
	if (errno != ENOENT && errno != ENXIO)
		return fail(what);
	fputs("karena-demo: /dev/karena: not there: is the module loaded? (sudo make load)\n",
	      stderr);
	return EXIT_FAILURE;
}

static struct index *make_index(struct karena **heap, int socket, __u32 nr_files)
{
	const struct karena_options opts = {
		.name = "karena-demo",
		.flags = KARENA_COLLECT,
	};
	struct index *index;

	*heap = karena_open(&opts);
	if (!*heap)
		return NULL;
	index = index_create(*heap, nr_files);
	if (!index || karena_send(socket, *heap, 0) ||
	    send_message(socket, MESSAGE_INDEX, (uintptr_t)index))
		return NULL;
	return index;
}

static struct index *take_index(struct karena **heap, int socket)
{
	__u64 index;

	*heap = karena_recv(socket);
	if (!*heap || recv_message(socket, MESSAGE_INDEX, &index))
		return NULL;
	return (struct index *)(uintptr_t)index;
}

static bool is_complete(const struct index *index, __u32 id)
{
	const struct document *doc = index->documents;

	while (doc && !(doc->id == id && doc->complete))
		doc = doc->next;
	return doc;
}

/* A file that went away or is not to be read is no reason to stop. */
static int add_file(struct writer *writer, __u32 id, const char *path)
{
	size_t size;
	char *text = read_text(path, &size);
	int err;

	if (!text) {
		fail(path);
		return 0;
	}
	err = writer_add(writer, id, path, text, size);
	free(text);
	return err;
}

static int add_files(struct writer *writer, const struct corpus *corpus,
		     __u64 *added)
{
	size_t i;

	*added = 0;
	for (i = 0; i < corpus->count; i++) {
		if (is_complete(writer->index, i))
			continue;
		if (add_file(writer, i, corpus->paths[i]))
			return -1;
		++*added;
	}
	return 0;
}

int run_indexer(const struct options *opts)
{
	struct corpus corpus;
	struct writer writer;
	struct karena *heap;
	struct index *index;
	__u64 added;
	char byte;

	if (corpus_load(&corpus, opts->list))
		return fail("reading the list of files");
	index = opts->go_on ? take_index(&heap, opts->socket) :
			      make_index(&heap, opts->socket, corpus.count);
	if (!index)
		return fail_heap(opts->go_on ? "taking the heap" : "making a heap");
	if (writer_begin(&writer, heap, index) ||
	    add_files(&writer, &corpus, &added) ||
	    send_message(opts->socket, MESSAGE_DONE, added))
		return fail("adding documents");
	/* Ends too when the server does. */
	return recv(opts->socket, &byte, 1, 0) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* In the child: the same program, with two descriptors and nothing else. */
static void become_indexer(int socket, int list, bool go_on)
{
	char role[32], files[32];
	char *args[4] = { program_invocation_name, role, files };

	snprintf(role, sizeof(role), "--%s=%d", go_on ? "go-on" : "index",
		 socket);
	snprintf(files, sizeof(files), "--list=%d", list);
	if (fcntl(socket, F_SETFD, 0) || fcntl(list, F_SETFD, 0))
		return;
	execv("/proc/self/exe", args);
}

pid_t start_indexer(int socket, int list, bool go_on)
{
	pid_t child = fork();

	if (child)
		return child;
	become_indexer(socket, list, go_on);
	_exit(fail("starting"));
}
