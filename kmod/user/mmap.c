// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping a heap: the window at its one address, whole, shared; the control region below
 * it, to read; and below that the magazines.  (Stacks are elsewhere: stacks.c.)  A mapping
 * holds the descriptor's file and through it the heap; it has no state of its own that could
 * be split or freed twice, but in a collected heap for the process that it makes a mutator
 * (process.c).
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>

#include "user.h"

static vm_fault_t find_page(struct karena_uheap *uh, struct vm_fault *vmf)
{
	struct page *page;
	vm_fault_t err;

	page = karena_window_page(uh, vmf->pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	lock_page(page);
	if (likely(karena_window_has(uh, vmf->pgoff, page) && !PageHWPoison(page))) {
		karena_mapped_set(uh, vmf->pgoff);
		vmf->page = page;
		return VM_FAULT_LOCKED;
	}
	/* Broken memory; or it was released before the lock was ours: see window.c. */
	err = PageHWPoison(page) ? VM_FAULT_HWPOISON : VM_FAULT_NOPAGE;
	unlock_page(page);
	put_page(page);
	return err;
}

/*
 * While a clone is made everybody waits; but for who looks into a program's memory while
 * all of another heap's threads stand: that one has to do without.
 */
static bool enter_fault(struct karena_uheap *uh)
{
	if (down_read_trylock(&uh->freeze))
		return true;
	if (current->flags & PF_KTHREAD)
		return false;
	down_read(&uh->freeze);
	return true;
}

static vm_fault_t objects_fault(struct vm_fault *vmf)
{
	struct karena_uheap *uh = karena_file_heap(vmf->vma->vm_file);
	vm_fault_t err;

	if (vmf->pgoff >= uh->npages * KARENA_SUBPAGES)
		return VM_FAULT_SIGBUS;
	if (!enter_fault(uh))
		return VM_FAULT_OOM;
	err = find_page(uh, vmf);
	up_read(&uh->freeze);
	return err;
}

static vm_fault_t region_fault(struct vm_fault *vmf, struct karena_uheap *uh,
			       struct karena_region *region, u64 offset)
{
	pgoff_t pgoff = vmf->pgoff - (offset >> PAGE_SHIFT);
	struct page *page;

	if (pgoff >= region->size >> PAGE_SHIFT)
		return VM_FAULT_SIGBUS;
	page = karena_region_page(uh, region, pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	lock_page(page);
	vmf->page = page;
	return VM_FAULT_LOCKED;
}

static vm_fault_t control_fault(struct vm_fault *vmf)
{
	struct karena_uheap *uh = karena_file_heap(vmf->vma->vm_file);

	return region_fault(vmf, uh, &uh->control, KARENA_OFF_CONTROL);
}

static vm_fault_t magazines_fault(struct vm_fault *vmf)
{
	struct karena_uheap *uh = karena_file_heap(vmf->vma->vm_file);
	vm_fault_t err;

	if (!enter_fault(uh))
		return VM_FAULT_OOM;
	err = region_fault(vmf, uh, &uh->magazines, KARENA_OFF_MAGAZINES);
	up_read(&uh->freeze);
	return err;
}

static int refuse_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static int refuse_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static vm_fault_t begin_write(struct karena_uheap *uh, struct page *page, pgoff_t pgoff)
{
	bool ours, shared;

	lock_page(page);
	ours = karena_window_has(uh, pgoff, page);
	shared = karena_page_is_shared(uh, pgoff / KARENA_SUBPAGES) &&
		 !karena_is_planted(KARENA_PLANT_SHARED_WRITTEN);
	if (unlikely(!ours || shared)) {
		unlock_page(page);
		if (ours)
			karena_page_own(uh, pgoff / KARENA_SUBPAGES, page);
		return VM_FAULT_NOPAGE;
	}
	karena_page_write(uh, pgoff);
	if (karena_is_planted(KARENA_PLANT_WRITE_UNLOCKED) && !READ_ONCE(uh->armed)) {
		unlock_page(page);
		usleep_range(300, 400);
		return 0;
	}
	return VM_FAULT_LOCKED;
}

/* A page that could only be read is about to be written. */
static vm_fault_t objects_write(struct vm_fault *vmf)
{
	struct karena_uheap *uh = karena_file_heap(vmf->vma->vm_file);
	vm_fault_t err;

	if (uh->heap.gc)
		karena_pages_hold(uh);
	down_read(&uh->freeze);
	err = begin_write(uh, vmf->page, page_folio(vmf->page)->index);
	up_read(&uh->freeze);
	return err;
}

/* After fork(), of the child's mapping. */
static void collected_open(struct vm_area_struct *vma)
{
	vma->vm_private_data = karena_process_fork(karena_file_heap(vma->vm_file),
						   vma->vm_private_data, vma->vm_mm);
}

static void collected_close(struct vm_area_struct *vma)
{
	karena_process_close(karena_file_heap(vma->vm_file), vma->vm_private_data);
}

static const struct vm_operations_struct collected_vm_ops = {
	.open = collected_open,
	.close = collected_close,
	.fault = objects_fault,
	.page_mkwrite = objects_write,
	.may_split = refuse_split,
	.mremap = refuse_mremap,
};

static const struct vm_operations_struct objects_vm_ops = {
	.fault = objects_fault,
	.page_mkwrite = objects_write,
	.may_split = refuse_split,
	.mremap = refuse_mremap,
};

static const struct vm_operations_struct control_vm_ops = {
	.fault = control_fault,
	.may_split = refuse_split,
	.mremap = refuse_mremap,
};

static const struct vm_operations_struct magazines_vm_ops = {
	.fault = magazines_fault,
	.may_split = refuse_split,
	.mremap = refuse_mremap,
};

/* What there is to map: how, at which address, and how long. */
struct part {
	const struct vm_operations_struct *ops;
	unsigned long place;
	unsigned long size;
};

/* The part at a page offset; false if there is none. */
static bool find_part(struct karena_uheap *uh, pgoff_t pgoff, struct part *part)
{
	switch (pgoff) {
	case KARENA_OFF_OBJECTS >> PAGE_SHIFT:
		if (uh->private)
			return false;
		*part = (struct part){ uh->heap.gc ? &collected_vm_ops : &objects_vm_ops,
				       uh->heap.base, uh->npages << KARENA_PAGE_SHIFT };
		break;
	case KARENA_OFF_CONTROL >> PAGE_SHIFT:
		*part = (struct part){ &control_vm_ops, uh->control.base, uh->control.size };
		break;
	case KARENA_OFF_MAGAZINES >> PAGE_SHIFT:
		*part = (struct part){ &magazines_vm_ops, uh->magazines.base,
				       uh->magazines.size };
		break;
	default:
		return false;
	}
	return part->size;
}

int karena_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct karena_uheap *uh = karena_file_heap(file);
	bool control = vma->vm_pgoff == KARENA_OFF_CONTROL >> PAGE_SHIFT;
	struct part part;

	if (!uh)
		return -ENXIO;
	if (karena_is_stacks(vma->vm_pgoff))
		return karena_stacks_mmap(vma);
	/* VM_MAYSHARE: VM_SHARED is taken off where the file is read-only. */
	if (!find_part(uh, vma->vm_pgoff, &part) || vma->vm_start != part.place ||
	    vma->vm_end - vma->vm_start != part.size || !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC || (control && vma->vm_flags & VM_WRITE))
		return -EPERM;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP,
		     VM_MAYEXEC | (control ? VM_MAYWRITE : 0));
	if (part.ops == &collected_vm_ops) {
		vma->vm_private_data = karena_process_open(uh, vma->vm_mm);
		if (!vma->vm_private_data)
			return -ENOMEM;
	}
	vma->vm_ops = part.ops;
	return 0;
}

/*
 * The one place of each region.  What is there already is never mapped over; with
 * MAP_FIXED it would be gone before karena_mmap() is asked, so whatever it would
 * refuse is refused here.
 */
unsigned long karena_get_unmapped_area(struct file *file, unsigned long addr,
				       unsigned long len, unsigned long pgoff,
				       unsigned long flags)
{
	struct karena_uheap *uh = karena_file_heap(file);
	struct part part;

	if (!uh)
		return -ENXIO;
	if (karena_is_stacks(pgoff))
		return karena_stacks_area(addr, len, pgoff, flags);
	if (!find_part(uh, pgoff, &part) || len != part.size ||
	    (flags & MAP_TYPE) == MAP_PRIVATE)
		return -EINVAL;
	if (flags & MAP_FIXED)
		return addr == part.place ? addr : -EINVAL;
	if (part.size > TASK_SIZE || part.place > TASK_SIZE - part.size)
		return -ENOMEM;
	if (find_vma_intersection(current->mm, part.place, part.place + part.size))
		return -EEXIST;
	return part.place;
}
