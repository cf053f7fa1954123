// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that objects below 16 bytes without pointers are packed into blocks of
 * 16, that each is its owner's alone and aligned as its size says, that wrong
 * frees are told apart for each of a block's two-byte units, and that a unit is
 * handed out again only after all objects of its block are free.
 *
 * What the random test knows of a block: which units were handed out since it
 * was last empty, and how many objects live in it.  It never looks at the
 * allocator's own word for the block.
 */
#include <linux/slab.h>
#include <linux/xarray.h>

#include "test.h"

#define BLOCK	16
#define UNIT	2
#define UNITS	(BLOCK / UNIT)
#define SLOTS	2048

static void *tiny(struct karena_heap *heap, size_t size)
{
	return karena_alloc(heap, size, KARENA_NOSCAN, GFP_KERNEL);
}

static unsigned long block_of(const void *addr)
{
	return (unsigned long)addr / BLOCK;
}

struct pack {
	struct karena_heap *heap;
	size_t size;
	unsigned int n;
	u8 *objects[64];
};

/* On one CPU, so that nobody cuts from another block meanwhile. */
static int pack(struct kt_thread *thread)
{
	struct pack *p = thread->arg;
	unsigned int i;

	for (i = 0; i < p->n; i++)
		p->objects[i] = tiny(p->heap, p->size);
	return 0;
}

static void packs(struct kunit *test)
{
	struct pack *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	unsigned int i, blocks;

	KUNIT_ASSERT_NOT_NULL(test, p);
	p->n = 64;
	for (p->size = 1; p->size < BLOCK; p->size++) {
		p->heap = kt_heap(test, 0);
		kt_on_cpu(test, 0, pack, p);
		for (i = 1, blocks = 1; i < p->n; i++)
			blocks += block_of(p->objects[i]) != block_of(p->objects[i - 1]);
		KUNIT_EXPECT_EQ_MSG(test, blocks,
				    DIV_ROUND_UP(p->n, BLOCK / round_up(p->size, UNIT)),
				    "size %zu", p->size);
		KUNIT_EXPECT_EQ(test, karena_free_bulk(p->heap, p->n, (void **)p->objects), 0);
		kt_expect_empty(test, p->heap);
		kt_put_heap(test, p->heap);
	}
}

/* With pointers, or from 16 bytes up, nothing is packed. */
static void packs_no_others(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	void *object = karena_alloc(heap, 2, 0, GFP_KERNEL);

	KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object), 8);
	KUNIT_EXPECT_TRUE(test, karena_free(heap, object));
	object = tiny(heap, 16);
	KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object), 16);
	KUNIT_EXPECT_NULL(test, heap->central[KARENA_SPC_TINY]);
	KUNIT_EXPECT_TRUE(test, karena_free(heap, object));
	object = tiny(heap, 0);
	KUNIT_EXPECT_NOT_NULL(test, object);
	KUNIT_EXPECT_GE(test, karena_usable_size(heap, object), 1);
	KUNIT_EXPECT_TRUE(test, karena_free(heap, object));
	kt_expect_empty(test, heap);
}

static const u8 layout[] = { 4, 2, 6, 2 };	/* at 0, 4, 6, 12 */
static const u8 starts[] = { 0, 4, 6, 12 };

static int lay_out(struct kt_thread *thread)
{
	struct pack *p = thread->arg;

	for (p->n = 0; p->n < ARRAY_SIZE(layout); p->n++)
		p->objects[p->n] = tiny(p->heap, layout[p->n]);
	return 0;
}

static struct pack *laid_out(struct kunit *test)
{
	struct pack *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	p->heap = kt_heap(test, 0);
	kt_on_cpu(test, 0, lay_out, p);
	for (i = 0; i < p->n; i++) {
		KUNIT_ASSERT_PTR_EQ(test, p->objects[i], p->objects[0] + starts[i]);
		memset(p->objects[i], i + 1, layout[i]);
	}
	return p;
}

/* The wrong frees of each offset of a block, with @live objects at starts. */
static void wrong_frees(struct kunit *test, struct pack *p, unsigned int live)
{
	struct karena_heap_info info;
	u64 interior, twice;
	unsigned int offset, start = 0;

	kt_info(p->heap, &info);
	interior = info.rejects[KARENA_REJECT_INTERIOR];
	twice = info.rejects[KARENA_REJECT_DOUBLE];
	for (offset = 0; offset < BLOCK; offset++) {
		if (start < ARRAY_SIZE(starts) && starts[start] == offset &&
		    live & BIT(start++))
			continue;
		KUNIT_EXPECT_FALSE(test, karena_free(p->heap, p->objects[0] + offset));
		KUNIT_EXPECT_EQ(test, karena_usable_size(p->heap, p->objects[0] + offset), 0);
		if (offset % UNIT)
			interior++;
		else
			twice++;
	}
	kt_info(p->heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_INTERIOR], interior);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_DOUBLE], twice);
	KUNIT_EXPECT_EQ(test, info.live_objects, hweight32(live));
}

static void wrong_frees_of_each_unit(struct kunit *test)
{
	struct pack *p = laid_out(test);
	unsigned int live = 0xf, i;

	for (i = 0; i < p->n; i++) {
		wrong_frees(test, p, live);
		KUNIT_EXPECT_FALSE(test, memchr_inv(p->objects[i], i + 1, layout[i]));
		KUNIT_EXPECT_TRUE(test, karena_free(p->heap, p->objects[i]));
		live &= ~BIT(i);
	}
	wrong_frees(test, p, live);
	kt_expect_empty(test, p->heap);
}

static void usable_size_covers(struct kunit *test)
{
	struct pack *p = laid_out(test);
	unsigned int i;

	for (i = 0; i < p->n; i++)
		KUNIT_EXPECT_GE(test, karena_usable_size(p->heap, p->objects[i]), layout[i]);
	/* Up to the next live one, never into it. */
	KUNIT_EXPECT_EQ(test, karena_usable_size(p->heap, p->objects[0]), 4);
	KUNIT_EXPECT_EQ(test, karena_usable_size(p->heap, p->objects[1]), 2);
	KUNIT_EXPECT_EQ(test, karena_usable_size(p->heap, p->objects[2]), 6);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(p->heap, p->n, (void **)p->objects), 0);
	kt_expect_empty(test, p->heap);
}

struct model {
	struct karena_heap *heap;
	struct kt_object objects[SLOTS];
	struct xarray blocks;	/* units handed out | live objects << UNITS */
	struct rnd_state rnd;
	u32 next_id;
};

static unsigned long units_of(const struct kt_object *object)
{
	unsigned int first = (unsigned long)object->addr % BLOCK / UNIT;

	return GENMASK(first + DIV_ROUND_UP(object->size, UNIT) - 1, first);
}

static unsigned long block_state(struct model *m, const void *addr)
{
	void *entry = xa_load(&m->blocks, block_of(addr));

	return entry ? xa_to_value(entry) : 0;
}

static bool set_block_state(struct model *m, const void *addr, unsigned long state)
{
	return !xa_is_err(xa_store(&m->blocks, block_of(addr), xa_mk_value(state), GFP_KERNEL));
}

static bool aligned(const struct kt_object *object)
{
	unsigned long align = object->size & -object->size;

	return IS_ALIGNED((unsigned long)object->addr, min(align, 8UL));
}

static bool model_alloc(struct model *m, struct kt_object *object)
{
	unsigned long state;

	object->size = 1 + kt_below(&m->rnd, BLOCK - 1);
	object->id = ++m->next_id;
	object->addr = tiny(m->heap, object->size);
	if (!object->addr || !aligned(object) || !kt_zeroed(object->addr, object->size) ||
	    karena_usable_size(m->heap, object->addr) < object->size)
		return false;
	kt_fill(object);
	state = block_state(m, object->addr);
	if (!(state >> UNITS))
		state = 0;
	if (state & units_of(object))
		return false;
	return set_block_state(m, object->addr, (state | units_of(object)) + BIT(UNITS));
}

static bool model_free(struct model *m, struct kt_object *object)
{
	u8 *addr = object->addr;

	if (!kt_intact(object) || !karena_free(m->heap, addr) || karena_free(m->heap, addr))
		return false;
	object->addr = NULL;
	return set_block_state(m, addr, block_state(m, addr) - BIT(UNITS));
}

static void random_against_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned int n = kt_steps(300000), i;
	struct kt_object *object;

	KUNIT_ASSERT_NOT_NULL(test, m);
	xa_init(&m->blocks);
	m->heap = kt_heap(test, 0);
	kt_seed(test, &m->rnd);
	for (i = 0; i < n; i++) {
		object = &m->objects[kt_below(&m->rnd, SLOTS)];
		if (!(object->addr ? model_free(m, object) : model_alloc(m, object))) {
			KUNIT_FAIL(test, "step %u went wrong", i);
			break;
		}
		cond_resched();
	}
	for (i = 0; i < SLOTS; i++)
		KUNIT_EXPECT_TRUE(test, !m->objects[i].addr || model_free(m, &m->objects[i]));
	xa_destroy(&m->blocks);
	kt_expect_empty(test, m->heap);
}

static int free_pack(struct kt_thread *thread)
{
	struct pack *p = thread->arg;

	return karena_free_bulk(p->heap, p->n, (void **)p->objects);
}

/* Objects of a block that one CPU cuts, and another one frees. */
static void freed_by_another_cpu(struct kunit *test)
{
	struct pack *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	unsigned int last = cpumask_last(cpu_online_mask), i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	p->heap = kt_heap(test, 0);
	p->size = 3;
	for (i = 1; i <= 64; i++) {
		p->n = i % ARRAY_SIZE(p->objects);
		kt_on_cpu(test, 0, pack, p);
		KUNIT_EXPECT_EQ(test, kt_on_cpu(test, last, free_pack, p), 0);
	}
	kt_expect_empty(test, p->heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(packs),
	KUNIT_CASE(packs_no_others),
	KUNIT_CASE(wrong_frees_of_each_unit),
	KUNIT_CASE(usable_size_covers),
	KUNIT_CASE_SLOW(random_against_model),
	KUNIT_CASE(freed_by_another_cpu),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_tiny",
	.test_cases = cases,
};

kunit_test_suite(suite);
