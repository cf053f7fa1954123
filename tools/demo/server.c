// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, the process that answers from the index, and outlives those
 * who wrote it.
 *
 *   1. An indexer makes a heap and adds documents; it is killed meanwhile.  A
 *      collection frees what only it could reach, and nothing else.
 *   2. A second indexer takes the heap over and adds what is missing.
 *   3. Queries are answered.
 *   4. The second indexer is killed too; after a collection the index and the
 *      answers have to be what they were, and each object left be one of the
 *      index.
 *   5. This process lets go of the index; after a collection the heap has to be
 *      empty.  Nobody has called free.
 *
 * Each step returns 0, or -1 after it has said what went wrong.  All but the last
 * are run by a thread, with which its pointers go, wherever the compiler has put
 * them.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

struct server {
	const struct options *opts;
	struct result *result;
	struct corpus corpus;
	struct karena *heap;
	struct index *index;
	pid_t indexer;		/* 0 when none is alive */
	int socket;		/* to it */
	int list;		/* file with the paths, for it */
	__u64 random;
};

static int fail(const char *what)
{
	fprintf(stderr, "karena-demo: %s\n", what);
	return -1;
}

static int fail_errno(const char *what)
{
	fprintf(stderr, "karena-demo: %s: %s\n", what, strerror(errno));
	return -1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* splitmix64: below @most, and the same for the same seed. */
static __u64 random_below(struct server *server, __u64 most)
{
	__u64 z = server->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return most ? z % most : 0;
}

/* Lets the user's command look at the heap at this moment. */
static void show(const struct server *server, const char *step)
{
	const struct options *opts = server->opts;
	char id[16], *command;

	if (!opts->show)
		return;
	snprintf(id, sizeof(id), "%u", server->result->heap_id);
	setenv("KARENA_HEAP", id, 1);
	setenv("KARENA_STEP", step, 1);
	/* Standard output is for JSON alone, when that is asked for. */
	if (asprintf(&command, "{ %s\n}%s", opts->show,
		     opts->json ? " >&2" : "") < 0)
		return;
	fflush(NULL);
	if (system(command))
		fprintf(stderr, "karena-demo: failed: %s\n", opts->show);
	free(command);
}

static int start(struct server *server, bool go_on)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return fail_errno("a socket pair");
	server->socket = pair[0];
	server->indexer = start_indexer(pair[1], server->list, go_on);
	close(pair[1]);
	if (server->indexer > 0)
		return 0;
	server->indexer = 0;
	close(pair[0]);
	return fail_errno("starting the indexer");
}

/*
 * Nothing is asked of it before: it dies wherever it happens to be.  Returns
 * false if it had ended already, for which it has given its reason.
 */
static bool kill_indexer(struct server *server)
{
	pid_t pid = server->indexer;
	int status = 0;

	server->indexer = 0;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	close(server->socket);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static int read_stats(const struct server *server, struct karena_heap_info *info)
{
	info->size = sizeof(*info);
	if (karena_stats(server->heap, info))
		return fail_errno("numbers of the heap");
	return 0;
}

/* Collects; @garbage gets how many objects went. */
static int collect(const struct server *server, __u64 *garbage)
{
	struct karena_heap_info before, after;

	if (read_stats(server, &before))
		return -1;
	if (karena_gc(server->heap))
		return fail_errno("collecting");
	if (read_stats(server, &after))
		return -1;
	*garbage = before.live_objects - after.live_objects;
	return 0;
}

static int examine(struct server *server, struct summary *summary)
{
	const char *wrong = index_examine(server->heap, server->index, summary);

	return wrong ? fail(wrong) : 0;
}

static void say_summary(const struct server *server, const struct summary *sum)
{
	say(server->opts, "   %zu documents complete, %zu half done\n",
	    sum->documents, sum->partial);
	say(server->opts,
	    "   consistent: %zu words, %zu postings, checksum %016llx\n",
	    sum->words, sum->postings, (unsigned long long)sum->checksum);
}

static bool says_something(const struct server *server)
{
	struct pollfd end = { .fd = server->socket, .events = POLLIN };

	return poll(&end, 1, 0) > 0;
}

/*
 * Until so many documents are there that it shall die, or it has ended.  The
 * index is examined again and again while it is being written.
 */
static int wait_until(struct server *server, __u32 documents)
{
	struct summary summary;

	while (observe(&server->index->nr_complete) < documents &&
	       !says_something(server)) {
		if (examine(server, &summary))
			return -1;
		server->result->looks++;
		usleep(1000);
	}
	usleep(random_below(server, 5000));
	return 0;
}

static int receive_heap(struct server *server)
{
	__u64 index;

	server->heap = karena_recv(server->socket);
	/* It has said itself what went wrong there. */
	if (!server->heap && errno == ECONNRESET)
		return -1;
	if (!server->heap)
		return fail_errno("receiving the heap");
	if (recv_message(server->socket, MESSAGE_INDEX, &index))
		return fail_errno("receiving the index");
	server->index = (struct index *)(uintptr_t)index;
	server->result->heap_id = karena_id(server->heap);
	server->result->base = karena_base(server->heap);
	return 0;
}

/* The index must be what it was before. */
static int collect_and_compare(struct server *server, const struct summary *before,
			       __u64 *garbage)
{
	struct summary after;

	if (collect(server, garbage) || examine(server, &after))
		return -1;
	if (before->checksum != after.checksum)
		return fail("the index is not the same after the collection");
	say(server->opts,
	    "   collected: %llu objects that only the dead could reach; same checksum\n",
	    (unsigned long long)*garbage);
	return 0;
}

static int first_indexer(struct server *server)
{
	const struct options *opts = server->opts;
	struct result *result = server->result;

	say(opts, "1. A process makes a heap and adds documents; it is killed meanwhile.\n");
	if (start(server, false) || receive_heap(server))
		return -1;
	say(opts, "   heap %u at %p, here as there\n", result->heap_id,
	    result->base);
	if (wait_until(server, random_below(server, server->corpus.count / 2 + 1)))
		return -1;
	result->killed_early = !says_something(server);
	if (!kill_indexer(server))
		return -1;
	say(opts, "   killed (SIGKILL)%s; examined %u times before\n",
	    result->killed_early ? "" : ", but it was done already",
	    result->looks);
	if (examine(server, &result->after_kill))
		return -1;
	say_summary(server, &result->after_kill);
	if (collect_and_compare(server, &result->after_kill, &result->garbage[0]))
		return -1;
	show(server, "interrupted");
	return 0;
}

static int second_indexer(struct server *server)
{
	struct result *result = server->result;
	__u64 added;

	say(server->opts, "\n2. A second process receives the heap and adds the rest.\n");
	if (start(server, true))
		return -1;
	if (karena_send(server->socket, server->heap, 0) ||
	    send_message(server->socket, MESSAGE_INDEX,
			 (uintptr_t)server->index))
		return fail_errno("sending the heap");
	if (recv_message(server->socket, MESSAGE_DONE, &added))
		return fail("the second indexer did not end its work");
	if (examine(server, &result->before))
		return -1;
	say(server->opts, "   %llu documents added\n",
	    (unsigned long long)added);
	say_summary(server, &result->before);
	return 0;
}

static int ask_all(struct server *server, struct answers answers[])
{
	struct result *result = server->result;
	const char *words[MAX_QUERIES];
	const char * const *queries = server->opts->queries;
	size_t i;

	result->nr_answers = server->opts->nr_queries;
	if (!result->nr_answers) {
		result->nr_answers = index_pick_words(server->index, words, 3);
		queries = words;
	}
	for (i = 0; i < result->nr_answers; i++)
		if (index_ask(server->index, queries[i], &answers[i]))
			return fail_errno("a query");
	return 0;
}

static int answer(struct server *server)
{
	struct result *result = server->result;
	size_t i;

	say(server->opts, "\n3. This process answers from what they wrote, by their pointers.\n");
	if (ask_all(server, result->answers) ||
	    read_stats(server, &result->full))
		return -1;
	say(server->opts, "   %llu objects, %llu KiB, indexed in %.1f s\n",
	    (unsigned long long)result->full.live_objects,
	    (unsigned long long)(result->full.live_bytes >> 10),
	    result->index_seconds);
	for (i = 0; i < result->nr_answers; i++)
		say_answers(server->opts, &result->answers[i]);
	show(server, "indexed");
	return 0;
}

static bool same_answers(const struct answers *a, const struct answers *b)
{
	size_t i;

	if (a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (strcmp(a->best[i].path, b->best[i].path) ||
		    a->best[i].count != b->best[i].count ||
		    a->best[i].line != b->best[i].line ||
		    strcmp(a->best[i].text, b->best[i].text))
			return false;
	return true;
}

static int compare_answers(struct server *server)
{
	static struct answers again[MAX_QUERIES];
	struct result *result = server->result;
	size_t i;

	if (ask_all(server, again))
		return -1;
	result->same_answers = true;
	for (i = 0; i < result->nr_answers; i++)
		if (!same_answers(&again[i], &result->answers[i]))
			result->same_answers = false;
	return result->same_answers ? 0 : fail("the answers are not the same");
}

/* Each object that is left is one of the index. */
static int count_objects(struct server *server)
{
	struct result *result = server->result;
	long count = index_count(server->index);

	if (count < 0)
		return fail_errno("counting the objects");
	result->reachable = count;
	if (read_stats(server, &result->full))
		return -1;
	if (result->full.live_objects != result->reachable)
		return fail("there are objects that nobody can reach");
	return 0;
}

static int kill_second(struct server *server)
{
	struct result *result = server->result;

	say(server->opts, "\n4. The second process is killed as well.\n");
	if (!kill_indexer(server) || examine(server, &result->after))
		return -1;
	if (result->before.checksum != result->after.checksum)
		return fail("the index is not the same");
	if (collect_and_compare(server, &result->after, &result->garbage[1]) ||
	    compare_answers(server) || count_objects(server))
		return -1;
	say(server->opts,
	    "   the queries have the same answers; all %zu objects are the index's\n",
	    result->reachable);
	show(server, "killed");
	return 0;
}

static int run_steps(struct server *server)
{
	struct result *result = server->result;
	double begin = now();

	if (first_indexer(server) || second_indexer(server))
		return -1;
	result->index_seconds = now() - begin;
	if (answer(server) || kill_second(server))
		return -1;
	say(server->opts, "\n5. This process lets go of the index.\n");
	server->index = NULL;
	return 0;
}

static void *step_thread(void *arg)
{
	return run_steps(arg) ? arg : NULL;
}

static int run_in_thread(struct server *server)
{
	pthread_t thread;
	void *failed;

	errno = pthread_create(&thread, NULL, step_thread, server);
	if (errno)
		return fail_errno("a thread");
	pthread_join(thread, &failed);
	return failed ? -1 : 0;
}

static int collect_all(struct server *server)
{
	struct result *result = server->result;
	double begin = now();
	__u64 garbage;

	if (collect(server, &garbage) || read_stats(server, &result->empty))
		return -1;
	result->collect_seconds = now() - begin;
	say(server->opts, "   collected: %llu objects; left: %llu; calls to free: none\n",
	    (unsigned long long)garbage,
	    (unsigned long long)result->empty.live_objects);
	show(server, "freed");
	return result->empty.live_objects ? fail("objects are left") : 0;
}

int run_server(const struct options *opts, struct result *result)
{
	struct server server = {
		.opts = opts,
		.result = result,
		.random = opts->seed,
	};
	int err;

	result->seed = opts->seed;
	if (corpus_find(&server.corpus, opts))
		return fail_errno("finding the files");
	if (!server.corpus.count)
		return fail("there is no text to index: name some files");
	server.list = corpus_save(&server.corpus);
	if (server.list < 0)
		return fail_errno("a list of the files");
	result->files = server.corpus.count;
	result->left_out = server.corpus.left_out;
	say(opts, "%zu files of text, %llu KiB (%zu more left out), seed %llu\n\n",
	    result->files, (unsigned long long)(server.corpus.bytes >> 10),
	    result->left_out, (unsigned long long)opts->seed);
	err = run_in_thread(&server);
	if (!err)
		err = collect_all(&server);
	if (server.indexer)
		kill_indexer(&server);
	karena_close(server.heap);
	close(server.list);
	return err;
}
