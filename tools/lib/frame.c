// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, for programs that karena-escape has rewritten: what it has proved not to
 * outlive a function comes from a scope of that function, up to a limit, as a function may
 * be one that takes its time to return.  Calls are made by the compiler; no header has them.
 *
 * Scopes are for the thread's own stack only, on which functions end in the reverse order
 * of their beginning: on that of a coroutine, or of a handler of signals, all comes from the
 * heap.  The scope begins with the first object.  The heap may be closed when the function
 * returns: its number tells whether this thread still has anything of it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "internal.h"
#include "frame.h"

#define MOST_BYTES	((size_t)256 << 10)	/* of objects, in the scope of a function */
#define NO_SCOPE	UINT64_MAX

struct karena_frame {
	struct karena_scope scope;
	__u64 serial;		/* of the heap; 0: there has been no object */
	size_t left;
	__u64 unused[3];
};
KARENA_ASSERT(sizeof(struct karena_frame) == KARENA_FRAME_SIZE);

/* Of this thread; both 0 until they are asked for, both 1 if they are not to be had. */
static __thread uintptr_t stack_begin, stack_end;

static void find_stack(void)
{
	pthread_attr_t attr;
	size_t size;
	void *begin;

	stack_begin = 1;
	stack_end = 1;
	if (pthread_getattr_np(pthread_self(), &attr))
		return;
	if (!pthread_attr_getstack(&attr, &begin, &size)) {
		stack_begin = (uintptr_t)begin;
		stack_end = stack_begin + size;
	}
	pthread_attr_destroy(&attr);
}

static int is_on_stack(const struct karena_frame *frame)
{
	if (!stack_end)
		find_stack();
	return (uintptr_t)frame - stack_begin < stack_end - stack_begin;
}

static void open_frame(struct karena_frame *frame, struct karena *heap)
{
	int saved = errno;

	frame->serial = NO_SCOPE;
	frame->left = MOST_BYTES;
	if (is_on_stack(frame) && !karena_scope_open(&frame->scope, heap, KARENA_SCOPE_LOCAL))
		frame->serial = heap->fast.serial;
	errno = saved;
}

/* NULL: it is to come from the heap. */
static void *take(struct karena_frame *frame, struct karena *heap, size_t size)
{
	void *object;
	int saved;

	if (!frame->serial)
		open_frame(frame, heap);
	if (frame->serial != heap->fast.serial || !size || size > frame->left)
		return NULL;
	saved = errno;
	object = karena_scope_alloc(&frame->scope, size);
	if (object)
		frame->left -= size;
	else
		errno = saved;
	return object;
}

EXPORT void *karena_frame_alloc(struct karena_frame *frame, struct karena *heap, size_t size)
{
	void *object = take(frame, heap, size);

	return object ? object : karena_alloc(heap, size);
}

EXPORT void *karena_frame_alloc_flags(struct karena_frame *frame, struct karena *heap,
				      size_t size, unsigned int flags)
{
	void *object = NULL;

	if (!(flags & ~(KARENA_ALLOC_NOZERO | KARENA_ALLOC_NOSCAN)))
		object = take(frame, heap, size);
	return object ? object : karena_alloc_flags(heap, size, flags);
}

EXPORT void *karena_frame_new(struct karena_frame *frame, struct karena *heap,
			      struct karena_type type)
{
	void *object = take(frame, heap, type.element);

	return object ? object : karena_new(heap, type);
}

EXPORT void *karena_frame_new_array(struct karena_frame *frame, struct karena *heap,
				    struct karena_type type, size_t count)
{
	void *object = NULL;
	size_t size;

	if (!__builtin_mul_overflow(type.element, count, &size))
		object = take(frame, heap, size);
	return object ? object : karena_new_array(heap, type, count);
}

EXPORT void karena_frame_close(struct karena_frame *frame)
{
	const struct karena_cache *cache = karena_caches;

	if (!frame->serial || frame->serial == NO_SCOPE)
		return;
	while (cache && cache->serial != frame->serial)
		cache = cache->next;
	if (cache)
		karena_scope_close(&frame->scope);
}
