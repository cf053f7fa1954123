// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks that grow, for interpreters and walkers of graphs in the kernel: they begin with 2
 * KiB, double when they are full, and halve after a cycle that finds them nearly empty, as
 * Go's goroutines do.  Each time the contents are copied, and the owner is told how far they
 * have moved, to mend addresses of the stack that it keeps.
 *
 * Up to 16 KiB the memory is from pools (pool.c), one for each size; above that it is from
 * the kernel's allocator.  A stack is its owner's, who does one thing with it at a time:
 * there are no locks.
 */
#include <linux/slab.h>

#include "internal.h"

#define LEAST_SHIFT	11u		/* bytes of a new one, as a power of two */
#define MOST_SHIFT	20u		/* of the largest */
#define POOLS		4u

static struct karena_pool *pools[POOLS];

static void *make_memory(void *arg, gfp_t gfp)
{
	return kmalloc((size_t)arg, gfp | __GFP_NOWARN);
}

static void drop_memory(void *memory, void *arg)
{
	kfree(memory);
}

static struct karena_pool *pool_of(size_t size)
{
	unsigned int number = ilog2(size) - LEAST_SHIFT;

	return number < POOLS ? pools[number] : NULL;
}

static void *get_memory(size_t size, gfp_t gfp)
{
	struct karena_pool *pool = pool_of(size);

	return pool ? karena_pool_get(pool, gfp) : kvmalloc(size, gfp | __GFP_NOWARN);
}

static void put_memory(void *memory, size_t size)
{
	struct karena_pool *pool = pool_of(size);

	if (pool)
		karena_pool_put(pool, memory);
	else
		kvfree(memory);
}

/* Copies what is on a stack to memory of another size; 0, or -ENOMEM and nothing is changed. */
static int move(struct karena_stack *stack, size_t size, gfp_t gfp)
{
	size_t used = stack->high - stack->sp, old_size = stack->high - stack->low;
	char *old = stack->low, *low = get_memory(size, gfp);
	ptrdiff_t by;

	if (!low)
		return -ENOMEM;
	by = low + size - stack->high;
	memcpy(low + size - used, stack->sp, used);
	stack->low = low;
	stack->high = low + size;
	stack->sp = low + size - used;
	if (stack->relocate)
		stack->relocate(stack, by);
	put_memory(old, old_size);
	return 0;
}

/**
 * karena_stack_init - make a stack, which is empty
 * @stack: the stack; @stack->relocate is set already, or NULL, and so is @stack->heap
 * @gfp: how its memory is allocated
 *
 * Context: as @gfp says.
 * Return: 0, or -ENOMEM.
 */
int karena_stack_init(struct karena_stack *stack, gfp_t gfp)
{
	size_t size = BIT(LEAST_SHIFT);

	stack->low = get_memory(size, gfp);
	if (!stack->low)
		return -ENOMEM;
	stack->high = stack->low + size;
	stack->sp = stack->high;
	stack->cycle = stack->heap ? READ_ONCE(stack->heap->cycle) : 0;
	return 0;
}
EXPORT_SYMBOL_GPL(karena_stack_init);

/**
 * karena_stack_destroy - give the memory of a stack back
 * @stack: the stack
 *
 * Context: process context; any, if it has at most 16 KiB.
 */
void karena_stack_destroy(struct karena_stack *stack)
{
	put_memory(stack->low, stack->high - stack->low);
	stack->low = NULL;
}
EXPORT_SYMBOL_GPL(karena_stack_destroy);

/* karena_stack_need() where there is no room. */
int karena_stack_enlarge(struct karena_stack *stack, size_t bytes, gfp_t gfp)
{
	size_t size = stack->high - stack->low, used = stack->high - stack->sp;

	if (bytes > BIT(MOST_SHIFT) - used)
		return -E2BIG;
	while (size - used < bytes)
		size *= 2;
	return move(stack, size, gfp);
}
EXPORT_SYMBOL_GPL(karena_stack_enlarge);

/**
 * karena_stack_trim - give half of a stack back, if a quarter of it is enough
 * @stack: the stack
 *
 * Once for each cycle of @stack->heap; each time, if that is NULL.  Without memory to copy
 * to it stays as it is.
 *
 * Context: as karena_stack_destroy(); does not sleep for memory.
 * Return: whether it has moved.
 */
bool karena_stack_trim(struct karena_stack *stack)
{
	size_t size = stack->high - stack->low;
	u32 cycle;

	if (stack->heap) {
		cycle = READ_ONCE(stack->heap->cycle);
		if (cycle == stack->cycle)
			return false;
		stack->cycle = cycle;
	}
	if (size <= BIT(LEAST_SHIFT) || stack->high - stack->sp > size / 4)
		return false;
	return !move(stack, size / 2, GFP_NOWAIT);
}
EXPORT_SYMBOL_GPL(karena_stack_trim);

void karena_kernel_stacks_exit(void)
{
	unsigned int i;

	for (i = 0; i < POOLS; i++) {
		karena_pool_destroy(pools[i]);
		pools[i] = NULL;
	}
}

int karena_kernel_stacks_init(void)
{
	struct karena_pool_attr attr = { .make = make_memory, .drop = drop_memory };
	struct karena_pool *pool;
	unsigned int i;

	for (i = 0; i < POOLS; i++) {
		attr.arg = (void *)BIT(LEAST_SHIFT + i);
		pool = karena_pool_create(&attr);
		if (IS_ERR(pool)) {
			karena_kernel_stacks_exit();
			return PTR_ERR(pool);
		}
		pools[i] = pool;
	}
	return 0;
}
