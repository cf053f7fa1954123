// SPDX-License-Identifier: GPL-2.0
/*
 * Weak references and cleanups by libkarena: a weak reference leads to its object while
 * that is there, and to nothing once it is gone, for everybody; who gets the object has
 * it.  A cleanup is told once, when the object is gone and not before, whoever is killed
 * while reading.  Against a model, in races of threads and processes with the collector,
 * in clones.
 *
 * Whatever handles objects is a thread that ends, so that no stale word on a stack keeps
 * one by chance; what the tests remember of addresses is inverted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

#include "kill.h"
#include "tap.h"

#define MIB (1024UL * 1024)
#define NR 200u

struct node {
	unsigned long number;
	unsigned long check;		/* ~number */
	struct node *ref[2];
};

static struct karena *heap;
static struct karena_type type;

/* Roots, all of them. */
static struct node *strong[NR];
static struct karena_weak *weak[NR];

static bool begin(void)
{
	struct karena_options opts = {
		.window = 256 * MIB, .name = "t_libspecial", .flags = KARENA_COLLECT,
	};
	struct karena_gc_control control;

	memset(strong, 0, sizeof(strong));
	memset(weak, 0, sizeof(weak));
	heap = karena_open(&opts);
	if (!check(heap))
		return false;
	check_eq(karena_gc_get(heap, &control), 0);
	control.check = 1;
	control.percent = -1;
	check_eq(karena_gc_set(heap, &control), 0);
	type = KARENA_TYPE(heap, struct node, ref[0], ref[1]);
	return check(type.id);
}

static struct karena_gc_info gc_stats(void)
{
	struct karena_gc_info info = { .size = sizeof(info) };

	check_eq(karena_gc_stats(heap, &info), 0);
	return info;
}

static void end(void)
{
	check_eq(gc_stats().lost, 0);
	karena_close(heap);
	heap = NULL;
}

static unsigned long long live(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return check_eq(karena_stats(heap, &info), 0) ? info.live_objects : ~0ULL;
}

static struct node *new_node(unsigned long number)
{
	struct node *node = karena_new(heap, type);

	if (node) {
		node->number = number;
		node->check = ~number;
	}
	return node;
}

static bool is_node(const struct node *node, unsigned long number)
{
	return node && node->number == number && node->check == ~number;
}

/* A node that refers to another one, as make_pair() makes them. */
static bool is_pair(const struct node *node, unsigned long number)
{
	return is_node(node, number) && is_node(node->ref[0], number + NR);
}

static struct node *make_pair(unsigned long number)
{
	struct node *node = new_node(number);

	if (node)
		node->ref[0] = new_node(number + NR);
	return node && node->ref[0] ? node : NULL;
}

static void *make_all(void *arg)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		strong[i] = make_pair(i);
		if (!check(strong[i]))
			break;
		weak[i] = karena_weak_new(heap, strong[i]);
		if (!check(weak[i]))
			break;
		if (arg)
			check_eq(karena_cleanup_add(heap, strong[i], i), 0);
	}
	return NULL;
}

/* Each object is there if it has a root, and with all that it refers to. */
static void *look_at_all(void *arg)
{
	unsigned int i, wrong = 0;
	struct node *node;

	(void)arg;
	for (i = 0; i < NR; i++) {
		node = karena_weak_get(heap, weak[i]);
		wrong += strong[i] ? node != strong[i] || !is_pair(node, i) : !!node;
	}
	check_eq(wrong, 0);
	return NULL;
}

/* --- one after the other --- */

static void weak_until_it_is_gone(void)
{
	unsigned int i;

	if (!begin())
		return;
	run_thread(make_all, NULL);
	check_eq(karena_gc(heap), 0);
	run_thread(look_at_all, NULL);
	for (i = 0; i < NR; i += 2)
		strong[i] = NULL;
	check_eq(karena_gc(heap), 0);
	run_thread(look_at_all, NULL);
	check_eq(live(), NR / 2 * 2 + NR);
	check_eq(gc_stats().weak, NR / 2);
	check_eq(gc_stats().weak_cleared, NR / 2);
	/* Cells go as well. */
	memset(weak, 0, sizeof(weak));
	check_eq(karena_gc(heap), 0);
	check_eq(gc_stats().weak, 0);
	check_eq(live(), NR / 2 * 2);
	end();
}

/* The cookies that are told now, in order; how many. */
static unsigned int told(__u64 *cookies, unsigned int room)
{
	struct karena_event event;
	unsigned int n = 0;

	check(!fcntl(karena_fd(heap), F_SETFL, O_NONBLOCK));
	while (n < room && karena_cleanup_read(heap, &event, 1) == 1) {
		check_eq(event.type, KARENA_EVENT_CLEANUP);
		check_eq(event.reserved, 0);
		cookies[n++] = event.cookie;
	}
	check(n == room || errno == EAGAIN);
	return n;
}

static void *add_more(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < NR; i++) {
		check_eq(karena_cleanup_add(heap, strong[i], NR + i), 0);
		check_eq(karena_cleanup_add(heap, strong[i], 2 * NR + i), 0);
		check_eq(karena_cleanup_del(heap, strong[i], NR + i), 0);
		check_eq(karena_cleanup_del(heap, strong[i], NR + i), -1);
		check_eq(errno, ENOENT);
	}
	return NULL;
}

static void cleanups_are_told_once(void)
{
	unsigned int i, n, times[3 * NR] = { 0 };
	__u64 cookies[3 * NR];

	if (!begin())
		return;
	run_thread(make_all, heap);
	run_thread(add_more, NULL);
	check_eq(karena_gc(heap), 0);
	check_eq(told(cookies, 3 * NR), 0);
	check_eq(gc_stats().cleanups, 2 * NR);
	for (i = 0; i < NR; i += 2)
		strong[i] = NULL;
	check_eq(karena_gc(heap), 0);
	check_eq(gc_stats().cleanups_due, NR);
	n = told(cookies, 3 * NR);
	check_eq(n, NR);
	for (i = 0; i < n; i++) {
		times[cookies[i]]++;
		/* Of one object, in the order in which they were added. */
		if (i % 2)
			check_eq(cookies[i], cookies[i - 1] + 2 * NR);
	}
	for (i = 0; i < 3 * NR; i++)
		check_eq(times[i], i / NR != 1 && !(i % 2));
	check_eq(gc_stats().cleanups, NR);
	check_eq(gc_stats().cleanups_due, 0);
	check_eq(gc_stats().cleanups_done, NR);
	check_eq(karena_gc(heap), 0);
	check_eq(told(cookies, 3 * NR), 0);
	end();
}

/* What is no start of an object changes nothing of the one that it is in. */
static void *miss_all(void *arg)
{
	/* volatile: the compiler knows that these are wrong. */
	static const volatile unsigned int misses[] = { 4, 1, 8, 16 };
	unsigned int i, j;

	(void)arg;
	for (i = 0; i < NR; i++) {
		for (j = 0; j < ARRAY_SIZE(misses); j++) {
			check_eq(karena_free(heap, (char *)strong[i] + misses[j]), -1);
			check_eq(errno, EINVAL);
			check_eq(karena_cleanup_del(heap, (char *)strong[i] + misses[j], i), -1);
			check_eq(errno, ENOENT);
			check(!karena_weak_new(heap, (char *)strong[i] + misses[j]));
			check_eq(errno, ENOENT);
		}
		check_eq(karena_free(heap, (char *)weak[i] + misses[0]), -1);
	}
	return NULL;
}

/* Frees each third one, and takes their places with others. */
static void *free_some(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < NR; i += 3) {
		check_eq(karena_free(heap, strong[i]), 0);
		strong[i] = NULL;
	}
	for (i = 0; i < 4 * NR; i++)
		check(new_node(i + 3 * NR));
	return NULL;
}

static void freed_by_hand(void)
{
	__u64 cookies[NR];
	unsigned int i, n;

	if (!begin())
		return;
	run_thread(make_all, heap);
	run_thread(miss_all, NULL);
	check_eq(told(cookies, NR), 0);
	check_eq(gc_stats().weak, NR);
	run_thread(look_at_all, NULL);
	run_thread(free_some, NULL);
	run_thread(look_at_all, NULL);
	n = told(cookies, NR);
	check_eq(n, (NR + 2) / 3);
	for (i = 0; i < n; i++)
		check_eq(cookies[i], 3 * i);
	/* Weak references that are, too; what they led to stays. */
	for (i = 1; i < NR; i += 3) {
		check_eq(karena_free(heap, weak[i]), 0);
		weak[i] = NULL;
	}
	check_eq(gc_stats().weak, NR - (NR + 2) / 3 - (NR + 1) / 3);
	check_eq(karena_gc(heap), 0);
	for (i = 1; i < NR; i += 3)
		check(is_pair(strong[i], i));
	end();
}

/* By the kernel, which packs such objects; those from a magazine are not. */
static void *new_packed(void)
{
	void *object = NULL;
	struct karena_alloc args = {
		.size = sizeof(args), .flags = KARENA_ALLOC_NOSCAN, .object_size = 8, .count = 1,
		.addrs = (uintptr_t)&object,
	};

	check(!ioctl(karena_fd(heap), KARENA_IOC_ALLOC, &args));
	return object;
}

static int tie(void *cell, void *object)
{
	struct karena_weak_cell args = {
		.size = sizeof(args), .cell = (uintptr_t)cell, .object = (uintptr_t)object,
	};

	return ioctl(karena_fd(heap), KARENA_IOC_WEAK, &args) ? -errno : 0;
}

static void *try_wrong_cells(void *arg)
{
	struct node *node = new_node(1);
	void *cell = karena_alloc_flags(heap, 16, KARENA_ALLOC_NOSCAN);

	(void)arg;
	check_ret(tie(node, new_node(2)), -EINVAL);
	check_ret(tie(cell, cell), -EINVAL);
	check_ret(tie((char *)cell + 8, node), -ENOENT);
	check_ret(tie(new_packed(), node), -EINVAL);
	check_eq(gc_stats().weak, 0);
	check_ret(tie(cell, node), 0);
	check_ret(tie(cell, node), -EEXIST);
	check_ret(tie(cell, new_node(3)), -EEXIST);
	check_eq(gc_stats().weak, 1);
	/* Once freed it is none, and may be one again. */
	check_eq(karena_free(heap, cell), 0);
	check_eq(gc_stats().weak, 0);
	return NULL;
}

static void *try_wrong_ones(void *arg)
{
	struct karena_event event;
	struct node *node = new_node(1);
	void *packed = new_packed(), *second = new_packed();

	(void)arg;
	check(!karena_weak_new(heap, &node->ref[0]));
	check_eq(errno, ENOENT);
	check(!karena_weak_new(heap, NULL));
	check_eq(errno, ENOENT);
	check(!karena_weak_new(heap, &heap));
	check_eq(errno, ENOENT);
	check(!karena_weak_new(heap, packed));
	check_eq(errno, EINVAL);
	check_eq(karena_cleanup_add(heap, packed, 1), -1);
	check_eq(errno, EINVAL);
	check_eq(karena_cleanup_add(heap, second, 1), -1);
	check_eq(errno, EINVAL);
	check_eq(karena_cleanup_add(heap, (char *)node + 8, 1), -1);
	check_eq(errno, ENOENT);
	check_eq(karena_cleanup_read(heap, &event, 0), -1);
	check_eq(errno, EINVAL);
	check_eq(gc_stats().weak, 0);
	return NULL;
}

static void what_cannot_be_is_refused(void)
{
	struct karena_options opts = { .window = 16 * MIB };
	struct karena_event event;
	struct karena *plain;
	void *object;

	if (!begin())
		return;
	run_thread(try_wrong_ones, NULL);
	run_thread(try_wrong_cells, NULL);
	end();
	plain = karena_open(&opts);
	if (!check(plain))
		return;
	object = karena_alloc(plain, 64);
	check(!karena_weak_new(plain, object));
	check_eq(errno, EINVAL);
	check_eq(karena_cleanup_add(plain, object, 1), -1);
	check_eq(errno, EINVAL);
	check_eq(karena_cleanup_read(plain, &event, 1), -1);
	check_eq(errno, EINVAL);
	karena_close(plain);
}

static void who_may_only_read(void)
{
	struct karena_share req = { .size = sizeof(req), .flags = KARENA_SHARE_RDONLY };
	struct karena_event event;
	ssize_t n;

	if (!begin())
		return;
	run_thread(make_all, heap);
	strong[0] = NULL;
	check_eq(karena_gc(heap), 0);
	if (check_eq(ioctl(karena_fd(heap), KARENA_IOC_SHARE, &req), 0)) {
		n = read(req.fd, &event, sizeof(event));
		check(n < 0 && errno == EBADF);
		check_eq(gc_stats().cleanups_due, 1);
		close(req.fd);
	}
	end();
}

static bool is_readable(void)
{
	struct pollfd pollfd = { .fd = karena_fd(heap), .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1 && pollfd.revents == POLLIN;
}

/* Waits by read(2), from before there is anything. */
static void *wait_for_one(void *arg)
{
	long *got = arg;
	struct karena_event events[4];

	*got = karena_cleanup_read(heap, events, 4);
	return NULL;
}

static void events_can_be_waited_for(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	pthread_t thread;
	__u64 cookie;
	long got = 0;

	if (!begin())
		return;
	check(!epoll_ctl(epoll, EPOLL_CTL_ADD, karena_fd(heap), &event));
	run_thread(make_all, heap);
	check(!is_readable());
	check_eq(epoll_wait(epoll, &event, 1, 0), 0);
	strong[1] = NULL;
	check_eq(karena_gc(heap), 0);
	check_eq(epoll_wait(epoll, &event, 1, -1), 1);
	check_eq(event.events, EPOLLIN);
	check(is_readable());
	check_eq(told(&cookie, 1), 1);
	check_eq(cookie, 1);
	check(!is_readable());
	check(!fcntl(karena_fd(heap), F_SETFL, 0));
	check_eq(pthread_create(&thread, NULL, wait_for_one, &got), 0);
	strong[2] = NULL;
	check_eq(karena_gc(heap), 0);
	pthread_join(thread, NULL);
	check_eq(got, 1);
	close(epoll);
	end();
}

/* --- against a model --- */

#define MODEL 60u

static struct node *root[MODEL];
static struct model {
	bool made;
	bool watched;			/* has a cleanup */
	int ref[2];			/* number of another, or -1 */
	bool rooted;
	bool gone;
	bool told;
} model[MODEL];

static void reach(unsigned int i, bool *reached)
{
	unsigned int j;

	if (reached[i])
		return;
	reached[i] = true;
	for (j = 0; j < 2; j++)
		if (model[i].ref[j] >= 0)
			reach(model[i].ref[j], reached);
}

static void all_reached(bool *reached)
{
	unsigned int i;

	memset(reached, 0, MODEL * sizeof(*reached));
	for (i = 0; i < MODEL; i++)
		if (model[i].rooted)
			reach(i, reached);
}

static void make_one(struct rng *rng, unsigned int i)
{
	struct node *node = new_node(i);

	if (!check(node))
		return;
	root[i] = node;
	model[i] = (struct model){
		.made = true, .ref = { -1, -1 }, .rooted = true, .watched = rng_below(rng, 2),
	};
	weak[i] = karena_weak_new(heap, node);
	check(weak[i]);
	if (model[i].watched)
		check_eq(karena_cleanup_add(heap, node, i), 0);
}

/* One of what can be reached gets a reference to another, or loses one. */
static void change_ref(struct rng *rng, const bool *reached)
{
	unsigned int from = rng_below(rng, MODEL), to = rng_below(rng, MODEL);
	unsigned int slot = rng_below(rng, 2);
	struct node *node, *other = NULL;

	if (!reached[from])
		return;
	node = karena_weak_get(heap, weak[from]);
	if (!check(is_node(node, from)))
		return;
	if (reached[to] && rng_below(rng, 3))
		other = karena_weak_get(heap, weak[to]);
	node->ref[slot] = other;
	model[from].ref[slot] = other ? (int)to : -1;
}

/* What can be reached gets a root, by its weak reference, or loses it. */
static void change_root(struct rng *rng, const bool *reached)
{
	unsigned int i = rng_below(rng, MODEL);

	if (!reached[i])
		return;
	model[i].rooted = !rng_below(rng, 3);
	root[i] = model[i].rooted ? karena_weak_get(heap, weak[i]) : NULL;
	if (model[i].rooted)
		check(is_node(root[i], i));
}

static void *change_model(void *arg)
{
	bool reached[MODEL];
	unsigned int i;

	for (i = 0; i < 40; i++) {
		all_reached(reached);
		switch (rng_below(arg, 4)) {
		case 0:
			change_root(arg, reached);
			break;
		default:
			change_ref(arg, reached);
			break;
		}
	}
	/* What is gone, and has been told to be, may come anew. */
	for (i = 0; i < MODEL; i++)
		if (!model[i].made || (model[i].gone && rng_below(arg, 3) == 0))
			make_one(arg, i);
	return NULL;
}

static void *compare_model(void *arg)
{
	bool reached[MODEL];
	unsigned int i;
	struct node *node;

	(void)arg;
	all_reached(reached);
	for (i = 0; i < MODEL; i++) {
		node = karena_weak_get(heap, weak[i]);
		if (reached[i])
			check(is_node(node, i));
		else
			check(!node);
	}
	return NULL;
}

/* Each that is gone since the last time and has a cleanup is told, and no other. */
static void compare_told(void)
{
	bool reached[MODEL];
	__u64 cookies[MODEL + 1];
	unsigned int i, n = told(cookies, MODEL + 1);

	all_reached(reached);
	for (i = 0; i < n; i++)
		if (check(cookies[i] < MODEL))
			check(!model[cookies[i]].told), model[cookies[i]].told = true;
	for (i = 0; i < MODEL; i++) {
		if (!reached[i])
			model[i].gone = true;
		check_eq(model[i].told, model[i].gone && model[i].watched);
	}
}

static void against_a_model(void)
{
	unsigned int i, n = tap_count(60, 2000);
	struct rng rng;

	if (!begin())
		return;
	memset(model, 0, sizeof(model));
	memset(root, 0, sizeof(root));
	rng_init(&rng, 1);
	for (i = 0; i < n && !tap_failed(); i++) {
		run_thread(change_model, &rng);
		check_eq(karena_gc(heap), 0);
		run_thread(compare_model, NULL);
		compare_told();
	}
	memset(root, 0, sizeof(root));
	end();
}

/* --- races --- */

/* Some are asked for all the time, and most not while a cycle marks: see ask(). */
#define SHARED 65536u

/* In the heap, and known to all processes of a case. */
static struct karena_weak **table;

struct race {
	__u32 rounds;
	__u32 wrong;
	__u32 gone;			/* weak references that were seen to be */
	__u32 over;
	uintptr_t dead[SHARED];		/* which, last: ~address */
};

static struct race *race;

static void wrong(const char *what)
{
	if (!__atomic_fetch_add(&race->wrong, 1, __ATOMIC_RELAXED))
		tap_diag("%s", what);
}

/* A new pair at a place of the table, which has it weakly; here it is held a while. */
static struct node *put_pair(unsigned int slot)
{
	struct node *node = make_pair(slot);
	struct karena_weak *cell = node ? karena_weak_new(heap, node) : NULL;

	if (!cell)
		return NULL;
	__atomic_store_n(&race->dead[slot], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&table[slot], cell, __ATOMIC_RELEASE);
	return node;
}

/*
 * Takes what memory is free, so that nothing that was freed too early stays as it was; now
 * and then, as a cycle has to deal with all of it.
 */
static void fill_up(struct rng *rng)
{
	unsigned int i;

	for (i = rng_below(rng, 32) ? 0 : 20; i; i--)
		new_node(~0UL);
}

static void ask_for(struct rng *rng, unsigned int slot, struct node **kept)
{
	uintptr_t dead = __atomic_load_n(&race->dead[slot], __ATOMIC_ACQUIRE);
	struct karena_weak *cell = __atomic_load_n(&table[slot], __ATOMIC_ACQUIRE);
	struct node *node = cell ? karena_weak_get(heap, cell) : NULL;

	if (!node) {
		if (cell) {
			__atomic_store_n(&race->dead[slot], ~(uintptr_t)cell, __ATOMIC_RELEASE);
			__atomic_fetch_add(&race->gone, 1, __ATOMIC_RELAXED);
		}
		/* The cell lives until here: no other one has its address. */
		__asm__ volatile("" : : "r"(cell));
		node = put_pair(slot);
	} else if (dead == ~(uintptr_t)cell) {
		wrong("what was gone is back");
	}
	if (!node)
		return;
	fill_up(rng);
	if (!is_pair(node, slot))
		wrong("the object is not what it was");
	*kept = node;
}

/* One of those that race: asks, keeps some of what it got, and lets go of it. */
static void *ask(void *arg)
{
	struct node *kept[8] = { NULL };
	unsigned int i, slot;
	struct rng rng;

	rng_init(&rng, (uintptr_t)arg);
	while (!__atomic_load_n(&race->over, __ATOMIC_ACQUIRE) && !race->wrong) {
		slot = rng_below(&rng, 64u << rng_below(&rng, 11));
		ask_for(&rng, slot, &kept[rng_below(&rng, 8)]);
		i = rng_below(&rng, 8);
		if (kept[i] && !is_pair(kept[i], kept[i]->number))
			wrong("what was kept is not what it was");
		kept[rng_below(&rng, 8)] = NULL;
		__atomic_fetch_add(&race->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void two_threads(void *arg)
{
	pthread_t thread;

	if (check_eq(pthread_create(&thread, NULL, ask, (char *)arg + 1), 0)) {
		ask(arg);
		pthread_join(thread, NULL);
	}
}

static void *make_table(void *arg)
{
	(void)arg;
	table = karena_alloc(heap, SHARED * sizeof(*table));
	check(table);
	return NULL;
}

static void asked_for_while_it_dies(void)
{
	unsigned int i, n = tap_count(60, 3000);
	pid_t pid[2];

	race = shared_memory(sizeof(*race));
	if (!race || !begin())
		return;
	run_thread(make_table, NULL);
	for (i = 0; i < 2; i++)
		pid[i] = tap_fork(two_threads, (void *)(10UL * (i + 1)));
	for (i = 0; i < n && !race->wrong; i++)
		check_eq(karena_gc(heap), 0);
	__atomic_store_n(&race->over, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++)
		tap_join(pid[i]);
	check_eq(race->wrong, 0);
	check(race->gone);
	tap_diag("%u questions, %u that came too late, %u cycles", race->rounds, race->gone, n);
	table = NULL;
	end();
}

/* --- kills --- */

#define LOG (1u << 20)	/* a kill comes after some dozens of events, or hundreds */

/* Where readers put what they are told; behind the last one all is 0. */
static struct karena_event *told_log;
static __u32 *steps;

static void read_to_log(void *arg)
{
	unsigned int n = 0;

	(void)arg;
	while (n < LOG && told_log[n].type)
		n++;
	while (n < LOG && karena_cleanup_read(heap, &told_log[n], 1) == 1) {
		n++;
		__atomic_fetch_add(steps, 1, __ATOMIC_RELEASE);
	}
}

static void *make_watched(void *arg)
{
	__u64 *cookie = arg, end = *cookie + 1000;
	struct node *node;

	for (; *cookie < end; ++*cookie) {
		node = new_node(*cookie);
		if (!check(node) || !check_eq(karena_cleanup_add(heap, node, *cookie), 0))
			break;
	}
	return NULL;
}

static void readers_are_killed(void)
{
	unsigned int kills, i, n = tap_count(60, 1000);
	static unsigned char times[LOG];
	__u64 made = 0;
	struct rng rng;
	__u32 before;
	pid_t pid;

	told_log = shared_memory(LOG * sizeof(*told_log));
	steps = shared_memory(sizeof(*steps));
	if (!told_log || !steps || !begin())
		return;
	rng_init(&rng, 2);
	for (kills = 0; kills < n && !tap_failed(); kills++) {
		if (gc_stats().cleanups_due < 500) {
			run_thread(make_watched, &made);
			check_eq(karena_gc(heap), 0);
		}
		/* It may be at the end before we see it begin, and wait for more. */
		before = __atomic_load_n(steps, __ATOMIC_RELAXED);
		pid = tap_fork(read_to_log, NULL);
		wait_for_steps_from(steps, before, pid, 1 + rng_below(&rng, 60));
		spin_at_random(&rng, 20000);
		kill(pid, SIGKILL);
		reap_killed(pid);
	}
	for (i = 0; i < LOG && told_log[i].type; i++)
		if (check(told_log[i].cookie < made))
			times[told_log[i].cookie]++;
	n = gc_stats().cleanups_due;
	check_eq(i + n, made);
	/* The rest, if readers have left any. */
	if (n)
		check_eq(karena_cleanup_read(heap, &told_log[i], n), n);
	for (; i < LOG && told_log[i].type; i++)
		times[told_log[i].cookie]++;
	for (i = 0; i < made; i++)
		check_eq(times[i], 1);
	end();
}

/* --- clones --- */

static void *look_at_clone(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < NR; i++)
		check(is_pair(karena_weak_get(heap, weak[i]), i));
	return NULL;
}

/* In a child: what was the heap is the clone from here on. */
static void use_clone(void *arg)
{
	int fd = *(int *)arg;
	unsigned int i;

	karena_close(heap);
	heap = karena_attach(fd);
	if (!check(heap))
		return;
	check_eq(gc_stats().weak, NR);
	check_eq(gc_stats().cleanups, 0);
	run_thread(look_at_clone, NULL);
	for (i = 0; i < NR; i += 2)
		strong[i] = NULL;
	check_eq(karena_gc(heap), 0);
	run_thread(look_at_all, NULL);
	karena_close(heap);
}

static void clones_have_weak_references(void)
{
	int fd;

	if (!begin())
		return;
	run_thread(make_all, heap);
	fd = karena_clone(heap);
	if (check(fd >= 0)) {
		tap_isolate(use_clone, &fd);
		close(fd);
	}
	check_eq(karena_gc(heap), 0);
	run_thread(look_at_all, NULL);
	check_eq(gc_stats().cleanups, NR);
	end();
}

int main(void)
{
	static const struct tap_case cases[] = {
		{ "a weak reference leads to what is there", weak_until_it_is_gone },
		{ "cleanups are told once, in order", cleanups_are_told_once },
		{ "objects that are freed by hand", freed_by_hand },
		{ "what cannot be is refused", what_cannot_be_is_refused },
		{ "who may only read takes nothing", who_may_only_read },
		{ "events can be waited for", events_can_be_waited_for },
		{ "against a model", against_a_model },
		{ "asked for while it dies", asked_for_while_it_dies },
		{ "readers are killed", readers_are_killed },
		{ "clones have weak references", clones_have_weak_references },
	};

	return tap_main(cases, ARRAY_SIZE(cases));
}
