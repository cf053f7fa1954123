// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc, fork(): the child has a heap of its own, with the same objects at the
 * same addresses.
 *
 * The heap's memory is the process's, so that the kernel copies it as any other.  What is
 * known of its objects is cloned before, while nobody allocates or frees: the gate keeps
 * out who would ask the kernel, and the magazines are taken away from who would not.
 * Handlers of others that allocate in between make it be cloned once more.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>

#include "internal.h"

__thread int karena_forking INITIAL_EXEC;

/* Of who has closed the gate, and is in nobody else's way. */
static struct state before;
static struct state *closed;		/* which one; NULL if none */
static int clone_fd = -1;
static volatile int changes, making;	/* by who forks, its signal handlers among them */

static void drop_clone(void)
{
	if (clone_fd >= 0)
		karena_close_fd(clone_fd);
	clone_fd = -1;
}

static void make_clone(void)
{
	struct karena_clone args = { .size = sizeof(args) };
	int seen;

	making = 1;
	do {
		seen = changes;
		drop_clone();
		before.grown = closed->grown;
		if (!ioctl(before.fd, KARENA_IOC_CLONE, &args))
			clone_fd = karena_high_fd(args.fd);
	} while (seen != changes);
	making = 0;
}

/* Who forks has changed the heap. */
void karena_fork_changed(void)
{
	if (karena_forking < 2)
		return;
	changes++;
	if (!making)
		make_clone();
}

static void take_magazines(struct state *state)
{
	state->fast.magazines = state->nothing;
	/* Whoever was in a sequence begins anew, and finds none. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0);
}

static void prepare(void)
{
	struct state *state = karena_state;

	karena_forking = 1;
	if (state->phase != PHASE_READY)
		return;
	gate_close(&state->gate);
	before = *state;
	closed = state;
	karena_shared_flush(state);
	if (karena_has_magazines(&before))
		take_magazines(state);
	making = 1;
	karena_forking = 2;
	make_clone();
}

static void in_parent(void)
{
	struct state *state = closed;

	if (karena_forking == 2) {
		drop_clone();
		closed = NULL;
		state->fast.magazines = before.fast.magazines;
		gate_open(&state->gate);
	}
	karena_forking = 0;
}

static void in_child(void)
{
	int mine = karena_forking == 2;

	if (mine && karena_owns_fd(&before))
		karena_close_fd(before.fd);
	if (karena_child(mine ? &before : NULL, clone_fd))
		drop_clone();
	closed = NULL;
	clone_fd = -1;
	karena_forking = 0;
}

/* 0, or -1 without memory. */
int karena_fork_init(void)
{
	static int done;

	if (!done && pthread_atfork(prepare, in_parent, in_child))
		return -1;
	done = 1;
	return 0;
}
