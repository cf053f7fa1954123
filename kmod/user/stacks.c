// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks of coroutines: a private mapping that is an array of them, of which the lowest page
 * of each is a guard.  One mapping has any number of stacks, where guards made by mprotect()
 * would divide it into twice as many, which a process may not have (vm.max_map_count).
 *
 * All pages but the guards read as zero, from one page of ours, until they are written, which
 * makes anonymous memory of the process of them: from then on they are its own, copied by
 * fork(), swapped and charged as any other.  The heap has nothing to do with it but for
 * searching them: scan.c.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mman.h>

#include "kmod/compat/compat.h"
#include "user.h"

#define SHIFT_PLACE	(37 - PAGE_SHIFT)	/* in a page offset */

static_assert(KARENA_OFF_STACKS(KARENA_MAX_STACK_SHIFT) >> 43 == 3);

static struct page *zero_page;

/* Whether an offset of a heap's descriptor is that of stacks. */
bool karena_is_stacks(pgoff_t pgoff)
{
	return pgoff >> (43 - PAGE_SHIFT) == KARENA_OFF_STACKS(0) >> 43;
}

/* Bytes of a stack, as a power of two; 0 if there are no such stacks. */
static unsigned int shift_of(pgoff_t pgoff)
{
	unsigned int shift = pgoff >> SHIFT_PLACE & 0x3f;

	return shift >= KARENA_MIN_STACK_SHIFT && shift <= KARENA_MAX_STACK_SHIFT ? shift : 0;
}

static vm_fault_t stacks_fault(struct vm_fault *vmf)
{
	unsigned long pages = 1UL << (shift_of(vmf->vma->vm_pgoff) - PAGE_SHIFT);

	if (!((vmf->pgoff - vmf->vma->vm_pgoff) & (pages - 1)))
		return VM_FAULT_SIGSEGV;
	get_page(zero_page);
	vmf->page = zero_page;
	return 0;
}

static int refuse_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static int refuse_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static const struct vm_operations_struct stacks_vm_ops = {
	.fault = stacks_fault,
	.may_split = refuse_split,
	.mremap = refuse_mremap,
};

/* Whether a mapping is of stacks. */
bool karena_has_stacks(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &stacks_vm_ops;
}

/* The stack that an address is in, without its guard; false if it is in none. */
bool karena_stack_bounds(const struct vm_area_struct *vma, unsigned long addr,
			 unsigned long *start, unsigned long *end)
{
	unsigned long size;

	if (!karena_has_stacks(vma) || addr < vma->vm_start)
		return false;
	size = 1UL << shift_of(vma->vm_pgoff);
	*start = round_down(addr, size) + PAGE_SIZE;
	*end = round_down(addr, size) + size;
	return true;
}

int karena_stacks_mmap(struct vm_area_struct *vma)
{
	unsigned int shift = shift_of(vma->vm_pgoff);
	unsigned long size = 1UL << shift;

	if (!shift || vma->vm_pgoff != KARENA_OFF_STACKS(shift) >> PAGE_SHIFT ||
	    !IS_ALIGNED(vma->vm_start | vma->vm_end, size) ||
	    vma->vm_end - vma->vm_start > 1UL << (SHIFT_PLACE + PAGE_SHIFT) ||
	    vma->vm_flags & VM_MAYSHARE)
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	vm_flags_mod(vma, VM_DONTEXPAND, VM_MAYEXEC);
	vma->vm_ops = &stacks_vm_ops;
	return 0;
}

/* Where the program says; it has a mapping there that is to be replaced, or knows best. */
unsigned long karena_stacks_area(unsigned long addr, unsigned long len, pgoff_t pgoff,
				 unsigned long flags)
{
	unsigned int shift = shift_of(pgoff);

	/* As karena_stacks_mmap(), but before anything that was there is gone. */
	if (!shift || pgoff != KARENA_OFF_STACKS(shift) >> PAGE_SHIFT ||
	    !IS_ALIGNED(addr | len, 1UL << shift) || len > 1UL << (SHIFT_PLACE + PAGE_SHIFT) ||
	    !(flags & MAP_FIXED) || (flags & MAP_TYPE) != MAP_PRIVATE)
		return -EINVAL;
	return addr;
}

int karena_stacks_init(void)
{
	zero_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	return zero_page ? 0 : -ENOMEM;
}

void karena_stacks_exit(void)
{
	put_page(zero_page);
}
