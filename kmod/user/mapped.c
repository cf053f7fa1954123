// SPDX-License-Identifier: GPL-2.0
/*
 * Which parts of a collected heap programs may have mapped, so that all of it can be
 * unmapped in no time once most of it has been: while all threads stand, for a dump, or
 * wait for a clone.  Tables of entries stay when what is in them is unmapped, and to look
 * through those of a large heap takes milliseconds.
 *
 * There is a bit for each KARENA_PART_PAGES pages, in a word for each leaf.
 *
 *	unmap					fault
 *	clear the bit				lock_page
 *	unmap the part				  set the bit
 *	for each page of it			the fault makes an entry, unlocks
 *	  lock_page
 *	    mapped? unmap it
 *	  unlock_page
 *
 * The lock of the page makes that one of them is first: a fault before has made its
 * entry by the time that the page is looked at; one after sees that the bit is clear.
 * Who found no page to lock has had the heap's lock before the fault had it, which is then
 * after that as well.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "user.h"

/* Rounds end when one unmaps so few parts, or after so many. */
#define FEW		4u
#define MAX_ROUNDS	4u

/* Somebody is about to map page @pgoff of the window, which is locked. */
void karena_mapped_set(struct karena_uheap *uh, pgoff_t pgoff)
{
	unsigned long part = pgoff / KARENA_SUBPAGES / KARENA_PART_PAGES;

	if (uh->mapped && !test_bit(part, uh->mapped) &&
	    !karena_is_planted(KARENA_PLANT_MAPPED_UNSEEN))
		set_bit(part, uh->mapped);
}

static void unmap(struct karena_uheap *uh, pgoff_t first, pgoff_t nr)
{
	unmap_mapping_range(uh->inode->i_mapping, (loff_t)first << PAGE_SHIFT,
			    (loff_t)nr << PAGE_SHIFT, 1);
}

/* One that somebody was about to map. */
static void unmap_late(struct karena_uheap *uh, pgoff_t pgoff)
{
	struct page *page = karena_window_page(uh, pgoff);

	if (!page)
		return;
	lock_page(page);
	if (folio_mapped(page_folio(page)))
		unmap(uh, pgoff, 1);
	unlock_page(page);
	put_page(page);
}

/* Parts next to each other. */
static void unmap_parts(struct karena_uheap *uh, unsigned long part, unsigned int nr)
{
	const unsigned long part_pages = KARENA_PART_PAGES * KARENA_SUBPAGES;
	pgoff_t first = part * part_pages, pgoff;

	unmap(uh, first, nr * part_pages);
	for (pgoff = first; pgoff < first + nr * part_pages; pgoff++)
		unmap_late(uh, pgoff);
}

/* All that is mapped; how many parts of it. */
static unsigned long unmap_all(struct karena_uheap *uh)
{
	unsigned long leaves = uh->heap.map->npages / KARENA_LEAF_PAGES, leaf, parts, nr = 0;
	unsigned int start, end;

	for (leaf = 0; leaf < leaves; leaf++) {
		if (!READ_ONCE(uh->mapped[leaf]))
			continue;
		/* A full barrier: the bits are clear before anything is unmapped. */
		parts = xchg(&uh->mapped[leaf], 0);
		for_each_set_bitrange(start, end, &parts, BITS_PER_LONG)
			unmap_parts(uh, leaf * BITS_PER_LONG + start, end - start);
		nr += hweight_long(parts);
		cond_resched();
	}
	return nr;
}

/* Most of it, if that is known, while programs run: before karena_unmap_objects().  Sleeps. */
void karena_unmap_most(struct karena_uheap *uh)
{
	unsigned int round;

	for (round = 0; uh->mapped && round < MAX_ROUNDS && unmap_all(uh) > FEW; round++)
		;
}

/*
 * The next one who comes to an object comes by way of a fault; under UML: soon.  In a heap
 * that is not collected a fault under way may still map a page.  Sleeps.
 */
void karena_unmap_objects(struct karena_uheap *uh)
{
	if (uh->mapped)
		unmap_all(uh);
	else
		unmap(uh, 0, uh->npages * KARENA_SUBPAGES);
}

int karena_mapped_init(struct karena_uheap *uh)
{
	uh->mapped = kvcalloc(uh->heap.map->npages / KARENA_LEAF_PAGES, sizeof(long),
			      GFP_KERNEL_ACCOUNT);
	return uh->mapped ? 0 : -ENOMEM;
}

void karena_mapped_exit(struct karena_uheap *uh)
{
	kvfree(uh->mapped);
}
