// SPDX-License-Identifier: GPL-2.0
/*
 * The window of a user heap: a range of addresses, the same in each process,
 * and the pages behind it.
 *
 * A page is in one of three states: bare (an address without memory), free
 * (memory, in no span) and in a span.  Memory is brought when a span is made,
 * so that running out of it is the failure of an allocation and never a signal.
 *
 * How a machine page gets mapped and goes away again:
 *
 *	fault			release
 *	heap->lock: look up	heap->lock: entry->page = NULL
 *	  and get_page()	unmap
 *	lock_page		lock_page
 *	  still in the entry?	  still mapped? unmap; mapping = NULL
 *	  return it locked	unlock, put_page
 *
 * The page tables are filled in before the fault's lock is dropped, so release
 * finds it mapped; or it gets the lock first, and the fault finds another entry.
 * What else may come for a page is in cow.c.
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/pagemap.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "user.h"

#define WINDOW_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Windows of all heaps, so that a process can map any of them side by side. */
static DEFINE_MTREE(windows);
#define WINDOW_TRIES	64

/* A heap's and its clones'. */
struct karena_place {
	refcount_t ref;
	unsigned long start;
};

/* One that a clone has as well stays there: it has no mapping, and is mapped in both. */
static void put_machine_page(struct address_space *mapping, struct page *page)
{
	struct folio *folio = page_folio(page);

	folio_lock(folio);
	if (folio_mapped(folio))
		unmap_mapping_range(mapping, folio_pos(folio), PAGE_SIZE, 1);
	folio->mapping = NULL;
	folio_unlock(folio);
	folio_put(folio);
}

static void drop_pages(struct karena_uheap *uh, unsigned long start, unsigned long npages)
{
	struct karena_heap *heap = &uh->heap;
	unsigned long i, sub, *memory, at;

	for (i = start; i < start + npages; i++) {
		memory = karena_pagemap_memory(heap->map, i);
		spin_lock_irq(&heap->lock);
		at = karena_memory_of(*memory);
		/* The other bits are set without the lock, and then mean nothing. */
		WRITE_ONCE(*memory, 0);
		spin_unlock_irq(&heap->lock);
		for (sub = 0; at && sub < KARENA_SUBPAGES; sub++)
			put_machine_page(uh->inode->i_mapping, virt_to_page((void *)at) + sub);
	}
}

/* Makes the machine pages of a split chunk the window's, from page @start on. */
static void set_pages(struct karena_uheap *uh, unsigned long start, unsigned long npages,
		      struct page *page)
{
	struct folio *folio;
	unsigned long i;

	for (i = 0; i < npages * KARENA_SUBPAGES; i++) {
		folio = page_folio(page + i);
		folio->index = start * KARENA_SUBPAGES + i;
		folio->mapping = uh->inode->i_mapping;
	}
	spin_lock_irq(&uh->heap.lock);
	for (i = 0; i < npages; i++)
		WRITE_ONCE(*karena_pagemap_memory(uh->heap.map, start + i),
			   (unsigned long)page_address(page + i * KARENA_SUBPAGES));
	spin_unlock_irq(&uh->heap.lock);
}

/* Up to @max pages in one piece; how many in *@got. */
static struct page *get_chunk(unsigned long max, gfp_t gfp, unsigned long *got)
{
	int order = min_t(int, KARENA_CHUNK_ORDER, ilog2(max) + KARENA_PAGE_ORDER);
	gfp_t easy = (gfp & ~__GFP_RETRY_MAYFAIL) | __GFP_NORETRY;
	struct page *page;

	for (; order >= KARENA_PAGE_ORDER; order--) {
		page = alloc_pages((order > KARENA_PAGE_ORDER ? easy : gfp) | __GFP_ZERO, order);
		if (!page)
			continue;
		split_page(page, order);
		*got = 1UL << (order - KARENA_PAGE_ORDER);
		return page;
	}
	return NULL;
}

/* Charges memory for metadata; it comes back when the heap goes. */
int karena_uheap_charge_meta(struct karena_uheap *uh, size_t bytes)
{
	unsigned long npages = DIV_ROUND_UP(bytes, KARENA_PAGE_SIZE);
	int err = karena_user_charge(uh->user, npages);

	if (!err)
		atomic_long_add(npages, &uh->meta_pages);
	return err;
}

void karena_uheap_uncharge_meta(struct karena_uheap *uh, size_t bytes)
{
	unsigned long npages = DIV_ROUND_UP(bytes, KARENA_PAGE_SIZE);

	atomic_long_sub(npages, &uh->meta_pages);
	karena_user_uncharge(uh->user, npages);
}

/* What a leaf is charged as: it goes on its own. */
static size_t leaf_charge(struct karena_uheap *uh)
{
	return round_up(karena_leaf_bytes(uh->heap.map), KARENA_PAGE_SIZE);
}

/* What is known of pages; 0 or an errno. */
int karena_window_map(struct karena_uheap *uh, struct karena_run *run, gfp_t gfp)
{
	int made = karena_pagemap_populate(uh->heap.map, run->start, run->npages, gfp);

	if (made <= 0)
		return made;
	return karena_uheap_charge_meta(uh, made * leaf_charge(uh));
}

/* Whether nobody has a page of a leaf, or can get one with the heap's lock held. */
static bool is_bare(struct karena_uheap *uh, unsigned long leaf)
{
	unsigned long first = leaf << KARENA_LEAF_SHIFT;
	const struct karena_run *run = karena_runs_last(&uh->bare, first + 1);

	return run && run->start + run->npages >= first + KARENA_LEAF_PAGES;
}

/*
 * What is known of the pages of a leaf goes, if nobody has one.  Not while a cycle looks at
 * what it likes: keep is set before the lock is taken once, karena_keep_begin().
 */
static void forget_leaf(struct karena_uheap *uh, unsigned long index)
{
	struct karena_heap *heap = &uh->heap;
	struct karena_leaf *leaf = NULL;

	mutex_lock(&heap->reap_lock);
	spin_lock_irq(&heap->lock);
	if (!READ_ONCE(heap->keep) && is_bare(uh, index))
		leaf = karena_pagemap_cut(heap->map, index);
	spin_unlock_irq(&heap->lock);
	mutex_unlock(&heap->reap_lock);
	if (!leaf)
		return;
	karena_leaf_delete(heap->map, leaf);
	karena_uheap_uncharge_meta(uh, leaf_charge(uh));
}

void karena_window_forget(struct karena_heap *heap)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long leaf;

	for (leaf = 0; leaf < heap->map->npages >> KARENA_LEAF_SHIFT; leaf++) {
		if (!READ_ONCE(heap->map->leaf[leaf]))
			continue;
		forget_leaf(uh, leaf);
		cond_resched();
	}
}

static int populate(struct karena_uheap *uh, struct karena_run *run, gfp_t gfp)
{
	unsigned long done = 0, got;
	struct page *page;
	int err;

	err = karena_window_map(uh, run, gfp);
	if (err)
		return err;
	while (done < run->npages) {
		page = fatal_signal_pending(current) ? NULL :
		       get_chunk(run->npages - done, gfp, &got);
		if (!page) {
			drop_pages(uh, run->start, done);
			return -ENOMEM;
		}
		set_pages(uh, run->start + done, got, page);
		done += got;
		cond_resched();
	}
	run->zeroed = true;
	return 0;
}

/* A run of pages without memory, or NULL. */
struct karena_run *karena_bare_take(struct karena_uheap *uh, unsigned long n, gfp_t gfp)
{
	struct karena_run *spare = karena_run_new(0, 0, gfp), *run;

	if (!spare)
		return NULL;
	spin_lock_irq(&uh->heap.lock);
	run = karena_runs_take(&uh->bare, n, spare);
	spin_unlock_irq(&uh->heap.lock);
	if (run != spare)
		karena_run_delete(spare);
	return run;
}

void karena_bare_put(struct karena_uheap *uh, struct karena_run *run)
{
	spin_lock_irq(&uh->heap.lock);
	karena_runs_insert(&uh->bare, run);
	spin_unlock_irq(&uh->heap.lock);
}

static struct karena_run *window_grow(struct karena_heap *heap, unsigned long n, gfp_t gfp)
{
	struct karena_uheap *uh = to_uheap(heap);
	struct karena_run *run;

	if (karena_mheap_charge(heap, n))
		return NULL;
	run = karena_bare_take(uh, n, gfp);
	if (!run)
		goto uncharge;
	if (!populate(uh, run, gfp))
		return run;
	karena_bare_put(uh, run);
uncharge:
	karena_mheap_uncharge(heap, n);
	return NULL;
}

static void window_release(struct karena_heap *heap, struct karena_run *run)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long npages = run->npages;

	unmap_mapping_range(uh->inode->i_mapping, (loff_t)run->start << KARENA_PAGE_SHIFT,
			    (loff_t)npages << KARENA_PAGE_SHIFT, 1);
	drop_pages(uh, run->start, npages);
	karena_bare_put(uh, run);
	karena_mheap_uncharge(heap, npages);
}

/*
 * The machine page at @pgoff, locked and with a reference more, if that can be had without
 * waiting.  No fault maps it then, and no copy takes its place (cow.c).
 */
static struct folio *try_lock(struct karena_uheap *uh, pgoff_t pgoff)
{
	struct page *page = karena_window_page(uh, pgoff);
	struct folio *folio;

	if (!page)
		return NULL;
	folio = page_folio(page);
	if (!folio_trylock(folio))
		goto put;
	if (karena_window_has(uh, pgoff, page))
		return folio;
	folio_unlock(folio);
put:
	folio_put(folio);
	return NULL;
}

static void unlock_all(struct folio **folios, unsigned int nr)
{
	while (nr--) {
		folio_unlock(folios[nr]);
		folio_put(folios[nr]);
	}
}

static bool window_try_release(struct karena_heap *heap, struct karena_run *run)
{
	struct karena_uheap *uh = to_uheap(heap);
	pgoff_t first = run->start * KARENA_SUBPAGES;
	struct folio *folios[KARENA_SUBPAGES];
	unsigned int sub;

	for (sub = 0; sub < KARENA_SUBPAGES; sub++) {
		folios[sub] = try_lock(uh, first + sub);
		if (!folios[sub]) {
			unlock_all(folios, sub);
			return false;
		}
	}
	spin_lock_irq(&heap->lock);
	WRITE_ONCE(*karena_pagemap_memory(heap->map, run->start), 0);
	spin_unlock_irq(&heap->lock);
	for (sub = 0; sub < KARENA_SUBPAGES; sub++) {
		if (folio_mapped(folios[sub]) && !karena_is_planted(KARENA_PLANT_SHRINK_UNMAPPED))
			unmap_mapping_range(uh->inode->i_mapping,
					    (loff_t)(first + sub) << PAGE_SHIFT, PAGE_SIZE, 1);
		folios[sub]->mapping = NULL;
		/* The heap's own. */
		folio_put(folios[sub]);
	}
	unlock_all(folios, KARENA_SUBPAGES);
	karena_bare_put(uh, run);
	karena_mheap_uncharge(heap, 1);
	return true;
}

static void window_drain(struct karena_heap *heap)
{
	karena_magazines_drain(to_uheap(heap));
}

static unsigned long page_at(const struct karena_heap *heap, unsigned long addr)
{
	return (addr - heap->base) >> KARENA_PAGE_SHIFT;
}

static void clear(struct karena_heap *heap, unsigned long addr, size_t size)
{
	size_t part;

	for (; size; size -= part, addr += part) {
		part = min_t(size_t, size, KARENA_PAGE_SIZE - (addr & KARENA_PAGE_MASK));
		memset((void *)karena_memory_at(heap->map, heap->base, addr), 0, part);
	}
}

/* Sleeps, if a clone has the memory as well; and that is over before one can be made. */
static void window_clear(struct karena_heap *heap, unsigned long addr, size_t size)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long page;

	down_read(&uh->freeze);
	for (page = page_at(heap, addr); page <= page_at(heap, addr + size - 1); page++)
		karena_page_own(uh, page, NULL);
	clear(heap, addr, size);
	up_read(&uh->freeze);
}

/* The same of what was freed, and may stay as it is. */
static void window_wipe(struct karena_heap *heap, unsigned long addr, size_t size)
{
	unsigned long page;

	for (page = page_at(heap, addr); page <= page_at(heap, addr + size - 1); page++)
		if (karena_page_is_shared(to_uheap(heap), page))
			return;
	clear(heap, addr, size);
}

/* Tells programs of a span that comes or goes. */
static int window_publish(struct karena_heap *heap, struct karena_run *run, u16 value)
{
	struct karena_uheap *uh = to_uheap(heap);
	int err = karena_control_publish(heap, run, value);

	if (!err && uh->written)
		karena_pages_set(uh, run, value);
	return err;
}

static int window_charge(struct karena_heap *heap, unsigned long n)
{
	return karena_user_charge(to_uheap(heap)->user, n);
}

static void window_uncharge(struct karena_heap *heap, unsigned long n)
{
	karena_user_uncharge(to_uheap(heap)->user, n);
}

static void put_place(struct karena_place *place)
{
	if (!place || !refcount_dec_and_test(&place->ref))
		return;
	mtree_erase(&windows, place->start);
	kfree(place);
}

static void uheap_free(struct karena_uheap *uh)
{
	struct karena_run *run;

	put_place(uh->place);
	while ((run = karena_runs_take_last(&uh->bare, ULONG_MAX, ULONG_MAX, NULL)))
		karena_run_delete(run);
	karena_run_delete(uh->leaving);
	karena_collect_exit(uh);
	karena_roots_delete(uh->roots);
	karena_stale_drop(uh);
	karena_region_destroy(uh, &uh->control);
	karena_region_destroy(uh, &uh->magazines);
	free_percpu(uh->due);
	xa_destroy(&uh->types);
	karena_pagemap_delete(uh->heap.map);
	if (uh->inode)
		iput(uh->inode);
	if (uh->user) {
		karena_user_uncharge(uh->user, atomic_long_read(&uh->meta_pages));
		if (uh->private)
			karena_user_del_private(uh->user);
		else
			karena_user_del_heap(uh->user, uh->npages);
		karena_user_put(uh->user);
	}
	kfree(uh);
}

void karena_window_destroy(struct karena_heap *heap)
{
	uheap_free(to_uheap(heap));
}

static const struct karena_backing window_backing = {
	.grow = window_grow,
	.release = window_release,
	.try_release = window_try_release,
	.forget = karena_window_forget,
	.drain = window_drain,
	.publish = window_publish,
	.clear = window_clear,
	.wipe = window_wipe,
	.charge = window_charge,
	.uncharge = window_uncharge,
	.destroy = karena_window_destroy,
};

/*
 * An address that a program gave, as one in its window whatever the CPU guesses;
 * false if it is not in there.
 */
bool karena_in_window(struct karena_uheap *uh, u64 *addr)
{
	unsigned long size = uh->npages << KARENA_PAGE_SHIFT;
	unsigned long offset = *addr - uh->heap.base;

	if (offset >= size)
		return false;
	*addr = uh->heap.base + array_index_nospec(offset, size);
	return true;
}

/* The machine page at @pgoff of the window, with a reference; NULL if it has none. */
struct page *karena_window_page(struct karena_uheap *uh, pgoff_t pgoff)
{
	unsigned long *memory, at;
	struct page *page = NULL;

	spin_lock_irq(&uh->heap.lock);
	memory = karena_pagemap_memory(uh->heap.map, pgoff / KARENA_SUBPAGES);
	at = memory ? karena_memory_of(READ_ONCE(*memory)) : 0;
	if (at) {
		page = virt_to_page((void *)at) + pgoff % KARENA_SUBPAGES;
		get_page(page);
	}
	spin_unlock_irq(&uh->heap.lock);
	return page;
}

/* Whether a machine page, which is locked, is still that of the window at @pgoff. */
bool karena_window_has(struct karena_uheap *uh, pgoff_t pgoff, const struct page *page)
{
	const unsigned long *memory;
	unsigned long at;

	rcu_read_lock();
	memory = karena_pagemap_memory(uh->heap.map, pgoff / KARENA_SUBPAGES);
	at = memory ? karena_memory_of(READ_ONCE(*memory)) : 0;
	rcu_read_unlock();
	return at && virt_to_page((void *)at) + pgoff % KARENA_SUBPAGES == page;
}

/* From where no other window may be to where the window is; the other regions are between. */
static unsigned long below_window(const struct karena_uheap *uh)
{
	return uh->control.size + uh->magazines.size + 2 * KARENA_WINDOW_GUARD;
}

static void place_at(struct karena_uheap *uh, unsigned long base)
{
	uh->heap.base = base;
	uh->control.base = base - uh->control.size - KARENA_WINDOW_GUARD;
	uh->magazines.base = base - below_window(uh);
}

/* Takes the addresses, for good; 0 or an errno. */
static int claim(struct karena_uheap *uh, unsigned long base)
{
	unsigned long window = uh->npages << KARENA_PAGE_SHIFT;
	struct karena_place *place = kmalloc(sizeof(*place), GFP_KERNEL_ACCOUNT);
	int err;

	if (!place)
		return -ENOMEM;
	refcount_set(&place->ref, 1);
	place->start = base;
	err = mtree_insert_range(&windows, base - below_window(uh), base + window - 1, place,
				 GFP_KERNEL_ACCOUNT);
	if (err)
		kfree(place);
	else
		uh->place = place;
	return err;
}

/* Of a private heap, which needs them in one process only. */
static int find_free(struct karena_uheap *uh, unsigned long base)
{
	unsigned long window = uh->npages << KARENA_PAGE_SHIFT;
	struct mm_struct *mm = current->mm;
	bool busy;

	mmap_read_lock(mm);
	busy = find_vma_intersection(mm, base - below_window(uh), base + window);
	mmap_read_unlock(mm);
	return busy ? -EEXIST : 0;
}

/*
 * Finds a place for the window and the other regions below it: at random, among the
 * addresses that a process has without asking for more (47 bits), where little else is:
 * in the middle for all to have, lower down for one process.
 */
static int place_window(struct karena_uheap *uh)
{
	unsigned long top = min_t(unsigned long, TASK_SIZE_MAX, BIT(47));
	unsigned long low = uh->private ? top / 128 : top / 8;
	unsigned long span = uh->private ? top / 16 : top / 2;
	unsigned long base;
	int tries, err = -ENOMEM;

	for (tries = 0; tries < WINDOW_TRIES; tries++) {
		base = low + round_up(get_random_u64() % span, SZ_1G);
		base = round_down(base, SZ_1G);
		err = uh->private ? find_free(uh, base) : claim(uh, base);
		if (!err)
			place_at(uh, base);
		if (err != -EEXIST)
			break;
	}
	return err == -EEXIST ? -ENOMEM : err;
}

/* Where another heap is, which stays until then. */
static void place_with(struct karena_uheap *uh, const struct karena_uheap *like)
{
	uh->place = like->place;
	if (uh->place)
		refcount_inc(&uh->place->ref);
	place_at(uh, like->heap.base);
}

static int uheap_set_user(struct karena_uheap *uh)
{
	struct karena_user *user = karena_user_get(current_uid());
	int err;

	if (!user)
		return -ENOMEM;
	err = uh->private ? karena_user_add_private(user) :
			    karena_user_add_heap(user, uh->npages);
	if (err)
		karena_user_put(user);
	else
		uh->user = user;
	return err;
}

static int uheap_set_inode(struct karena_uheap *uh)
{
	struct inode *inode = karena_inode_new((loff_t)uh->npages << KARENA_PAGE_SHIFT);

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	uh->inode = inode;
	return 0;
}

/* Addresses without memory, from page @first on; the program tells those of a private heap. */
static int init_bare(struct karena_uheap *uh, unsigned long first)
{
	struct karena_run *all;

	if (uh->private)
		return 0;
	all = karena_run_new(first, uh->npages - first, WINDOW_GFP);
	if (!all)
		return -ENOMEM;
	karena_runs_insert(&uh->bare, all);
	return 0;
}

static int uheap_init(struct karena_uheap *uh, const struct karena_setup *setup,
		      const struct karena_uheap *like)
{
	bool collect = setup->flags & KARENA_SETUP_COLLECT;
	int err;

	err = uheap_set_user(uh);
	if (err)
		return err;
	err = uheap_set_inode(uh);
	if (err)
		return err;
	err = karena_uheap_charge_meta(uh, uh->npages / KARENA_LEAF_PAGES * sizeof(void *));
	if (err)
		return err;
	uh->heap.map = karena_pagemap_new(uh->npages, true, WINDOW_GFP);
	if (!uh->heap.map)
		return -ENOMEM;
	/* The address of the heap itself is known everywhere, and no reference. */
	err = init_bare(uh, collect ? 1 : 0);
	if (err)
		return err;
	if (like)
		place_with(uh, like);
	else
		err = place_window(uh);
	if (err)
		return err;
	return karena_control_init(uh, setup->flags);
}

/* Whether the caller's memory is not for everybody with its user's id. */
static bool has_secrets(void)
{
	return !uid_eq(current_uid(), current_euid()) || !gid_eq(current_gid(), current_egid()) ||
	       !karena_is_dumpable();
}

/* A heap for user space; @setup has been checked.  With @like where that one is. */
struct karena_uheap *karena_uheap_create(const struct karena_setup *setup,
					 const struct karena_uheap *like)
{
	struct karena_uheap *uh = kzalloc(sizeof(*uh), GFP_KERNEL_ACCOUNT);
	int err;

	if (!uh)
		return ERR_PTR(-ENOMEM);
	uh->heap.user = true;
	uh->heap.gfp = WINDOW_GFP;
	uh->npages = setup->window >> KARENA_PAGE_SHIFT;
	uh->heap.limit = setup->limit >> KARENA_PAGE_SHIFT;
	karena_control_region(uh);
	karena_magazines_region(uh);
	uh->private = setup->flags & KARENA_SETUP_PRIVATE;
	uh->guarded = like ? like->guarded : has_secrets();
	mutex_init(&uh->leaving_lock);
	init_rwsem(&uh->calls);
	init_waitqueue_head(&uh->cloned);
	init_rwsem(&uh->freeze);
	mutex_init(&uh->own_lock);
	INIT_LIST_HEAD(&uh->stale);
	xa_init_flags(&uh->types, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	mutex_init(&uh->types_lock);
	spin_lock_init(&uh->world_lock);
	mutex_init(&uh->inflight_lock);
	INIT_LIST_HEAD(&uh->processes);
	INIT_LIST_HEAD(&uh->inflight);
	err = uheap_init(uh, setup, like);
	if (!err)
		err = karena_heap_init(&uh->heap, setup->name, uh->private ?
				       &karena_private_backing : &window_backing);
	if (err)
		goto free;
	if (setup->flags & KARENA_SETUP_COLLECT)
		err = karena_collect_init(uh, setup);
	if (!err)
		err = karena_heap_register(&uh->heap);
	if (!err)
		return uh;
	karena_heap_teardown(&uh->heap);
free:
	uheap_free(uh);
	return ERR_PTR(err);
}

KARENA_EXPORT_TEST(karena_uheap_create);
