// SPDX-License-Identifier: GPL-2.0
/*
 * Pools: what was put there is had again, by one at a time, and is dropped once when nobody
 * wanted it for two cycles, also by threads that sleep; objects of the heap live as long.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <karena.h>

#include "heap.h"
#include "tap.h"

#define MOST	3000u
#define THREADS	4u

struct thing {
	__u64 owner;			/* 0: in the pool */
};

/* Numbers of all things of a case. */
static unsigned int made, dropped, errors;

static unsigned int count_of(const unsigned int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void count(unsigned int *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void claim(struct thing *thing, __u64 owner)
{
	if (__atomic_exchange_n(&thing->owner, owner, __ATOMIC_RELAXED))
		count(&errors);
}

static void disclaim(struct thing *thing, __u64 owner)
{
	if (__atomic_exchange_n(&thing->owner, 0, __ATOMIC_RELAXED) != owner)
		count(&errors);
}

static void *make_thing(void *arg)
{
	(void)arg;
	count(&made);
	return calloc(1, sizeof(struct thing));
}

static void drop_thing(void *object, void *arg)
{
	(void)arg;
	claim(object, ~0ULL);
	count(&dropped);
	free(object);
}

static struct karena *open_heap(unsigned int flags)
{
	struct karena_options opts = { .window = WINDOW, .name = "pools", .flags = flags };
	struct karena *heap = karena_open(&opts);

	check(heap);
	made = 0;
	dropped = 0;
	errors = 0;
	return heap;
}

static struct karena_pool *new_pool(struct karena *heap)
{
	struct karena_pool_options opts = { make_thing, drop_thing, NULL };
	struct karena_pool *pool = heap ? karena_pool_create(heap, &opts) : NULL;

	check(pool);
	return pool;
}

static void end_pool(struct karena_pool *pool, struct karena *heap)
{
	karena_pool_destroy(pool);
	check_eq(errors, 0);
	check_eq(dropped, made);
	karena_close(heap);
}

/* --- one thread and a model --- */

struct model {
	struct karena *heap;
	struct karena_pool *pool;
	struct rng rng;
	struct thing *out[MOST];
	unsigned int nr_out;
	unsigned int nr_in[2];		/* put since the last cycle, and before */
};

static void model_get(struct model *m)
{
	unsigned int before = made;
	struct thing *thing = karena_pool_get(m->pool);

	if (!check(thing))
		return;
	claim(thing, 1);
	m->out[m->nr_out++] = thing;
	/* Made only if nothing is there; newer ones come first. */
	check_eq(made - before, !m->nr_in[0] && !m->nr_in[1]);
	if (m->nr_in[0])
		m->nr_in[0]--;
	else if (m->nr_in[1])
		m->nr_in[1]--;
}

static void model_put(struct model *m, unsigned int at)
{
	struct thing *thing = m->out[at];

	m->out[at] = m->out[--m->nr_out];
	disclaim(thing, 1);
	karena_pool_put(m->pool, thing);
	m->nr_in[0]++;
}

static void model_age(struct model *m)
{
	unsigned int before = dropped;

	if (rng_below(&m->rng, 2))
		karena_pool_age(m->pool);
	else
		check_eq(karena_gc(m->heap), 0);
	check_eq(dropped - before, m->nr_in[1]);
	m->nr_in[1] = m->nr_in[0];
	m->nr_in[0] = 0;
}

static void model_step(struct model *m)
{
	unsigned int n = rng_below(&m->rng, 400), i;

	if (!rng_below(&m->rng, 10))
		model_age(m);
	for (i = 0; n % 2 && i < n && m->nr_out < MOST; i++)
		model_get(m);
	for (i = 0; !(n % 2) && i < n && m->nr_out; i++)
		model_put(m, rng_below(&m->rng, m->nr_out));
}

static void against_model(void)
{
	unsigned int i, steps = tap_count(600, 10000);
	static struct model m;

	m = (struct model){ .heap = open_heap(KARENA_COLLECT) };
	m.pool = new_pool(m.heap);
	rng_init(&m.rng, 1);
	if (!m.pool)
		return;
	/* It begins with the first cycle that it knows of. */
	model_get(&m);
	for (i = 0; i < steps && !tap_failed(); i++)
		model_step(&m);
	while (m.nr_out)
		model_put(&m, 0);
	end_pool(m.pool, m.heap);
}

/* --- threads --- */

static bool over;

static void *use_pool(void *arg)
{
	unsigned int i, j, n, steps = tap_count(60000, 600000);
	struct karena_pool *pool = arg;
	struct thing *thing[200];
	struct rng rng;

	rng_init(&rng, as_addr(&rng));
	for (i = 0; i < steps; i += n) {
		n = 1 + rng_below(&rng, rng_below(&rng, 20) ? 8 : 200);
		for (j = 0; j < n; j++) {
			thing[j] = karena_pool_get(pool);
			claim(thing[j], as_addr(&rng));
		}
		for (j = 0; j < n; j++) {
			disclaim(thing[j], as_addr(&rng));
			karena_pool_put(pool, thing[j]);
		}
	}
	return NULL;
}

static void *age_all_the_time(void *arg)
{
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		karena_pool_age(arg);
		usleep(50);
	}
	return NULL;
}

/* Nobody gets what another one has, while all shelves are taken again and again. */
static void threads(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct karena_pool *pool = new_pool(heap);
	pthread_t thread[THREADS], ager;
	unsigned int i;

	if (!pool)
		return;
	over = false;
	check_eq(pthread_create(&ager, NULL, age_all_the_time, pool), 0);
	for (i = 0; i < THREADS; i++)
		check_eq(pthread_create(&thread[i], NULL, use_pool, pool), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	pthread_join(ager, NULL);
	tap_diag("%u made, %u dropped while they were at it", made, dropped);
	end_pool(pool, heap);
}

static pthread_barrier_t barrier;

static void *put_and_sleep(void *arg)
{
	struct thing *thing[50];
	unsigned int i;

	for (i = 0; i < 50; i++)
		thing[i] = karena_pool_get(arg);
	for (i = 0; i < 50; i++)
		karena_pool_put(arg, thing[i]);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void sleepers(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct karena_pool *pool = new_pool(heap);
	pthread_t thread;

	if (!pool)
		return;
	pthread_barrier_init(&barrier, NULL, 2);
	check_eq(pthread_create(&thread, NULL, put_and_sleep, pool), 0);
	pthread_barrier_wait(&barrier);
	check_eq(karena_gc(heap), 0);
	check_eq(dropped, 0);
	check_eq(karena_gc(heap), 0);
	if (dropped)
		check_eq(dropped, 50);
	else
		tap_skip("no membarrier(2)");
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	end_pool(pool, heap);
}

/* What a thread leaves is for others. */
static void heirs(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct karena_pool *pool = new_pool(heap);

	if (!pool)
		return;
	pthread_barrier_init(&barrier, NULL, 1);
	run_thread(put_and_sleep, pool);
	run_thread(put_and_sleep, pool);
	check_eq(made, 50);
	end_pool(pool, heap);
}

/* --- objects of the heap, and children --- */

static unsigned long long live(struct karena *heap)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return check_eq(karena_stats(heap, &info), 0) ? info.live_objects : ~0ULL;
}

struct place {
	struct karena *heap;
	struct karena_pool *pool;
};

/* In a thread that ends, so that its stack refers to nothing. */
static void *put_objects(void *arg)
{
	struct place *place = arg;
	unsigned int i;

	for (i = 0; i < 500; i++)
		karena_pool_put(place->pool, karena_alloc(place->heap, 32));
	return NULL;
}

static void objects_live(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct place place = { heap, heap ? karena_pool_create(heap, NULL) : NULL };

	if (!check(place.pool))
		return;
	check(!karena_pool_get(place.pool));
	run_thread(put_objects, &place);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 500);
	check_eq(karena_gc(heap), 0);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 0);
	karena_pool_destroy(place.pool);
	karena_close(heap);
}

static void in_child(void *arg)
{
	struct thing *thing = karena_pool_get(arg);

	check_eq(count_of(&made), 2);
	karena_pool_put(arg, thing);
	check(karena_pool_get(arg) == (void *)thing);
	karena_pool_put(arg, thing);
	karena_pool_age(arg);
	karena_pool_age(arg);
	check_eq(count_of(&dropped), 1);
}

static void children(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct karena_pool *pool = new_pool(heap);
	struct thing *thing;

	if (!pool)
		return;
	thing = karena_pool_get(pool);
	karena_pool_put(pool, thing);
	tap_isolate(in_child, pool);
	check(karena_pool_get(pool) == (void *)thing);
	karena_pool_put(pool, thing);
	end_pool(pool, heap);
}

static const struct tap_case cases[] = {
	{ "a model of a pool", against_model },
	{ "a pool of threads", threads },
	{ "threads that sleep", sleepers },
	{ "threads that end", heirs },
	{ "objects in a pool live", objects_live },
	{ "a pool of a child", children },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
