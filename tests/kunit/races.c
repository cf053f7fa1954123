// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that CPUs which allocate and free across each other get no object
 * twice and lose none: objects pass from thread to thread through rings, and at
 * random through a table, while one more thread empties all caches and reads
 * the numbers.  Threads are bound, two to a CPU, so that they also interrupt
 * each other.
 *
 * Each object carries its owner's number, claimed by compare-and-exchange, and
 * is filled from it; whoever frees it checks both.  With KCSAN, an object that
 * two have at once is a data race as well.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/slab.h>

#include "test.h"

#define RING	64
#define TABLE	256

/* From one thread to the next. */
struct ring {
	unsigned int head;	/* written by the producer */
	unsigned int tail;	/* written by the consumer */
	struct kt_object object[RING];
};

struct crowd {
	struct karena_heap *heap;
	size_t (*size)(struct rnd_state *rnd);
	unsigned int flags;
	unsigned int workers;
	unsigned int steps;
	atomic_t working;
	struct ring *rings;
	void *table[TABLE];
};

/* Objects that have room for it are claimed; all are filled. */
#define CLAIM_SIZE	(2 * sizeof(unsigned long))

static struct kt_object body(const struct kt_object *object)
{
	struct kt_object b = *object;

	if (b.size >= CLAIM_SIZE) {
		b.addr += sizeof(unsigned long);
		b.size -= sizeof(unsigned long);
	}
	return b;
}

static bool crowd_alloc(struct crowd *c, struct kt_thread *thread, struct kt_object *object)
{
	struct kt_object b;

	object->size = c->size(&thread->rnd);
	object->id = prandom_u32_state(&thread->rnd) | 1;
	object->addr = karena_alloc(c->heap, object->size, c->flags, GFP_KERNEL);
	if (!object->addr)
		return false;
	if (object->size >= CLAIM_SIZE && !kt_claim(object->addr, object->id))
		return false;
	b = body(object);
	kt_fill(&b);
	return true;
}

static bool crowd_free(struct crowd *c, const struct kt_object *object)
{
	struct kt_object b = body(object);

	return kt_intact(&b) &&
	       (object->size < CLAIM_SIZE || kt_disclaim(object->addr, object->id)) &&
	       karena_free(c->heap, object->addr);
}

static bool ring_put(struct ring *ring, const struct kt_object *object)
{
	/* Pairs with the release in ring_get(): the slot is free. */
	if (ring->head - smp_load_acquire(&ring->tail) == RING)
		return false;
	ring->object[ring->head % RING] = *object;
	/* Pairs with the acquire in ring_get(): the object is there, and filled. */
	smp_store_release(&ring->head, ring->head + 1);
	return true;
}

static bool ring_get(struct ring *ring, struct kt_object *object)
{
	/* Pairs with the release in ring_put(). */
	if (smp_load_acquire(&ring->head) == ring->tail)
		return false;
	*object = ring->object[ring->tail % RING];
	/* Pairs with the acquire in ring_put(). */
	smp_store_release(&ring->tail, ring->tail + 1);
	return true;
}

/* Empties all caches and reads the numbers until the others are done. */
static int disturb(struct crowd *c)
{
	struct karena_heap_stats stats;

	while (atomic_read(&c->working)) {
		karena_reclaim(c->heap);
		karena_heap_stats(c->heap, &stats);
		usleep_range(50, 500);
	}
	return 0;
}

static int pass_on(struct kt_thread *thread)
{
	struct crowd *c = thread->arg;
	struct ring *out, *in;
	struct kt_object object;
	unsigned int i;
	int errors = 0;

	if (thread->index == c->workers)
		return disturb(c);
	out = &c->rings[thread->index];
	in = &c->rings[(thread->index + 1) % c->workers];
	for (i = 0; i < c->steps; i++) {
		errors += !crowd_alloc(c, thread, &object);
		if (!ring_put(out, &object))
			errors += !crowd_free(c, &object);
		if (kt_below(&thread->rnd, 4) && ring_get(in, &object))
			errors += !crowd_free(c, &object);
		cond_resched();
	}
	atomic_dec(&c->working);
	return errors;
}

static struct crowd *new_crowd(struct kunit *test, size_t (*size)(struct rnd_state *),
			       unsigned int flags, unsigned int steps)
{
	struct crowd *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, c);
	kt_seed(test, &rnd);
	c->heap = kt_heap(test, 0);
	c->size = size;
	c->flags = flags;
	c->steps = kt_steps(steps);
	c->workers = 2 * num_online_cpus();
	atomic_set(&c->working, c->workers);
	c->rings = kunit_kcalloc(test, c->workers, sizeof(*c->rings), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->rings);
	return c;
}

static void pass_objects(struct kunit *test, size_t (*size)(struct rnd_state *),
			 unsigned int flags, unsigned int steps)
{
	struct crowd *c = new_crowd(test, size, flags, steps);
	struct kt_object object;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, kt_threads(test, c->workers + 1, pass_on, c), 0);
	for (i = 0; i < c->workers; i++)
		while (ring_get(&c->rings[i], &object))
			KUNIT_EXPECT_TRUE(test, crowd_free(c, &object));
	kt_expect_empty(test, c->heap);
}

static size_t small_size(struct rnd_state *rnd)
{
	return 16 << kt_below(rnd, 5);
}

static size_t tiny_size(struct rnd_state *rnd)
{
	return 1 + kt_below(rnd, 15);
}

static size_t large_size(struct rnd_state *rnd)
{
	return kt_below(rnd, 4) ? 32769 + kt_below(rnd, 32768) : 65537 + kt_below(rnd, 100000);
}

static void passed_on_small(struct kunit *test)
{
	pass_objects(test, small_size, 0, 60000);
}

static void passed_on_tiny(struct kunit *test)
{
	pass_objects(test, tiny_size, KARENA_NOSCAN, 60000);
}

static void passed_on_large(struct kunit *test)
{
	pass_objects(test, large_size, 0, 600);
}

static void passed_on_mixed(struct kunit *test)
{
	pass_objects(test, kt_any_size, KARENA_NOSCAN, 6000);
}

/* Objects allocated in bulk; the list of them is an object of the heap, too. */
struct batch {
	unsigned long owner;
	unsigned int n;
	size_t size;
	unsigned long *objects[];
};

static bool batch_free(struct crowd *c, struct batch *b)
{
	unsigned int i;
	bool ok = true;

	for (i = 0; i < b->n; i++)
		ok &= kt_disclaim(b->objects[i], b->owner + i);
	ok &= !karena_free_bulk(c->heap, b->n, (void **)b->objects);
	return karena_free(c->heap, b) && ok;
}

static struct batch *batch_new(struct crowd *c, struct kt_thread *thread)
{
	unsigned int n = kt_below(&thread->rnd, 200), i;
	struct batch *b = karena_alloc(c->heap, struct_size(b, objects, n), 0, GFP_KERNEL);

	if (!b)
		return NULL;
	b->owner = prandom_u32_state(&thread->rnd) | 1;
	b->size = small_size(&thread->rnd);
	b->n = karena_alloc_bulk(c->heap, b->size, c->flags, GFP_KERNEL, n,
				 (void **)b->objects);
	for (i = 0; i < b->n; i++)
		if (!kt_claim(b->objects[i], b->owner + i))
			return NULL;
	return b->n == n ? b : NULL;
}

/* Puts a batch into the table and frees the one that was there. */
static int exchange(struct kt_thread *thread)
{
	struct crowd *c = thread->arg;
	struct batch *b;
	unsigned int i;
	int errors = 0;

	if (thread->index == c->workers)
		return disturb(c);
	for (i = 0; i < c->steps; i++) {
		b = batch_new(c, thread);
		errors += !b;
		b = xchg(&c->table[kt_below(&thread->rnd, TABLE)], b);
		errors += b && !batch_free(c, b);
		cond_resched();
	}
	atomic_dec(&c->working);
	return errors;
}

static void exchanged_in_bulk(struct kunit *test)
{
	struct crowd *c = new_crowd(test, small_size, 0, 4000);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, kt_threads(test, c->workers + 1, exchange, c), 0);
	for (i = 0; i < TABLE; i++)
		if (c->table[i])
			KUNIT_EXPECT_TRUE(test, batch_free(c, c->table[i]));
	kt_expect_empty(test, c->heap);
}

/* Makes and fills a heap of its own, with the neighbours doing the same. */
static int come_and_go(struct kt_thread *thread)
{
	struct crowd *c = thread->arg;
	struct karena_heap *heap;
	unsigned int i, k;
	int errors = 0;

	for (i = 0; i < c->steps; i++) {
		heap = karena_heap_create("races", NULL);
		if (IS_ERR(heap))
			return errors + 1;
		for (k = 0; k < 50; k++)
			errors += !karena_alloc(heap, kt_any_size(&thread->rnd), k % 4,
						GFP_KERNEL);
		karena_heap_put(heap);
		cond_resched();
	}
	return errors;
}

static void heaps_come_and_go(struct kunit *test)
{
	struct crowd *c = new_crowd(test, NULL, 0, 30);

	KUNIT_EXPECT_EQ(test, kt_threads(test, c->workers, come_and_go, c), 0);
}

/* Many wrong frees at once, of objects that others are using: all are refused. */
static int free_wrongly(struct kt_thread *thread)
{
	struct crowd *c = thread->arg;
	struct kt_object object;
	unsigned int i;
	int errors = 0;

	for (i = 0; i < c->steps; i++) {
		errors += !crowd_alloc(c, thread, &object);
		errors += karena_free(c->heap, c->table[0] + 8 + kt_below(&thread->rnd, 40));
		errors += karena_free(c->heap, object.addr + 1);
		errors += !crowd_free(c, &object);
		cond_resched();
	}
	return errors;
}

static void wrong_frees_at_once(struct kunit *test)
{
	struct crowd *c = new_crowd(test, small_size, 0, 20000);
	struct karena_heap_info info;

	c->table[0] = karena_alloc(c->heap, 48, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->table[0]);
	KUNIT_EXPECT_EQ(test, kt_threads(test, c->workers, free_wrongly, c), 0);
	kt_info(c->heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_INTERIOR],
			2ULL * c->workers * c->steps);
	KUNIT_EXPECT_TRUE(test, karena_free(c->heap, c->table[0]));
	kt_expect_empty(test, c->heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_SLOW(passed_on_small),
	KUNIT_CASE_SLOW(passed_on_tiny),
	KUNIT_CASE_SLOW(passed_on_large),
	KUNIT_CASE_SLOW(passed_on_mixed),
	KUNIT_CASE_SLOW(exchanged_in_bulk),
	KUNIT_CASE_SLOW(heaps_come_and_go),
	KUNIT_CASE_SLOW(wrong_frees_at_once),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_races",
	.test_cases = cases,
};

kunit_test_suite(suite);
