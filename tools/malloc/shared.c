// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc, objects that are ready for any thread of the process, so that not each
 * of them is a system call where a CPU's magazines cannot be worked on (glibc before 2.35,
 * kernels without rseq(2)).
 *
 * Nobody waits for the lock: a signal handler could wait for its own thread.
 */
#include "internal.h"

#define LARGE_BYTES	(512u << 10)	/* most in a bin */
#define SMALL_BYTES	(16u << 10)	/* the same, of small objects */

static unsigned int room_of(unsigned int number)
{
	const unsigned int most = sizeof(((struct bin *)0)->object) / sizeof(void *);
	size_t bytes = number < KARENA_LARGE_MAGAZINE ? SMALL_BYTES : LARGE_BYTES;
	size_t room = bytes / karena_magazine_bytes(number);

	return room < most ? room : most;
}

static int try_lock(struct shared *shared)
{
	/* What who forks takes is in no bin: they are empty in the child. */
	return !karena_forking && !__atomic_exchange_n(&shared->locked, 1, __ATOMIC_ACQUIRE);
}

static void unlock(struct shared *shared)
{
	__atomic_store_n(&shared->locked, 0, __ATOMIC_RELEASE);
}

/* Small ones are asked for by the half of a bin. */
static void refill(struct state *state, unsigned int number, struct bin *bin)
{
	unsigned int n = room_of(number) / 2;

	if (number < KARENA_LARGE_MAGAZINE && n &&
	    !karena_alloc_from_heap(state, karena_magazine_bytes(number), n, bin->object))
		bin->count = n;
}

/* NULL if there is none; then the kernel may have one. */
void *karena_shared_take(struct state *state, unsigned int number)
{
	struct bin *bin = &state->shared.bin[number];
	void *object = NULL;

	if (!try_lock(&state->shared))
		return NULL;
	if (!bin->count)
		refill(state, number, bin);
	if (bin->count)
		object = bin->object[--bin->count];
	unlock(&state->shared);
	return object;
}

/* Leaves room for half of a bin. */
static void flush_half(struct state *state, unsigned int number, struct bin *bin)
{
	unsigned int keep = room_of(number) / 2;

	karena_free_to_heap(state, bin->count - keep, bin->object + keep);
	bin->count = keep;
}

/* 1 if it has been taken, 0 if it is still the caller's. */
int karena_shared_give(struct state *state, unsigned int number, void *object)
{
	struct bin *bin = &state->shared.bin[number];

	if (room_of(number) < 2 || !try_lock(&state->shared))
		return 0;
	if (bin->count == room_of(number))
		flush_half(state, number, bin);
	bin->object[bin->count++] = object;
	unlock(&state->shared);
	return 1;
}

/* All of it goes back. */
void karena_shared_flush(struct state *state)
{
	struct bin *bin;

	if (__atomic_exchange_n(&state->shared.locked, 1, __ATOMIC_ACQUIRE))
		return;
	for (bin = state->shared.bin; bin < state->shared.bin + KARENA_NR_MAGAZINES; bin++) {
		karena_free_to_heap(state, bin->count, bin->object);
		bin->count = 0;
	}
	unlock(&state->shared);
}
