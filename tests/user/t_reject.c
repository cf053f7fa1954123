// SPDX-License-Identifier: GPL-2.0
/*
 * Each refusal of the ioctls: one case takes a call that would be accepted,
 * spoils one thing of it, wants the exact errno and looks that nothing changed.
 * That the unspoilt call is accepted is a case of its own for each command.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "spoilt.h"
#include "tap.h"

#define PAGE 4096

/* One argument of any command, with room for a tail. */
union arg {
	__u32 size;
	struct karena_info info;
	struct karena_classes classes;
	struct karena_setup setup;
	struct karena_alloc alloc;
	struct karena_free free;
	struct karena_usable usable;
	struct karena_share share;
	struct karena_heap_info heap_info;
	struct karena_class_stats class_stats;
	struct karena_register reg;
	struct karena_collect collect;
	struct karena_step step;
	struct karena_root_range root;
	struct karena_gc_control gc_control;
	struct karena_gc_info gc_info;
	struct karena_shade shade;
	struct karena_refill refill;
	struct karena_fill fill;
	struct karena_flush flush;
	struct karena_release release;
	struct karena_clone clone;
	struct karena_grow grow;
	struct karena_weak_cell weak_cell;
	struct karena_cleanup_call cleanup_call;
	struct karena_reclaim reclaim;
	struct karena_memory memory;
	struct karena_explain explain;
	struct karena_profile profile;
	struct karena_calls stack;
	struct karena_list list;
	struct karena_dump dump;
	struct karena_check check;
	char bytes[1024];
};

/* What the commands are tried on. */
static struct {
	struct heap heap;
	/* opened, never set up */
	int fresh;
	/* a dump of the heap, for what is asked of such; else -1 */
	int dump;
	__u64 object;
	/* four readable and writable pages, one read-only, one not accessible */
	char *pages;
} bench;

static __u64 array(void)
{
	return as_addr(bench.pages);
}

static __u64 readonly_page(void)
{
	return as_addr(bench.pages) + 4 * PAGE;
}

static __u64 no_page(void)
{
	return as_addr(bench.pages) + 5 * PAGE;
}

static void valid_info(union arg *arg)
{
	arg->info.size = sizeof(arg->info);
}

static void valid_classes(union arg *arg)
{
	arg->classes.size = sizeof(arg->classes);
	arg->classes.count = KARENA_NR_CLASSES;
	arg->classes.classes = array();
}

static void valid_setup(union arg *arg)
{
	arg->setup.size = sizeof(arg->setup);
	arg->setup.window = WINDOW;
	strcpy(arg->setup.name, "reject");
}

static void valid_alloc(union arg *arg)
{
	arg->alloc.size = sizeof(arg->alloc);
	arg->alloc.object_size = 64;
	arg->alloc.count = 4;
	arg->alloc.addrs = array();
}

static void valid_free(union arg *arg)
{
	arg->free.size = sizeof(arg->free);
	arg->free.count = 1;
	arg->free.addrs = array();
	memcpy(bench.pages, &bench.object, 8);
}

static void valid_usable(union arg *arg)
{
	arg->usable.size = sizeof(arg->usable);
	arg->usable.addr = bench.object;
}

static void valid_share(union arg *arg)
{
	arg->share.size = sizeof(arg->share);
}

static void valid_heap_info(union arg *arg)
{
	arg->heap_info.size = sizeof(arg->heap_info);
}

static void valid_class_stats(union arg *arg)
{
	arg->class_stats.size = sizeof(arg->class_stats);
	arg->class_stats.count = 64;
	arg->class_stats.stats = array();
}

static void valid_register(union arg *arg)
{
	static const __u32 refs[] = { 0, 16 };

	arg->reg.size = sizeof(arg->reg);
	arg->reg.object_size = 48;
	arg->reg.refs = as_addr(refs);
	arg->reg.nr_refs = 2;
	strcpy(arg->reg.name, "reject");
}

static void valid_collect(union arg *arg)
{
	arg->collect.size = sizeof(arg->collect);
	arg->collect.flags = KARENA_COLLECT_WAIT;
}

static void valid_step(union arg *arg)
{
	arg->step.size = sizeof(arg->step);
	arg->step.ns = 1000;
}

static void valid_root(union arg *arg)
{
	arg->root.size = sizeof(arg->root);
	arg->root.start = array();
	arg->root.length = 64;
}

static void valid_gc_control(union arg *arg)
{
	arg->gc_control.size = sizeof(arg->gc_control);
	arg->gc_control.flags = KARENA_GC_SET;
	arg->gc_control.percent = 100;
	arg->gc_control.slice_us = 100;
	arg->gc_control.share = 25;
}

static void valid_gc_info(union arg *arg)
{
	arg->gc_info.size = sizeof(arg->gc_info);
}

static void valid_shade(union arg *arg)
{
	arg->shade.size = sizeof(arg->shade);
	arg->shade.addrs = array();
	arg->shade.count = 4;
}

static void valid_refill(union arg *arg)
{
	arg->refill.size = sizeof(arg->refill);
	arg->refill.type = 1;
	arg->refill.extents = array();
	arg->refill.count = 4;
	arg->refill.room = 4;
}

static void valid_fill(union arg *arg)
{
	arg->fill.size = sizeof(arg->fill);
	arg->fill.magazine = 5;
}

static void valid_flush(union arg *arg)
{
	arg->flush.size = sizeof(arg->flush);
	arg->flush.magazine = 5;
}

static void valid_release(union arg *arg)
{
	arg->release.size = sizeof(arg->release);
}

static void valid_clone(union arg *arg)
{
	arg->clone.size = sizeof(arg->clone);
}

static void valid_grow(union arg *arg)
{
	arg->grow.size = sizeof(arg->grow);
	arg->grow.length = WINDOW / 2;
}

static void valid_weak(union arg *arg)
{
	arg->weak_cell.size = sizeof(arg->weak_cell);
	arg->weak_cell.cell = heap_new(bench.heap.fd, 16, KARENA_ALLOC_NOSCAN);
	arg->weak_cell.object = bench.object;
}

static void valid_weak_get(union arg *arg)
{
	arg->weak_cell.size = sizeof(arg->weak_cell);
	arg->weak_cell.cell = bench.object;
}

static void valid_cleanup(union arg *arg)
{
	arg->cleanup_call.size = sizeof(arg->cleanup_call);
	arg->cleanup_call.object = bench.object;
}

static void valid_reclaim(union arg *arg)
{
	arg->reclaim.size = sizeof(arg->reclaim);
}

static void valid_memory(union arg *arg)
{
	arg->memory.size = sizeof(arg->memory);
	arg->memory.flags = KARENA_MEMORY_SET;
	arg->memory.policy = KARENA_OVER_WAIT;
	arg->memory.wait_ms = 1;
}

static void valid_explain(union arg *arg)
{
	arg->explain.size = sizeof(arg->explain);
	arg->explain.classes = array();
	arg->explain.count = 4;
}

/* With a rate that would be too high; the object is sampled. */
static void valid_profile(union arg *arg)
{
	arg->profile.size = sizeof(arg->profile);
	arg->profile.rate = (1ULL << 40) + 1;
	arg->profile.records = array();
	arg->profile.length = PAGE;
}

static void valid_stack(union arg *arg)
{
	arg->stack.size = sizeof(arg->stack);
	arg->stack.object = bench.object;
	arg->stack.frames = array();
	arg->stack.count = 4;
}

/* Of a heap with a type and an object. */
static void valid_list(union arg *arg)
{
	arg->list.size = sizeof(arg->list);
	arg->list.records = array();
	arg->list.length = PAGE;
}

static void valid_dump(union arg *arg)
{
	arg->dump.size = sizeof(arg->dump);
}

static void valid_check(union arg *arg)
{
	arg->check.size = sizeof(arg->check);
	arg->check.records = array();
	arg->check.length = PAGE;
}

/* Commands by number. */
static const struct command {
	const char *name;
	unsigned long cmd;
	__u32 size;
	void (*valid)(union arg *arg);
	bool answers;
	bool needs_setup;
} commands[] = {
	{ "info", KARENA_IOC_INFO, sizeof(struct karena_info), valid_info, true, false },
	{ "classes", KARENA_IOC_CLASSES, sizeof(struct karena_classes), valid_classes,
	  true, false },
	{ "setup", KARENA_IOC_SETUP, sizeof(struct karena_setup), valid_setup, true,
	  false },
	{ "alloc", KARENA_IOC_ALLOC, sizeof(struct karena_alloc), valid_alloc, false,
	  true },
	{ "free", KARENA_IOC_FREE, sizeof(struct karena_free), valid_free, true, true },
	{ "usable", KARENA_IOC_USABLE, sizeof(struct karena_usable), valid_usable, true,
	  true },
	{ "share", KARENA_IOC_SHARE, sizeof(struct karena_share), valid_share, true,
	  true },
	{ "heap_info", KARENA_IOC_HEAP_INFO, sizeof(struct karena_heap_info),
	  valid_heap_info, true, true },
	{ "class_stats", KARENA_IOC_CLASS_STATS, sizeof(struct karena_class_stats),
	  valid_class_stats, true, true },
	{ "register", KARENA_IOC_REGISTER, sizeof(struct karena_register), valid_register,
	  true, true },
	{ "collect", KARENA_IOC_COLLECT, sizeof(struct karena_collect), valid_collect, false,
	  true },
	{ "step", KARENA_IOC_STEP, sizeof(struct karena_step), valid_step, true, true },
	{ "root", KARENA_IOC_ROOT, sizeof(struct karena_root_range), valid_root, false, true },
	{ "gc_control", KARENA_IOC_GC_CONTROL, sizeof(struct karena_gc_control),
	  valid_gc_control, true, true },
	{ "gc_info", KARENA_IOC_GC_INFO, sizeof(struct karena_gc_info), valid_gc_info, true,
	  true },
	{ "shade", KARENA_IOC_SHADE, sizeof(struct karena_shade), valid_shade, false, true },
	{ "refill", KARENA_IOC_REFILL, sizeof(struct karena_refill), valid_refill, true, true },
	{ "fill", KARENA_IOC_FILL, sizeof(struct karena_fill), valid_fill, true, true },
	{ "flush", KARENA_IOC_FLUSH, sizeof(struct karena_flush), valid_flush, true, true },
	{ "release", KARENA_IOC_RELEASE, sizeof(struct karena_release), valid_release, true,
	  true },
	{ "clone", KARENA_IOC_CLONE, sizeof(struct karena_clone), valid_clone, true, true },
	{ "grow", KARENA_IOC_GROW, sizeof(struct karena_grow), valid_grow, false, true },
	{ "weak", KARENA_IOC_WEAK, sizeof(struct karena_weak_cell), valid_weak, false, true },
	{ "weak_get", KARENA_IOC_WEAK_GET, sizeof(struct karena_weak_cell), valid_weak_get, true,
	  true },
	{ "cleanup", KARENA_IOC_CLEANUP, sizeof(struct karena_cleanup_call), valid_cleanup, false,
	  true },
	{ "reclaim", KARENA_IOC_RECLAIM, sizeof(struct karena_reclaim), valid_reclaim, true, true },
	{ "memory", KARENA_IOC_MEMORY, sizeof(struct karena_memory), valid_memory, true, true },
	{ "explain", KARENA_IOC_EXPLAIN, sizeof(struct karena_explain), valid_explain, true, true },
	{ "profile", KARENA_IOC_PROFILE, sizeof(struct karena_profile), valid_profile, true,
	  true },
	{ "calls", KARENA_IOC_CALLS, sizeof(struct karena_calls), valid_stack, false, true },
	{ "spans", KARENA_IOC_SPANS, sizeof(struct karena_list), valid_list, true, true },
	{ "types", KARENA_IOC_TYPES, sizeof(struct karena_list), valid_list, true, true },
	{ "dump", KARENA_IOC_DUMP, sizeof(struct karena_dump), valid_dump, true, true },
	{ "roots", KARENA_IOC_ROOTS, sizeof(struct karena_list), valid_list, true, true },
	{ "caches", KARENA_IOC_CACHES, sizeof(struct karena_list), valid_list, true, true },
	{ "check", KARENA_IOC_CHECK, sizeof(struct karena_check), valid_check, true, true },
};

static const struct command *command_of(unsigned long cmd)
{
	return &commands[_IOC_NR(cmd)];
}

static bool open_sampled(void)
{
	struct karena_profile req = {
		.size = sizeof(req), .flags = KARENA_PROFILE_SET, .rate = 1,
	};

	return heap_open(&bench.heap, WINDOW, 0) &&
	       check_ret(kioctl(bench.heap.fd, KARENA_IOC_PROFILE, &req), 0);
}

static bool open_dump(void)
{
	struct karena_dump req = { .size = sizeof(req) };

	if (!heap_open_collected(&bench.heap, WINDOW, 0) ||
	    !check_ret(kioctl(bench.heap.fd, KARENA_IOC_DUMP, &req), 0))
		return false;
	bench.dump = req.fd;
	return true;
}

/* A heap that @cmd is for. */
static bool bench_open(unsigned long cmd)
{
	if (cmd == KARENA_IOC_PROFILE || cmd == KARENA_IOC_CALLS)
		return open_sampled();
	if (cmd == KARENA_IOC_RELEASE || cmd == KARENA_IOC_CLONE || cmd == KARENA_IOC_GROW)
		return heap_open_private(&bench.heap, WINDOW, MIB);
	if (cmd == KARENA_IOC_SHADE)
		return heap_open_with_barrier(&bench.heap, WINDOW, 0);
	if (cmd == KARENA_IOC_ROOTS)
		return open_dump();
	if (cmd == KARENA_IOC_REFILL || cmd == KARENA_IOC_TYPES)
		return heap_open_collected(&bench.heap, WINDOW, 0) &&
		       check_eq(heap_register(bench.heap.fd, 64, (__u32[]){ 0 }, 1), 1);
	if (_IOC_NR(cmd) >= _IOC_NR(KARENA_IOC_COLLECT))
		return heap_open_collected(&bench.heap, WINDOW, 0);
	return heap_open(&bench.heap, WINDOW, 0);
}

static bool bench_setup(unsigned long cmd)
{
	memset(&bench, 0, sizeof(bench));
	bench.dump = -1;
	bench.pages = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!check(bench.pages != MAP_FAILED))
		return false;
	if (!bench_open(cmd))
		return false;
	bench.fresh = dev_open(O_RDWR);
	bench.object = heap_new(bench.heap.fd, 64, 0);
	check(!mprotect(as_ptr(readonly_page()), PAGE, PROT_READ));
	check(!mprotect(as_ptr(no_page()), PAGE, PROT_NONE));
	return check(bench.fresh >= 0) && check(bench.object);
}

static void bench_exit(void)
{
	close(bench.fresh);
	close(bench.dump);
	heap_close(&bench.heap);
	munmap(bench.pages, 6 * PAGE);
}

/* The descriptor on which the unspoilt command would succeed. */
static int target(unsigned long cmd)
{
	if (cmd == KARENA_IOC_ROOTS)
		return bench.dump;
	return cmd == KARENA_IOC_SETUP ? bench.fresh : bench.heap.fd;
}

/*
 * Calls and looks that it got @want and left everything alone.  One that allocates and
 * finds no place for what it has may have taken objects and put them back.
 */
static void refused(int fd, unsigned long cmd, void *arg, int want)
{
	struct state before;

	state_get(fd, &before);
	check_ret(kioctl(fd, cmd, arg), want);
	if ((cmd == KARENA_IOC_ALLOC || cmd == KARENA_IOC_REFILL || cmd == KARENA_IOC_FILL) &&
	    want == -EFAULT)
		state_live_same(fd, &before);
	else
		state_same(fd, &before);
}

static void run_spoilt(const struct spoilt *s)
{
	union arg arg = { 0 };

	if (!tap_begin("%s", s->name))
		return;
	if (bench_setup(s->cmd)) {
		command_of(s->cmd)->valid(&arg);
		memcpy(arg.bytes + s->offset, &s->value, s->len);
		refused(target(s->cmd), s->cmd, &arg, s->want);
	}
	bench_exit();
	tap_end();
}

/* What can be wrong with any command. */
static const char * const troubles[] = {
	"is accepted", "with a zero tail is accepted", "with a tail", "of size 0",
	"of size 4", "short by 8", "at address 0", "at no page", "at a kernel address",
	"across the end of memory", "before setup",
};

/* The last is for those that need it. */
static unsigned int nr_troubles(const struct command *c)
{
	return ARRAY_SIZE(troubles) - !c->needs_setup;
}

static void accepted(const struct command *c, union arg *arg)
{
	if (!check_ret(kioctl(target(c->cmd), c->cmd, arg), 0))
		return;
	if (c->cmd == KARENA_IOC_SHARE)
		close(arg->share.fd);
	if (c->cmd == KARENA_IOC_CLONE)
		close(arg->clone.fd);
	if (c->cmd == KARENA_IOC_DUMP)
		close(arg->dump.fd);
	/* a kernel answers with its own size, or leaves the caller's */
	check(arg->size == c->size || arg->size == c->size + 8);
}

static void try_trouble(const struct command *c, unsigned int trouble)
{
	union arg arg = { 0 };
	void *crossing = as_ptr(no_page() - c->size + 8);
	int fd = target(c->cmd);

	c->valid(&arg);
	switch (trouble) {
	case 0:
		return accepted(c, &arg);
	case 1:
		arg.size += 8;
		return accepted(c, &arg);
	case 2:
		arg.size += 8;
		arg.bytes[c->size + 7] = 1;
		return refused(fd, c->cmd, &arg, -E2BIG);
	case 3:
		arg.size = 0;
		return refused(fd, c->cmd, &arg, -EINVAL);
	case 4:
		arg.size = 4;
		return refused(fd, c->cmd, &arg, -EINVAL);
	case 5:
		arg.size -= 8;
		return refused(fd, c->cmd, &arg, -EINVAL);
	case 6:
		return refused(fd, c->cmd, NULL, -EFAULT);
	case 7:
		return refused(fd, c->cmd, as_ptr(no_page()), -EFAULT);
	case 8:
		return refused(fd, c->cmd, as_ptr(0xffff888000000000ULL), -EFAULT);
	case 9:
		/* the page before is made writable for the begin of it */
		check(!mprotect(as_ptr(readonly_page()), PAGE, PROT_READ | PROT_WRITE));
		memcpy(crossing, &arg, c->size - 8);
		return refused(fd, c->cmd, crossing, -EFAULT);
	case 10:
		return refused(bench.fresh, c->cmd, &arg, -ENXIO);
	}
}

static void run_trouble(const struct command *c, unsigned int trouble)
{
	if (!tap_begin("%s: %s", c->name, troubles[trouble]))
		return;
	if (bench_setup(c->cmd))
		try_trouble(c, trouble);
	bench_exit();
	tap_end();
}

/*
 * The argument is in a page that can be read only: the answer has no place.
 * Nothing may be left behind that the caller does not know of, above all no
 * descriptor and no heap.  What was to be freed or given back is by then.
 */
static void run_unwritable(const struct command *c)
{
	void *at = as_ptr(readonly_page());
	union arg arg = { 0 };

	if (!tap_begin("%s: answer into a read-only page", c->name))
		return;
	if (!bench_setup(c->cmd))
		goto out;
	c->valid(&arg);
	check(!mprotect(at, PAGE, PROT_READ | PROT_WRITE));
	memcpy(at, &arg, sizeof(arg));
	check(!mprotect(at, PAGE, PROT_READ));
	if (!c->answers)
		check_ret(kioctl(target(c->cmd), c->cmd, at), 0);
	else if (c->cmd == KARENA_IOC_FREE || c->cmd == KARENA_IOC_RECLAIM)
		check_ret(kioctl(target(c->cmd), c->cmd, at), -EFAULT);
	else
		refused(target(c->cmd), c->cmd, at, -EFAULT);
	check(!memcmp(at, &arg, sizeof(arg)));
out:
	bench_exit();
	tap_end();
}

static void alloc_fails(__u64 object_size, __u32 count, __u64 addrs)
{
	union arg arg = { 0 };

	valid_alloc(&arg);
	arg.alloc.object_size = object_size;
	arg.alloc.count = count;
	arg.alloc.addrs = addrs;
	check_ret(kioctl(bench.heap.fd, KARENA_IOC_ALLOC, &arg), -EFAULT);
}

/* Nowhere to put the addresses, or room for some: all or nothing. */
static void alloc_to_unwritable(void)
{
	struct state before;

	if (!bench_setup(0))
		return;
	state_get(bench.heap.fd, &before);
	alloc_fails(64, 1, readonly_page());
	alloc_fails(64, 1, no_page());
	alloc_fails(64, 1000, readonly_page() - 999 * 8);
	alloc_fails(100000, 2, readonly_page() - 8);
	state_live_same(bench.heap.fd, &before);
	bench_exit();
}

/* What came before the bad address has been freed. */
static void free_across(void)
{
	struct karena_heap_info own;
	union arg arg = { 0 };
	__u64 addrs[600];

	if (!bench_setup(0))
		return;
	check_ret(heap_alloc(bench.heap.fd, 32, 0, 600, addrs), 0);
	check(!mprotect(as_ptr(readonly_page()), PAGE, PROT_READ | PROT_WRITE));
	memcpy(as_ptr(no_page() - 599 * 8), addrs, 599 * 8);
	valid_free(&arg);
	arg.free.count = 600;
	arg.free.addrs = no_page() - 599 * 8;
	check_ret(kioctl(bench.heap.fd, KARENA_IOC_FREE, &arg), -EFAULT);
	check_ret(heap_info(bench.heap.fd, 0, 0, &own), 0);
	check_eq(own.frees, 599);
	check_eq(own.live_objects, 2);
	check_eq(heap_usable(bench.heap.fd, addrs[599]), 32);
	bench_exit();
}

static void stats_across(void)
{
	union arg arg = { 0 };

	if (!bench_setup(0))
		return;
	heap_new(bench.heap.fd, 1000, 0);
	valid_class_stats(&arg);
	arg.class_stats.count = 2;
	arg.class_stats.stats = no_page() - sizeof(struct karena_class_stat);
	check(!mprotect(as_ptr(readonly_page()), PAGE, PROT_READ | PROT_WRITE));
	refused(bench.heap.fd, KARENA_IOC_CLASS_STATS, &arg, -EFAULT);
	memset(&arg, 0, sizeof(arg));
	valid_classes(&arg);
	arg.classes.classes = no_page() - sizeof(struct karena_class_info);
	refused(bench.heap.fd, KARENA_IOC_CLASSES, &arg, -EFAULT);
	bench_exit();
}

/* Larger than the window can never fit. */
static void alloc_huge(void)
{
	static const __u64 sizes[] = {
		WINDOW + 1, 1ULL << 32, 1ULL << 46, 1ULL << 47, 1ULL << 62,
		(1ULL << 63) - 1, 1ULL << 63, ~0ULL - 8191, ~0ULL,
	};
	union arg arg = { 0 };
	struct state before;
	unsigned int i;

	if (!bench_setup(0))
		return;
	state_get(bench.heap.fd, &before);
	valid_alloc(&arg);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		arg.alloc.object_size = sizes[i];
		arg.alloc.count = 1;
		check_ret(kioctl(bench.heap.fd, KARENA_IOC_ALLOC, &arg), -ENOMEM);
		arg.alloc.count = 16;
		check_ret(kioctl(bench.heap.fd, KARENA_IOC_ALLOC, &arg), -ENOMEM);
	}
	state_live_same(bench.heap.fd, &before);
	check_eq(heap_usable(bench.heap.fd, bench.object), 64);
	bench_exit();
}

static void usable_of_nothing(void)
{
	struct state before;
	__u64 gone;

	if (!bench_setup(0))
		return;
	gone = heap_new(bench.heap.fd, 64, 0);
	check_ret(heap_drop(bench.heap.fd, gone), 0);
	state_get(bench.heap.fd, &before);
	check_ret(heap_usable(bench.heap.fd, gone), -ENOENT);
	check_ret(heap_usable(bench.heap.fd, bench.object + 1), -ENOENT);
	check_ret(heap_usable(bench.heap.fd, bench.object + 8), -ENOENT);
	check_ret(heap_usable(bench.heap.fd, bench.heap.base - 8), -ENOENT);
	check_ret(heap_usable(bench.heap.fd, bench.heap.base + WINDOW), -ENOENT);
	check_ret(heap_usable(bench.heap.fd, bench.heap.base + WINDOW - 8), -ENOENT);
	state_same(bench.heap.fd, &before);
	bench_exit();
}

static void setup_twice(void)
{
	union arg arg = { 0 };

	if (!bench_setup(0))
		return;
	valid_setup(&arg);
	refused(bench.heap.fd, KARENA_IOC_SETUP, &arg, -EBUSY);
	bench_exit();
}

static void setup_name(const char *name, size_t len)
{
	union arg arg = { 0 };

	valid_setup(&arg);
	memset(arg.setup.name, 0, sizeof(arg.setup.name));
	memcpy(arg.setup.name, name, len);
	refused(bench.fresh, KARENA_IOC_SETUP, &arg, -EINVAL);
}

static void setup_names(void)
{
	if (!bench_setup(0))
		return;
	setup_name("12345678901234567890123456789012", KARENA_NAME_LEN);
	setup_name("new\nline", 8);
	setup_name("escape\033[2J", 10);
	setup_name("del\177", 4);
	setup_name("high\200", 5);
	setup_name("\001", 1);
	bench_exit();
}

static void setup_windows(void)
{
	struct karena_info dev;
	union arg arg = { 0 };

	if (!bench_setup(0) || !user_numbers(&dev))
		return;
	valid_setup(&arg);
	arg.setup.window = dev.min_window - 1;
	refused(bench.fresh, KARENA_IOC_SETUP, &arg, -EINVAL);
	arg.setup.window = dev.max_window + 1;
	refused(bench.fresh, KARENA_IOC_SETUP, &arg, -EINVAL);
	bench_exit();
}

static void unknown_commands(void)
{
	static const unsigned long cmds[] = {
		_IOWR(KARENA_IOC_MAGIC, 0x0a, struct karena_info),
		_IOWR(KARENA_IOC_MAGIC, 0x7f, struct karena_info),
		_IOWR(KARENA_IOC_MAGIC, 0xff, struct karena_info),
		_IO(KARENA_IOC_MAGIC, 0xff), _IOWR(0xb6, 0x00, struct karena_info),
		_IOWR(0x00, 0x03, struct karena_alloc), 0, ~0U, 0x5401 /* TCGETS */,
	};
	union arg arg = { 0 };
	unsigned int i;

	if (!bench_setup(0))
		return;
	valid_info(&arg);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		refused(bench.heap.fd, cmds[i], &arg, -ENOTTY);
		refused(bench.fresh, cmds[i], &arg, -ENOTTY);
	}
	bench_exit();
}

/* A newer header's larger structure has a command of another number. */
static void newer_header(void)
{
	unsigned long cmd = _IOC(_IOC_READ | _IOC_WRITE, KARENA_IOC_MAGIC, 0,
				 sizeof(struct karena_info) + 16);
	union arg arg = { 0 };

	if (!bench_setup(0))
		return;
	arg.size = sizeof(struct karena_info) + 16;
	check_ret(kioctl(bench.heap.fd, cmd, &arg), 0);
	check_eq(arg.info.page_size, KARENA_PAGE_SIZE);
	check_eq(arg.size, sizeof(struct karena_info));
	bench_exit();
}

static const struct tap_case cases[] = {
	{ "alloc: addresses into pages that cannot be written", alloc_to_unwritable },
	{ "alloc: sizes that no window holds", alloc_huge },
	{ "free: array across the end of memory", free_across },
	{ "classes, class_stats: array across the end of memory", stats_across },
	{ "usable: freed, interior and outside", usable_of_nothing },
	{ "setup: twice", setup_twice },
	{ "setup: names", setup_names },
	{ "setup: windows just out of bounds", setup_windows },
	{ "unknown commands and types", unknown_commands },
	{ "a newer header's info", newer_header },
};

int main(void)
{
	unsigned int nr = ARRAY_SIZE(cases) + ARRAY_SIZE(spoilt), i, j;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		nr += nr_troubles(&commands[i]) + 1;
	tap_plan(nr);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		for (j = 0; j < nr_troubles(&commands[i]); j++)
			run_trouble(&commands[i], j);
		run_unwritable(&commands[i]);
	}
	for (i = 0; i < ARRAY_SIZE(spoilt); i++)
		run_spoilt(&spoilt[i]);
	tap_run(cases, ARRAY_SIZE(cases));
	return tap_status();
}
