// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel code in the heap of a program: karena_from_fd() and what is behind it, by way
 * of the sample consumer (tests/sample), whose guest builds a tree that is walked here
 * with plain pointers, changes a table while programs change it as well and cycles
 * run, and passes on any address that it is told.  A guest that stores without the
 * barrier shows that it would be noticed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define GUEST "/sys/kernel/debug/karena_sample/guest"
#define LINE 4096

/* As in tests/sample/guest.h. */
struct node {
	struct node *left;
	struct node *right;
	__u64 number;
	__u64 check;
	char name[32];
};

static __u64 check_of(__u64 number)
{
	return number * 0x9e3779b97f4a7c15ULL;
}

/* --- what a guest says --- */

static int guest_fd(void)
{
	int fd = open(GUEST, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		tap_skip("%s: %s", GUEST, strerror(errno));
	return fd;
}

/* The answer to a command, or -errno of the command; an "error N" is -N. */
static int __attribute__((format(printf, 3, 0)))
vask(int guest, char *answer, const char *fmt, va_list args)
{
	char command[LINE];
	int len = vsnprintf(command, sizeof(command), fmt, args), err;
	ssize_t n;

	answer[0] = '\0';
	if (write(guest, command, len) != len)
		return -errno;
	n = pread(guest, answer, LINE - 1, 0);
	if (n < 0)
		return -errno;
	answer[n] = '\0';
	return sscanf(answer, "error %d", &err) == 1 ? -err : 0;
}

/* 0 or -errno. */
static int __attribute__((format(printf, 2, 3))) tell(int guest, const char *fmt, ...)
{
	char answer[LINE];
	va_list args;
	int err;

	va_start(args, fmt);
	err = vask(guest, answer, fmt, args);
	va_end(args);
	return err;
}

/* A number, or -errno. */
static __s64 __attribute__((format(printf, 2, 3))) ask(int guest, const char *fmt, ...)
{
	char answer[LINE];
	va_list args;
	int err;

	va_start(args, fmt);
	err = vask(guest, answer, fmt, args);
	va_end(args);
	return err ? err : (__s64)strtoull(answer, NULL, 0);
}

/* --- a heap with a guest --- */

/* In memory that children share, and that is no root. */
struct world {
	struct heap heap;
	__u32 type;			/* of nodes */
	__u32 refs;			/* of an array of references */
	struct node *slot[8];		/* registered by setup() */
	__u64 hidden;
	__u64 over;
};

static __u32 register_type(int fd, __u32 size, const __u32 *refs, __u32 nr)
{
	struct karena_register req = {
		.size = sizeof(req), .object_size = size, .refs = as_addr(refs), .nr_refs = nr,
	};

	return check_ret(kioctl(fd, KARENA_IOC_REGISTER, &req), 0) ? req.id : 0;
}

static struct world *make_world(__u64 limit)
{
	static const __u32 refs[] = { 0, 8 };
	struct world *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!check(w != MAP_FAILED) || !heap_open_collected(&w->heap, WINDOW, limit))
		return NULL;
	w->type = register_type(w->heap.fd, sizeof(struct node), refs, 2);
	w->refs = register_type(w->heap.fd, 8, refs, 1);
	check_ret(heap_root(w->heap.fd, w->slot, sizeof(w->slot), 0), 0);
	return w;
}

static void end_world(struct world *w)
{
	heap_close(&w->heap);
	munmap(w, sizeof(*w));
}

/* A guest in the heap of the world; -1 if there can be none. */
static int enter(const struct world *w)
{
	int guest = guest_fd();

	if (guest >= 0)
		check_ret(tell(guest, "open %d %u", w->heap.fd, w->type), 0);
	return guest;
}

static void *new_object(const struct world *w, __u32 type, __u64 size)
{
	__u64 addr = 0;
	struct karena_alloc req = {
		.size = sizeof(req), .type = type, .object_size = size, .count = 1,
		.addrs = as_addr(&addr),
	};

	check_ret(kioctl(w->heap.fd, KARENA_IOC_ALLOC, &req), 0);
	return as_ptr(addr);
}

static __u64 live_objects(const struct world *w)
{
	struct karena_heap_info info;

	return check_ret(heap_info(w->heap.fd, 0, 0, &info), 0) ? info.live_objects : 0;
}

static void collect(const struct world *w)
{
	check_ret(heap_collect(w->heap.fd), 0);
}

static void set_check(const struct world *w)
{
	struct karena_gc_control control = { .size = sizeof(control) };

	check_ret(kioctl(w->heap.fd, KARENA_IOC_GC_CONTROL, &control), 0);
	control.flags = KARENA_GC_SET;
	control.check = 1;
	check_ret(kioctl(w->heap.fd, KARENA_IOC_GC_CONTROL, &control), 0);
}

/* --- descriptors --- */

static void refused(int guest, int fd, int err)
{
	check_ret(tell(guest, "open %d 1", fd), err);
	check_ret(tell(guest, "root"), -EINVAL);
}

static void descriptors(void)
{
	int guest = guest_fd(), null = open("/dev/null", O_RDWR), bare = dev_open(O_RDWR), fd;
	struct karena_setup setup = {
		.size = sizeof(setup), .flags = KARENA_SETUP_COLLECT, .window = WINDOW,
	};
	struct heap plain;
	struct world *w;

	if (guest < 0)
		return;
	w = make_world(0);
	if (!w || !heap_open(&plain, WINDOW, 0))
		return;
	refused(guest, -1, -EBADF);
	refused(guest, 1000, -EBADF);
	refused(guest, null, -EINVAL);
	refused(guest, guest, -EINVAL);
	refused(guest, bare, -ENXIO);
	refused(guest, plain.fd, -EOPNOTSUPP);
	fd = heap_share(w->heap.fd, KARENA_SHARE_RDONLY);
	refused(guest, fd, -EBADF);
	close(fd);
	fd = dev_open(O_WRONLY);
	check_ret(kioctl(fd, KARENA_IOC_SETUP, &setup), 0);
	refused(guest, fd, -EBADF);
	close(fd);
	check_ret(tell(guest, "open %d 0", w->heap.fd), -EINVAL);
	check_ret(tell(guest, "open %d 3", w->heap.fd), -EINVAL);
	check_ret(tell(guest, "open %d 1000000", w->heap.fd), -EINVAL);
	check_ret(tell(guest, "open %d %u", w->heap.fd, w->type), 0);
	check_ret(ask(guest, "root"), 0);
	heap_close(&plain);
	close(null);
	close(bare);
	close(guest);
	end_world(w);
}

/* --- a tree --- */

struct walk {
	__u64 last;			/* number */
	unsigned int nodes;
	bool own;			/* the own process was there, by its name */
};

static void walk(const struct node *node, struct walk *so_far)
{
	if (!node || tap_failed())
		return;
	walk(node->left, so_far);
	check(node->number > so_far->last);
	check_eq(node->check, check_of(node->number));
	so_far->last = node->number;
	so_far->nodes++;
	if (node->number == (__u64)getpid())
		so_far->own = !strcmp(node->name, "t_fromfd");
	walk(node->right, so_far);
}

static void tree_of_processes(void)
{
	struct walk before = { 0 }, after = { 0 };
	struct world *w;
	int guest;
	__s64 n;

	w = make_world(0);
	if (!w)
		return;
	guest = enter(w);
	if (guest < 0)
		return;
	prctl(PR_SET_NAME, "t_fromfd");
	n = ask(guest, "tasks");
	check(n > 1);
	check_eq(live_objects(w), n);
	walk(as_ptr(ask(guest, "root")), &before);
	check_eq(before.nodes, n);
	check(before.own);
	/* The guest has it pinned; then only this program has it. */
	collect(w);
	check_eq(live_objects(w), n);
	check_ret(tell(guest, "add %d again", getpid()), -EEXIST);
	check_ret(tell(guest, "add 10000000 last"), 0);
	w->slot[0] = as_ptr(ask(guest, "root"));
	check_ret(tell(guest, "forget"), 0);
	close(guest);
	collect(w);
	walk(w->slot[0], &after);
	check_eq(after.nodes, n + 1);
	check_eq(after.last, 10000000);
	end_world(w);
}

static void forgotten_tree_goes(void)
{
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	unsigned int i;

	if (guest < 0)
		return;
	for (i = 0; i < 500; i++)
		check_ret(tell(guest, "add %u name%u", i * 7919 % 1000, i), 0);
	collect(w);
	check_eq(live_objects(w), 500);
	check_ret(tell(guest, "forget"), 0);
	collect(w);
	check_eq(live_objects(w), 0);
	check_ret(ask(guest, "root"), 0);
	close(guest);
	end_world(w);
}

/* Trees one after the other, of which the heap has room for one. */
static void limit(void)
{
	struct world *w = make_world(512 * KIB);
	int guest = w ? enter(w) : -1, err = 0;
	unsigned int i, j;

	if (guest < 0)
		return;
	for (j = 0; j < 4; j++) {
		for (i = 0; i < 4000 && !tap_failed(); i++)
			check_ret(tell(guest, "add %u n", i * 7919 % 4001), 0);
		check_ret(tell(guest, "forget"), 0);
	}
	for (i = 0; i < 100000 && !err; i++)
		err = tell(guest, "add %u n", i * 7919 % 100003);
	check_ret(err, -ENOMEM);
	check(i > 4000);
	check_ret(tell(guest, "forget"), 0);
	check_ret(tell(guest, "add 1 n"), 0);
	close(guest);
	end_world(w);
}

/* --- addresses --- */

/* Each call is refused. */
static void no_address(int guest, __u64 addr)
{
	check_ret(ask(guest, "size %#llx", addr), 0);
	check_ret(tell(guest, "load %#llx", addr), addr % 8 ? -EINVAL : -EFAULT);
	check_ret(tell(guest, "store %#llx 0", addr), addr % 8 ? -EINVAL : -EFAULT);
	check_ret(tell(guest, "read %#llx 8", addr), -EFAULT);
	check_ret(tell(guest, "read %#llx 1", addr), -EFAULT);
	check_ret(tell(guest, "write %#llx 8 1", addr), -EFAULT);
	check_ret(tell(guest, "pin %#llx", addr), -EINVAL);
	check_ret(tell(guest, "unpin %#llx", addr), -ENOENT);
}

static void addresses_that_are_none(void)
{
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	struct rng rng;
	__u64 object, large, end;
	unsigned int i;

	if (guest < 0)
		return;
	rng_init(&rng, 1);
	end = w->heap.base + w->heap.window;
	object = heap_new(w->heap.fd, 64, 0);
	large = heap_new(w->heap.fd, 100000, 0);
	no_address(guest, 0);
	no_address(guest, 8);
	no_address(guest, ~7ULL);
	no_address(guest, ~0ULL);
	no_address(guest, as_addr(&object));
	no_address(guest, 0xffff888000100000ULL);
	no_address(guest, w->heap.base);
	no_address(guest, w->heap.base - 8);
	no_address(guest, end);
	no_address(guest, end - 8);
	for (i = 0; i < 200 && !tap_failed(); i++)
		no_address(guest, end + rng_next(&rng) % (-end - w->heap.window));
	check_ret(heap_drop(w->heap.fd, object), 0);
	check_ret(heap_drop(w->heap.fd, large), 0);
	no_address(guest, object);
	no_address(guest, object + 8);
	no_address(guest, large);
	no_address(guest, large + 99992);
	close(guest);
	end_world(w);
}

/* An object of @size bytes, of which the program sees what the guest does. */
static void try_object(struct world *w, int guest, __u64 size)
{
	unsigned char *object = as_ptr(heap_new(w->heap.fd, size, 0));
	__u64 addr = as_addr(object), usable = heap_usable(w->heap.fd, addr), i, sum;

	if (!check(object))
		return;
	w->slot[1] = (void *)object;
	check_eq(ask(guest, "size %#llx", addr), usable);
	check_eq(ask(guest, "size %#llx", addr + 8), 0);
	check_ret(tell(guest, "pin %#llx", addr + 8), -EINVAL);
	memset(object, 3, usable);
	for (i = 0; i + 1000 <= usable; i += 1000)
		check_eq(ask(guest, "read %#llx 1000", addr + i), 3000);
	check_ret(tell(guest, "write %#llx 5 7", addr + usable - 5), 0);
	check_ret(tell(guest, "write %#llx 5 7", addr + usable - 4), -EFAULT);
	check_ret(tell(guest, "read %#llx 5", addr + usable - 4), -EFAULT);
	check_ret(tell(guest, "read %#llx 0", addr + usable - 1), 0);
	for (i = 0, sum = 0; i < usable; i++)
		sum += object[i];
	check_eq(sum, 3 * usable + 5 * 4);
	/* Over the end of a machine page, and of a page. */
	for (i = 4096; i + 4096 <= usable; i += 4096) {
		check_ret(tell(guest, "write %#llx 1000 9", addr + i - 500), 0);
		check(object[i - 501] == 3 && object[i - 500] == 9 && object[i + 499] == 9);
		check(object[i + 500] == 3);
		check_eq(ask(guest, "read %#llx 1000", addr + i - 500), 9000);
	}
	check_ret(tell(guest, "store %#llx %#llx", addr + usable - 8, addr), 0);
	check_eq(*(__u64 *)(object + usable - 8), addr);
	check_eq(ask(guest, "load %#llx", addr + usable - 8), addr);
	check_ret(tell(guest, "load %#llx", addr + 4), -EINVAL);
	check_ret(tell(guest, "store %#llx 0", addr + 4), -EINVAL);
	w->slot[1] = NULL;
}

static void addresses_of_objects(void)
{
	static const __u64 sizes[] = {
		8, 24, 64, 112, 1024, 3072, 5000, 9472, 20000, 32768, 40000, 100000, 1000000,
	};
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	unsigned int i;

	if (guest < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(sizes) && !tap_failed(); i++)
		try_object(w, guest, sizes[i]);
	close(guest);
	end_world(w);
}

/* Words that a guest is to take for references. */
static void forged_references(void)
{
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	struct node *node, *other;
	unsigned int i;
	struct rng rng;

	if (guest < 0)
		return;
	rng_init(&rng, 2);
	node = new_object(w, w->type, sizeof(*node));
	other = new_object(w, w->type, sizeof(*other));
	node->left = (void *)((char *)other + 9);
	check_eq(ask(guest, "load %p", (void *)node), as_addr(other) + 9);
	check_ret(heap_drop(w->heap.fd, as_addr(other)), 0);
	check_ret(tell(guest, "load %p", (void *)node), -EFAULT);
	for (i = 0; i < 1000 && !tap_failed(); i++) {
		node->left = as_ptr(rng_next(&rng) >> rng_below(&rng, 64));
		if (as_addr(node->left) - w->heap.base < w->heap.window)
			continue;
		check_ret(tell(guest, "load %p", (void *)node), node->left ? -EFAULT : 0);
	}
	collect(w);
	close(guest);
	end_world(w);
}

/* A tree that is none any more. */
static void spoiled_trees(void)
{
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	struct node *root;

	if (guest < 0)
		return;
	check_ret(tell(guest, "add 100 root"), 0);
	root = as_ptr(ask(guest, "root"));
	root->left = root;
	root->number = 100;
	check_ret(tell(guest, "add 7 ring"), -ELOOP);
	root->left = (void *)w;
	check_ret(tell(guest, "add 7 outside"), -EFAULT);
	root->left = (void *)&root->check;
	check_ret(tell(guest, "add 7 inside"), -EFAULT);
	root->left = NULL;
	check_ret(tell(guest, "add 7 whole"), 0);
	check_eq(root->left->number, 7);
	check_ret(heap_drop(w->heap.fd, as_addr(root)), 0);
	check_ret(tell(guest, "add 8 freed"), -EFAULT);
	check_ret(tell(guest, "forget"), 0);
	check_ret(tell(guest, "add 8 anew"), 0);
	close(guest);
	end_world(w);
}

/* --- how long things live --- */

/* A node that is nowhere but in a number that is not its address. */
static void leave_node(void *arg)
{
	struct world *w = arg;

	w->hidden = ~as_addr(new_object(w, w->type, sizeof(struct node)));
}

struct pin {
	struct world *w;
	int guest;
	const char *verb;
	int result;			/* of the call */
};

/* In a child, so that its address is not on the stack of who goes on. */
static void pin_node(void *arg)
{
	struct pin *pin = arg;

	check_ret(tell(pin->guest, "%s %#llx", pin->verb, ~pin->w->hidden), pin->result);
}

static void pinned_objects_stay(void)
{
	struct world *w = make_world(0);
	struct pin pin = { w, w ? enter(w) : -1, "pin", 0 };

	if (pin.guest < 0)
		return;
	tap_isolate(leave_node, w);
	tap_isolate(pin_node, &pin);
	tap_isolate(pin_node, &pin);
	collect(w);
	check_eq(live_objects(w), 1);
	pin.verb = "unpin";
	tap_isolate(pin_node, &pin);
	collect(w);
	check_eq(live_objects(w), 1);
	tap_isolate(pin_node, &pin);
	pin.result = -ENOENT;
	tap_isolate(pin_node, &pin);
	collect(w);
	check_eq(live_objects(w), 0);
	close(pin.guest);
	end_world(w);
}

static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? -errno : 0;
}

/* All descriptors and mappings of the heap go, and the guest goes on. */
static void heap_outlives_program(void)
{
	struct karena_info before, info;
	struct world *w;
	unsigned int i;
	int guest;

	user_numbers(&before);
	w = make_world(0);
	guest = w ? enter(w) : -1;
	if (guest < 0)
		return;
	check_ret(tell(guest, "add 500 root"), 0);
	end_world(w);
	user_numbers(&info);
	check_eq(info.user_heaps, before.user_heaps + 1);
	check(info.user_bytes > before.user_bytes);
	for (i = 0; i < 400 && !tap_failed(); i++)
		check_ret(tell(guest, "add %u name", i), 0);
	check_ret(tell(guest, "add 399 name"), -EEXIST);
	check_ret(unload("karena_sample"), -EWOULDBLOCK);
	check_ret(unload("karena"), -EWOULDBLOCK);
	check_ret(tell(guest, "add 400 name"), 0);
	close(guest);
	user_back_to(&before);
}

static void fill_for_ever(void *arg)
{
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	int *ready = arg;
	unsigned int i;
	char c = 0;

	if (guest < 0)
		return;
	check_eq(write(ready[1], &c, 1), 1);
	for (i = 0; !tap_failed(); i++) {
		check_ret(tell(guest, "add %u name", i * 7919 % 100003), 0);
		if (i % 512 == 511)
			check_ret(tell(guest, "forget"), 0);
		if (i % 1024 == 1000)
			collect(w);
	}
}

static void killed_while_filling(void)
{
	unsigned int i, kills = tap_count(30, 1000);
	struct karena_info before;
	int ready[2], guest = guest_fd(), status;
	struct timespec pause = { 0 };
	struct rng rng;
	pid_t pid;
	char c;

	if (guest < 0 || !check(!pipe(ready)))
		return;
	close(guest);
	rng_init(&rng, 3);
	user_numbers(&before);
	for (i = 0; i < kills && !tap_failed(); i++) {
		pid = tap_fork(fill_for_ever, ready);
		check_eq(read(ready[0], &c, 1), 1);
		pause.tv_nsec = rng_below(&rng, 20000000);
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		check_eq(waitpid(pid, &status, 0), pid);
		check(WIFSIGNALED(status));
	}
	user_back_to(&before);
	close(ready[0]);
	close(ready[1]);
}

/* --- all at once --- */

#define SLOTS 8192u		/* of the table */
#define PARTS 4u
#define PART (SLOTS / PARTS)
#define STEPS 200u		/* in one call: a stop waits until it is over */

/* Nodes with a node below each, numbered by place. */
static struct node **fill_table(struct world *w)
{
	struct node **table = new_object(w, w->refs, SLOTS * sizeof(*table)), *node;
	unsigned int i;

	w->slot[2] = (void *)table;
	for (i = 0; i < SLOTS && !tap_failed(); i++) {
		node = new_object(w, w->type, sizeof(*node));
		table[i] = node;
		node->number = i;
		node->check = check_of(i);
		node->left = new_object(w, w->type, sizeof(*node));
		node->left->number = SLOTS + i;
		node->left->check = check_of(SLOTS + i);
	}
	return table;
}

/* Whether each number is there once; what is no object any more counts as missing. */
static unsigned int count_missing(const struct world *w, struct node **table)
{
	static unsigned char seen[2 * SLOTS];
	unsigned int i, missing = 0;
	struct node *node, *below;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < SLOTS; i++) {
		node = table[i];
		if (heap_usable(w->heap.fd, as_addr(node)) <= 0 || node->number >= SLOTS)
			continue;
		seen[node->number] += node->check == check_of(node->number);
		below = node->left;
		if (heap_usable(w->heap.fd, as_addr(below)) <= 0 ||
		    below->number - SLOTS >= SLOTS)
			continue;
		seen[below->number] += below->check == check_of(below->number);
	}
	for (i = 0; i < 2 * SLOTS; i++)
		missing += seen[i] != 1;
	return missing;
}

struct mover {
	struct world *w;
	unsigned int part;
};

static bool goes_on(const struct mover *mover)
{
	return !__atomic_load_n(&mover->w->over, __ATOMIC_RELAXED) && !tap_failed();
}

static void guest_moves(void *arg)
{
	struct mover *mover = arg;
	struct node **table = (struct node **)mover->w->slot[2] + mover->part * PART;
	int guest = enter(mover->w);
	struct rng rng;

	rng_init(&rng, 10 + mover->part);
	while (goes_on(mover))
		check_ret(tell(guest, "move %p %u %u %u", (void *)table, PART, STEPS,
			       (unsigned int)rng_next(&rng)), 0);
	close(guest);
}

/* The same with plain stores. */
static void program_moves(void *arg)
{
	struct mover *mover = arg;
	struct node **table = (struct node **)mover->w->slot[2] + mover->part * PART;
	struct node **a, **b, *node;
	struct rng rng;

	rng_init(&rng, 10 + mover->part);
	while (goes_on(mover)) {
		a = &table[rng_below(&rng, PART)];
		b = &table[rng_below(&rng, PART)];
		node = *a;
		*a = *b;
		*b = node;
		node = (*a)->left;
		(*a)->left = (*b)->left;
		(*b)->left = node;
	}
}

static void both_change_a_table(void)
{
	unsigned int i, cycles = tap_count(20, 1000);
	struct world *w = make_world(0);
	struct mover mover[PARTS];
	struct karena_gc_info info;
	pid_t pid[PARTS];
	struct node **table;
	int guest = w ? enter(w) : -1;

	if (guest < 0)
		return;
	set_check(w);
	table = fill_table(w);
	check_eq(count_missing(w, table), 0);
	for (i = 0; i < PARTS; i++) {
		mover[i] = (struct mover){ w, i };
		pid[i] = tap_fork(i % 2 ? guest_moves : program_moves, &mover[i]);
	}
	for (i = 0; i < cycles && !tap_failed(); i++)
		collect(w);
	__atomic_store_n(&w->over, 1, __ATOMIC_RELAXED);
	for (i = 0; i < PARTS; i++)
		tap_join(pid[i]);
	check_eq(count_missing(w, table), 0);
	collect(w);
	collect(w);
	check_eq(count_missing(w, table), 0);
	check_eq(live_objects(w), 2 * SLOTS + 1);
	gc_info(w->heap.fd, &info);
	check_eq(info.lost, 0);
	check(info.cycles >= cycles);
	tap_diag("%llu cycles, %llu objects freed, %llu stops, %llu put off", info.cycles,
		 info.freed_objects, info.stops, info.put_off);
	close(guest);
	end_world(w);
}

/* The control: the same by a guest that stores without the barrier loses something. */
static void bare_stores_lose(void)
{
	unsigned int tries, missing = 0, most = tap_count(300, 3000);
	struct world *w = make_world(0);
	int guest = w ? enter(w) : -1;
	struct karena_gc_info info;
	struct node **table;
	__u64 cycle;

	if (guest < 0)
		return;
	table = fill_table(w);
	for (tries = 0; tries < most && !missing && !tap_failed(); tries++) {
		struct karena_collect req = { .size = sizeof(req) };

		gc_info(w->heap.fd, &info);
		cycle = info.cycles;
		check_ret(kioctl(w->heap.fd, KARENA_IOC_COLLECT, &req), 0);
		for (; info.cycles == cycle && !tap_failed(); gc_info(w->heap.fd, &info))
			check_ret(tell(guest, "bare %p %u 200 %u", (void *)table, SLOTS, tries), 0);
		missing = count_missing(w, table);
	}
	tap_diag("%u of %u objects lost after %u cycles", missing, 2 * SLOTS, tries);
	check(missing);
	close(guest);
	end_world(w);
}

/* A profile has names of the kernel's functions, and no addresses of them. */
static void sampled_objects(void)
{
	static __u64 records[64 * KIB / 8];
	struct karena_profile req = {
		.size = sizeof(req), .flags = KARENA_PROFILE_SET, .rate = 1,
		.records = as_addr(records), .length = sizeof(records),
	};
	const struct karena_profile_record *r = (const void *)records;
	const char *machine = getenv("KARENA_MACHINE"), *name;
	struct world *w;
	__u64 *word;
	int guest;

	/* User mode Linux without frame pointers knows of no callers. */
	if (machine && !strcmp(machine, "uml"))
		return tap_skip("no stack traces in this kernel");
	w = make_world(0);
	guest = w ? enter(w) : -1;
	if (guest < 0)
		return;
	check_ret(kioctl(w->heap.fd, KARENA_IOC_PROFILE, &req), 0);
	check_ret(tell(guest, "add 1 one"), 0);
	collect(w);
	req.flags = 0;
	req.length = sizeof(records);
	check_ret(kioctl(w->heap.fd, KARENA_IOC_PROFILE, &req), 0);
	check_eq(req.samples, 1);
	check_eq(r->size, req.length);
	check_eq(r->allocs, 1);
	check_eq(r->frees, 0);
	check(r->nr_functions > 2);
	name = (const char *)(r + 1) + r->nr_frames * sizeof(__u64);
	check(memmem(name, r->nr_functions * KARENA_FUNCTION_LEN, "guest", 5));
	check(memmem(name, r->nr_functions * KARENA_FUNCTION_LEN, "[karena_sample]", 15));
	for (word = records; (char *)word < (char *)records + req.length; word++)
		check(*word < 0xffff800000000000);
	close(guest);
	end_world(w);
}

static const struct tap_case cases[] = {
	{ "descriptors that are refused", descriptors },
	{ "a tree of processes that the program walks", tree_of_processes },
	{ "a tree that is forgotten goes", forgotten_tree_goes },
	{ "a heap at its limit", limit },
	{ "addresses that are none", addresses_that_are_none },
	{ "addresses of objects", addresses_of_objects },
	{ "forged references", forged_references },
	{ "trees that the program has spoiled", spoiled_trees },
	{ "pinned objects stay", pinned_objects_stay },
	{ "the heap outlives its program", heap_outlives_program },
	{ "killed while the kernel fills", killed_while_filling },
	{ "objects of the kernel in a profile", sampled_objects },
	{ "kernel and programs change one table in cycles", both_change_a_table },
	{ "control: stores without the barrier lose objects", bare_stores_lose },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
