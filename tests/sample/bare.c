// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest must not do, for tests to see that they would notice: references change
 * places in the heap of a program by stores without the barrier, into pages that nobody
 * knows to be written.
 */
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sched.h>

#include "guest.h"

/* Where the word of the calling program is, which nobody may take from it meanwhile. */
static unsigned long *bare_word(void __user *slot)
{
	unsigned long addr = (unsigned long)slot;
	struct page *page;
	void *at;

	if (get_user_pages_fast(addr & PAGE_MASK, 1, 0, &page) != 1)
		return NULL;
	at = page_address(page) + offset_in_page(addr);
	put_page(page);
	return at;
}

/**
 * bare_swap - references change places, unseen by the collector
 * @table: of references, in memory of the calling program
 *
 * Return: 0 or -EFAULT.
 */
int bare_swap(const struct guest_table *table)
{
	unsigned long *a, *b, word;
	struct rnd_state rnd;
	u64 i;

	prandom_seed_state(&rnd, table->seed);
	for (i = 0; i < table->steps; i++) {
		a = bare_word(table->slot + prandom_u32_state(&rnd) % table->nr);
		b = bare_word(table->slot + prandom_u32_state(&rnd) % table->nr);
		if (!a || !b)
			return -EFAULT;
		word = READ_ONCE(*a);
		WRITE_ONCE(*a, READ_ONCE(*b));
		WRITE_ONCE(*b, word);
	}
	return 0;
}
