// SPDX-License-Identifier: GPL-2.0
/*
 * Mutators on all CPUs, while cycles run one after the other and each is checked.
 * A mutator has chains of its own, of which it knows each object by its number, and
 * shares a graph with the others.  An object that was freed and used again is
 * noticed by its owner, number and check.  In the end, all at rest, what is alive
 * is counted by following references, and by the heap.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "torture.h"

#define STEPS		4000000ULL	/* of all mutators together */
#define SECTION		20		/* steps of a mutator section */
#define MOST_MUTATORS	8
#define REFS		4
#define CHAINS		16
#define CHAIN_MOST	200
#define SHARED		64
#define FAR		8

/* ref[0] of an object that has an owner is the next one of its chain, and the owner's. */
struct object {
	struct object *ref[REFS];
	unsigned long owner;		/* mutator and chain; 0: of the shared graph */
	unsigned long number;
	unsigned long check;		/* ~(owner ^ number) */
	unsigned long seen;		/* by the count in the end */
};

/* Numbers from @top down to @bottom, empty if it is less; only its mutator changes it. */
struct chain {
	struct object *head;		/* a root */
	unsigned long owner;
	unsigned long top;
	unsigned long bottom;
};

struct world {
	struct karena_heap *heap;
	struct karena_type *type;
	struct object *shared[SHARED];
	struct chain chain[MOST_MUTATORS][CHAINS];
	unsigned int nr;		/* mutators */
	u64 steps;			/* of each */
	atomic_t left;			/* mutators that are still at work */
	bool broken;			/* somebody has found an error */
};

struct mutator {
	struct world *w;
	struct rnd_state *rnd;
	struct chain *chains;
};

static void broken(struct world *w, const char *what)
{
	tt_fail(what);
	/* A hint to the others. */
	WRITE_ONCE(w->broken, true);
}

static bool whole(struct world *w, struct object *object)
{
	return karena_usable_size(w->heap, object) >= sizeof(*object) &&
	       object->check == ~(object->owner ^ object->number);
}

static struct object *new_object(struct world *w, unsigned long owner, unsigned long number)
{
	struct object *object = karena_new(w->type, 0, GFP_KERNEL);

	if (!object) {
		broken(w, "no memory for an object");
		return NULL;
	}
	object->owner = owner;
	object->number = number;
	object->check = ~(owner ^ number);
	/* Before it is seen: pairs with the address dependency of who follows a reference. */
	smp_wmb();
	return object;
}

/* Some object of the shared graph, or that it leads to; NULL if there is none. */
static struct object *wander(struct mutator *m)
{
	struct object *object = READ_ONCE(m->w->shared[tt_below(m->rnd, SHARED)]), *next;
	unsigned int far = tt_below(m->rnd, FAR);

	while (object) {
		if (!whole(m->w, object)) {
			broken(m->w, "an object on the way is not what it was");
			return NULL;
		}
		next = far-- ? READ_ONCE(object->ref[tt_below(m->rnd, REFS)]) : NULL;
		if (!next)
			break;
		object = next;
	}
	return object;
}

static struct object **any_slot(struct mutator *m)
{
	struct object *object = tt_below(m->rnd, 4) ? wander(m) : NULL;
	unsigned int first;

	if (!object)
		return &m->w->shared[tt_below(m->rnd, SHARED)];
	first = object->owner ? 1 : 0;
	return &object->ref[first + tt_below(m->rnd, REFS - first)];
}

static void share_new(struct mutator *m)
{
	struct object *object = new_object(m->w, 0, prandom_u32_state(m->rnd));

	if (!object)
		return;
	if (tt_below(m->rnd, 2))
		karena_store(m->w->heap, &object->ref[tt_below(m->rnd, REFS)], wander(m));
	karena_store(m->w->heap, any_slot(m), object);
}

static void share_move(struct mutator *m)
{
	struct object **from = any_slot(m), **to = any_slot(m), *object;

	object = READ_ONCE(*from);
	karena_store(m->w->heap, from, NULL);
	karena_store(m->w->heap, to, object);
}

static void step_shared(struct mutator *m)
{
	void **shared = (void **)m->w->shared;

	switch (tt_below(m->rnd, 8)) {
	case 0 ... 2:
		share_new(m);
		break;
	case 3 ... 5:
		share_move(m);
		break;
	case 6:
		karena_store_bulk(m->w->heap, shared + tt_below(m->rnd, SHARED - 8),
				  shared + tt_below(m->rnd, SHARED - 8), 8);
		break;
	default:
		karena_store(m->w->heap, any_slot(m), NULL);
	}
}

/* The word that refers to the object @depth below the top, all whole on the way. */
static struct object **chain_at(struct world *w, struct chain *c, unsigned long depth)
{
	struct object **slot = &c->head, *object;
	unsigned long i;

	for (i = 0; i < depth; i++) {
		object = READ_ONCE(*slot);
		if (!object || !whole(w, object) || object->owner != c->owner ||
		    object->number != c->top - i) {
			broken(w, "an object of a chain is not what it was");
			return NULL;
		}
		slot = &object->ref[0];
	}
	return slot;
}

static unsigned long chain_length(const struct chain *c)
{
	return c->top + 1 - c->bottom;
}

static void chain_push(struct mutator *m, struct chain *c)
{
	struct object *object;

	if (chain_length(c) >= CHAIN_MOST)
		return;
	object = new_object(m->w, c->owner, c->top + 1);
	if (!object)
		return;
	karena_store(m->w->heap, &object->ref[0], c->head);
	karena_store(m->w->heap, &object->ref[1], wander(m));
	karena_store(m->w->heap, &c->head, object);
	c->top++;
}

/* Drops what is below some object, or everything. */
static void chain_cut(struct mutator *m, struct chain *c)
{
	unsigned long depth = tt_below(m->rnd, chain_length(c) + 1);
	struct object **slot = chain_at(m->w, c, depth);

	if (!slot)
		return;
	karena_store(m->w->heap, slot, NULL);
	c->bottom = c->top + 1 - depth;
}

/* The lower part is nowhere but in a register, while the shared graph changes. */
static void chain_hide(struct mutator *m, struct chain *c)
{
	struct object **slot = chain_at(m->w, c, tt_below(m->rnd, chain_length(c) + 1)), *tail;

	if (!slot)
		return;
	tail = READ_ONCE(*slot);
	karena_store(m->w->heap, slot, NULL);
	step_shared(m);
	karena_store(m->w->heap, slot, tail);
}

/* Another object takes the place of one, and is all that refers to those below. */
static void chain_replace(struct mutator *m, struct chain *c)
{
	struct object **slot, *old, *object;

	if (!chain_length(c))
		return;
	slot = chain_at(m->w, c, tt_below(m->rnd, chain_length(c)));
	if (!slot)
		return;
	old = READ_ONCE(*slot);
	if (!whole(m->w, old)) {
		broken(m->w, "an object that is replaced is not what it was");
		return;
	}
	object = new_object(m->w, c->owner, old->number);
	if (!object)
		return;
	karena_store_bulk(m->w->heap, (void **)object->ref, (void **)old->ref, REFS);
	karena_store(m->w->heap, slot, object);
	/* The shared graph may still lead to it, but not on to the chain. */
	karena_store(m->w->heap, &old->ref[0], NULL);
}

static void step_own(struct mutator *m)
{
	struct chain *c = &m->chains[tt_below(m->rnd, CHAINS)];

	switch (tt_below(m->rnd, 32)) {
	case 0 ... 21:
		chain_push(m, c);
		break;
	case 22 ... 25:
		chain_hide(m, c);
		break;
	case 26 ... 29:
		chain_replace(m, c);
		break;
	case 30:
		/* Into the hands of the others, who know it by its check only. */
		karena_store(m->w->heap, any_slot(m), c->head);
		break;
	default:
		chain_cut(m, c);
	}
}

static void mutate(struct tt_thread *thread)
{
	struct world *w = thread->arg;
	struct mutator m = { .w = w, .rnd = &thread->rnd, .chains = w->chain[thread->index - 1] };
	unsigned int i;
	int section;
	u64 n;

	for (n = 0; n < w->steps && !READ_ONCE(w->broken); n += SECTION) {
		section = karena_enter(w->heap);
		for (i = 0; i < SECTION; i++) {
			if (tt_below(&thread->rnd, 2))
				step_own(&m);
			else
				step_shared(&m);
		}
		karena_exit(w->heap, section);
		cond_resched();
	}
	atomic_dec(&w->left);
}

static void mutate_or_collect(struct tt_thread *thread)
{
	struct world *w = thread->arg;

	if (thread->index) {
		mutate(thread);
		return;
	}
	while (atomic_read(&w->left)) {
		karena_collect(w->heap, true);
		cond_resched();
	}
}

/* What is reachable, found with no help of the collector's; nobody else is at work. */
struct count {
	struct object **todo;
	u64 room;
	u64 nr;
	u64 found;
};

static void count_ref(struct world *w, struct count *count, struct object *object)
{
	if (!object)
		return;
	if (!whole(w, object)) {
		tt_fail("an object that can be reached is not what it was");
		return;
	}
	if (object->seen || count->nr == count->room)
		return;
	object->seen = 1;
	count->found++;
	count->todo[count->nr++] = object;
}

static u64 count_reachable(struct world *w, u64 most)
{
	struct count count = { .room = most + 1 };
	struct object *object;
	unsigned int i, j;

	count.todo = kvmalloc_array(count.room, sizeof(*count.todo), GFP_KERNEL);
	if (!count.todo) {
		tt_fail("no memory to count");
		return 0;
	}
	for (i = 0; i < SHARED; i++)
		count_ref(w, &count, w->shared[i]);
	for (i = 0; i < w->nr; i++)
		for (j = 0; j < CHAINS; j++)
			count_ref(w, &count, w->chain[i][j].head);
	while (count.nr) {
		object = count.todo[--count.nr];
		for (i = 0; i < REFS; i++)
			count_ref(w, &count, object->ref[i]);
		cond_resched();
	}
	kvfree(count.todo);
	return count.found;
}

static void check_chains(struct world *w)
{
	struct object **end;
	unsigned int i, j;

	for (i = 0; i < w->nr; i++) {
		for (j = 0; j < CHAINS; j++) {
			end = chain_at(w, &w->chain[i][j], chain_length(&w->chain[i][j]));
			if (end && *end)
				tt_fail("a chain is too long");
		}
	}
}

static void check_at_rest(struct world *w)
{
	struct karena_gc_stats stats;
	u64 live;

	tt_collect_twice(w->heap);
	live = tt_live(w->heap);
	tt_equal("objects alive, of those that can be reached", live, count_reachable(w, live));
	check_chains(w);
	karena_gc_stats(w->heap, &stats);
	tt_note("%u mutators, %llu steps, %llu cycles, %llu assists", w->nr, w->nr * w->steps,
		stats.cycles, stats.assists);
	tt_note("%llu objects found dead, %llu alive in the end", stats.freed_objects, live);
}

static bool world_init(struct world *w)
{
	static const u32 refs[REFS] = { 0, 8, 16, 24 };
	const struct karena_layout_attr layout = {
		.name = "object", .size = sizeof(struct object), .refs = refs, .nr_refs = REFS,
	};
	unsigned int i, j;

	w->nr = clamp(2 * num_online_cpus(), 2u, (unsigned int)MOST_MUTATORS);
	w->steps = div_u64(tt_scale(STEPS), w->nr);
	atomic_set(&w->left, w->nr);
	w->type = karena_type_register(w->heap, &layout, NULL);
	if (IS_ERR(w->type) || karena_root_add(w->heap, w->shared, SHARED))
		return false;
	for (i = 0; i < w->nr; i++) {
		for (j = 0; j < CHAINS; j++) {
			w->chain[i][j].owner = 1 + i * CHAINS + j;
			w->chain[i][j].bottom = 1;
			if (karena_root_add(w->heap, &w->chain[i][j].head, 1))
				return false;
		}
	}
	return true;
}

static void drop_all(struct world *w)
{
	unsigned int i, j;

	memset(w->shared, 0, sizeof(w->shared));
	for (i = 0; i < w->nr; i++)
		for (j = 0; j < CHAINS; j++)
			w->chain[i][j].head = NULL;
	tt_collect_twice(w->heap);
	tt_equal("objects alive without roots", tt_live(w->heap), 0);
}

void tt_mutators(void)
{
	struct world *w = kvzalloc(sizeof(*w), GFP_KERNEL);

	if (!w) {
		tt_fail("no memory for the test");
		return;
	}
	w->heap = tt_heap(0, true);
	if (w->heap) {
		if (world_init(w)) {
			tt_threads(w->nr + 1, mutate_or_collect, w);
			check_at_rest(w);
			drop_all(w);
		} else {
			tt_fail("no type or roots");
		}
		tt_heap_end(w->heap);
	}
	kvfree(w);
}
