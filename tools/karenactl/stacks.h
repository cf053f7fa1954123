/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: the stacks of a profile, with the names of functions.
 */
#ifndef KARENACTL_STACKS_H
#define KARENACTL_STACKS_H

#include "ctl.h"

/* What is in use, and comes from one place; estimated from samples. */
struct stack {
	char *frames;		/* names, the innermost first, a line each */
	__u64 objects;
	__u64 bytes;
};

struct stacks {
	struct stack *stack;
	size_t nr;
};

/* Those with the most bytes first. */
void read_stacks(const struct karena_profile *profile, struct stacks *stacks);
void stacks_free(struct stacks *stacks);

#endif /* KARENACTL_STACKS_H */
