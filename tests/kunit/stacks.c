// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that a stack that grows and shrinks has what was pushed, in the order of a model;
 * that addresses of it can be mended by what the callback is told; and that an allocation
 * that fails changes nothing.
 */
#include <linux/slab.h>

#include "test.h"

#define STEPS		20000u
#define MOST_FRAMES	4096u

/* A frame, followed by bytes that its number tells; each knows where the one before is. */
struct frame {
	struct frame *before;
	u32 number;
	u32 size;
};

struct owner {
	struct karena_stack stack;
	struct frame *last;
	u32 size[MOST_FRAMES];		/* the model */
	unsigned int nr;
	unsigned int moves;
};

static void relocate(struct karena_stack *stack, ptrdiff_t by)
{
	struct owner *o = container_of(stack, struct owner, stack);
	struct frame **at = &o->last;

	for (; *at; at = &(*at)->before)
		*at = (struct frame *)((char *)*at + by);
	o->moves++;
}

static size_t bytes_of(u32 size)
{
	return ALIGN(sizeof(struct frame) + size, sizeof(long));
}

static void push(struct kunit *test, struct owner *o, u32 size)
{
	struct frame *frame;
	int err = karena_stack_need(&o->stack, bytes_of(size), GFP_KERNEL);

	if (o->stack.high - o->stack.sp + bytes_of(size) > SZ_1M) {
		KUNIT_EXPECT_EQ(test, err, -E2BIG);
		return;
	}
	KUNIT_ASSERT_EQ(test, err, 0);
	o->stack.sp -= bytes_of(size);
	frame = (struct frame *)o->stack.sp;
	*frame = (struct frame){ o->last, o->nr, size };
	memset(frame + 1, (u8)o->nr, size);
	o->last = frame;
	o->size[o->nr++] = size;
}

static void pop(struct owner *o)
{
	o->stack.sp += bytes_of(o->size[--o->nr]);
	o->last = o->last->before;
}

static bool is_right(const struct owner *o)
{
	const struct frame *frame = o->last;
	const char *at = o->stack.sp;
	unsigned int i;

	for (i = o->nr; i--; at += bytes_of(o->size[i]), frame = frame->before)
		if ((const char *)frame != at || frame->number != i || frame->size != o->size[i] ||
		    memchr_inv(frame + 1, (u8)i, frame->size))
			return false;
	return !frame && at == o->stack.high;
}

static struct owner *new_owner(struct kunit *test, struct karena_heap *heap)
{
	struct owner *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, o);
	o->stack = (struct karena_stack){ .relocate = relocate, .heap = heap };
	KUNIT_ASSERT_EQ(test, karena_stack_init(&o->stack, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, o->stack.high - o->stack.low, SZ_2K);
	return o;
}

static void stacks_model(struct kunit *test)
{
	struct owner *o = new_owner(test, NULL);
	unsigned int i, n, steps = kt_steps(STEPS) / 20;
	struct rnd_state rnd;

	kt_seed(test, &rnd);
	for (i = 0; i < steps; i++) {
		for (n = kt_below(&rnd, 40); n && o->nr < MOST_FRAMES; n--)
			push(test, o, kt_below(&rnd, kt_below(&rnd, 50) ? 200 : 9000));
		KUNIT_ASSERT_TRUE(test, is_right(o));
		for (n = kt_below(&rnd, kt_below(&rnd, 8) ? 40 : 2000); n && o->nr; n--)
			pop(o);
		n = o->stack.high - o->stack.low;
		if (karena_stack_trim(&o->stack))
			KUNIT_EXPECT_EQ(test, o->stack.high - o->stack.low, n / 2);
		else
			KUNIT_EXPECT_TRUE(test, n == SZ_2K ||
					  o->stack.high - o->stack.sp > n / 4);
		KUNIT_ASSERT_TRUE(test, is_right(o));
	}
	KUNIT_EXPECT_GT(test, o->moves, 0);
	karena_stack_destroy(&o->stack);
}

/* As large as there are, and no larger. */
static void stacks_limit(struct kunit *test)
{
	struct owner *o = new_owner(test, NULL);

	KUNIT_EXPECT_EQ(test, karena_stack_need(&o->stack, SZ_1M + 1, GFP_KERNEL), -E2BIG);
	KUNIT_EXPECT_EQ(test, karena_stack_need(&o->stack, SIZE_MAX, GFP_KERNEL), -E2BIG);
	KUNIT_EXPECT_EQ(test, o->stack.high - o->stack.low, SZ_2K);
	push(test, o, 100);
	KUNIT_EXPECT_EQ(test, karena_stack_need(&o->stack, SZ_1M, GFP_KERNEL), -E2BIG);
	KUNIT_EXPECT_EQ(test, karena_stack_need(&o->stack, SZ_1M - 256, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, o->stack.high - o->stack.low, SZ_1M);
	KUNIT_EXPECT_TRUE(test, is_right(o));
	karena_stack_destroy(&o->stack);
}

/* Half of it goes at a cycle, once. */
static void stacks_cycles(struct kunit *test)
{
	struct karena_heap_attr attr = { .collect = true };
	struct karena_heap *heap = karena_heap_create("stacks", &attr);
	struct owner *o;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	o = new_owner(test, heap);
	push(test, o, 100);
	KUNIT_ASSERT_EQ(test, karena_stack_need(&o->stack, SZ_16K - 256, GFP_KERNEL), 0);
	KUNIT_EXPECT_FALSE(test, karena_stack_trim(&o->stack));
	KUNIT_EXPECT_EQ(test, karena_collect(heap, true), 0);
	KUNIT_EXPECT_TRUE(test, karena_stack_trim(&o->stack));
	KUNIT_EXPECT_FALSE(test, karena_stack_trim(&o->stack));
	KUNIT_EXPECT_EQ(test, o->stack.high - o->stack.low, SZ_8K);
	KUNIT_EXPECT_TRUE(test, is_right(o));
	karena_stack_destroy(&o->stack);
	karena_heap_put(heap);
}

static struct kunit_case stacks_cases[] = {
	KUNIT_CASE(stacks_model),
	KUNIT_CASE(stacks_limit),
	KUNIT_CASE(stacks_cycles),
	{}
};

static struct kunit_suite stacks_suite = {
	.name = "karena_stacks",
	.test_cases = stacks_cases,
};

kunit_test_suite(stacks_suite);
