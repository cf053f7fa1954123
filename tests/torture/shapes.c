// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps of millions of objects in the shapes that are worst for a marker: what is
 * found alive is counted exactly, its contents are whole, it goes when the roots
 * do, and stacks of grey objects stay within their bound.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "torture.h"

#define OBJECTS		10000000ULL
#define LEAST_STACK	SZ_1M		/* the bound, or this part of what is used */
#define STACK_PART	16

struct link {
	struct link *next;
	unsigned long number;
};

struct cell {
	struct cell *ref[2];
	unsigned long number;
};

struct heap_shape {
	struct karena_heap *heap;
	struct karena_type *links;
	struct karena_type *cells;
	struct karena_type *words;	/* arrays of references */
	struct rnd_state rnd;
	unsigned int nr;		/* objects to make */
	void *root;
	void **roots;			/* more of them, or NULL */
	struct cell **all;		/* no roots, or NULL */
	unsigned long *reached;		/* by number, or NULL */
};

/* Makes it, in a mutator section; how many of its objects can be reached. */
typedef u64 build_fn(struct heap_shape *s);
/* Looks at what is left. */
typedef void check_fn(struct heap_shape *s);

static struct link *new_link(struct heap_shape *s, unsigned long number)
{
	struct link *link = karena_new(s->links, 0, GFP_KERNEL);

	cond_resched();
	if (!link)
		tt_fail("no memory for an object");
	else
		link->number = number;
	return link;
}

static struct cell *new_cell(struct heap_shape *s, unsigned long number)
{
	struct cell *cell = karena_new(s->cells, 0, GFP_KERNEL);

	cond_resched();
	if (!cell)
		tt_fail("no memory for an object");
	else
		cell->number = number;
	return cell;
}

/* From the last one to the first, in the root or nowhere. */
static struct link *build_links(struct heap_shape *s)
{
	struct link *head = NULL, *link;
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		link = new_link(s, i);
		if (!link)
			break;
		karena_store(s->heap, &link->next, head);
		head = link;
	}
	return head;
}

static u64 build_list(struct heap_shape *s)
{
	karena_store(s->heap, &s->root, (void *)build_links(s));
	return s->nr;
}

static void check_list(struct heap_shape *s)
{
	struct link *link = s->root;
	unsigned int left = s->nr;

	for (; link && left && link->number == left - 1; link = link->next)
		left--;
	tt_equal("links of a list that are missing", left, 0);
	if (link)
		tt_fail("a list goes on where it should end");
}

/* Each level has a leaf, and all that is below, on either side. */
static u64 build_deep_tree(struct heap_shape *s)
{
	struct cell *at = new_cell(s, 0), *leaf, *next;
	unsigned int i, side;

	karena_store(s->heap, &s->root, (void *)at);
	for (i = 1; at && i + 1 < s->nr; i += 2) {
		side = tt_below(&s->rnd, 2);
		leaf = new_cell(s, i);
		karena_store(s->heap, &at->ref[side], leaf);
		next = new_cell(s, i + 1);
		karena_store(s->heap, &at->ref[!side], next);
		at = next;
	}
	return i;
}

/* Leaves have no references, and odd numbers. */
static void check_deep_tree(struct heap_shape *s)
{
	struct cell *at = s->root, *a, *b;
	unsigned int i, side;

	for (i = 0; at && at->number == i; i += 2) {
		a = at->ref[0];
		b = at->ref[1];
		if (!a || !b)
			break;
		side = a->number == i + 1;
		if (at->ref[!side]->number != i + 1)
			break;
		at = at->ref[side];
	}
	tt_equal("end of a deep tree", i, (s->nr - 1) / 2 * 2);
}

static u64 build_wide_fan(struct heap_shape *s)
{
	struct cell **array = karena_new_array(s->words, s->nr, GFP_KERNEL);
	unsigned int i;

	if (!array) {
		tt_fail("no memory for an array");
		return 0;
	}
	karena_store(s->heap, &s->root, (void *)array);
	for (i = 0; i < s->nr; i++)
		karena_store(s->heap, &array[i], new_cell(s, i));
	return s->nr + 1ULL;
}

static void check_wide_fan(struct heap_shape *s)
{
	struct cell **array = s->root;
	unsigned int i;

	for (i = 0; array && i < s->nr; i++)
		if (!array[i] || array[i]->number != i)
			break;
	tt_equal("objects of an array that are whole", i, s->nr);
}

/* What a cell of a random graph refers to, without a table. */
static unsigned int edge(struct heap_shape *s, unsigned int from, unsigned int side)
{
	return hash_64(2ULL * from + side + 0x1234567, 48) % s->nr;
}

static u64 reach(struct heap_shape *s)
{
	unsigned int *todo = kvmalloc_array(s->nr, sizeof(*todo), GFP_KERNEL);
	unsigned int nr = 0, side, to;
	u64 n = 0;

	if (!todo) {
		tt_fail("no memory for the oracle");
		return 0;
	}
	__set_bit(0, s->reached);
	todo[nr++] = 0;
	while (nr) {
		unsigned int from = todo[--nr];

		n++;
		for (side = 0; side < 2; side++) {
			to = edge(s, from, side);
			if (!__test_and_set_bit(to, s->reached))
				todo[nr++] = to;
		}
		cond_resched();
	}
	kvfree(todo);
	return n;
}

static u64 build_random_graph(struct heap_shape *s)
{
	unsigned int i, side;

	/* Each costs several cache misses, and the oracle's as many. */
	s->nr /= 4;
	s->all = kvcalloc(s->nr, sizeof(*s->all), GFP_KERNEL);
	s->reached = kvcalloc(BITS_TO_LONGS(s->nr), sizeof(long), GFP_KERNEL);
	if (!s->all || !s->reached) {
		tt_fail("no memory for the oracle");
		return 0;
	}
	for (i = 0; i < s->nr; i++) {
		s->all[i] = new_cell(s, i);
		if (!s->all[i])
			return 0;
	}
	for (i = 0; i < s->nr; i++) {
		for (side = 0; side < 2; side++)
			karena_store(s->heap, &s->all[i]->ref[side], s->all[edge(s, i, side)]);
		cond_resched();
	}
	karena_store(s->heap, &s->root, (void *)s->all[0]);
	return reach(s);
}

static void check_random_graph(struct heap_shape *s)
{
	unsigned int i, wrong = 0;

	for (i = 0; s->reached && i < s->nr; i++)
		if (test_bit(i, s->reached))
			wrong += s->all[i]->number != i ||
				 s->all[i]->ref[0] != s->all[edge(s, i, 0)] ||
				 s->all[i]->ref[1] != s->all[edge(s, i, 1)];
	tt_equal("cells of a random graph that are wrong", wrong, 0);
}

static u64 build_garbage(struct heap_shape *s)
{
	build_links(s);
	return 0;
}

/* A root for each object. */
static u64 build_no_garbage(struct heap_shape *s)
{
	unsigned int i;

	s->roots = kvcalloc(s->nr, sizeof(*s->roots), GFP_KERNEL);
	if (!s->roots || karena_root_add(s->heap, s->roots, s->nr)) {
		tt_fail("no memory for roots");
		return 0;
	}
	for (i = 0; i < s->nr; i++)
		karena_store(s->heap, &s->roots[i], (void *)new_cell(s, i));
	return s->nr;
}

static void check_no_garbage(struct heap_shape *s)
{
	unsigned int i;

	for (i = 0; s->roots && i < s->nr; i++)
		if (((struct cell *)s->roots[i])->number != i)
			break;
	tt_equal("objects of roots that are whole", i, s->nr);
}

static struct karena_type *type_of(struct karena_heap *heap, size_t size, unsigned int nr_refs)
{
	static const u32 refs[] = { 0, 8 };
	const struct karena_layout_attr layout = {
		.name = "shape", .size = size, .refs = refs, .nr_refs = nr_refs,
	};

	return karena_type_register(heap, &layout, NULL);
}

static bool shape_init(struct heap_shape *s)
{
	s->links = type_of(s->heap, sizeof(struct link), 1);
	s->cells = type_of(s->heap, sizeof(struct cell), 2);
	s->words = type_of(s->heap, sizeof(void *), 1);
	s->nr = min(tt_scale(OBJECTS), OBJECTS);
	tt_seed(&s->rnd, 0);
	return !IS_ERR(s->links) && !IS_ERR(s->cells) && !IS_ERR(s->words) &&
	       !karena_root_add(s->heap, &s->root, 1);
}

/* The length that no slice reached, in microseconds; 0: some were longer than is told apart. */
static u64 longest_slice(const struct karena_gc_stats *stats)
{
	unsigned int i = KARENA_SLICE_BUCKETS;

	while (i > 1 && !stats->slice_us[i - 1])
		i--;
	return i == KARENA_SLICE_BUCKETS ? 0 : BIT_ULL(i - 1);
}

/* What collecting has cost; @used: most bytes that objects have had. */
static void check_cost(struct heap_shape *s, u64 used)
{
	u64 bound = max_t(u64, used / STACK_PART, LEAST_STACK);
	struct karena_gc_stats stats;

	karena_gc_stats(s->heap, &stats);
	tt_note("%u objects, %llu cycles, %llu ms marking, stacks %llu of %llu KiB", s->nr,
		stats.cycles, div_u64(stats.mark_ns, NSEC_PER_MSEC), stats.stack_peak / SZ_1K,
		bound / SZ_1K);
	tt_note("%llu slices, %llu late, all below %llu us (0: no telling)", stats.slices,
		stats.late, longest_slice(&stats));
	if (stats.stack_peak > bound)
		tt_equal("bytes of stacks", stats.stack_peak, bound);
}

static void drop_roots(struct heap_shape *s)
{
	int section = karena_enter(s->heap);

	karena_store(s->heap, &s->root, NULL);
	karena_exit(s->heap, section);
	if (s->roots)
		karena_root_del(s->heap, s->roots);
	tt_collect_twice(s->heap);
	tt_equal("objects alive without roots", tt_live(s->heap), 0);
}

static void shape_run(struct heap_shape *s, build_fn *build, check_fn *check)
{
	struct karena_heap_stats stats;
	int section = karena_enter(s->heap);
	u64 alive = build(s);

	karena_exit(s->heap, section);
	karena_heap_stats(s->heap, &stats);
	tt_collect_twice(s->heap);
	tt_equal("objects alive", tt_live(s->heap), alive);
	if (check)
		check(s);
	drop_roots(s);
	check_cost(s, stats.span_bytes);
}

static void shape(build_fn *build, check_fn *check)
{
	struct heap_shape s = { .heap = tt_heap(0, false) };

	if (!s.heap)
		return;
	if (shape_init(&s))
		shape_run(&s, build, check);
	else
		tt_fail("no type or root");
	tt_heap_end(s.heap);
	kvfree(s.roots);
	kvfree(s.all);
	kvfree(s.reached);
}

void tt_list(void)
{
	shape(build_list, check_list);
}

void tt_deep_tree(void)
{
	shape(build_deep_tree, check_deep_tree);
}

void tt_wide_fan(void)
{
	shape(build_wide_fan, check_wide_fan);
}

void tt_random_graph(void)
{
	shape(build_random_graph, check_random_graph);
}

void tt_all_garbage(void)
{
	shape(build_garbage, NULL);
}

void tt_no_garbage(void)
{
	shape(build_no_garbage, check_no_garbage);
}
