// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, roots of collected heaps: memory that the kernel searches for
 * references beside stacks and registers, which it finds by itself.
 *
 * By default that is the writable data of the program and of its libraries, and
 * the thread-local storage of the main thread.  (That of other threads is on
 * their stacks.)  Libraries come and go: each heap knows what it has registered,
 * and update() tells the kernel what has changed since.
 *
 * One mutex guards all of it, and fork() takes it too: so the child never finds
 * it held, nor the loader's lock by one of us.
 */
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

/* Behind the thread pointer: the C library's record of a thread, with its keys. */
#define THREAD_RECORD 4096

struct range {
	uintptr_t start;
	uintptr_t end;
};

struct ranges {
	size_t nr;
	size_t room;
	struct range range[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct karena *heaps;		/* all that are open */
static struct range main_thread;	/* its storage, empty if not known */

/* --- what is there --- */

/* Ranges are added as long as there is room, and counted in any case. */
static void add(struct ranges *ranges, uintptr_t start, uintptr_t end)
{
	start = (start + 7) & ~7ul;
	end &= ~7ul;
	if (start >= end)
		return;
	if (ranges->nr < ranges->room)
		ranges->range[ranges->nr] = (struct range){ start, end };
	ranges->nr++;
}

static uintptr_t segment_start(const struct dl_phdr_info *info, int i)
{
	return info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
}

static uintptr_t segment_end(const struct dl_phdr_info *info, int i)
{
	return segment_start(info, i) + info->dlpi_phdr[i].p_memsz;
}

/* The writable segments of a program or library, without what is read only by now. */
static int add_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t sealed = 0, sealed_end = 0, start, end;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_GNU_RELRO)
			continue;
		sealed = segment_start(info, i);
		sealed_end = segment_end(info, i);
	}
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD ||
		    !(info->dlpi_phdr[i].p_flags & PF_W))
			continue;
		start = segment_start(info, i);
		end = segment_end(info, i);
		add(arg, sealed <= start && start < sealed_end ? sealed_end : start, end);
	}
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* All ranges that there are now, ascending; NULL without memory. */
static struct ranges *find_ranges(void)
{
	struct ranges *ranges = NULL;
	size_t room = 64;

	do {
		free(ranges);
		ranges = malloc(sizeof(*ranges) + room * sizeof(struct range));
		if (!ranges)
			return NULL;
		*ranges = (struct ranges){ .room = room };
		add(ranges, main_thread.start, main_thread.end);
		dl_iterate_phdr(add_object, ranges);
		room = 2 * ranges->nr;
	} while (ranges->nr > ranges->room);
	qsort(ranges->range, ranges->nr, sizeof(struct range), by_start);
	return ranges;
}

/* How much thread-local storage programs and libraries have, with gaps. */
static int count_storage(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t *sum = arg;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			*sum += info->dlpi_phdr[i].p_memsz + info->dlpi_phdr[i].p_align;
	return 0;
}

/* Widens main_thread by a block below the thread pointer, not one of malloc(). */
static int add_storage(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t at = (uintptr_t)info->dlpi_tls_data, *sum = arg;

	(void)size;
	if (at && at < main_thread.start && main_thread.end - THREAD_RECORD - at <= *sum)
		main_thread.start = at;
	return 0;
}

static void take_lock(void)
{
	pthread_mutex_lock(&lock);
}

static void drop_lock(void)
{
	pthread_mutex_unlock(&lock);
}

/* Run by the main thread, unless the library is loaded by another one later. */
static __attribute__((constructor)) void find_main_thread(void)
{
	uintptr_t self = (uintptr_t)pthread_self(), sum = 0;

	pthread_atfork(take_lock, drop_lock, drop_lock);
	if (gettid() != getpid())
		return;
	/* Its blocks are below the thread pointer, which is the thread's name. */
	main_thread = (struct range){ self, self + THREAD_RECORD };
	dl_iterate_phdr(count_storage, &sum);
	dl_iterate_phdr(add_storage, &sum);
}

/* --- telling the kernel --- */

static int change(struct karena *heap, uintptr_t start, uintptr_t end, __u32 flags)
{
	struct karena_root_range arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = start,
		.length = end - start,
	};

	return ioctl(heap->fd, KARENA_IOC_ROOT, &arg);
}

/* What only one of two lists has goes, or comes; both are ascending.  0 or an errno. */
static int change_others(struct karena *heap, const struct ranges *list,
			 const struct ranges *other, __u32 flags)
{
	size_t i, j = 0;
	int err = 0;

	for (i = 0; list && i < list->nr; i++) {
		while (other && j < other->nr && by_start(&other->range[j], &list->range[i]) < 0)
			j++;
		if (other && j < other->nr && other->range[j].start == list->range[i].start &&
		    other->range[j].end == list->range[i].end)
			continue;
		/* It may have been withdrawn, or registered, by the program itself. */
		if (change(heap, list->range[i].start, list->range[i].end, flags) &&
		    errno != EEXIST && errno != ENOENT && !err)
			err = errno;
	}
	return err;
}

/* With @found as what is to be registered, or NULL for nothing; takes it over. */
static int update(struct karena *heap, struct ranges *found)
{
	int err;

	change_others(heap, heap->data, found, KARENA_ROOT_DEL);
	err = change_others(heap, found, heap->data, 0);
	free(heap->data);
	heap->data = found;
	errno = err ? err : errno;
	return err ? -1 : 0;
}

EXPORT int karena_data_roots(struct karena *heap, int on)
{
	struct ranges *found = NULL;
	int err = -1;

	take_lock();
	if (on)
		found = find_ranges();
	if (!on || found)
		err = update(heap, found);
	drop_lock();
	return err;
}

/* After libraries may have come or gone; nothing if the data is not searched. */
int karena_refresh_roots(struct karena *heap)
{
	return heap->data ? karena_data_roots(heap, 1) : 0;
}

EXPORT int karena_root_add(struct karena *heap, void *start, size_t size)
{
	/* First what is there by itself: a part of a segment would keep out the rest. */
	if (karena_refresh_roots(heap))
		return -1;
	return change(heap, (uintptr_t)start, (uintptr_t)start + size, 0);
}

/* Memory that holds struct karena_extent. */
int karena_add_extents(struct karena *heap, void *start, size_t size)
{
	if (karena_refresh_roots(heap))
		return -1;
	return change(heap, (uintptr_t)start, (uintptr_t)start + size, KARENA_ROOT_EXTENTS);
}

/* Memory that is of stacks, of 1 << @shift bytes each. */
int karena_add_stacks(struct karena *heap, void *start, size_t size, unsigned int shift)
{
	return change(heap, (uintptr_t)start, (uintptr_t)start + size, KARENA_ROOT_STACKS(shift));
}

EXPORT int karena_root_del(struct karena *heap, void *start, size_t size)
{
	return change(heap, (uintptr_t)start, (uintptr_t)start + size, KARENA_ROOT_DEL);
}

/* --- heaps that are open --- */

void karena_opened(struct karena *heap)
{
	static __u64 last;

	take_lock();
	heap->fast.serial = ++last;
	heap->next = heaps;
	heaps = heap;
	drop_lock();
}

void karena_closed(struct karena *heap)
{
	struct karena **at = &heaps;

	take_lock();
	while (*at != heap)
		at = &(*at)->next;
	*at = heap->next;
	drop_lock();
}

/* Whether a heap is open, which it then stays until karena_let_go(). */
int karena_hold(const struct karena *heap, __u64 serial)
{
	const struct karena *other;

	take_lock();
	for (other = serial ? heaps : NULL; other; other = other->next)
		if (other == heap && other->fast.serial == serial)
			return 1;
	drop_lock();
	return 0;
}

void karena_let_go(void)
{
	drop_lock();
}

/*
 * As karena_root_del(), of a heap that may be closed by now; with 0 of whichever heap has
 * it, if any.  errno is kept.
 */
void karena_drop_root(__u64 serial, void *start, size_t size)
{
	struct karena *heap;
	int saved = errno;

	take_lock();
	for (heap = heaps; heap; heap = heap->next)
		if (!serial || heap->fast.serial == serial)
			karena_root_del(heap, start, size);
	errno = saved;
	drop_lock();
}
