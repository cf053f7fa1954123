// SPDX-License-Identifier: GPL-2.0
/*
 * Where marking starts in a kernel heap: words that were registered, objects that
 * are pinned.  A mutator may hold references anywhere else only inside of a
 * section (section.c), which each cycle waits for.
 *
 * roots_lock guards the set of roots, not the words in them.
 */
#include <linux/export.h>
#include <linux/slab.h>

#include "gc.h"

#define MAX_ROOT_WORDS	BIT(27)		/* 1 GiB of them in one range */
#define BATCH		64u

void karena_roots_init(struct karena_gc *gc)
{
	mutex_init(&gc->roots_lock);
	xa_init(&gc->roots);
	xa_init(&gc->pins);
}

void karena_roots_exit(struct karena_gc *gc)
{
	struct karena_root *root;
	unsigned long index;

	xa_for_each(&gc->roots, index, root)
		kfree(root);
	xa_destroy(&gc->roots);
	xa_destroy(&gc->pins);
}

static unsigned long root_key(const void *start)
{
	return (unsigned long)start / sizeof(void *);
}

static bool overlaps(struct karena_gc *gc, unsigned long start, unsigned long nr)
{
	unsigned long index = 0, key = start / sizeof(void *);
	struct karena_root *root;

	xa_for_each_range(&gc->roots, index, root, key > MAX_ROOT_WORDS ? key - MAX_ROOT_WORDS : 0,
			  key + nr - 1)
		if (index + root->nr > key)
			return true;
	return false;
}

/* What is in a root that comes or goes while a cycle marks. */
static void shade_root(struct karena_gc *gc, const struct karena_root *root)
{
	void **words = (void **)root->start;
	unsigned long i;

	if (READ_ONCE(gc->heap->head.phase) != KARENA_MARK)
		return;
	for (i = 0; i < root->nr; i++) {
		karena_shade(gc, (unsigned long)READ_ONCE(words[i]));
		if (!(i % BATCH))
			cond_resched();
	}
}

/**
 * karena_root_add - let the collector start from words
 * @heap: heap that is collected, not one of a program
 * @start: first word, aligned to 8 bytes; not in a heap, and there until
 *	karena_root_del()
 * @count: how many words, 1 to 2^27
 *
 * Each of them is NULL or holds a reference to an object of the heap, stored by
 * karena_store().  Words that hold anything else are ignored.
 *
 * Context: process context, may sleep.
 * Return: 0, -EINVAL, -EEXIST if one of the words is a root already, -ENOMEM.
 */
int karena_root_add(struct karena_heap *heap, void *start, size_t count)
{
	struct karena_gc *gc = heap->gc;
	struct karena_root *root;
	int err;

	if (!gc || heap->user || !start || !count || count > MAX_ROOT_WORDS ||
	    !IS_ALIGNED((unsigned long)start, sizeof(void *)))
		return -EINVAL;
	root = kzalloc(sizeof(*root), GFP_KERNEL | heap->gfp);
	if (!root)
		return -ENOMEM;
	root->start = (unsigned long)start;
	root->nr = count;
	mutex_lock(&gc->roots_lock);
	err = overlaps(gc, root->start, count) ? -EEXIST :
	      xa_insert(&gc->roots, root_key(start), root, GFP_KERNEL | heap->gfp);
	if (!err) {
		gc->root_bytes += count * sizeof(void *);
		shade_root(gc, root);
	}
	mutex_unlock(&gc->roots_lock);
	if (err)
		kfree(root);
	return err;
}
EXPORT_SYMBOL_GPL(karena_root_add);

/**
 * karena_root_del - words are no roots any more
 * @heap: heap that is collected
 * @start: as it was given to karena_root_add()
 *
 * Context: process context, may sleep.
 * Return: 0, or -ENOENT if no root begins there.
 */
int karena_root_del(struct karena_heap *heap, void *start)
{
	struct karena_gc *gc = heap->gc;
	struct karena_root *root;

	if (!gc)
		return -ENOENT;
	mutex_lock(&gc->roots_lock);
	root = xa_erase(&gc->roots, root_key(start));
	if (root) {
		gc->root_bytes -= root->nr * sizeof(void *);
		shade_root(gc, root);
	}
	mutex_unlock(&gc->roots_lock);
	kfree(root);
	return root ? 0 : -ENOENT;
}
EXPORT_SYMBOL_GPL(karena_root_del);

/**
 * karena_pin - keep an object, however long
 * @heap: heap that is collected
 * @object: live object, by its start
 *
 * For references that hardware or another subsystem holds.  Each pin needs its
 * karena_unpin().
 *
 * Context: process context, may sleep; inside of a mutator section, or the
 * object is reachable otherwise.
 * Return: 0, -EINVAL if no object begins there, -ENOMEM.
 */
int karena_pin(struct karena_heap *heap, const void *object)
{
	struct karena_gc *gc = heap->gc;
	unsigned long key = root_key(object), count;
	int err;

	if (!gc || !karena_usable_size(heap, object))
		return -EINVAL;
	mutex_lock(&gc->roots_lock);
	count = xa_to_value(xa_load(&gc->pins, key) ?: xa_mk_value(0));
	err = xa_err(xa_store(&gc->pins, key, xa_mk_value(count + 1), GFP_KERNEL | heap->gfp));
	if (!err && READ_ONCE(heap->head.phase) == KARENA_MARK)
		karena_shade(gc, (unsigned long)object);
	mutex_unlock(&gc->roots_lock);
	return err;
}
EXPORT_SYMBOL_GPL(karena_pin);

/**
 * karena_unpin - take back one karena_pin()
 * @heap: heap that is collected
 * @object: the object
 *
 * Context: process context, may sleep.
 * Return: 0, or -ENOENT if the object is not pinned.
 */
int karena_unpin(struct karena_heap *heap, const void *object)
{
	struct karena_gc *gc = heap->gc;
	unsigned long key = root_key(object);
	void *old;

	if (!gc)
		return -ENOENT;
	mutex_lock(&gc->roots_lock);
	old = xa_load(&gc->pins, key);
	if (old && xa_to_value(old) > 1)
		/* In the place of another value: needs no memory. */
		xa_store(&gc->pins, key, xa_mk_value(xa_to_value(old) - 1), GFP_KERNEL);
	else if (old)
		xa_erase(&gc->pins, key);
	if (old && READ_ONCE(heap->head.phase) == KARENA_MARK)
		karena_shade(gc, (unsigned long)object);
	mutex_unlock(&gc->roots_lock);
	return old ? 0 : -ENOENT;
}
EXPORT_SYMBOL_GPL(karena_unpin);

static void mark_words(struct karena_gc *gc, const struct karena_root *root)
{
	void **words = (void **)root->start;
	unsigned long i;

	for (i = 0; i < root->nr; i++) {
		if (!karena_is_planted(KARENA_PLANT_MISSED_ROOT) || i + 1 < root->nr)
			karena_shade(gc, (unsigned long)READ_ONCE(words[i]));
		if (!(i % BATCH))
			cond_resched();
	}
}

/* Shades all that roots refer to.  May sleep. */
void karena_roots_mark(struct karena_gc *gc)
{
	struct karena_root *root;
	unsigned long index;
	void *count;

	mutex_lock(&gc->roots_lock);
	xa_for_each(&gc->roots, index, root)
		mark_words(gc, root);
	xa_for_each(&gc->pins, index, count)
		karena_shade(gc, index * sizeof(void *));
	mutex_unlock(&gc->roots_lock);
}
