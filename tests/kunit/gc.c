// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that the collector keeps what can be reached and frees what cannot: by
 * an oracle that marks the same graph of its own numbers, for random graphs of
 * typed, conservative and large objects; with mutators at work, by the contents of
 * what they can reach and by the check of the collector; and that a barrier which
 * is left out is noticed.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include "gc.h"

static void lists_are_kept_and_freed(struct kunit *test)
{
	struct karena_heap *heap = gc_heap(test);
	struct karena_type *type = node_type(test, heap);
	static struct node *root;
	struct node *node;
	unsigned int i;
	int section;

	root = NULL;
	KUNIT_ASSERT_EQ(test, karena_root_add(heap, &root, 1), 0);
	section = karena_enter(heap);
	for (i = 0; i < 5000; i++) {
		node = karena_new(type, 0, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, node);
		node->number = i;
		karena_store(heap, &node->ref[i % NODE_REFS], root);
		karena_store(heap, &root, node);
	}
	karena_exit(heap, section);
	KUNIT_EXPECT_EQ(test, karena_collect(heap, true), 0);
	KUNIT_EXPECT_EQ(test, live_objects(heap), 5000);
	section = karena_enter(heap);
	for (node = root; i-- > 0; node = node->ref[i % NODE_REFS])
		KUNIT_ASSERT_EQ(test, node->number, i);
	karena_store(heap, &root, NULL);
	karena_exit(heap, section);
	KUNIT_EXPECT_EQ(test, karena_collect(heap, true), 0);
	KUNIT_EXPECT_EQ(test, live_objects(heap), 0);
	KUNIT_EXPECT_EQ(test, karena_root_del(heap, &root), 0);
	gc_heap_end(test, heap);
}

/* A graph twice: in the heap, and as numbers. */
#define GRAPH_MOST	4000
#define GRAPH_ROOTS	8

enum graph_kind { TYPED, ARRAY, CONSERVATIVE, HUGE_ONE, NOSCAN, NR_KINDS };

struct graph {
	struct karena_heap *heap;
	struct karena_type *type;
	unsigned int nr;
	struct node *root[GRAPH_ROOTS];
	int root_to[GRAPH_ROOTS];
	struct node *node[GRAPH_MOST];
	enum graph_kind kind[GRAPH_MOST];
	int to[GRAPH_MOST][NODE_REFS];
	bool reached[GRAPH_MOST];
	int todo[GRAPH_MOST];
};

static struct node *graph_alloc(struct graph *g, enum graph_kind kind, struct rnd_state *rnd)
{
	switch (kind) {
	case TYPED:
		return karena_new(g->type, 0, GFP_KERNEL);
	case ARRAY:
		return karena_new_array(g->type, 1 + kt_below(rnd, 2000), GFP_KERNEL);
	case CONSERVATIVE:
		return karena_alloc(g->heap, sizeof(struct node) + kt_below(rnd, 3000), 0,
				    GFP_KERNEL);
	case HUGE_ONE:
		return karena_alloc(g->heap, 40000 + kt_below(rnd, 300000), 0, GFP_KERNEL);
	default:
		return karena_alloc(g->heap, sizeof(struct node), KARENA_NOSCAN, GFP_KERNEL);
	}
}

static enum graph_kind any_kind(struct rnd_state *rnd)
{
	unsigned int n = kt_below(rnd, 100);

	if (n < 2)
		return HUGE_ONE;
	if (n < 6)
		return ARRAY;
	return n < 25 ? CONSERVATIVE : n < 35 ? NOSCAN : TYPED;
}

static void graph_build(struct kunit *test, struct graph *g, struct rnd_state *rnd)
{
	unsigned int i, j;
	int to;

	for (i = 0; i < g->nr; i++) {
		g->kind[i] = any_kind(rnd);
		g->node[i] = graph_alloc(g, g->kind[i], rnd);
		KUNIT_ASSERT_NOT_NULL(test, g->node[i]);
		g->node[i]->number = i;
		g->node[i]->check = ~(unsigned long)i;
	}
	for (i = 0; i < g->nr; i++) {
		for (j = 0; j < NODE_REFS; j++) {
			to = kt_below(rnd, 3) ? -1 : kt_below(rnd, g->nr);
			g->to[i][j] = to;
			if (to >= 0)
				karena_store(g->heap, &g->node[i]->ref[j], g->node[to]);
		}
	}
	for (i = 0; i < GRAPH_ROOTS; i++) {
		g->root_to[i] = kt_below(rnd, 2) ? -1 : kt_below(rnd, g->nr);
		karena_store(g->heap, &g->root[i],
			     g->root_to[i] < 0 ? NULL : g->node[g->root_to[i]]);
	}
}

static void graph_found(struct graph *g, int at, unsigned int *n)
{
	if (at < 0 || g->reached[at])
		return;
	g->reached[at] = true;
	g->todo[(*n)++] = at;
}

/* How many objects the oracle reaches. */
static unsigned int graph_reach(struct graph *g)
{
	unsigned int i, n = 0, reached = 0;
	int at;

	memset(g->reached, 0, sizeof(g->reached));
	for (i = 0; i < GRAPH_ROOTS; i++)
		graph_found(g, g->root_to[i], &n);
	while (n) {
		at = g->todo[--n];
		reached++;
		for (i = 0; i < NODE_REFS && g->kind[at] != NOSCAN; i++)
			graph_found(g, g->to[at][i], &n);
	}
	return reached;
}

static void graph_check(struct kunit *test, struct graph *g)
{
	unsigned int i, j;

	for (i = 0; i < g->nr; i++) {
		if (!g->reached[i])
			continue;
		KUNIT_ASSERT_EQ(test, g->node[i]->number, i);
		KUNIT_ASSERT_EQ(test, g->node[i]->check, ~(unsigned long)i);
		for (j = 0; j < NODE_REFS; j++)
			KUNIT_ASSERT_PTR_EQ(test, g->node[i]->ref[j],
					    g->to[i][j] < 0 ? NULL : g->node[g->to[i][j]]);
	}
}

static void random_graphs_against_oracle(struct kunit *test)
{
	struct graph *g = kvzalloc(sizeof(*g), GFP_KERNEL);
	unsigned int round, reached;
	struct rnd_state rnd;
	int section;

	KUNIT_ASSERT_NOT_NULL(test, g);
	kt_seed(test, &rnd);
	for (round = 0; round < kt_steps(40); round++) {
		g->heap = gc_heap(test);
		g->type = node_type(test, g->heap);
		g->nr = 1 + kt_below(&rnd, GRAPH_MOST / (KT_SLOW ? 10 : 1));
		memset(g->root, 0, sizeof(g->root));
		KUNIT_ASSERT_EQ(test, karena_root_add(g->heap, g->root, GRAPH_ROOTS), 0);
		section = karena_enter(g->heap);
		graph_build(test, g, &rnd);
		karena_exit(g->heap, section);
		reached = graph_reach(g);
		KUNIT_EXPECT_EQ(test, karena_collect(g->heap, true), 0);
		KUNIT_EXPECT_EQ(test, live_objects(g->heap), reached);
		graph_check(test, g);
		memset(g->root, 0, sizeof(g->root));
		karena_collect(g->heap, true);
		KUNIT_EXPECT_EQ(test, live_objects(g->heap), 0);
		gc_heap_end(test, g->heap);
	}
	kvfree(g);
}

/*
 * Random changes to a graph, each done to the heap and to the oracle's numbers, and
 * only to what can be reached.  Now and then a cycle: what is left is what the oracle
 * reaches, whole; all else is free, and its number used again.
 */
#define CHANGES		2000

static int graph_walk(struct graph *g, struct rnd_state *rnd)
{
	int at = g->root_to[kt_below(rnd, GRAPH_ROOTS)], next;
	unsigned int far = kt_below(rnd, 20);

	while (at >= 0 && far--) {
		next = g->kind[at] == NOSCAN ? -1 : g->to[at][kt_below(rnd, NODE_REFS)];
		if (next < 0)
			break;
		at = next;
	}
	return at;
}

/* Stores a reference to @to, -1 for none, into any place that can be reached. */
static void graph_store(struct graph *g, struct rnd_state *rnd, int to)
{
	int at = kt_below(rnd, 5) ? graph_walk(g, rnd) : -1;
	struct node *node = to < 0 ? NULL : g->node[to];
	unsigned int j;

	if (at < 0 || g->kind[at] == NOSCAN) {
		j = kt_below(rnd, GRAPH_ROOTS);
		g->root_to[j] = to;
		karena_store(g->heap, &g->root[j], node);
	} else {
		j = kt_below(rnd, NODE_REFS);
		g->to[at][j] = to;
		karena_store(g->heap, &g->node[at]->ref[j], node);
	}
}

static void graph_add(struct kunit *test, struct graph *g, struct rnd_state *rnd)
{
	unsigned int i = kt_below(rnd, GRAPH_MOST), j;

	if (g->node[i])
		return;
	g->kind[i] = any_kind(rnd);
	g->node[i] = graph_alloc(g, g->kind[i], rnd);
	KUNIT_ASSERT_NOT_NULL(test, g->node[i]);
	g->node[i]->number = i;
	g->node[i]->check = ~(unsigned long)i;
	for (j = 0; j < NODE_REFS; j++)
		g->to[i][j] = -1;
	graph_store(g, rnd, i);
}

static void graph_change(struct kunit *test, struct graph *g, struct rnd_state *rnd)
{
	int section = karena_enter(g->heap);

	switch (kt_below(rnd, 8)) {
	case 0 ... 3:
		graph_add(test, g, rnd);
		break;
	case 4 ... 6:
		graph_store(g, rnd, graph_walk(g, rnd));
		break;
	default:
		graph_store(g, rnd, -1);
	}
	karena_exit(g->heap, section);
}

static void graph_forget_dead(struct graph *g)
{
	unsigned int i;

	for (i = 0; i < GRAPH_MOST; i++)
		if (!g->reached[i])
			g->node[i] = NULL;
}

static void changes_against_oracle(struct kunit *test)
{
	struct graph *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);
	unsigned int round, i, reached;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, g);
	kt_seed(test, &rnd);
	g->heap = gc_heap(test);
	g->type = node_type(test, g->heap);
	g->nr = GRAPH_MOST;
	memset(g->root_to, -1, sizeof(g->root_to));
	KUNIT_ASSERT_EQ(test, karena_root_add(g->heap, g->root, GRAPH_ROOTS), 0);
	for (round = 0; round < kt_steps(100); round++) {
		for (i = 0; i < CHANGES; i++)
			graph_change(test, g, &rnd);
		reached = graph_reach(g);
		KUNIT_EXPECT_EQ(test, karena_collect(g->heap, true), 0);
		KUNIT_ASSERT_EQ(test, live_objects(g->heap), reached);
		graph_check(test, g);
		graph_forget_dead(g);
	}
	gc_heap_end(test, g->heap);
}

/*
 * Mutators: threads that share a graph and change it in all ways that there are,
 * while cycles run one after the other.  Whatever they come by must be alive and
 * whole.
 */
#define SHARED_ROOTS	64
#define WALK		8
#define MUTATORS	4

struct shared {
	struct karena_heap *heap;
	struct karena_type *type;
	struct node *root[SHARED_ROOTS];
	unsigned int steps;
	atomic_t left;			/* mutators that are still at work */
};

static bool whole(struct shared *s, struct node *node)
{
	return karena_usable_size(s->heap, node) >= sizeof(*node) &&
	       READ_ONCE(node->check) == ~READ_ONCE(node->number);
}

/* Some object that can be reached, or NULL; @errors counts those that are broken. */
static struct node *wander(struct shared *s, struct rnd_state *rnd, int *errors)
{
	struct node *node = READ_ONCE(s->root[kt_below(rnd, SHARED_ROOTS)]), *next;
	unsigned int i, far = kt_below(rnd, WALK);

	for (i = 0; node && i < far; i++) {
		if (!whole(s, node)) {
			(*errors)++;
			return NULL;
		}
		next = READ_ONCE(node->ref[kt_below(rnd, NODE_REFS)]);
		if (!next)
			break;
		node = next;
	}
	return node;
}

static struct node **any_slot(struct shared *s, struct rnd_state *rnd, int *errors)
{
	struct node *node = kt_below(rnd, 4) ? wander(s, rnd, errors) : NULL;

	return node ? &node->ref[kt_below(rnd, NODE_REFS)] :
		      &s->root[kt_below(rnd, SHARED_ROOTS)];
}

static struct node *fresh(struct shared *s, struct rnd_state *rnd, int *errors)
{
	struct node *node = karena_new(s->type, 0, GFP_KERNEL);
	unsigned int i;

	if (!node)
		return NULL;
	node->number = prandom_u32_state(rnd);
	node->check = ~node->number;
	for (i = 0; i < NODE_REFS; i++)
		if (!kt_below(rnd, 3))
			karena_store(s->heap, &node->ref[i], wander(s, rnd, errors));
	return node;
}

static void mutate(struct shared *s, struct rnd_state *rnd, int *errors)
{
	struct node **from = any_slot(s, rnd, errors), **to = any_slot(s, rnd, errors);
	struct node *node;

	switch (kt_below(rnd, 8)) {
	case 0 ... 3:
		node = fresh(s, rnd, errors);
		if (node)
			karena_store(s->heap, to, node);
		break;
	case 4:
	case 5:
		/* The classic: out of sight of who scans from one end. */
		node = READ_ONCE(*from);
		karena_store(s->heap, from, NULL);
		karena_store(s->heap, to, node);
		break;
	case 6:
		karena_store_bulk(s->heap, (void **)s->root + 1, (void **)s->root, 7);
		break;
	default:
		karena_store(s->heap, to, NULL);
	}
}

static int mutator(struct kt_thread *thread)
{
	struct shared *s = thread->arg;
	int section, errors = 0;
	unsigned int i, j;

	for (i = 0; i < s->steps && !errors; i++) {
		section = karena_enter(s->heap);
		for (j = 0; j < 20; j++)
			mutate(s, &thread->rnd, &errors);
		karena_exit(s->heap, section);
		cond_resched();
	}
	atomic_dec(&s->left);
	return errors;
}

static int mutators_and_collector(struct kt_thread *thread)
{
	struct shared *s = thread->arg;

	if (thread->index)
		return mutator(thread);
	while (atomic_read(&s->left))
		karena_collect(s->heap, true);
	return 0;
}

static struct shared *new_shared(struct kunit *test)
{
	struct shared *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->heap = gc_heap(test);
	s->type = node_type(test, s->heap);
	s->steps = kt_steps(60000);
	atomic_set(&s->left, MUTATORS);
	KUNIT_ASSERT_EQ(test, karena_root_add(s->heap, s->root, SHARED_ROOTS), 0);
	return s;
}

static void end_shared(struct kunit *test, struct shared *s)
{
	struct karena_gc_stats stats;

	memset(s->root, 0, sizeof(s->root));
	karena_collect(s->heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(s->heap), 0);
	karena_gc_stats(s->heap, &stats);
	kunit_info(test, "%llu cycles, %llu slices, %llu assists, %llu objects freed\n",
		   stats.cycles, stats.slices, stats.assists, stats.freed_objects);
	KUNIT_EXPECT_GT(test, stats.cycles, 1);
	gc_heap_end(test, s->heap);
}

static void mutators_lose_nothing(struct kunit *test)
{
	struct shared *s = new_shared(test);

	KUNIT_EXPECT_EQ(test, kt_threads(test, MUTATORS + 1, mutators_and_collector, s), 0);
	end_shared(test, s);
}

/* Nobody asks for a cycle: the pacer does, and allocations help. */
static void cycles_begin_by_themselves(struct kunit *test)
{
	struct shared *s = new_shared(test);
	struct karena_gc_params params;

	karena_gc_get(s->heap, &params);
	params.percent = 50;
	params.min_heap = SZ_256K;
	params.check = false;
	KUNIT_ASSERT_EQ(test, karena_gc_set(s->heap, &params), 0);
	KUNIT_EXPECT_EQ(test, kt_threads(test, MUTATORS, mutator, s), 0);
	end_shared(test, s);
}

static void bad_layouts_are_refused(struct kunit *test)
{
	static const u32 odd[] = { 0, 12 }, outside[] = { 0, 8, 48 }, twice[] = { 8, 8 };
	static const u32 good[] = { 0, 40 };
	const struct {
		struct karena_layout_attr attr;
		unsigned int bad;
	} wrong[] = {
		{ { .size = 0 }, 99 },
		{ { .size = 32776 }, 99 },
		{ { .size = 48, .flags = 1 }, 99 },
		{ { .size = 48, .flags = KARENA_NOSCAN | KARENA_CONSERVATIVE }, 99 },
		{ { .size = 48, .flags = KARENA_NOSCAN, .refs = good, .nr_refs = 2 }, 99 },
		{ { .size = 44, .refs = good, .nr_refs = 2 }, 99 },
		{ { .size = 48, .refs = odd, .nr_refs = 2 }, 1 },
		{ { .size = 48, .refs = outside, .nr_refs = 3 }, 2 },
		{ { .size = 48, .refs = twice, .nr_refs = 2 }, 1 },
	};
	struct karena_layout_attr attr = { .size = 48, .refs = good, .nr_refs = 2 };
	struct karena_heap *heap = gc_heap(test);
	unsigned int i, bad;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		bad = 99;
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR(karena_type_register(heap, &wrong[i].attr, &bad)),
				    -EINVAL, "layout %u", i);
		KUNIT_EXPECT_EQ(test, bad, wrong[i].bad);
	}
	for (i = 0; i < 1024; i++)
		KUNIT_ASSERT_FALSE(test, IS_ERR(karena_type_register(heap, &attr, NULL)));
	KUNIT_EXPECT_EQ(test, PTR_ERR(karena_type_register(heap, &attr, NULL)), -ENOSPC);
	gc_heap_end(test, heap);
}

static void roots_and_pins(struct kunit *test)
{
	struct karena_heap *heap = gc_heap(test);
	struct karena_type *type = node_type(test, heap);
	static void *words[4];
	struct node *node;
	int section;

	memset(words, 0, sizeof(words));
	KUNIT_EXPECT_EQ(test, karena_root_add(heap, NULL, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, karena_root_add(heap, words, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, karena_root_add(heap, (void *)words + 4, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, karena_root_add(heap, words, 3), 0);
	KUNIT_EXPECT_EQ(test, karena_root_add(heap, words + 2, 2), -EEXIST);
	KUNIT_EXPECT_EQ(test, karena_root_add(heap, words + 3, 1), 0);
	KUNIT_EXPECT_EQ(test, karena_root_del(heap, words + 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, karena_root_del(heap, words + 3), 0);
	section = karena_enter(heap);
	node = karena_new(type, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, node);
	KUNIT_EXPECT_EQ(test, karena_pin(heap, &node->number), -EINVAL);
	KUNIT_EXPECT_EQ(test, karena_pin(heap, node), 0);
	KUNIT_EXPECT_EQ(test, karena_pin(heap, node), 0);
	karena_exit(heap, section);
	karena_collect(heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(heap), 1);
	KUNIT_EXPECT_EQ(test, karena_unpin(heap, node), 0);
	karena_collect(heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(heap), 1);
	KUNIT_EXPECT_EQ(test, karena_unpin(heap, node), 0);
	KUNIT_EXPECT_EQ(test, karena_unpin(heap, node), -ENOENT);
	karena_collect(heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(heap), 0);
	gc_heap_end(test, heap);
}

/*
 * Bugs that are planted: one world of few objects, and what a mutator does to it at
 * the points of a cycle.  Each bug has to be seen by the check, by contents or by a
 * wrong free; and nothing is without it.
 */
static struct planted {
	struct karena_heap *heap;
	struct karena_type *type;
	struct node *root[4];
	struct node *held;
	int section;
	struct completion hidden;
} planted;

static struct node *planted_node(struct node *next)
{
	struct node *node = karena_new(planted.type, 0, GFP_KERNEL);

	if (!node)
		return NULL;
	node->number = 4711;
	node->check = ~node->number;
	karena_store(planted.heap, &node->ref[0], next);
	return node;
}

/*
 * A reference is taken out of the heap before it is scanned, and put back when nobody
 * marks any more: the cycle waits for that.
 */
static int hide_and_show(void *arg)
{
	struct planted *p = &planted;
	int section = karena_enter(p->heap);
	struct node *held = p->root[0]->ref[0];

	karena_store(p->heap, &p->root[0]->ref[0], NULL);
	complete(&p->hidden);
	/* READ_ONCE: set by the cycle. */
	while (READ_ONCE(p->heap->head.phase) == KARENA_MARK)
		usleep_range(100, 200);
	karena_store(p->heap, &p->root[1], held);
	karena_exit(p->heap, section);
	return 0;
}

static void hide(struct karena_heap *heap, enum karena_point point)
{
	struct task_struct *task;

	if (point != KARENA_POINT_ROOTS)
		return;
	init_completion(&planted.hidden);
	task = kthread_run(hide_and_show, NULL, "karena-kunit");
	if (!IS_ERR(task))
		wait_for_completion(&planted.hidden);
}

/* An object from a magazine that was not drained is stored into a black one. */
static void from_before(struct karena_heap *heap, enum karena_point point)
{
	struct planted *p = &planted;
	struct node *black;

	if (point == KARENA_POINT_PHASE) {
		p->section = karena_enter(heap);
		p->held = planted_node(NULL);
	} else if (point == KARENA_POINT_DRAINED) {
		/* Of a span of its own, which nothing makes grey. */
		black = karena_new_array(p->type, 20, GFP_KERNEL);
		black->number = 1;
		black->check = ~black->number;
		karena_store(heap, &black->ref[0], p->held);
		karena_store(heap, &p->root[1], black);
		karena_exit(heap, p->section);
	}
}

/* A new object is stored where the marking has been. */
static void fresh_one(struct karena_heap *heap, enum karena_point point)
{
	struct planted *p = &planted;
	struct node *node;

	if (point != KARENA_POINT_ROOTS)
		return;
	p->section = karena_enter(heap);
	/* Not by the barrier: that alone would save it. */
	node = planted_node(NULL);
	WRITE_ONCE(p->root[1], node);
	karena_exit(heap, p->section);
}

static void planted_world(struct kunit *test)
{
	struct planted *p = &planted;
	int section;

	memset(p, 0, sizeof(*p));
	p->heap = gc_heap(test);
	p->type = node_type(test, p->heap);
	KUNIT_ASSERT_EQ(test, karena_root_add(p->heap, p->root, ARRAY_SIZE(p->root)), 0);
	section = karena_enter(p->heap);
	karena_store(p->heap, &p->root[0], planted_node(planted_node(planted_node(NULL))));
	karena_store(p->heap, &p->root[3], planted_node(NULL));
	karena_exit(p->heap, section);
}

/* Whatever can be reached is whole; how many objects. */
static int planted_walk(void)
{
	struct node *node;
	unsigned int i;
	int n = 0;

	for (i = 0; i < ARRAY_SIZE(planted.root); i++) {
		for (node = planted.root[i]; node; node = node->ref[0]) {
			if (!karena_usable_size(planted.heap, node) ||
			    node->check != ~node->number)
				return -1;
			n++;
		}
	}
	return n;
}

/*
 * So many objects are allocated and freed, and each comes once.  As long as there
 * are 100, they are in the span of those that stay, which keeps it.
 */
#define ROUND_MOST	300

static void go_round(unsigned int n)
{
	static struct node *nodes[ROUND_MOST];
	int section = karena_enter(planted.heap);
	unsigned int i;

	for (i = 0; i < n; i++)
		nodes[i] = planted_node(NULL);
	for (i = 0; i < n; i++)
		karena_free(planted.heap, nodes[i]);
	karena_exit(planted.heap, section);
}

/* Runs a cycle with a bug in it; whether anybody has noticed. */
static bool notices(struct kunit *test, enum karena_plant plant,
		    void (*hook)(struct karena_heap *heap, enum karena_point point))
{
	struct karena_gc_stats stats;
	struct karena_heap_info info;
	bool wrong;

	planted_world(test);
	if (!hook)
		go_round(100);
	karena_hook = hook;
	WRITE_ONCE(karena_planted, plant);
	karena_collect(planted.heap, true);
	WRITE_ONCE(karena_planted, KARENA_PLANT_NONE);
	karena_hook = NULL;
	if (!hook)
		go_round(ROUND_MOST);
	karena_gc_stats(planted.heap, &stats);
	kt_info(planted.heap, &info);
	wrong = stats.lost || planted_walk() < 3 || info.rejects[KARENA_REJECT_DOUBLE];
	memset(planted.root, 0, sizeof(planted.root));
	karena_heap_put(planted.heap);
	return wrong;
}

static int all_planted_bugs(struct kt_thread *thread)
{
	struct kunit *test = thread->arg;
	const struct {
		enum karena_plant plant;
		void (*hook)(struct karena_heap *heap, enum karena_point point);
	} bugs[] = {
		{ KARENA_PLANT_NO_OLD_SHADE, hide },
		{ KARENA_PLANT_NO_NEW_SHADE, from_before },
		{ KARENA_PLANT_WHITE_ALLOC, fresh_one },
		{ KARENA_PLANT_MISSED_ROOT, NULL },
		{ KARENA_PLANT_EARLY_END, NULL },
		{ KARENA_PLANT_EARLY_SWEEP, NULL },
		{ KARENA_PLANT_CACHED_FREED, NULL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		KUNIT_EXPECT_TRUE_MSG(test, notices(test, bugs[i].plant, bugs[i].hook),
				      "bug %u is not noticed", bugs[i].plant);
		KUNIT_EXPECT_FALSE_MSG(test, notices(test, KARENA_PLANT_NONE, bugs[i].hook),
				       "something is noticed without bug %u", bugs[i].plant);
	}
	return 0;
}

/* On one CPU, whose magazines they are about. */
static void planted_bugs_are_found(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, 0, all_planted_bugs, test), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(lists_are_kept_and_freed),
	KUNIT_CASE(bad_layouts_are_refused),
	KUNIT_CASE(roots_and_pins),
	KUNIT_CASE_SLOW(planted_bugs_are_found),
	KUNIT_CASE_SLOW(random_graphs_against_oracle),
	KUNIT_CASE_SLOW(changes_against_oracle),
	KUNIT_CASE_SLOW(mutators_lose_nothing),
	KUNIT_CASE_SLOW(cycles_begin_by_themselves),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_gc",
	.test_cases = cases,
};

kunit_test_suite(suite);
