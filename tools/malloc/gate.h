/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * A gate that many may be inside of, until one closes it for a fork(): who comes then
 * waits, and who has closed it passes.  A signal handler that comes while its thread is
 * inside passes as well, as its thread would be waited for; one that comes while that is
 * getting in or out is told that it cannot.
 *
 * Made of futexes: pthread's locks may not be there yet.  All zero is open.
 */
#ifndef KARENA_GATE_H
#define KARENA_GATE_H

#include <pthread.h>

struct gate {
	int closed;		/* a futex */
	int inside;		/* how many threads; a futex of who closes it */
	pthread_t owner;	/* who has closed it */
};

/* 1, or 0 if it cannot be said whether this thread is inside. */
int gate_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/* Returns when nobody else is inside. */
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);
/* Whether this thread has closed it. */
int gate_is_mine(const struct gate *gate);
/* Open, as it is for the one thread of a child. */
void gate_init(struct gate *gate);

#endif /* KARENA_GATE_H */
