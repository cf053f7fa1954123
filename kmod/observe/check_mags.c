// SPDX-License-Identifier: GPL-2.0
/*
 * The check of magazines: those in the depot, with the central's lock, and those of each
 * CPU, which only the CPU itself can look at.  That each has free objects of its central
 * holds at any moment; whether an object is in two of them can be told of a moment only
 * at which all are known: if a second look finds all as the first one did, it was so in
 * between.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/sort.h>

#include "check.h"

#define SLOTS		64u		/* looked at in one hold of the lock */
#define BUSY_TRIES	8u		/* of a CPU that was just at it */

/* All magazines of a central, as words: the counts that change with them, and objects. */
struct picture {
	unsigned int nr;
	unsigned int room;
	unsigned long word[];
};

/* What it takes to look at them. */
struct pictures {
	struct picture *first;
	struct picture *second;
	unsigned long *objects;		/* of the first, sorted */
};

struct mags_walk {
	struct karena_checker *c;
	struct karena_central *central;
	unsigned int cap;		/* of a magazine */
	struct picture *picture;	/* that is being taken */
	unsigned int cpu;		/* that is being looked at */
	bool busy;
	bool torn;
	unsigned int depot;		/* where objects of the depot begin */
	u64 trades;			/* of the depot, then */
};

static void wrong(struct mags_walk *w, u32 kind, unsigned long at, u64 found, u64 wanted)
{
	karena_damaged(w->c, &(struct karena_damage_record){
		.kind = kind, .at = at, .found = found, .wanted = wanted,
		.object_size = w->central->size,
	});
}

static void add_words(struct mags_walk *w, const unsigned long *words, unsigned int n)
{
	struct picture *p = w->picture;

	/* There is room for all that can be. */
	n = min(n, p->room - p->nr);
	memcpy(p->word + p->nr, words, n * sizeof(*words));
	p->nr += n;
}

/* A count, which is odd there, as no address of an object is. */
static void add_count(struct mags_walk *w, unsigned long count)
{
	unsigned long word = count << 1 | 1;

	add_words(w, &word, 1);
}

/* --- what is in a magazine --- */

static bool is_cached(const struct karena_span *span, u32 index)
{
	return !span->state || READ_ONCE(span->state[index]) == KARENA_CACHED;
}

/*
 * An object that is in a magazine just now.  With interrupts off: its span stays, and that
 * it is not free there; others of the same word may come and go.
 */
static void look_at_slot(struct mags_walk *w, unsigned long addr)
{
	struct karena_heap *heap = w->central->heap;
	struct karena_span *span = karena_span_at(heap, addr);
	u32 index;

	if (!span || !karena_is_span_of(heap, span) || span->central != w->central ||
	    !karena_is_start(addr - span->base, span->magic)) {
		wrong(w, KARENA_DAMAGE_CACHE, addr, 0, 1);
		return;
	}
	index = karena_span_index(span, addr - span->base);
	if (index >= span->nelems)
		wrong(w, KARENA_DAMAGE_CACHE, addr, 0, 1);
	/* As above. */
	else if (data_race(test_bit(index, span->free)))
		wrong(w, KARENA_DAMAGE_TWICE, addr, 1, 0);
	else if (!is_cached(span, index))
		wrong(w, KARENA_DAMAGE_STATE, addr, READ_ONCE(span->state[index]),
		      KARENA_CACHED);
	else if (!heap->user && !karena_is_sealed(addr, karena_secret))
		wrong(w, KARENA_DAMAGE_WRITTEN, addr, 1, 0);
}

static bool is_magazine(const struct mags_walk *w, const struct karena_magazine *mag)
{
	if (mag == &karena_no_magazine)
		return true;
	return karena_is_sound(mag, struct_size(mag, slot, w->cap)) && mag->cap == w->cap;
}

/* --- of a CPU --- */

static void look_at_magazine(struct mags_walk *w, const struct karena_magazine *mag,
			     const unsigned long *top)
{
	unsigned long i, nr;

	if (!is_magazine(w, mag)) {
		wrong(w, KARENA_DAMAGE_CACHE, 0, 0, 1);
		return;
	}
	nr = top ? top - mag->slot : mag->nr;
	if (nr > mag->cap) {
		wrong(w, KARENA_DAMAGE_CACHE, 0, nr, mag->cap);
		return;
	}
	add_count(w, nr);
	add_words(w, mag->slot, nr);
	for (i = 0; i < nr; i++)
		look_at_slot(w, mag->slot[i]);
}

/* Of this CPU, with interrupts off. */
static void look_here(void *data)
{
	struct mags_walk *w = data;
	struct karena_mcache *mc = this_cpu_ptr(w->central->cache);

	w->busy = !mcache_enter(mc);
	if (w->busy)
		return;
	add_count(w, mc->allocs);
	look_at_magazine(w, mc->loaded, mc->top);
	look_at_magazine(w, mc->previous, NULL);
	mcache_exit(mc);
}

static bool has_some(const struct mags_walk *w, unsigned int cpu)
{
	const struct karena_mcache *mc = per_cpu_ptr(w->central->cache, cpu);

	/* Its CPU may be changing it. */
	if (data_race(mc->loaded) != &karena_no_magazine)
		return true;
	/* As above. */
	return data_race(mc->previous) != &karena_no_magazine;
}

/* Of one that is off nothing is left, or about to be. */
static void look_on(struct mags_walk *w, unsigned int cpu)
{
	unsigned int try;

	for (try = 0; try < BUSY_TRIES && has_some(w, cpu); try++)
		if (smp_call_function_single(cpu, look_here, w, true) || !w->busy)
			return;
	w->c->told.unsettled += w->busy;
}

/* --- the depot --- */

/* The next magazine of a list; NULL at its end, or if it is torn. */
static struct karena_magazine *next_magazine(struct mags_walk *w, struct list_head *head,
					     struct list_head *node)
{
	struct list_head *next = node->next;

	if (next == head && next->prev == node)
		return NULL;
	if (karena_is_sound(next, sizeof(*next)) && next->prev == node &&
	    is_magazine(w, list_entry(next, struct karena_magazine, list)))
		return list_entry(next, struct karena_magazine, list);
	wrong(w, KARENA_DAMAGE_LINK, 0, 0, w->central->nr_full_mags);
	w->torn = true;
	return NULL;
}

static void look_at_list(struct mags_walk *w, struct list_head *head, bool full, u32 wanted)
{
	struct karena_magazine *mag = next_magazine(w, head, head);
	unsigned int n = 0, objects = 0;

	for (; mag && n <= KARENA_DEPOT_MAGS; mag = next_magazine(w, head, &mag->list), n++) {
		if (mag->nr > mag->cap || full != !!mag->nr) {
			wrong(w, KARENA_DAMAGE_CACHE, 0, mag->nr, full ? mag->cap : 0);
			continue;
		}
		objects += mag->nr;
		add_words(w, mag->slot, mag->nr);
	}
	if (w->torn)
		return;
	if (n != wanted)
		wrong(w, KARENA_DAMAGE_COUNT, 0, n, wanted);
	if (full && objects != w->central->nr_cached)
		wrong(w, KARENA_DAMAGE_COUNT, 0, objects, w->central->nr_cached);
}

static void look_at_depot(struct mags_walk *w)
{
	struct karena_central *central = w->central;

	spin_lock_irq(&central->lock);
	w->trades = central->trades;
	add_count(w, w->trades);
	w->depot = w->picture->nr;
	look_at_list(w, &central->full_mags, true, central->nr_full_mags);
	look_at_list(w, &central->empty_mags, false, central->nr_empty_mags);
	spin_unlock_irq(&central->lock);
}

/* Whether all objects of the depot have been looked at while they were there. */
static bool look_at_objects(struct mags_walk *w)
{
	unsigned int at = w->depot, end;
	bool same = true;

	while (same && at < w->picture->nr) {
		end = min(at + SLOTS, w->picture->nr);
		spin_lock_irq(&w->central->lock);
		/* Else they may be anywhere. */
		same = w->trades == w->central->trades;
		for (; same && at < end; at++)
			look_at_slot(w, w->picture->word[at]);
		spin_unlock_irq(&w->central->lock);
		cond_resched();
	}
	return same;
}

/* --- all --- */

static bool take_picture(struct mags_walk *w, struct picture *picture)
{
	unsigned int cpu;

	w->picture = picture;
	picture->nr = 0;
	for_each_possible_cpu(cpu) {
		if (has_some(w, cpu))
			look_on(w, cpu);
		cond_resched();
	}
	look_at_depot(w);
	return look_at_objects(w);
}

static int compare(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

/* Objects in it, sorted; how many. */
static unsigned int sort_objects(const struct picture *picture, unsigned long *to)
{
	unsigned int i, n = 0;

	for (i = 0; i < picture->nr; i++)
		if (!(picture->word[i] & 1))
			to[n++] = picture->word[i];
	sort(to, n, sizeof(*to), compare, NULL);
	return n;
}

/* The next object that is there twice, from @i on; @n if there is none. */
static unsigned int next_twice(const unsigned long *objects, unsigned int i, unsigned int n)
{
	while (i + 1 < n && objects[i] != objects[i + 1])
		i++;
	return i + 1 < n ? i : n;
}

static bool is_same(const struct picture *a, const struct picture *b)
{
	return a->nr == b->nr && !memcmp(a->word, b->word, a->nr * sizeof(a->word[0]));
}

/* Whether it is known if objects are in magazines twice. */
static bool look_for_twice(struct mags_walk *w, const struct pictures *p)
{
	unsigned int n = sort_objects(p->first, p->objects), i = next_twice(p->objects, 0, n);

	if (i < n && (!take_picture(w, p->second) || !is_same(p->first, p->second)))
		return false;
	w->c->told.cached += n;
	for (; i < n; i = next_twice(p->objects, i + 1, n))
		wrong(w, KARENA_DAMAGE_TWICE, p->objects[i], 2, 1);
	return true;
}

static int check_central(struct karena_checker *c, struct karena_central *central,
			 const struct pictures *p)
{
	struct mags_walk w = {
		.c = c, .central = central, .cap = karena_class_magazine(central->class),
	};
	unsigned int try;

	for (try = 0; try < KARENA_CHECK_TRIES; try++) {
		if (take_picture(&w, p->first) && look_for_twice(&w, p))
			return 0;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	c->told.unsettled++;
	return 0;
}

static struct picture *picture_new(void)
{
	unsigned int counts = 1 + 3 * num_possible_cpus();
	unsigned int mags = KARENA_DEPOT_MAGS + 2 * num_possible_cpus();
	unsigned int room = counts + mags * KARENA_MAGAZINE;
	struct picture *picture = kvmalloc(struct_size(picture, word, room), GFP_KERNEL_ACCOUNT);

	if (picture)
		picture->room = room;
	return picture;
}

static bool pictures_make(struct pictures *p)
{
	p->first = picture_new();
	p->second = picture_new();
	if (!p->first || !p->second)
		return false;
	p->objects = kvmalloc_array(p->first->room, sizeof(*p->objects), GFP_KERNEL_ACCOUNT);
	return p->objects;
}

/* What the kernel keeps of objects for CPUs. */
int karena_check_magazines(struct karena_checker *c)
{
	struct karena_central *central = karena_first_central(c->heap);
	struct pictures p = {};
	int err = pictures_make(&p) ? 0 : -ENOMEM;

	for (; central && !err; central = central->next)
		err = check_central(c, central, &p);
	kvfree(p.objects);
	kvfree(p.second);
	kvfree(p.first);
	return err;
}
