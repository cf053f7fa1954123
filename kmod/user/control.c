// SPDX-License-Identifier: GPL-2.0
/*
 * The control region: what a program may know of its heap without asking, in
 * pages that it can only read.  The first page is struct karena_control, the
 * others are the page-to-class map.
 */
#include <linux/mm.h>

#include "user.h"

/* The map begins with a page of its own. */
#define MAP_OFFSET	PAGE_SIZE
#define ENTRIES		(PAGE_SIZE / sizeof(u16))

static struct page *control_page(struct karena_uheap *uh, pgoff_t pgoff)
{
	return karena_region_page(uh, &uh->control, pgoff);
}

/* Sets up to @n entries of one page of the map. */
static void set_entries(struct page *page, unsigned int first, unsigned long n, u16 value)
{
	u16 *map = page_address(page);
	unsigned int i;

	/* User space reads it as it likes. */
	for (i = first; i < ENTRIES && i - first < n; i++)
		WRITE_ONCE(map[i], value);
}

/* Sets the map's entries for @run; fails with nothing set. */
int karena_control_publish(struct karena_heap *heap, struct karena_run *run, u16 value)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long i, end = run->start + run->npages;

	for (i = run->start / ENTRIES; i <= (end - 1) / ENTRIES; i++)
		if (!control_page(uh, 1 + i))
			return -ENOMEM;
	for (i = run->start; i < end; i = round_down(i, ENTRIES) + ENTRIES) {
		set_entries(control_page(uh, 1 + i / ENTRIES), i % ENTRIES,
			    end - i, value);
		/* That much is large: not from where one may not sleep. */
		if (end - i > 2 * ENTRIES)
			cond_resched();
	}
	return 0;
}

/* What the map says of a page of the window. */
u16 karena_control_value(struct karena_uheap *uh, unsigned long page)
{
	const u16 *map = karena_region_find(&uh->control, 1 + page / ENTRIES);

	return map ? READ_ONCE(map[page % ENTRIES]) : 0;
}

/* From here on the object that begins at an address is for the kernel to free. */
void karena_control_special(struct karena_uheap *uh, unsigned long addr)
{
	unsigned long i = (addr - uh->heap.base) >> KARENA_PAGE_SHIFT;
	u16 old, *entry = karena_region_find(&uh->control, 1 + i / ENTRIES);

	/* There is one where there has ever been a span. */
	if (!entry)
		return;
	entry += i % ENTRIES;
	/* As the page may be getting other objects just now, if the program lies. */
	do
		old = READ_ONCE(*entry);
	while (old && cmpxchg(entry, old, old | KARENA_MAP_SPECIAL) != old);
}

void karena_control_region(struct karena_uheap *uh)
{
	karena_region_init(&uh->control, MAP_OFFSET + PAGE_ALIGN(uh->npages * sizeof(u16)), NULL);
}

/* The first page, of a heap that has its place. */
int karena_control_init(struct karena_uheap *uh, u32 flags)
{
	struct page *page = control_page(uh, 0);
	struct karena_control *control;

	if (!page)
		return -ENOMEM;
	control = page_address(page);
	*control = (struct karena_control) {
		.magic = KARENA_CONTROL_MAGIC,
		.base = uh->heap.base,
		.window = (u64)uh->npages << KARENA_PAGE_SHIFT,
		.map_offset = MAP_OFFSET,
		.map_entries = uh->npages,
		.flags = flags,
		.magazines_size = uh->magazines.size,
	};
	return 0;
}

/* Programs see the phase, and the number of the cycle. */
void karena_control_phase(struct karena_heap *heap)
{
	struct karena_control *control = page_address(control_page(to_uheap(heap), 0));

	static_assert(offsetof(struct karena_control, phase) % sizeof(u64) == 0);
	static_assert(offsetof(struct karena_control, cycle) ==
		      offsetof(struct karena_control, phase) + sizeof(u32));
	static_assert(KARENA_IDLE == KARENA_PHASE_IDLE && KARENA_MARK == KARENA_PHASE_MARK &&
		      KARENA_SWEEP == KARENA_PHASE_SWEEP);
	/* Both at once, for programs that read both: karena_weak_get() in tools/lib. */
	WRITE_ONCE(*(u64 *)&control->phase, heap->head.phase | (u64)heap->cycle << 32);
}
