// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for /dev/karena, to measure what libkarena-malloc does in user space on a
 * machine without the module: for LD_PRELOAD before it.  One private heap a process.
 *
 * Objects have what they have in the kernel: a state that is checked when they come back.
 * They are put into magazines and taken out one by one in the library's own sequences, as
 * nobody else could, which costs about what the kernel's lists of calls cost; beside that
 * each call is a system call that does nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/karena.h>

#include "../../../tools/lib/fast.h"

#define WINDOW		(4UL << 30)
#define PAGES		(WINDOW / KARENA_PAGE_SIZE)
#define SLOTS		(WINDOW / KARENA_SLOT_UNIT)
#define SLOTS_OF_PAGE	(KARENA_PAGE_SIZE / KARENA_SLOT_UNIT)
#define MAP_OFFSET	4096UL
#define MAP_SIZE	(PAGES * sizeof(__u16))

/* As kmod/user/magazine.c has it. */
#define MOST_BYTES	(512UL << 10)
#define FIRST_BYTES	(8UL << 10)
#define FIRST_SLOT	1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct karena_fast fast;
static struct karena_control *control;
static __u16 *map;
static struct karena_cpu_magazines *magazines;
static char *window;
static unsigned long next_page, grown;	/* of the window's pages */
static __u8 *live;			/* a byte for each unit */
static __u32 *spare[KARENA_NR_MAGAZINES];	/* free objects, as slots */
static unsigned long nr_spare[KARENA_NR_MAGAZINES];

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ __volatile__("syscall"
			     : "=a"(ret)
			     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			     : "rcx", "r11", "memory");
	if (ret >= 0 || ret < -4095)
		return ret;
	errno = -ret;
	return -1;
}

static void *reserve(size_t size)
{
	return (void *)call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* --- spans --- */

static int new_span(unsigned int number)
{
	size_t bytes = karena_magazine_bytes(number), pages = 1, i, n;

	while (pages * KARENA_PAGE_SIZE % bytes > pages * KARENA_PAGE_SIZE / 8)
		pages++;
	if (next_page + pages > grown)
		return -1;
	if (!spare[number])
		spare[number] = reserve(SLOTS * sizeof(__u32));
	for (i = 0; i < pages; i++)
		map[next_page + i] = number;
	n = pages * KARENA_PAGE_SIZE / bytes;
	/* The first one is taken first. */
	for (i = n; i--;)
		spare[number][nr_spare[number]++] =
			(next_page * KARENA_PAGE_SIZE + i * bytes) / KARENA_SLOT_UNIT;
	next_page += pages;
	return 0;
}

/* 0, the first page, is nobody's. */
static __u32 take_slot(unsigned int number)
{
	__u32 slot;

	if (!nr_spare[number] && new_span(number))
		return 0;
	slot = spare[number][--nr_spare[number]];
	live[slot] = 1;
	return slot;
}

static void give_slot(unsigned int number, __u32 slot)
{
	if (!live[slot])
		abort();
	live[slot] = 0;
	spare[number][nr_spare[number]++] = slot;
}

static void *to_object(__u32 slot)
{
	return window + (size_t)slot * KARENA_SLOT_UNIT;
}

static __u32 to_slot(const void *object)
{
	return ((const char *)object - window) / KARENA_SLOT_UNIT;
}

/* --- large objects: only as many as there are pages --- */

static __u32 take_pages(size_t size)
{
	size_t pages = (size + KARENA_PAGE_SIZE - 1) / KARENA_PAGE_SIZE;
	__u32 slot = next_page * SLOTS_OF_PAGE;

	if (next_page + pages > grown)
		return 0;
	map[next_page] = 2;
	next_page += pages;
	return slot;
}

/* --- calls --- */

static unsigned int room_of(unsigned int number)
{
	size_t bytes = number > 2 && number % 2 == 0 && number < KARENA_LARGE_MAGAZINE - 1 ?
			       karena_magazine_bytes(number) : 0;

	if (number >= KARENA_LARGE_MAGAZINE)
		return MOST_BYTES / karena_magazine_bytes(number);
	if (!bytes || bytes % KARENA_SLOT_UNIT)
		return 0;
	return MOST_BYTES / bytes > KARENA_MAGAZINE_SLOTS ? KARENA_MAGAZINE_SLOTS :
							    MOST_BYTES / bytes;
}

static unsigned int first_room(unsigned int number)
{
	unsigned int room = room_of(number), first;

	if (!room)
		return 0;
	first = FIRST_BYTES / karena_magazine_bytes(number);
	return first < 2 ? 2 : first < room ? first : room;
}

/*
 * For twice as many from here on; for how many it was, or 0 if it was only to be asked for
 * one, now and then.  Who is moved loses a little.
 */
static unsigned int widen(unsigned int number)
{
	struct karena_cpu_magazines *cpu = magazines + KARENA_NO_CPUS + sched_getcpu();
	struct karena_cpu_magazine *magazine = cpu->magazine + number;
	unsigned int capacity = magazine->end - magazine->begin, room = room_of(number);

	if (!magazine->left) {
		magazine->left = UINT16_MAX;
		return 0;
	}
	magazine->end = magazine->begin + (2 * capacity < room ? 2 * capacity : room);
	return capacity;
}

static void fill_heads(struct karena_cpu_magazines *cpu)
{
	unsigned int number, at = FIRST_SLOT;

	for (number = 0; number < KARENA_NR_MAGAZINES; number++) {
		cpu->magazine[number].begin = at;
		cpu->magazine[number].top = at;
		cpu->magazine[number].left = UINT16_MAX;
		cpu->magazine[number].end = at + first_room(number);
		at += room_of(number);
	}
}

static int set_up(struct karena_setup *setup)
{
	unsigned long cpus = sysconf(_SC_NPROCESSORS_CONF), cpu;

	control = reserve(MAP_OFFSET + MAP_SIZE);
	control->magazines_size = (KARENA_NO_CPUS + cpus) << KARENA_CPU_SHIFT;
	control->map_offset = MAP_OFFSET;
	map = (void *)((char *)control + MAP_OFFSET);
	magazines = reserve(control->magazines_size);
	for (cpu = 0; cpu < cpus; cpu++)
		fill_heads(magazines + KARENA_NO_CPUS + cpu);
	live = reserve(SLOTS);
	/* The library maps it by itself, where nothing is now. */
	window = reserve(WINDOW);
	call(SYS_munmap, (long)window, WINDOW, 0, 0, 0, 0);
	fast = (struct karena_fast) {
		.magazines = (char *)(magazines + KARENA_NO_CPUS),
		.rseq = __rseq_offset,
		.base = window,
	};
	next_page = 1;
	setup->base = (uintptr_t)window;
	setup->window = WINDOW;
	setup->control_size = MAP_OFFSET + MAP_SIZE;
	setup->id = 1;
	return 0;
}

static int no_memory(void)
{
	errno = ENOMEM;
	return -1;
}

static int alloc_objects(struct karena_alloc *req)
{
	__u64 *addrs = (void *)(uintptr_t)req->addrs;
	__u32 i, slot = 0;

	for (i = 0; i < req->count; i++) {
		if (req->object_size > KARENA_MAX_SMALL)
			slot = take_pages(req->object_size);
		else
			slot = take_slot(karena_magazine_for(req->object_size) + 1);
		if (!slot)
			return no_memory();
		addrs[i] = (uintptr_t)to_object(slot);
	}
	return 0;
}

/* Large ones are lost: the library keeps those that matter. */
static int free_objects(struct karena_free *req)
{
	const __u64 *addrs = (const void *)(uintptr_t)req->addrs;
	__u32 i;

	for (i = 0; i < req->count; i++) {
		__u32 slot = to_slot((const void *)(uintptr_t)addrs[i]);
		unsigned int number = map[slot / SLOTS_OF_PAGE];

		if (number > 2)
			give_slot(number, slot);
	}
	req->rejected = 0;
	return 0;
}

static int fill(struct karena_fill *req)
{
	unsigned int half = widen(req->magazine) / 2;
	__u32 slot = take_slot(req->magazine);

	if (!slot)
		return no_memory();
	req->object = (uintptr_t)to_object(slot);
	for (req->count = 0; req->count < half; req->count++) {
		slot = take_slot(req->magazine);
		if (!slot || !karena_fast_put(&fast, req->magazine, slot))
			break;
	}
	if (slot && req->count < half)
		give_slot(req->magazine, slot);
	return 0;
}

static int flush(struct karena_flush *req)
{
	unsigned int i, room = room_of(req->magazine);
	unsigned int half = widen(req->magazine) < room ? 0 : room / 2;
	void *object;

	for (i = 0; i < half && (object = karena_fast_take(&fast, req->magazine)); i++)
		give_slot(req->magazine, to_slot(object));
	if (req->object)
		give_slot(req->magazine, to_slot((void *)(uintptr_t)req->object));
	req->rejected = 0;
	req->reason = KARENA_REJECT_NONE;
	return 0;
}

static int do_call(unsigned long command, void *arg)
{
	switch (command) {
	case KARENA_IOC_SETUP:
		return set_up(arg);
	case KARENA_IOC_ALLOC:
		return alloc_objects(arg);
	case KARENA_IOC_FREE:
		return free_objects(arg);
	case KARENA_IOC_FILL:
		return fill(arg);
	case KARENA_IOC_FLUSH:
		return flush(arg);
	case KARENA_IOC_GROW:
		grown = ((struct karena_grow *)arg)->length / KARENA_PAGE_SIZE;
		return 0;
	case KARENA_IOC_RELEASE:
		((struct karena_release *)arg)->length = 0;
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

/* --- what the library calls --- */

int ioctl(int fd, unsigned long command, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (_IOC_TYPE(command) != KARENA_IOC_MAGIC)
		return call(SYS_ioctl, fd, command, (long)arg, 0, 0, 0);
	pthread_mutex_lock(&lock);
	/* What a call costs to begin with. */
	call(SYS_getppid, 0, 0, 0, 0, 0, 0);
	ret = do_call(command, arg);
	pthread_mutex_unlock(&lock);
	return ret;
}

void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (fd >= 0 && offset == (off_t)KARENA_OFF_CONTROL)
		return control;
	if (fd >= 0 && offset == (off_t)KARENA_OFF_MAGAZINES)
		return magazines;
	return (void *)call(SYS_mmap, (long)at, size, prot, flags, fd, offset);
}

long syscall(long number, ...)
{
	const char *path;
	va_list args;
	long arg[6];
	int i;

	va_start(args, number);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	path = number == SYS_openat ? (const char *)arg[1] : NULL;
	if (path && !strcmp(path, "/dev/karena"))
		arg[1] = (long)"/dev/null";
	return call(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
