// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that a pool hands out what was put into it, to one at a time, whoever interrupts
 * whom; and that it drops each object once, when it was there for two cycles and nobody
 * wanted it.
 */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/slab.h>

#include "test.h"

#define MOST		600u
#define STEPS		30000u
#define THREAD_STEPS	30000u

/* What a pool of the tests is of. */
struct thing {
	unsigned long owner;		/* 0: in the pool */
};

/* Interrupts one of the threads. */
struct interrupter {
	struct hrtimer timer;
	struct world *w;
};

#define THREADS		4u

struct world {
	struct kunit *test;
	struct karena_pool *pool;
	atomic_t made;
	atomic_t dropped;
	atomic_t errors;
	bool over;
	struct interrupter interrupter[THREADS];
};

static void *make_thing(void *arg, gfp_t gfp)
{
	struct thing *thing = kzalloc(sizeof(*thing), gfp);
	struct world *w = arg;

	if (thing)
		atomic_inc(&w->made);
	return thing;
}

static void drop_thing(void *object, void *arg)
{
	struct thing *thing = object;
	struct world *w = arg;

	if (!kt_claim(thing, ~0UL))
		atomic_inc(&w->errors);
	atomic_inc(&w->dropped);
	kfree(thing);
}

static struct karena_pool *new_pool(struct kunit *test, struct world *w, struct karena_heap *heap)
{
	struct karena_pool_attr attr = {
		.make = make_thing, .drop = drop_thing, .arg = w, .heap = heap,
	};

	w->test = test;
	w->pool = karena_pool_create(&attr);
	KUNIT_ASSERT_FALSE(test, IS_ERR(w->pool));
	return w->pool;
}

static void end_pool(struct kunit *test, struct world *w)
{
	karena_pool_destroy(w->pool);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->errors), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->dropped), atomic_read(&w->made));
}

/* --- one thread and a model: who is in the pool, and for how long --- */

struct model {
	struct world w;
	struct thing *out[MOST];
	unsigned int nr_out;
	unsigned int nr_in[2];		/* put since the last cycle, and before */
};

static void model_get(struct kunit *test, struct model *m)
{
	int made = atomic_read(&m->w.made);
	struct thing *thing = karena_pool_get(m->w.pool, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, thing);
	KUNIT_EXPECT_TRUE(test, kt_claim(thing, 1));
	m->out[m->nr_out++] = thing;
	/* On one CPU: made only if nothing is there, newer ones first. */
	KUNIT_EXPECT_EQ(test, atomic_read(&m->w.made) - made, !m->nr_in[0] && !m->nr_in[1]);
	if (m->nr_in[0])
		m->nr_in[0]--;
	else if (m->nr_in[1])
		m->nr_in[1]--;
}

static void model_put(struct kunit *test, struct model *m, unsigned int at)
{
	struct thing *thing = m->out[at];

	m->out[at] = m->out[--m->nr_out];
	KUNIT_EXPECT_TRUE(test, kt_disclaim(thing, 1));
	karena_pool_put(m->w.pool, thing);
	m->nr_in[0]++;
}

static void model_age(struct kunit *test, struct model *m)
{
	int dropped = atomic_read(&m->w.dropped);

	karena_pool_age(m->w.pool);
	KUNIT_EXPECT_EQ(test, atomic_read(&m->w.dropped) - dropped, m->nr_in[1]);
	m->nr_in[1] = m->nr_in[0];
	m->nr_in[0] = 0;
}

static void model_step(struct kunit *test, struct model *m, struct rnd_state *rnd)
{
	unsigned int n = kt_below(rnd, 100), i;

	if (!kt_below(rnd, 200))
		model_age(test, m);
	for (i = 0; n % 2 && i < n && m->nr_out < MOST; i++)
		model_get(test, m);
	for (i = 0; !(n % 2) && i < n && m->nr_out; i++)
		model_put(test, m, kt_below(rnd, m->nr_out));
}

static int model_thread(struct kt_thread *thread)
{
	struct model *m = thread->arg;
	struct kunit *test = m->w.test;
	unsigned int i, steps = kt_steps(STEPS) / 100;

	for (i = 0; i < steps; i++)
		model_step(test, m, &thread->rnd);
	while (m->nr_out)
		model_put(test, m, 0);
	model_age(test, m);
	model_age(test, m);
	return atomic_read(&m->w.made) != atomic_read(&m->w.dropped);
}

static void pool_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	new_pool(test, &m->w, NULL);
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, cpumask_first(cpu_online_mask), model_thread, m), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&m->w.made), 0);
	end_pool(test, &m->w);
}

/* --- many threads, interrupts, and cycles all the time --- */

static void use_pool(struct world *w, unsigned int n, unsigned long owner, gfp_t gfp)
{
	struct thing *thing[8];
	unsigned int i;

	for (i = 0; i < n; i++) {
		thing[i] = karena_pool_get(w->pool, gfp);
		if (thing[i] && !kt_claim(thing[i], owner))
			atomic_inc(&w->errors);
	}
	for (i = 0; i < n; i++) {
		if (!thing[i])
			continue;
		if (!kt_disclaim(thing[i], owner))
			atomic_inc(&w->errors);
		karena_pool_put(w->pool, thing[i]);
	}
}

static enum hrtimer_restart use_in_interrupt(struct hrtimer *timer)
{
	struct interrupter *in = container_of(timer, struct interrupter, timer);

	use_pool(in->w, 3, 1000 + smp_processor_id(), GFP_ATOMIC);
	hrtimer_forward_now(timer, us_to_ktime(KT_SLOW ? 300 : 70));
	return HRTIMER_RESTART;
}

static void age(struct world *w)
{
	while (!READ_ONCE(w->over)) {
		karena_pool_age(w->pool);
		cond_resched();
	}
}

static int busy_thread(struct kt_thread *thread)
{
	struct world *w = thread->arg;
	struct interrupter *in = &w->interrupter[thread->index];
	unsigned int i, steps = kt_steps(THREAD_STEPS);

	if (!thread->index) {
		age(w);
		return 0;
	}
	in->w = w;
	hrtimer_setup(&in->timer, use_in_interrupt, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
	hrtimer_start(&in->timer, us_to_ktime(100), HRTIMER_MODE_REL_PINNED);
	for (i = 0; i < steps; i++) {
		use_pool(w, 1 + kt_below(&thread->rnd, 8), 1 + thread->index, GFP_KERNEL);
		if (i % 64 == 0)
			cond_resched();
	}
	hrtimer_cancel(&in->timer);
	/* The last one lets the first one end. */
	if (thread->index == THREADS - 1)
		WRITE_ONCE(w->over, true);
	return 0;
}

static void pool_threads(struct kunit *test)
{
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	new_pool(test, w, NULL);
	KUNIT_EXPECT_EQ(test, kt_threads(test, THREADS, busy_thread, w), 0);
	kunit_info(test, "%d made, %d dropped while they were in use\n", atomic_read(&w->made),
		   atomic_read(&w->dropped));
	end_pool(test, w);
}

/* --- cycles of a heap --- */

static void pool_cycles(struct kunit *test)
{
	struct karena_heap_attr attr = { .collect = true };
	struct karena_heap *heap = karena_heap_create("pool", &attr);
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, w);
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	new_pool(test, w, heap);
	use_pool(w, 8, 1, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, karena_collect(heap, true), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->dropped), 0);
	/* The pool is aged by a worker, some time after the cycle, and once for several. */
	for (i = 0; i < 10000 && atomic_read(&w->dropped) < 8; i++) {
		KUNIT_EXPECT_EQ(test, karena_collect(heap, true), 0);
		fsleep(1000);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&w->dropped), 8);
	end_pool(test, w);
	karena_heap_put(heap);
}

static void pool_errors(struct kunit *test)
{
	struct karena_pool_attr attr = { .make = make_thing };
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	KUNIT_EXPECT_EQ(test, PTR_ERR(karena_pool_create(&attr)), -EINVAL);
	karena_pool_destroy(NULL);
	attr = (struct karena_pool_attr){ .drop = drop_thing, .arg = w };
	w->pool = karena_pool_create(&attr);
	KUNIT_ASSERT_FALSE(test, IS_ERR(w->pool));
	KUNIT_EXPECT_NULL(test, karena_pool_get(w->pool, GFP_KERNEL));
	karena_pool_destroy(w->pool);
}

static struct kunit_case pool_cases[] = {
	KUNIT_CASE(pool_model),
	KUNIT_CASE(pool_threads),
	KUNIT_CASE(pool_cycles),
	KUNIT_CASE(pool_errors),
	{}
};

static struct kunit_suite pool_suite = {
	.name = "karena_pool",
	.test_cases = pool_cases,
};

kunit_test_suite(pool_suite);
