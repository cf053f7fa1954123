// SPDX-License-Identifier: GPL-2.0
/*
 * Scopes against a model: who has which bytes, what is in them, and what has to live.
 * Scopes of both kinds are nested at random, left by longjmp() at random, and collected
 * meanwhile.  The model is in memory from malloc(), which is not searched, so that nothing
 * lives because a test remembers it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

#include "heap.h"
#include "kill.h"
#include "model.h"
#include "tap.h"

#define MOST_DEPTH	12u
#define MOST_OBJECTS	256u	/* of a scope that the model remembers */
#define KEPT		64u
#define UNIT		16u
#define WITNESS		48u

/* The errno of a call that has to fail, 0 when it did not. */
#define error_of(failed) (errno = 0, (failed) ? errno : 0)

static struct karena *open_heap(unsigned int flags)
{
	struct karena_options opts = { .window = WINDOW, .name = "scopes", .flags = flags };
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static struct karena_heap_info info_of(struct karena *heap)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	check_eq(karena_stats(heap, &info), 0);
	return info;
}

/* --- the model --- */

/* An object; its first word refers to a witness, which nothing else does. */
struct object {
	__u64 addr;
	__u64 size;
	__u64 seed;
};

struct level {
	struct karena_scope *scope;
	unsigned int flags;
	jmp_buf env;
	unsigned int steps;
	unsigned int nr;
	struct object object[MOST_OBJECTS];
	void **refs;		/* in the heap: what keeps them, if the scope does not */
};

struct model {
	struct karena *heap;
	struct space space;
	struct rng rng;
	__u64 seed;
	unsigned int left;		/* steps until all ends */
	unsigned int depth;
	bool collected;
	bool over;
	struct object kept[KEPT];
	struct level level[MOST_DEPTH];
};

/* A root, in heaps that are collected: an object with references to those that are kept. */
static void **table;

static __u64 random_size(struct rng *rng)
{
	if (!rng_below(rng, 60))
		return 1 + rng_below(rng, 64 * KIB);
	if (!rng_below(rng, 10))
		return 1 + rng_below(rng, 3000);
	return 1 + rng_below(rng, 200);
}

static __u64 bytes_of(const struct object *object)
{
	return (object->size + UNIT - 1) & -(__u64)UNIT;
}

static void forget(struct model *m, struct object *object)
{
	if (object->size)
		space_give(&m->space, object->addr, bytes_of(object));
	object->size = 0;
}

static void **word_of(const struct object *object)
{
	return as_ptr(object->addr);
}

static bool is_right(const struct object *object)
{
	if (object->size < UNIT)
		return filled(as_ptr(object->addr), object->size, object->seed);
	return filled((char *)as_ptr(object->addr) + 8, object->size - 8, object->seed) &&
	       filled(*word_of(object), WITNESS, ~object->seed);
}

static void check_object(const struct object *object)
{
	if (object->size && !is_right(object))
		check(!"an object is as it was written");
}

static void check_level(struct model *m, unsigned int depth)
{
	unsigned int i;

	for (i = 0; i < m->level[depth].nr; i++)
		check_object(&m->level[depth].object[i]);
}

static void write_object(struct model *m, const struct object *object)
{
	void *witness;

	if (object->size < UNIT) {
		fill(as_ptr(object->addr), object->size, object->seed);
		return;
	}
	fill((char *)as_ptr(object->addr) + 8, object->size - 8, object->seed);
	witness = karena_alloc(m->heap, WITNESS);
	if (!check(witness))
		return;
	fill(witness, WITNESS, ~object->seed);
	*word_of(object) = witness;
}

static bool overlaps(const struct object *a, const struct object *b)
{
	return a->size && b->size && a->addr < b->addr + bytes_of(b) &&
	       b->addr < a->addr + bytes_of(a);
}

/* For the one who has to find out why. */
static void tell_whose(const struct model *m, const struct object *object)
{
	unsigned int i, j;

	for (i = 0; i < KEPT; i++)
		if (overlaps(object, &m->kept[i]))
			tap_diag("it was kept, %llu bytes", m->kept[i].size);
	for (i = 0; i <= m->depth; i++)
		for (j = 0; j < m->level[i].nr; j++)
			if (overlaps(object, &m->level[i].object[j]))
				tap_diag("of level %u of %u, flags %u: %llu bytes", i, m->depth,
					 m->level[i].flags, m->level[i].object[j].size);
}

static void allocate(struct model *m, struct level *level)
{
	struct object *object = &level->object[level->nr];
	char *p;

	if (level->nr == MOST_OBJECTS)
		return;
	object->size = random_size(&m->rng);
	object->seed = ++m->seed;
	p = karena_scope_alloc(level->scope, object->size);
	object->addr = as_addr(p);
	if (!check(p) || !check(object->addr % UNIT == 0) || !check(zeroed(p, object->size)) ||
	    !check(space_take(&m->space, object->addr, bytes_of(object)))) {
		tap_diag("%llu bytes, flags %u", object->size, level->flags);
		tell_whose(m, object);
		object->size = 0;
		return;
	}
	if (level->refs)
		level->refs[level->nr] = p;
	level->nr++;
	write_object(m, object);
}

/* Some of a scope that may leave them live on, in the place of others. */
static void keep(struct model *m, const struct object *object)
{
	unsigned int at = rng_below(&m->rng, KEPT);

	check_object(&m->kept[at]);
	forget(m, &m->kept[at]);
	m->kept[at] = *object;
	karena_store(m->heap, &table[at], as_ptr(object->addr));
}

static void end_level(struct model *m, unsigned int depth, bool may_keep)
{
	struct level *level = &m->level[depth];
	unsigned int i;

	if (level->flags & KARENA_SCOPE_LOCAL || rng_below(&m->rng, 2))
		may_keep = false;
	for (i = 0; i < level->nr; i++)
		if (may_keep && !rng_below(&m->rng, 3))
			keep(m, &level->object[i]);
		else
			forget(m, &level->object[i]);
	level->nr = 0;
}

/* --- what is done at random --- */

static void run_level(struct model *m, unsigned int depth);

static void jump(struct model *m, unsigned int depth)
{
	unsigned int to = rng_below(&m->rng, depth), i;

	for (i = depth; i > to; i--)
		end_level(m, i, false);
	m->depth = to;
	longjmp(m->level[to].env, 1);
}

static void step(struct model *m, unsigned int depth)
{
	unsigned int what = rng_below(&m->rng, 100);

	if (what < 70)
		allocate(m, &m->level[depth]);
	else if (what < 80)
		allocate(m, &m->level[rng_below(&m->rng, depth + 1)]);
	else if (what < 92 && depth + 1 < MOST_DEPTH)
		run_level(m, depth + 1);
	else if (what < 95 && depth)
		jump(m, depth);
	else
		check_level(m, rng_below(&m->rng, depth + 1));
}

/* A scope in a frame of its own, of a size that varies; with the only reference to @refs. */
static __attribute__((noinline)) void run_level(struct model *m, unsigned int depth)
{
	struct level *level = &m->level[depth];
	struct karena_scope scope;
	void **volatile refs;
	char *frame = __builtin_alloca(16 + 16 * rng_below(&m->rng, 32));

	/* What a scope that was abandoned there left of itself is gone. */
	memset(frame, 0xff, 16);
	level->flags = m->collected ? rng_below(&m->rng, 3) : KARENA_SCOPE_LOCAL;
	if (!check_eq(karena_scope_open(&scope, m->heap, level->flags), 0))
		return;
	refs = level->flags || !m->collected ? NULL :
	       karena_alloc(m->heap, sizeof(*refs) * MOST_OBJECTS);
	level->refs = refs;
	level->scope = &scope;
	level->nr = 0;
	level->steps = 1 + rng_below(&m->rng, 60);
	m->depth = depth;
	setjmp(level->env);
	while (level->steps && m->left && !tap_failed()) {
		level->steps--;
		m->left--;
		step(m, depth);
	}
	check_level(m, depth);
	end_level(m, depth, true);
	karena_scope_close(&scope);
	m->depth = depth - 1;
	refs = NULL;
}

static void *run_model(void *arg)
{
	struct model *m = arg;

	while (m->left && !tap_failed())
		run_level(m, 0);
	__atomic_store_n(&m->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void *collect_all_the_time(void *arg)
{
	struct model *m = arg;

	while (!__atomic_load_n(&m->over, __ATOMIC_ACQUIRE))
		check_eq(karena_gc(m->heap), 0);
	return NULL;
}

static void check_kept(struct model *m)
{
	unsigned int i;

	for (i = 0; i < KEPT; i++) {
		check_object(&m->kept[i]);
		check(!m->kept[i].size || table[i] == as_ptr(m->kept[i].addr));
	}
}

static void model_ends(struct model *m)
{
	if (m->collected) {
		check_eq(karena_gc(m->heap), 0);
		check_kept(m);
		table = NULL;
		check_eq(karena_gc(m->heap), 0);
		check_eq(info_of(m->heap).live_objects, 0);
		return;
	}
	/* All that is left are the witnesses. */
	check(info_of(m->heap).live_bytes <= m->seed * WITNESS);
}

static void against_model(unsigned int flags, unsigned int steps)
{
	struct model *m = calloc(1, sizeof(*m));
	pthread_t collector;

	m->heap = open_heap(flags);
	m->left = steps;
	m->collected = flags & KARENA_COLLECT;
	rng_init(&m->rng, flags);
	if (!m->heap || !check(space_init(&m->space, as_addr(karena_base(m->heap)), WINDOW)))
		return;
	if (m->collected) {
		table = karena_alloc(m->heap, KEPT * sizeof(*table));
		check_eq(pthread_create(&collector, NULL, collect_all_the_time, m), 0);
	}
	run_thread(run_model, m);
	if (m->collected)
		pthread_join(collector, NULL);
	model_ends(m);
	space_exit(&m->space);
	karena_close(m->heap);
	free(m);
}

static void plain(void)
{
	against_model(0, tap_count(30000, 500000));
}

static void collected(void)
{
	against_model(KARENA_COLLECT, tap_count(20000, 300000));
}

static void with_barrier(void)
{
	against_model(KARENA_COLLECT | KARENA_BARRIER, tap_count(20000, 300000));
}

/* --- one thing at a time --- */

/* Whichever of them is first in the frame. */
static void of_one_frame(void)
{
	struct karena *heap = open_heap(0);
	struct karena_scope scope[2];
	char *a, *b, *more;
	int i;

	for (i = 0; heap && i < 2; i++) {
		check_eq(karena_scope_open(&scope[i], heap, KARENA_SCOPE_LOCAL), 0);
		a = karena_scope_alloc(&scope[i], 100);
		memset(a, 1, 100);
		check_eq(karena_scope_open(&scope[1 - i], heap, KARENA_SCOPE_LOCAL), 0);
		b = karena_scope_alloc(&scope[1 - i], 100);
		memset(b, 2, 100);
		more = karena_scope_alloc(&scope[i], 100);
		check(zeroed(more, 100));
		memset(more, 3, 100);
		karena_scope_close(&scope[1 - i]);
		check(a[0] == 1 && a[99] == 1 && more[0] == 3 && more[99] == 3);
		check(zeroed(karena_scope_alloc(&scope[i], 3000), 3000));
		karena_scope_close(&scope[i]);
	}
	karena_close(heap);
}

/* What one scope after the other has is the same memory. */
static void memory_is_used_again(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct karena_scope scope;
	void *first = NULL;
	__u64 allocs = 0;
	unsigned int i, n;

	for (i = 0; heap && i < 1000; i++) {
		check_eq(karena_scope_open(&scope, heap, KARENA_SCOPE_LOCAL), 0);
		for (n = 0; n < 50; n++)
			if (!n && !first)
				first = karena_scope_alloc(&scope, 64);
			else if (!n)
				check_eq(as_addr(karena_scope_alloc(&scope, 64)), as_addr(first));
			else
				check(karena_scope_alloc(&scope, 64));
		karena_scope_close(&scope);
		if (!i)
			allocs = info_of(heap).allocs;
	}
	check_eq(info_of(heap).allocs, allocs);
	karena_close(heap);
}

/* Where it is stored says whether an object lives on; if none does, it is used again. */
static void stores_are_seen(void)
{
	struct karena *heap = open_heap(KARENA_COLLECT);
	struct karena_scope scope;
	unsigned int i;
	void **object;
	__u64 first;

	if (!heap)
		return;
	table = karena_alloc(heap, KEPT * sizeof(*table));
	for (i = 0; i < 8; i++) {
		check_eq(karena_scope_open(&scope, heap, KARENA_SCOPE_STORES), 0);
		object = karena_scope_alloc(&scope, 64);
		first = as_addr(object);
		karena_store(heap, &object[0], object);
		karena_store(heap, &object[1], table);
		karena_store(heap, &table[1], table);
		if (i % 2)
			karena_move(heap, table, object, 8);
		karena_scope_close(&scope);
		check_eq(karena_scope_open(&scope, heap, KARENA_SCOPE_STORES), 0);
		object = karena_scope_alloc(&scope, 64);
		check_eq(as_addr(object) == first, !(i % 2));
		check(zeroed(object, 64));
		check(i % 2 == 0 || *(void **)table[0] == table[0]);
		karena_scope_close(&scope);
	}
	table = NULL;
	karena_close(heap);
}

static jmp_buf above;

static __attribute__((noinline)) void abandon(struct karena *heap, unsigned int depth)
{
	char *frame = __builtin_alloca(64 * (depth + 1));
	struct karena_scope scope[2];

	memset(frame, 0xff, 64);
	check_eq(karena_scope_open(&scope[0], heap, KARENA_SCOPE_LOCAL), 0);
	check_eq(karena_scope_open(&scope[1], heap, KARENA_SCOPE_LOCAL), 0);
	check(karena_scope_alloc(&scope[0], 100000) && karena_scope_alloc(&scope[1], 100));
	longjmp(above, 1);
}

/* More often than there can be open ones; none of them lasts. */
static void abandoned(void)
{
	struct karena *heap = open_heap(0);
	static volatile unsigned int i;
	struct karena_scope scope;

	if (!heap)
		return;
	for (i = 0; i < 20000 && !tap_failed(); i++)
		if (!setjmp(above))
			abandon(heap, i % 5);
	check_eq(karena_scope_open(&scope, heap, KARENA_SCOPE_LOCAL), 0);
	check(info_of(heap).live_bytes < 100000);
	karena_scope_close(&scope);
	if (!setjmp(above))
		abandon(heap, 1);
	check(info_of(heap).live_bytes > 100000);
	check_eq(karena_scope_open(&scope, heap, KARENA_SCOPE_LOCAL), 0);
	karena_scope_close(&scope);
	check(info_of(heap).live_bytes < 100000);
	karena_close(heap);
}

static __attribute__((noinline)) unsigned int nest(struct karena *heap, unsigned int depth,
						   unsigned int most)
{
	struct karena_scope scope;
	unsigned int more;
	char *object;

	if (karena_scope_open(&scope, heap, KARENA_SCOPE_LOCAL)) {
		check_eq(errno, ENOMEM);
		return depth;
	}
	object = karena_scope_alloc(&scope, 32);
	if (check(object))
		memset(object, 1, 32);
	more = depth + 1 < most ? nest(heap, depth + 1, most) : most;
	check(object && object[0] == 1 && object[31] == 1);
	karena_scope_close(&scope);
	return more;
}

/* As deep as the manual says, and little is left of it. */
static void deep(void)
{
	const unsigned int most = tap_count(20000, 20000);
	struct karena *heap = open_heap(0);

	if (!heap)
		return;
	check_eq(nest(heap, 0, most), most < 16383 ? most : 16383);
	check_eq(nest(heap, 0, 100), 100);
	check(info_of(heap).live_objects <= 16);
	karena_close(heap);
}

static void errors(void)
{
	struct karena *heap = open_heap(0), *other = open_heap(KARENA_COLLECT), *rdonly;
	struct karena_type none = { 0 };
	struct karena_scope scope;
	volatile size_t size = 0;
	int fd;

	if (!heap || !other)
		return;
	check_eq(error_of(karena_scope_open(&scope, heap, 0)), EINVAL);
	check_eq(error_of(karena_scope_open(&scope, heap, KARENA_SCOPE_STORES)), EINVAL);
	check_eq(error_of(karena_scope_open(&scope, other, 3)), EINVAL);
	check_eq(error_of(karena_scope_open(&scope, other, 4)), EINVAL);
	check_eq(karena_scope_open(&scope, other, 0), 0);
	check_eq(error_of(!karena_scope_alloc(&scope, size)), EINVAL);
	check_eq(error_of(!karena_scope_new(&scope, none)), EINVAL);
	size = ~0UL;
	check_eq(error_of(!karena_scope_alloc(&scope, size)), ENOMEM);
	size = WINDOW;
	check_eq(error_of(!karena_scope_alloc(&scope, size)), ENOMEM);
	check(karena_scope_alloc(&scope, 16));
	karena_scope_close(&scope);
	fd = heap_share(karena_fd(heap), KARENA_SHARE_RDONLY);
	karena_close(heap);
	rdonly = karena_attach(fd);
	if (check(rdonly))
		check_eq(error_of(karena_scope_open(&scope, rdonly, KARENA_SCOPE_LOCAL)), EBADF);
	karena_close(rdonly);
	karena_close(other);
}

/* A heap that is full: what cannot be had is said, and the scope is as it was. */
static void full(void)
{
	struct karena_options opts = { .window = WINDOW, .limit = MIB, .name = "scopes" };
	struct karena *heap = karena_open(&opts);
	struct karena_scope scope;
	unsigned int i, n = 0;
	char *object;

	if (!check(heap))
		return;
	for (i = 0; i < 3; i++) {
		check_eq(karena_scope_open(&scope, heap, KARENA_SCOPE_LOCAL), 0);
		for (n = 0; (object = karena_scope_alloc(&scope, 1000)); n++)
			memset(object, 1, 1000);
		check_eq(errno, ENOMEM);
		check(n > 800 && n < 1049);
		karena_scope_close(&scope);
	}
	karena_close(heap);
}

/* --- processes and threads --- */

#define EACH 1000u

struct shared {
	struct karena_scope *scope;
	struct karena *heap;
	char *common;
};

static void fill_scope(struct karena_scope *scope, char byte)
{
	char *object[EACH];
	unsigned int i;

	for (i = 0; i < EACH; i++) {
		object[i] = karena_scope_alloc(scope, 48);
		if (!check(object[i]) || !check(zeroed(object[i], 48)))
			return;
		memset(object[i], byte, 48);
		if (i % 100 == 0)
			usleep(100);
	}
	for (i = 0; i < EACH; i++)
		check(object[i][0] == byte && object[i][47] == byte);
}

static void in_child(void *arg)
{
	struct shared *shared = arg;
	struct karena_scope own;

	fill_scope(shared->scope, 'c');
	check_eq(karena_scope_open(&own, shared->heap, KARENA_SCOPE_LOCAL), 0);
	fill_scope(&own, 'o');
	karena_scope_close(&own);
	check(shared->common[0] == 'p');
	karena_scope_close(shared->scope);
}

static void forked(unsigned int heap_flags, unsigned int flags)
{
	struct karena *heap = open_heap(heap_flags);
	struct karena_scope scope;
	struct shared shared = { &scope, heap, NULL };
	pid_t pid;

	if (!heap || !check_eq(karena_scope_open(&scope, heap, flags), 0))
		return;
	shared.common = karena_scope_alloc(&scope, 100);
	shared.common[0] = 'p';
	pid = tap_fork(in_child, &shared);
	fill_scope(&scope, 'p');
	tap_join(pid);
	check(shared.common[0] == 'p');
	fill_scope(&scope, 'q');
	karena_scope_close(&scope);
	karena_close(heap);
}

static void children(void)
{
	forked(0, KARENA_SCOPE_LOCAL);
	forked(KARENA_COLLECT, KARENA_SCOPE_LOCAL);
	forked(KARENA_COLLECT, KARENA_SCOPE_STORES);
	forked(KARENA_COLLECT, 0);
}

static void *leave_open(void *arg)
{
	struct karena_scope scope;

	check_eq(karena_scope_open(&scope, arg, KARENA_SCOPE_LOCAL), 0);
	fill_scope(&scope, 't');
	check(karena_scope_alloc(&scope, 100000));
	return NULL;
}

/* A thread that ends leaves nothing, not even an open scope. */
static void threads_end(void)
{
	struct karena *heap = open_heap(0);
	unsigned int i;

	if (!heap)
		return;
	for (i = 0; i < 20; i++)
		run_thread(leave_open, heap);
	check_eq(info_of(heap).live_objects, 0);
	karena_close(heap);
}

struct victim {
	struct karena *heap;
	__u32 *counter;
};

static void use_scopes(void *arg)
{
	struct victim *victim = arg;
	struct model *m = calloc(1, sizeof(*m));
	struct karena_scope scope, inner;
	unsigned int i;

	rng_init(&m->rng, getpid());
	for (;;) {
		check_eq(karena_scope_open(&scope, victim->heap, rng_below(&m->rng, 3)), 0);
		for (i = rng_below(&m->rng, 300); i; i--) {
			check(karena_scope_alloc(&scope, random_size(&m->rng)));
			(*victim->counter)++;
		}
		check_eq(karena_scope_open(&inner, victim->heap, KARENA_SCOPE_LOCAL), 0);
		check(karena_scope_alloc(&inner, random_size(&m->rng)));
		karena_scope_close(&inner);
		karena_scope_close(&scope);
	}
}

/* Whoever is killed leaves garbage at most. */
static void kills(void)
{
	unsigned int i, nr = tap_count(20, 300);
	struct victim victim = { open_heap(KARENA_COLLECT), shared_memory(sizeof(__u32)) };
	struct rng rng;
	pid_t pid;

	if (!victim.heap || !victim.counter)
		return;
	rng_init(&rng, 7);
	for (i = 0; i < nr && !tap_failed(); i++) {
		pid = tap_fork(use_scopes, &victim);
		kill_at_random(&rng, victim.counter, pid);
		reap_killed(pid);
	}
	check_eq(karena_gc(victim.heap), 0);
	check_eq(info_of(victim.heap).live_objects, 0);
	check(heap_adds_up(karena_fd(victim.heap)));
	karena_close(victim.heap);
}

static const struct tap_case cases[] = {
	{ "a model of scopes, by hand", plain },
	{ "a model of scopes, collected", collected },
	{ "a model of scopes, with a barrier", with_barrier },
	{ "two scopes of a frame", of_one_frame },
	{ "memory is used again", memory_is_used_again },
	{ "scopes that watch stores", stores_are_seen },
	{ "scopes that longjmp() leaves", abandoned },
	{ "scopes in scopes", deep },
	{ "errors of scopes", errors },
	{ "a heap that is full", full },
	{ "scopes of a child", children },
	{ "threads leave nothing", threads_end },
	{ "kills in scopes", kills },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
