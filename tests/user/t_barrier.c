// SPDX-License-Identifier: GPL-2.0
/*
 * The MMU as the write barrier: what a page refers to at the snapshot is what the
 * collector sees of it, whoever writes to it, and however, before and after.
 *
 * How a program tells when the snapshot was: a writer overwrites the references of
 * its pages one after the other, and before each of them puts another object into a
 * word that is searched at the snapshot, and at no other time.  The last of these
 * objects that lives says how far the writer was; what the pages behind referred
 * to has to live.  A page is checked when it was overwritten after the snapshot,
 * in the same cycle.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "world.h"

#define PAGES		256u	/* of a writer */
#define MIN_CYCLES	20u

struct writer {
	__u64 slot[PAGES];		/* addresses of references, one in each page */
	__u64 old[PAGES];		/* what they refer to, inverted */
	__u64 step[PAGES];		/* objects that say how far it was, inverted */
	unsigned int at;		/* the next to overwrite */
	unsigned int checks;		/* pages that were overwritten behind the snapshot */
	pid_t foreign;			/* writes to this process's memory, having none */
};

/* Shared as well. */
static struct race {
	struct writer writer[MOST_ROOTS];
	bool calm;			/* only references are stored after the snapshot */
	bool behind;			/* which has been */
	bool lost;			/* something: that will do */
} *race;	/* mapped by main() */

/* --- writers, and what they overwrite --- */

/* A page for each object: the first word is a reference. */
static __u32 register_page(int fd)
{
	__u32 ref = 0;
	struct karena_register req = {
		.size = sizeof(req), .object_size = MACHINE_PAGE, .refs = as_addr(&ref),
		.nr_refs = 1, .name = "page",
	};

	check_ret(kioctl(fd, KARENA_IOC_REGISTER, &req), 0);
	return req.id;
}

/* Pages of objects with a type, of objects without, or all of one large object. */
static void make_pages(struct world *w, unsigned int id)
{
	struct writer *writer = &race->writer[id];
	struct karena_alloc alloc = {
		.size = sizeof(alloc), .object_size = MACHINE_PAGE, .count = PAGES,
		.addrs = as_addr(writer->slot),
	};
	__u64 table;
	unsigned int i;

	if (id % 3 == 2) {
		table = heap_new(w->heap.fd, (__u64)PAGES * MACHINE_PAGE, 0);
		for (i = 0; i < PAGES; i++)
			writer->slot[i] = table + (__u64)i * (MACHINE_PAGE + 8);
	} else {
		alloc.type = id % 3 ? 0 : register_page(w->heap.fd);
		check_ret(kioctl(w->heap.fd, KARENA_IOC_ALLOC, &alloc), 0);
		table = heap_new(w->heap.fd, sizeof(writer->slot), 0);
		if (table)
			memcpy(as_ptr(table), writer->slot, sizeof(writer->slot));
	}
	check(table);
	put(as_addr(&w->word[id]), world_chain(w, table));
}

/* By a program, or on its behalf by one that has no mapping. */
static void store(const struct writer *writer, __u64 addr, __u64 value)
{
	struct iovec from = { &value, sizeof(value) }, to = { as_ptr(addr), sizeof(value) };

	if (!writer->foreign)
		put(addr, value);
	else
		check_eq(process_vm_writev(writer->foreign, &from, 1, &to, 1, 0), sizeof(value));
}

/* New objects for all pages to refer to. */
static void prepare(struct world *w, struct writer *writer, __u64 *root)
{
	unsigned int i;

	check_ret(heap_alloc(w->heap.fd, 32, 0, PAGES, writer->old), 0);
	check_ret(heap_alloc(w->heap.fd, 32, 0, PAGES, writer->step), 0);
	for (i = 0; i < PAGES; i++) {
		store(writer, writer->slot[i], writer->old[i]);
		writer->old[i] = ~writer->old[i];
		writer->step[i] = ~writer->step[i];
	}
	put(as_addr(root), ~writer->step[0]);
}

/*
 * Up to the half of them while it waits for the snapshot, now and then one, and the
 * rest as fast as it can.  The page is written first, so that it may be while the
 * snapshot is taken.
 */
static void overwrite(struct world *w, struct writer *writer, __u64 *root, struct rng *rng)
{
	bool behind = false;
	unsigned int i;

	for (i = 1; i < PAGES && !is_set(&w->collected);) {
		if (!behind && world_stops(w) != w->stops) {
			behind = true;
			set(&race->behind, true);
		}
		if (!behind && (i >= PAGES / 2 || rng_below(rng, 16)))
			continue;
		store(writer, (writer->slot[i] & -(__u64)MACHINE_PAGE) + 3072, i);
		put(as_addr(root), ~writer->step[i]);
		store(writer, writer->slot[i], 0);
		i++;
	}
	writer->at = i;
}

/* What the pages referred to that were overwritten after the snapshot. */
static void check_pages(struct world *w, struct writer *writer)
{
	unsigned int i, lost = 0;

	for (i = PAGES - 1; i && !is_alive(w, ~writer->step[i]);)
		i--;
	check(is_alive(w, ~writer->step[i]));
	for (i++; i < PAGES; i++) {
		lost += !is_alive(w, ~writer->old[i]);
		writer->checks += i < writer->at;
	}
	if (!check_eq(lost, 0))
		set(&race->lost, true);
}

struct job {
	struct world *w;
	unsigned int id;
};

/* Writes to pages over and over, in every other cycle to those of all writers. */
static void *make_dirty(void *arg)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct job *job = arg;
	struct world *w = job->w;
	struct writer *writer;
	struct rng rng;
	__u64 n;

	rng_init(&rng, 200 + job->id);
	for (n = 0; !is_set(&w->over); n++) {
		if (race->calm && is_set(&race->behind)) {
			nanosleep(&pause, NULL);
			continue;
		}
		writer = &race->writer[race->calm ? job->id : rng_below(&rng, w->nr)];
		put((writer->slot[rng_below(&rng, PAGES)] & -(__u64)MACHINE_PAGE) + 2048 +
		    8 * job->id, n);
	}
	return NULL;
}

static void run_cycles(struct world *w, unsigned int id)
{
	struct writer *writer = &race->writer[id];
	__u64 *root = &w->root[id];
	struct rng rng;

	rng_init(&rng, 100 + id);
	for (;;) {
		prepare(w, writer, root);
		pthread_barrier_wait(&w->barrier);
		if (is_set(&w->over))
			return;
		overwrite(w, writer, root, &rng);
		pthread_barrier_wait(&w->barrier);
		check_pages(w, writer);
	}
}

static void run_writer(void *arg)
{
	struct job *job = arg;
	pthread_t thread[2];

	if (!check(!pthread_create(&thread[0], NULL, make_dirty, job)) ||
	    !check(!pthread_create(&thread[1], NULL, make_dirty, job)))
		return;
	run_cycles(job->w, job->id);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

static void run_foreign(void *arg)
{
	struct job *job = arg;
	struct heap own = job->w->heap;

	heap_unmap(&own);
	race->writer[job->id].foreign = getppid();
	run_cycles(job->w, job->id);
}

static unsigned int all_checks(const struct world *w)
{
	unsigned int i, n = 0;

	for (i = 0; i < w->nr; i++)
		n += race->writer[i].checks;
	return n;
}

/* Cycles until so many pages have been checked, or something is lost. */
static void check_until(struct world *w, unsigned int want)
{
	unsigned int n;

	for (n = 0; all_checks(w) < want || n < MIN_CYCLES; n++) {
		if (is_set(&race->lost) || tap_failed())
			break;
		w->stops = world_stops(w);
		race->calm = n % 2;
		set(&race->behind, false);
		set(&w->collected, false);
		pthread_barrier_wait(&w->barrier);
		if (race->calm)
			world_collect_slowly(w);
		else
			check_ret(heap_collect(w->heap.fd), 0);
		set(&w->collected, true);
		pthread_barrier_wait(&w->barrier);
	}
	set(&w->over, true);
	pthread_barrier_wait(&w->barrier);
}

static void writers(unsigned int nr, void (*run)(void *arg), unsigned int want)
{
	struct job job[MOST_ROOTS];
	pid_t pid[MOST_ROOTS];
	struct world *w = world_new(nr);
	unsigned int i;

	if (!w)
		return;
	memset(race, 0, sizeof(*race));
	check_ret(heap_root(w->heap.fd, w->word, sizeof(w->word), 0), 0);
	for (i = 0; i < nr; i++)
		make_pages(w, i);
	for (i = 0; i < nr; i++) {
		job[i] = (struct job){ w, i };
		pid[i] = tap_fork(run, &job[i]);
	}
	check_until(w, want);
	for (i = 0; i < nr; i++)
		tap_join(pid[i]);
	check(race->lost || all_checks(w) >= want);
	tap_diag("%u pages were overwritten behind the snapshot", all_checks(w));
	world_delete(w);
}

static void plain_stores(void)
{
	writers(3, run_writer, tap_count(5000, 50000));
}

static void foreign_writers(void)
{
	writers(2, run_foreign, tap_count(1500, 15000));
}

static const struct tap_case cases[] = {
	{ "pages keep what they refer to", plain_stores },
	{ "and if a stranger writes to them", foreign_writers },
};

int main(void)
{
	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return race == MAP_FAILED ? 1 : tap_main(cases, ARRAY_SIZE(cases));
}
