/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test harness of the programs in this folder: TAP on standard output, one line
 * a case, checks that say what they saw, children whose failures count, and
 * random numbers from a printed seed.
 *
 * Environment: KARENA_SEED repeats a run, KARENA_LONG=1 asks for full counts
 * instead of a slice, KARENA_SLOW is set where all takes ten times as long,
 * KARENA_ONLY=text runs the cases with text in their name.
 */
#ifndef _TESTS_USER_TAP_H
#define _TESTS_USER_TAP_H

#include <errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct tap_case {
	const char *name;
	void (*run)(void);
};

/* The whole of a program that is a list of cases. */
int tap_main(const struct tap_case *cases, unsigned int nr);

/* The same in pieces, for programs that make up some of their cases. */
void tap_run(const struct tap_case *cases, unsigned int nr);
void tap_plan(unsigned int nr);
bool tap_begin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tap_end(void);
int tap_status(void);

/* In a case: it cannot be run here, and why. */
void tap_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tap_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Cases that cannot go on, in a child too. */
bool tap_failed(void);

bool tap_check(bool good, const char *file, int line, const char *text);
bool tap_check_eq(long long got, long long want, const char *file, int line,
		  const char *text);
bool tap_check_ret(long long got, long long want, const char *file, int line,
		   const char *text);

/* Each is true when it held; a false one fails the case. */
#define check(cond) tap_check(!!(cond), __FILE__, __LINE__, #cond)
#define check_eq(got, want) \
	tap_check_eq((long long)(got), (long long)(want), __FILE__, __LINE__, \
		     #got " == " #want)
/* For results that are -errno. */
#define check_ret(got, want) \
	tap_check_ret((long long)(got), (long long)(want), __FILE__, __LINE__, \
		      #got " == " #want)

/* A child that runs @fn; joining it adds its failures to the case. */
pid_t tap_fork(void (*fn)(void *arg), void *arg);
bool tap_join(pid_t pid);
/*
 * Runs @run in a thread and waits for its end: no stale word of its stack or registers
 * keeps an object by chance.
 */
void run_thread(void *(*run)(void *arg), void *arg);
/* Runs @fn in a child and joins it. */
bool tap_isolate(void (*fn)(void *arg), void *arg);

/* Turns into a user without rights for good; for children. */
#define NOBODY 65534
bool become_nobody(void);

/* A setting in sysfs and its like; no check. */
bool write_text(const char *path, const char *text);

/* @slice steps, a third with KARENA_SLOW set, or @full ones with KARENA_LONG=1. */
unsigned int tap_count(unsigned int slice, unsigned int full);

struct rng {
	__u64 state;
};

/* A generator of its own for each @stream of this run's seed. */
void rng_init(struct rng *rng, __u64 stream);
__u64 rng_next(struct rng *rng);
/* 0 to @bound - 1 */
__u64 rng_below(struct rng *rng, __u64 bound);

#endif /* _TESTS_USER_TAP_H */
