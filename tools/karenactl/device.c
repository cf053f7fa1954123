// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, the way to the module.
 *
 * The descriptor is never set up, so looking does not make a heap: the tool
 * does not show up in what it lists.  Each function says on stderr what went
 * wrong and returns -1 or NULL; nobody above has to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl.h"

#define DUMP_TRIES	30

const char *device_path(void)
{
	const char *path = secure_getenv("KARENA_DEVICE");

	return path && *path ? path : "/dev/karena";
}

static const char *why_not_open(int err)
{
	switch (err) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "not there: is the module loaded? (sudo make load, or modprobe karena)";
	case EACCES:
	case EPERM:
		return "not permitted: ask for access to it, or try sudo";
	default:
		return strerror(err);
	}
}

static void complain(const char *what)
{
	fprintf(stderr, "karenactl: %s: %s\n", device_path(), what);
}

static void complain_heap(__u32 id, int err)
{
	const char *why = strerror(err);

	if (err == ENOENT)
		why = "not there, or not yours (see karenactl heap list)";
	fprintf(stderr, "karenactl: heap %u: %s\n", id, why);
}

static int check_device(int fd)
{
	struct karena_info info;

	if (!read_info(fd, &info))
		return fd;
	close(fd);
	return -1;
}

static int open_as(int flags)
{
	int fd = open(device_path(), flags | O_CLOEXEC);

	if (fd >= 0)
		return check_device(fd);
	complain(why_not_open(errno));
	return -1;
}

int device_open(void)
{
	return open_as(O_RDONLY);
}

int device_open_to_change(void)
{
	return open_as(O_RDWR);
}

int read_info(int fd, struct karena_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	if (!ioctl(fd, KARENA_IOC_INFO, info))
		return 0;
	complain(errno == ENOTTY ? "not the device of karena" : strerror(errno));
	return -1;
}

/* Whoever chose the name may not play with the terminal of who looks. */
void clean_name(char name[KARENA_NAME_LEN])
{
	int i;

	name[KARENA_NAME_LEN - 1] = '\0';
	for (i = 0; name[i]; i++)
		if (name[i] < ' ' || name[i] > '~')
			name[i] = '?';
}

static int ask_heap(int fd, __u32 id, __u32 next, struct karena_heap_info *heap)
{
	memset(heap, 0, sizeof(*heap));
	heap->size = sizeof(*heap);
	heap->id = id;
	heap->next = next;
	if (ioctl(fd, KARENA_IOC_HEAP_INFO, heap))
		return -1;
	clean_name(heap->name);
	return 0;
}

int read_heap(int fd, __u32 id, struct karena_heap_info *heap)
{
	if (!ask_heap(fd, id, 0, heap))
		return 0;
	complain_heap(id, errno);
	return -1;
}

/* Returns 1 with a heap, 0 when there is none left, -1 on failure. */
int next_heap(int fd, __u32 above, struct karena_heap_info *heap)
{
	if (!ask_heap(fd, above, 1, heap))
		return 1;
	if (errno == ENOENT)
		return 0;
	complain(strerror(errno));
	return -1;
}

static int gc_failed(__u32 id)
{
	if (errno == EINVAL)
		fprintf(stderr, "karenactl: heap %u: not collected\n", id);
	else
		complain_heap(id, errno);
	return -1;
}

int read_gc(int fd, __u32 id, struct karena_gc_info *info)
{
	*info = (struct karena_gc_info){ .size = sizeof(*info), .id = id };
	return ioctl(fd, KARENA_IOC_GC_INFO, info) ? gc_failed(id) : 0;
}

int read_gc_control(int fd, __u32 id, struct karena_gc_control *control)
{
	*control = (struct karena_gc_control){ .size = sizeof(*control), .id = id };
	return ioctl(fd, KARENA_IOC_GC_CONTROL, control) ? gc_failed(id) : 0;
}

/* Of one that is collected, as it has been read. */
int set_gc_control(int fd, struct karena_gc_control *control)
{
	control->flags = KARENA_GC_SET;
	if (!ioctl(fd, KARENA_IOC_GC_CONTROL, control))
		return 0;
	if (errno == EINVAL)
		fprintf(stderr, "karenactl: heap %u: a value is out of range\n", control->id);
	else
		complain_heap(control->id, errno);
	return -1;
}

int run_gc(int fd, __u32 id)
{
	struct karena_collect args = {
		.size = sizeof(args), .flags = KARENA_COLLECT_WAIT, .id = id,
	};

	return ioctl(fd, KARENA_IOC_COLLECT, &args) ? gc_failed(id) : 0;
}

static void *need(size_t count, size_t size)
{
	void *at = calloc(count ? count : 1, size);

	if (!at)
		complain(strerror(ENOMEM));
	return at;
}

/* What its collector has done, if it has one. */
static void add_gc(int fd, struct heap_numbers *heap)
{
	__u32 id = heap->info.id;

	heap->gc = (struct karena_gc_info){ .size = sizeof(heap->gc), .id = id };
	heap->control = (struct karena_gc_control){ .size = sizeof(heap->control), .id = id };
	heap->collected = !ioctl(fd, KARENA_IOC_GC_INFO, &heap->gc) &&
			  !ioctl(fd, KARENA_IOC_GC_CONTROL, &heap->control);
}

static struct heap_numbers *one_more(struct heap_numbers *heaps, size_t nr,
				     const struct karena_heap_info *info, int fd)
{
	struct heap_numbers *more = realloc(heaps, (nr + 1) * sizeof(*more));

	if (!more) {
		complain(strerror(ENOMEM));
		free(heaps);
		return NULL;
	}
	more[nr].info = *info;
	add_gc(fd, &more[nr]);
	return more;
}

/* Heap @id, or all if that is 0; to be freed. */
struct heap_numbers *read_numbers(int fd, __u32 id, size_t *nr)
{
	struct heap_numbers *heaps = need(1, sizeof(*heaps));
	struct karena_heap_info info = { };
	int more = 0;

	*nr = 0;
	if (id) {
		if (!read_heap(fd, id, &info))
			heaps = one_more(heaps, (*nr)++, &info, fd);
		else
			more = -1;
	}
	while (heaps && !id && (more = next_heap(fd, info.id, &info)) > 0)
		heaps = one_more(heaps, (*nr)++, &info, fd);
	if (more >= 0)
		return heaps;
	free(heaps);
	return NULL;
}

/*
 * The profile of a heap, at another rate from here on if one is given.  The records are
 * to be freed, whatever comes of it.
 */
int read_profile(int fd, __u32 id, const __u64 *rate, struct karena_profile *p)
{
	void *records = NULL;
	__u64 room = 0;

	*p = (struct karena_profile) {
		.size = sizeof(*p), .id = id, .flags = rate ? KARENA_PROFILE_SET : 0,
		.rate = rate ? *rate : 0,
	};
	for (;;) {
		p->records = (uintptr_t)records;
		p->length = room;
		if (ioctl(fd, KARENA_IOC_PROFILE, p))
			break;
		if (p->length <= room)
			return 0;
		p->flags = 0;
		free(records);
		/* There may be more the next time. */
		room = 2 * p->length;
		records = need(1, room);
		if (!records)
			break;
	}
	p->records = (uintptr_t)records;
	if (errno == EINVAL)
		fprintf(stderr, "karenactl: heap %u: no program's, or the rate is too high\n", id);
	else
		complain_heap(id, errno);
	return -1;
}

struct karena_class_info *read_classes(int fd, __u32 *count)
{
	struct karena_classes args = { .size = sizeof(args) };
	struct karena_class_info *classes;

	/* A newer module may have more classes: it is the one to say. */
	if (ioctl(fd, KARENA_IOC_CLASSES, &args)) {
		complain(strerror(errno));
		return NULL;
	}
	*count = args.count;
	classes = need(args.count, sizeof(*classes));
	if (!classes)
		return NULL;
	args.classes = (uintptr_t)classes;
	if (!ioctl(fd, KARENA_IOC_CLASSES, &args))
		return classes;
	complain(strerror(errno));
	free(classes);
	return NULL;
}

/* Each class may be there twice: with pointers, and without. */
struct karena_class_stat *read_class_stats(int fd, __u32 id, __u32 *count)
{
	__u32 room = 2 * KARENA_NR_CLASSES;
	struct karena_class_stat *stats = NULL;
	struct karena_class_stats args;

	for (;;) {
		free(stats);
		stats = need(room, sizeof(*stats));
		if (!stats)
			return NULL;
		args = (struct karena_class_stats) {
			.size = sizeof(args),
			.id = id,
			.count = room,
			.stats = (uintptr_t)stats,
		};
		if (ioctl(fd, KARENA_IOC_CLASS_STATS, &args))
			break;
		*count = args.count;
		if (args.count <= room)
			return stats;
		room = args.count;
	}
	complain_heap(id, errno);
	free(stats);
	return NULL;
}

/* Classes that the heap does not use are behind the others, and empty. */
int read_explain(int fd, __u32 id, struct karena_explain *explain,
		 struct karena_explain_class classes[KARENA_NR_CLASSES])
{
	memset(classes, 0, KARENA_NR_CLASSES * sizeof(*classes));
	*explain = (struct karena_explain) {
		.size = sizeof(*explain),
		.id = id,
		.count = KARENA_NR_CLASSES,
		.classes = (uintptr_t)classes,
	};
	if (!ioctl(fd, KARENA_IOC_EXPLAIN, explain))
		return 0;
	complain_heap(id, errno);
	return -1;
}

int check_heap(int fd, __u32 id, struct karena_check *check,
	       struct karena_damage_record records[KARENA_MAX_DAMAGES])
{
	*check = (struct karena_check) {
		.size = sizeof(*check),
		.id = id,
		.records = (uintptr_t)records,
		.length = KARENA_MAX_DAMAGES * sizeof(*records),
	};
	if (!ioctl(fd, KARENA_IOC_CHECK, check))
		return 0;
	if (errno == ENOTTY)
		complain("the module is too old to check heaps");
	else
		complain_heap(id, errno);
	return -1;
}

/* Garbage as well, in a heap that is collected. */
int reclaim_heap(int fd, __u32 id, struct karena_reclaim *reclaim)
{
	*reclaim = (struct karena_reclaim) {
		.size = sizeof(*reclaim),
		.flags = KARENA_RECLAIM_COLLECT,
		.id = id,
	};
	if (!ioctl(fd, KARENA_IOC_RECLAIM, reclaim))
		return 0;
	reclaim->flags = 0;
	if (errno == EINVAL && !ioctl(fd, KARENA_IOC_RECLAIM, reclaim))
		return 0;
	complain_heap(id, errno);
	return -1;
}

int read_memory(int fd, __u32 id, struct karena_memory *memory)
{
	*memory = (struct karena_memory){ .size = sizeof(*memory), .id = id };
	if (!ioctl(fd, KARENA_IOC_MEMORY, memory))
		return 0;
	complain_heap(id, errno);
	return -1;
}

/* As it has been read, but for what is to change. */
int set_memory(int fd, struct karena_memory *memory)
{
	memory->flags = KARENA_MEMORY_SET;
	memory->over = 0;
	if (!ioctl(fd, KARENA_IOC_MEMORY, memory))
		return 0;
	if (errno == EINVAL)
		fprintf(stderr, "karenactl: heap %u: a value is out of range\n", memory->id);
	else
		complain_heap(memory->id, errno);
	return -1;
}

/* About struct karena_list, by errno. */
void complain_list(__u32 id)
{
	if (errno == EINVAL)
		fprintf(stderr, "karenactl: heap %u: not of a program, so there is no such list\n",
			id);
	else if (errno == ENOTTY)
		complain("has no such list: the module is older than karenactl");
	else
		complain_heap(id, errno);
}

/* A descriptor of the heap as it is now. */
int open_dump(int fd, __u32 id)
{
	struct karena_dump dump = { .size = sizeof(dump), .id = id };
	int tries = DUMP_TRIES, err;

	/* Programs that cannot stand still now may do so soon. */
	do
		err = ioctl(fd, KARENA_IOC_DUMP, &dump) ? errno : 0;
	while (err == EAGAIN && --tries);
	if (!err)
		return dump.fd;
	errno = err;
	if (errno == EPERM)
		fprintf(stderr, "karenactl: heap %u: only who made it, or root, may dump it\n", id);
	else if (errno == EINVAL)
		fprintf(stderr, "karenactl: heap %u: private, or no program's: cannot be dumped\n",
			id);
	else if (errno == ENOTTY)
		complain("makes no dumps: the module is older than karenactl");
	else
		complain_heap(id, errno);
	return -1;
}
