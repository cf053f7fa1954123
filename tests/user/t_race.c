// SPDX-License-Identifier: GPL-2.0
/*
 * Many at once: each case is run by four threads and then by four processes
 * (under UML the threads of one process take turns).  All of it is bounded by
 * counts, and what random choices there are come from the seed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define WORKERS 4
#define SHELF 256

/* In memory that all workers share, whether threads or processes. */
struct arena {
	pthread_barrier_t barrier;
	__u64 addrs[4096];
	/* addresses on their way from one worker to another */
	__u64 shelf[SHELF];
	__u32 hits[4096];
	__u32 rejected;
	__u32 succeeded;
};

struct team {
	struct heap heap;
	struct arena *arena;
	unsigned int rounds;
	void (*work)(struct team *team, unsigned int nr);
	bool threads;
	int fd;
};

struct member {
	struct team *team;
	unsigned int nr;
};

static void meet(struct team *team)
{
	pthread_barrier_wait(&team->arena->barrier);
}

static void count(__u32 *counter, __u32 by)
{
	__atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

static void *thread_main(void *arg)
{
	struct member *m = arg;

	m->team->work(m->team, m->nr);
	return NULL;
}

static void process_main(void *arg)
{
	thread_main(arg);
}

static void run_threads(struct member *members)
{
	pthread_t threads[WORKERS];
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		check(!pthread_create(&threads[i], NULL, thread_main, &members[i]));
	for (i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
}

static void run_processes(struct member *members)
{
	pid_t pids[WORKERS];
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		pids[i] = tap_fork(process_main, &members[i]);
	for (i = 0; i < WORKERS; i++)
		tap_join(pids[i]);
}

static void run_team(struct team *team)
{
	struct member members[WORKERS];
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		members[i] = (struct member){ team, i };
	if (team->threads)
		run_threads(members);
	else
		run_processes(members);
}

static bool team_open(struct team *team, __u64 limit)
{
	pthread_barrierattr_t attr;

	team->arena = mmap(NULL, sizeof(*team->arena), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!check(team->arena != MAP_FAILED))
		return false;
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&team->arena->barrier, &attr, WORKERS);
	return heap_open(&team->heap, WINDOW, limit);
}

static void team_close(struct team *team)
{
	munmap(team->arena, sizeof(*team->arena));
	heap_close(&team->heap);
}

/* Frees the addresses one by one, each worker from another place on. */
static void free_all(struct team *team, unsigned int nr, unsigned int many)
{
	unsigned int i;

	for (i = 0; i < many; i++) {
		unsigned int at = (i + nr % 2 * 7) % many;
		int why = heap_drop(team->heap.fd, team->arena->addrs[at]);

		if (!why)
			count(&team->arena->hits[at], 1);
		else if (check(why > 0))
			count(&team->arena->rejected, 1);
	}
}

static void free_in_bulk(struct team *team, unsigned int many)
{
	struct karena_free out;

	check_ret(heap_free(team->heap.fd, team->arena->addrs, many, &out), 0);
	count(&team->arena->rejected, out.rejected);
}

static const __u64 double_sizes[] = { 64, 8, 1000, 32768, 100000 };

/* All free the same: of each object exactly one free succeeds. */
static void free_same(struct team *team, unsigned int nr)
{
	struct arena *arena = team->arena;
	unsigned int round;

	for (round = 0; round < team->rounds; round++) {
		__u64 size = double_sizes[round % ARRAY_SIZE(double_sizes)];
		unsigned int many = size > 1000 ? 50 : 500, i;

		if (!nr) {
			memset(arena->hits, 0, sizeof(arena->hits));
			arena->rejected = 0;
			check_ret(heap_alloc(team->heap.fd, size, 0, many, arena->addrs), 0);
		}
		meet(team);
		if (round & 1)
			free_in_bulk(team, many);
		else
			free_all(team, nr, many);
		meet(team);
		if (!nr) {
			struct karena_heap_info own;

			if (!check_eq(arena->rejected, (WORKERS - 1) * many))
				tap_diag("round %u, size %llu", round, size);
			for (i = 0; !(round & 1) && i < many; i++)
				check_eq(arena->hits[i], 1);
			check_ret(heap_info(team->heap.fd, 0, 0, &own), 0);
			check_eq(own.live_objects, 0);
			check_eq(own.allocs, own.frees);
		}
		meet(team);
	}
}

/* Afterwards no object is handed out twice. */
static void nothing_twice(struct team *team)
{
	__u64 addrs[2000];
	struct space space;
	unsigned int i, s;

	if (!check(space_init(&space, team->heap.base, WINDOW)))
		return;
	for (s = 0; s < ARRAY_SIZE(double_sizes); s++) {
		unsigned int many = double_sizes[s] > 1000 ? 100 : 2000;

		check_ret(heap_alloc(team->heap.fd, double_sizes[s], 0, many, addrs), 0);
		for (i = 0; i < many; i++)
			check(space_take(&space, addrs[i], go_usable(double_sizes[s])));
	}
	space_exit(&space);
}

/* Objects wander: whoever takes one from the shelf checks and frees it. */
static void wander(struct team *team, unsigned int nr)
{
	unsigned int round;
	struct rng rng;

	rng_init(&rng, nr + 10 * team->threads);
	for (round = 0; round < team->rounds * 100 && !tap_failed(); round++) {
		__u64 size = 32 + rng_below(&rng, rng_below(&rng, 30) ? 2000 : 60000);
		__u64 addr = heap_new(team->heap.fd, size, 0), *words = as_ptr(addr);

		if (!check(addr) || !check(zeroed(words, size)))
			return;
		words[0] = size;
		fill(words + 1, size - 8, addr);
		addr = __atomic_exchange_n(&team->arena->shelf[rng_below(&rng, SHELF)],
					   addr, __ATOMIC_ACQ_REL);
		words = as_ptr(addr);
		if (!addr)
			continue;
		check(filled(words + 1, words[0] - 8, addr));
		check_ret(heap_drop(team->heap.fd, addr), 0);
	}
}

/* One changes the heap, the others ask about it. */
static void ask(struct team *team, unsigned int nr)
{
	struct karena_class_stat stats[136];
	struct karena_heap_info info;
	unsigned int round;
	__u64 addrs[64];
	__u32 classes;

	for (round = 0; round < team->rounds * 20 && !tap_failed(); round++) {
		if (nr < 2) {
			__u64 size = 16 << round % 12;

			check_ret(heap_alloc(team->heap.fd, size, 0, 64, addrs), 0);
			check(heap_usable(team->heap.fd, addrs[63]) >= (__s64)size);
			check_ret(heap_free(team->heap.fd, addrs, 64, NULL), 0);
			__atomic_store_n(&team->arena->addrs[0], addrs[0], __ATOMIC_RELAXED);
		} else {
			__u64 addr = __atomic_load_n(&team->arena->addrs[0], __ATOMIC_RELAXED);
			__s64 usable = heap_usable(team->heap.fd, addr);

			check(usable == -ENOENT || usable >= 16);
			check_ret(heap_info(team->heap.fd, 0, 0, &info), 0);
			/* not exact meanwhile: see uapi/karena.h */
			check(info.live_objects <= info.allocs);
			check_ret(heap_classes(team->heap.fd, 0, stats, 136, &classes), 0);
			check(classes <= 136);
		}
	}
}

/* Mappings of one heap come and go in all of them, objects stay. */
static void map_and_unmap(struct team *team, unsigned int nr)
{
	unsigned int round;
	__u64 addr = heap_new(team->heap.fd, 20000, 0);

	for (round = 0; round < team->rounds * 10 && !tap_failed(); round++) {
		__s64 at = map_objects(team->heap.fd, 0, WINDOW, PROT_READ | PROT_WRITE,
				       MAP_SHARED);

		if (map_failed(at)) {
			/* another thread was faster */
			check_ret(at, -EEXIST);
			sched_yield();
			continue;
		}
		check_eq(at, team->heap.base);
		check(round ? filled(as_ptr(addr), 20000, nr) || team->threads :
			      zeroed(as_ptr(addr), 20000));
		fill(as_ptr(addr), 20000, nr);
		check(!munmap(as_ptr(at), WINDOW));
	}
	check_ret(heap_drop(team->heap.fd, addr), 0);
}

/* Pages are taken away while others touch what is still theirs. */
static void fault_and_free(struct team *team, unsigned int nr)
{
	unsigned int round, i;

	for (round = 0; round < team->rounds * 5 && !tap_failed(); round++) {
		__u64 addrs[4];

		for (i = 0; i < 4; i++) {
			__u64 size = 40000 + 8192 * ((round + i) % 20);

			addrs[i] = heap_new(team->heap.fd, size, 0);
			if (!check(addrs[i]) ||
			    !check(zeroed(as_ptr(addrs[i]), size)))
				return;
			fill(as_ptr(addrs[i]), size, nr + 1);
		}
		for (i = 0; i < 4; i++) {
			check(filled(as_ptr(addrs[i]), 40000, nr + 1));
			check_ret(heap_drop(team->heap.fd, addrs[i]), 0);
		}
	}
}

/* Heaps are made and end while others walk them by number. */
static void come_and_go(struct team *team, unsigned int nr)
{
	struct karena_class_stat stats[136];
	struct karena_heap_info info;
	unsigned int round;
	struct heap heap;
	__u32 id = 0, classes;
	int ret;

	for (round = 0; round < team->rounds * 20 && !tap_failed(); round++) {
		if (nr < 2) {
			if (!check_ret(heap_make(&heap, WINDOW, 0), 0))
				return;
			check(heap_new(heap.fd, 100 << round % 10, 0));
			close(heap.fd);
			continue;
		}
		if (heap_info(team->heap.fd, id, 1, &info)) {
			id = 0;
			continue;
		}
		check(info.id > id);
		check(info.window <= WINDOW);
		id = info.id;
		ret = heap_classes(team->heap.fd, id, stats, 136, &classes);
		check(ret == 0 || ret == -ENOENT);
	}
}

/* All set up one descriptor: exactly one does. */
static void setup_same(struct team *team, unsigned int nr)
{
	struct karena_info info;
	unsigned int round;
	int ret;

	for (round = 0; round < team->rounds * 4; round++) {
		struct karena_setup arg = { .size = sizeof(arg), .window = WINDOW };

		if (!nr)
			team->arena->succeeded = 0;
		meet(team);
		ret = kioctl(team->fd + round, KARENA_IOC_SETUP, &arg);
		if (!ret)
			count(&team->arena->succeeded, 1);
		else
			check_ret(ret, -EBUSY);
		check(heap_new(team->fd + round, 100, 0));
		meet(team);
		if (!nr)
			check_eq(team->arena->succeeded, 1);
		check_ret(dev_info(team->fd, &info), 0);
	}
}

/* A descriptor number is closed and opened again under calls that use it. */
static void close_under_calls(struct team *team, unsigned int nr)
{
	unsigned int round;

	for (round = 0; round < team->rounds * 50; round++) {
		__u64 addrs[16];

		if (!nr) {
			int fd = dev_open(O_RDWR), shared = heap_share(team->heap.fd, 0);

			dup2(round & 1 ? fd : shared, team->fd);
			close(fd);
			close(shared);
		} else if (!heap_alloc(team->fd, 50, 0, 16, addrs)) {
			heap_free(team->fd, addrs, 16, NULL);
		}
	}
}

/*
 * One allocates large objects, the others free whatever they guess, before the
 * address has even come back, and look inside of it.  At most the owner loses its
 * object: the kernel must not follow what is gone (KASAN watches).
 */
static void steal_large(struct team *team, unsigned int nr)
{
	const __u64 size = 512 * KIB, slots = 2;
	struct rng rng;
	unsigned int i;

	rng_init(&rng, nr + 20 * team->threads);
	for (i = 0; i < team->rounds * 100 && !tap_failed(); i++) {
		__u64 guess = team->heap.base + rng_below(&rng, slots) * size;
		__u64 addr;
		int why;

		if (nr) {
			why = heap_drop(team->heap.fd, guess);
			check(why >= 0);
			heap_usable(team->heap.fd, guess + 8 * rng_below(&rng, size / 8));
			continue;
		}
		addr = heap_new(team->heap.fd, size, 0);
		if (!check(addr))
			return;
		heap_usable(team->heap.fd, addr);
		why = heap_drop(team->heap.fd, addr);
		check(why >= 0);
		count(&team->arena->rejected, why > 0);
	}
	if (!nr)
		tap_diag("%u of %u stolen", team->arena->rejected, i);
}

/* At the limit, so that each call reclaims, and with objects of all sizes. */
static void steal_at_limit(struct team *team, unsigned int nr)
{
	__u64 addrs[64];
	struct rng rng;
	unsigned int i;

	rng_init(&rng, nr + 30 * team->threads);
	for (i = 0; i < team->rounds * 10 && !tap_failed(); i++) {
		unsigned int j, many = 1 + rng_below(&rng, 64);
		int ret;

		if (nr & 1) {
			for (j = 0; j < 64; j++)
				addrs[j] = team->heap.base + 1024 * rng_below(&rng, 4096);
			check_ret(heap_free(team->heap.fd, addrs, 64, NULL), 0);
			continue;
		}
		ret = heap_alloc(team->heap.fd, 1024ULL << rng_below(&rng, 8), 0, many, addrs);
		check(ret == 0 || ret == -ENOMEM);
	}
}

/* What is left is whole: it can all be freed, and nothing of it twice. */
static void all_is_whole(struct team *team)
{
	struct karena_heap_info own;
	unsigned int i, freed = 0;

	check_ret(heap_info(team->heap.fd, 0, 0, &own), 0);
	for (i = 0; i < WINDOW / KIB; i++)
		freed += !heap_drop(team->heap.fd, team->heap.base + KIB * i);
	check_eq(freed, own.live_objects);
	check_ret(heap_info(team->heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, 0);
	check(heap_adds_up(team->heap.fd));
}

static struct mode {
	const char *name;
	void (*work)(struct team *team, unsigned int nr);
	void (*after)(struct team *team);
	/* windows are mapped by the workers themselves */
	bool unmapped;
	/* descriptors that are opened first, not set up */
	unsigned int fds_a_round;
	unsigned int slice;
	__u64 limit;
} modes[] = {
	{ "the same object freed by all", free_same, nothing_twice, false, 0, 40, 0 },
	{ "objects made by one and freed by another", wander, NULL, false, 0, 30, 0 },
	{ "questions while it changes", ask, NULL, false, 0, 15, 0 },
	{ "mapped and unmapped", map_and_unmap, NULL, true, 0, 20, 0 },
	{ "large objects come and go", fault_and_free, NULL, false, 0, 20, 0 },
	{ "heaps come and go", come_and_go, NULL, false, 0, 10, 0 },
	{ "one descriptor set up by all", setup_same, NULL, false, 4, 20, 0 },
	{ "descriptors closed under calls", close_under_calls, NULL, false, 1, 20, 0 },
	{ "large objects stolen", steal_large, all_is_whole, false, 0, 20, 0 },
	{ "stolen at the limit", steal_at_limit, all_is_whole, false, 0, 20, 4 * MIB },
};

/* Descriptors for @team in a row, from team->fd on. */
static void open_fds(struct team *team, unsigned int many)
{
	unsigned int i;

	team->fd = 200;
	for (i = 0; i < many; i++) {
		int fd = dev_open(O_RDWR);

		check_eq(dup2(fd, team->fd + i), team->fd + i);
		close(fd);
	}
}

static void run_mode(const struct mode *mode, bool threads)
{
	struct team team = { .work = mode->work, .threads = threads };
	struct karena_info before;
	unsigned int fds, i;

	if (!tap_begin("%s, by %s", mode->name, threads ? "threads" : "processes"))
		return;
	team.rounds = tap_count(mode->slice, mode->fds_a_round ? 100 : 20 * mode->slice);
	fds = mode->fds_a_round * team.rounds;
	if (!user_numbers(&before) || !team_open(&team, mode->limit))
		goto out;
	open_fds(&team, fds);
	if (mode->unmapped)
		heap_unmap(&team.heap);
	run_team(&team);
	if (mode->after)
		mode->after(&team);
	for (i = 0; i < fds; i++)
		close(team.fd + i);
	team_close(&team);
	user_back_to(&before);
out:
	tap_end();
}

int main(void)
{
	unsigned int i;

	tap_plan(2 * ARRAY_SIZE(modes));
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		run_mode(&modes[i], true);
		run_mode(&modes[i], false);
	}
	return tap_status();
}
