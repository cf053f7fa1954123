// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that tell of what a heap is made of: spans, types, magazines, and of a dump its
 * roots.  Records are made and copied out one by one, and nobody is stopped; a caller
 * without room for more goes on where it was told to.
 */
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kmod/observe/stats.h"
#include "user.h"

#define LEAST_ROOM	SZ_4K
#define MOST_OBJECTS	(KARENA_PAGE_SIZE / 8)	/* of a span */
#define FULL		1			/* not an error: there is no room for it */

/* Where records go. */
struct output {
	struct karena_list *req;
	u64 done;
};

/* A record, and what is behind it: 0, FULL, -EFAULT, or -EINTR if the caller is killed. */
static int put(struct output *out, const void *record, size_t size, const void *tail, size_t more)
{
	u8 __user *to = u64_to_user_ptr(out->req->records) + out->done;

	if (out->req->length - out->done < size + more)
		return FULL;
	if (copy_to_user(to, record, size) || (more && copy_to_user(to + size, tail, more)))
		return -EFAULT;
	out->done += size + more;
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* --- spans --- */

/* A page, and all that are together with it. */
struct view {
	struct karena_span_record record;	/* without a size: nothing to tell of */
	unsigned long next;			/* page behind it */
	u64 live[MOST_OBJECTS / 64];
};

static void look_at_object(const struct karena_span *span, u32 i, struct view *view)
{
	u8 state = READ_ONCE(span->state[i]);
	bool live = karena_is_live(state);

	if (state == KARENA_TINY)
		live = karena_tiny_count(READ_ONCE(span->tiny[i]));
	if (live)
		view->live[i / 64] |= BIT_ULL(i % 64);
	view->record.live += live;
	view->record.cached += state == KARENA_CACHED;
}

static u32 span_flags(const struct karena_span *span)
{
	const struct karena_central *central = span->central;
	u32 flags = central ? 0 : KARENA_SPAN_LARGE;

	if (span->layout->kind == KARENA_LAYOUT_NOSCAN)
		flags |= KARENA_SPAN_NOSCAN;
	if (span->layout->kind == KARENA_LAYOUT_CONSERVATIVE)
		flags |= KARENA_SPAN_CONSERVATIVE;
	if (span->tiny)
		flags |= KARENA_SPAN_PACKED;
	if (READ_ONCE(span->sample))
		flags |= KARENA_SPAN_SAMPLED;
	/* Both are of whoever has the central's lock. */
	if (central && data_race(span->swept) != data_race(central->swept))
		flags |= KARENA_SPAN_UNSWEPT;
	return flags;
}

static unsigned long pages_of(const struct karena_span *span)
{
	return span->central ? karena_class_pages[span->central->class] :
			       DIV_ROUND_UP(span->large_size, KARENA_PAGE_SIZE);
}

static void look_at_span(struct karena_heap *heap, const struct karena_span *span,
			 struct view *view)
{
	unsigned long start = (span->base - heap->base) >> KARENA_PAGE_SHIFT;
	u32 i, age = READ_ONCE(heap->cycle) - span->born;

	view->next = start + pages_of(span);
	view->record = (struct karena_span_record) {
		.size = sizeof(view->record),
		.flags = span_flags(span),
		.start = span->base,
		.length = (u64)pages_of(span) << KARENA_PAGE_SHIFT,
		.object_size = span->central ? span->size : span->large_size,
		.objects = span->nelems,
		.type = span->layout->type,
		.cycles = min(age, (u32)U16_MAX),
	};
	memset(view->live, 0, sizeof(view->live));
	for (i = 0; i < min_t(u32, span->nelems, MOST_OBJECTS); i++)
		look_at_object(span, i, view);
}

/* Pages with memory that are in no span; those with a record end behind the next one. */
static void look_at_free(struct karena_heap *heap, unsigned long page, struct view *view)
{
	struct karena_run *run;

	spin_lock_irq(&heap->lock);
	run = karena_runs_last(&heap->free, page + 1);
	if (run && page - run->start < run->npages) {
		view->next = run->start + run->npages;
		view->record = (struct karena_span_record) {
			.size = sizeof(view->record),
			.flags = KARENA_SPAN_FREE,
			.start = heap->base + (run->start << KARENA_PAGE_SHIFT),
			.length = (u64)run->npages << KARENA_PAGE_SHIFT,
		};
	}
	spin_unlock_irq(&heap->lock);
}

/* Whether a page may have memory: the quick answer for those that were given back. */
static bool may_have_memory(struct karena_uheap *uh, unsigned long page)
{
	const unsigned long *word;

	if (uh->private)
		return page < READ_ONCE(uh->grown);
	word = karena_pagemap_memory(uh->heap.map, page);
	return word && karena_memory_of(READ_ONCE(*word));
}

static void look_at(struct karena_uheap *uh, unsigned long page, struct view *view)
{
	struct karena_heap *heap = &uh->heap;
	struct karena_span *span;

	view->record.size = 0;
	view->next = page + 1;
	rcu_read_lock();
	span = karena_span_at(heap, heap->base + (page << KARENA_PAGE_SHIFT));
	if (span)
		look_at_span(heap, span, view);
	else if (may_have_memory(uh, page))
		look_at_free(heap, page, view);
	rcu_read_unlock();
}

static int list_spans(struct karena_heap *heap, struct output *out)
{
	struct karena_uheap *uh = to_uheap(heap);
	struct view *view = kmalloc(sizeof(*view), GFP_KERNEL_ACCOUNT);
	unsigned long page = out->req->from;
	size_t bits = 0;
	int err = view ? 0 : -ENOMEM;

	while (!err && page < uh->npages) {
		page = array_index_nospec(page, uh->npages);
		if (page % KARENA_LEAF_PAGES == 0) {
			cond_resched();
			if (fatal_signal_pending(current))
				err = -EINTR;
		}
		if (!READ_ONCE(heap->map->leaf[page >> KARENA_LEAF_SHIFT])) {
			page = round_down(page, KARENA_LEAF_PAGES) + KARENA_LEAF_PAGES;
			continue;
		}
		look_at(uh, page, view);
		if (view->record.size) {
			if (out->req->flags & KARENA_SPANS_LIVE)
				bits = DIV_ROUND_UP(view->record.objects, 64) * sizeof(u64);
			view->record.size += bits;
			err = put(out, &view->record, sizeof(view->record), view->live, bits);
		}
		if (!err)
			page = view->next;
	}
	kfree(view);
	out->req->from = page;
	return err;
}

/* --- types --- */

static void count_objects(const struct karena_type *type, struct karena_type_record *record)
{
	struct karena_class_stat stat;
	struct karena_central *central;
	unsigned int class;

	for (class = 0; class < KARENA_NR_CLASSES; class++) {
		/* Pairs with the cmpxchg in sized(). */
		central = READ_ONCE(type->sized[class]);
		if (!central)
			continue;
		karena_stats_central(central, &stat);
		record->live_objects += stat.live_objects;
		record->live_bytes += stat.live_objects * central->size;
	}
}

static int put_type(struct output *out, u32 id, const struct karena_type *type)
{
	const struct karena_layout *layout = type->layout;
	size_t more = round_up(layout->nr * sizeof(u32), sizeof(u64));
	struct karena_type_record record = {
		.size = sizeof(record) + more,
		.id = id,
		.flags = karena_type_flags(layout),
		.nr_refs = layout->nr,
		.element = type->element,
	};
	u32 *refs, i;
	int err;

	refs = kvzalloc(more + sizeof(*refs), GFP_KERNEL_ACCOUNT);
	if (!refs)
		return -ENOMEM;
	for (i = 0; i < layout->nr; i++)
		refs[i] = layout->offset[i] * sizeof(u64);
	strscpy_pad(record.name, type->name, sizeof(record.name));
	count_objects(type, &record);
	err = put(out, &record, sizeof(record), refs, more);
	kvfree(refs);
	return err;
}

static int list_types(struct karena_heap *heap, struct output *out)
{
	struct karena_type *type;
	unsigned long id;
	int err = 0;

	xa_for_each_start(&to_uheap(heap)->types, id, type, out->req->from) {
		err = put_type(out, id, type);
		if (err)
			break;
	}
	out->req->from = id;
	return err;
}

/* --- magazines --- */

/*
 * Those of the kernel by central, the oldest first, as there may be new ones at any time:
 * of each CPU, then the depot.  Those of programs by number are behind them all.
 */
static struct karena_central **get_centrals(struct karena_heap *heap, unsigned int *nr)
{
	struct karena_central *newest = karena_first_central(heap), *central, **centrals;
	unsigned int n = 0;

	/* Others come before it only. */
	for (central = newest; central; central = central->next)
		n++;
	*nr = n;
	centrals = kvmalloc_array(n + 1, sizeof(*centrals), GFP_KERNEL_ACCOUNT);
	for (central = newest; centrals && central; central = central->next)
		centrals[--n] = central;
	return centrals;
}

static void look_at_cache(struct karena_central *central, unsigned int cpu,
			  struct karena_cache_record *record)
{
	*record = (struct karena_cache_record) {
		.size = sizeof(*record),
		.cpu = cpu,
		.object_size = central->size,
		.type = central->layout->type,
		.flags = central->layout->kind == KARENA_LAYOUT_NOSCAN ? KARENA_CACHE_NOSCAN : 0,
	};
	if (cpu == KARENA_CACHE_DEPOT) {
		/* As it is just now. */
		record->objects = data_race(central->nr_cached);
		record->room = record->objects;
		return;
	}
	record->objects = karena_stats_cached(central, cpu);
	record->room = 2 * karena_class_magazine(central->class);
}

static void look_at_magazine(struct karena_uheap *uh, unsigned int number, unsigned int cpu,
			     struct karena_cache_record *record)
{
	bool noscan = number >= KARENA_LARGE_MAGAZINE || (number && (number - 1) % 2);

	*record = (struct karena_cache_record) {
		.size = sizeof(*record),
		.cpu = cpu,
		.object_size = karena_magazine_bytes(number),
		.flags = KARENA_CACHE_PROGRAM | (noscan ? KARENA_CACHE_NOSCAN : 0),
	};
	record->objects = karena_magazine_count(uh, cpu, number, &record->room);
}

/* What is at a place of the list; @central is that of the place, or NULL. */
static void look_at_place(struct karena_heap *heap, struct karena_central *central,
			  unsigned int number, unsigned int cpu,
			  struct karena_cache_record *record)
{
	record->objects = 0;
	if (cpu < nr_cpu_ids && !cpu_possible(cpu))
		return;
	if (central)
		look_at_cache(central, cpu < nr_cpu_ids ? cpu : KARENA_CACHE_DEPOT, record);
	else if (cpu < nr_cpu_ids)
		look_at_magazine(to_uheap(heap), array_index_nospec(number, KARENA_NR_MAGAZINES),
				 cpu, record);
}

static int list_caches(struct karena_heap *heap, struct output *out)
{
	const unsigned int each = nr_cpu_ids + 1;
	unsigned int nr, cpu, n;
	struct karena_central **centrals = get_centrals(heap, &n);
	const u64 places = (u64)(n + (heap->user ? KARENA_NR_MAGAZINES : 0)) * each;
	struct karena_cache_record record;
	u64 place = out->req->from;
	int err = centrals ? 0 : -ENOMEM;

	for (; !err && place < places; place += !err) {
		nr = div_u64_rem(place, each, &cpu);
		look_at_place(heap, nr < n ? centrals[array_index_nospec(nr, n)] : NULL, nr - n,
			      cpu, &record);
		if (record.objects)
			err = put(out, &record, sizeof(record), NULL, 0);
		cond_resched();
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
	}
	kvfree(centrals);
	out->req->from = place;
	return err;
}

/* --- roots --- */

static int list_roots(struct karena_heap *heap, struct output *out)
{
	struct karena_roots *roots = to_uheap(heap)->roots;
	struct karena_root_record record;
	int err = 0;

	if (!roots)
		return -EINVAL;
	while (!err && karena_roots_tell(roots, out->req->from, &record)) {
		err = put(out, &record, sizeof(record), NULL, 0);
		out->req->from += !err;
	}
	return err;
}

static const struct list {
	int (*list)(struct karena_heap *heap, struct output *out);
	u32 flags;
	bool kernel;			/* of kernel heaps, too */
} lists[] = {
	[_IOC_NR(KARENA_IOC_SPANS)] = { list_spans, KARENA_SPANS_LIVE, false },
	[_IOC_NR(KARENA_IOC_TYPES)] = { list_types, 0, false },
	[_IOC_NR(KARENA_IOC_ROOTS)] = { list_roots, 0, false },
	[_IOC_NR(KARENA_IOC_CACHES)] = { list_caches, 0, true },
};

/* A list of a heap, by the number of the call; sleeps. */
int karena_do_list(struct karena_heap *heap, struct karena_list *req, unsigned int nr)
{
	const struct list *list = &lists[nr];
	struct output out = { .req = req };
	int err;

	if (req->flags & ~list->flags || req->reserved || req->length < LEAST_ROOM ||
	    !IS_ALIGNED(req->records, sizeof(u64)) || (!heap->user && !list->kernel))
		return -EINVAL;
	err = list->list(heap, &out);
	if (err < 0)
		return err;
	req->length = out.done;
	if (err != FULL)
		req->from = 0;
	return 0;
}
