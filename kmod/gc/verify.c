// SPDX-License-Identifier: GPL-2.0
/*
 * Go's gccheckmark: what is reachable is found a second time, by the simplest
 * means, and compared with the marks.  An object that is reachable and not marked
 * would be lost; it is reported with the path that leads to it, and kept.
 *
 * It runs when marking is complete, before anything is swept.  Mutators go on:
 * whatever they can reach then was reachable at the snapshot or is new, and so has
 * a mark; who asks for the object of a weak reference waits.  Programs are stopped
 * meanwhile, as their roots are on their stacks; what they have shaded until then (a
 * page's first write shades what dead objects refer to, too) is scanned first.  It shares
 * no code with mark.c but for the lookup of a span; its own marks are in a bitmap for each
 * span, found through an xarray.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "gc.h"

/* Objects on the way from a root to where the search is. */
struct trail {
	struct karena_span *span;
	unsigned long addr;		/* start of the object */
	unsigned long at;		/* next word of it to look at */
};

struct search {
	struct karena_gc *gc;
	struct xarray seen;		/* bitmap by span */
	struct trail *path;
	size_t depth;
	size_t room;
	u64 lost;
	bool out_of_memory;
	struct karena_origin origin;	/* of a program's root */
};

#define REPORTED_PATH	16u
#define REPORTED_LOST	4u
#define PAST_END	256u		/* bytes: the largest element of such a loop */

static unsigned long span_key(struct karena_span *span)
{
	return (unsigned long)span / sizeof(long);
}

/* Whether the object was seen before; it has been now. */
static bool seen(struct search *s, struct karena_span *span, u32 index)
{
	unsigned long *bits = xa_load(&s->seen, span_key(span));

	if (!bits) {
		bits = bitmap_zalloc(span->nelems, GFP_KERNEL);
		if (!bits || xa_err(xa_store(&s->seen, span_key(span), bits, GFP_KERNEL))) {
			bitmap_free(bits);
			s->out_of_memory = true;
			return true;
		}
	}
	return __test_and_set_bit(index, bits);
}

static bool make_room(struct search *s)
{
	size_t room = max_t(size_t, 2 * s->room, 1024);
	struct trail *path;

	if (s->depth < s->room)
		return true;
	path = kvmalloc_array(room, sizeof(*path), GFP_KERNEL);
	if (!path) {
		s->out_of_memory = true;
		return false;
	}
	if (s->depth)
		memcpy(path, s->path, s->depth * sizeof(*path));
	kvfree(s->path);
	s->path = path;
	s->room = room;
	return true;
}

/* Where the root is, if it is a program's. */
static void report_origin(const struct karena_origin *origin)
{
	static const char * const kinds[] = {
		[KARENA_ROOT_REGISTER] = "word of registers", [KARENA_ROOT_STACK] = "stack at",
		[KARENA_ROOT_RANGE] = "range at",
	};
	const struct task_struct *task = origin->task;

	if (task)
		pr_err("  %s %#lx of %s[%d], thread %d\n", kinds[origin->kind], origin->at,
		       task->comm, task->tgid, origin->of_thread ? task->pid : 0);
}

static void report(struct search *s, struct karena_span *span, u32 index)
{
	size_t i, first = s->depth > REPORTED_PATH ? s->depth - REPORTED_PATH : 0;

	s->lost++;
	/* Its data is worth more than the bug: it stays. */
	set_bit(index, span->mark);
	if (!karena_is_planted(KARENA_PLANT_NONE) || s->lost > REPORTED_LOST)
		return;
	pr_err("heap %u (%s): BUG: object %u of a span of %u bytes is reachable and not marked; path of %zu objects from a root:\n",
	       s->gc->heap->id, s->gc->heap->name, index, span->size, s->depth);
	report_origin(&s->origin);
	for (i = first; i < s->depth; i++)
		pr_err("  object of %u bytes, by the word before offset %lu\n",
		       s->path[i].span->size, s->path[i].at - s->path[i].addr);
}

/*
 * Whether a slot has an object.  A register may have gone past the end of one, or have what
 * was freed; what such a slot refers to is of no interest, and may have a mark without having
 * been scanned: in the kernel's magazines.  What a cycle has lost has failed its check.
 */
static bool is_object(const struct karena_span *span, u32 index)
{
	return !span->state || karena_is_live(READ_ONCE(span->state[index]));
}

/* Follows a word; the object that it leads to is next on the path. */
static void visit(struct search *s, unsigned long word)
{
	struct karena_span *span;
	unsigned long addr;
	u32 index;

	rcu_read_lock();
	span = karena_find_object(s->gc->heap, word, &index);
	rcu_read_unlock();
	if (!span || !is_object(span, index) || seen(s, span, index))
		return;
	if (!test_bit(index, span->mark))
		report(s, span, index);
	if (span->layout->kind == KARENA_LAYOUT_NOSCAN || !make_room(s))
		return;
	addr = span->base + (unsigned long)index * span->size;
	s->path[s->depth++] = (struct trail){ span, addr, addr };
}

/* Whether a word of an object is a reference, by its layout. */
static bool is_ref(const struct karena_layout *layout, unsigned long offset, size_t size)
{
	u32 i, word;

	if (layout->kind == KARENA_LAYOUT_CONSERVATIVE)
		return true;
	if (rounddown(offset, layout->size) + layout->size > size)
		return false;
	word = offset % layout->size / sizeof(long);
	for (i = 0; i < layout->nr; i++)
		if (layout->offset[i] == word)
			return true;
	return false;
}

static void search(struct search *s)
{
	struct trail *top;
	unsigned long at;
	size_t size;

	while (s->depth) {
		top = &s->path[s->depth - 1];
		size = top->span->size ? top->span->size : top->span->large_size;
		if (top->at >= top->addr + size) {
			s->depth--;
			continue;
		}
		at = top->at;
		top->at += sizeof(long);
		if (is_ref(top->span->layout, at - top->addr, size))
			visit(s, karena_read_word(s->gc->heap, at));
		cond_resched();
	}
}

/* What programs, which stand by now, have shaded until then. */
static void scan_greys(struct search *s)
{
	if (!karena_queue_idle(&s->gc->queue))
		karena_mark_all(s->gc);
}

/* Whether there is a marked object at an address. */
static bool is_marked(struct search *s, unsigned long word)
{
	struct karena_span *span;
	bool marked;
	u32 index;

	rcu_read_lock();
	span = karena_find_object(s->gc->heap, word, &index);
	marked = span && test_bit(index, span->mark);
	rcu_read_unlock();
	return marked;
}

static void visit_root(struct search *s, unsigned long word)
{
	visit(s, word);
	search(s);
}

/* A word of a program's memory. */
static void visit_program(void *arg, unsigned long word)
{
	scan_greys(arg);
	visit_root(arg, word);
}

/* Where the object begins that a word leads to; 0 if to none. */
static unsigned long object_start(struct search *s, unsigned long word)
{
	struct karena_span *span;
	unsigned long start;
	u32 index;

	rcu_read_lock();
	span = karena_find_object(s->gc->heap, word, &index);
	start = span ? span->base + (unsigned long)index * span->size : 0;
	rcu_read_unlock();
	return start;
}

/*
 * A word of a thread: if it is nothing else it may be past the end of the object before,
 * where a loop over its elements, or over a field of them, has ended.
 */
static void visit_thread(void *arg, unsigned long word)
{
	struct search *s = arg;
	unsigned long start;

	scan_greys(s);
	start = object_start(s, word);
	if (!start)
		return;
	if (is_marked(s, word) || word - start >= PAST_END || !is_marked(s, start - 1))
		visit_root(s, word);
}

static void search_roots(struct search *s)
{
	struct karena_root *root;
	unsigned long index, i;
	void *count;

	xa_for_each(&s->gc->roots, index, root)
		for (i = 0; i < root->nr; i++)
			/* Its user may be writing. */
			visit_root(s, data_race(READ_ONCE(((unsigned long *)root->start)[i])));
	xa_for_each(&s->gc->pins, index, count)
		visit_root(s, index * sizeof(void *));
}

/*
 * Checks the marks of a cycle; how many objects would be lost.  Without memory it
 * ends early, and says so.
 */
u64 karena_verify(struct karena_gc *gc)
{
	struct search s = { .gc = gc };
	const struct karena_visitor visitor = {
		.word = visit_program,
		.thread_word = visit_thread,
		.arg = &s,
		.origin = &s.origin,
	};
	unsigned long index, *bits;

	xa_init(&s.seen);
	mutex_lock(&gc->roots_lock);
	search_roots(&s);
	mutex_unlock(&gc->roots_lock);
	if (gc->world)
		gc->world->visit(gc->heap, &visitor);
	xa_for_each(&s.seen, index, bits)
		bitmap_free(bits);
	xa_destroy(&s.seen);
	kvfree(s.path);
	if (s.out_of_memory)
		pr_warn("heap %u (%s): gc_check: not complete, out of memory\n",
			gc->heap->id, gc->heap->name);
	return s.lost;
}
