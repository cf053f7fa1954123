// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, scopes: objects are taken from chunks by moving a pointer (scope.h), and
 * go together.  To the heap, a chunk is an object as any other, all of whose words may be
 * references, and which a reference to any byte of it keeps.
 *
 * Scopes of which nothing is promised share the thread's chunk, and so do others that come
 * after them.  What is full is left to the collector, which knows what is still referred to:
 * no check of our own could, as any word of the program and of the heap may refer to it.
 * Nothing is to be done when such a scope ends.
 *
 * Others have a region each, with chunks of its own, which are cleared and freed at the
 * close, but for some that are kept for the next ones, one of each of the first regions: so
 * what is in front of a region's pointer is always zero.  With KARENA_SCOPE_STORES they are
 * left to the collector instead, if karena_store() has seen a reference to them leave them.
 *
 * Regions are not in the programs' variables: a function that is left by longjmp() leaves
 * its region, which is found by the address of the variable later on, while that may be
 * anything by then.  They are in a mapping that the kernel clears in a child after
 * fork(): there all is full, and regions are nobody's, so that it neither allocates from
 * its parent's chunks nor frees them.  In a heap that is collected, the mapping is a root.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"
#include "scope.h"

#define CHUNK		((size_t)KARENA_PAGE_SIZE)
#define MOST_SMALL	(CHUNK / 4)	/* bytes; what is larger has a chunk of its own */
#define MOST_SCOPES	16384u
#define CLEAR		1024	/* bytes, at a time: with more, memset() takes longer to begin */
#define MOST_SPARES	8u
#define MOST_KEPT	8u		/* regions that keep a chunk */
#define NEAR		4u		/* regions that are looked at, and stay */

/* End of a chunk; so the addresses up to there, included, are all addresses in it. */
struct karena_tail {
	struct karena_tail *older;
	char *begin;
};
KARENA_ASSERT(sizeof(struct karena_tail) == KARENA_SCOPE_UNIT);

struct karena_scopes {
	struct karena_region collected;	/* for scopes whose objects may live on */
	struct karena_region closed;	/* for those that are closed: it is full */
	struct karena_tail *spares;	/* chunks for the next ones */
	size_t nr_spares;
	size_t top;			/* the last region of a scope, 0 if there is none */
	struct karena_region local[MOST_SCOPES];	/* the first one is empty */
};
KARENA_ASSERT(sizeof(struct karena_scopes) % sizeof(void *) == 0);

/* Regions of this thread with KARENA_SCOPE_STORES, in all heaps; not fewer, after fork(). */
__thread unsigned int karena_watched __attribute__((tls_model("initial-exec")));

/* --- chunks --- */

static struct karena_tail *new_chunk(struct karena *heap, size_t size)
{
	struct karena_tail *tail;
	char *begin;

	if (size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	size = (size + KARENA_SCOPE_UNIT - 1) & -(size_t)KARENA_SCOPE_UNIT;
	begin = karena_alloc(heap, size + sizeof(*tail));
	if (!begin)
		return NULL;
	tail = (struct karena_tail *)(void *)(begin + size);
	tail->begin = begin;
	return tail;
}

static void free_chunks(struct karena *heap, struct karena_tail *tail)
{
	struct karena_tail *older;

	for (; tail; tail = older) {
		older = tail->older;
		karena_free(heap, tail->begin);
	}
}

/*
 * References that are overwritten in the heap are not watched if it has KARENA_BARRIER,
 * where it is done as by karena_store(); whoever still has one of them has loaded it before.
 */
static void will_overwrite(struct karena *heap, const void *words, size_t count)
{
	if (heap->barrier && count && karena_is_marking(heap))
		karena_shade_words(heap, words, count);
}

static void link_chunk(struct karena *heap, struct karena_tail *tail, struct karena_tail *older)
{
	will_overwrite(heap, &tail->older, 1);
	tail->older = older;
}

static void use_chunk(struct karena_region *region, struct karena_tail *tail)
{
	region->next = tail->begin;
	region->end = (char *)tail;
}

/* Whole units: for a hundred bytes or two, memset() takes longer to begin than this in all. */
static inline void clear(struct karena *heap, char *from, const char *end)
{
	if (heap->barrier)
		will_overwrite(heap, from, (end - from) / sizeof(void *));
	for (; end - from >= CLEAR; from += CLEAR)
		memset(from, 0, CLEAR);
	if (end - from >= CLEAR / 4) {
		memset(from, 0, end - from);
		return;
	}
	for (; from < end; from += KARENA_SCOPE_UNIT) {
		__builtin_memset(from, 0, KARENA_SCOPE_UNIT);
		__asm__ __volatile__("" : : : "memory");
	}
}

/* --- regions --- */

/* Some are kept for the next scopes. */
static void free_own(struct karena *heap, struct karena_scopes *scopes,
		     struct karena_region *region)
{
	struct karena_tail *tail = region->own, *older;
	char *end = region->next;

	for (; tail && scopes->nr_spares < MOST_SPARES; tail = older) {
		older = tail->older;
		clear(heap, tail->begin, end);
		link_chunk(heap, tail, scopes->spares);
		scopes->spares = tail;
		scopes->nr_spares++;
		end = (char *)older;
	}
	free_chunks(heap, tail);
}

/* What it has may be referred to, from now on; the rest is for others of which it is said. */
static void leave_own(struct karena_scopes *scopes, const struct karena_region *region)
{
	struct karena_region *collected = &scopes->collected;

	if (region->end - region->next > collected->end - collected->next) {
		collected->next = region->next;
		collected->end = region->end;
	}
}

/* All that a region has goes; errno is kept. */
static __attribute__((noinline)) void empty_region(struct karena *heap,
						   struct karena_scopes *scopes,
						   struct karena_region *region)
{
	int saved = errno;

	if (region->escaped) {
		leave_own(scopes, region);
	} else {
		free_own(heap, scopes, region);
		free_chunks(heap, region->large);
	}
	*region = (struct karena_region){ .stores = region->stores };
	errno = saved;
}

static inline void close_region(struct karena *heap, struct karena_scopes *scopes,
				struct karena_region *region)
{
	if (region->own && !region->own->older && !region->large && !region->escaped &&
	    region <= &scopes->local[MOST_KEPT]) {
		clear(heap, region->own->begin, region->next);
		region->next = region->own->begin;
	} else if (region->own || region->large) {
		empty_region(heap, scopes, region);
	}
	karena_watched -= region->stores;
	region->stores = 0;
	region->scope = NULL;
}

/* Below regions that are closed. */
static inline void lower_top(struct karena_scopes *scopes)
{
	while (scopes->top && !scopes->local[scopes->top].scope)
		scopes->top--;
}

static int overlap(const struct karena_scope *a, const struct karena_scope *b)
{
	return a < b + 1 && b < a + 1;
}

/*
 * For a function that opens or closes @scope: closes those scopes that are of functions that
 * it has called before, which are below its stack pointer, and one whose place is taken.
 * Of others nothing is known by that.  They are looked for near the top, where they are when
 * a function is called and left again and again.
 *
 * Returns where the region of @scope is to be.
 */
static __attribute__((noinline)) size_t close_abandoned(struct karena *heap,
							 struct karena_scopes *scopes,
							 const struct karena_scope *scope,
							 const char *frame)
{
	struct karena_region *region = scopes->local;
	size_t stay = 0, same = 0, i;

	for (i = scopes->top; i && stay < NEAR; i--) {
		if (region[i].scope && overlap(region[i].scope, scope))
			same = i;
		if (same == i || (region[i].scope && (const char *)region[i].scope < frame))
			close_region(heap, scopes, &region[i]);
		stay += !!region[i].scope;
	}
	if (same)
		return same;
	lower_top(scopes);
	return scopes->top + 1;
}

/* --- scopes of a thread --- */

static struct karena_scopes *map_scopes(struct karena *heap, struct karena_cache *cache)
{
	struct karena_scopes *scopes;

	scopes = mmap(NULL, sizeof(*scopes), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (scopes == MAP_FAILED)
		return NULL;
	if (!madvise(scopes, sizeof(*scopes), MADV_WIPEONFORK) &&
	    (!heap->fast.collected || !karena_root_add(heap, scopes, sizeof(*scopes)))) {
		cache->scopes = scopes;
		return scopes;
	}
	munmap(scopes, sizeof(*scopes));
	errno = ENOMEM;
	return NULL;
}

static __attribute__((noinline)) struct karena_scopes *make_scopes(struct karena *heap)
{
	struct karena_cache *cache = karena_find_cache(heap);

	if (!cache) {
		errno = ENOMEM;
		return NULL;
	}
	return cache->scopes ? cache->scopes : map_scopes(heap, cache);
}

/* Those of this thread; NULL with errno. */
static inline struct karena_scopes *find_scopes(struct karena *heap)
{
	struct karena_cache *cache = karena_caches;

	if (__builtin_expect(cache && cache->serial == heap->fast.serial && cache->scopes, 1))
		return cache->scopes;
	return make_scopes(heap);
}

/* Of one that is not collected, and open: roots.c must not be called. */
static void free_for_good(struct karena *heap, struct karena_tail *tail)
{
	struct karena_tail *older;
	void *begin;

	for (; tail; tail = older) {
		older = tail->older;
		begin = tail->begin;
		karena_free_bulk(heap, 1, &begin, NULL);
	}
}

/* The thread ends, or the heap is closed. */
void karena_scopes_end(struct karena_cache *cache)
{
	struct karena_scopes *scopes = cache->scopes;
	size_t i;

	if (!scopes)
		return;
	karena_drop_root(cache->serial, scopes, sizeof(*scopes));
	if (karena_hold(cache->heap, cache->serial)) {
		if (!cache->heap->fast.collected) {
			free_for_good(cache->heap, scopes->spares);
			for (i = 1; i <= scopes->top || i <= MOST_KEPT; i++) {
				free_for_good(cache->heap, scopes->local[i].own);
				free_for_good(cache->heap, scopes->local[i].large);
			}
		}
		karena_let_go();
	}
	munmap(scopes, sizeof(*scopes));
}

/* --- calls --- */

static int open_local(struct karena_scope *scope, struct karena_scopes *scopes, size_t number)
{
	struct karena_region *region = &scopes->local[number];

	if (number == MOST_SCOPES) {
		errno = ENOMEM;
		return -1;
	}
	if (number > scopes->top)
		scopes->top = number;
	region->scope = scope;
	region->stores = !!(scope->flags & KARENA_SCOPE_STORES);
	karena_watched += region->stores;
	scope->region = region;
	return 0;
}

/* The stack pointer of who has called us. */
#define CALLER_FRAME()	((const char *)__builtin_frame_address(0) + 2 * sizeof(void *))

EXPORT int karena_scope_open(struct karena_scope *scope, struct karena *heap, unsigned int flags)
{
	const char *frame = CALLER_FRAME();
	struct karena_scopes *scopes;
	size_t number;

	if (flags > KARENA_SCOPE_STORES ||
	    (flags != KARENA_SCOPE_LOCAL && !heap->fast.collected)) {
		errno = EINVAL;
		return -1;
	}
	if (heap->readonly) {
		errno = EBADF;
		return -1;
	}
	scopes = find_scopes(heap);
	if (!scopes)
		return -1;
	number = scopes->top ? close_abandoned(heap, scopes, scope, frame) : 1;
	*scope = (struct karena_scope){ &scopes->collected, heap, flags };
	return flags ? open_local(scope, scopes, number) : 0;
}

/* For a scope of which nothing is promised; in a child it has a region again. */
static void *take_collected(struct karena_scope *scope, size_t size)
{
	struct karena_scopes *scopes = size > MOST_SMALL ? NULL : find_scopes(scope->heap);
	struct karena_tail *tail;
	void *object;

	if (!scopes)
		return karena_alloc(scope->heap, size);
	scope->region = &scopes->collected;
	object = karena_region_take(scope->region, size);
	if (object)
		return object;
	tail = new_chunk(scope->heap, CHUNK - sizeof(*tail));
	if (!tail)
		return NULL;
	use_chunk(scope->region, tail);
	return karena_region_take(scope->region, size);
}

static void *take_large(struct karena_scope *scope, size_t size)
{
	struct karena_tail *tail = new_chunk(scope->heap, size);

	if (!tail)
		return NULL;
	link_chunk(scope->heap, tail, scope->region->large);
	scope->region->large = tail;
	return tail->begin;
}

/* A chunk of its own for a region, the spare one if there is one. */
static struct karena_tail *take_chunk(struct karena *heap)
{
	struct karena_scopes *scopes = find_scopes(heap);
	struct karena_tail *tail = scopes ? scopes->spares : NULL;

	if (!tail)
		return new_chunk(heap, CHUNK - sizeof(*tail));
	scopes->spares = tail->older;
	scopes->nr_spares--;
	return tail;
}

static void *take_local(struct karena_scope *scope, size_t size)
{
	struct karena_region *region = scope->region;
	struct karena_tail *tail;

	/* Opened by the parent of this process, or closed. */
	if (region->scope != scope)
		return karena_alloc(scope->heap, size);
	if (size > MOST_SMALL)
		return take_large(scope, size);
	tail = take_chunk(scope->heap);
	if (!tail)
		return NULL;
	link_chunk(scope->heap, tail, region->own);
	region->own = tail;
	use_chunk(region, tail);
	return karena_region_take(region, size);
}

/* Not inline: whoever finds room need not save registers for it. */
static __attribute__((noinline)) void *take_slowly(struct karena_scope *scope, size_t size)
{
	if (!size) {
		errno = EINVAL;
		return NULL;
	}
	return scope->flags ? take_local(scope, size) : take_collected(scope, size);
}

EXPORT void *karena_scope_alloc(struct karena_scope *scope, size_t size)
{
	void *object = karena_region_take(scope->region, size);

	return object ? object : take_slowly(scope, size);
}

EXPORT void *karena_scope_new(struct karena_scope *scope, struct karena_type type)
{
	return karena_scope_alloc(scope, type.element);
}

/* --- stores --- */

static int has(const struct karena_tail *tail, const void *addr)
{
	for (; tail; tail = tail->older)
		if ((const char *)addr >= tail->begin && (const char *)addr < (const char *)tail)
			return 1;
	return 0;
}

static int is_of(const struct karena_region *region, const void *addr)
{
	return has(region->own, addr) || has(region->large, addr);
}

/* A store of a reference, while scopes are open that watch for those that leave them. */
void karena_scope_stored(struct karena *heap, const void *slot, const void *value)
{
	struct karena_scopes *scopes = find_scopes(heap);
	struct karena_region *region;

	if (!scopes)
		return;
	for (region = &scopes->local[scopes->top]; region > scopes->local; region--)
		if (region->stores && is_of(region, value) && !is_of(region, slot))
			region->escaped = 1;
}

/* --- the end of a scope --- */

EXPORT void karena_scope_close(struct karena_scope *scope)
{
	const char *frame = CALLER_FRAME();
	struct karena_scopes *scopes = find_scopes(scope->heap);

	if (!scopes)
		return;
	/* In a child, its parent's has none. */
	if (scope->flags && scope->region->scope == scope)
		close_region(scope->heap, scopes, scope->region);
	lower_top(scopes);
	/* Who is above it has been abandoned. */
	if (scopes->top && &scopes->local[scopes->top] >= scope->region)
		close_abandoned(scope->heap, scopes, scope, frame);
	scope->region = &scopes->closed;
}
