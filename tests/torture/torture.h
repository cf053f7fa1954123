/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of karena_torture share.  They use nothing of karena but what it
 * exports (kmod/karena.h), and no KUnit, so that they run on each kernel: main.c
 * prints what came of them as KUnit would.
 */
#ifndef _KARENA_TORTURE_H
#define _KARENA_TORTURE_H

#include <linux/completion.h>
#include <linux/prandom.h>
#include <linux/printk.h>

#include "kmod/karena.h"

/* One of several that run at once, each bound to a CPU. */
struct tt_thread {
	void (*fn)(struct tt_thread *thread);
	void *arg;
	unsigned int index;		/* among those */
	struct rnd_state rnd;
	struct completion done;
};

/* A line that explains the result that follows. */
#define tt_note(fmt, ...)	pr_info("    # " fmt "\n", ##__VA_ARGS__)

/* @full on a fast machine; a part of it on others, more with the parameter long=1. */
u64 tt_scale(u64 full);

/* Random numbers of a test, or of a thread of it; the same for the same seed. */
void tt_seed(struct rnd_state *rnd, unsigned int stream);
u32 tt_below(struct rnd_state *rnd, u32 n);

/* False, and the test has failed, if the two differ. */
bool tt_equal(const char *what, u64 is, u64 should_be);
void tt_fail(const char *what);

/* A collected heap without cycles of its own; NULL, and the test has failed, without memory. */
struct karena_heap *tt_heap(u64 limit, bool check);
void tt_heap_end(struct karena_heap *heap);
u64 tt_live(struct karena_heap *heap);
void tt_collect_twice(struct karena_heap *heap);

/* Runs @n threads to their end. */
void tt_threads(unsigned int n, void (*fn)(struct tt_thread *), void *arg);

void tt_model(void);
void tt_mutators(void);
void tt_list(void);
void tt_deep_tree(void);
void tt_wide_fan(void);
void tt_random_graph(void);
void tt_all_garbage(void);
void tt_no_garbage(void);
void tt_limit(void);

#endif /* _KARENA_TORTURE_H */
