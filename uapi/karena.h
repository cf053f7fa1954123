/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * karena: the contract between /dev/karena and user space.
 *
 * Each open of /dev/karena is a heap of its own, empty and without an address
 * until KARENA_IOC_SETUP gives it a window: a fixed range of addresses, the
 * same in each process that maps it, so that a plain pointer into the heap
 * means the same everywhere.  A heap is shared by passing its descriptor, and
 * lives until the last descriptor, mapping and kernel reference is gone.
 *
 * Rules that hold for each structure here: fixed-width members, 64-bit ones
 * naturally aligned, one layout for 32 and 64 bit callers, addresses as
 * __u64.  Those that may grow begin with their size in bytes: a caller built
 * against an older header passes a smaller one and the kernel fills that much;
 * a caller built against a newer one passes a larger one and has to leave the
 * tail zero (E2BIG otherwise).  Unknown flags and reserved members that are
 * not zero get EINVAL, an unknown command ENOTTY.
 */
#ifndef _UAPI_KARENA_H
#define _UAPI_KARENA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#ifdef __cplusplus
#define KARENA_ASSERT(cond) static_assert(cond, #cond)
#else
#define KARENA_ASSERT(cond) _Static_assert(cond, #cond)
#endif

/* Grows when something is added, never otherwise. */
#define KARENA_ABI_VERSION	1

/* Unit of the page heap, in bytes. */
#define KARENA_PAGE_SIZE	8192

/* Largest request that is served from a size class, in bytes. */
#define KARENA_MAX_SMALL	32768

/* Size classes, the one of large objects (0) included. */
#define KARENA_NR_CLASSES	68

/* Most objects that one KARENA_IOC_ALLOC or KARENA_IOC_FREE handles. */
#define KARENA_MAX_BULK		65536

/* Bytes of a heap's name, the closing zero included. */
#define KARENA_NAME_LEN		32

/*
 * Offsets for mmap(2).  Each region is mapped whole and MAP_SHARED.
 *
 * KARENA_OFF_OBJECTS: the window.  Length: karena_setup.window; address: 0 or
 *	karena_setup.base, the kernel places it at base in each process.
 * KARENA_OFF_CONTROL: struct karena_control, then from
 *	karena_control.map_offset on the page-to-class map.  PROT_READ only.
 *	Length: karena_setup.control_size.
 * KARENA_OFF_MAGAZINES: for each CPU its magazines, see struct karena_cpu_magazines.
 *	Length: karena_control.magazines_size.
 * KARENA_OFF_STACKS(shift): stacks, see struct karena_stack_top.  MAP_PRIVATE, with
 *	MAP_FIXED, and any number of times: address and length are multiples of
 *	1 << shift, which is from KARENA_MIN_STACK_SHIFT to KARENA_MAX_STACK_SHIFT.
 */
#define KARENA_OFF_OBJECTS	0ULL
#define KARENA_OFF_CONTROL	(1ULL << 43)
#define KARENA_OFF_MAGAZINES	(2ULL << 43)
#define KARENA_OFF_STACKS(shift) ((3ULL << 43) + ((__u64)(shift) << 37))
#define KARENA_MIN_STACK_SHIFT	13
#define KARENA_MAX_STACK_SHIFT	30

/* Features, in karena_info.features. */
#define KARENA_FEAT_TINY	(1ULL << 0)	/* KARENA_ALLOC_NOSCAN packs */
#define KARENA_FEAT_SHARE	(1ULL << 1)	/* KARENA_IOC_SHARE */
#define KARENA_FEAT_TYPES	(1ULL << 2)	/* KARENA_IOC_REGISTER */
#define KARENA_FEAT_COLLECT	(1ULL << 3)	/* KARENA_SETUP_COLLECT and its calls */
#define KARENA_FEAT_BARRIER	(1ULL << 4)	/* KARENA_SETUP_BARRIER, KARENA_IOC_SHADE */
#define KARENA_FEAT_REFILL	(1ULL << 5)	/* KARENA_IOC_REFILL, KARENA_ROOT_EXTENTS */
#define KARENA_FEAT_MAGAZINES	(1ULL << 6)	/* KARENA_OFF_MAGAZINES and its calls */
#define KARENA_FEAT_PRIVATE	(1ULL << 7)	/* KARENA_SETUP_PRIVATE and its calls */
#define KARENA_FEAT_CLONE	(1ULL << 8)	/* KARENA_IOC_CLONE of heaps that are shared */
#define KARENA_FEAT_SPECIALS	(1ULL << 9)	/* KARENA_IOC_WEAK, KARENA_IOC_CLEANUP, read(2) */
#define KARENA_FEAT_RETURN	(1ULL << 10)	/* KARENA_IOC_RECLAIM, _MEMORY, _EXPLAIN; poll(2) */
#define KARENA_FEAT_PROFILE	(1ULL << 11)	/* KARENA_IOC_PROFILE, KARENA_IOC_CALLS */
#define KARENA_FEAT_STACKS	(1ULL << 12)	/* KARENA_OFF_STACKS, KARENA_ROOT_STACKS */
#define KARENA_FEAT_DUMP	(1ULL << 13)	/* KARENA_IOC_DUMP, _SPANS, _TYPES, _CACHES */
#define KARENA_FEAT_CHECK	(1ULL << 14)	/* KARENA_IOC_CHECK */

/**
 * struct karena_info - KARENA_IOC_INFO: what this module is and can
 * @size: in: sizeof(struct karena_info); out: bytes filled in
 * @abi_version: KARENA_ABI_VERSION of the module
 * @features: KARENA_FEAT_*
 * @page_size: KARENA_PAGE_SIZE of the module, in bytes
 * @nr_classes: KARENA_NR_CLASSES of the module
 * @max_small: largest size with a class, in bytes
 * @max_bulk: most objects one call takes
 * @min_window: smallest window, in bytes
 * @max_window: largest window, in bytes
 * @default_window: window of a heap that asks for none, in bytes
 * @user_heaps: heaps that the caller's user has set up
 * @max_user_heaps: how many it may have
 * @user_bytes: bytes of memory that all heaps of the caller's user hold
 * @max_user_bytes: how many they may hold
 */
struct karena_info {
	__u32 size;
	__u32 abi_version;
	__u64 features;
	__u32 page_size;
	__u32 nr_classes;
	__u32 max_small;
	__u32 max_bulk;
	__u64 min_window;
	__u64 max_window;
	__u64 default_window;
	__u32 user_heaps;
	__u32 max_user_heaps;
	__u64 user_bytes;
	__u64 max_user_bytes;
};
KARENA_ASSERT(sizeof(struct karena_info) == 80);

/**
 * struct karena_class_info - one size class
 * @object_size: bytes of an object, 0 for the class of large objects
 * @span_pages: pages (of KARENA_PAGE_SIZE) of a span
 * @span_objects: objects in a span
 * @magazine: objects in a magazine of this class
 */
struct karena_class_info {
	__u32 object_size;
	__u32 span_pages;
	__u32 span_objects;
	__u32 magazine;
};
KARENA_ASSERT(sizeof(struct karena_class_info) == 16);

/**
 * struct karena_classes - KARENA_IOC_CLASSES: the size classes
 * @size: sizeof(struct karena_classes)
 * @count: in: room at @classes; out: classes there are
 * @classes: address of an array of struct karena_class_info
 */
struct karena_classes {
	__u32 size;
	__u32 count;
	__u64 classes;
};
KARENA_ASSERT(sizeof(struct karena_classes) == 16);

/**
 * struct karena_setup - KARENA_IOC_SETUP: give the heap its window
 * @size: sizeof(struct karena_setup)
 * @flags: KARENA_SETUP_COLLECT: what no process can reach is freed, see
 *	KARENA_IOC_ROOT; with KARENA_SETUP_BARRIER beside it the programs have a write
 *	barrier, see KARENA_IOC_SHADE.  KARENA_SETUP_PRIVATE: the window is memory of one
 *	process, see KARENA_IOC_GROW
 * @window: in: bytes of addresses, 0 for the default; out: rounded up to
 *	KARENA_PAGE_SIZE
 * @limit: in: most bytes of memory that objects may hold, 0 for the whole
 *	window
 * @base: out: address of the window
 * @control_size: out: bytes of the control region
 * @id: out: number of the heap, as in struct karena_heap_info
 * @reserved: 0
 * @name: in: shown by tools; zero-terminated, printable
 *
 * Errors: EBADF the descriptor is not open for writing; EBUSY set up already;
 * EINVAL window or limit out of range, name not printable or not terminated;
 * ENOSPC the user has its number of heaps, or 4 TiB of windows; ENOMEM; EFAULT,
 * and no heap.
 */
struct karena_setup {
	__u32 size;
	__u32 flags;
	__u64 window;
	__u64 limit;
	__u64 base;
	__u64 control_size;
	__u32 id;
	__u32 reserved;
	char name[KARENA_NAME_LEN];
};
KARENA_ASSERT(sizeof(struct karena_setup) == 80);

#define KARENA_SETUP_COLLECT	(1U << 0)
#define KARENA_SETUP_BARRIER	(1U << 1)	/* with KARENA_SETUP_COLLECT only */
#define KARENA_SETUP_PRIVATE	(1U << 2)	/* with no other flag */

/* Most types of a heap, and bytes of memory that each of them is charged for. */
#define KARENA_MAX_TYPES	1024
#define KARENA_TYPE_CHARGE	49152

/* For karena_register.flags; with both of them refs is empty. */
#define KARENA_TYPE_NOSCAN	(1U << 0)	/* no word is a reference */
#define KARENA_TYPE_CONSERVATIVE (1U << 1)	/* any word may be one */

/**
 * struct karena_register - KARENA_IOC_REGISTER: where objects hold references
 * @size: sizeof(struct karena_register)
 * @flags: KARENA_TYPE_*, at most one
 * @object_size: bytes of an object, or of an element of an array: 1 to
 *	KARENA_MAX_SMALL, a multiple of 8 if it holds references
 * @refs: address of an array of @nr_refs __u32: offsets in bytes of the words that
 *	hold references, ascending multiples of 8
 * @nr_refs: how many; 0: as KARENA_TYPE_NOSCAN
 * @bad: out: index of the first offset that cannot be, also when the call fails
 *	for it; else @nr_refs
 * @id: out: number of the type, for karena_alloc.type
 * @reserved: 0
 * @name: shown by tools; zero-terminated, printable
 *
 * A type lives as long as its heap.  One of the same name, size and references is the
 * same, with the same number.  Errors: EBADF, ENXIO, EINVAL (also if the heap is private),
 * EFAULT, ENOSPC the heap
 * has KARENA_MAX_TYPES, ENOMEM; EINTR killed while at it.
 */
struct karena_register {
	__u32 size;
	__u32 flags;
	__u64 object_size;
	__u64 refs;
	__u32 nr_refs;
	__u32 bad;
	__u32 id;
	__u32 reserved;
	char name[KARENA_NAME_LEN];
};
KARENA_ASSERT(sizeof(struct karena_register) == 72);

/* For karena_alloc.flags. */
#define KARENA_ALLOC_NOZERO	(1U << 0)	/* what an object held may stand */
#define KARENA_ALLOC_NOSCAN	(1U << 1)	/* will never hold a pointer */

/**
 * struct karena_alloc - KARENA_IOC_ALLOC: objects of one size
 * @size: sizeof(struct karena_alloc)
 * @flags: KARENA_ALLOC_*
 * @object_size: bytes of each, from 1 up; with a type a multiple of its size, for
 *	an array, or 0 for one
 * @count: how many, 1 to KARENA_MAX_BULK
 * @type: 0, or number of a type (KARENA_IOC_REGISTER); not with
 *	KARENA_ALLOC_NOSCAN, as the type says it
 * @addrs: address of an array of @count __u64, which gets the objects
 *
 * All or nothing.  Objects are aligned to 16 bytes, those of up to 8 or of 17 to
 * 24 bytes to 8, above KARENA_MAX_SMALL to KARENA_PAGE_SIZE, and those with
 * KARENA_ALLOC_NOSCAN below 16 bytes to the largest of 2, 4 and 8 that divides
 * their size.  Errors: EBADF, ENXIO not set up, EINVAL, EFAULT, ENOMEM the
 * heap is at its limit, the user or the control group at its own, or the
 * machine has no memory; EINTR killed while at it.
 */
struct karena_alloc {
	__u32 size;
	__u32 flags;
	__u64 object_size;
	__u32 count;
	__u32 type;
	__u64 addrs;
};
KARENA_ASSERT(sizeof(struct karena_alloc) == 32);

/* Why an address was not freed, in karena_free.reason. */
enum karena_reject {
	KARENA_REJECT_NONE,
	KARENA_REJECT_NOT_OBJECT,	/* nothing of this heap is there */
	KARENA_REJECT_INTERIOR,		/* inside of an object, not its start */
	KARENA_REJECT_DOUBLE,		/* free already */
	KARENA_REJECT_OTHER_HEAP,	/* kernel callers only: of another heap */
	KARENA_NR_REJECT
};

/**
 * struct karena_free - KARENA_IOC_FREE: objects that are not needed any more
 * @size: sizeof(struct karena_free)
 * @flags: 0
 * @addrs: address of an array of @count __u64; 0 in it is skipped
 * @count: how many, 1 to KARENA_MAX_BULK
 * @rejected: out: how many were not freed, because they were no live objects
 * @first_rejected: out: index of the first of them
 * @reason: out: why that one, enum karena_reject
 *
 * The call succeeds with rejected addresses among the others: those are
 * counted and change nothing.  Errors: EBADF, ENXIO, EINVAL, EFAULT; after
 * EFAULT what came before the bad address has been freed.
 */
struct karena_free {
	__u32 size;
	__u32 flags;
	__u64 addrs;
	__u32 count;
	__u32 rejected;
	__u32 first_rejected;
	__u32 reason;
};
KARENA_ASSERT(sizeof(struct karena_free) == 32);

/**
 * struct karena_usable - KARENA_IOC_USABLE: the object at an address
 * @size: sizeof(struct karena_usable)
 * @flags: 0
 * @addr: in: start of a live object
 * @usable: out: bytes that may be used from @addr on
 *
 * Errors: ENXIO, EINVAL, ENOENT no live object begins there.
 */
struct karena_usable {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 usable;
};
KARENA_ASSERT(sizeof(struct karena_usable) == 24);

/* For karena_share.flags. */
#define KARENA_SHARE_RDONLY	(1U << 0)	/* may map to read, and ask */

/**
 * struct karena_share - KARENA_IOC_SHARE: one more descriptor for this heap
 * @size: sizeof(struct karena_share)
 * @flags: KARENA_SHARE_*
 * @fd: out: the descriptor, close-on-exec
 * @reserved: 0
 *
 * Errors: ENXIO, EINVAL, EBADF a descriptor asks for a right that it has not
 * got, EMFILE, ENFILE, ENOMEM.
 */
struct karena_share {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_share) == 16);

/**
 * struct karena_heap_info - KARENA_IOC_HEAP_INFO: one heap and its numbers
 * @size: in: sizeof(struct karena_heap_info); out: bytes filled in
 * @id: in: 0 for the descriptor's own heap, else the number of any heap that
 *	the caller may see (its user's own; all with CAP_SYS_ADMIN); out: the
 *	heap's number
 * @next: in: 0; with 1 the heap with the smallest number above @id instead,
 *	which is how to walk them all; out: unchanged
 * @kind: 0 user heap, 1 kernel heap
 * @uid: user who set it up, in the caller's user namespace
 * @pid: process that set it up, in the caller's pid namespace, 0 if not there
 * @base: address of the window; 0 for kernel heaps
 * @window: bytes of the window; 0 for kernel heaps
 * @control_size: bytes of the control region; 0 for kernel heaps
 * @limit: most bytes of memory that its objects may hold, all bits set if there
 *	is no limit
 * @held_bytes: memory that it holds for objects, free spans included
 * @span_bytes: of it, in spans in use
 * @free_bytes: of it, in free spans, kept for reuse
 * @live_bytes: of the spans, in objects that are allocated
 * @cached_bytes: of the spans, in magazines and depots, those of programs among them
 * @meta_bytes: memory for its metadata, about
 * @nr_spans: spans in use
 * @live_objects: objects that are allocated
 * @allocs: objects allocated since it was made; by programs or for their magazines
 * @frees: objects freed since then, by programs or from their magazines
 * @refills: magazines filled from spans
 * @flushes: magazines emptied to spans
 * @failed: allocations that found no memory
 * @rejects: wrong frees by reason, enum karena_reject
 * @name: as it was given
 *
 * Counters are read without stopping anybody: each is right, their sums may be
 * off by what happened meanwhile.  Errors: EINVAL, ENXIO @id is 0 and the
 * descriptor's heap is not set up, ENOENT no such heap, or not for this caller.
 */
struct karena_heap_info {
	__u32 size;
	__u32 id;
	__u32 next;
	__u32 kind;
	__u32 uid;
	__u32 pid;
	__u64 base;
	__u64 window;
	__u64 control_size;
	__u64 limit;
	__u64 held_bytes;
	__u64 span_bytes;
	__u64 free_bytes;
	__u64 live_bytes;
	__u64 cached_bytes;
	__u64 meta_bytes;
	__u64 nr_spans;
	__u64 live_objects;
	__u64 allocs;
	__u64 frees;
	__u64 refills;
	__u64 flushes;
	__u64 failed;
	__u64 rejects[KARENA_NR_REJECT];
	char name[KARENA_NAME_LEN];
};
KARENA_ASSERT(sizeof(struct karena_heap_info) == 24 + 17 * 8 + 5 * 8 + 32);

/**
 * struct karena_class_stat - numbers of one size class in one heap
 * @object_size: bytes of an object, 0 for all large objects together
 * @noscan: 1 for the objects that hold no pointers
 * @spans: spans in use
 * @live_objects: objects allocated
 * @cached_objects: objects in magazines and depots
 * @free_objects: free slots in spans
 * @allocs: objects allocated since the heap was made
 */
struct karena_class_stat {
	__u32 object_size;
	__u32 noscan;
	__u64 spans;
	__u64 live_objects;
	__u64 cached_objects;
	__u64 free_objects;
	__u64 allocs;
};
KARENA_ASSERT(sizeof(struct karena_class_stat) == 48);

/**
 * struct karena_class_stats - KARENA_IOC_CLASS_STATS: classes that a heap uses
 * @size: sizeof(struct karena_class_stats)
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @count: in: room at @stats; out: classes in use (may be more than fitted)
 * @reserved: 0
 * @stats: address of an array of struct karena_class_stat
 *
 * Errors: EINVAL, EFAULT, and those of KARENA_IOC_HEAP_INFO.
 */
struct karena_class_stats {
	__u32 size;
	__u32 id;
	__u32 count;
	__u32 reserved;
	__u64 stats;
};
KARENA_ASSERT(sizeof(struct karena_class_stats) == 24);

/**
 * struct karena_collect - KARENA_IOC_COLLECT: collect now
 * @size: sizeof(struct karena_collect)
 * @flags: KARENA_COLLECT_WAIT: until it is done, and what was found dead is free
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @reserved: 0
 *
 * Errors: EBADF the descriptor is not open for writing; EINVAL the heap is not
 * collected; EINTR a fatal signal came first; those of KARENA_IOC_HEAP_INFO.
 */
struct karena_collect {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_collect) == 16);

#define KARENA_COLLECT_WAIT	(1U << 0)

/**
 * struct karena_step - KARENA_IOC_STEP: work for the cycle that runs
 * @size: sizeof(struct karena_step)
 * @flags: 0
 * @ns: in: about how long, in nanoseconds, up to a tenth of a second; out: 1 if
 *	there was anything to do, else 0
 *
 * Errors: EINVAL also if the heap is not collected.
 */
struct karena_step {
	__u32 size;
	__u32 flags;
	__u64 ns;
};
KARENA_ASSERT(sizeof(struct karena_step) == 16);

/**
 * struct karena_extent - objects of one size next to each other
 * @start: address of the first
 * @end: address behind the last; @start if there is none
 */
struct karena_extent {
	__u64 start;
	__u64 end;
};
KARENA_ASSERT(sizeof(struct karena_extent) == 16);

/* Most of them that one KARENA_IOC_REFILL fills. */
#define KARENA_MAX_EXTENTS	32

/**
 * struct karena_refill - KARENA_IOC_REFILL: objects of a type, to hand out one by one
 * @size: sizeof(struct karena_refill)
 * @flags: in: 0, or KARENA_REFILL_SAMPLE if that is what the last call told for the same
 *	objects; out: KARENA_REFILL_SAMPLE: behind these there is one to be sampled
 *	(KARENA_IOC_PROFILE), which the next call gets
 * @type: number of a type (KARENA_IOC_REGISTER)
 * @count: in: most objects, 1 to KARENA_MAX_BULK; out: how many there are, at least 1
 * @extents: address of an array of struct karena_extent, which gets the objects
 * @room: in: its length, 1 to KARENA_MAX_EXTENTS; out: how many are filled
 * @distance: out: bytes from one object of an extent to the next
 *
 * In a heap that is collected.  Extents that are in a range with KARENA_ROOT_EXTENTS keep
 * their objects, so that a program takes the next one by
 *
 *	object = extent->start;		kept in a register from here on
 *	extent->start += distance;
 *
 * without a call.  What is left in them when the process dies is garbage.
 *
 * Errors: those of KARENA_IOC_ALLOC; EINVAL also if the heap is not collected.
 */
struct karena_refill {
	__u32 size;
	__u32 flags;
	__u32 type;
	__u32 count;
	__u64 extents;
	__u32 room;
	__u32 distance;
};
KARENA_ASSERT(sizeof(struct karena_refill) == 32);

#define KARENA_REFILL_SAMPLE	(1U << 0)

/* Most objects of a magazine, and what a slot counts in, in bytes. */
#define KARENA_MAGAZINE_SLOTS	2000
#define KARENA_SLOT_UNIT	16

/*
 * Magazines of a CPU, one for each value that the page-to-class map can have.  Those from
 * KARENA_LARGE_MAGAZINE on, in private heaps only, are of large objects that have one of
 * 12 numbers of pages: 5, 6, 7, 8, 10, 12, 14, 16, ... 32.
 */
#define KARENA_LARGE_MAGAZINE	138
#define KARENA_NR_MAGAZINES	150

static inline __u32 karena_magazine_pages(__u32 number)
{
	__u32 large = number - KARENA_LARGE_MAGAZINE;

	return (5 + large % 4) << large / 4;
}

/* Bytes from one CPU's magazines to the next, as a power of two. */
#define KARENA_CPU_SHIFT	18

/* Sets of magazines before those of CPU 0, of no CPU. */
#define KARENA_NO_CPUS		2

/**
 * struct karena_cpu_magazine - objects of a span class that a CPU has ready
 * @top: number of the slot behind the last one that has an object
 * @left: objects that are to be taken until one is asked for by KARENA_IOC_FILL
 * @end: of that behind the last one that may have one, written by the kernel, which
 *	makes it more as calls show that it would be of use
 * @begin: of the first one; as @end, and as @top, if there is none
 */
struct karena_cpu_magazine {
	__u16 top;
	__u16 left;
	__u16 end;
	__u16 begin;
};
KARENA_ASSERT(sizeof(struct karena_cpu_magazine) == 8);

/**
 * struct karena_cpu_magazines - all magazines of a CPU
 * @magazine: by the values of the page-to-class map
 * @slot: objects: the distance of each from the begin of the window, in KARENA_SLOT_UNIT
 *
 * Whoever runs on a CPU may take the object before @top, or put one there, and does so by
 * a sequence that begins anew if it is preempted (rseq(2)) and has one store to @top and
 * @left together as its last instruction.  Who takes an object subtracts 1 from both; at
 * a @left of 0, which comes rarely, KARENA_IOC_FILL is called as if there were none: by
 * that the kernel samples objects (KARENA_IOC_PROFILE).  Those of CPU c are at
 *
 *	(KARENA_NO_CPUS + c) << KARENA_CPU_SHIFT
 *
 * in the region: a thread that is not registered for rseq, whose rseq.cpu_id is below 0,
 * finds magazines that have neither objects nor room.  The objects of magazine n are of
 * the pages that have n in the page-to-class map.  One that is empty is filled by
 * KARENA_IOC_FILL, one that is full is emptied by KARENA_IOC_FLUSH.  There is none for
 * objects that begin at odd multiples of 8, and none at all in heaps with a window above
 * 64 GiB.
 *
 * In a heap that is collected, objects in a magazine are cleared, unless they hold no
 * references, and none is put there while karena_control.phase, which the sequence
 * reads, is KARENA_PHASE_MARK: KARENA_IOC_FREE is for them then.
 */
struct karena_cpu_magazines {
	union {
		struct karena_cpu_magazine magazine[KARENA_NR_MAGAZINES];
		__u32 slot[(1U << KARENA_CPU_SHIFT) / sizeof(__u32)];
	};
};
KARENA_ASSERT(sizeof(struct karena_cpu_magazines) == 1U << KARENA_CPU_SHIFT);

/**
 * struct karena_fill - KARENA_IOC_FILL: an object, and some for this CPU's magazine
 * @size: sizeof(struct karena_fill)
 * @flags: 0
 * @magazine: its number
 * @count: out: objects put into it, which may be none
 * @object: out: one more, the caller's
 *
 * Not cleared, unless the heap is collected.  Errors: those of KARENA_IOC_ALLOC; EINVAL
 * also if there is no such magazine.
 */
struct karena_fill {
	__u32 size;
	__u32 flags;
	__u32 magazine;
	__u32 count;
	__u64 object;
};
KARENA_ASSERT(sizeof(struct karena_fill) == 24);

/**
 * struct karena_flush - KARENA_IOC_FLUSH: free an object, and make room in a magazine
 * @size: sizeof(struct karena_flush)
 * @flags: KARENA_FLUSH_ALL: all magazines of all CPUs instead; then @magazine and
 *	@object are 0
 * @magazine: its number
 * @rejected: out: what was in it and no live object; counted by the heap, and dropped
 * @object: one more, or 0
 * @reason: out: why that was not freed, enum karena_reject
 * @reserved: 0
 *
 * Errors: EBADF, ENXIO; EINVAL also if there is no such magazine.
 */
struct karena_flush {
	__u32 size;
	__u32 flags;
	__u32 magazine;
	__u32 rejected;
	__u64 object;
	__u32 reason;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_flush) == 32);

#define KARENA_FLUSH_ALL	(1U << 0)

/**
 * struct karena_grow - KARENA_IOC_GROW: how much of a private heap's window there is
 * @size: sizeof(struct karena_grow)
 * @flags: 0
 * @length: bytes from the start of the window that the process has mapped, a multiple of
 *	KARENA_PAGE_SIZE; less than before changes nothing
 *
 * The objects of a heap with KARENA_SETUP_PRIVATE are in memory that the process maps by
 * itself at karena_setup.base (MAP_PRIVATE | MAP_ANONYMOUS) as it grows; the kernel never
 * touches it.  Before the first call, and where what there is does not suffice, to
 * allocate fails with ENOMEM.  KARENA_ALLOC_NOZERO changes nothing there: memory that is
 * new, or has been given back, is zero, any other is as it was; in a clone, what was free
 * in the heap that it was made of is as it was there.  It counts as memory of the process;
 * for the user only a quarter of it does, for what the kernel knows of it.
 *
 * Errors: EBADF, ENXIO; EINVAL also if the heap is not private; ENOMEM.
 */
struct karena_grow {
	__u32 size;
	__u32 flags;
	__u64 length;
};
KARENA_ASSERT(sizeof(struct karena_grow) == 16);

/**
 * struct karena_release - KARENA_IOC_RELEASE: memory of a private heap to give back
 * @size: sizeof(struct karena_release)
 * @flags: KARENA_RELEASE_ALL: all that is free, else all but what is worth keeping: what was
 *	used at most within the last second, and a tenth of that
 * @start: in: what the last call told, and has been given back since; out: address of
 *	memory that is free in the heap, to be given back (MADV_DONTNEED)
 * @length: in, out: its bytes; 0 if there is none
 *
 * What a call tells is nobody's until the next one.  Errors: EBADF, ENXIO; EINVAL also if
 * the heap is not private, or @start and @length are not what was told.
 */
struct karena_release {
	__u32 size;
	__u32 flags;
	__u64 start;
	__u64 length;
};
KARENA_ASSERT(sizeof(struct karena_release) == 24);

#define KARENA_RELEASE_ALL	(1U << 0)

/**
 * struct karena_clone - KARENA_IOC_CLONE: a heap with the same objects
 * @size: sizeof(struct karena_clone)
 * @flags: 0
 * @fd: out: its descriptor, close-on-exec
 * @reserved: 0
 *
 * The clone is at the same addresses, so that no process can map both at once, has the
 * same objects, types and limits, and nothing in its magazines; what those of the heap
 * have is free in it.  From there on what is done to one of them is not seen in the other.
 *
 * It is as the heap was at one moment during the call, with all that was written before
 * by anybody and nothing that was written after.  Who comes to the heap meanwhile waits.
 * Memory is the same for both until one of them writes there; all of it is charged to the
 * user at once.  If the heap is collected, so is the clone, but not before somebody says
 * so (KARENA_IOC_GC_CONTROL, KARENA_IOC_COLLECT): nobody has mapped it yet.
 *
 * The clone of a private heap is for a child after fork(), whose memory is as its
 * parent's was.  To be of one moment, nobody may allocate or free there from this call
 * until fork() has returned.
 *
 * Errors: EBADF also if the descriptor is not open for reading, ENXIO; EMFILE, ENFILE;
 * ENOSPC the user has its number of heaps, or 4 TiB of windows; EAGAIN programs were at
 * calls that change it for ten seconds without a pause; ENOMEM; EINTR killed while at it.
 */
struct karena_clone {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_clone) == 16);

/**
 * struct karena_root_range - KARENA_IOC_ROOT: memory where references are
 * @size: sizeof(struct karena_root_range)
 * @flags: KARENA_ROOT_DEL: not any more; then @start and @length are those of a range.
 *	KARENA_ROOT_EXTENTS: the range holds struct karena_extent.  KARENA_ROOT_STACKS(shift):
 *	it is of stacks, see struct karena_stack_top
 * @start: address, a multiple of 8, of 16 with KARENA_ROOT_EXTENTS, of 1 << shift with
 *	KARENA_ROOT_STACKS; not in the heap's window
 * @length: bytes, a multiple as well, above 0
 *
 * Each cycle searches the range for references, whatever else is in it; what of it
 * cannot be read is left out, and so is what would have to be fetched first from
 * another program or machine (userfaultfd, FUSE, network file systems).  Stacks and
 * registers of all threads are searched without this.  With KARENA_ROOT_EXTENTS each
 * two words that are an extent of the heap refer to all of its objects; others are
 * searched as they are.  Ranges belong to the process,
 * and to its children after fork(); they are gone when the window is not mapped any
 * more.
 *
 * Errors: EINVAL, also if the heap is not collected; ENXIO the caller has not mapped
 * the window; EEXIST it overlaps another range; ENOENT no such range; ENOSPC the
 * process has 4,096; ENOMEM.
 */
struct karena_root_range {
	__u32 size;
	__u32 flags;
	__u64 start;
	__u64 length;
};
KARENA_ASSERT(sizeof(struct karena_root_range) == 24);

#define KARENA_ROOT_DEL		(1U << 0)
#define KARENA_ROOT_EXTENTS	(1U << 1)
#define KARENA_ROOT_STACKS(shift) ((__u32)(shift) << 8)

/**
 * struct karena_stack_top - the highest bytes of a stack
 * @sp: the stack pointer when it was last left, a multiple of 8; 0 if there is nothing on it
 * @reserved: for the program
 *
 * A mapping at KARENA_OFF_STACKS(shift) is an array of stacks of 1 << shift bytes each.  A
 * page of it takes memory when it is first written, as the stack grows down, but the lowest
 * page of each: there the program gets SIGSEGV.  The memory is that of the process, private
 * to it, and given back by madvise(2) with MADV_DONTNEED.
 *
 * If a part of it is a range with KARENA_ROOT_STACKS(shift), references are found on each
 * stack from 128 bytes below @sp up; and on the one that a thread is on, from below its
 * stack pointer.  So whoever leaves a stack pushes what it has in registers, stores the
 * stack pointer in @sp, and loads that of another one.  That one's @sp may stand, as long as
 * the thread is on it.
 */
struct karena_stack_top {
	__u64 sp;
	__u64 reserved;
};
KARENA_ASSERT(sizeof(struct karena_stack_top) == 16);

/**
 * struct karena_shade - KARENA_IOC_SHADE: references that are about to be overwritten
 * @size: sizeof(struct karena_shade)
 * @flags: 0
 * @addrs: address of an array of @count __u64: words, whatever they are
 * @count: how many, 1 to KARENA_MAX_BULK
 * @reserved: 0
 *
 * In a heap with KARENA_SETUP_BARRIER the kernel does not watch stores.  Whoever
 * overwrites a word in an object that may hold a reference
 *
 *  1. loads it, and keeps what it was in a register or on the stack until 4.,
 *  2. looks at karena_control.phase,
 *  3. if that is KARENA_PHASE_MARK, makes this call for what it was,
 *  4. stores the new value, if the word is still what it was; else begins anew.
 *
 * What is freed in the first place is shaded by the call that frees it.
 *
 * Errors: EBADF, ENXIO, EFAULT; EINVAL also if the heap has no such barrier.
 */
struct karena_shade {
	__u32 size;
	__u32 flags;
	__u64 addrs;
	__u32 count;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_shade) == 24);

/**
 * struct karena_gc_control - KARENA_IOC_GC_CONTROL: how a heap is collected
 * @size: sizeof(struct karena_gc_control)
 * @flags: KARENA_GC_SET: change it, else it is only told
 * @percent: how much the heap may grow over what was found alive until the next cycle
 *	ends (GOGC), -1 for never
 * @workers: who mark at a time, 0: as @share needs
 * @min_heap: bytes; no goal is below @percent of it
 * @mem_limit: bytes of memory to stay below by collecting, 0 for no limit
 * @period_ms: milliseconds after which there is a cycle in any case, 0 for never
 * @slice_us: microseconds of marking at a stretch, 10 to 100000
 * @share: percent of all CPUs that marking in the background may take, 1 to 100
 * @assist_us: most microseconds that an allocation helps at a time, 0 for none
 * @trace: 1: a line in the kernel's log for each cycle
 * @check: 1: find what is reachable a second time, by other means, and compare
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @reserved: 0
 *
 * Errors: EBADF to change it needs a descriptor to write; EINVAL also if the heap is
 * not collected; EINTR; those of KARENA_IOC_HEAP_INFO.
 */
struct karena_gc_control {
	__u32 size;
	__u32 flags;
	__s32 percent;
	__u32 workers;
	__u64 min_heap;
	__u64 mem_limit;
	__u32 period_ms;
	__u32 slice_us;
	__u32 share;
	__u32 assist_us;
	__u32 trace;
	__u32 check;
	__u32 id;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_gc_control) == 64);

#define KARENA_GC_SET		(1U << 0)

/* Lengths of time: below 1 microsecond, below 2, 4, 8, ..., and all longer ones. */
#define KARENA_GC_BUCKETS	16

/**
 * struct karena_gc_info - KARENA_IOC_GC_INFO: what the collector has done for a heap
 * @size: in: sizeof(struct karena_gc_info); out: bytes filled in
 * @phase: KARENA_PHASE_*
 * @cycles: complete ones
 * @forced: of these, those that were asked for
 * @freed_objects: found dead, small ones
 * @freed_bytes: their bytes
 * @live_bytes: found alive by the last cycle
 * @goal_bytes: what may be in use when the next one ends
 * @marked_objects: found alive, in all cycles
 * @marked_bytes: their bytes
 * @mark_ns: nanoseconds of marking, all workers together
 * @assist_ns: of it, by allocations
 * @slices: stretches of marking
 * @assists: of these, by allocations
 * @lost: objects that a check found reachable and not marked
 * @stops: times that all threads were stopped, for a cycle or a dump
 * @put_off: times that they could not be in time
 * @stop_ns: nanoseconds that they were stopped, all together
 * @stop_max_ns: the longest time
 * @protect_ns: nanoseconds of protecting pages before
 * @cleanups: that wait for their objects to go, see KARENA_IOC_CLEANUP
 * @cleanups_due: whose objects are gone, and which nobody has read
 * @cleanups_done: that have been read
 * @weak: weak references whose objects are there
 * @weak_cleared: whose objects are gone, in all cycles
 * @slice_us: slices by length, see KARENA_GC_BUCKETS
 * @stop_us: stops by length
 * @assist_us: slices of allocations by length, which @slice_us has as well
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @reserved: 0
 *
 * Errors: EINVAL also if the heap is not collected; those of KARENA_IOC_HEAP_INFO.
 */
struct karena_gc_info {
	__u32 size;
	__u32 phase;
	__u64 cycles;
	__u64 forced;
	__u64 freed_objects;
	__u64 freed_bytes;
	__u64 live_bytes;
	__u64 goal_bytes;
	__u64 marked_objects;
	__u64 marked_bytes;
	__u64 mark_ns;
	__u64 assist_ns;
	__u64 slices;
	__u64 assists;
	__u64 lost;
	__u64 stops;
	__u64 put_off;
	__u64 stop_ns;
	__u64 stop_max_ns;
	__u64 protect_ns;
	__u64 cleanups;
	__u64 cleanups_due;
	__u64 cleanups_done;
	__u64 weak;
	__u64 weak_cleared;
	__u64 slice_us[KARENA_GC_BUCKETS];
	__u64 stop_us[KARENA_GC_BUCKETS];
	__u64 assist_us[KARENA_GC_BUCKETS];
	__u32 id;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_gc_info) == 584);

/**
 * struct karena_weak_cell - KARENA_IOC_WEAK: a reference that does not keep its object;
 *	KARENA_IOC_WEAK_GET: the object
 * @size: sizeof(struct karena_weak_cell)
 * @flags: 0
 * @cell: live object that holds no references (KARENA_ALLOC_NOSCAN, 16 bytes or more),
 *	and is in no other call but to be freed; its first word is to be @object, as soon
 *	as the call has returned
 * @object: in KARENA_IOC_WEAK: live object, by its start, not packed with others, and
 *	reachable until the call returns; out KARENA_IOC_WEAK_GET: the object, or 0
 *
 * When the object is gone, and before anybody can be told so, the first word of the cell
 * becomes 0, if it is @object still.  The reference is gone with the cell, too.  Who reads
 * the word has the object, if karena_control.phase was KARENA_PHASE_IDLE before and after
 * that, and karena_control.cycle the same; these two are one aligned __u64.  Else
 * KARENA_IOC_WEAK_GET tells; its argument is to be on the stack, or in a root.
 *
 * Who frees an object with weak references or cleanups does so by KARENA_IOC_FREE:
 * KARENA_MAP_SPECIAL says so.
 *
 * Errors: EBADF (KARENA_IOC_WEAK only), ENXIO; EINVAL also if the heap is not collected, the
 * cell holds references or is the object, or the object is packed; ENOENT no live object
 * begins there; EEXIST the cell is one already; ENOMEM; EINTR killed while at it.
 */
struct karena_weak_cell {
	__u32 size;
	__u32 flags;
	__u64 cell;
	__u64 object;
};
KARENA_ASSERT(sizeof(struct karena_weak_cell) == 24);

/**
 * struct karena_cleanup_call - KARENA_IOC_CLEANUP: to be told when an object is gone
 * @size: sizeof(struct karena_cleanup_call)
 * @flags: KARENA_CLEANUP_DEL: not to be told, of the first one with this cookie
 * @object: as in KARENA_IOC_WEAK
 * @cookie: what is told
 *
 * An object may have several.  When it is gone, found dead by a cycle or freed by hand,
 * each is an event, in the order in which they were added.  read(2) on any descriptor of
 * the heap that is open to read and write gets struct karena_event, as many as fit: each
 * event once, whoever comes first.  It waits for one, unless O_NONBLOCK is set; poll(2)
 * says that there are some.  They go with the heap.  An event that could not be copied is
 * there still; one that was is in the reader's memory, even if it is killed before read(2)
 * returns.
 *
 * Errors: EBADF, ENXIO; EINVAL also if the heap is not collected, or the object is packed;
 * ENOENT no live object begins there, or it has no such cleanup; ENOMEM; EINTR.  Of
 * read(2): EBADF, ENXIO, EINVAL also if there is no room for one, EAGAIN, EFAULT, EINTR.
 */
struct karena_cleanup_call {
	__u32 size;
	__u32 flags;
	__u64 object;
	__u64 cookie;
};
KARENA_ASSERT(sizeof(struct karena_cleanup_call) == 24);

#define KARENA_CLEANUP_DEL	(1U << 0)

/**
 * struct karena_event - what read(2) gets
 * @type: KARENA_EVENT_CLEANUP
 * @reserved: 0
 * @cookie: karena_cleanup_call.cookie
 */
struct karena_event {
	__u32 type;
	__u32 reserved;
	__u64 cookie;
};
KARENA_ASSERT(sizeof(struct karena_event) == 16);

#define KARENA_EVENT_CLEANUP	1

/**
 * struct karena_reclaim - KARENA_IOC_RECLAIM: give memory back now
 * @size: sizeof(struct karena_reclaim)
 * @flags: KARENA_RECLAIM_COLLECT: what is garbage goes as well, which waits for a cycle
 * @id: in: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @reserved: 0
 * @returned: out: bytes of pages that went back to the kernel, background work meanwhile
 *	included
 * @meta: out: bytes of metadata that went, about
 *
 * Magazines of all CPUs are emptied, and all that is free goes, whatever is worth keeping.
 * Of a private heap nothing goes before its program says so (KARENA_IOC_RELEASE).
 *
 * Errors: EBADF, EINVAL also if what is not collected is to be, ENXIO, ENOENT; EINTR
 * killed while at it.
 */
struct karena_reclaim {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 reserved;
	__u64 returned;
	__u64 meta;
};
KARENA_ASSERT(sizeof(struct karena_reclaim) == 32);

#define KARENA_RECLAIM_COLLECT	(1U << 0)

/**
 * struct karena_memory - KARENA_IOC_MEMORY: how much memory a heap is to have
 * @size: sizeof(struct karena_memory)
 * @flags: KARENA_MEMORY_SET: change it, else it is only told
 * @id: in: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @eager: 0: free memory goes back in the background, by a hundredth of a CPU, but for a
 *	tenth of what is used; 1: as soon as there is more
 * @policy: what a call to allocate does above the soft limit, KARENA_OVER_*
 * @wait_ms: milliseconds that it waits at most, up to 1000; 0 unless it is to wait
 * @soft_limit: bytes of memory to stay below, by collecting and by giving back all that is
 *	free; 0 for none.  Of a collected heap it is karena_gc_control.mem_limit
 * @over: out: bits of who is over a limit: KARENA_OVER_HEAP, KARENA_OVER_MODULE; when set 0
 * @reserved: 0
 *
 * As long as the heap is over a limit, its own or that of the module (the parameter
 * soft_limit, for all heaps together), poll(2) tells EPOLLPRI.  A clone begins with none of
 * this.
 *
 * Errors: EBADF to change it needs a descriptor to write; EINVAL, ENXIO, ENOENT; EINTR.
 */
struct karena_memory {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 eager;
	__u32 policy;
	__u32 wait_ms;
	__u64 soft_limit;
	__u32 over;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_memory) == 40);

#define KARENA_MEMORY_SET	(1U << 0)

/* For karena_memory.policy. */
#define KARENA_OVER_GO_ON	0	/* it succeeds */
#define KARENA_OVER_WAIT	1	/* it waits until there is room, or for long enough */
#define KARENA_OVER_FAIL	2	/* it fails with ENOMEM if it needs more memory */

/* For karena_memory.over. */
#define KARENA_OVER_HEAP	(1U << 0)
#define KARENA_OVER_MODULE	(1U << 1)

/**
 * struct karena_explain_class - where the memory of the spans of one size class is
 * @object_size: bytes of an object, 0 for all large objects together
 * @reserved: 0
 * @spans: spans in use
 * @span_bytes: their memory: the sum of all below
 * @live_bytes: in objects that are allocated, or will turn out to be garbage
 * @garbage_bytes: in objects that the last cycle found dead, and nobody has swept yet
 * @cached_bytes: in magazines and depots
 * @free_bytes: free between objects: fragmentation
 * @tail_bytes: behind the last object of each span
 */
struct karena_explain_class {
	__u32 object_size;
	__u32 reserved;
	__u64 spans;
	__u64 span_bytes;
	__u64 live_bytes;
	__u64 garbage_bytes;
	__u64 cached_bytes;
	__u64 free_bytes;
	__u64 tail_bytes;
};
KARENA_ASSERT(sizeof(struct karena_explain_class) == 64);

/**
 * struct karena_explain - KARENA_IOC_EXPLAIN: why a heap is as big as it is
 * @size: sizeof(struct karena_explain)
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @count: in: room at @classes; out: size classes in use (may be more than fitted)
 * @reserved: 0
 * @classes: address of an array of struct karena_explain_class
 * @held_bytes: memory for objects: the sum of the next six while nothing happens
 * @live_bytes: as in struct karena_explain_class, as are the next four, of all classes
 * @garbage_bytes: and so on
 * @cached_bytes: and so on
 * @slot_bytes: its free_bytes
 * @tail_bytes: and so on
 * @free_bytes: in no span, and not returned
 * @meta_bytes: memory for metadata: the sum of the next five
 * @meta_span_bytes: of spans, and of the kernel's magazines
 * @meta_map_bytes: from addresses to spans
 * @meta_region_bytes: the regions that programs map beside the window
 * @meta_class_bytes: of size classes and types, and the CPUs' caches of these
 * @meta_gc_bytes: of the collector
 * @soft_limit: bytes, of the heap; 0 for none
 * @goal_bytes: what may be in use when the next cycle ends; 0 if there is none
 * @module_bytes: memory that all heaps hold for objects
 * @module_soft_limit: bytes, of the module; 0 for none
 * @group_room: bytes that the control group has left which paid for the heap's last
 *	memory, below memory.high and memory.max of it and of those above; all bits set if
 *	they have no limit
 * @returned_bytes: given back since the heap was made
 * @return_ns: nanoseconds that this took
 * @return_max_ns: the longest time that a lock was held for it
 * @return_us: these times by length, see KARENA_GC_BUCKETS
 * @return_switches: times that whoever held it was off its CPU meanwhile, which the last
 *	two leave out
 *
 * Read without stopping anybody, as struct karena_heap_info.  Errors: EINVAL, EFAULT,
 * ENXIO, ENOENT, ENOMEM.
 */
struct karena_explain {
	__u32 size;
	__u32 id;
	__u32 count;
	__u32 reserved;
	__u64 classes;
	__u64 held_bytes;
	__u64 live_bytes;
	__u64 garbage_bytes;
	__u64 cached_bytes;
	__u64 slot_bytes;
	__u64 tail_bytes;
	__u64 free_bytes;
	__u64 meta_bytes;
	__u64 meta_span_bytes;
	__u64 meta_map_bytes;
	__u64 meta_region_bytes;
	__u64 meta_class_bytes;
	__u64 meta_gc_bytes;
	__u64 soft_limit;
	__u64 goal_bytes;
	__u64 module_bytes;
	__u64 module_soft_limit;
	__u64 group_room;
	__u64 returned_bytes;
	__u64 return_ns;
	__u64 return_max_ns;
	__u64 return_us[KARENA_GC_BUCKETS];
	__u64 return_switches;
};
KARENA_ASSERT(sizeof(struct karena_explain) == 16 + 23 * 8 + KARENA_GC_BUCKETS * 8);

/* Most return addresses of a stack, and bytes of a kernel function's name. */
#define KARENA_MAX_FRAMES	128
#define KARENA_FUNCTION_LEN	64

/**
 * struct karena_profile - KARENA_IOC_PROFILE: where a heap's objects come from
 * @size: sizeof(struct karena_profile)
 * @flags: KARENA_PROFILE_SET: sample from here on as @rate says
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @reserved: 0
 * @rate: in, with KARENA_PROFILE_SET: mean number of bytes from one sample to the next,
 *	up to 2^40; 0: none are taken.  out: how it is
 * @samples: out: objects that have been sampled
 * @lost: out: of these, and beside them, those that are not told of, or without a stack, for
 *	lack of memory
 * @records: address of room for struct karena_profile_record
 * @length: in: its bytes, 0: only tell; out: bytes of all that there is.  If that is more,
 *	records are missing
 *
 * An object of n bytes is sampled with a probability of 1 - exp(-n / rate), whoever
 * allocates it in whichever way, and each one by itself: who divides counts by that gets
 * what there is, on average.  A sampled object has a page of KARENA_PAGE_SIZE or some of
 * its own.  It lies where the page-to-class map has 0, and KARENA_IOC_CALLS may then tell
 * which calls have led to it.  In a heap that is collected the profile is as of the last
 * complete cycle.  A clone begins without.
 *
 * It has addresses of whoever uses the heap, and so is for the user who made it, or with
 * CAP_SYS_ADMIN.  Errors: EBADF to set it needs a descriptor to write; EPERM the heap is
 * another user's; EINVAL also if the heap is no program's; EFAULT; ENOMEM; those of
 * KARENA_IOC_HEAP_INFO.
 */
struct karena_profile {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 reserved;
	__u64 rate;
	__u64 samples;
	__u64 lost;
	__u64 records;
	__u64 length;
};
KARENA_ASSERT(sizeof(struct karena_profile) == 56);

#define KARENA_PROFILE_SET	(1U << 0)

/**
 * struct karena_profile_record - sampled objects of one size that come from one place
 * @size: bytes of the record, with what follows
 * @pid: process, in the caller's pid namespace, 0 if not there
 * @object_size: bytes of an object, as of its size class
 * @rate: at which they have been sampled
 * @allocs: how many
 * @frees: of these, how many are not there any more
 * @gone: 1: so is the process; its number may be another's
 * @nr_frames: return addresses, the innermost first, which follow
 * @nr_functions: functions of the kernel, if kernel code has asked for them by itself; their
 *	names follow, KARENA_FUNCTION_LEN bytes each
 * @reserved: 0
 */
struct karena_profile_record {
	__u32 size;
	__u32 pid;
	__u64 object_size;
	__u64 rate;
	__u64 allocs;
	__u64 frees;
	__u32 gone;
	__u32 nr_frames;
	__u32 nr_functions;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_profile_record) == 56);

/**
 * struct karena_calls - KARENA_IOC_CALLS: which calls have led to a sampled object
 * @size: sizeof(struct karena_calls)
 * @flags: 0
 * @object: its address
 * @frames: address of an array of @count __u64: return addresses, the innermost first
 * @count: how many, 1 to KARENA_MAX_FRAMES
 * @reserved: 0
 *
 * The kernel follows frame pointers, which few programs have; who allocates may know
 * better.  Once for each object, by the process that it was allocated for.
 *
 * Errors: EBADF, ENXIO, EINVAL, EFAULT; ENOENT no such object; ENOMEM.
 */
struct karena_calls {
	__u32 size;
	__u32 flags;
	__u64 object;
	__u64 frames;
	__u32 count;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_calls) == 32);

/**
 * struct karena_list - part of a list, as several calls have it
 * @size: sizeof(struct karena_list)
 * @flags: as the call says
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @reserved: 0
 * @from: in: 0, or what the last call told; out: where the next one goes on, 0 if that was
 *	all
 * @records: address of room for records, a multiple of 8
 * @length: in: its bytes, at least 4096; out: how many of them are filled
 *
 * Each record begins with its size in bytes, a multiple of 8, what is behind it included.
 * What happens between two calls, or during one, may be in the list or not, or twice; a
 * heap that nobody uses (KARENA_IOC_DUMP) is told of as it is.
 *
 * Errors: EINVAL, EFAULT, ENOMEM, EINTR killed while at it, and those of
 * KARENA_IOC_HEAP_INFO.
 */
struct karena_list {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 reserved;
	__u64 from;
	__u64 records;
	__u64 length;
};
KARENA_ASSERT(sizeof(struct karena_list) == 40);

/**
 * struct karena_span_record - KARENA_IOC_SPANS: pages next to each other, by address
 * @size: bytes of the record, with what follows
 * @flags: KARENA_SPAN_*
 * @start: address
 * @length: bytes, a multiple of KARENA_PAGE_SIZE
 * @object_size: bytes of an object, of a large one what may be used of it; 0 if there are none
 * @objects: how many there is room for; 0 in pages that are in no span
 * @live: how many are allocated, or in magazines of programs
 * @cached: how many are in magazines and depots of the kernel
 * @type: number of the type that they have, 0 if none is known
 * @cycles: how many cycles ago the span was made, at most 65535; 0 if the heap is not
 *	collected
 * @reserved: 0
 *
 * Pages are counted from the begin of the window in karena_list.from: whoever wants to know
 * of one page begins there, and gets first what is around it.
 *
 * With KARENA_SPANS_LIVE in karena_list.flags a bit for each object follows, 64 in a __u64,
 * the lowest first: whether it is allocated.  Of KARENA_SPAN_PACKED that is a block of 16
 * bytes, in which something is.
 *
 * The heap is a program's: EINVAL otherwise, also for another flag.
 */
struct karena_span_record {
	__u32 size;
	__u32 flags;
	__u64 start;
	__u64 length;
	__u64 object_size;
	__u32 objects;
	__u32 live;
	__u32 cached;
	__u32 type;
	__u32 cycles;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_span_record) == 56);

#define KARENA_SPANS_LIVE	(1U << 0)	/* karena_list.flags */

/* karena_span_record.flags */
#define KARENA_SPAN_FREE	(1U << 0)	/* memory that is in no span */
#define KARENA_SPAN_LARGE	(1U << 1)	/* one object */
#define KARENA_SPAN_NOSCAN	(1U << 2)	/* of objects without references */
#define KARENA_SPAN_CONSERVATIVE (1U << 3)	/* any word of an object may be a reference */
#define KARENA_SPAN_PACKED	(1U << 4)	/* blocks of objects below 16 bytes */
#define KARENA_SPAN_SAMPLED	(1U << 5)	/* its object is in the profile */
#define KARENA_SPAN_UNSWEPT	(1U << 6)	/* what the last cycle found dead is there still */

/**
 * struct karena_type_record - KARENA_IOC_TYPES: a type, by number
 * @size: bytes of the record, with what follows
 * @id: its number
 * @flags: KARENA_TYPE_*
 * @nr_refs: references of an object, or of an element; their offsets follow as __u32, one
 *	of 0 behind an odd number of them
 * @element: bytes of an object, or of an element, as registered
 * @live_objects: how many are allocated, arrays as one; large arrays not included
 * @live_bytes: of these, rounded up to their size classes
 * @name: as registered
 *
 * The heap is a program's: EINVAL otherwise.
 */
struct karena_type_record {
	__u32 size;
	__u32 id;
	__u32 flags;
	__u32 nr_refs;
	__u64 element;
	__u64 live_objects;
	__u64 live_bytes;
	char name[KARENA_NAME_LEN];
};
KARENA_ASSERT(sizeof(struct karena_type_record) == 72);

/**
 * struct karena_dump - KARENA_IOC_DUMP: a heap as it is at one moment, to be looked at
 * @size: sizeof(struct karena_dump)
 * @flags: 0
 * @id: 0 for the descriptor's own heap, else as in struct karena_heap_info
 * @fd: out: a descriptor of it, close-on-exec, to read only
 *
 * It is a clone (KARENA_IOC_CLONE), and of a heap that is collected it has a list of what
 * refers to its objects from outside (KARENA_IOC_ROOTS), of the same moment.  Programs
 * stand still as they do for a cycle, and wait as for a clone.  EAGAIN also if they do not
 * for a second.
 *
 * For the user who made the heap, or with CAP_SYS_ADMIN; only with the latter if who made
 * it was a setuid or setgid program, or not dumpable (PR_SET_DUMPABLE; the newest kernels
 * do not tell that).  Who has not got it is not told where processes of other users have
 * their references: of these @at, @pid and @tid are 0.
 *
 * Errors: EBADF the descriptor is not open for reading; EPERM it is another user's, or of
 * such a program; ENOMEM also if there are more than a million roots; EINVAL also if it is
 * private, or no program's; those of KARENA_IOC_CLONE and KARENA_IOC_HEAP_INFO.
 */
struct karena_dump {
	__u32 size;
	__u32 flags;
	__u32 id;
	__s32 fd;
};
KARENA_ASSERT(sizeof(struct karena_dump) == 16);

/* karena_root_record.kind */
#define KARENA_ROOT_REGISTER	0	/* of a thread */
#define KARENA_ROOT_STACK	1
#define KARENA_ROOT_RANGE	2	/* that a program has registered */
#define KARENA_ROOT_CALL	3	/* a call has it for a program that will get it */

/**
 * struct karena_root_record - KARENA_IOC_ROOTS: a word that refers to an object
 * @size: bytes of the record
 * @kind: KARENA_ROOT_*
 * @word: what it is: where an object is, begins, or (of registers and stacks) ends
 * @at: where it is, in the process; of a register its number among the words of its set
 * @pid: process, in the caller's pid namespace, 0 if not there
 * @tid: thread, likewise; 0 if it is of no thread
 *
 * Of the descriptor's own heap, which is a dump: EINVAL otherwise.
 */
struct karena_root_record {
	__u32 size;
	__u32 kind;
	__u64 word;
	__u64 at;
	__u32 pid;
	__u32 tid;
};
KARENA_ASSERT(sizeof(struct karena_root_record) == 32);

/**
 * struct karena_cache_record - KARENA_IOC_CACHES: a magazine that has objects
 * @size: bytes of the record
 * @cpu: of whom it is; KARENA_CACHE_DEPOT if of all
 * @object_size: bytes of an object
 * @objects: how many it has
 * @room: how many it may have
 * @flags: KARENA_CACHE_*
 * @type: number of the type that they have, 0 if none is known
 * @reserved: 0
 */
struct karena_cache_record {
	__u32 size;
	__u32 cpu;
	__u32 object_size;
	__u32 objects;
	__u32 room;
	__u32 flags;
	__u32 type;
	__u32 reserved;
};
KARENA_ASSERT(sizeof(struct karena_cache_record) == 32);

#define KARENA_CACHE_DEPOT	((__u32)-1)
#define KARENA_CACHE_PROGRAM	(1U << 0)	/* programs take from it by themselves */
#define KARENA_CACHE_NOSCAN	(1U << 1)	/* of objects without references */

/* What is wrong with a heap, in karena_damage_record.kind. */
enum karena_damage {
	KARENA_DAMAGE_LINK = 1,	/* a list of spans or magazines is torn */
	KARENA_DAMAGE_SPAN,	/* what a span says of itself cannot be */
	KARENA_DAMAGE_MAP,	/* a page of a span leads elsewhere, or one in no span to some */
	KARENA_DAMAGE_FREE,	/* a span counts its free objects wrongly, or more than it has */
	KARENA_DAMAGE_STATE,	/* an object is in no state that there is, or free and in use */
	KARENA_DAMAGE_WRITTEN,	/* an object was written to after it had been freed */
	KARENA_DAMAGE_PLACE,	/* a span is on a list that is not for it */
	KARENA_DAMAGE_COUNT,	/* the sums of a size class */
	KARENA_DAMAGE_CACHE,	/* a magazine's count, or what is in one is no free object */
	KARENA_DAMAGE_TWICE,	/* an object is in magazines twice */
	KARENA_DAMAGE_RUN,	/* free pages: out of order, or not counted */
	KARENA_DAMAGE_SUM,	/* the sums of the heap */
	KARENA_DAMAGE_MEMORY,	/* a page of a span has no memory */
	KARENA_DAMAGE_CLASS,	/* what programs are told of a page: struct karena_control */
	KARENA_DAMAGE_MARK,	/* a mark behind the last object of a span */
	KARENA_DAMAGE_SPECIAL,	/* a weak reference or cleanup is of what is not live */
	KARENA_NR_DAMAGES
};

/* Most records of one KARENA_IOC_CHECK. */
#define KARENA_MAX_DAMAGES	256

/**
 * struct karena_damage_record - one thing that is wrong with a heap
 * @size: bytes of the record
 * @kind: enum karena_damage
 * @at: address of the object, or of the page, in the window; 0 if it is of none, and in
 *	kernel heaps
 * @object_size: bytes of an object of that size class, 0 if it is of none
 * @found: how many were found, or what is there: a state, 1 if something is and 0 if not
 * @wanted: how many there are to be, or what
 */
struct karena_damage_record {
	__u32 size;
	__u32 kind;
	__u64 at;
	__u64 object_size;
	__u64 found;
	__u64 wanted;
};
KARENA_ASSERT(sizeof(struct karena_damage_record) == 40);

/**
 * struct karena_check - KARENA_IOC_CHECK: verify what the kernel knows of a heap
 * @size: sizeof(struct karena_check)
 * @flags: 0
 * @id: in: 0 for the descriptor's own heap, else as in struct karena_heap_info; out: its
 *	number
 * @reserved: 0
 * @spans: out: spans that were looked at
 * @objects: out: places for objects in them
 * @cached: out: objects in magazines and depots of the kernel
 * @runs: out: runs of free pages, with memory or without
 * @unsettled: out: sums and magazines that changed all the time, so that they could not be
 *	compared: nothing is known of these
 * @damages: out: how much is wrong, one thing once
 * @records: address of room for struct karena_damage_record
 * @length: in: its bytes; out: how many of them are filled, for at most KARENA_MAX_DAMAGES
 *
 * Programs go on meanwhile, and nothing is changed.  What programs do to memory of their
 * own, their magazines among it, is no damage; neither is a wrong free, which has been
 * refused.  What a heap is damaged by is a bug of the kernel's, or a device; of a kernel
 * heap, of whoever wrote where nothing was theirs.
 *
 * Errors: EINVAL, EFAULT, ENOMEM, EINTR killed while at it, and those of
 * KARENA_IOC_HEAP_INFO.
 */
struct karena_check {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 reserved;
	__u64 spans;
	__u64 objects;
	__u64 cached;
	__u64 runs;
	__u64 unsettled;
	__u64 damages;
	__u64 records;
	__u64 length;
};
KARENA_ASSERT(sizeof(struct karena_check) == 80);

/* Of a cycle. */
#define KARENA_PHASE_IDLE	0	/* none runs */
#define KARENA_PHASE_MARK	1
#define KARENA_PHASE_SWEEP	2

/* First word of the control region: "karena" and a version. */
#define KARENA_CONTROL_MAGIC	0x01006172656e616bULL

/**
 * struct karena_control - begin of the control region, written by the kernel
 * @magic: KARENA_CONTROL_MAGIC
 * @base: address of the window
 * @window: its bytes
 * @phase: of the collector: KARENA_PHASE_*
 * @cycle: number of cycles that began
 * @map_offset: where the map begins, in bytes from here
 * @map_entries: entries of the map
 * @flags: those of karena_setup
 * @magazines_size: bytes of the region of magazines, 0 if the heap has none
 * @reserved: 0
 *
 * The map has a __u16 for each page of the window: 0 when no span holds the page, or it is
 * that of an object which is sampled (KARENA_IOC_PROFILE); else 1 + the span class (twice
 * the size class, plus 1 for noscan), and KARENA_MAP_TYPED beside it if its objects have a
 * type with references.  KARENA_MAP_SPECIAL is beside these if some objects that begin
 * there have weak references or cleanups.  In a private heap it is the number of a magazine
 * for large objects, if there is one for the page's.
 */
struct karena_control {
	__u64 magic;
	__u64 base;
	__u64 window;
	__u32 phase;
	__u32 cycle;
	__u64 map_offset;
	__u64 map_entries;
	__u64 flags;
	__u64 magazines_size;
	__u64 reserved[2];
};
KARENA_ASSERT(sizeof(struct karena_control) == 80);

#define KARENA_MAP_TYPED	0x8000
#define KARENA_MAP_SPECIAL	0x4000

#define KARENA_IOC_MAGIC	0xbb
#define KARENA_IOC_INFO		_IOWR(KARENA_IOC_MAGIC, 0x00, struct karena_info)
#define KARENA_IOC_CLASSES	_IOWR(KARENA_IOC_MAGIC, 0x01, struct karena_classes)
#define KARENA_IOC_SETUP	_IOWR(KARENA_IOC_MAGIC, 0x02, struct karena_setup)
#define KARENA_IOC_ALLOC	_IOW(KARENA_IOC_MAGIC, 0x03, struct karena_alloc)
#define KARENA_IOC_FREE		_IOWR(KARENA_IOC_MAGIC, 0x04, struct karena_free)
#define KARENA_IOC_USABLE	_IOWR(KARENA_IOC_MAGIC, 0x05, struct karena_usable)
#define KARENA_IOC_SHARE	_IOWR(KARENA_IOC_MAGIC, 0x06, struct karena_share)
#define KARENA_IOC_HEAP_INFO	_IOWR(KARENA_IOC_MAGIC, 0x07, struct karena_heap_info)
#define KARENA_IOC_CLASS_STATS	_IOWR(KARENA_IOC_MAGIC, 0x08, struct karena_class_stats)
#define KARENA_IOC_REGISTER	_IOWR(KARENA_IOC_MAGIC, 0x09, struct karena_register)
#define KARENA_IOC_COLLECT	_IOW(KARENA_IOC_MAGIC, 0x0a, struct karena_collect)
#define KARENA_IOC_STEP		_IOWR(KARENA_IOC_MAGIC, 0x0b, struct karena_step)
#define KARENA_IOC_ROOT		_IOW(KARENA_IOC_MAGIC, 0x0c, struct karena_root_range)
#define KARENA_IOC_GC_CONTROL	_IOWR(KARENA_IOC_MAGIC, 0x0d, struct karena_gc_control)
#define KARENA_IOC_GC_INFO	_IOWR(KARENA_IOC_MAGIC, 0x0e, struct karena_gc_info)
#define KARENA_IOC_SHADE	_IOW(KARENA_IOC_MAGIC, 0x0f, struct karena_shade)
#define KARENA_IOC_REFILL	_IOWR(KARENA_IOC_MAGIC, 0x10, struct karena_refill)
#define KARENA_IOC_FILL		_IOWR(KARENA_IOC_MAGIC, 0x11, struct karena_fill)
#define KARENA_IOC_FLUSH	_IOWR(KARENA_IOC_MAGIC, 0x12, struct karena_flush)
#define KARENA_IOC_RELEASE	_IOWR(KARENA_IOC_MAGIC, 0x13, struct karena_release)
#define KARENA_IOC_CLONE	_IOWR(KARENA_IOC_MAGIC, 0x14, struct karena_clone)
#define KARENA_IOC_GROW		_IOW(KARENA_IOC_MAGIC, 0x15, struct karena_grow)
#define KARENA_IOC_WEAK		_IOW(KARENA_IOC_MAGIC, 0x16, struct karena_weak_cell)
#define KARENA_IOC_WEAK_GET	_IOWR(KARENA_IOC_MAGIC, 0x17, struct karena_weak_cell)
#define KARENA_IOC_CLEANUP	_IOW(KARENA_IOC_MAGIC, 0x18, struct karena_cleanup_call)
#define KARENA_IOC_RECLAIM	_IOWR(KARENA_IOC_MAGIC, 0x19, struct karena_reclaim)
#define KARENA_IOC_MEMORY	_IOWR(KARENA_IOC_MAGIC, 0x1a, struct karena_memory)
#define KARENA_IOC_EXPLAIN	_IOWR(KARENA_IOC_MAGIC, 0x1b, struct karena_explain)
#define KARENA_IOC_PROFILE	_IOWR(KARENA_IOC_MAGIC, 0x1c, struct karena_profile)
#define KARENA_IOC_CALLS	_IOW(KARENA_IOC_MAGIC, 0x1d, struct karena_calls)
#define KARENA_IOC_SPANS	_IOWR(KARENA_IOC_MAGIC, 0x1e, struct karena_list)
#define KARENA_IOC_TYPES	_IOWR(KARENA_IOC_MAGIC, 0x1f, struct karena_list)
#define KARENA_IOC_DUMP		_IOWR(KARENA_IOC_MAGIC, 0x20, struct karena_dump)
#define KARENA_IOC_ROOTS	_IOWR(KARENA_IOC_MAGIC, 0x21, struct karena_list)
#define KARENA_IOC_CACHES	_IOWR(KARENA_IOC_MAGIC, 0x22, struct karena_list)
#define KARENA_IOC_CHECK	_IOWR(KARENA_IOC_MAGIC, 0x23, struct karena_check)

#endif /* _UAPI_KARENA_H */
