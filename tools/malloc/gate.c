// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc, who may be at work while a process forks: see gate.h.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gate.h"

/*
 * How often this thread is inside, itself and its signal handlers; and whether it is just
 * about to get in or out, when a handler cannot know.  Both are for this thread only.
 */
static __thread volatile int depth __attribute__((tls_model("initial-exec")));
static __thread volatile int moving __attribute__((tls_model("initial-exec")));

static void futex_wait(int *word, int value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

int gate_is_mine(const struct gate *gate)
{
	return __atomic_load_n(&gate->closed, __ATOMIC_ACQUIRE) &&
	       pthread_equal(gate->owner, pthread_self());
}

static void step_out(struct gate *gate)
{
	__atomic_sub_fetch(&gate->inside, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&gate->closed, __ATOMIC_SEQ_CST))
		futex_wake(&gate->inside);
}

int gate_enter(struct gate *gate)
{
	if (moving)
		return 0;
	if (depth) {
		depth++;
		return 1;
	}
	moving = 1;
	for (;;) {
		__atomic_add_fetch(&gate->inside, 1, __ATOMIC_SEQ_CST);
		/* Pairs with the exchange in gate_close(): one of both sees the other. */
		if (!__atomic_load_n(&gate->closed, __ATOMIC_SEQ_CST) || gate_is_mine(gate))
			break;
		step_out(gate);
		futex_wait(&gate->closed, 1);
	}
	depth = 1;
	moving = 0;
	return 1;
}

void gate_leave(struct gate *gate)
{
	if (depth > 1) {
		depth--;
		return;
	}
	moving = 1;
	depth = 0;
	step_out(gate);
	moving = 0;
}

void gate_close(struct gate *gate)
{
	int expected = 0, others;

	moving = 1;
	while (!__atomic_compare_exchange_n(&gate->closed, &expected, 1, 0, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST)) {
		futex_wait(&gate->closed, 1);
		expected = 0;
	}
	gate->owner = pthread_self();
	moving = 0;
	while ((others = __atomic_load_n(&gate->inside, __ATOMIC_SEQ_CST)) > !!depth)
		futex_wait(&gate->inside, others);
}

void gate_open(struct gate *gate)
{
	__atomic_store_n(&gate->closed, 0, __ATOMIC_SEQ_CST);
	futex_wake(&gate->closed);
}

void gate_init(struct gate *gate)
{
	*gate = (struct gate) { .inside = !!depth };
}
