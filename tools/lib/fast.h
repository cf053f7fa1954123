/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena, the magazines of CPUs: an object is taken or given by some ten
 * instructions and no system call.
 *
 * Each of the two sequences below runs to its end on one CPU, or begins anew: when the
 * kernel has preempted a thread it looks at rseq::rseq_cs, and goes on at the abort
 * handler if the thread was in between (rseq(2)).  The last instruction, a store to the
 * count, makes it so: who is killed in between leaves the magazine as it was, or as it
 * is to be.
 *
 * A thread that has no rseq area (yet) has a cpu_id of -1 or -2.  There, two strides
 * below those of CPU 0, is a set of magazines that have no objects and no room.
 *
 * An object's address is in a register until the store is done: the collector finds it
 * there, or in the magazine (kmod/user/magazine.c).
 */
#ifndef KARENA_FAST_H
#define KARENA_FAST_H

#include <stddef.h>
#include <linux/karena.h>

#include "classes.h"

/* Where the magazines of a heap are; all zero if it has none. */
struct karena_fast {
	char *volatile magazines;	/* of CPU 0, or NULL */
	__u64 stride;		/* from one CPU's to the next, in bytes */
	char *base;		/* of the window */
	__u64 slots;		/* bytes of the window, in KARENA_SLOT_UNIT */
	const __u16 *map;	/* pages to magazines, or to what has none */
	const __u32 *phase;	/* of the collector */
	long rseq;		/* from the thread pointer to the thread's rseq area */
};

/* The magazine for objects of a size, up to KARENA_MAX_SMALL, that may hold references. */
static inline unsigned int karena_magazine_for(size_t size)
{
	if (size <= 1024)
		return karena_magazine_small[(size + 15) / 16];
	return karena_magazine_big[(size - 1024 + 127) / 128];
}

/* Bytes of an object of a magazine, or of a class that has none. */
static inline size_t karena_magazine_bytes(unsigned int number)
{
	return karena_class_bytes[(number - 1) / 2];
}

#if defined(__x86_64__) && defined(__linux__) && \
	(defined(__clang__) ? __clang_major__ >= 11 : __GNUC__ >= 11)
#define KARENA_HAS_FAST 1

/*
 * A sequence from 1 to 2, aborted at 4 (RSEQ_SIG stands before that); begins with this
 * CPU's magazines, which it asks for each time: malloc.c takes them away for a fork().
 */
#define KARENA_RSEQ_BEGIN \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n" \
	"3:\n\t" \
	".long 0, 0\n\t" \
	".quad 1f, 2f - 1f, 4f\n\t" \
	".popsection\n\t" \
	"leaq 3b(%%rip), %[magazine]\n\t" \
	"movq %[magazine], %%fs:8(%[rseq])\n" \
	"1:\n\t" \
	"movq %[magazines], %[count]\n\t" \
	"testq %[count], %[count]\n\t" \
	"jz %l[none]\n\t" \
	"movslq %%fs:4(%[rseq]), %[magazine]\n\t" \
	"imulq %[stride], %[magazine]\n\t" \
	"addq %[count], %[magazine]\n\t"
#define KARENA_RSEQ_END \
	"2:\n\t" \
	".pushsection __rseq_failure, \"ax\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t" \
	".long 0x53053053\n" \
	"4:\n\t" \
	"jmp %l[again]\n\t" \
	".popsection\n\t"

/**
 * karena_fast_take() - an object from this CPU's magazine
 * @fast: of the heap
 * @number: of the magazine
 *
 * Return: the object, as it is; NULL if there is none.
 */
static inline __attribute__((__always_inline__)) void *
karena_fast_take(const struct karena_fast *fast, unsigned long number)
{
	unsigned long object, magazine, count;

	/* What has none may have no rseq area either. */
	if (!fast->magazines)
		return NULL;
again:
	/* clang-format off */
	__asm__ __volatile__ goto(KARENA_RSEQ_BEGIN
		"movl (%[magazine], %[at]), %k[count]\n\t"
		"subl $1, %k[count]\n\t"
		"cmpl %[slots], %k[count]\n\t"
		"jae %l[none]\n\t"
		"leaq (%[magazine], %[at]), %[magazine]\n\t"
		"movl 8(%[magazine], %[count], 4), %k[object]\n\t"
		"shlq $4, %[object]\n\t"
		"addq %[base], %[object]\n\t"
		"movl %k[count], (%[magazine])\n"
		KARENA_RSEQ_END
		: [object] "=&r" (object), [magazine] "=&r" (magazine), [count] "=&r" (count)
		: [rseq] "r" (fast->rseq), [stride] "rm" (fast->stride),
		  [magazines] "m" (fast->magazines), [base] "rm" (fast->base),
		  [at] "r" (number * sizeof(struct karena_cpu_magazine)),
		  [slots] "i" (KARENA_MAGAZINE_SLOTS)
		: "memory", "cc"
		: again, none);
	/* clang-format on */
	return (void *)object;
none:
	return NULL;
}

/**
 * karena_fast_give() - put an object into this CPU's magazine
 * @fast: of the heap
 * @number: of the magazine
 * @object: the object
 *
 * Return: 1; 0 if there is no room, or while the collector marks.
 */
static inline __attribute__((__always_inline__)) int
karena_fast_give(const struct karena_fast *fast, unsigned long number, void *object)
{
	unsigned long slot = (unsigned long)((char *)object - fast->base) / KARENA_SLOT_UNIT;
	unsigned long magazine, count;

	/* As above. */
	if (!fast->magazines)
		return 0;
again:
	/* clang-format off */
	__asm__ __volatile__ goto(KARENA_RSEQ_BEGIN
		"leaq (%[magazine], %[at]), %[magazine]\n\t"
		"movl (%[magazine]), %k[count]\n\t"
		"cmpl 4(%[magazine]), %k[count]\n\t"
		"jae %l[none]\n\t"
		"cmpl %[mark], %[phase]\n\t"
		"je %l[none]\n\t"
		"movl %k[slot], 8(%[magazine], %[count], 4)\n\t"
		"addl $1, %k[count]\n\t"
		"movl %k[count], (%[magazine])\n"
		KARENA_RSEQ_END
		: [magazine] "=&r" (magazine), [count] "=&r" (count)
		: [rseq] "r" (fast->rseq), [stride] "rm" (fast->stride),
		  [magazines] "m" (fast->magazines), [slot] "r" (slot), "r" (object),
		  [at] "r" (number * sizeof(struct karena_cpu_magazine)),
		  [phase] "m" (*fast->phase), [mark] "i" (KARENA_PHASE_MARK)
		: "memory", "cc"
		: again, none);
	/* clang-format on */
	return 1;
none:
	return 0;
}

/*
 * The magazine that an object is of, if it has room for any; 0 if the object is large, or
 * of a type, or none.
 */
static inline unsigned int karena_fast_magazine(const struct karena_fast *fast, const void *object)
{
	unsigned long offset = (const char *)object - fast->base;
	unsigned int number;

	/* In KARENA_SLOT_UNIT; what is no multiple of it is far beyond. */
	if ((offset >> 4 | offset << 60) >= fast->slots)
		return 0;
	number = fast->map[offset / KARENA_PAGE_SIZE];
	return number - 3 < KARENA_NR_MAGAZINES - 4 ? number : 0;
}
#endif

#endif /* KARENA_FAST_H */
