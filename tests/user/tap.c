// SPDX-License-Identifier: GPL-2.0
/*
 * Test harness: see tap.h.  Everything is written by dprintf(), so that a child
 * has no buffer to write twice and a crash loses nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

/* Failed checks of a case that are printed, the others are counted. */
#define MAX_PRINTED 10

static struct {
	unsigned int planned;
	unsigned int done;
	unsigned int bad;
	/* of the case under way; checks may fail in several threads */
	unsigned int failures;
	char name[160];
	char skipped[160];
	__u64 seed;
	bool seeded;
} tap;

static __u64 tap_seed(void)
{
	const char *text = getenv("KARENA_SEED");
	struct timespec now;

	if (tap.seeded)
		return tap.seed;
	clock_gettime(CLOCK_REALTIME, &now);
	tap.seed = text ? strtoull(text, NULL, 0) :
			  (__u64)now.tv_sec * 1000000007 + now.tv_nsec;
	tap.seeded = true;
	dprintf(1, "# seed %llu\n", tap.seed);
	return tap.seed;
}

void tap_plan(unsigned int nr)
{
	tap.planned = nr;
	dprintf(1, "1..%u\n", nr);
	tap_seed();
}

bool tap_begin(const char *fmt, ...)
{
	const char *only = getenv("KARENA_ONLY");
	va_list args;

	tap.failures = 0;
	tap.skipped[0] = 0;
	va_start(args, fmt);
	vsnprintf(tap.name, sizeof(tap.name), fmt, args);
	va_end(args);
	if (!only || strstr(tap.name, only))
		return true;
	tap_skip("not asked for");
	tap_end();
	return false;
}

void tap_end(void)
{
	tap.done++;
	if (tap.failures) {
		tap.bad++;
		if (tap.failures > MAX_PRINTED)
			tap_diag("%u failed checks", tap.failures);
		dprintf(1, "not ok %u - %s\n", tap.done, tap.name);
	} else if (tap.skipped[0]) {
		dprintf(1, "ok %u - %s # SKIP %s\n", tap.done, tap.name, tap.skipped);
	} else {
		dprintf(1, "ok %u - %s\n", tap.done, tap.name);
	}
}

int tap_status(void)
{
	if (tap.done != tap.planned)
		tap_diag("planned %u cases, ran %u", tap.planned, tap.done);
	return tap.bad || tap.done != tap.planned;
}

void tap_run(const struct tap_case *cases, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!tap_begin("%s", cases[i].name))
			continue;
		cases[i].run();
		tap_end();
	}
}

int tap_main(const struct tap_case *cases, unsigned int nr)
{
	tap_plan(nr);
	tap_run(cases, nr);
	return tap_status();
}

void tap_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(tap.skipped, sizeof(tap.skipped), fmt, args);
	va_end(args);
}

void tap_diag(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	dprintf(1, "# %s\n", text);
}

bool tap_failed(void)
{
	return __atomic_load_n(&tap.failures, __ATOMIC_RELAXED);
}

/* Counts a failed check; true when it should be printed. */
static bool count_failure(void)
{
	return __atomic_add_fetch(&tap.failures, 1, __ATOMIC_RELAXED) <= MAX_PRINTED;
}

bool tap_check(bool good, const char *file, int line, const char *text)
{
	if (!good && count_failure())
		tap_diag("%s: %s:%d: %s", tap.name, file, line, text);
	return good;
}

bool tap_check_eq(long long got, long long want, const char *file, int line,
		  const char *text)
{
	if (got == want)
		return true;
	if (count_failure())
		tap_diag("%s: %s:%d: %s: got %lld (%#llx), want %lld (%#llx)",
			 tap.name, file, line, text, got, got, want, want);
	return false;
}

static const char *result_name(long long ret)
{
	if (ret >= 0)
		return "success";
	return ret >= -4095 ? strerrorname_np(-ret) : "?";
}

bool tap_check_ret(long long got, long long want, const char *file, int line,
		   const char *text)
{
	if (got == want)
		return true;
	if (count_failure())
		tap_diag("%s: %s:%d: %s: got %lld (%s), want %lld (%s)", tap.name,
			 file, line, text, got, result_name(got), want,
			 result_name(want));
	return false;
}

void run_thread(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	if (check_eq(pthread_create(&thread, NULL, run, arg), 0))
		pthread_join(thread, NULL);
}

pid_t tap_fork(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		check(!"fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	tap.failures = 0;
	fn(arg);
	_exit(tap.failures ? 1 : 0);
}

bool tap_join(pid_t pid)
{
	int status;

	if (pid < 0 || !check_eq(waitpid(pid, &status, 0), pid))
		return false;
	if (WIFSIGNALED(status))
		return check_eq(WTERMSIG(status), 0);
	return check_eq(WEXITSTATUS(status), 0);
}

bool tap_isolate(void (*fn)(void *arg), void *arg)
{
	return tap_join(tap_fork(fn, arg));
}

bool become_nobody(void)
{
	return check(!setgroups(0, NULL)) && check(!setgid(NOBODY)) &&
	       check(!setuid(NOBODY));
}

bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good;

	if (fd < 0)
		return false;
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return good;
}

unsigned int tap_count(unsigned int slice, unsigned int full)
{
	const char *text = getenv("KARENA_LONG");

	if (text && !strcmp(text, "1"))
		return full;
	return getenv("KARENA_SLOW") ? (slice + 2) / 3 : slice;
}

/* splitmix64 */
__u64 rng_next(struct rng *rng)
{
	__u64 x = rng->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void rng_init(struct rng *rng, __u64 stream)
{
	rng->state = tap_seed() + stream * 0xd1342543de82ef95ULL;
	rng_next(rng);
}

__u64 rng_below(struct rng *rng, __u64 bound)
{
	return rng_next(rng) % bound;
}
