/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps of user space: a window of addresses, its pages, and the device; and for
 * those that are collected, from the bottom up:
 *
 *	pages     which pages may change unseen, and what they refer to
 *	mapped    which parts programs may have mapped
 *	process   who has the window mapped, and where they keep references
 *	scan      references in the memory and registers of a process
 *	stop      all threads of all processes stand still
 *	objects   calls to allocate and to free
 *	refill    objects that a thread takes together and hands out one by one
 *	magazine  objects that all threads of a CPU have together
 *	private   heaps whose memory is the program's
 *	memory    what a heap holds: limits, and calls
 *	cow       pages that a heap and its clone have together
 *	clone     a heap with the same objects as another one
 *	collect   the snapshot: all of it together; calls
 *	special   weak references and cleanups
 *	kernel    kernel code that works in the heap of a program
 *	profile   calls about where objects come from
 *	lists     calls that tell of spans, types, magazines
 *	dump      a heap as it is at one moment, with its roots
 */
#ifndef _KARENA_USER_H
#define _KARENA_USER_H

#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/poll.h>

#include "kmod/alloc/internal.h"
#include "kmod/gc/gc.h"
#include "kmod/observe/profile.h"

#define KARENA_MIN_WINDOW	BIT_ULL(20)
#define KARENA_MAX_WINDOW	BIT_ULL(40)
#define KARENA_DEFAULT_WINDOW	BIT_ULL(34)

/* Pages of the heap that have a bit of what is written, and of what is mapped. */
#define KARENA_PART_PAGES	(KARENA_LEAF_PAGES / BITS_PER_LONG)

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
	atomic_long_t private_heaps;	/* these count there only */
};

/* What a program registered to be searched for references; never changed. */
struct karena_ranges {
	refcount_t ref;
	u32 nr;
	struct karena_range {
		unsigned long start;
		unsigned long end;
		bool extents;		/* it holds struct karena_extent */
		u8 stack_shift;		/* or it is stacks of so many bytes, as a power of two */
	} range[];			/* ascending */
};

/* A mapping of the window, of a heap that is collected. */
struct karena_process {
	struct list_head node;		/* uh->processes; world_lock */
	refcount_t ref;
	struct mm_struct *mm;		/* no user of it, only the struct */
	struct karena_ranges *ranges;	/* or NULL; world_lock */
	struct hlist_node by_mm;	/* of the stopper, as is the next one */
	bool born;			/* a thread of it has been seen */
};

/* Objects that a call has allocated, and not yet given to the program. */
struct karena_inflight {
	struct list_head node;
	const unsigned long *addrs;
	unsigned int nr;		/* grows: READ_ONCE() */
	const struct karena_extents *extents;
};

/* Where the stacks of a thread are. */
struct karena_frame {
	unsigned long sp;
	unsigned long first;		/* on the stack that it began with; 0: the main one */
	unsigned long signal_stack;
	unsigned long signal_size;
};

struct karena_uheap;

/* Pages that programs map beside the window, made when needed. */
struct karena_region {
	struct xarray pages;
	unsigned long base;		/* its address */
	unsigned long size;		/* bytes; 0 if the heap has none */
	/* Of a new page, or NULL. */
	void (*fill)(struct karena_uheap *uh, void *memory, pgoff_t pgoff);
};

struct karena_stop;
struct karena_batch;
struct karena_roots;

struct karena_uheap {
	struct karena_heap heap;
	unsigned long npages;		/* of the window */
	struct karena_region control;
	struct karena_region magazines;
	struct karena_runs bare;	/* pages without memory; heap.lock */
	struct inode *inode;		/* whose mapping the pages are in */
	atomic_long_t meta_pages;	/* of pagemap and types, as they are charged */
	struct xarray types;		/* struct karena_type by number, from 1 up */
	struct mutex types_lock;	/* to register one */
	struct karena_user *user;

	struct karena_place *place;	/* where no other window is; or NULL */
	bool private;			/* its memory is the program's: private.c */
	bool guarded;			/* what is in it is not for all with its user's id */
	atomic_long_t spanned;		/* pages of it that the user is charged for */
	unsigned long grown;		/* which pages of it there are; heap.lock */
	struct karena_run *leaving;	/* which it gives back; leaving_lock */
	struct mutex leaving_lock;

	struct rw_semaphore calls;	/* that may change it; clone.c */
	bool profiled;			/* once at least: profile.c */
	unsigned long __percpu *due;	/* magazines with a sample to come: magazine.c; or NULL */

	bool cloning;			/* who would change it waits a little, */
	wait_queue_head_t cloned;	/* here: clone.c */
	struct rw_semaphore freeze;	/* faults, and stores of the kernel; clone.c */
	struct mutex own_lock;		/* who gets pages of its own: cow.c */
	struct list_head stale;		/* pages that it had before; own_lock */

	/* Of heaps that are collected. */
	unsigned long *written;		/* which pages are: pages.c; or NULL */
	unsigned long *written_leaves;
	struct karena_batch *batch;	/* of who runs a cycle: pages.c */
	unsigned long *mapped;		/* what may be: mapped.c */
	bool armed;			/* what is written first is shaded: pages.c */
	bool held;			/* who would write first waits, */
	wait_queue_head_t held_wait;	/* here: pages.c */
	spinlock_t world_lock;
	struct list_head processes;	/* world_lock */
	u64 opened;			/* processes that there have been; world_lock */
	struct mutex inflight_lock;	/* held long while all stand */
	struct list_head inflight;	/* inflight_lock */
	atomic_long_t specials;		/* of programs: special.c */
	struct karena_roots *roots;	/* of a dump: dump.c; or NULL */
	struct karena_stop *stop;
};

typedef void karena_visit_t(void *arg, unsigned long word);

/* An open descriptor; @heap is set once, by set-up. */
struct karena_file {
	struct mutex lock;		/* set-up, against itself */
	struct karena_uheap *heap;
};

static inline struct karena_uheap *to_uheap(struct karena_heap *heap)
{
	return container_of(heap, struct karena_uheap, heap);
}

/* A mutator section, in a heap that has such. */
static inline int karena_uheap_enter(struct karena_uheap *uh)
{
	return uh->heap.gc ? karena_enter(&uh->heap) : 0;
}

static inline void karena_uheap_exit(struct karena_uheap *uh, int section)
{
	if (uh->heap.gc)
		karena_exit(&uh->heap, section);
}

/*
 * Whether a word may be a reference: where an object is, or ends.  Most are none, and
 * are looked at while all threads stand.
 */
static inline bool karena_may_refer(const struct karena_uheap *uh, unsigned long word)
{
	return word - uh->heap.base <= uh->npages << KARENA_PAGE_SHIFT;
}

/* account.c */
struct karena_user *karena_user_get(kuid_t uid);
void karena_user_put(struct karena_user *user);
int karena_user_add_heap(struct karena_user *user, unsigned long npages);
void karena_user_del_heap(struct karena_user *user, unsigned long npages);
int karena_user_add_private(struct karena_user *user);
void karena_user_del_private(struct karena_user *user);
int karena_user_charge(struct karena_user *user, unsigned long npages);
void karena_user_uncharge(struct karena_user *user, unsigned long npages);
void karena_user_info(struct karena_info *info);
void karena_user_init(void);

/* window.c */
struct karena_uheap *karena_uheap_create(const struct karena_setup *setup,
					 const struct karena_uheap *like);
int karena_uheap_charge_meta(struct karena_uheap *uh, size_t bytes);
void karena_uheap_uncharge_meta(struct karena_uheap *uh, size_t bytes);
bool karena_in_window(struct karena_uheap *uh, u64 *addr);
void karena_window_forget(struct karena_heap *heap);
int karena_window_map(struct karena_uheap *uh, struct karena_run *run, gfp_t gfp);
struct karena_run *karena_bare_take(struct karena_uheap *uh, unsigned long n, gfp_t gfp);
void karena_bare_put(struct karena_uheap *uh, struct karena_run *run);
void karena_window_destroy(struct karena_heap *heap);
struct page *karena_window_page(struct karena_uheap *uh, pgoff_t pgoff);
bool karena_window_has(struct karena_uheap *uh, pgoff_t pgoff, const struct page *page);

/* region.c */
void karena_region_init(struct karena_region *region, unsigned long size,
			void (*fill)(struct karena_uheap *uh, void *memory, pgoff_t pgoff));
void *karena_region_find(struct karena_region *region, pgoff_t pgoff);
struct page *karena_region_page(struct karena_uheap *uh, struct karena_region *region,
				pgoff_t pgoff);
size_t karena_region_bytes(struct karena_region *region);
void karena_region_destroy(struct karena_uheap *uh, struct karena_region *region);

/* control.c */
void karena_control_region(struct karena_uheap *uh);
int karena_control_init(struct karena_uheap *uh, u32 flags);
int karena_control_publish(struct karena_heap *heap, struct karena_run *run, u16 value);
u16 karena_control_value(struct karena_uheap *uh, unsigned long page);
void karena_control_phase(struct karena_heap *heap);
void karena_control_special(struct karena_uheap *uh, unsigned long addr);

/* magazine.c */
int karena_magazines_init(void);
void karena_magazines_region(struct karena_uheap *uh);
unsigned int karena_magazine_of_pages(unsigned long npages);
unsigned int karena_magazine_bytes(unsigned int number);
unsigned int karena_magazine_count(struct karena_uheap *uh, unsigned int cpu,
				   unsigned int number, unsigned int *room);
void karena_magazines_info(struct karena_uheap *uh, struct karena_heap_info *info);
void karena_magazines_class(struct karena_uheap *uh, unsigned int spc,
			    struct karena_class_stat *stat);
void karena_magazines_explain(struct karena_uheap *uh, struct karena_explain_class *classes);
long karena_magazines_drain(struct karena_uheap *uh);
void karena_magazines_visit(struct karena_uheap *uh, karena_visit_t *visit, void *arg);
int karena_do_fill(struct karena_uheap *uh, struct karena_fill *req,
		   struct karena_fill __user *ureq);
int karena_do_flush(struct karena_uheap *uh, struct karena_flush *req);

int karena_magazines_arm(struct karena_uheap *uh);

/* profile.c */
unsigned long karena_sample_one(struct karena_uheap *uh, const struct karena_type *type,
				size_t size, unsigned int flags);
unsigned long karena_sample_next(struct karena_uheap *uh, const struct karena_type *type,
				 size_t size, unsigned int flags);
int karena_do_profile(struct karena_heap *heap, struct karena_profile *req);
int karena_do_stack(struct karena_uheap *uh, const struct karena_calls *req);

/* memory.c */
int karena_do_reclaim(struct karena_heap *heap, struct karena_reclaim *req);
int karena_do_memory(struct karena_heap *heap, struct karena_memory *req);
void karena_explain_all(struct karena_heap *heap, struct karena_explain *out,
			struct karena_explain_class *classes);
int karena_do_explain(struct karena_heap *heap, struct karena_explain *req);
void karena_admit(struct karena_uheap *uh);
__poll_t karena_over_poll(struct karena_uheap *uh, struct file *file, poll_table *wait);

/* cow.c */
bool karena_page_is_shared(struct karena_uheap *uh, unsigned long page);
void karena_page_own(struct karena_uheap *uh, unsigned long page, const struct page *held);
int karena_page_share(struct karena_uheap *to, struct karena_uheap *from, unsigned long page);
void karena_stale_drop(struct karena_uheap *uh);

/* clone.c */
int karena_calls_enter(struct karena_uheap *uh);
void karena_calls_exit(struct karena_uheap *uh);
void karena_freeze(struct karena_uheap *uh);
void karena_thaw(struct karena_uheap *uh);
struct karena_uheap *karena_clone_make(struct karena_uheap *uh, bool dump);
int karena_do_clone(struct karena_uheap *uh, struct karena_clone *req,
		    struct karena_clone __user *ureq);

/* private.c */
extern const struct karena_backing karena_private_backing;
int karena_private_grow_to(struct karena_uheap *uh, unsigned long npages);
int karena_do_release(struct karena_uheap *uh, struct karena_release *req,
		      struct karena_release __user *ureq);
int karena_do_grow(struct karena_uheap *uh, struct karena_grow *req);

/* objects.c */
bool karena_make_room(struct karena_uheap *uh);
void karena_take_back(struct karena_uheap *uh, unsigned int n, const unsigned long *addrs);
enum karena_reject karena_free_in_window(struct karena_uheap *uh, u64 addr);
int karena_do_alloc(struct karena_uheap *uh, struct karena_alloc *req);
int karena_do_free(struct karena_uheap *uh, struct karena_free *req);

/* pages.c */
int karena_pages_init(struct karena_uheap *uh);
void karena_pages_exit(struct karena_uheap *uh);
void karena_pages_set(struct karena_uheap *uh, const struct karena_run *run, bool written);
void karena_page_write(struct karena_uheap *uh, pgoff_t pgoff);
void karena_pages_hold(struct karena_uheap *uh);
void karena_pages_protect(struct karena_uheap *uh);
bool karena_pages_visit(struct karena_uheap *uh, karena_visit_t *fn, void *arg,
			unsigned int most);
void karena_object_visit(struct karena_uheap *uh, unsigned long addr, karena_visit_t *visit,
			 void *arg);

/* mapped.c */
int karena_mapped_init(struct karena_uheap *uh);
void karena_mapped_exit(struct karena_uheap *uh);
void karena_mapped_set(struct karena_uheap *uh, pgoff_t pgoff);
void karena_unmap_most(struct karena_uheap *uh);
void karena_unmap_objects(struct karena_uheap *uh);

/* process.c */
struct karena_process *karena_process_open(struct karena_uheap *uh, struct mm_struct *mm);
struct karena_process *karena_process_fork(struct karena_uheap *uh,
					   struct karena_process *parent, struct mm_struct *mm);
void karena_process_close(struct karena_uheap *uh, struct karena_process *process);
void karena_process_put(struct karena_process *process);
unsigned int karena_processes_get(struct karena_uheap *uh, struct karena_process **list,
				  unsigned int room, u64 *opened);
struct karena_ranges *karena_ranges_get(struct karena_uheap *uh, struct karena_process *process);
void karena_ranges_put(struct karena_ranges *ranges);
int karena_range_change(struct karena_uheap *uh, const struct karena_range *range, bool add);

/* scan.c */
struct karena_scan *karena_scan_new(struct karena_uheap *uh);
void karena_scan_delete(struct karena_scan *scan);
void karena_scan_begin(struct karena_scan *scan, const struct karena_visitor *visitor, bool whole);
bool karena_scan_end(const struct karena_scan *scan);
void karena_scan_range(struct karena_scan *scan, unsigned long start, unsigned long end);
void karena_scan_extents(struct karena_scan *scan, unsigned long start, unsigned long end);
void karena_scan_stack_range(struct karena_scan *scan, const struct karena_range *range);
void karena_scan_process(struct karena_scan *scan, struct task_struct *task);
void karena_scan_registers(struct karena_scan *scan, struct task_struct *task,
			   struct karena_frame *frame);
void karena_scan_stacks(struct karena_scan *scan, struct task_struct *task,
			const struct karena_frame *frame);

/* stop.c */
int karena_stop_init(struct karena_uheap *uh);
void karena_stop_exit(struct karena_uheap *uh);
void karena_stops_end(void);
void karena_stand(struct karena_uheap *uh);
void karena_rest(struct karena_uheap *uh);
bool karena_stopped(struct karena_heap *heap, const struct karena_visitor *visitor,
		    bool snapshot);

/* collect.c */
int karena_collect_init(struct karena_uheap *uh, const struct karena_setup *setup);
void karena_collect_exit(struct karena_uheap *uh);
void karena_free_shade(struct karena_uheap *uh, unsigned long addr);
int karena_do_collect(struct karena_heap *heap, const struct karena_collect *req);
int karena_do_step(struct karena_uheap *uh, struct karena_step *req);
int karena_do_root(struct karena_uheap *uh, const struct karena_root_range *req);
int karena_do_shade(struct karena_uheap *uh, const struct karena_shade *req);
int karena_do_gc_control(struct karena_heap *heap, struct karena_gc_control *req);
int karena_do_gc_info(struct karena_heap *heap, struct karena_gc_info *info);
void karena_inflight_add(struct karena_uheap *uh, struct karena_inflight *inflight);
void karena_inflight_del(struct karena_uheap *uh, struct karena_inflight *inflight);

/* refill.c */
int karena_do_refill(struct karena_uheap *uh, struct karena_refill *req,
		     struct karena_refill __user *ureq);
unsigned long karena_extent_visit(struct karena_uheap *uh, const struct karena_extent *extent,
				  unsigned long most, karena_visit_t *visit, void *arg);

/* special.c */
void karena_special_free(struct karena_heap *heap, struct karena_special *special);
void karena_weak_clear(struct karena_heap *heap, unsigned long cell, unsigned long target);
int karena_do_weak(struct karena_uheap *uh, const struct karena_weak_cell *req);
int karena_do_weak_get(struct karena_uheap *uh, struct karena_weak_cell *req,
		       struct karena_weak_cell __user *ureq);
int karena_do_cleanup(struct karena_uheap *uh, const struct karena_cleanup_call *req);
int karena_weaks_copy(struct karena_uheap *to, struct karena_uheap *from);
ssize_t karena_read(struct file *file, char __user *to, size_t room, loff_t *pos);
__poll_t karena_poll(struct file *file, poll_table *wait);

/* kernel.c */
void *karena_writable_get(struct karena_uheap *uh, unsigned long addr);
void karena_writable_put(struct karena_uheap *uh, void *at);

/* types.c */
int karena_uheap_register(struct karena_uheap *uh, struct karena_register *req,
			  struct karena_register __user *ureq);
struct karena_type *karena_uheap_type(struct karena_uheap *uh, u32 id);
u32 karena_type_flags(const struct karena_layout *layout);

/* lists.c */
int karena_do_list(struct karena_heap *heap, struct karena_list *req, unsigned int nr);

/* dump.c */
struct karena_roots *karena_roots_new(struct karena_uheap *uh);
void karena_roots_delete(struct karena_roots *roots);
int karena_freeze_with_roots(struct karena_uheap *uh, struct karena_roots *roots);
bool karena_roots_tell(struct karena_roots *roots, u64 nr, struct karena_root_record *record);
int karena_do_dump(struct karena_uheap *uh, struct karena_dump *req,
		   struct karena_dump __user *ureq);
int karena_types_copy(struct karena_uheap *to, struct karena_uheap *from);

/* inode.c */
struct inode *karena_inode_new(loff_t size);
int karena_inode_init(void);
void karena_inode_exit(void);

/* stacks.c */
bool karena_is_stacks(pgoff_t pgoff);
bool karena_has_stacks(const struct vm_area_struct *vma);
bool karena_stack_bounds(const struct vm_area_struct *vma, unsigned long addr,
			 unsigned long *start, unsigned long *end);
int karena_stacks_mmap(struct vm_area_struct *vma);
unsigned long karena_stacks_area(unsigned long addr, unsigned long len, pgoff_t pgoff,
				 unsigned long flags);
int karena_stacks_init(void);
void karena_stacks_exit(void);

/* mmap.c */
int karena_mmap(struct file *file, struct vm_area_struct *vma);
unsigned long karena_get_unmapped_area(struct file *file, unsigned long addr,
				       unsigned long len, unsigned long pgoff,
				       unsigned long flags);

/* ioctl.c */
long karena_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* chardev.c */
extern const struct file_operations karena_fops;
int karena_file_give(struct karena_uheap *uh, int flags, s32 *fd, s32 __user *ufd);
struct karena_uheap *karena_file_heap(struct file *file);
int karena_chardev_init(void);
void karena_chardev_exit(void);

#endif /* _KARENA_USER_H */
