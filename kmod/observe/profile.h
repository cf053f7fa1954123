/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The heap profile: which calls objects come from, by a sample of them (profile.c).
 */
#ifndef _KARENA_OBSERVE_PROFILE_H
#define _KARENA_OBSERVE_PROFILE_H

#include "kmod/alloc/internal.h"

/* Most bytes that the stacks of a heap's profile take; without room they are not told. */
#define KARENA_PROFILE_ROOM	SZ_4M
#define KARENA_MAX_RATE		BIT_ULL(40)

/* Beside KARENA_NOZERO and the like: kernel code asks for it, in its own name. */
#define KARENA_SAMPLE_KERNEL	BIT(31)

int karena_profile_set(struct karena_heap *heap, u64 rate);
u64 karena_profile_rate(struct karena_heap *heap);
u64 karena_profile_draw(struct karena_heap *heap);
u64 karena_exponential(u64 mean);

unsigned int karena_profile_before(struct karena_heap *heap, size_t size, unsigned int most);
void karena_profile_count(struct karena_heap *heap, size_t bytes);
void karena_profile_again(struct karena_heap *heap);

unsigned long karena_sample_alloc(struct karena_heap *heap, size_t size,
				  const struct karena_layout *layout, unsigned int flags,
				  gfp_t gfp);
int karena_sample_tell(struct karena_heap *heap, unsigned long addr, const u64 *frames,
		       unsigned int nr);
int karena_profile_read(struct karena_heap *heap, struct karena_profile *req);

#endif /* _KARENA_OBSERVE_PROFILE_H */
