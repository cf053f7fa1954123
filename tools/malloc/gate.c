// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc, who may be at work while a process forks: see gate.h.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gate.h"

/* How often this thread has entered, itself and its signal handlers. */
static __thread int depth __attribute__((tls_model("initial-exec")));

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

void gate_enter(struct gate *gate)
{
	if (depth++)
		return;
	for (;;) {
		__atomic_add_fetch(&gate->inside, 1, __ATOMIC_SEQ_CST);
		/* Pairs with the exchange in gate_close(): one of both sees the other. */
		if (!__atomic_load_n(&gate->closed, __ATOMIC_SEQ_CST) || gate_is_mine(gate))
			return;
		step_out(gate);
		futex_wait(&gate->closed, 1);
	}
}

void gate_leave(struct gate *gate)
{
	if (!--depth)
		step_out(gate);
}

void gate_close(struct gate *gate)
{
	int expected = 0, others;

	while (!__atomic_compare_exchange_n(&gate->closed, &expected, 1, 0, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST)) {
		futex_wait(&gate->closed, 1);
		expected = 0;
	}
	gate->owner = pthread_self();
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
