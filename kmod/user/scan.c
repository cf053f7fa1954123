// SPDX-License-Identifier: GPL-2.0
/*
 * References in the memory and the registers of a process: each aligned word is
 * looked at, whatever it is.  Called by a kernel thread that uses the process's
 * memory (kthread_use_mm()), about threads that stand still.
 *
 * Of a thread: its general and vector registers (a memmove() in flight holds
 * references only there), and its stack, from the red zone below the stack pointer
 * up to the end of its mapping.  A signal handler or a coroutine may be on another
 * stack: then the one that the thread began with is searched as well, all of it, as
 * nothing tells how much of that is in use.  Stacks of a karena mapping (stacks.c) say
 * themselves how far they are used.
 *
 * All that share the heap stand meanwhile, so nothing here waits for a program: not
 * for one that serves the page (userfaultfd, FUSE), nor for a lock of the memory
 * that a thread holds which waits for one.  What was swapped out, or is moved, is
 * waited for, as references in it would be lost.  So memory is read as it is; where
 * that fails, what is worth a fault is faulted in: entries of the page table that
 * are not empty, and files whose pages the kernel has or gets by itself.  Such a
 * fault may not be retried, which is what keeps userfaultfd from waiting.
 */
#include <linux/delay.h>
#include <linux/elf.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/regset.h>
#include <linux/sched/mm.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/ptrace.h>
#include <asm/syscall.h>

#include "kmod/compat/compat.h"
#include "kmod/compat/leafops.h"
#include "user.h"

#define RED_ZONE	128u
#define REGS_ROOM	SZ_16K		/* vector registers, the largest there are */
#define NT_XSTATE	0x202		/* NT_X86_XSTATE */
#define LOCK_TRIES	10u
#define LOCK_PAUSE	100u		/* microseconds between two of them */

/* Which word of the general registers it is, for now and ever. */
#if defined(CONFIG_X86_64) || (defined(CONFIG_UML_X86) && defined(CONFIG_64BIT))
#define THREAD_POINTER	21u		/* fs_base of struct user_regs_struct */
#else
#define THREAD_POINTER	0u
#endif

struct karena_scan {
	struct karena_uheap *uh;
	const struct karena_visitor *visitor;
	bool failed;			/* something has not been looked at */
	bool thread;			/* registers and stack of one */
	bool registers;			/* and not its stack */
	bool whole;			/* stacks: also what is below the stack pointer */
	bool extents;			/* words are those of struct karena_extent */
	struct task_struct *task;	/* whose words they are, or of whose process */
	bool of_thread;			/* the former */
	unsigned long at;		/* where the first of them is */
	unsigned long objects;		/* bytes that extents of the process may still have */
	unsigned long words[PAGE_SIZE / sizeof(long)];
	unsigned long regs[REGS_ROOM / sizeof(long)];
};

struct karena_scan *karena_scan_new(struct karena_uheap *uh)
{
	struct karena_scan *scan = kvzalloc(sizeof(*scan), GFP_KERNEL_ACCOUNT);

	if (scan)
		scan->uh = uh;
	return scan;
}

void karena_scan_delete(struct karena_scan *scan)
{
	kvfree(scan);
}

/*
 * With @whole also what is below the stack pointers: what is there is dead, but may
 * get above them again as it is, in a variable without a value.
 */
void karena_scan_begin(struct karena_scan *scan, const struct karena_visitor *visitor, bool whole)
{
	scan->visitor = visitor;
	scan->whole = whole;
	scan->failed = false;
}

/* Whether since then all was looked at; if not, it may be later on. */
bool karena_scan_end(const struct karena_scan *scan)
{
	return !scan->failed;
}

/*
 * Before the ranges of a process: all of its extents together are no more than the heap.
 * @task: a thread of it, or NULL.
 */
void karena_scan_process(struct karena_scan *scan, struct task_struct *task)
{
	scan->task = task;
	scan->of_thread = false;
	scan->objects = atomic_long_read(&scan->uh->heap.held) << KARENA_PAGE_SHIFT;
}

static u32 kind_of(const struct karena_scan *scan)
{
	if (!scan->thread)
		return KARENA_ROOT_RANGE;
	return scan->registers ? KARENA_ROOT_REGISTER : KARENA_ROOT_STACK;
}

/* For who wants to know where it is: a word that is visited next. */
static void tell_origin(const struct karena_scan *scan, size_t word)
{
	size_t unit = scan->registers ? 1 : sizeof(long);

	if (scan->visitor->origin)
		*scan->visitor->origin = (struct karena_origin) {
			.kind = kind_of(scan),
			.at = scan->at + word * unit,
			.of_thread = scan->of_thread,
			.task = scan->task,
		};
}

/*
 * Those of an honest process have each object once.  One that repeats them would have
 * all others wait for it: what is beyond is taken for words.
 */
static void visit_extents(struct karena_scan *scan, const unsigned long *words, size_t nr)
{
	struct karena_extent extent;
	unsigned long bytes;
	size_t i;

	for (i = 0; i + 1 < nr; i += 2) {
		extent = (struct karena_extent){ words[i], words[i + 1] };
		tell_origin(scan, i);
		bytes = karena_extent_visit(scan->uh, &extent, scan->objects,
					    scan->visitor->word, scan->visitor->arg);
		scan->objects -= bytes;
		if (bytes)
			karena_rest(scan->uh);
	}
}

static void visit_words(struct karena_scan *scan, const unsigned long *words, size_t nr)
{
	/* Words of extents get into registers as they are, where a check finds them. */
	bool of_thread = scan->thread || (scan->extents && scan->whole);
	karena_visit_t *visit = of_thread ? scan->visitor->thread_word : scan->visitor->word;
	size_t i;

	if (scan->extents)
		visit_extents(scan, words, nr);
	if (scan->extents && !scan->whole)
		return;
	for (i = 0; i < nr; i++) {
		if (!karena_may_refer(scan->uh, words[i]))
			continue;
		tell_origin(scan, i);
		visit(scan->visitor->arg, words[i]);
	}
}

/* --- memory that is not there --- */

/* False if somebody holds the lock and does not let go of it. */
static bool lock_memory(struct karena_scan *scan)
{
	unsigned int i;

	for (i = 0; i < LOCK_TRIES && !scan->failed; i++) {
		if (mmap_read_trylock(current->mm))
			return true;
		usleep_range(LOCK_PAUSE / 2, LOCK_PAUSE);
	}
	scan->failed = true;
	return false;
}

/* Whether the kernel gets the pages of a file without the help of a program. */
static bool is_served_by_kernel(const struct file *file)
{
	const struct super_block *sb = file_inode(file)->i_sb;

	/* The window of another heap.  Stacks have no pages of a file. */
	if (file->f_op == &karena_fops)
		return true;
	/* Of those with a device, only FUSE has subtypes. */
	return sb->s_magic == TMPFS_MAGIC || sb->s_magic == HUGETLBFS_MAGIC ||
	       (sb->s_type->fs_flags & (FS_REQUIRES_DEV | FS_HAS_SUBTYPE)) == FS_REQUIRES_DEV;
}

/*
 * Reclaim and migration make an entry none for a moment, with its lock held.  That is
 * not waited for: its holder may wait for this CPU, whose interrupts are off.
 */
static bool is_empty_pte(struct mm_struct *mm, pmd_t *pmdp, pmd_t pmd, unsigned long addr)
{
	spinlock_t *lock = pte_lockptr(mm, &pmd);
	bool empty = false;
	pte_t pte;

	if (!spin_trylock(lock))
		return false;
	if (pmd_same(READ_ONCE(*pmdp), pmd)) {
		pte = READ_ONCE(*pte_offset_kernel(&pmd, addr));
		empty = pte_none(pte) || pte_is_marker(pte);
	}
	spin_unlock(lock);
	return empty;
}

/*
 * Whether nothing is at an address, not even in swap; then also in all that is up to
 * @end.  With interrupts off: page tables stay, as for get_user_pages_fast().
 */
static bool is_empty_entry(struct mm_struct *mm, unsigned long addr, unsigned long *end)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(mm, addr));
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd, *pmdp;

	*end = pgd_addr_end(addr, ULONG_MAX);
	if (pgd_none(pgd) || pgd_bad(pgd))
		return pgd_none(pgd);
	p4d = READ_ONCE(*p4d_offset(&pgd, addr));
	*end = p4d_addr_end(addr, ULONG_MAX);
	if (p4d_none(p4d) || p4d_bad(p4d))
		return p4d_none(p4d);
	pud = READ_ONCE(*pud_offset(&p4d, addr));
	*end = pud_addr_end(addr, ULONG_MAX);
	if (pud_none(pud) || pud_bad(pud))
		return pud_none(pud);
	pmdp = pmd_offset(&pud, addr);
	pmd = READ_ONCE(*pmdp);
	*end = pmd_addr_end(addr, ULONG_MAX);
	/* A huge page, also one that is moved, is no table. */
	if (pmd_none(pmd) || pmd_bad(pmd))
		return pmd_none(pmd);
	*end = round_down(addr, PAGE_SIZE) + PAGE_SIZE;
	return is_empty_pte(mm, pmdp, pmd, addr);
}

static bool is_empty(struct mm_struct *mm, unsigned long addr, unsigned long *end)
{
	unsigned long flags;
	bool empty;

	local_irq_save(flags);
	empty = is_empty_entry(mm, addr, end);
	local_irq_restore(flags);
	return empty;
}

/* Faults in a page, whatever it may be used for, and reads of it; how many bytes. */
static size_t read_fault(struct karena_scan *scan, unsigned long start, size_t size)
{
	struct page *page;
	long nr;

	nr = get_user_pages_remote(current->mm, start, 1, FOLL_FORCE, &page, NULL);
	if (nr == 1) {
		memcpy_from_page((char *)scan->words, page, offset_in_page(start), size);
		put_page(page);
		return size;
	}
	/* Else there is nothing, and no waiting for it. */
	if (nr != -EFAULT)
		scan->failed = true;
	return 0;
}

/*
 * Memory that cannot be read as it is: how many bytes of it were after all.  Where
 * nothing is, @end becomes the next address that may have something.
 */
static size_t read_missing(struct karena_scan *scan, unsigned long start, unsigned long *end)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long hole;
	size_t size = 0;

	if (!lock_memory(scan))
		return 0;
	vma = find_vma(mm, start);
	if (!vma)
		*end = ULONG_MAX;
	else if (vma->vm_start > start)
		*end = vma->vm_start;
	else if ((vma->vm_file && !karena_has_stacks(vma) &&
		  is_served_by_kernel(vma->vm_file)) ||
		 !is_empty(mm, start, &hole))
		size = read_fault(scan, start, *end - start);
	else
		*end = min(hole, vma->vm_end);
	mmap_read_unlock(mm);
	return size;
}

/* Whether anybody is left who may use what is in it: who looks at it has a share, too. */
static bool is_in_use(struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users) > 1;
}

/*
 * What of a range cannot be read is left out.  A process that is killed meanwhile has no
 * roots any more, however long they are.
 */
void karena_scan_range(struct karena_scan *scan, unsigned long start, unsigned long end)
{
	unsigned long next;
	size_t size;

	start = round_up(start, sizeof(long));
	end = min(end, TASK_SIZE);
	for (; start < end && !scan->failed && is_in_use(current->mm); start = next) {
		next = min(round_down(start, PAGE_SIZE) + PAGE_SIZE, end);
		size = next - start;
		if (copy_from_user_nofault(scan->words, (const void __user *)start, size))
			size = read_missing(scan, start, &next);
		scan->at = start;
		visit_words(scan, scan->words, size / sizeof(long));
		karena_rest(scan->uh);
	}
}

/* A range that holds struct karena_extent, which no page's end divides. */
void karena_scan_extents(struct karena_scan *scan, unsigned long start, unsigned long end)
{
	scan->extents = true;
	karena_scan_range(scan, start, end);
	scan->extents = false;
}

static unsigned long red_zone(void)
{
	return karena_is_planted(KARENA_PLANT_NO_RED_ZONE) ? 0 : RED_ZONE;
}

/* Where a stack was left, 0 if there is nothing on it; @next may have something again. */
static unsigned long stack_pointer(struct karena_scan *scan, unsigned long top,
				   unsigned long *next)
{
	const unsigned long at = top - sizeof(struct karena_stack_top);
	unsigned long sp, end = at + sizeof(sp);

	if (!copy_from_user_nofault(&sp, (const void __user *)at, sizeof(sp)))
		return sp;
	if (read_missing(scan, at, &end))
		return scan->words[0];
	*next = end;
	return 0;
}

/*
 * Stacks, from where each of them was left.  One that a thread is on says where it was left
 * the last time, which does no harm: karena_scan_stacks() knows where it is now.
 */
void karena_scan_stack_range(struct karena_scan *scan, const struct karena_range *range)
{
	const unsigned long size = 1UL << range->stack_shift;
	unsigned long stack = range->start, next, sp;

	scan->thread = true;
	while (stack < range->end && !scan->failed && is_in_use(current->mm)) {
		next = stack + size;
		sp = stack_pointer(scan, stack + size, &next);
		if (sp > stack && sp < stack + size &&
		    !karena_is_planted(KARENA_PLANT_NO_LEFT_STACK))
			karena_scan_range(scan, max(sp - red_zone(), stack), stack + size);
		stack = range->start + round_down(next - range->start, size);
		karena_rest(scan->uh);
	}
	scan->thread = false;
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
		return !karena_is_planted(KARENA_PLANT_NO_GENERAL);
	case NT_PRFPREG:
	case NT_XSTATE:
		return !karena_is_planted(KARENA_PLANT_NO_VECTOR);
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

/* The mapping that an address is in, or that will grow down to it; else empty. */
static struct bounds mapping_at(struct karena_scan *scan, unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct bounds bounds = {};
	struct vm_area_struct *vma;

	if (!lock_memory(scan))
		return bounds;
	vma = find_vma(mm, addr);
	if (vma && karena_stack_bounds(vma, addr, &bounds.start, &bounds.end))
		;
	else if (vma && (vma->vm_start <= addr || vma->vm_flags & VM_GROWSDOWN))
		bounds = (struct bounds){ vma->vm_start, vma->vm_end };
	mmap_read_unlock(mm);
	return bounds;
}

/* Where the stack of a thread is that it began with. */
static struct bounds first_stack(struct karena_scan *scan, const struct karena_frame *frame)
{
	return mapping_at(scan, frame->first ? frame->first : current->mm->start_stack);
}

static bool contains(struct bounds bounds, unsigned long addr)
{
	return addr >= bounds.start && addr < bounds.end;
}

/* Whether it is on the stack that sigaltstack() has set; that grows down. */
static bool on_signal_stack(const struct karena_frame *frame)
{
	return frame->sp > frame->signal_stack &&
	       frame->sp - frame->signal_stack <= frame->signal_size;
}

/*
 * The stack that a thread is not on, with the frames that a handler interrupted; empty
 * if it is on it.  A signal stack may be in the same mapping, a local array, say: then
 * what is above the handler's frames is searched with them, and this is what is below
 * of the array.
 */
static struct bounds other_stack(struct bounds first, const struct karena_frame *frame)
{
	if (contains(first, frame->sp))
		first.end = on_signal_stack(frame) ? max(frame->signal_stack, first.start) :
			    first.start;
	return first;
}

/*
 * The registers of a thread that stands still, and what they tell of its stacks.  Memory
 * is left for later: see scan_thread() in stop.c.
 */
void karena_scan_registers(struct karena_scan *scan, struct task_struct *task,
			   struct karena_frame *frame)
{
	scan->task = task;
	scan->of_thread = true;
	scan->at = 0;
	scan->thread = true;
	scan->registers = true;
	scan_registers(scan, task);
	scan->registers = false;
	scan->thread = false;
	*frame = (struct karena_frame) {
		.sp = user_stack_pointer(task_pt_regs(task)),
		.first = thread_group_leader(task) ? 0 : thread_pointer(scan, task),
		.signal_stack = task->sas_ss_sp,
		.signal_size = task->sas_ss_size,
	};
}

void karena_scan_stacks(struct karena_scan *scan, struct task_struct *task,
			const struct karena_frame *frame)
{
	struct bounds stack = mapping_at(scan, frame->sp);
	struct bounds other = other_stack(first_stack(scan, frame), frame);

	scan->task = task;
	scan->of_thread = true;
	scan->thread = true;
	/* The red zone of an empty stack is all there is of it. */
	if (!karena_is_planted(KARENA_PLANT_NO_STACK))
		karena_scan_range(scan, frame->sp - red_zone(), max(frame->sp, stack.end));
	if (scan->whole)
		karena_scan_range(scan, stack.start, min(frame->sp, stack.end));
	if (!karena_is_planted(KARENA_PLANT_NO_OTHER_STACK))
		karena_scan_range(scan, other.start, other.end);
	scan->thread = false;
}
