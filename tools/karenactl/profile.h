/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: what there is to know of the records of a profile.
 */
#ifndef KARENACTL_PROFILE_H
#define KARENACTL_PROFILE_H

#include <linux/karena.h>
#include <stdbool.h>

#include "symbols.h"

/* Innermost frames that may be the allocator's. */
#define OWN_FRAMES	16

/* What so many sampled objects stand for. */
uint64_t profile_scaled(const struct karena_profile_record *r, uint64_t nr);
/* Whether a frame is the allocator's, and not of who calls it. */
bool is_allocator(const char *name, const struct symbol *symbol);

static inline const struct karena_profile_record *
profile_next(const struct karena_profile_record *r)
{
	return (const void *)((const char *)r + r->size);
}

#endif /* KARENACTL_PROFILE_H */
