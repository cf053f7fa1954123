/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites have in common: random numbers from a seed that is printed,
 * objects that know what they must hold, threads that are bound to a CPU, and
 * the check that a heap has given everything back.
 *
 * Threads other than the test's own count errors and leave it to the test to
 * report them, as an assertion that fails ends the thread it is in.
 */
#ifndef _KARENA_TEST_H
#define _KARENA_TEST_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/prandom.h>

#include "kmod/observe/stats.h"

/* Detectors make each step ten times as slow, or worse. */
#define KT_SLOW (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN))

/* An object and what it was filled with. */
struct kt_object {
	u8 *addr;
	size_t size;
	u32 id;
};

struct kt_thread {
	int (*fn)(struct kt_thread *thread);
	void *arg;
	unsigned int index;		/* among those started together */
	unsigned int cpu;
	struct rnd_state rnd;
	int errors;			/* what fn returned */
	struct task_struct *task;
	struct completion done;
};

/* Steps of a test: @full, less with detectors, more with the parameter long=1. */
unsigned int kt_steps(unsigned int full);

/* Starts random numbers of a test; says with which seed. */
void kt_seed(struct kunit *test, struct rnd_state *rnd);
u32 kt_below(struct rnd_state *rnd, u32 n);
size_t kt_any_size(struct rnd_state *rnd);

/* A heap that goes with the test; @limit in bytes, 0 for none. */
struct karena_heap *kt_heap(struct kunit *test, u64 limit);
void kt_put_heap(struct kunit *test, struct karena_heap *heap);

/* Numbers of a heap when its worker has nothing left to do. */
void kt_info(struct karena_heap *heap, struct karena_heap_info *info);
void kt_expect_live(struct kunit *test, struct karena_heap *heap, u64 live);

/* Nothing is live; caches can be emptied, and then nothing is held. */
void kt_expect_empty(struct kunit *test, struct karena_heap *heap);

void kt_fill(const struct kt_object *object);
bool kt_intact(const struct kt_object *object);
static inline bool kt_zeroed(const void *addr, size_t size)
{
	return !memchr_inv(addr, 0, size);
}

/*
 * The owner's number in an object's first 8 bytes, 0 while nobody has it.
 * Claiming one that somebody has, or giving up one that somebody else has,
 * returns false: it was handed out twice.
 */
bool kt_claim(void *object, unsigned long owner);
bool kt_disclaim(void *object, unsigned long owner);

/* Runs @fn on a CPU, and returns what it does. */
int kt_on_cpu(struct kunit *test, unsigned int cpu, int (*fn)(struct kt_thread *),
	      void *arg);

/* Runs @n threads at once, spread over the CPUs; returns the sum of their errors. */
int kt_threads(struct kunit *test, unsigned int n, int (*fn)(struct kt_thread *),
	       void *arg);

/* The central that serves objects of a size, after one was allocated. */
static inline struct karena_central *kt_central(struct karena_heap *heap, size_t size)
{
	return heap->central[KARENA_SPC(karena_size_to_class(size), 0)];
}

/* Objects in the magazines of a CPU, seen while it does nothing with them. */
static inline unsigned int kt_cached(struct karena_mcache *mc)
{
	return mc->top - mc->loaded->slot + mc->previous->nr;
}

#endif /* _KARENA_TEST_H */
