/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena, the magazines of CPUs: an object is taken or given by some ten
 * instructions and no system call.
 *
 * Each of the two sequences below runs to its end on one CPU, or begins anew: when the
 * kernel has preempted a thread it looks at rseq::rseq_cs, and goes on at the abort
 * handler if the thread was in between (rseq(2)).  The last instruction, a store to the
 * top, makes it so: who is killed in between leaves the magazine as it was, or as it
 * is to be.
 *
 * A thread that has no rseq area (yet) has a cpu_id of -1 or -2.  There, below
 * those of CPU 0, are magazines that have no objects and no room.
 *
 * An object's address is in a register until the store is done: the collector finds it
 * there, or in the magazine (kmod/user/magazine.c).
 */
#ifndef KARENA_FAST_H
#define KARENA_FAST_H

#include <stddef.h>
#include <linux/karena.h>

#include "classes.h"

/* What inline code knows of a heap; no magazines, no slots: it has none. */
struct karena_fast {
	char *volatile magazines;	/* of CPU 0, or NULL */
	long rseq;		/* from the thread pointer to the thread's rseq area */
	char *base;		/* of the window */
	__u64 slots;		/* bytes of the window, in KARENA_SLOT_UNIT */
	const __u16 *map;	/* pages to magazines, or to what has none */
	const __u32 *phase;	/* of the collector */
	__u64 serial;		/* of the heap; above 0, and never used again */
	int collected;		/* magazines for references have cleared objects */
};

/* The magazine for objects of a size, up to KARENA_MAX_SMALL, that may hold references. */
static inline unsigned int karena_magazine_for(size_t size)
{
	if (size <= 1024)
		return karena_magazine_small[(size + 15) / 16];
	return karena_magazine_big[(size - 1024 + 127) / 128];
}

/* That of a private heap for a larger size; 0 if there is none. */
static inline unsigned int karena_magazine_for_large(size_t size)
{
	size_t pages = (size - 1) / KARENA_PAGE_SIZE + 1;

	if (pages > karena_magazine_pages(KARENA_NR_MAGAZINES - 1))
		return 0;
	return karena_magazine_large[pages - karena_magazine_pages(KARENA_LARGE_MAGAZINE)];
}

/* Bytes of an object of a magazine, or of a class that has none. */
static inline size_t karena_magazine_bytes(unsigned int number)
{
	if (number >= KARENA_LARGE_MAGAZINE)
		return (size_t)karena_magazine_pages(number) * KARENA_PAGE_SIZE;
	return karena_class_bytes[(number - 1) / 2];
}

#if defined(__x86_64__) && defined(__linux__) && \
	(defined(__clang__) ? __clang_major__ >= 11 : __GNUC__ >= 11)
#define KARENA_HAS_FAST 1

/*
 * A sequence from 1 to 2, aborted at 4 (RSEQ_SIG stands before that); begins with this
 * CPU's magazines, which it asks for each time: malloc.c takes them away for a fork().
 * Of them, top, left, end and begin of one are at 0, 2, 4 and 6; the head is top and left,
 * which are stored together, as who loads both soon after a store to one of them waits.
 */
#define KARENA_RSEQ_BEGIN \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n" \
	"3:\n\t" \
	".long 0, 0\n\t" \
	".quad 1f, 2f - 1f, 4f\n\t" \
	".popsection\n\t" \
	"leaq 3b(%%rip), %[cpu]\n\t" \
	"movq %[cpu], %%fs:8(%[rseq])\n" \
	"1:\n\t" \
	"movslq %%fs:4(%[rseq]), %[cpu]\n\t" \
	"shlq %[shift], %[cpu]\n\t" \
	"addq %[magazines], %[cpu]\n\t" \
	"movl (%[cpu], %[number], 8), %k[head]\n\t" \
	"movzwl %w[head], %k[top]\n\t"
#define KARENA_RSEQ_END \
	"movl %k[head], (%[cpu], %[number], 8)\n" \
	"2:\n\t" \
	".pushsection __rseq_failure, \"ax\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t" \
	".long 0x53053053\n" \
	"4:\n\t" \
	"jmp %l[again]\n\t" \
	".popsection\n\t"

KARENA_ASSERT(offsetof(struct karena_cpu_magazine, top) == 0);
KARENA_ASSERT(offsetof(struct karena_cpu_magazine, left) == 2);
KARENA_ASSERT(offsetof(struct karena_cpu_magazine, end) == 4);
KARENA_ASSERT(offsetof(struct karena_cpu_magazine, begin) == 6);

/**
 * karena_fast_take() - an object from this CPU's magazine
 * @fast: of a heap that has magazines
 * @number: of the magazine
 *
 * Takes 1 from top and left together; if left has none, that borrows.
 *
 * Return: the object, as it is; NULL if there is none, or the kernel is to be asked.
 */
static inline __attribute__((__always_inline__)) void *
karena_fast_take(const struct karena_fast *fast, unsigned long number)
{
	unsigned long object, cpu, top, head;

again:
	/* clang-format off */
	__asm__ __volatile__ goto(KARENA_RSEQ_BEGIN
		"cmpw %w[top], 6(%[cpu], %[number], 8)\n\t"
		"je %l[none]\n\t"
		"movl -4(%[cpu], %[top], 4), %k[object]\n\t"
		"subl $0x10001, %k[head]\n\t"
		"jc %l[none]\n\t"
		"shlq $4, %[object]\n\t"
		"addq %[base], %[object]\n\t"
		KARENA_RSEQ_END
		: [object] "=&r" (object), [cpu] "=&r" (cpu), [top] "=&r" (top),
		  [head] "=&r" (head)
		: [rseq] "r" (fast->rseq), [magazines] "m" (fast->magazines),
		  [base] "rm" (fast->base), [number] "r" (number),
		  [shift] "i" (KARENA_CPU_SHIFT)
		: "memory", "cc"
		: again, none);
	/* clang-format on */
	if (!object)
		__builtin_unreachable();
	return (void *)object;
none:
	return NULL;
}

/* The place of an object, in KARENA_SLOT_UNIT; beyond the heap, if it begins elsewhere. */
static inline unsigned long karena_fast_slot(const struct karena_fast *fast, const void *object)
{
	unsigned long offset = (const char *)object - fast->base;

	return offset >> 4 | offset << 60;
}

/* What the page-to-class map says of a place in the heap. */
static inline unsigned long karena_fast_number(const struct karena_fast *fast, unsigned long slot)
{
	return fast->map[slot / (KARENA_PAGE_SIZE / KARENA_SLOT_UNIT)];
}

/* What is common to those that put something there. */
#define KARENA_RSEQ_ROOM \
	KARENA_RSEQ_BEGIN \
	"cmpw %w[top], 4(%[cpu], %[number], 8)\n\t" \
	"jbe %l[none]\n\t"
#define KARENA_RSEQ_PUT \
	"movl %k[slot], (%[cpu], %[top], 4)\n\t" \
	"addl $1, %k[head]\n\t" \
	KARENA_RSEQ_END

/**
 * karena_fast_put() - put an object into this CPU's magazine
 * @fast: of a heap that has magazines, no types, and is not collected
 * @number: what the map says of the object's page
 * @slot: place of the object
 *
 * Return: 1; 0 if there is no room, or no such magazine.
 */
static inline __attribute__((__always_inline__)) int
karena_fast_put(const struct karena_fast *fast, unsigned long number, unsigned long slot)
{
	unsigned long cpu, top, head;

again:
	/* clang-format off */
	__asm__ __volatile__ goto(KARENA_RSEQ_ROOM
		KARENA_RSEQ_PUT
		: [cpu] "=&r" (cpu), [top] "=&r" (top), [head] "=&r" (head)
		: [rseq] "r" (fast->rseq), [magazines] "m" (fast->magazines),
		  [slot] "r" (slot), [number] "r" (number), [shift] "i" (KARENA_CPU_SHIFT)
		: "memory", "cc"
		: again, none);
	/* clang-format on */
	return 1;
none:
	return 0;
}

/**
 * karena_fast_give() - the same in any heap
 * @fast: of a heap that has magazines
 * @number: of the magazine
 * @object: the object
 *
 * The collector finds its address in a register until it is in the magazine.
 *
 * Return: 1; 0 if there is no room, or while the collector marks.
 */
static inline __attribute__((__always_inline__)) int
karena_fast_give(const struct karena_fast *fast, unsigned long number, void *object)
{
	unsigned long slot = karena_fast_slot(fast, object), cpu, top, head;

again:
	/* clang-format off */
	__asm__ __volatile__ goto(KARENA_RSEQ_ROOM
		"cmpl %[mark], %[phase]\n\t"
		"je %l[none]\n\t"
		KARENA_RSEQ_PUT
		: [cpu] "=&r" (cpu), [top] "=&r" (top), [head] "=&r" (head)
		: [rseq] "r" (fast->rseq), [magazines] "m" (fast->magazines),
		  [slot] "r" (slot), [number] "r" (number), [shift] "i" (KARENA_CPU_SHIFT),
		  [phase] "m" (*fast->phase), [mark] "i" (KARENA_PHASE_MARK), "r" (object)
		: "memory", "cc"
		: again, none);
	/* clang-format on */
	return 1;
none:
	return 0;
}

/*
 * The magazine that an object is of, if it has room for any; 0 if the object is of a
 * type, or none, or large and of another number of pages than magazines are for.
 */
static inline unsigned int karena_fast_magazine(const struct karena_fast *fast, const void *object)
{
	unsigned long slot = karena_fast_slot(fast, object);
	unsigned int number;

	if (slot >= fast->slots)
		return 0;
	number = karena_fast_number(fast, slot);
	/* Those of class 0 are 1 and 2, and packed objects have the last one below. */
	if (number - 3 < KARENA_LARGE_MAGAZINE - 4 ||
	    number - KARENA_LARGE_MAGAZINE < KARENA_NR_MAGAZINES - KARENA_LARGE_MAGAZINE)
		return number;
	return 0;
}
#endif

#endif /* KARENA_FAST_H */
