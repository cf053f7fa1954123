// SPDX-License-Identifier: GPL-2.0
/*
 * libkarena-malloc, as a program sees it that was not made for it: the family of malloc,
 * threads, and children by any way there is.  The program runs itself with LD_PRELOAD, a
 * second time without restartable sequences, and a third time without the device.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define KIB		1024ul
#define MIB		(1024 * KIB)
#define THREADS		200
#define SLOTS		256

static bool without_device;

/* So that no call is optimized away, or taken to have done what the standard says. */
static void *hide(void *object)
{
	__asm__ volatile("" : "+r"(object) : : "memory");
	return object;
}

/* Whether an object is the library's: its windows are where glibc has nothing. */
static bool is_ours(const void *object)
{
	uintptr_t addr = (uintptr_t)object;

	return addr >= 1ul << 40 && addr < 1ul << 44;
}

/* --- objects with something in them --- */

struct object {
	unsigned char *start;
	size_t size;
	unsigned char seed;
};

static void paint(struct object *object)
{
	size_t i, step = object->size < 4096 ? 1 : 509;

	for (i = 0; i < object->size; i += step)
		object->start[i] = object->seed + i;
	if (object->size)
		object->start[object->size - 1] = object->seed;
}

static bool is_painted(const struct object *object, size_t size)
{
	size_t i, step = object->size < 4096 ? 1 : 509;

	for (i = 0; i < size && i + 1 < object->size; i += step)
		if (object->start[i] != (unsigned char)(object->seed + i))
			return false;
	return size < object->size || !size || object->start[size - 1] == object->seed;
}

static size_t random_size(struct rng *rng)
{
	switch (rng_below(rng, 16)) {
	case 0:
		return rng_below(rng, 512 * KIB);
	case 1:
	case 2:
		return rng_below(rng, 40 * KIB);
	default:
		return rng_below(rng, 600);
	}
}

static void make(struct rng *rng, struct object *object)
{
	object->size = random_size(rng);
	object->seed = rng_next(rng);
	object->start = malloc(object->size);
	check(object->start);
	check_eq((uintptr_t)object->start % 16, 0);
	paint(object);
}

static void drop(struct object *object)
{
	check(is_painted(object, object->size));
	free(object->start);
	object->start = NULL;
}

static void resize(struct rng *rng, struct object *object)
{
	size_t size = random_size(rng) + 1, kept = size < object->size ? size : object->size;
	unsigned char *moved = realloc(object->start, size);

	if (!check(moved))
		return;
	object->start = moved;
	if (kept < object->size)
		check(is_painted(object, kept));
	object->size = size;
	paint(object);
}

/* A step of random work on some of the slots. */
static void work(struct rng *rng, struct object *slots)
{
	struct object *slot = &slots[rng_below(rng, SLOTS)];

	if (!slot->start)
		make(rng, slot);
	else if (rng_below(rng, 8) == 0)
		resize(rng, slot);
	else
		drop(slot);
}

static void drop_all(struct object *slots)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].start)
			drop(&slots[i]);
}

static void case_lifetimes(void)
{
	static struct object slots[SLOTS];
	unsigned int i, steps = tap_count(30000, 3000000);
	struct rng rng;

	rng_init(&rng, 1);
	for (i = 0; i < steps && !tap_failed(); i++)
		work(&rng, slots);
	drop_all(slots);
}

/* --- the family --- */

static void case_ours(void)
{
	void *small = malloc(100), *large = malloc(100 * KIB);

	check_eq(is_ours(small), !without_device);
	check_eq(is_ours(large), !without_device);
	free(small);
	free(large);
}

static void case_zero(void)
{
	void *a = malloc(0), *b = malloc(0), *c = calloc(0, 16), *d = realloc(NULL, 0);

	check(a && b && c && d && a != b);
	check(!hide(realloc(a, 0)));
	free(b);
	free(c);
	free(d);
	free(NULL);
	check_eq(malloc_usable_size(NULL), 0);
}

static void case_too_large(void)
{
	static volatile size_t most = SIZE_MAX;
	char *object = malloc(10);

	errno = 0;
	check(!hide(malloc(most)) && errno == ENOMEM);
	errno = 0;
	check(!hide(malloc(most / 2 + 1)) && errno == ENOMEM);
	errno = 0;
	check(!hide(calloc(most / 2, 3)) && errno == ENOMEM);
	errno = 0;
	check(!hide(calloc(3, most / 2)) && errno == ENOMEM);
	strcpy(object, "stays");
	errno = 0;
	check(!hide(realloc(hide(object), most)) && errno == ENOMEM);
	errno = 0;
	check(!hide(reallocarray(hide(object), most / 4, 5)) && errno == ENOMEM);
	/* An eighth more is next to nothing. */
	errno = 0;
	check(!hide(realloc(hide(object), most / 9 * 8 + 8)) && errno == ENOMEM);
	errno = 0;
	check(!hide(pvalloc(most)) && errno == ENOMEM);
	errno = 0;
	check(!hide(memalign(64, most)) && errno == ENOMEM);
	check(!strcmp(object, "stays"));
	free(object);
}

static void case_errno(void)
{
	unsigned int i;
	void *object[100];

	errno = 4711;
	for (i = 0; i < 100; i++)
		object[i] = malloc(i * 1000 + 1);
	for (i = 0; i < 100; i++)
		free(object[i]);
	check_eq(errno, 4711);
}

static void check_aligned(void *object, size_t alignment, size_t size)
{
	if (!check(object))
		return;
	check_eq((uintptr_t)object % alignment, 0);
	memset(object, 1, size);
	check(malloc_usable_size(object) >= size);
}

static void case_alignment(void)
{
	size_t alignment, sizes[] = { 0, 1, 24, 100, 1000, 5000, 33000, 300000 };
	void *object[4];
	unsigned int i, j;

	for (alignment = 8; alignment <= MIB; alignment *= 2)
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			object[0] = NULL;
			check_eq(posix_memalign(&object[0], alignment, sizes[i]), 0);
			object[1] = aligned_alloc(alignment, sizes[i]);
			object[2] = memalign(alignment, sizes[i]);
			object[3] = memalign(alignment - 1, sizes[i]);
			for (j = 0; j < 4; j++) {
				check_aligned(object[j], alignment, sizes[i]);
				free(object[j]);
			}
		}
	object[0] = valloc(10);
	check_aligned(object[0], 4096, 10);
	object[1] = pvalloc(10);
	check_aligned(object[1], 4096, 4096);
	free(object[0]);
	free(object[1]);
}

static void case_bad_alignment(void)
{
	static volatile size_t bad[] = { 0, 4, 12, 24, SIZE_MAX };
	void *object = &object;
	unsigned int i;

	errno = 4711;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		check_eq(posix_memalign(&object, bad[i], 10), EINVAL);
	check(object == &object);
	check_eq(errno, 4711);
	check(!hide(memalign(bad[4], 10)) && errno == EINVAL);
}

static void case_usable(void)
{
	unsigned char *object[64];
	size_t size, usable;
	unsigned int i;

	for (size = 1; size < 200 * KIB; size += size / 3 + 1) {
		for (i = 0; i < 64; i++) {
			object[i] = malloc(size);
			usable = malloc_usable_size(object[i]);
			check(usable >= size);
			memset(object[i], i, usable);
		}
		for (i = 0; i < 64; i++) {
			usable = malloc_usable_size(object[i]);
			check(object[i][0] == i && object[i][usable - 1] == i);
			free(object[i]);
		}
	}
}

static bool is_zero(const unsigned char *at, size_t size)
{
	return !size || (!at[0] && !memcmp(at, at + 1, size - 1));
}

static void case_calloc(void)
{
	unsigned char *object;
	size_t size;
	int again;

	for (size = 1; size < MIB; size += size / 2 + 1)
		for (again = 0; again < 3; again++) {
			object = calloc(1, size);
			if (!check(object))
				return;
			check(is_zero(object, size));
			memset(object, 0xff, malloc_usable_size(object));
			free(object);
		}
}

static void case_realloc_in_place(void)
{
	char *small = malloc(49), *large = malloc(500 * KIB);

	if (without_device) {
		tap_skip("this is glibc's");
		goto out;
	}
	check(hide(realloc(small, 64)) == small);
	check(hide(realloc(large, 400 * KIB)) == large);
out:
	free(small);
	free(large);
}

static void case_realloc_grows(void)
{
	unsigned char *object = NULL;
	size_t size, i;

	for (size = 1; size < 3 * MIB; size += size / 16 + 1) {
		object = realloc(object, size);
		if (!check(object))
			return;
		object[size - 1] = size;
	}
	for (size = 1, i = 0; size < 3 * MIB; size += size / 16 + 1, i++)
		check_eq(object[size - 1], (unsigned char)size);
	free(object);
}

static void case_sized_free(void)
{
	/* glibc has them from 2.41 on. */
	void (*sized)(void *object, size_t size) = dlsym(RTLD_DEFAULT, "free_sized");
	void (*aligned)(void *object, size_t alignment, size_t size) =
		dlsym(RTLD_DEFAULT, "free_aligned_sized");

	if (!check(sized && aligned))
		return;
	sized(malloc(100), 100);
	aligned(aligned_alloc(64, 128), 64, 128);
	sized(NULL, 1);
}

/* --- memory --- */

/* A figure of /proc/self/status, in KiB. */
static unsigned long status_of(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long value = 0;
	char line[200];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			value = strtoul(line + strlen(name) + 1, NULL, 10);
	if (file)
		fclose(file);
	return value;
}

/* KiB before, and with, some 64 MiB of objects, which are free again; false: nothing to see. */
static bool rise_and_fall(unsigned long *before, unsigned long *full)
{
	static void *object[4096];
	unsigned int i;

	if (without_device) {
		tap_skip("this is glibc's");
		return false;
	}
	malloc_trim(0);
	*before = status_of("VmRSS");
	for (i = 0; i < 4096; i++)
		object[i] = memset(malloc(16 * KIB), 1, 16 * KIB);
	*full = status_of("VmRSS");
	for (i = 0; i < 4096; i++)
		free(object[i]);
	return check(*full > *before + 60 * KIB);
}

static bool has_fallen(unsigned long before)
{
	return status_of("VmRSS") < before + 8 * KIB;
}

static void case_gives_back(void)
{
	unsigned long before, full;

	if (!rise_and_fall(&before, &full))
		return;
	check(malloc_trim(0));
	if (!check(has_fallen(before)))
		tap_diag("%lu KiB, then %lu, then %lu", before, full, status_of("VmRSS"));
}

/* Also if only a little is freed after it; malloc_trim() is for who cannot wait. */
static void case_gives_back_later(void)
{
	unsigned long before, full;
	unsigned int i;

	if (!rise_and_fall(&before, &full))
		return;
	/* It takes a second, or two. */
	for (i = 0; i < 1200 && !has_fallen(before); i++) {
		usleep(50000);
		free(hide(malloc(300 * KIB)));
	}
	if (!check(has_fallen(before)))
		tap_diag("%lu KiB, then %lu, then %lu", before, full, status_of("VmRSS"));
}

static void lock_all(void *unused)
{
	void *object[64];
	unsigned int i;

	(void)unused;
	if (!check_ret(mlockall(MCL_CURRENT | MCL_FUTURE), 0))
		return;
	for (i = 0; i < 64; i++)
		object[i] = memset(malloc(MIB), 1, MIB);
	check(is_zero(hide(calloc(1, MIB)), MIB));
	for (i = 0; i < 64; i++)
		free(object[i]);
	check(status_of("VmRSS") < 400 * KIB);
}

static void case_mlockall(void)
{
	tap_isolate(lock_all, NULL);
}

/* --- threads --- */

static void *mailbox[64];

static void *thread_work(void *arg)
{
	struct object *slots = calloc(SLOTS, sizeof(*slots));
	unsigned int i, steps = tap_count(600, 60000);
	struct rng rng;
	void *mail;

	rng_init(&rng, 100 + (uintptr_t)arg);
	for (i = 0; i < steps && !tap_failed(); i++) {
		work(&rng, slots);
		/* Some are freed by others. */
		mail = malloc(rng_below(&rng, 300));
		free(__atomic_exchange_n(&mailbox[rng_below(&rng, 64)], mail, __ATOMIC_ACQ_REL));
	}
	drop_all(slots);
	free(slots);
	return NULL;
}

static void case_threads(void)
{
	pthread_t thread[THREADS];
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		check_eq(pthread_create(&thread[i], NULL, thread_work, (void *)i), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < 64; i++)
		free(mailbox[i]);
	memset(mailbox, 0, sizeof(mailbox));
}

/* --- children --- */

static struct object before_fork[512];
static unsigned int nr_before_fork;

static void make_before_fork(void)
{
	struct rng rng;
	unsigned int i;

	nr_before_fork = tap_count(128, ARRAY_SIZE(before_fork));
	rng_init(&rng, 2);
	for (i = 0; i < nr_before_fork; i++)
		make(&rng, &before_fork[i]);
}

static void drop_before_fork(void)
{
	unsigned int i;

	for (i = 0; i < nr_before_fork; i++)
		drop(&before_fork[i]);
}

/* All is there, can be freed, and nothing is handed out over it. */
static void in_child(void *arg)
{
	unsigned int i, steps = tap_count(300, 3000);
	static struct object slots[SLOTS];
	struct rng rng;

	rng_init(&rng, 1000 + (uintptr_t)arg);
	for (i = 0; i < steps && !tap_failed(); i++)
		work(&rng, slots);
	for (i = 0; i < nr_before_fork; i++) {
		check(is_painted(&before_fork[i], before_fork[i].size));
		if (i % 3 == 0)
			drop(&before_fork[i]);
		else if (i % 3 == 1)
			resize(&rng, &before_fork[i]);
	}
	for (i = 0; i < steps && !tap_failed(); i++)
		work(&rng, slots);
	drop_all(slots);
	for (i = 0; i < nr_before_fork; i++)
		if (before_fork[i].start)
			drop(&before_fork[i]);
}

static void case_fork(void)
{
	uintptr_t i;

	make_before_fork();
	for (i = 0; i < 8; i++)
		tap_isolate(in_child, (void *)i);
	drop_before_fork();
}

static void in_grandchild(void *arg)
{
	uintptr_t depth = (uintptr_t)arg;

	if (depth < 8)
		tap_isolate(in_grandchild, (void *)(depth + 1));
	in_child(arg);
}

static void case_fork_deep(void)
{
	make_before_fork();
	tap_isolate(in_grandchild, (void *)0);
	drop_before_fork();
}

static int stop_threads;

static void *hammer(void *arg)
{
	struct object *slots = calloc(SLOTS, sizeof(*slots));
	struct rng rng;

	rng_init(&rng, 200 + (uintptr_t)arg);
	while (!__atomic_load_n(&stop_threads, __ATOMIC_RELAXED) && !tap_failed())
		work(&rng, slots);
	drop_all(slots);
	free(slots);
	return NULL;
}

static void case_fork_with_threads(void)
{
	unsigned int forks = tap_count(20, 2000);
	pthread_t thread[8];
	uintptr_t i;

	make_before_fork();
	stop_threads = 0;
	for (i = 0; i < 8; i++)
		check_eq(pthread_create(&thread[i], NULL, hammer, (void *)i), 0);
	for (i = 0; i < forks && !tap_failed(); i++)
		tap_isolate(in_child, (void *)i);
	__atomic_store_n(&stop_threads, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	drop_before_fork();
}

static void *fork_some(void *arg)
{
	unsigned int i;

	for (i = 0; i < 10; i++)
		tap_isolate(in_child, arg);
	return NULL;
}

static void case_forks_at_once(void)
{
	pthread_t thread[4];
	uintptr_t i;

	make_before_fork();
	for (i = 0; i < 4; i++)
		check_eq(pthread_create(&thread[i], NULL, fork_some, (void *)(50 + i)), 0);
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	drop_before_fork();
}

/* Handlers that allocate, on all sides. */
static struct object kept[3];
static bool handlers_work;

static void allocate(unsigned int i)
{
	struct rng rng;

	if (!handlers_work)
		return;
	rng_init(&rng, 3 + i);
	if (kept[i].start)
		drop(&kept[i]);
	make(&rng, &kept[i]);
}

static void at_prepare(void)
{
	allocate(0);
}

static void at_parent(void)
{
	allocate(1);
}

static void at_child(void)
{
	allocate(2);
}

static void check_kept(void *arg)
{
	check(is_painted(&kept[0], kept[0].size));
	check(is_painted(&kept[2], kept[2].size));
	in_child(arg);
	check(is_painted(&kept[0], kept[0].size));
}

static void case_fork_handlers(void)
{
	unsigned int i;

	pthread_atfork(at_prepare, at_parent, at_child);
	make_before_fork();
	handlers_work = true;
	for (i = 0; i < 5; i++)
		tap_isolate(check_kept, NULL);
	handlers_work = false;
	drop_before_fork();
}

/* No handler runs: its parent's objects stay, and can be used. */
static void case_raw_clone(void)
{
	int status;
	pid_t pid;

	make_before_fork();
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		in_child(NULL);
		_exit(tap_failed());
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
	drop_before_fork();
}

static void case_spawn(void)
{
	char * const argv[] = { "true", NULL };
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < 10; i++) {
		if (!check_eq(posix_spawnp(&pid, "true", NULL, NULL, argv, environ), 0))
			return;
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
}

/* --- what programs do --- */

static void on_tick(int signal)
{
	int saved = errno;

	(void)signal;
	free(malloc(100));
	free(malloc(50 * KIB));
	errno = saved;
}

static void with_ticks(void *unused)
{
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = {};
	static struct object slots[SLOTS];
	unsigned int i, steps = tap_count(3000, 300000);
	struct rng rng;

	(void)unused;
	make_before_fork();
	rng_init(&rng, 4);
	signal(SIGPROF, on_tick);
	setitimer(ITIMER_PROF, &often, NULL);
	for (i = 0; i < steps && !tap_failed(); i++) {
		work(&rng, slots);
		if (i % 300 == 0)
			tap_isolate(in_child, (void *)7);
	}
	setitimer(ITIMER_PROF, &never, NULL);
	drop_all(slots);
	drop_before_fork();
}

static void case_signals(void)
{
	if (without_device) {
		tap_skip("glibc's own may not be called there");
		return;
	}
	tap_isolate(with_ticks, NULL);
}

static void without_descriptors(void *arg)
{
	static struct object slots[SLOTS];
	unsigned int i, steps = tap_count(3000, 30000);
	struct rng rng;
	int fd;

	rng_init(&rng, 5);
	for (i = 0; i < steps && !tap_failed(); i++) {
		if (i % 1000 == 500) {
			syscall(SYS_close_range, 3, UINT_MAX, 0);
			/* Their numbers are others' now. */
			while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < 1000)
				;
		}
		work(&rng, slots);
	}
	drop_all(slots);
	in_child(arg);
}

static void case_closes_all(void)
{
	make_before_fork();
	tap_isolate(without_descriptors, (void *)9);
	drop_before_fork();
}

static void exits_by_abort(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct rlimit none = {};
		int fd = open("/dev/null", O_WRONLY);

		setrlimit(RLIMIT_CORE, &none);
		dup2(fd, STDERR_FILENO);
		fn();
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	      WTERMSIG(status) == SIGABRT);
}

static void frees_inside(void)
{
	char *object = malloc(100);

	free(hide(object + 16));
	malloc_trim(0);
}

static void frees_twice(void)
{
	void *object = malloc(MIB);

	free(hide(object));
	free(hide(object));
	malloc_trim(0);
}

static void case_bad_frees(void)
{
	exits_by_abort(frees_inside);
	exits_by_abort(frees_twice);
}

static const struct tap_case cases[] = {
	{ "the objects are the library's", case_ours },
	{ "random lifetimes", case_lifetimes },
	{ "size zero", case_zero },
	{ "sizes that are too large", case_too_large },
	{ "errno stays", case_errno },
	{ "alignment", case_alignment },
	{ "alignments that are none", case_bad_alignment },
	{ "usable size", case_usable },
	{ "calloc clears", case_calloc },
	{ "realloc in place", case_realloc_in_place },
	{ "realloc keeps what is there", case_realloc_grows },
	{ "free with a size", case_sized_free },
	{ "memory goes back", case_gives_back },
	{ "and by itself", case_gives_back_later },
	{ "mlockall takes what is used", case_mlockall },
	{ "200 threads", case_threads },
	{ "fork", case_fork },
	{ "fork in a child of a child", case_fork_deep },
	{ "fork among threads that allocate", case_fork_with_threads },
	{ "threads that fork at once", case_forks_at_once },
	{ "handlers of fork that allocate", case_fork_handlers },
	{ "a child without handlers", case_raw_clone },
	{ "posix_spawn", case_spawn },
	{ "signal handlers that allocate", case_signals },
	{ "a program that closes all descriptors", case_closes_all },
	{ "wrong frees end the program", case_bad_frees },
};

/* How the program runs itself: a setting beside LD_PRELOAD. */
static const struct variant {
	const char *name, *variable, *value;
} variants[] = {
	{ "magazines of CPUs", "KARENA_TEST_MALLOC", "1" },
	{ "without rseq", "GLIBC_TUNABLES", "glibc.pthread.rseq=0" },
	{ "without the device", "KARENA_DEVICE", "/nonexistent" },
};

static void preload(const struct variant *variant)
{
	char path[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 40);

	path[n < 0 ? 0 : n] = 0;
	slash = strstr(path, "/bin/");
	if (!slash)
		return;
	strcpy(slash, "/lib/libkarena-malloc.so");
	setenv("LD_PRELOAD", path, 1);
	setenv(variant->variable, variant->value, 1);
	setenv("KARENA_TEST_MALLOC", variant->name, 1);
	execl("/proc/self/exe", "t_malloc", NULL);
}

/* Its lines are this one's diagnostics. */
static bool run_variant(const struct variant *variant)
{
	char line[400];
	FILE *out;
	int pipes[2], status;
	pid_t pid;

	if (pipe(pipes))
		return false;
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		preload(variant);
		_exit(127);
	}
	close(pipes[1]);
	out = fdopen(pipes[0], "r");
	while (fgets(line, sizeof(line), out))
		printf("# %s", line);
	fclose(out);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static int run_variants(void)
{
	unsigned int i;

	tap_plan(ARRAY_SIZE(variants));
	for (i = 0; i < ARRAY_SIZE(variants); i++) {
		if (!tap_begin("%s", variants[i].name))
			continue;
		check(run_variant(&variants[i]));
		tap_end();
	}
	return tap_status();
}

int main(void)
{
	const char *variant = getenv("KARENA_TEST_MALLOC");

	if (!variant)
		return run_variants();
	without_device = !!getenv("KARENA_DEVICE");
	return tap_main(cases, ARRAY_SIZE(cases));
}
