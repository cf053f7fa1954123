/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karena-demo: what its files share.
 *
 * corpus.c finds the text; index.c has the structures in the heap and who
 * writes them; reader.c reads them; indexer.c and server.c are the two
 * processes; report.c says what they did; main.c has the options.
 */
#ifndef KARENA_DEMO_H
#define KARENA_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <karena.h>

#include "index.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

#define MAX_QUERIES	8
#define MAX_ANSWERS	3

struct options {
	bool json;
	bool quiet;
	__u64 seed;
	size_t max_files;	/* 0 for the default */
	__u64 max_bytes;	/* 0 for the default */
	const char *show;	/* command to run at each step, or NULL */
	const char *queries[MAX_QUERIES];
	size_t nr_queries;
	char **files;
	size_t nr_files;
	int socket;		/* of an indexer, else -1 */
	int list;		/* indexer: the file with the paths */
	bool go_on;		/* indexer: with the heap of another */
};

/* corpus.c: the files to index. */
struct corpus {
	char **paths;
	size_t count;
	__u64 bytes;
	size_t left_out;	/* no text, empty, or over the limits */
};

int corpus_find(struct corpus *corpus, const struct options *opts);
int corpus_save(const struct corpus *corpus);
int corpus_load(struct corpus *corpus, int fd);
char *read_text(const char *path, size_t *size);

/* What the processes tell each other, beside the heap itself. */
enum message_kind {
	MESSAGE_INDEX = 1,	/* value: address of the struct index */
	MESSAGE_DONE,		/* value: documents added */
};

struct message {
	__u64 kind;
	__u64 value;
};

int send_message(int socket, enum message_kind kind, __u64 value);
int recv_message(int socket, enum message_kind kind, __u64 *value);

/* indexer.c: the process that writes, and dies. */
int run_indexer(const struct options *opts);
pid_t start_indexer(int socket, int list, bool go_on);

/* server.c: the process that reads and survives. */
struct answer {
	unsigned int count;	/* of all words of the query */
	unsigned int line;
	char text[64];		/* of that line */
	char path[128];
};

struct answers {
	char query[64];
	size_t count;
	struct answer best[MAX_ANSWERS];
};

struct result {
	__u64 seed;
	__u32 heap_id;
	void *base;
	size_t files;
	size_t left_out;
	bool killed_early;	/* the first indexer died before it was done */
	unsigned int looks;	/* while the first indexer was writing */
	struct summary after_kill, before, after;
	struct karena_heap_info full, empty;
	struct answers answers[MAX_QUERIES];
	size_t nr_answers;
	__u64 garbage[2];	/* objects that went after each kill */
	size_t reachable;	/* objects, in the end */
	double index_seconds, collect_seconds;
	bool same_answers;
};

int run_server(const struct options *opts, struct result *result);

/* reader.c: what can be asked of an index by who only reads. */
const char *index_examine(const struct karena *heap, const struct index *index,
			  struct summary *summary);
int index_ask(const struct index *index, const char *query,
	      struct answers *answers);
int index_pick_words(const struct index *index, const char *words[], int most);
long index_count(const struct index *index);

/* report.c */
void say(const struct options *opts, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void say_answers(const struct options *opts, const struct answers *answers);
void report_json(const struct result *result, bool ok);

#endif /* KARENA_DEMO_H */
