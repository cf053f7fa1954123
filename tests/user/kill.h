/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes that are killed at random moments.  The moment: the victim counts its
 * steps in memory that the killer sees; the killer waits for a random count and
 * spins a random while longer.
 */
#ifndef _TESTS_USER_KILL_H
#define _TESTS_USER_KILL_H

#include "tap.h"

/* Waits until the victim made @steps more steps; false when it has ended. */
bool wait_for_steps(const __u32 *counter, pid_t pid, __u32 steps);
/* The same, since the counter was @before. */
bool wait_for_steps_from(const __u32 *counter, __u32 before, pid_t pid, __u32 steps);
/* Spins for less than @bound times around. */
void spin_at_random(struct rng *rng, unsigned int bound);
/* Within its next 60 steps. */
void kill_at_random(struct rng *rng, const __u32 *counter, pid_t pid);
/* Waits for its end, which has to be that. */
void reap_killed(pid_t pid);
/* Zeroed memory that is shared with children, NULL when it failed. */
void *shared_memory(size_t size);

#endif /* _TESTS_USER_KILL_H */
