/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps of user space: a window of addresses, its pages, and the device.
 */
#ifndef _KARENA_USER_H
#define _KARENA_USER_H

#include <linux/fs.h>
#include <linux/mutex.h>

#include "kmod/alloc/internal.h"

#define KARENA_MIN_WINDOW	BIT_ULL(20)
#define KARENA_MAX_WINDOW	BIT_ULL(40)
#define KARENA_DEFAULT_WINDOW	BIT_ULL(34)

/* Bytes that stay unmapped between the control region and the window. */
#define KARENA_WINDOW_GUARD	SZ_64K

/* What one user has, over all of its heaps. */
struct karena_user {
	struct hlist_node node;
	kuid_t uid;
	refcount_t ref;
	atomic_long_t pages;		/* of memory */
	atomic_long_t window_pages;	/* of addresses */
	atomic_long_t heaps;
};

struct karena_uheap {
	struct karena_heap heap;
	unsigned long npages;		/* of the window */
	unsigned long control_size;	/* bytes of the control region */
	unsigned long control_base;	/* its address */
	struct karena_runs bare;	/* pages without memory; heap.lock */
	struct inode *inode;		/* whose mapping the pages are in */
	struct xarray control;		/* pages of the control region */
	atomic_long_t meta_pages;	/* of pagemap and types, as they are charged */
	struct xarray types;		/* struct karena_type by number, from 1 up */
	struct karena_user *user;
};

/* An open descriptor; @heap is set once, by set-up. */
struct karena_file {
	struct mutex lock;		/* set-up, against itself */
	struct karena_uheap *heap;
};

static inline struct karena_uheap *to_uheap(struct karena_heap *heap)
{
	return container_of(heap, struct karena_uheap, heap);
}

/* account.c */
struct karena_user *karena_user_get(kuid_t uid);
void karena_user_put(struct karena_user *user);
int karena_user_add_heap(struct karena_user *user, unsigned long npages);
void karena_user_del_heap(struct karena_user *user, unsigned long npages);
int karena_user_charge(struct karena_user *user, unsigned long npages);
void karena_user_uncharge(struct karena_user *user, unsigned long npages);
void karena_user_info(struct karena_info *info);
void karena_user_init(void);

/* window.c */
struct karena_uheap *karena_uheap_create(const struct karena_setup *setup);
int karena_uheap_charge_meta(struct karena_uheap *uh, size_t bytes);
void karena_uheap_uncharge_meta(struct karena_uheap *uh, size_t bytes);
struct page *karena_window_page(struct karena_uheap *uh, pgoff_t pgoff);

/* control.c */
int karena_control_init(struct karena_uheap *uh);
int karena_control_publish(struct karena_heap *heap, struct karena_run *run, u16 value);
struct page *karena_control_page(struct karena_uheap *uh, pgoff_t pgoff);
void karena_control_destroy(struct karena_uheap *uh);

/* types.c */
int karena_uheap_register(struct karena_uheap *uh, struct karena_register *req,
			  struct karena_register __user *ureq);
struct karena_type *karena_uheap_type(struct karena_uheap *uh, u32 id);

/* inode.c */
struct inode *karena_inode_new(loff_t size);
int karena_inode_init(void);
void karena_inode_exit(void);

/* mmap.c */
int karena_mmap(struct file *file, struct vm_area_struct *vma);
unsigned long karena_get_unmapped_area(struct file *file, unsigned long addr,
				       unsigned long len, unsigned long pgoff,
				       unsigned long flags);

/* ioctl.c */
long karena_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* chardev.c */
extern const struct file_operations karena_fops;
struct file *karena_file_new(struct karena_uheap *uh, int flags);
struct karena_uheap *karena_file_heap(struct file *file);
int karena_chardev_init(void);
void karena_chardev_exit(void);

#endif /* _KARENA_USER_H */
