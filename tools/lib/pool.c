// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, pools: objects that cost something to make, kept for whoever wants one next,
 * and dropped when nobody did for two cycles of the heap (Go's sync.Pool).
 *
 * Each thread has a shelf, which it works on without a lock or an atomic instruction.
 * Whoever ages the pool takes what is on all shelves, those of threads that sleep as well:
 *
 *	the shelf's thread	who ages (with the pool's lock)
 *	busy = 1		taken = 1, of all shelves
 *				membarrier(2): a full barrier in all threads
 *	taken? then slow path	busy? then not this one
 *	takes or puts		takes all
 *	busy = 0		taken = 0
 *
 * so that one of the two sees the other.  Where there is no membarrier(2) each thread ages
 * its own shelf.
 *
 * Of what is shared there are two generations: those that came since the last cycle, and
 * the victims, which are dropped at the next one.  A victim that is taken is none any more
 * when it comes back.
 *
 * Shelves and generations are in one mapping, which is a root, so that objects of the heap
 * live while they are in the pool, and which the kernel clears in a child after fork(): to
 * its objects, the parent alone has the right.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define SHELVES		1024u	/* threads that have one; others share */
#define SLOTS		120u	/* of a shelf */
#define MOST		16384u	/* objects of a generation; what is more is dropped */
#define NEAR		4u	/* pools that a thread finds at once */

struct shelf {
	__u64 pool;		/* whose it is, 0: nobody's */
	__u32 stamp;		/* cycle that it knows of, and 1 */
	__u32 nr;
	int busy;
	int taken;
	void *slot[SLOTS];
};

struct generation {
	size_t nr;
	void *object[MOST];
};

/* All zero: of a new pool, and of a child's. */
struct shared {
	pthread_mutex_t lock;		/* all but shelves that are not taken */
	__u32 stamp;			/* as that of a shelf: when it was aged */
	unsigned int now;		/* which generation is not the victims */
	int aging;			/* somebody is at it */
	struct generation generation[2];
	struct shelf shelf[SHELVES];
};

struct karena_pool {
	__u64 id;			/* never used again */
	struct karena *heap;
	const __u32 *cycle;		/* of the heap */
	struct karena_pool_options opts;
	struct shared *shared;
	struct karena_pool *next;
	unsigned int users;		/* who age it without the lock of the list; that lock */
};

/* What a thread has of a pool, which may be gone. */
struct place {
	struct place *next;
	__u64 pool;
	struct shelf *shelf;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of the list; before a pool's */
static struct karena_pool *pools;
static pthread_key_t at_end;
static int has_membarrier;
static __thread struct place near[NEAR] __attribute__((tls_model("initial-exec")));
static __thread struct place *places __attribute__((tls_model("initial-exec")));

static __u32 stamp_of(const struct karena_pool *pool)
{
	return __atomic_load_n(pool->cycle, __ATOMIC_RELAXED) + 1;
}

/* What is in a place, which does not keep it any more; in a register before that. */
static inline void *lift(void **place)
{
	void *object = *place;

	__asm__ __volatile__("" : "+r"(object) : : "memory");
	*place = NULL;
	return object;
}

/* --- a thread's shelf --- */

/* Whether the thread may use it now; then it has to leave() it. */
static inline int enter(const struct karena_pool *pool, struct shelf *shelf)
{
	if (!shelf || shelf->stamp != stamp_of(pool))
		return 0;
	__atomic_store_n(&shelf->busy, 1, __ATOMIC_RELAXED);
	/* Its other half is membarrier(2). */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&shelf->taken, __ATOMIC_ACQUIRE))
		return 1;
	__atomic_store_n(&shelf->busy, 0, __ATOMIC_RELEASE);
	return 0;
}

static inline void leave(struct shelf *shelf)
{
	__atomic_store_n(&shelf->busy, 0, __ATOMIC_RELEASE);
}

static inline struct shelf *near_shelf(const struct karena_pool *pool)
{
	const struct place *place = &near[pool->id % NEAR];

	return place->pool == pool->id ? place->shelf : NULL;
}

/* --- generations; with the pool's lock --- */

static int add(struct generation *to, void *object)
{
	if (to->nr == MOST)
		return 0;
	to->object[to->nr++] = object;
	return 1;
}

static void *take(struct generation *from)
{
	return from->nr ? lift(&from->object[--from->nr]) : NULL;
}

static void drop(const struct karena_pool *pool, void *object)
{
	if (pool->opts.drop)
		pool->opts.drop(object, pool->opts.arg);
}

/* Not with the lock: it may be anything. */
static void drop_all(const struct karena_pool *pool, struct generation *victims)
{
	void *object;

	while ((object = take(victims))) {
		pthread_mutex_unlock(&pool->shared->lock);
		drop(pool, object);
		pthread_mutex_lock(&pool->shared->lock);
	}
}

/* What does not fit stays, for the next time. */
static void clear_shelf(struct shelf *shelf, struct generation *to)
{
	while (shelf->nr && add(to, shelf->slot[shelf->nr - 1]))
		lift(&shelf->slot[--shelf->nr]);
}

static void take_shelves(struct shared *shared, int take_them)
{
	unsigned int i;

	for (i = 0; i < SHELVES && shared->shelf[i].pool; i++)
		__atomic_store_n(&shared->shelf[i].taken, take_them, __ATOMIC_RELEASE);
}

/* That of this thread, if it has one. */
static void clear_own(const struct karena_pool *pool, struct generation *to)
{
	const struct place *place = places;

	while (place && place->pool != pool->id)
		place = place->next;
	if (place && place->shelf && place->shelf->pool == pool->id)
		clear_shelf(place->shelf, to);
}

static void clear_shelves(const struct karena_pool *pool, struct generation *to)
{
	struct shared *shared = pool->shared;
	unsigned int i;
	int seen;

	if (!has_membarrier) {
		clear_own(pool, to);
		return;
	}
	take_shelves(shared, 1);
	seen = !syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	for (i = 0; seen && i < SHELVES && shared->shelf[i].pool; i++)
		if (!__atomic_load_n(&shared->shelf[i].busy, __ATOMIC_ACQUIRE))
			clear_shelf(&shared->shelf[i], to);
	take_shelves(shared, 0);
}

static void age(const struct karena_pool *pool)
{
	struct shared *shared = pool->shared;

	if (shared->aging)
		return;
	shared->aging = 1;
	drop_all(pool, &shared->generation[!shared->now]);
	clear_shelves(pool, &shared->generation[shared->now]);
	shared->now = !shared->now;
	shared->aging = 0;
}

/* Once for each cycle that anybody notices; two that have passed are one. */
static void age_if_due(const struct karena_pool *pool)
{
	struct shared *shared = pool->shared;
	__u32 stamp = stamp_of(pool);

	if (shared->stamp == stamp)
		return;
	if (shared->stamp)
		age(pool);
	__atomic_store_n(&shared->stamp, stamp, __ATOMIC_RELAXED);
}

/* --- shelves of threads --- */

static struct karena_pool *find_pool(__u64 id)
{
	struct karena_pool *pool;

	for (pool = pools; pool && pool->id != id; pool = pool->next)
		;
	return pool;
}

/* Shelves that are somebody's come first; what is on one that is left is for all. */
static void end_places(void *unused)
{
	struct karena_pool *pool;
	struct place *place;

	(void)unused;
	pthread_mutex_lock(&lock);
	while ((place = places)) {
		places = place->next;
		pool = find_pool(place->pool);
		if (pool) {
			pthread_mutex_lock(&pool->shared->lock);
			clear_shelf(place->shelf, &pool->shared->generation[pool->shared->now]);
			place->shelf->stamp = 0;
			pthread_mutex_unlock(&pool->shared->lock);
		}
		free(place);
	}
	pthread_mutex_unlock(&lock);
}

static void take_lock(void)
{
	pthread_mutex_lock(&lock);
}

static void drop_lock(void)
{
	pthread_mutex_unlock(&lock);
}

static __attribute__((constructor)) void make_key(void)
{
	pthread_key_create(&at_end, end_places);
	pthread_atfork(take_lock, drop_lock, drop_lock);
	has_membarrier = !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

/* One that nobody has; with the lock. */
static struct shelf *new_shelf(const struct karena_pool *pool)
{
	struct shelf *shelf = pool->shared->shelf;

	for (; shelf < pool->shared->shelf + SHELVES; shelf++)
		if (!shelf->stamp) {
			shelf->pool = pool->id;
			return shelf;
		}
	return NULL;
}

static struct place *find_place(const struct karena_pool *pool)
{
	struct place *place = places;

	while (place && place->pool != pool->id)
		place = place->next;
	if (place)
		return place;
	place = calloc(1, sizeof(*place));
	if (!place || pthread_setspecific(at_end, place)) {
		free(place);
		return NULL;
	}
	*place = (struct place){ places, pool->id, NULL };
	places = place;
	return place;
}

/* This thread's, up to date, or NULL; with the lock. */
static struct shelf *find_shelf(const struct karena_pool *pool)
{
	struct place *place = find_place(pool);
	__u32 old;

	if (!place)
		return NULL;
	/* In a child it is nobody's. */
	if (!place->shelf || place->shelf->pool != pool->id)
		place->shelf = new_shelf(pool);
	near[pool->id % NEAR] = (struct place){ NULL, pool->id, place->shelf };
	if (!place->shelf)
		return NULL;
	old = place->shelf->stamp;
	place->shelf->stamp = pool->shared->stamp;
	/* If nobody else could do it. */
	if (!has_membarrier && old && old != place->shelf->stamp)
		clear_shelf(place->shelf, &pool->shared->generation[!pool->shared->now]);
	return place->shelf;
}

/* --- calls --- */

static void *get_shared(struct karena_pool *pool)
{
	struct shared *shared = pool->shared;
	struct shelf *shelf;
	void *object;

	pthread_mutex_lock(&shared->lock);
	age_if_due(pool);
	shelf = find_shelf(pool);
	object = shelf && shelf->nr ? lift(&shelf->slot[--shelf->nr]) : NULL;
	if (!object)
		object = take(&shared->generation[shared->now]);
	if (!object)
		object = take(&shared->generation[!shared->now]);
	pthread_mutex_unlock(&shared->lock);
	return object;
}

EXPORT void *karena_pool_get(struct karena_pool *pool)
{
	struct shelf *shelf = near_shelf(pool);
	void *object = NULL;

	if (enter(pool, shelf)) {
		if (shelf->nr)
			object = lift(&shelf->slot[--shelf->nr]);
		leave(shelf);
	}
	if (!object)
		object = get_shared(pool);
	if (!object && pool->opts.make)
		object = pool->opts.make(pool->opts.arg);
	return object;
}

/* Half of a full shelf goes with it. */
static int put_shared(struct karena_pool *pool, void *object)
{
	struct shared *shared = pool->shared;
	struct generation *now;
	struct shelf *shelf;
	int done;

	pthread_mutex_lock(&shared->lock);
	age_if_due(pool);
	now = &shared->generation[shared->now];
	shelf = find_shelf(pool);
	while (shelf && shelf->nr > SLOTS / 2 && add(now, shelf->slot[shelf->nr - 1]))
		lift(&shelf->slot[--shelf->nr]);
	if (shelf && shelf->nr < SLOTS) {
		shelf->slot[shelf->nr++] = object;
		done = 1;
	} else {
		done = add(now, object);
	}
	pthread_mutex_unlock(&shared->lock);
	return done;
}

EXPORT void karena_pool_put(struct karena_pool *pool, void *object)
{
	struct shelf *shelf = near_shelf(pool);
	int done = 0;

	if (enter(pool, shelf)) {
		if (shelf->nr < SLOTS) {
			shelf->slot[shelf->nr++] = object;
			done = 1;
		}
		leave(shelf);
	}
	if (!done && !put_shared(pool, object))
		drop(pool, object);
}

EXPORT void karena_pool_age(struct karena_pool *pool)
{
	pthread_mutex_lock(&pool->shared->lock);
	age(pool);
	pthread_mutex_unlock(&pool->shared->lock);
}

/* A pool of a heap that a cycle has passed for, to be let go of; NULL if there is none. */
static struct karena_pool *find_due(const struct karena *heap)
{
	struct karena_pool *pool;

	/* It may be our own caller who has it. */
	if (!__atomic_load_n(&pools, __ATOMIC_RELAXED) || pthread_mutex_trylock(&lock))
		return NULL;
	for (pool = pools; pool; pool = pool->next)
		if (pool->heap == heap &&
		    __atomic_load_n(&pool->shared->stamp, __ATOMIC_RELAXED) != stamp_of(pool))
			break;
	if (pool)
		pool->users++;
	pthread_mutex_unlock(&lock);
	return pool;
}

/* The heap has had a cycle, perhaps; called where a system call has been made anyway. */
void karena_pools_tick(const struct karena *heap)
{
	struct karena_pool *pool = find_due(heap);

	if (!pool)
		return;
	pthread_mutex_lock(&pool->shared->lock);
	age_if_due(pool);
	pthread_mutex_unlock(&pool->shared->lock);
	pthread_mutex_lock(&lock);
	pool->users--;
	pthread_mutex_unlock(&lock);
}

static int map_shared(struct karena_pool *pool)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (shared == MAP_FAILED)
		return -1;
	pool->shared = shared;
	if (!madvise(shared, sizeof(*shared), MADV_WIPEONFORK) &&
	    (!pool->heap->fast.collected || !karena_root_add(pool->heap, shared, sizeof(*shared))))
		return 0;
	munmap(shared, sizeof(*shared));
	return -1;
}

EXPORT struct karena_pool *karena_pool_create(struct karena *heap,
					      const struct karena_pool_options *opts)
{
	static __u64 last;
	struct karena_pool *pool;

	if (!heap->control) {
		errno = EINVAL;
		return NULL;
	}
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->heap = heap;
	pool->cycle = &heap->control->cycle;
	pool->opts = opts ? *opts : (struct karena_pool_options){ 0 };
	if (map_shared(pool)) {
		free(pool);
		return NULL;
	}
	pthread_mutex_lock(&lock);
	pool->id = ++last;
	pool->next = pools;
	pools = pool;
	pthread_mutex_unlock(&lock);
	return pool;
}

EXPORT void karena_pool_destroy(struct karena_pool *pool)
{
	struct karena_pool **at = &pools;
	int saved = errno;

	if (!pool)
		return;
	pthread_mutex_lock(&lock);
	while (*at != pool)
		at = &(*at)->next;
	*at = pool->next;
	while (pool->users) {
		pthread_mutex_unlock(&lock);
		sched_yield();
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	karena_pool_age(pool);
	karena_pool_age(pool);
	if (pool->heap->fast.collected)
		karena_root_del(pool->heap, pool->shared, sizeof(*pool->shared));
	munmap(pool->shared, sizeof(*pool->shared));
	free(pool);
	errno = saved;
}
