// SPDX-License-Identifier: GPL-2.0
/*
 * References in the memory and the registers of a process: each aligned word is
 * looked at, whatever it is.  Called by a kernel thread that uses the process's
 * memory (kthread_use_mm()), about threads that stand still.
 *
 * Of a thread: its general and vector registers (a memmove() in flight holds
 * references only there), and its stack, from the red zone below the stack pointer
 * up to the end of its mapping.  A signal handler may be on another stack: then the
 * one that it interrupted is searched as well, from the lowest address of it that
 * any word on the other stack tells, as the interrupted stack pointer is one of
 * these.
 */
#include <linux/elf.h>
#include <linux/mm.h>
#include <linux/regset.h>
#include <linux/sched/mm.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/ptrace.h>
#include <asm/syscall.h>

#include "user.h"

#define RED_ZONE	128u
#define REGS_ROOM	SZ_16K		/* vector registers, the largest there are */
#define NT_XSTATE	0x202		/* NT_X86_XSTATE */

/* Which word of the general registers it is, for now and ever. */
#if defined(CONFIG_X86_64) || (defined(CONFIG_UML_X86) && defined(CONFIG_64BIT))
#define THREAD_POINTER	21u		/* fs_base of struct user_regs_struct */
#else
#define THREAD_POINTER	0u
#endif

struct karena_scan {
	karena_visit_t *visit;
	void *arg;
	/* The stack that a thread is not on: words into it are of interest. */
	unsigned long other_start;
	unsigned long other_end;
	unsigned long lowest;		/* of these */
	unsigned long words[SZ_4K / sizeof(long)];
	unsigned long regs[REGS_ROOM / sizeof(long)];
};

struct karena_scan *karena_scan_new(void)
{
	return kvzalloc(sizeof(struct karena_scan), GFP_KERNEL_ACCOUNT);
}

void karena_scan_delete(struct karena_scan *scan)
{
	kvfree(scan);
}

void karena_scan_begin(struct karena_scan *scan, karena_visit_t *visit, void *arg)
{
	scan->visit = visit;
	scan->arg = arg;
}

static void visit_words(struct karena_scan *scan, const unsigned long *words, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (words[i] >= scan->other_start && words[i] < scan->other_end)
			scan->lowest = min(scan->lowest, words[i]);
		scan->visit(scan->arg, words[i]);
	}
}

/* What of a range cannot be read is left out. */
void karena_scan_range(struct karena_scan *scan, unsigned long start, unsigned long end)
{
	unsigned long size, missing;

	start = round_up(start, sizeof(long));
	while (start < end) {
		size = min(round_down(start, SZ_4K) + SZ_4K, end) - start;
		missing = copy_from_user(scan->words, (const void __user *)start, size);
		visit_words(scan, scan->words, (size - missing) / sizeof(long));
		start += size;
		cond_resched();
	}
}

/* What of a set there is, in words. */
static size_t get_registers(struct karena_scan *scan, struct task_struct *task,
			    const struct user_regset *set)
{
	int size = min_t(size_t, set->n * set->size, REGS_ROOM);

	size = regset_get(task, set, size, scan->regs);
	return size > 0 ? size / sizeof(long) : 0;
}

static bool is_wanted(const struct user_regset *set)
{
	switch (set->core_note_type) {
	case NT_PRSTATUS:
	case NT_PRFPREG:
	case NT_XSTATE:
		return true;
	default:
		return false;
	}
}

static void scan_registers(struct karena_scan *scan, struct task_struct *task)
{
	const struct user_regset_view *view = task_user_regset_view(task);
	const struct user_regset *set;

	for (set = view->regsets; set < view->regsets + view->n; set++)
		if (is_wanted(set))
			visit_words(scan, scan->regs, get_registers(scan, task, set));
}

/*
 * The thread pointer: C libraries keep what it points to at the top of the stack of
 * each thread but the first.  0 where it is not among the general registers.
 */
static unsigned long thread_pointer(struct karena_scan *scan, struct task_struct *task)
{
	/* General registers come first. */
	const struct user_regset *set = task_user_regset_view(task)->regsets;
	size_t nr = get_registers(scan, task, set);

	return THREAD_POINTER && THREAD_POINTER < nr ? scan->regs[THREAD_POINTER] : 0;
}

struct bounds {
	unsigned long start;
	unsigned long end;
};

/* The mapping that an address is in; empty if it is in none. */
static struct bounds mapping_at(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct bounds bounds = {};
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (vma && vma->vm_start <= addr)
		bounds = (struct bounds){ vma->vm_start, vma->vm_end };
	mmap_read_unlock(mm);
	return bounds;
}

/* Where the stack of a thread is that it began with. */
static struct bounds first_stack(struct karena_scan *scan, struct task_struct *task)
{
	if (thread_group_leader(task))
		return mapping_at(current->mm->start_stack);
	return mapping_at(thread_pointer(scan, task));
}

static bool contains(struct bounds bounds, unsigned long addr)
{
	return addr >= bounds.start && addr < bounds.end;
}

/* A thread that stands still. */
void karena_scan_thread(struct karena_scan *scan, struct task_struct *task)
{
	unsigned long sp = user_stack_pointer(task_pt_regs(task));
	struct bounds stack = mapping_at(sp), first = first_stack(scan, task);

	if (contains(first, sp)) {
		scan->other_end = 0;
	} else {
		scan->other_start = first.start;
		scan->other_end = first.end;
	}
	scan->lowest = ULONG_MAX;
	scan_registers(scan, task);
	karena_scan_range(scan, sp - RED_ZONE, stack.end);
	scan->other_end = 0;
	if (contains(first, sp) || !first.end)
		return;
	if (!contains(first, scan->lowest))
		scan->lowest = first.start + RED_ZONE;
	karena_scan_range(scan, scan->lowest - RED_ZONE, first.end);
}
