/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that karena builds for, and nothing else.
 * The rest of the code reads as if written for the newest.  Features are probed
 * for in probe.mk, which defines KARENA_HAVE_*.
 */
#ifndef _KARENA_COMPAT_H
#define _KARENA_COMPAT_H

#include <linux/bitmap.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

#ifndef KARENA_HAVE_SYSTEM_DFL_WQ		/* 6.18: a new name */
#define system_dfl_wq system_unbound_wq
#endif

/* Whether the caller lets its user see what is in its memory; newer kernels do not tell. */
static inline bool karena_is_dumpable(void)
{
#ifdef KARENA_HAVE_GET_DUMPABLE			/* gone in 7.3 */
	return !current->mm || get_dumpable(current->mm) == SUID_DUMP_USER;
#else
	return true;
#endif
}

#ifndef KARENA_HAVE_VM_FLAGS_SET		/* 6.3 */
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

#ifndef KARENA_HAVE_FOLIO_MAPCOUNT		/* 6.10: inline; before, not exported */
static inline int karena_folio_mapcount(struct folio *folio)
{
	return page_mapcount(&folio->page);
}

#define folio_mapcount karena_folio_mapcount
#endif

#ifdef KARENA_HAVE_GUP_VMAS			/* up to 6.4 */
#define get_user_pages_remote(mm, start, nr, flags, pages, locked) \
	get_user_pages_remote(mm, start, nr, flags, pages, NULL, locked)
#endif

#ifndef struct_size_t				/* 6.5 */
#define struct_size_t(type, member, count) \
	struct_size((type *)NULL, member, count)
#endif

/* A shrinker that is at work from here on; NULL without memory. */
typedef unsigned long karena_shrink_t(struct shrinker *shrinker, struct shrink_control *sc);

static inline struct shrinker *karena_shrinker_new(const char *name, karena_shrink_t *count,
						   karena_shrink_t *scan)
{
#ifdef KARENA_HAVE_SHRINKER_ALLOC		/* 6.7 */
	struct shrinker *shrinker = shrinker_alloc(0, "%s", name);
#else
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
#endif

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
#ifdef KARENA_HAVE_SHRINKER_ALLOC
	shrinker_register(shrinker);
#else
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
#endif
	return shrinker;
}

static inline void karena_shrinker_delete(struct shrinker *shrinker)
{
#ifdef KARENA_HAVE_SHRINKER_ALLOC
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
	kfree(shrinker);
#endif
}

/*
 * Write-protection of a page that is locked, at once; or of some pages, locked or
 * not, all together.  The latter is faster by far, and not to be had everywhere: of the
 * two one does nothing.
 *
 * Entries must not be left dirty: mprotect(), NUMA balancing and userfaultfd make such
 * writable without a fault.  If they do so between protection and cleaning, the entry is
 * found dirty by the second pass, as is what was written through it: @dirty gets these.
 */
static inline void karena_protect_locked(struct folio *folio)
{
	if (!IS_ENABLED(CONFIG_MAPPING_DIRTY_HELPERS))
		folio_mkclean(folio);
}

static inline void karena_protect_some(struct address_space *mapping, pgoff_t first,
				       pgoff_t nr, unsigned long *dirty)
{
#if IS_ENABLED(CONFIG_MAPPING_DIRTY_HELPERS)
	unsigned int pass;
	pgoff_t start, end;

	for (pass = 0; pass < 2; pass++) {
		start = nr;
		end = 0;
		bitmap_zero(dirty, nr);
		wp_shared_mapping_range(mapping, first, nr);
		clean_record_shared_mapping_range(mapping, first, nr, first, dirty, &start,
						  &end);
	}
#endif
}

/*
 * What was unmapped, nobody has mapped any more.  Under UML another process has until it
 * comes back from the kernel the next time.
 */
static inline void karena_unmapped(void)
{
	if (IS_ENABLED(CONFIG_UML))
		synchronize_rcu_expedited();
}

/* Where the frame of a program is, if it has frame pointers. */
static inline unsigned long karena_user_frame(struct pt_regs *regs)
{
#ifdef CONFIG_UML
	return PT_REGS_BP(regs);
#else
	return frame_pointer(regs);
#endif
}

/* Whether a task is, or may still be, on a CPU; if not, what it did there is seen. */
static inline bool karena_task_on_cpu(struct task_struct *task)
{
#ifdef CONFIG_SMP
	/* Pairs with the release in finish_task() (kernel/sched/core.c). */
	return smp_load_acquire(&task->on_cpu);
#else
	return task == current;
#endif
}

/*
 * Whether a task with work pending cannot run in user mode any more: it is off the
 * CPU, and looks for work on its way there.  Under UML a task waits for the other
 * threads of its process after that look, in a state that nothing can interrupt and
 * no debugger asks for.
 */
static inline bool karena_task_stands(struct task_struct *task)
{
	if (karena_task_on_cpu(task))
		return false;
	return !IS_ENABLED(CONFIG_UML) ||
	       READ_ONCE(task->__state) & (TASK_INTERRUPTIBLE | TASK_WAKEKILL | TASK_TRACED);
}

/* Functions of the inside that the unit tests call. */
#if IS_ENABLED(CONFIG_KUNIT)
#ifdef KARENA_HAVE_QUOTED_NS			/* 6.13 */
#define KARENA_TEST_NS		"KARENA_INTERNAL"
#else
#define KARENA_TEST_NS		KARENA_INTERNAL
#endif
#define KARENA_EXPORT_TEST(sym)	EXPORT_SYMBOL_NS_GPL(sym, KARENA_TEST_NS)
#else
#define KARENA_EXPORT_TEST(sym)	static_assert(!__same_type(sym, void))
#endif

#endif /* _KARENA_COMPAT_H */
