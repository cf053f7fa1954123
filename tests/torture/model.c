// SPDX-License-Identifier: GPL-2.0
/*
 * A graph that is kept twice: of objects in a heap, and of numbers, by which an
 * oracle knows what can be reached.  One mutator changes both, in all ways that
 * there are, while another thread collects all the time.  Now and then the two
 * rest: what the oracle reaches is whole, and two cycles later all else is gone,
 * cycles in the graph as well.
 *
 * The graph is small, and marked too soon for much to happen meanwhile; so some of
 * its roots are at the end of a long list.
 */
#include <linux/delay.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "torture.h"

#define STEPS		2000000ULL
#define BATCH		100000		/* most steps between two rests */
#define NODES		65536		/* numbers; those of the dead are used again */
#define REFS		4
#define ROOTS		64
#define MORE		8		/* roots that come and go */
#define PINS		8
#define LATE		48		/* words that a marker comes to last */
#define BALLAST		200000ULL	/* most objects that it has to pass before */
#define FAR		24
#define WAITS		1000		/* of 50 us and more */

struct node {
	struct node *ref[REFS];
	unsigned long number;
	unsigned long check;		/* ~number */
};

enum kind { TYPED, ARRAY, CONSERVATIVE, LARGE, NOSCAN };

struct model {
	struct karena_heap *heap;
	struct karena_type *type;
	struct rnd_state rnd;
	struct mutex rest;		/* held by who collects */
	bool over;			/* the collecting thread may go */
	bool broken;			/* no use in going on */
	u64 steps;

	/* In the heap. */
	struct node *root[ROOTS];
	struct node *more[MORE];
	struct node *node[NODES];
	struct node *list;		/* a root; its objects are no nodes of the graph */
	struct node **late[LATE];	/* words of the last ones of that list */
	unsigned int nr_ballast;	/* objects of it */

	/* The oracle's: numbers of nodes, -1 for none. */
	int root_to[ROOTS];
	int more_to[MORE];
	int late_to[LATE];
	int pinned[PINS];
	int to[NODES][REFS];
	enum kind kind[NODES];
	bool more_on;

	bool reached[NODES];
	int todo[NODES];
	unsigned int nr_todo;
};

/* A word of the heap or a root, and what the oracle knows of it. */
struct place {
	struct node **slot;
	int *to;
};

static u32 below(struct model *m, u32 n)
{
	return tt_below(&m->rnd, n);
}

static struct node *node_of(struct model *m, int at)
{
	return at < 0 ? NULL : m->node[at];
}

static void store(struct model *m, struct place p, int to)
{
	*p.to = to;
	karena_store(m->heap, p.slot, node_of(m, to));
}

/* Whether an object is what the oracle says. */
static bool whole(struct model *m, int at)
{
	struct node *node = m->node[at];
	unsigned int j;

	if (karena_usable_size(m->heap, node) < sizeof(*node) || node->number != at ||
	    node->check != ~node->number)
		return false;
	for (j = 0; j < REFS; j++)
		if (node->ref[j] != node_of(m, m->to[at][j]))
			return false;
	return true;
}

static struct place root_place(struct model *m)
{
	unsigned int i = below(m, LATE + ROOTS + (m->more_on ? MORE : 0));

	if (i < LATE)
		return (struct place){ m->late[i], &m->late_to[i] };
	i -= LATE;
	if (i < ROOTS)
		return (struct place){ &m->root[i], &m->root_to[i] };
	return (struct place){ &m->more[i - ROOTS], &m->more_to[i - ROOTS] };
}

/* Some object that can be reached, -1 if there is none on the way. */
static int walk(struct model *m)
{
	int at = *root_place(m).to, next;
	unsigned int far = below(m, FAR);

	while (at >= 0 && far--) {
		next = m->to[at][below(m, REFS)];
		if (next < 0)
			break;
		at = next;
	}
	if (at >= 0 && !whole(m, at)) {
		tt_fail("an object on the way is not what it was");
		m->broken = true;
	}
	return at;
}

static struct place any_place(struct model *m)
{
	int at = below(m, 16) ? walk(m) : -1;
	unsigned int j = below(m, REFS);

	if (at < 0 || m->kind[at] == NOSCAN)
		return root_place(m);
	return (struct place){ &m->node[at]->ref[j], &m->to[at][j] };
}

/* One that nothing is in, if that is easy: or all would be garbage soon. */
static struct place free_place(struct model *m)
{
	struct place p = any_place(m);
	unsigned int tries = 8;

	while (*p.to >= 0 && tries--)
		p = any_place(m);
	return p;
}

static enum kind any_kind(struct model *m)
{
	unsigned int n = below(m, 1000);

	if (n < 2)
		return LARGE;
	if (n < 30)
		return ARRAY;
	return n < 200 ? CONSERVATIVE : n < 300 ? NOSCAN : TYPED;
}

static struct node *new_node(struct model *m, enum kind kind)
{
	switch (kind) {
	case TYPED:
		return karena_new(m->type, 0, GFP_KERNEL);
	case ARRAY:
		return karena_new_array(m->type, 1 + below(m, 200), GFP_KERNEL);
	case CONSERVATIVE:
		return karena_alloc(m->heap, sizeof(struct node) + below(m, 2000), 0, GFP_KERNEL);
	case LARGE:
		return karena_alloc(m->heap, 40000 + below(m, 100000), 0, GFP_KERNEL);
	default:
		return karena_alloc(m->heap, sizeof(struct node), KARENA_NOSCAN, GFP_KERNEL);
	}
}

static void step_add(struct model *m)
{
	unsigned int i = below(m, NODES);
	struct node *node;

	if (m->node[i])
		return;
	m->kind[i] = any_kind(m);
	node = new_node(m, m->kind[i]);
	if (!node) {
		tt_fail("no memory for an object");
		m->broken = true;
		return;
	}
	node->number = i;
	node->check = ~node->number;
	m->node[i] = node;
	memset(m->to[i], -1, sizeof(m->to[i]));
	store(m, free_place(m), i);
}

/* The only reference leaves its place, and comes back in another later. */
static void step_move(struct model *m)
{
	struct place from = any_place(m), to = free_place(m);
	int what = *from.to;

	store(m, from, -1);
	store(m, to, what);
}

static void step_shift(struct model *m)
{
	unsigned int from = below(m, ROOTS - 3), to = below(m, ROOTS - 3);

	memmove(&m->root_to[to], &m->root_to[from], 4 * sizeof(m->root_to[0]));
	karena_store_bulk(m->heap, (void **)&m->root[to], (void **)&m->root[from], 4);
}

/* Roots come and go, with references in them. */
static void step_roots(struct model *m)
{
	unsigned int i;

	if (m->more_on) {
		tt_equal("error of karena_root_del()", karena_root_del(m->heap, m->more), 0);
		memset(m->more, 0, sizeof(m->more));
		memset(m->more_to, -1, sizeof(m->more_to));
	} else {
		for (i = 0; i < MORE; i++)
			store(m, (struct place){ &m->more[i], &m->more_to[i] }, walk(m));
		tt_equal("error of karena_root_add()", karena_root_add(m->heap, m->more, MORE), 0);
	}
	m->more_on = !m->more_on;
}

static void step_pin(struct model *m)
{
	int *pin = &m->pinned[below(m, PINS)];

	if (*pin >= 0)
		tt_equal("error of karena_unpin()", karena_unpin(m->heap, node_of(m, *pin)), 0);
	*pin = walk(m);
	if (*pin >= 0)
		tt_equal("error of karena_pin()", karena_pin(m->heap, node_of(m, *pin)), 0);
}

/* An object that is freed by hand. */
static void step_free(struct model *m)
{
	struct node *node = new_node(m, any_kind(m));

	if (node && !karena_free(m->heap, node))
		tt_fail("an object was not freed");
}

static void step(struct model *m)
{
	switch (below(m, 64)) {
	case 0 ... 25:
		step_add(m);
		break;
	case 26 ... 40:
		store(m, free_place(m), walk(m));
		break;
	case 41 ... 58:
		step_move(m);
		break;
	case 59:
		/* Rarely: most objects are to be older than the cycle that runs. */
		if (below(m, 4))
			store(m, any_place(m), -1);
		else
			step_shift(m);
		break;
	case 60:
		step_roots(m);
		break;
	case 61:
		step_pin(m);
		break;
	case 62:
		step_free(m);
		break;
	default:
		if (below(m, 20))
			karena_gc_step(m->heap, 20 * NSEC_PER_USEC);
		else
			karena_collect(m->heap, false);
	}
	m->steps++;
}

static bool is_marking(struct model *m)
{
	const struct karena_heap_head *head = (const struct karena_heap_head *)m->heap;

	/* A look from outside, to be in time for what is tested. */
	return READ_ONCE(head->phase) == KARENA_MARK;
}

/* Until references are being followed, or for some time. */
static void wait_for_marking(struct model *m)
{
	struct karena_gc_stats stats;
	unsigned int tries = WAITS;
	u64 slices;

	karena_gc_stats(m->heap, &stats);
	slices = stats.slices;
	while (stats.slices == slices && tries--) {
		usleep_range(50, 100);
		karena_gc_stats(m->heap, &stats);
	}
}

/*
 * References leave their places before a marker comes there, and are this section's
 * until there is no barrier any more: what they refer to must have been shaded when
 * they left.
 */
static void hide(struct model *m)
{
	unsigned int i, tries = WAITS;
	int what[LATE], section;

	wait_for_marking(m);
	section = karena_enter(m->heap);
	for (i = 0; i < LATE; i++) {
		what[i] = m->late_to[i];
		store(m, (struct place){ m->late[i], &m->late_to[i] }, -1);
	}
	while (is_marking(m) && tries--)
		usleep_range(50, 100);
	for (i = 0; i < LATE; i++)
		store(m, (struct place){ m->late[i], &m->late_to[i] }, what[i]);
	karena_exit(m->heap, section);
}

static void work(struct model *m)
{
	unsigned int left = 1 + below(m, BATCH), n;
	int section;

	while (left && !m->broken) {
		n = min(left, 1 + below(m, 64));
		left -= n;
		section = karena_enter(m->heap);
		while (n-- && !m->broken)
			step(m);
		karena_exit(m->heap, section);
		cond_resched();
	}
}

static void found(struct model *m, int at)
{
	if (at < 0 || m->reached[at])
		return;
	m->reached[at] = true;
	m->todo[m->nr_todo++] = at;
}

static void found_all(struct model *m, const int *to, unsigned int n)
{
	while (n--)
		found(m, to[n]);
}

/* How many objects the oracle reaches. */
static unsigned int reach(struct model *m)
{
	unsigned int n = 0;

	memset(m->reached, 0, sizeof(m->reached));
	found_all(m, m->root_to, ROOTS);
	found_all(m, m->more_to, MORE);
	found_all(m, m->late_to, LATE);
	found_all(m, m->pinned, PINS);
	for (; m->nr_todo; n++)
		found_all(m, m->to[m->todo[--m->nr_todo]], REFS);
	return n;
}

/* What is alive is whole; the numbers of the rest are free again. */
static void check_all(struct model *m)
{
	unsigned int i, wrong = 0;

	for (i = 0; i < NODES; i++) {
		if (!m->reached[i])
			m->node[i] = NULL;
		else
			wrong += !whole(m, i);
	}
	if (!tt_equal("objects alive and not whole", wrong, 0))
		m->broken = true;
}

static void rest(struct model *m)
{
	unsigned int reached = reach(m);

	mutex_lock(&m->rest);
	tt_collect_twice(m->heap);
	if (!tt_equal("objects alive", tt_live(m->heap), reached + m->nr_ballast))
		m->broken = true;
	check_all(m);
	mutex_unlock(&m->rest);
}

static void mutate(struct model *m)
{
	u64 steps = tt_scale(STEPS);

	while (m->steps < steps && !m->broken) {
		work(m);
		hide(m);
		rest(m);
	}
	WRITE_ONCE(m->over, true);
}

static void collect(struct model *m)
{
	/* Pairs with the end of mutate(). */
	while (!READ_ONCE(m->over)) {
		mutex_lock(&m->rest);
		karena_collect(m->heap, true);
		mutex_unlock(&m->rest);
		cond_resched();
	}
}

static void mutate_or_collect(struct tt_thread *thread)
{
	if (thread->index)
		collect(thread->arg);
	else
		mutate(thread->arg);
}

/* A list, of which the last objects hold references to the graph. */
static bool build_list(struct model *m)
{
	unsigned int nr = max_t(u64, min(tt_scale(BALLAST), BALLAST), LATE), i;
	int section = karena_enter(m->heap);
	struct node *node;

	for (i = 0; i < nr; i++) {
		node = karena_new(m->type, 0, GFP_KERNEL);
		if (!node)
			break;
		if (i < LATE)
			m->late[i] = &node->ref[1];
		karena_store(m->heap, &node->ref[0], m->list);
		karena_store(m->heap, &m->list, node);
		cond_resched();
	}
	karena_exit(m->heap, section);
	m->nr_ballast = i;
	return i == nr;
}

static bool model_init(struct model *m)
{
	static const u32 refs[REFS] = { 0, 8, 16, 24 };
	const struct karena_layout_attr layout = {
		.name = "node", .size = sizeof(struct node), .refs = refs, .nr_refs = REFS,
	};

	tt_seed(&m->rnd, 0);
	mutex_init(&m->rest);
	memset(m->root_to, -1, sizeof(m->root_to));
	memset(m->more_to, -1, sizeof(m->more_to));
	memset(m->late_to, -1, sizeof(m->late_to));
	memset(m->pinned, -1, sizeof(m->pinned));
	m->type = karena_type_register(m->heap, &layout, NULL);
	return !IS_ERR(m->type) && !karena_root_add(m->heap, m->root, ROOTS) &&
	       !karena_root_add(m->heap, &m->list, 1) && build_list(m);
}

static void model_end(struct model *m)
{
	struct karena_gc_stats stats;

	karena_gc_stats(m->heap, &stats);
	tt_note("%llu steps, %llu cycles, %llu objects found alive and %llu dead",
		m->steps, stats.cycles, stats.marked_objects, stats.freed_objects);
	tt_heap_end(m->heap);
}

void tt_model(void)
{
	struct model *m = kvzalloc(sizeof(*m), GFP_KERNEL);

	if (!m) {
		tt_fail("no memory for the model");
		return;
	}
	m->heap = tt_heap(0, false);
	if (m->heap) {
		if (model_init(m))
			tt_threads(2, mutate_or_collect, m);
		else
			tt_fail("no type or root for the model");
		model_end(m);
	}
	kvfree(m);
}
