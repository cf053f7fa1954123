// SPDX-License-Identifier: GPL-2.0
/* Processes that are killed at random moments: see kill.h. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kill.h"

bool wait_for_steps_from(const __u32 *counter, __u32 before, pid_t pid, __u32 steps)
{
	while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) - before < steps) {
		siginfo_t info = { 0 };

		if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid)
			return check(!"the victim ended by itself");
		sched_yield();
	}
	return true;
}

bool wait_for_steps(const __u32 *counter, pid_t pid, __u32 steps)
{
	return wait_for_steps_from(counter, __atomic_load_n(counter, __ATOMIC_RELAXED), pid,
				   steps);
}

void spin_at_random(struct rng *rng, unsigned int bound)
{
	unsigned int spin;

	for (spin = rng_below(rng, bound); spin; spin--)
		__asm__ volatile("" : : : "memory");
}

void kill_at_random(struct rng *rng, const __u32 *counter, pid_t pid)
{
	wait_for_steps(counter, pid, 1 + rng_below(rng, 60));
	spin_at_random(rng, 20000);
	kill(pid, SIGKILL);
}

void reap_killed(pid_t pid)
{
	int status = 0;

	if (check_eq(waitpid(pid, &status, 0), pid))
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	return check(memory != MAP_FAILED) ? memory : NULL;
}
