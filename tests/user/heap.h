/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Raw calls to /dev/karena, one a system call, for the tests in this folder.
 * Each returns 0 (or what its name says) or -errno, and checks nothing: that is
 * what the tests are for.  libkarena is not used.
 */
#ifndef _TESTS_USER_HEAP_H
#define _TESTS_USER_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "../../uapi/karena.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)

/* Window that a test takes when the size does not matter. */
#define WINDOW (256 * MIB)

struct heap {
	int fd;
	__u64 base;
	__u64 window;
	__u64 control_size;
	__u32 id;
	/* NULL when not mapped */
	char *objects;
	const struct karena_control *control;
};

/* Descriptor, or -errno; @flags as of open(2). */
int dev_open(int flags);
int kioctl(int fd, unsigned long cmd, void *arg);

/* Opens and sets up; a fresh heap, nothing mapped. */
int heap_make(struct heap *heap, __u64 window, __u64 limit);
/* Maps window and control region of a heap that was made. */
int heap_map(struct heap *heap);
/* heap_make() and heap_map(), with checks: false when it failed. */
bool heap_open(struct heap *heap, __u64 window, __u64 limit);
/* The same, of one that is collected. */
bool heap_open_collected(struct heap *heap, __u64 window, __u64 limit);
/* And of one whose programs have a barrier. */
bool heap_open_with_barrier(struct heap *heap, __u64 window, __u64 limit);
/* A private one: its window is mapped, and the kernel knows of the first @grown bytes. */
bool heap_open_private(struct heap *heap, __u64 window, __u64 grown);
int heap_grow(int fd, __u64 length);
/* Collects and waits for it. */
int heap_collect(int fd);
/* A range that is searched for references, or with KARENA_ROOT_DEL not any more. */
int heap_root(int fd, const void *start, __u64 length, __u32 flags);
bool gc_info(int fd, struct karena_gc_info *info);
/* How it is collected, to be changed and set. */
bool gc_get(int fd, struct karena_gc_control *control);
bool gc_set(int fd, struct karena_gc_control *control);
/* Each cycle is checked: karena_gc_info.lost tells what it found. */
bool gc_check(int fd);
void heap_unmap(struct heap *heap);
void heap_close(struct heap *heap);

/* Address, or -errno. */
__s64 map_objects(int fd, __u64 hint, __u64 len, int prot, int flags);
__s64 map_control(int fd, __u64 len, int prot, int flags);
bool map_failed(__s64 addr);

int heap_alloc(int fd, __u64 object_size, __u32 flags, __u32 count, __u64 *addrs);
/* One object, 0 when it failed. */
__u64 heap_new(int fd, __u64 object_size, __u32 flags);
/* A type with references; its number, 0 when it failed. */
__u32 heap_register(int fd, __u64 object_size, const __u32 *refs, __u32 nr_refs);
int heap_alloc_type(int fd, __u32 type, __u64 object_size, __u32 flags, __u32 count,
		    __u64 *addrs);
int heap_free(int fd, const __u64 *addrs, __u32 count, struct karena_free *out);
/* Frees one; 0, or enum karena_reject, or -errno. */
int heap_drop(int fd, __u64 addr);
/* Bytes, or -errno. */
__s64 heap_usable(int fd, __u64 addr);
/* Descriptor, or -errno. */
int heap_share(int fd, __u32 flags);
int heap_info(int fd, __u32 id, __u32 next, struct karena_heap_info *info);
int heap_classes(int fd, __u32 id, struct karena_class_stat *stats, __u32 room,
		 __u32 *count);
/* Whether what it holds is spans and free memory, once nobody changes it. */
bool heap_adds_up(int fd);
int dev_info(int fd, struct karena_info *info);

/* Numbers of the caller's user, read through a descriptor of their own. */
bool user_numbers(struct karena_info *info);
/* When no heap is there any more: one that was closed may be, while memory is reclaimed. */
bool user_at_rest(struct karena_info *info);
/*
 * True when the user holds the bytes and heaps of @before again.  What the
 * kernel gives back after the call that dropped the last reference (a dying
 * process' address space) is waited for, but not for ever.
 */
bool user_back_to(const struct karena_info *before);

static inline void *as_ptr(__u64 addr)
{
	return (void *)(uintptr_t)addr;
}

static inline __u64 as_addr(const void *ptr)
{
	return (uintptr_t)ptr;
}

/* What a refused call must leave as it was. */
struct state {
	int ret;
	unsigned int nr_fds;
	struct karena_info user;
	struct karena_heap_info heap;
};

void state_get(int fd, struct state *state);
/* Everything as it was; names each number that is not. */
bool state_same(int fd, const struct state *before);
/* Live objects and what the user holds in heaps: for calls that undo work. */
bool state_live_same(int fd, const struct state *before);

#endif /* _TESTS_USER_HEAP_H */
