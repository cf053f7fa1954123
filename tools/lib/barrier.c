// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, the write barrier of heaps that were opened with KARENA_BARRIER: what a
 * word was at the snapshot is told to the kernel before it is overwritten (Yuasa 1990).
 *
 * All threads stand still for the snapshot.  If that is between our look at the phase
 * and the exchange, the old value is in a register then, where the kernel finds it.
 * If the word is not what it was any more, whoever has changed it told the kernel of
 * the old value, and we begin anew.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "internal.h"

/* Up to KARENA_MAX_BULK of them. */
void karena_shade_words(struct karena *heap, const void *words, size_t count)
{
	struct karena_shade args = {
		.size = sizeof(args),
		.addrs = (uintptr_t)words,
		.count = count,
	};
	int saved = errno;

	/* Without the right to write there is nothing to be overwritten. */
	ioctl(heap->fd, KARENA_IOC_SHADE, &args);
	errno = saved;
}

EXPORT void karena_store(struct karena *heap, void *slot, const void *value)
{
	uintptr_t *word = slot, new = (uintptr_t)value, old;

	if (!heap->barrier) {
		__atomic_store_n(word, new, __ATOMIC_RELEASE);
		return;
	}
	old = __atomic_load_n(word, __ATOMIC_RELAXED);
	do {
		if (old && karena_is_marking(heap))
			karena_shade_words(heap, &old, 1);
	} while (!__atomic_compare_exchange_n(word, &old, new, 1, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
}

EXPORT void karena_move(struct karena *heap, void *to, const void *from,
			size_t size)
{
	size_t nr = size / sizeof(void *), i;
	void *const *src = from;
	void **dst = to;

	if ((uintptr_t)to <= (uintptr_t)from)
		for (i = 0; i < nr; i++)
			karena_store(heap, &dst[i], src[i]);
	else
		for (i = nr; i-- > 0;)
			karena_store(heap, &dst[i], src[i]);
}
