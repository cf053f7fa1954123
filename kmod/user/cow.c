// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that a heap and its clone have together, until one of them writes there.
 *
 * Such a page (SHARED in the word that tells its memory, pagemap_memory()) is never
 * written: it is mapped to be read only, and who would write has its heap get a page of
 * its own first, with the same in it.  Each heap has a reference to the machine pages.
 * They are in no mapping, as they would have to be in two; their index is good for both.
 * A heap that turns out to be the last one keeps what it has.
 *
 *	write fault, or kernel code	fault
 *	own_lock			heap->lock: look up and get_page()
 *	lock the old pages, unmap	lock_page
 *	  new pages: copy		  still what the word says?
 *	  heap->lock: the word = new	  return it locked
 *	unlock the old ones
 *
 * So a page is SHARED as long as it is locked, or has been no more since before; nobody
 * finds the new one while the old one is in a page table, and an old one is mapped before
 * it is unmapped, or not at all.
 *
 * To begin with, everything stands still for a clone: karena_freeze() in clone.c.
 *
 * Lock order: freeze (read), own_lock, locks of pages, heap->lock.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "kmod/compat/compat.h"
#include "user.h"

/* A bit of the word beside those of pages.c. */
#define SHARED		BIT(KARENA_PAGE_SHIFT - 1)
#define LOW_BITS	(KARENA_PAGE_SIZE - 1)

static_assert(SHARED > BIT(KARENA_SUBPAGES) && SHARED < KARENA_PAGE_SIZE);

static atomic_long_t *word_of(struct karena_uheap *uh, unsigned long page)
{
	return (atomic_long_t *)karena_pagemap_memory(uh->heap.map, page);
}

bool karena_page_is_shared(struct karena_uheap *uh, unsigned long page)
{
	const unsigned long *word;
	bool shared;

	rcu_read_lock();
	word = karena_pagemap_memory(uh->heap.map, page);
	/* Set while everything stands, cleared with its machine pages locked. */
	shared = word && READ_ONCE(*word) & SHARED;
	rcu_read_unlock();
	return shared;
}

static struct page *first_of(unsigned long word)
{
	return virt_to_page((void *)karena_memory_of(word));
}

static loff_t offset_of(unsigned long page, unsigned int sub)
{
	return ((loff_t)page << KARENA_PAGE_SHIFT) + sub * PAGE_SIZE;
}

static void unmap(struct karena_uheap *uh, unsigned long page, unsigned int sub)
{
	unmap_mapping_range(uh->inode->i_mapping, offset_of(page, sub), PAGE_SIZE, 1);
}

/* Makes a machine page, which is locked, the window's. */
static void set_mapping(struct karena_uheap *uh, unsigned long page, unsigned int sub,
			struct page *first)
{
	struct folio *folio = page_folio(first + sub);

	folio->index = page * KARENA_SUBPAGES + sub;
	folio->mapping = uh->inode->i_mapping;
}

static void get_all(struct page *first)
{
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		get_page(first + sub);
}

static void put_all(struct page *first)
{
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		put_page(first + sub);
}

static void lock_all(struct page *first)
{
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		lock_page(first + sub);
}

static void unlock_all(struct page *first)
{
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		unlock_page(first + sub);
}

static void copy_all(struct page *to, struct page *from)
{
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		/* Of a page that is pinned: whatever it is that comes just now. */
		data_race(memcpy(page_address(to + sub), page_address(from + sub), PAGE_SIZE));
}

/* New pages for one of the heap's. */
static struct page *new_pages(gfp_t gfp)
{
	struct page *first = alloc_pages(gfp, KARENA_PAGE_ORDER);

	if (first)
		split_page(first, KARENA_PAGE_ORDER);
	return first;
}

/* --- one of its own --- */

/* The machine pages of one that is shared, each with a reference; or NULL. */
static struct page *get_shared(struct karena_uheap *uh, unsigned long page)
{
	struct page *first = NULL;
	atomic_long_t *word;
	unsigned long old;

	spin_lock_irq(&uh->heap.lock);
	word = word_of(uh, page);
	old = word ? atomic_long_read(word) : 0;
	if (old & SHARED) {
		first = first_of(old);
		get_all(first);
	}
	spin_unlock_irq(&uh->heap.lock);
	return first;
}

/* Puts @new, or the same memory, unshared, into the word; false if it is another's now. */
static bool set_word(struct karena_uheap *uh, unsigned long page, struct page *old,
		     struct page *new)
{
	unsigned long memory = (unsigned long)page_address(new), word;
	bool ours;

	spin_lock_irq(&uh->heap.lock);
	word = atomic_long_read(word_of(uh, page));
	do {
		ours = word & SHARED && first_of(word) == old;
		/* What is written is set without the lock: pages.c. */
	} while (ours && !atomic_long_try_cmpxchg(word_of(uh, page), (long *)&word,
						  memory | (word & LOW_BITS & ~SHARED)));
	spin_unlock_irq(&uh->heap.lock);
	return ours;
}

/* Out of all page tables, while they are locked: who comes from here on waits. */
static void unmap_all(struct karena_uheap *uh, unsigned long page)
{
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		unmap(uh, page, sub);
	karena_unmapped();
}

/* Nobody has them any more but the heap, the caller, and who is in a fault on @held. */
static bool is_alone(struct page *first, const struct page *held)
{
	unsigned int sub, alone = 0;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		alone += page_ref_count(first + sub) == 2 + (first + sub == held);
	return alone == KARENA_SUBPAGES;
}

/* They are the heap's alone from here on, unless the page is another's now. */
static void keep(struct karena_uheap *uh, unsigned long page, struct page *first)
{
	unsigned int sub;

	if (!set_word(uh, page, first, first))
		return;
	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		set_mapping(uh, page, sub, first);
}

/* The heap has others with the same in it from here on; false as in keep(). */
static bool replace(struct karena_uheap *uh, unsigned long page, struct page *old)
{
	/* As for a page that is copied after fork(), there is no way to fail. */
	struct page *new = new_pages(GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	unsigned int sub;

	copy_all(new, old);
	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		set_mapping(uh, page, sub, new);
	if (set_word(uh, page, old, new))
		return true;
	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		page_folio(new + sub)->mapping = NULL;
	put_all(new);
	return false;
}

/* Pages that a marker may be looking at. */
struct stale {
	struct list_head node;
	struct page *first;
};

/* Lets go of what the heap had, but not before the cycle is over. */
static void put_later(struct karena_uheap *uh, struct page *first)
{
	struct stale *stale;

	/* Whoever marks after this has seen the word that is there now. */
	smp_mb();
	if (!uh->heap.gc || READ_ONCE(uh->heap.head.phase) == KARENA_IDLE) {
		put_all(first);
		return;
	}
	stale = kmalloc(sizeof(*stale), GFP_KERNEL | __GFP_NOFAIL);
	stale->first = first;
	list_add(&stale->node, &uh->stale);
}

/* Pages that were looked at in a cycle that is over. */
void karena_stale_drop(struct karena_uheap *uh)
{
	struct stale *stale, *next;

	mutex_lock(&uh->own_lock);
	list_for_each_entry_safe(stale, next, &uh->stale, node) {
		list_del(&stale->node);
		put_all(stale->first);
		kfree(stale);
	}
	mutex_unlock(&uh->own_lock);
}

static void own(struct karena_uheap *uh, unsigned long page, struct page *first,
		const struct page *held)
{
	bool replaced = false;

	lock_all(first);
	unmap_all(uh, page);
	if (is_alone(first, held))
		keep(uh, page, first);
	else
		replaced = replace(uh, page, first);
	unlock_all(first);
	if (replaced)
		put_later(uh, first);
}

/*
 * Gets the heap a page of its own, if it has that one together with another.  @held: the
 * machine page that the caller is in a fault on, or NULL.  Sleeps.
 */
void karena_page_own(struct karena_uheap *uh, unsigned long page, const struct page *held)
{
	struct page *first;

	if (!karena_page_is_shared(uh, page))
		return;
	mutex_lock(&uh->own_lock);
	first = get_shared(uh, page);
	if (first) {
		own(uh, page, first, held);
		put_all(first);
	}
	mutex_unlock(&uh->own_lock);
}

/* --- for a clone, while everything stands --- */

/* Whether nobody can write there from here on: it is mapped nowhere, and not pinned. */
static bool hide(struct karena_uheap *uh, unsigned long page, struct page *first)
{
	unsigned int sub, free = 0;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++) {
		/* Who was in a fault has it mapped by then. */
		lock_page(first + sub);
		if (folio_mapped(page_folio(first + sub))) {
			unmap(uh, page, sub);
			karena_unmapped();
		}
		free += page_ref_count(first + sub) == 1;
		unlock_page(first + sub);
	}
	return free == KARENA_SUBPAGES;
}

static void forget_mapping(struct page *first)
{
	unsigned int sub;

	lock_all(first);
	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		page_folio(first + sub)->mapping = NULL;
	unlock_all(first);
}

static int copy_now(struct karena_uheap *to, unsigned long page, struct page *first)
{
	struct page *new = new_pages(GFP_KERNEL | to->heap.gfp);
	unsigned int sub;

	if (!new)
		return -ENOMEM;
	copy_all(new, first);
	for (sub = 0; sub < KARENA_SUBPAGES; sub++)
		set_mapping(to, page, sub, new);
	atomic_long_set(word_of(to, page), (unsigned long)page_address(new));
	return 0;
}

/* Gives @to the memory of a page of a span of @from; 0 or -ENOMEM. */
int karena_page_share(struct karena_uheap *to, struct karena_uheap *from, unsigned long page)
{
	unsigned long word = atomic_long_read(word_of(from, page));
	struct page *first = first_of(word);

	if (!(word & SHARED)) {
		if (!hide(from, page, first))
			return copy_now(to, page, first);
		forget_mapping(first);
		atomic_long_or(SHARED, word_of(from, page));
	}
	get_all(first);
	atomic_long_set(word_of(to, page), karena_memory_of(word) | SHARED);
	return 0;
}
