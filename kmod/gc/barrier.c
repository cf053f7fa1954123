// SPDX-License-Identifier: GPL-2.0
/*
 * The write barrier of kernel heaps, while a cycle marks: the old and the new
 * referent of each word that is stored are shaded (Go 1.8's hybrid barrier; Yuasa
 * 1990 for the old one, Dijkstra et al. 1978 for the new).  What was reachable at
 * the snapshot is found in its old place or was shaded when it left it, even if its
 * only reference is a mutator's now; what a mutator got before the magazines were
 * drained is shaded when it is stored.
 */
#include <linux/export.h>

#include "gc.h"

/* Set while any heap is collected, not each time that one is marked: patching code is slow. */
struct static_key_false karena_barrier_key = STATIC_KEY_FALSE_INIT;
EXPORT_SYMBOL_GPL(karena_barrier_key);

/* The barrier, while the heap is marked. */
void karena_store_shade(struct karena_heap *heap, void *const *slot, const void *value)
{
	/* Waited for by the end of marking: the old value is not forgotten between. */
	rcu_read_lock();
	if (!karena_is_planted(KARENA_PLANT_NO_OLD_SHADE))
		karena_shade(heap->gc, (unsigned long)READ_ONCE(*slot));
	if (!karena_is_planted(KARENA_PLANT_NO_NEW_SHADE))
		karena_shade(heap->gc, (unsigned long)value);
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(karena_store_shade);

/**
 * karena_store_bulk - move references
 * @heap: heap that the objects are of
 * @to: first word to be overwritten, in an object or a root
 * @from: first word to be stored; the two may overlap
 * @count: how many words
 *
 * memmove() for words that hold references, with the barrier for each of them.
 *
 * Context: any, inside of a mutator section.
 */
void karena_store_bulk(struct karena_heap *heap, void **to, void *const *from, size_t count)
{
	size_t i;

	/* As in karena_store_word(). */
	if (static_branch_unlikely(&karena_barrier_key) &&
	    READ_ONCE(heap->head.phase) == KARENA_MARK)
		for (i = 0; i < count; i++)
			karena_store_shade(heap, &to[i], READ_ONCE(from[i]));
	if (to <= from)
		for (i = 0; i < count; i++)
			WRITE_ONCE(to[i], READ_ONCE(from[i]));
	else
		for (i = count; i-- > 0;)
			WRITE_ONCE(to[i], READ_ONCE(from[i]));
}
EXPORT_SYMBOL_GPL(karena_store_bulk);
