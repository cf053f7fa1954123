// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, scopes: objects are taken from chunks by moving a pointer (scope.h), and
 * go together.  To the heap, a chunk is an object as any other, all of whose words may be
 * references, and which a reference to any byte of it keeps.
 *
 * Scopes that need not be closed with care (no KARENA_SCOPE_LOCAL) share the thread's
 * chunk, and so do others that come after them.  What is full is left to the collector,
 * which knows what is still referred to: no check of our own could, as any word of the
 * program and of the heap may refer to it.  Nothing is to be done when such a scope ends.
 *
 * Those with KARENA_SCOPE_LOCAL are a stack of regions.  One that is opened takes what is
 * left of the chunk that the one below it uses, and gives it back, cleared, when it is
 * closed; chunks that it had to allocate are freed, but for one that is kept for the next.
 * So memory in front of each region's pointer is always zero.
 *
 * Regions are not in the programs' variables: a function that is left by longjmp() leaves
 * its region, which is found by the address of the variable later on, while its variables may
 * be anything by then.  They are in a mapping that the kernel clears in a child after
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
#define NEAR		8u		/* regions of a frame */

/* End of a chunk; so the addresses up to there, included, are all addresses in it. */
struct karena_tail {
	struct karena_tail *older;
	char *begin;
};
KARENA_ASSERT(sizeof(struct karena_tail) == KARENA_SCOPE_UNIT);

struct karena_scopes {
	struct karena_region collected;	/* for scopes whose objects may live on */
	struct karena_tail *spare;	/* a chunk for the next one, or NULL */
	size_t top;			/* of the regions, 0 if none is a scope's */
	struct karena_region local[MOST_SCOPES];	/* the first one is empty */
};
KARENA_ASSERT(sizeof(struct karena_scopes) % sizeof(void *) == 0);

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

static void use_chunk(struct karena_region *region, struct karena_tail *tail)
{
	region->next = tail->begin;
	region->end = (char *)tail;
}

/*
 * References that are cleared are overwritten.  That is not watched in a heap with
 * KARENA_BARRIER, where it is done as by karena_store(); whoever still has one of them has
 * loaded it before.
 */
static void clear(struct karena *heap, char *from, const char *end)
{
	size_t size = end - from;

	if (heap->barrier && size && karena_is_marking(heap))
		karena_shade_words(heap, from, size / sizeof(void *));
	memset(from, 0, size);
}

/* --- regions --- */

/* Makes what is left of the memory below a new region's. */
static void borrow(struct karena_region *region)
{
	struct karena_region *below = region - 1;

	if (below->next == below->end)
		return;
	region->next = below->next;
	region->end = below->end;
	region->from = below->next;
	region->limit = below->end;
	below->end = below->next;
}

static void give_back(struct karena *heap, struct karena_region *region)
{
	struct karena_region *below = region - 1;

	clear(heap, region->from, region->own ? region->upto : region->next);
	/* It may have gone on elsewhere meanwhile. */
	if (below->next == region->from)
		below->end = region->limit;
}

/* The newest of a region's own chunks is kept, if there is none yet. */
static void free_own(struct karena *heap, struct karena_scopes *scopes,
		     struct karena_region *region)
{
	struct karena_tail *tail = region->own, *older = tail->older;

	if (!scopes->spare) {
		clear(heap, tail->begin, region->next);
		tail->older = NULL;
		scopes->spare = tail;
		tail = older;
	}
	free_chunks(heap, tail);
}

/* Down to @nr of them. */
static void close_regions(struct karena *heap, struct karena_scopes *scopes, size_t nr)
{
	struct karena_region *region;

	for (; scopes->top > nr; scopes->top--) {
		region = &scopes->local[scopes->top];
		if (region->from)
			give_back(heap, region);
		if (region->own)
			free_own(heap, scopes, region);
		free_chunks(heap, region->large);
		*region = (struct karena_region){ 0 };
	}
}

static int overlap(const struct karena_scope *a, const struct karena_scope *b)
{
	return a < b + 1 && b < a + 1;
}

/*
 * How many of the regions are still of scopes that are there, for a function that opens or
 * closes @scope.  Those of functions that it has called before are not: they are below its
 * stack pointer.  Nor is one whose place is taken; it is looked for where it is when a
 * function is left and called again and again, as otherwise nothing would end it.
 */
static size_t count_open(const struct karena_scopes *scopes, const struct karena_scope *scope,
			 const char *frame)
{
	const struct karena_region *region = scopes->local;
	size_t top = scopes->top, i;

	while (top && (const char *)region[top].scope < frame)
		top--;
	for (i = top; i && i + NEAR > top; i--)
		if (overlap(region[i].scope, scope))
			return i - 1;
	return top;
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

static struct karena_scopes *find_scopes(struct karena *heap)
{
	struct karena_cache *cache = karena_caches;

	if (!cache || cache->serial != heap->fast.serial)
		cache = karena_find_cache(heap);
	if (!cache) {
		errno = ENOMEM;
		return NULL;
	}
	return cache->scopes ? cache->scopes : map_scopes(heap, cache);
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
			free_for_good(cache->heap, scopes->spare);
			for (i = 1; i <= scopes->top; i++) {
				free_for_good(cache->heap, scopes->local[i].own);
				free_for_good(cache->heap, scopes->local[i].large);
			}
		}
		karena_let_go();
	}
	munmap(scopes, sizeof(*scopes));
}

/* --- calls --- */

static int open_local(struct karena_scope *scope, struct karena_scopes *scopes)
{
	struct karena_region *region;

	if (scopes->top == MOST_SCOPES - 1) {
		errno = ENOMEM;
		return -1;
	}
	region = &scopes->local[++scopes->top];
	borrow(region);
	region->scope = scope;
	scope->region = region;
	return 0;
}

/* The stack pointer of who has called us. */
#define CALLER_FRAME()	((const char *)__builtin_frame_address(0) + 2 * sizeof(void *))

EXPORT int karena_scope_open(struct karena_scope *scope, struct karena *heap, unsigned int flags)
{
	const char *frame = CALLER_FRAME();
	struct karena_scopes *scopes;

	if (flags & ~KARENA_SCOPE_LOCAL || (!flags && !heap->fast.collected)) {
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
	close_regions(heap, scopes, count_open(scopes, scope, frame));
	*scope = (struct karena_scope){ &scopes->collected, heap, flags };
	return flags ? open_local(scope, scopes) : 0;
}

/* For a scope that is not closed with care; in a child it has a region again. */
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
	tail->older = scope->region->large;
	scope->region->large = tail;
	return tail->begin;
}

/* A chunk of its own for a region, the spare one if there is one. */
static struct karena_tail *take_chunk(struct karena *heap)
{
	struct karena_scopes *scopes = find_scopes(heap);
	struct karena_tail *tail = scopes ? scopes->spare : NULL;

	if (!tail)
		return new_chunk(heap, CHUNK - sizeof(*tail));
	scopes->spare = NULL;
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
	if (!region->own)
		region->upto = region->next;
	tail->older = region->own;
	region->own = tail;
	use_chunk(region, tail);
	return karena_region_take(region, size);
}

EXPORT void *karena_scope_alloc(struct karena_scope *scope, size_t size)
{
	void *object = karena_region_take(scope->region, size);

	if (object)
		return object;
	if (!size) {
		errno = EINVAL;
		return NULL;
	}
	return scope->flags ? take_local(scope, size) : take_collected(scope, size);
}

EXPORT void *karena_scope_new(struct karena_scope *scope, struct karena_type type)
{
	return karena_scope_alloc(scope, type.element);
}

EXPORT void karena_scope_close(struct karena_scope *scope)
{
	const char *frame = CALLER_FRAME();
	int saved = errno;
	struct karena_scopes *scopes = find_scopes(scope->heap);
	size_t nr;

	if (!scopes)
		return;
	nr = count_open(scopes, scope, frame);
	/* Else it is its parent's, or of no concern. */
	if (scope->flags && scope->region->scope == scope)
		nr = scope->region - scopes->local - 1;
	close_regions(scope->heap, scopes, nr);
	errno = saved;
}
