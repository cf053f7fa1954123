// SPDX-License-Identifier: GPL-2.0
/*
 * Around the snapshot: pages that are pinned when it is taken and written after it,
 * objects that are born, freed, or on their way to a program meanwhile, threads that are
 * killed; and what a check (karena_gc_control.check) must not take for a loss.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill.h"
#include "tap.h"
#include "world.h"

static __u64 check_of(__u64 addr)
{
	return addr * 0x9e3779b97f4a7c15ULL;
}

/* --- pages that are pinned over the snapshot --- */

struct pinner {
	struct world *w;
	int fault_fd;			/* tells when it waits for its own memory */
	__u64 source;			/* page of that */
	__u64 hidden;			/* the page that is pinned, inverted: no root */
	pid_t pid;			/* whose memory it writes to */
};

static bool pinner_open(struct pinner *p)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	p->fault_fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (p->fault_fd < 0)
		return false;
	p->source = as_addr(mmap(NULL, MACHINE_PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	reg.range.start = p->source;
	reg.range.len = MACHINE_PAGE;
	return check(!ioctl(p->fault_fd, UFFDIO_API, &api)) &&
	       check(!ioctl(p->fault_fd, UFFDIO_REGISTER, &reg));
}

/* Clears the page; waits for the zeroes while it has it pinned. */
static void *write_pinned(void *arg)
{
	struct pinner *p = arg;
	struct iovec from = { as_ptr(p->source), MACHINE_PAGE };
	struct iovec to = { as_ptr(~p->hidden), MACHINE_PAGE };

	check_eq(process_vm_writev(p->pid, &from, 1, &to, 1, 0), MACHINE_PAGE);
	return NULL;
}

static void pin_once(struct pinner *p)
{
	struct uffdio_zeropage zero = { .range = { p->source, MACHINE_PAGE } };
	struct world *w = p->w;
	struct uffd_msg msg;
	pthread_t thread;

	if (!pinner_open(p) || !check(!pthread_create(&thread, NULL, write_pinned, p)))
		return;
	check_eq(read(p->fault_fd, &msg, sizeof(msg)), sizeof(msg));
	w->stops = world_stops(w);
	pthread_barrier_wait(&w->barrier);
	while (world_stops(w) == w->stops && !is_set(&w->collected))
		;
	check(!ioctl(p->fault_fd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(thread, NULL);
	close(p->fault_fd);
	munmap(as_ptr(p->source), MACHINE_PAGE);
	pthread_barrier_wait(&w->barrier);
}

static void run_pinner(void *arg)
{
	struct pinner *p = arg;
	struct heap own = p->w->heap;

	heap_unmap(&own);
	p->pid = getppid();
	for (;;) {
		pthread_barrier_wait(&p->w->barrier);
		if (is_set(&p->w->over))
			return;
		pin_once(p);
	}
}

/* These leave nothing behind that refers to the page, not in a register either. */
static __attribute__((noinline)) void make_page(struct pinner *p)
{
	__u64 page = heap_new(p->w->heap.fd, MACHINE_PAGE, 0);

	put(as_addr(p->w->root), world_chain(p->w, page));
	p->hidden = ~page;
}

static __attribute__((noinline)) void fill_page(struct pinner *p)
{
	struct world *w = p->w;
	unsigned int i;

	check_ret(heap_alloc(w->heap.fd, 32, 0, PER_PAGE, w->word), 0);
	memcpy(as_ptr(~p->hidden), w->word, MACHINE_PAGE);
	for (i = 0; i < PER_PAGE; i++)
		w->word[i] = ~w->word[i];
}

static __attribute__((noinline)) void check_page(struct pinner *p)
{
	unsigned int i, lost = 0;

	for (i = 0; i < PER_PAGE; i++)
		lost += get(~p->hidden + 8 * i) || !is_alive(p->w, ~p->w->word[i]);
	check_eq(lost, 0);
}

/* Objects that only a page refers to that is pinned, and written after the snapshot. */
static void collect_pinned(struct pinner *p)
{
	struct world *w = p->w;

	fill_page(p);
	set(&w->collected, false);
	pthread_barrier_wait(&w->barrier);
	pthread_barrier_wait(&w->barrier);
	world_collect_slowly(w);
	set(&w->collected, true);
	pthread_barrier_wait(&w->barrier);
	check_page(p);
}

static void pinned_pages(void)
{
	unsigned int i, rounds = tap_count(10, 300);
	struct world *w = world_new(1);
	struct pinner p = { .w = w };
	pid_t pid;

	if (!w)
		return;
	if (!pinner_open(&p)) {
		tap_skip("no userfaultfd()");
		world_delete(w);
		return;
	}
	close(p.fault_fd);
	munmap(as_ptr(p.source), MACHINE_PAGE);
	make_page(&p);
	pid = tap_fork(run_pinner, &p);
	for (i = 0; i < rounds; i++)
		collect_pinned(&p);
	set(&w->over, true);
	pthread_barrier_wait(&w->barrier);
	tap_join(pid);
	world_delete(w);
}

/* --- objects that come and go --- */

#define HOLDERS		128u

/* Of a page: @word[0] of each refers to an object that lives on and on. */
struct mover {
	struct world *w;
	__u64 table;			/* of the objects that refer to these */
	unsigned int size;		/* of those */
	bool drop;			/* by hand, what is replaced */
};

/* Replaces who refers to an object, while cycles come and go. */
static void run_mover(void *arg)
{
	struct mover *m = arg;
	int fd = m->w->heap.fd;
	__u64 slot, old, new;
	struct rng rng;

	rng_init(&rng, 300);
	while (!is_set(&m->w->over)) {
		slot = m->table + 8 * rng_below(&rng, HOLDERS);
		old = get(slot);
		new = heap_new(fd, m->size, 0);
		if (!check(new))
			return;
		put(new, get(old));
		put(slot, new);
		if (m->drop)
			check_ret(heap_drop(fd, old), 0);
	}
}

static void fill_table(struct mover *m)
{
	struct world *w = m->w;
	unsigned int i;
	__u64 holder;

	m->table = heap_new(w->heap.fd, MACHINE_PAGE, 0);
	put(as_addr(w->root), world_chain(w, m->table));
	check_ret(heap_alloc(w->heap.fd, 32, 0, HOLDERS, w->word), 0);
	for (i = 0; i < HOLDERS; i++) {
		holder = heap_new(w->heap.fd, m->size, 0);
		if (!check(holder))
			return;
		put(w->word[i], check_of(w->word[i]));
		put(holder, w->word[i]);
		put(m->table + 8 * i, holder);
		w->word[i] = ~w->word[i];
	}
}

static void check_objects(struct world *w)
{
	unsigned int i, lost = 0;

	for (i = 0; i < HOLDERS; i++)
		lost += !is_alive(w, ~w->word[i]) ||
			get(~w->word[i]) != check_of(~w->word[i]);
	check_eq(lost, 0);
}

static void move(unsigned int size, bool drop)
{
	unsigned int i, n = tap_count(20, 1000);
	struct mover m = { world_new(0), 0, size, drop };
	pid_t pid;

	if (!m.w)
		return;
	fill_table(&m);
	pid = tap_fork(run_mover, &m);
	for (i = 0; i < n && !tap_failed(); i++) {
		check_ret(heap_collect(m.w->heap.fd), 0);
		check_objects(m.w);
	}
	set(&m.w->over, true);
	tap_join(pid);
	world_delete(m.w);
}

static void born_before(void)
{
	/* Many of them, and some pages full. */
	move(512, false);
}

static void dropped_while_marking(void)
{
	/* A page each: nothing else is shaded when they are written. */
	move(MACHINE_PAGE, true);
}

/* --- objects on their way to a program --- */

static void run_allocator(void *arg)
{
	struct world *w = arg;
	unsigned int nr = WINDOW / MACHINE_PAGE / 16;
	struct karena_free out;

	while (!is_set(&w->over) && !tap_failed()) {
		check_ret(heap_alloc(w->heap.fd, MACHINE_PAGE, 0, nr, w->word), 0);
		check_ret(heap_free(w->heap.fd, w->word, nr, &out), 0);
		check_eq(out.rejected, 0);
		/* The next ones may have the same addresses. */
		memset(w->word, 0, nr * sizeof(*w->word));
	}
}

/* So that a call has to wait for a CPU, and stands while it does. */
static void run_busily(void *arg)
{
	struct world *w = arg;
	struct heap own = w->heap;

	heap_unmap(&own);
	while (!is_set(&w->over))
		;
}

static void in_flight(void)
{
	unsigned int i, n = tap_count(10, 1000);
	struct world *w = world_new(0);
	pid_t pid[3];

	if (!w)
		return;
	check_ret(heap_root(w->heap.fd, w->word, sizeof(w->word), 0), 0);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = tap_fork(i ? run_busily : run_allocator, w);
	for (i = 0; i < n; i++)
		check_ret(heap_collect(w->heap.fd), 0);
	set(&w->over, true);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		tap_join(pid[i]);
	world_delete(w);
}

/* --- threads that are killed while they stand --- */

#define LONG_RANGE	(8 * MIB)	/* what it takes a while to search */
#define KILLED		5u		/* while they stood */

/* It counts here as long as it runs. */
static __u32 *counter_of(struct world *w)
{
	return (__u32 *)w->word;
}

/* What it has is in registers and on its stack only, which are searched after the range. */
static void run_until_killed(struct world *w)
{
	struct heap own = w->heap;
	void *range;
	__u64 addr;

	range = mmap(NULL, LONG_RANGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!check(range != MAP_FAILED) || !check_ret(heap_map(&own), 0) ||
	    !check_ret(heap_root(own.fd, range, LONG_RANGE, 0), 0))
		return;
	addr = heap_new(own.fd, 64, 0);
	for (;;) {
		__asm__ volatile("" : "+r"(addr));
		__atomic_add_fetch(counter_of(w), 1, __ATOMIC_RELAXED);
	}
}

/* Whether it has done nothing for a while. */
static bool stands(struct world *w)
{
	__u32 count = __atomic_load_n(counter_of(w), __ATOMIC_RELAXED);
	unsigned int i;

	for (i = 0; i < 20000; i++)
		if (__atomic_load_n(counter_of(w), __ATOMIC_RELAXED) != count)
			return false;
	return true;
}

/* A cycle, in which a child is killed and kept from its end; whether it stood then. */
static bool kill_in_cycle(struct world *w, pid_t pid)
{
	struct karena_collect req = { .size = sizeof(req) };
	struct karena_gc_info info;
	__u64 cycle, stops;
	bool stood;
	int status;

	gc_info(w->heap.fd, &info);
	cycle = info.cycles;
	stops = info.stops;
	check_ret(kioctl(w->heap.fd, KARENA_IOC_COLLECT, &req), 0);
	while (!stands(w) && world_stops(w) == stops)
		;
	kill(pid, SIGKILL);
	stood = world_stops(w) == stops;
	check_eq(waitpid(pid, &status, __WALL), pid);
	check_eq(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
	do
		gc_info(w->heap.fd, &info);
	while (info.cycles == cycle);
	return stood;
}

static bool kill_one(struct world *w)
{
	bool stood;
	pid_t pid;

	__atomic_store_n(counter_of(w), 0, __ATOMIC_RELAXED);
	pid = fork();
	if (!pid) {
		run_until_killed(w);
		_exit(1);
	}
	if (!wait_for_steps_from(counter_of(w), 0, pid, 100) ||
	    !check(!ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)))
		return false;
	stood = kill_in_cycle(w, pid);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	reap_killed(pid);
	return stood;
}

static void run_killer(void *arg)
{
	unsigned int tries = 20 * tap_count(KILLED, 100), nr = 0;
	struct world *w = arg;
	struct heap own = w->heap;

	heap_unmap(&own);
	while (nr < tap_count(KILLED, 100) && tries-- && !tap_failed())
		nr += kill_one(w);
	check(nr);
	tap_diag("%u were killed while they stood", nr);
}

/* It does not come back to its registers, however long it takes to end. */
static void killed_standing(void)
{
	struct world *w = world_new(0);
	struct karena_gc_info info;

	if (!w)
		return;
	gc_check(w->heap.fd);
	tap_join(tap_fork(run_killer, w));
	gc_info(w->heap.fd, &info);
	check_eq(info.lost, 0);
	world_delete(w);
}

/* --- slots that are nobody's --- */

#define SLOTS		64u
#define SLOT_SIZE	384u

/* Of objects that are freed, while what they referred to is not, and is garbage. */
static __attribute__((noinline)) void make_stale(struct world *w)
{
	int fd = w->heap.fd;
	struct karena_free out;
	unsigned int i;

	check_ret(heap_alloc(fd, 32, 0, 1, &w->word[SLOTS]), 0);
	check_ret(heap_alloc(fd, SLOT_SIZE, 0, SLOTS, w->word), 0);
	for (i = 0; i < SLOTS; i++)
		put(w->word[i], w->word[SLOTS]);
	check_ret(heap_free(fd, w->word, SLOTS, &out), 0);
	check_eq(out.rejected, 0);
	for (i = 0; i <= SLOTS; i++)
		w->word[i] = ~w->word[i];
}

/* What refers to them once all has been searched, as a register may that went past an end. */
static void refer_to_stale(struct world *w, __u64 *range)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		put(as_addr(&range[i]), ~w->word[i]);
}

/* A cycle, in which all has been searched once when this is back. */
static __u64 begin_cycle(struct world *w)
{
	struct karena_collect req = { .size = sizeof(req) };
	struct karena_gc_info info;

	gc_info(w->heap.fd, &info);
	check_ret(kioctl(w->heap.fd, KARENA_IOC_COLLECT, &req), 0);
	while (world_stops(w) == info.stops)
		;
	return info.cycles;
}

static void end_cycle(struct world *w, __u64 cycle)
{
	struct karena_gc_info info;

	do
		gc_info(w->heap.fd, &info);
	while (info.cycles == cycle);
	check_eq(info.lost, 0);
}

/*
 * While it marks, what comes into the kernel's magazines gets a mark, and is cleared when it
 * leaves them: what a slot refers to in between is no loss.
 */
static void stale_slots(void)
{
	unsigned int i, n = tap_count(10, 200);
	struct world *w = world_new(0);
	__u64 *range, cycle;

	if (!w)
		return;
	range = &w->word[4096];
	check_ret(heap_root(w->heap.fd, range, SLOTS * sizeof(*range), 0), 0);
	gc_check(w->heap.fd);
	put(as_addr(w->root), world_chain(w, 0));
	for (i = 0; i < n && !tap_failed(); i++) {
		make_stale(w);
		cycle = begin_cycle(w);
		check(heap_new(w->heap.fd, SLOT_SIZE, 0));
		refer_to_stale(w, range);
		end_cycle(w, cycle);
		memset(range, 0, SLOTS * sizeof(*range));
	}
	world_delete(w);
}

/* Two objects side by side: the first stays alive, the other one is hidden garbage. */
static __attribute__((noinline)) bool make_neighbours(struct world *w)
{
	unsigned int i, j;
	__u64 first = 0;

	check_ret(heap_alloc(w->heap.fd, SLOT_SIZE, 0, SLOTS, w->word), 0);
	for (i = 0; i < SLOTS && !first; i++)
		for (j = 0; j < SLOTS; j++)
			if (w->word[j] == w->word[i] + SLOT_SIZE)
				first = w->word[i];
	put(as_addr(&w->root[1]), first);
	w->word[SLOTS] = ~(first + SLOT_SIZE);
	memset(w->word, 0, SLOTS * sizeof(*w->word));
	return check(first);
}

/*
 * A loop over elements may end with a pointer past the end, to a field of one that is not
 * there: the object behind is not the one that it is about.
 */
static void past_ends(void)
{
	unsigned int i, n = tap_count(10, 200);
	struct world *w = world_new(0);
	volatile __u64 past;
	__u64 cycle;

	if (!w)
		return;
	gc_check(w->heap.fd);
	put(as_addr(w->root), world_chain(w, 0));
	for (i = 0; i < n && !tap_failed() && make_neighbours(w); i++) {
		past = 0;
		cycle = begin_cycle(w);
		past = ~w->word[SLOTS] + (i % 2 ? 0 : 96);
		end_cycle(w, cycle);
	}
	past = 0;
	(void)past;
	world_delete(w);
}

static const struct tap_case cases[] = {
	{ "pages that are pinned", pinned_pages },
	{ "objects that are born before the snapshot", born_before },
	{ "objects that are freed while it marks", dropped_while_marking },
	{ "objects on their way to a program", in_flight },
	{ "threads that are killed while they stand", killed_standing },
	{ "words that lead to slots of nobody", stale_slots },
	{ "words that lead past the end of an object", past_ends },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
