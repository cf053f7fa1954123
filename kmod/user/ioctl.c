// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of /dev/karena.  Each one copies its argument once, checks all of
 * it, and only then does anything.  Handlers get a kernel copy, which goes back
 * to the caller if they succeed; the size that the caller gave decides how much
 * is taken and given (see uapi/karena.h).
 */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kmod/observe/check.h"
#include "kmod/observe/stats.h"
#include "user.h"

/* The largest argument. */
union karena_arg {
	__u32 size;
	struct karena_info info;
	struct karena_classes classes;
	struct karena_setup setup;
	struct karena_alloc alloc;
	struct karena_free free;
	struct karena_usable usable;
	struct karena_share share;
	struct karena_heap_info heap_info;
	struct karena_class_stats class_stats;
	struct karena_register reg;
	struct karena_collect collect;
	struct karena_step step;
	struct karena_root_range root;
	struct karena_gc_control gc_control;
	struct karena_gc_info gc_info;
	struct karena_shade shade;
	struct karena_refill refill;
	struct karena_fill fill;
	struct karena_flush flush;
	struct karena_grow grow;
	struct karena_release release;
	struct karena_clone clone;
	struct karena_weak_cell weak;
	struct karena_cleanup_call cleanup;
	struct karena_reclaim reclaim;
	struct karena_memory memory;
	struct karena_explain explain;
	struct karena_check check;
	struct karena_profile profile;
	struct karena_calls stack;
	struct karena_list list;
	struct karena_dump dump;
};

static int do_info(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_info *info = &arg->info;

	*info = (struct karena_info) {
		.size = info->size,
		.abi_version = KARENA_ABI_VERSION,
		.features = KARENA_FEAT_TINY | KARENA_FEAT_SHARE | KARENA_FEAT_TYPES |
			    KARENA_FEAT_COLLECT | KARENA_FEAT_BARRIER | KARENA_FEAT_REFILL |
			    KARENA_FEAT_MAGAZINES | KARENA_FEAT_PRIVATE | KARENA_FEAT_CLONE |
			    KARENA_FEAT_SPECIALS | KARENA_FEAT_RETURN | KARENA_FEAT_PROFILE |
			    KARENA_FEAT_STACKS | KARENA_FEAT_DUMP | KARENA_FEAT_CHECK,
		.page_size = KARENA_PAGE_SIZE,
		.nr_classes = KARENA_NR_CLASSES,
		.max_small = KARENA_MAX_SMALL,
		.max_bulk = KARENA_MAX_BULK,
		.min_window = KARENA_MIN_WINDOW,
		.max_window = KARENA_MAX_WINDOW,
		.default_window = KARENA_DEFAULT_WINDOW,
	};
	karena_user_info(info);
	return 0;
}

static int do_classes(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_classes *classes = &arg->classes;
	struct karena_class_info __user *out = u64_to_user_ptr(classes->classes);
	unsigned int i, n = min_t(u32, classes->count, KARENA_NR_CLASSES);
	struct karena_class_info info;

	for (i = 0; i < n; i++) {
		info = (struct karena_class_info) {
			.object_size = karena_class_size[i],
			.span_pages = karena_class_pages[i],
			.span_objects = karena_class_objects[i],
			.magazine = karena_class_magazine(i),
		};
		if (copy_to_user(out + i, &info, sizeof(info)))
			return -EFAULT;
	}
	classes->count = KARENA_NR_CLASSES;
	return 0;
}

static bool good_name(const char *name)
{
	unsigned int i;

	for (i = 0; i < KARENA_NAME_LEN && name[i]; i++)
		if (!isascii(name[i]) || !isprint(name[i]))
			return false;
	return i < KARENA_NAME_LEN;
}

static int check_setup(struct karena_setup *setup)
{
	if (setup->flags & ~(KARENA_SETUP_COLLECT | KARENA_SETUP_BARRIER |
			     KARENA_SETUP_PRIVATE) || setup->reserved)
		return -EINVAL;
	/* The kernel sees no references there. */
	if (setup->flags & KARENA_SETUP_PRIVATE && setup->flags != KARENA_SETUP_PRIVATE)
		return -EINVAL;
	/* A barrier is for collection. */
	if (setup->flags == KARENA_SETUP_BARRIER)
		return -EINVAL;
	if (!setup->window)
		setup->window = KARENA_DEFAULT_WINDOW;
	if (setup->window < KARENA_MIN_WINDOW || setup->window > KARENA_MAX_WINDOW)
		return -EINVAL;
	setup->window = round_up(setup->window, KARENA_PAGE_SIZE);
	if (!setup->limit)
		setup->limit = setup->window;
	if (setup->limit < KARENA_PAGE_SIZE || setup->limit > setup->window)
		return -EINVAL;
	return good_name(setup->name) ? 0 : -EINVAL;
}

static int do_setup(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_file *kf = file->private_data;
	struct karena_setup *setup = &arg->setup;
	struct karena_uheap *uh;
	int err;

	err = check_setup(setup);
	if (err)
		return err;
	mutex_lock(&kf->lock);
	if (kf->heap) {
		err = -EBUSY;
		goto unlock;
	}
	uh = karena_uheap_create(setup, NULL);
	if (IS_ERR(uh)) {
		err = PTR_ERR(uh);
		goto unlock;
	}
	setup->base = uh->heap.base;
	setup->control_size = uh->control.size;
	setup->id = uh->heap.id;
	/* What cannot be told did not happen. */
	if (copy_to_user(uarg, setup, sizeof(*setup))) {
		karena_heap_put(&uh->heap);
		err = -EFAULT;
		goto unlock;
	}
	file->f_mapping = uh->inode->i_mapping;
	/* Pairs with smp_load_acquire() in karena_file_heap(). */
	smp_store_release(&kf->heap, uh);
unlock:
	mutex_unlock(&kf->lock);
	return err;
}

static int do_register(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_register *req = &arg->reg;

	if (req->flags & ~(KARENA_TYPE_NOSCAN | KARENA_TYPE_CONSERVATIVE) || req->reserved ||
	    !good_name(req->name) || karena_file_heap(file)->private)
		return -EINVAL;
	return karena_uheap_register(karena_file_heap(file), req, uarg);
}

static int do_alloc(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_alloc(karena_file_heap(file), &arg->alloc);
}

static int do_free(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_uheap *uh = karena_file_heap(file);
	int err = karena_do_free(uh, &arg->free);

	karena_scavenge_settle(&uh->heap);
	return err;
}

static int do_fill(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_fill(karena_file_heap(file), &arg->fill, uarg);
}

static int do_flush(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_uheap *uh = karena_file_heap(file);
	int err = karena_do_flush(uh, &arg->flush);

	karena_scavenge_settle(&uh->heap);
	return err;
}

static int do_usable(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_uheap *uh = karena_file_heap(file);
	struct karena_usable *req = &arg->usable;
	u64 addr = req->addr;

	if (req->flags)
		return -EINVAL;
	req->usable = karena_in_window(uh, &addr) ? karena_usable_addr(&uh->heap, addr) : 0;
	return req->usable ? 0 : -ENOENT;
}

/* How a shared descriptor is open: never with a right that @file has not got. */
static int shared_mode(struct file *file, bool rdonly)
{
	if (!(file->f_mode & (rdonly ? FMODE_READ : FMODE_WRITE)))
		return -EBADF;
	if (rdonly)
		return O_RDONLY;
	return file->f_mode & FMODE_READ ? O_RDWR : O_WRONLY;
}

static int do_share(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_share *req = &arg->share;
	int mode = shared_mode(file, req->flags & KARENA_SHARE_RDONLY);

	if (req->flags & ~KARENA_SHARE_RDONLY || req->reserved)
		return -EINVAL;
	if (mode < 0)
		return mode;
	return karena_file_give(karena_file_heap(file), mode, &req->fd,
				&((struct karena_share __user *)uarg)->fd);
}

static int do_clone(struct file *file, union karena_arg *arg, void __user *uarg)
{
	/* What comes back may be read. */
	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	return karena_do_clone(karena_file_heap(file), &arg->clone, uarg);
}

static bool may_see(struct karena_heap *heap)
{
	return (heap->user && uid_eq(heap->uid, current_uid())) ||
	       ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

/* The heap that a caller names, with a reference. */
static struct karena_heap *named_heap(struct file *file, u32 id, bool next)
{
	struct karena_uheap *own = karena_file_heap(file);
	struct karena_heap *heap;

	if (!id && !next)
		return own ? karena_heap_get(&own->heap) : ERR_PTR(-ENXIO);
	while ((heap = karena_heap_find(id, next))) {
		if (may_see(heap))
			return heap;
		id = heap->id;
		karena_heap_put(heap);
		if (!next)
			break;
	}
	return ERR_PTR(-ENOENT);
}

static int do_heap_info(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap_info *info = &arg->heap_info;
	u32 size = info->size, next = info->next;
	struct karena_heap *heap;

	if (next > 1)
		return -EINVAL;
	heap = named_heap(file, info->id, next);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	memset(info, 0, sizeof(*info));
	info->size = size;
	info->next = next;
	info->id = heap->id;
	info->kind = !heap->user;
	info->uid = from_kuid_munged(current_user_ns(), heap->uid);
	info->pid = pid_vnr(heap->pid);
	if (heap->user) {
		info->base = heap->base;
		info->window = (u64)to_uheap(heap)->npages << KARENA_PAGE_SHIFT;
		info->control_size = to_uheap(heap)->control.size;
	}
	karena_stats_heap(heap, info);
	if (heap->user)
		karena_magazines_info(to_uheap(heap), info);
	karena_heap_put(heap);
	return 0;
}

static int do_class_stats(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_class_stats *req = &arg->class_stats;
	struct karena_class_stat __user *out = u64_to_user_ptr(req->stats);
	struct karena_class_stat stat;
	struct karena_heap *heap;
	unsigned int spc, n = 0;
	int err = 0;

	if (req->reserved)
		return -EINVAL;
	heap = named_heap(file, req->id, false);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	/* Number 0 is no span class: there the large objects are. */
	for (spc = 0; spc < KARENA_NR_SPC && !err; spc++) {
		if (!karena_stats_class(heap, spc, &stat))
			continue;
		if (heap->user)
			karena_magazines_class(to_uheap(heap), spc, &stat);
		if (n < req->count && copy_to_user(out + n, &stat, sizeof(stat)))
			err = -EFAULT;
		n++;
	}
	req->count = n;
	karena_heap_put(heap);
	return err;
}

/* Collects a heap; not while a clone is made of it. */
static int collect(struct karena_heap *heap, const struct karena_collect *req)
{
	struct karena_uheap *uh = heap->user ? to_uheap(heap) : NULL;
	int err;

	if (uh && karena_calls_enter(uh))
		return -EINTR;
	err = karena_do_collect(heap, req);
	if (uh)
		karena_calls_exit(uh);
	return err;
}

static int do_collect(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap = named_heap(file, arg->collect.id, false);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = collect(heap, &arg->collect);
	karena_scavenge_settle(heap);
	karena_heap_put(heap);
	return err;
}

static int do_reclaim(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap = named_heap(file, arg->reclaim.id, false);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_reclaim(heap, &arg->reclaim);
	karena_heap_put(heap);
	return err;
}

static int do_memory(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap;
	int err;

	if (arg->memory.flags & KARENA_MEMORY_SET && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	heap = named_heap(file, arg->memory.id, false);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_memory(heap, &arg->memory);
	karena_heap_put(heap);
	return err;
}

static int do_explain(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap = named_heap(file, arg->explain.id, false);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_explain(heap, &arg->explain);
	karena_heap_put(heap);
	return err;
}

static int do_check(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap = named_heap(file, arg->check.id, false);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_check(heap, &arg->check);
	karena_heap_put(heap);
	return err;
}

static int do_step(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_step(karena_file_heap(file), &arg->step);
}

static int do_root(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_root(karena_file_heap(file), &arg->root);
}

static int do_gc_control(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap;
	int err;

	if (arg->gc_control.flags & KARENA_GC_SET && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	heap = named_heap(file, arg->gc_control.id, false);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_gc_control(heap, &arg->gc_control);
	karena_heap_put(heap);
	return err;
}

static int do_shade(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_shade(karena_file_heap(file), &arg->shade);
}

static int do_refill(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_refill(karena_file_heap(file), &arg->refill, uarg);
}

static int do_grow(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_grow(karena_file_heap(file), &arg->grow);
}

static int do_release(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_release(karena_file_heap(file), &arg->release, uarg);
}

static int do_weak(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_weak(karena_file_heap(file), &arg->weak);
}

static int do_weak_get(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_weak_get(karena_file_heap(file), &arg->weak, uarg);
}

static int do_cleanup(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_cleanup(karena_file_heap(file), &arg->cleanup);
}

static int do_gc_info(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap;
	int err;

	if (arg->gc_info.reserved)
		return -EINVAL;
	heap = named_heap(file, arg->gc_info.id, false);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_gc_info(heap, &arg->gc_info);
	karena_heap_put(heap);
	return err;
}

static int do_profile(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap;
	int err;

	if (arg->profile.flags & KARENA_PROFILE_SET && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	heap = named_heap(file, arg->profile.id, false);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	/* A descriptor is not enough: others' addresses are in it. */
	err = may_see(heap) ? karena_do_profile(heap, &arg->profile) : -EPERM;
	karena_heap_put(heap);
	return err;
}

static int do_stack(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return karena_do_stack(karena_file_heap(file), &arg->stack);
}

static int do_list(struct file *file, union karena_arg *arg, unsigned int cmd)
{
	struct karena_heap *heap = named_heap(file, arg->list.id, false);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = karena_do_list(heap, &arg->list, _IOC_NR(cmd));
	karena_heap_put(heap);
	return err;
}

static int do_spans(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return do_list(file, arg, KARENA_IOC_SPANS);
}

static int do_types(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return do_list(file, arg, KARENA_IOC_TYPES);
}

static int do_caches(struct file *file, union karena_arg *arg, void __user *uarg)
{
	return do_list(file, arg, KARENA_IOC_CACHES);
}

static int do_roots(struct file *file, union karena_arg *arg, void __user *uarg)
{
	/* A dump is whoever's who has it. */
	return arg->list.id ? -EINVAL : do_list(file, arg, KARENA_IOC_ROOTS);
}

/* What is in a heap is not for who has started a setuid program, say, that made it. */
static bool may_dump(struct karena_heap *heap)
{
	return may_see(heap) && (!to_uheap(heap)->guarded ||
				 ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN));
}

static int do_dump(struct file *file, union karena_arg *arg, void __user *uarg)
{
	struct karena_heap *heap;
	int err = -EINVAL;

	if (arg->dump.flags)
		return -EINVAL;
	/* What comes back may be read. */
	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	heap = named_heap(file, arg->dump.id, false);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	/* A descriptor is not enough: addresses of others are in it. */
	if (heap->user)
		err = may_dump(heap) ? karena_do_dump(to_uheap(heap), &arg->dump, uarg) : -EPERM;
	karena_heap_put(heap);
	return err;
}

#define NEEDS_HEAP	BIT(0)
#define NEEDS_WRITE	BIT(1)
#define CHANGES		(NEEDS_HEAP | NEEDS_WRITE | BIT(2))	/* not while a clone is made */

struct karena_call {
	int (*handler)(struct file *file, union karena_arg *arg, void __user *uarg);
	unsigned int cmd;
	unsigned int needs;
};

static const struct karena_call calls[] = {
	[_IOC_NR(KARENA_IOC_INFO)] = { do_info, KARENA_IOC_INFO, 0 },
	[_IOC_NR(KARENA_IOC_CLASSES)] = { do_classes, KARENA_IOC_CLASSES, 0 },
	[_IOC_NR(KARENA_IOC_SETUP)] = { do_setup, KARENA_IOC_SETUP, NEEDS_WRITE },
	[_IOC_NR(KARENA_IOC_ALLOC)] = { do_alloc, KARENA_IOC_ALLOC, CHANGES },
	[_IOC_NR(KARENA_IOC_FREE)] = { do_free, KARENA_IOC_FREE, CHANGES },
	[_IOC_NR(KARENA_IOC_USABLE)] = { do_usable, KARENA_IOC_USABLE, NEEDS_HEAP },
	[_IOC_NR(KARENA_IOC_SHARE)] = { do_share, KARENA_IOC_SHARE, NEEDS_HEAP },
	[_IOC_NR(KARENA_IOC_HEAP_INFO)] = { do_heap_info, KARENA_IOC_HEAP_INFO, 0 },
	[_IOC_NR(KARENA_IOC_CLASS_STATS)] = { do_class_stats, KARENA_IOC_CLASS_STATS, 0 },
	[_IOC_NR(KARENA_IOC_REGISTER)] = { do_register, KARENA_IOC_REGISTER,
					   CHANGES },
	[_IOC_NR(KARENA_IOC_COLLECT)] = { do_collect, KARENA_IOC_COLLECT, NEEDS_WRITE },
	[_IOC_NR(KARENA_IOC_STEP)] = { do_step, KARENA_IOC_STEP, CHANGES },
	[_IOC_NR(KARENA_IOC_ROOT)] = { do_root, KARENA_IOC_ROOT, NEEDS_HEAP },
	[_IOC_NR(KARENA_IOC_GC_CONTROL)] = { do_gc_control, KARENA_IOC_GC_CONTROL, 0 },
	[_IOC_NR(KARENA_IOC_GC_INFO)] = { do_gc_info, KARENA_IOC_GC_INFO, 0 },
	[_IOC_NR(KARENA_IOC_SHADE)] = { do_shade, KARENA_IOC_SHADE, NEEDS_HEAP | NEEDS_WRITE },
	[_IOC_NR(KARENA_IOC_REFILL)] = { do_refill, KARENA_IOC_REFILL,
					 CHANGES },
	[_IOC_NR(KARENA_IOC_FILL)] = { do_fill, KARENA_IOC_FILL, CHANGES },
	[_IOC_NR(KARENA_IOC_FLUSH)] = { do_flush, KARENA_IOC_FLUSH, CHANGES },
	[_IOC_NR(KARENA_IOC_CLONE)] = { do_clone, KARENA_IOC_CLONE, NEEDS_HEAP | NEEDS_WRITE },
	[_IOC_NR(KARENA_IOC_GROW)] = { do_grow, KARENA_IOC_GROW, CHANGES },
	[_IOC_NR(KARENA_IOC_PROFILE)] = { do_profile, KARENA_IOC_PROFILE, 0 },
	[_IOC_NR(KARENA_IOC_CALLS)] = { do_stack, KARENA_IOC_CALLS, NEEDS_HEAP | NEEDS_WRITE },
	[_IOC_NR(KARENA_IOC_RELEASE)] = { do_release, KARENA_IOC_RELEASE,
					  CHANGES },
	[_IOC_NR(KARENA_IOC_WEAK)] = { do_weak, KARENA_IOC_WEAK, CHANGES },
	[_IOC_NR(KARENA_IOC_WEAK_GET)] = { do_weak_get, KARENA_IOC_WEAK_GET, NEEDS_HEAP },
	[_IOC_NR(KARENA_IOC_CLEANUP)] = { do_cleanup, KARENA_IOC_CLEANUP, CHANGES },
	[_IOC_NR(KARENA_IOC_RECLAIM)] = { do_reclaim, KARENA_IOC_RECLAIM, NEEDS_WRITE },
	[_IOC_NR(KARENA_IOC_MEMORY)] = { do_memory, KARENA_IOC_MEMORY, 0 },
	[_IOC_NR(KARENA_IOC_EXPLAIN)] = { do_explain, KARENA_IOC_EXPLAIN, 0 },
	[_IOC_NR(KARENA_IOC_SPANS)] = { do_spans, KARENA_IOC_SPANS, 0 },
	[_IOC_NR(KARENA_IOC_TYPES)] = { do_types, KARENA_IOC_TYPES, 0 },
	[_IOC_NR(KARENA_IOC_DUMP)] = { do_dump, KARENA_IOC_DUMP, 0 },
	[_IOC_NR(KARENA_IOC_ROOTS)] = { do_roots, KARENA_IOC_ROOTS, NEEDS_HEAP },
	[_IOC_NR(KARENA_IOC_CACHES)] = { do_caches, KARENA_IOC_CACHES, 0 },
	[_IOC_NR(KARENA_IOC_CHECK)] = { do_check, KARENA_IOC_CHECK, 0 },
};

/* The call of a command; one that differs in size only is another version of it. */
static const struct karena_call *find_call(unsigned int cmd)
{
	const unsigned int size_bits = _IOC_SIZEMASK << _IOC_SIZESHIFT;
	unsigned int nr = _IOC_NR(cmd);

	if (nr >= ARRAY_SIZE(calls))
		return NULL;
	nr = array_index_nospec(nr, ARRAY_SIZE(calls));
	return (cmd & ~size_bits) == (calls[nr].cmd & ~size_bits) ? &calls[nr] : NULL;
}

/* Sizes that the first version of the ABI had: nothing smaller is taken. */
static bool good_size(const struct karena_call *call, u32 size)
{
	return size >= _IOC_SIZE(call->cmd) && size <= PAGE_SIZE;
}

static int run_handler(const struct karena_call *call, struct file *file,
		       union karena_arg *arg, void __user *uarg)
{
	bool changes = (call->needs & CHANGES) == CHANGES;
	struct karena_uheap *uh = karena_file_heap(file);
	int err;

	if (changes && karena_calls_enter(uh))
		return -EINTR;
	err = call->handler(file, arg, uarg);
	if (changes)
		karena_calls_exit(uh);
	return err;
}

static long run_call(const struct karena_call *call, struct file *file, void __user *uarg)
{
	size_t ksize = _IOC_SIZE(call->cmd);
	union karena_arg arg = {};
	u32 size;
	int err;

	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (!good_size(call, size))
		return -EINVAL;
	err = copy_struct_from_user(&arg, ksize, uarg, size);
	if (err)
		return err;
	arg.size = min_t(size_t, size, ksize);
	if (call->needs & NEEDS_WRITE && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (call->needs & NEEDS_HEAP && !karena_file_heap(file))
		return -ENXIO;
	err = run_handler(call, file, &arg, uarg);
	if (err || !(_IOC_DIR(call->cmd) & _IOC_READ))
		return err;
	return copy_to_user(uarg, &arg, ksize) ? -EFAULT : 0;
}

long karena_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct karena_call *call = find_call(cmd);

	return call ? run_call(call, file, (void __user *)arg) : -ENOTTY;
}
