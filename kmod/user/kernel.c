// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel code at work in the heap of a program: kmod/karena.h has the contract.
 *
 * Nothing that is found there is trusted.  An address is looked up in the pagemap,
 * and has to be in a live object each time that it is used; what is read is copied
 * once, and belongs to the caller then.  The memory is reached by its address in the
 * kernel, with a reference to the machine page, one at a time: if a program frees the
 * object meanwhile, its memory is the heap's still, or another object's of it, or
 * out of the heap and nobody else's before the reference is dropped.  So a program
 * that lies, or frees what the kernel works on, spoils what the heap holds at most.
 *
 * Such a caller is a mutator with sections (gc/section.c), beside programs that are
 * stopped for the snapshot, and has a barrier of its own, as its stores cause no page
 * fault.  While the phase is KARENA_MARK
 *
 *	whatever it gets is shaded: what it loads, reads or looks up; what it
 *	  allocates is born marked;
 *	whatever it overwrites is shaded, and what it stores.
 *
 * A section that is there at the snapshot or later has seen that phase from its begin,
 * as those of before have been waited for (begin() in gc/cycle.c).  Hence all that it
 * holds is marked, whatever programs did with the places where it was found, and
 * wherever it goes: into an object that has been scanned, or back to a program.  And
 * each reference of the snapshot that it takes away was shaded, as one that a program
 * takes away is.  A section that was over before left what it held in the heap, or
 * in the program's memory, or pinned: there the snapshot finds it.
 *
 * Loads are shaded for the sake of those shortly before the snapshot: programs run
 * then without a barrier, and may forget what only the caller knows after that.
 *
 * That its stores leave pages as they are, not written and protected (pages.c), does no
 * harm: what such a page refers to is found when its objects are scanned, or shaded
 * before the first write by a program.
 */
#include <linux/export.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "user.h"

#define WORD	sizeof(unsigned long)

static void assert_section(struct karena_heap *heap)
{
	RCU_LOCKDEP_WARN(!srcu_read_lock_held(&heap->gc->sections), "no mutator section");
}

/* --- heaps and types --- */

static struct karena_heap *file_heap(struct file *file)
{
	const fmode_t both = FMODE_READ | FMODE_WRITE;
	struct karena_uheap *uh;

	if (file->f_op != &karena_fops)
		return ERR_PTR(-EINVAL);
	if ((file->f_mode & both) != both)
		return ERR_PTR(-EBADF);
	uh = karena_file_heap(file);
	if (!uh)
		return ERR_PTR(-ENXIO);
	if (!uh->heap.gc)
		return ERR_PTR(-EOPNOTSUPP);
	return karena_heap_get(&uh->heap);
}

/**
 * karena_from_fd - the heap of a program
 * @fd: descriptor in the calling process: of a collected heap, open to read and write
 *
 * The heap and all that is reachable in it live as long as the reference, whatever
 * becomes of the descriptor and the process.  They count as the user's who made it.
 *
 * Of the functions that take a heap, karena_enter(), karena_exit(), karena_collect(),
 * karena_gc_stats(), karena_heap_stats(), karena_heap_get() and karena_heap_put() may
 * be used, and those with user in their names; none of the others.
 *
 * Context: process context.
 * Return: the heap, with a reference; ERR_PTR(-EBADF) if there is no such descriptor
 * or it has not got both rights, -EINVAL if it is not one of karena, -ENXIO if it is
 * not set up, -EOPNOTSUPP if its heap is not collected.
 */
struct karena_heap *karena_from_fd(int fd)
{
	struct file *file = fget(fd);
	struct karena_heap *heap;

	if (!file)
		return ERR_PTR(-EBADF);
	heap = file_heap(file);
	fput(file);
	return heap;
}
EXPORT_SYMBOL_GPL(karena_from_fd);

/**
 * karena_user_type - a type that a program has registered
 * @heap: heap of a program
 * @id: its number, KARENA_IOC_REGISTER
 *
 * Context: any.
 * Return: the type, which lives as long as the heap; NULL if there is none.
 */
struct karena_type *karena_user_type(struct karena_heap *heap, u32 id)
{
	return karena_uheap_type(to_uheap(heap), id);
}
EXPORT_SYMBOL_GPL(karena_user_type);

/**
 * karena_user_new - allocate an object or an array in the heap of a program
 * @heap: heap of a program
 * @type: type of it; NULL: any word may be a reference
 * @size: bytes; a multiple of those of the type
 *
 * The memory is charged to the control group of the calling task, and to the heap's
 * user.  At the heap's limit it fails at once: karena_collect(), after karena_exit(),
 * may help.
 *
 * Context: process context, may sleep, in a mutator section.
 * Return: the object, zeroed; NULL without memory, at the heap's limit, if the caller
 * is being killed, or for a size that cannot be.
 */
void __user *karena_user_new(struct karena_heap *heap, struct karena_type *type, size_t size)
{
	unsigned long addr;

	assert_section(heap);
	if (!size || (type && size % type->element))
		return NULL;
	addr = karena_sample_next(to_uheap(heap), type, size, KARENA_SAMPLE_KERNEL);
	if (addr)
		return (void __user *)addr;
	if (type)
		addr = karena_alloc_typed(type, size, 0, GFP_KERNEL);
	else
		addr = karena_alloc_addr(heap, size, 0, GFP_KERNEL);
	return (void __user *)addr;
}
EXPORT_SYMBOL_GPL(karena_user_new);

/* --- objects --- */

/* A live object; its layout is the heap's. */
struct object {
	const struct karena_layout *layout;
	unsigned long start;
	unsigned long end;
};

/* The live object that an address is in, as it is just now; false if there is none. */
static bool find_object(struct karena_uheap *uh, u64 addr, struct object *object)
{
	struct karena_span *span;
	bool live = false;
	u32 index;
	u8 state;

	assert_section(&uh->heap);
	if (!karena_in_window(uh, &addr))
		return false;
	rcu_read_lock();
	span = karena_find_object(&uh->heap, addr, &index);
	if (span) {
		/* A program may free it at any time. */
		state = READ_ONCE(span->state[index]);
		live = karena_is_live(state) || state == KARENA_TINY;
		object->layout = span->layout;
		object->start = span->base + (unsigned long)index * span->size;
		object->end = object->start + (span->size ? span->size : span->large_size);
	}
	rcu_read_unlock();
	return live;
}

static bool find_range(struct karena_uheap *uh, unsigned long addr, size_t len,
		       struct object *object)
{
	return find_object(uh, addr, object) && len <= object->end - addr;
}

static bool is_marking(struct karena_heap *heap)
{
	/* Pairs with the SRCU grace period of a cycle: whoever is in a section sees it. */
	return READ_ONCE(heap->head.phase) == KARENA_MARK;
}

/* Whether references in it have to be shaded. */
static bool may_refer(struct karena_heap *heap, const struct object *object)
{
	return object->layout->kind != KARENA_LAYOUT_NOSCAN && is_marking(heap);
}

/* What the caller holds from here on. */
static void shade(struct karena_heap *heap, unsigned long word)
{
	if (is_marking(heap) && !karena_is_planted(KARENA_PLANT_NO_LOAD_SHADE))
		karena_shade(heap->gc, word);
}

/**
 * karena_user_size - bytes of an object in the heap of a program
 * @heap: heap of a program
 * @object: where it begins, as far as anybody says
 *
 * For an address that did not come from a function of these, before it is used in a
 * section.
 *
 * Context: process context, in a mutator section.
 * Return: its size, at least what was asked for; 0 if no live object begins there.
 */
size_t karena_user_size(struct karena_heap *heap, const void __user *object)
{
	struct karena_uheap *uh = to_uheap(heap);
	u64 addr = (unsigned long)object;

	assert_section(heap);
	if (!karena_in_window(uh, &addr))
		return 0;
	shade(heap, addr);
	return karena_usable_addr(heap, addr);
}
EXPORT_SYMBOL_GPL(karena_user_size);

/**
 * karena_user_pin - keep an object in the heap of a program, however long
 * @heap: heap of a program
 * @object: live object, by its start
 *
 * For references that are held when a section is over, and for those that are given to
 * a program: until it has them.  Each pin needs its karena_user_unpin().  A program may
 * free the object even so.
 *
 * Context: process context, may sleep, in a mutator section.
 * Return: 0, -EINVAL if no object begins there, -ENOMEM.
 */
int karena_user_pin(struct karena_heap *heap, const void __user *object)
{
	u64 addr = (unsigned long)object;

	assert_section(heap);
	if (!karena_in_window(to_uheap(heap), &addr))
		return -EINVAL;
	return karena_pin(heap, (void *)(unsigned long)addr);
}
EXPORT_SYMBOL_GPL(karena_user_pin);

/**
 * karena_user_unpin - take back one karena_user_pin()
 * @heap: heap of a program
 * @object: the object
 *
 * Context: process context, may sleep.
 * Return: 0, or -ENOENT if the object is not pinned.
 */
int karena_user_unpin(struct karena_heap *heap, const void __user *object)
{
	return karena_unpin(heap, (__force const void *)object);
}
EXPORT_SYMBOL_GPL(karena_user_unpin);

/* --- memory --- */

/* What a program has at an address; its machine page stays.  NULL if it is gone. */
static void *get_memory(struct karena_uheap *uh, unsigned long addr)
{
	struct page *page = karena_window_page(uh, (addr - uh->heap.base) >> PAGE_SHIFT);

	if (!page)
		return NULL;
	if (PageHWPoison(page)) {
		put_page(page);
		return NULL;
	}
	return page_address(page) + offset_in_page(addr);
}

static void put_memory(void *at)
{
	put_page(virt_to_page(at));
}

/* The same to write there, which is over before a clone can be made. */
void *karena_writable_get(struct karena_uheap *uh, unsigned long addr)
{
	void *at;

	down_read(&uh->freeze);
	karena_page_own(uh, (addr - uh->heap.base) >> KARENA_PAGE_SHIFT, NULL);
	at = get_memory(uh, addr);
	if (!at)
		up_read(&uh->freeze);
	return at;
}

void karena_writable_put(struct karena_uheap *uh, void *at)
{
	put_memory(at);
	up_read(&uh->freeze);
}

/* Words that are about to be overwritten, in part maybe. */
static void shade_old(struct karena_heap *heap, void *at, size_t len)
{
	unsigned long *word = PTR_ALIGN_DOWN((unsigned long *)at, WORD);

	if (karena_is_planted(KARENA_PLANT_NO_OLD_SHADE))
		return;
	/* Waited for by the end of marking, as in karena_store_shade(). */
	rcu_read_lock();
	for (; (void *)word < at + len; word++)
		/* A program may be writing. */
		karena_shade(heap->gc, data_race(READ_ONCE(*word)));
	rcu_read_unlock();
}

/* Whole words of a copy of what is, or will be, at an address. */
static void shade_copy(struct karena_heap *heap, unsigned long addr, const void *copy, size_t len)
{
	unsigned long word;
	size_t i;

	for (i = round_up(addr, WORD) - addr; i + WORD <= len; i += WORD) {
		memcpy(&word, copy + i, WORD);
		shade(heap, word);
		if (!offset_in_page(addr + i))
			cond_resched();
	}
}

/**
 * karena_user_read - copy out of an object in the heap of a program
 * @heap: heap of a program
 * @from: first byte, in an object
 * @to: gets the bytes
 * @len: how many; not beyond the end of the object
 *
 * References among them may be used like those that karena_user_load() returns, but
 * have not been looked at.
 *
 * Context: process context, may sleep, in a mutator section.
 * Return: 0, or -EFAULT if not all of them are in one live object.
 */
int karena_user_read(struct karena_heap *heap, const void __user *from, void *to, size_t len)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long addr = (unsigned long)from;
	struct object object;
	size_t part, done;
	void *at;

	if (!find_range(uh, addr, len, &object))
		return -EFAULT;
	for (done = 0; done < len; done += part) {
		part = min_t(size_t, len - done, PAGE_SIZE - offset_in_page(addr + done));
		at = get_memory(uh, addr + done);
		if (!at)
			return -EFAULT;
		/* A program may be writing: what comes out is the caller's to check. */
		data_race(memcpy(to + done, at, part));
		put_memory(at);
		cond_resched();
	}
	if (may_refer(heap, &object))
		shade_copy(heap, addr, to, len);
	return 0;
}
EXPORT_SYMBOL_GPL(karena_user_read);

/**
 * karena_user_write - copy into an object in the heap of a program
 * @heap: heap of a program
 * @to: first byte, in an object
 * @from: the bytes
 * @len: how many; not beyond the end of the object
 *
 * References may be among them, and among what is overwritten.  Whoever looks at the
 * object meanwhile may see any part of it: publish it by karena_user_store() after that.
 *
 * Context: process context, may sleep, in a mutator section.
 * Return: 0, or -EFAULT if not all of them are in one live object.
 */
int karena_user_write(struct karena_heap *heap, void __user *to, const void *from, size_t len)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long addr = (unsigned long)to;
	struct object object;
	size_t part, done;
	bool marking;
	void *at;

	if (!find_range(uh, addr, len, &object))
		return -EFAULT;
	marking = may_refer(heap, &object);
	if (marking)
		shade_copy(heap, addr, from, len);
	for (done = 0; done < len; done += part) {
		part = min_t(size_t, len - done, PAGE_SIZE - offset_in_page(addr + done));
		at = karena_writable_get(uh, addr + done);
		if (!at)
			return -EFAULT;
		if (marking)
			shade_old(heap, at, part);
		/* Who looks at it meanwhile may see any part of it. */
		data_race(memcpy(at, from + done, part));
		karena_writable_put(uh, at);
		cond_resched();
	}
	return 0;
}
EXPORT_SYMBOL_GPL(karena_user_write);

/* The word at an address, as @get finds it; or an ERR_PTR(). */
static unsigned long *get_slot(struct karena_heap *heap, const void __user *slot,
			       void *(*get)(struct karena_uheap *uh, unsigned long addr))
{
	unsigned long addr = (unsigned long)slot;
	struct object object;
	unsigned long *at;

	if (!IS_ALIGNED(addr, WORD))
		return ERR_PTR(-EINVAL);
	if (!find_range(to_uheap(heap), addr, WORD, &object))
		return ERR_PTR(-EFAULT);
	at = get(to_uheap(heap), addr);
	return at ? at : ERR_PTR(-EFAULT);
}

/**
 * karena_user_load - read a reference in the heap of a program
 * @heap: heap of a program
 * @slot: word of an object
 *
 * Pairs with a store that releases, by a program or karena_user_store().
 *
 * Context: process context, in a mutator section.
 * Return: NULL, or an address in a live object, at its start or not;
 * ERR_PTR(-EFAULT) if the word leads anywhere else, or is not in a live object itself,
 * ERR_PTR(-EINVAL) if it is not aligned.
 */
void __user *karena_user_load(struct karena_heap *heap, const void __user *slot)
{
	unsigned long *at = get_slot(heap, slot, get_memory), word;
	struct object object;

	if (IS_ERR(at))
		return (__force void __user *)at;
	/* Pairs with a store that releases, by a program or karena_user_store(). */
	word = smp_load_acquire(at);
	put_memory(at);
	shade(heap, word);
	if (word && !find_object(to_uheap(heap), word, &object))
		word = -EFAULT;
	return (void __user *)word;
}
EXPORT_SYMBOL_GPL(karena_user_load);

/**
 * karena_user_store - store a reference in the heap of a program
 * @heap: heap of a program
 * @slot: word of an object
 * @value: object of the heap, or NULL
 *
 * Releases: who loads the reference, and acquires, sees what was written before.
 *
 * Context: process context, may sleep, in a mutator section.
 * Return: 0, -EFAULT if the word is not in a live object, -EINVAL if it is not aligned.
 */
int karena_user_store(struct karena_heap *heap, void __user *slot, const void __user *value)
{
	unsigned long *at = get_slot(heap, slot, karena_writable_get), word = (unsigned long)value;

	if (IS_ERR(at))
		return PTR_ERR(at);
	if (is_marking(heap))
		karena_store_shade(heap, (void *const *)at, (void *)word);
	/* Pairs with a load that acquires, by a program or karena_user_load(). */
	smp_store_release(at, word);
	karena_writable_put(to_uheap(heap), at);
	return 0;
}
EXPORT_SYMBOL_GPL(karena_user_store);
