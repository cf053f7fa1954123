// SPDX-License-Identifier: GPL-2.0
/*
 * Types: which layouts are taken and which word of a bad one is named, objects and
 * arrays of a type, the limit of types, and what of them is charged.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

/* Registers; 0 or -errno. */
static int reg_named(int fd, const char *name, __u64 size, __u32 flags, const __u32 *refs,
		     __u32 nr, struct karena_register *out)
{
	*out = (struct karena_register){
		.size = sizeof(*out), .flags = flags, .object_size = size,
		.refs = as_addr(refs), .nr_refs = nr, .bad = 99,
	};
	snprintf(out->name, sizeof(out->name), "%s", name);
	return kioctl(fd, KARENA_IOC_REGISTER, out);
}

static int reg(int fd, __u64 size, __u32 flags, const __u32 *refs, __u32 nr,
	       struct karena_register *out)
{
	return reg_named(fd, "type", size, flags, refs, nr, out);
}

static void good_layouts(void)
{
	static __u32 all[KARENA_MAX_SMALL / 8];
	struct karena_register out;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		all[i] = 8 * i;
	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(reg(heap.fd, 8, 0, all, 1, &out), 0);
	check_eq(out.id, 1);
	check_eq(out.bad, 1);
	check_ret(reg(heap.fd, KARENA_MAX_SMALL, 0, all, ARRAY_SIZE(all), &out), 0);
	check_eq(out.id, 2);
	check_ret(reg(heap.fd, 3, 0, NULL, 0, &out), 0);
	check_ret(reg(heap.fd, 3, KARENA_TYPE_NOSCAN, NULL, 0, &out), 0);
	check_eq(out.id, 3);
	check_ret(reg(heap.fd, 24, KARENA_TYPE_CONSERVATIVE, NULL, 0, &out), 0);
	check_eq(out.id, 4);
	heap_close(&heap);
}

static __u32 id_of(int fd, const char *name, __u64 size, __u32 flags, const __u32 *refs,
		   __u32 nr)
{
	struct karena_register out;

	return check_ret(reg_named(fd, name, size, flags, refs, nr, &out), 0) ? out.id : 0;
}

/* Processes that share a heap register the same types, each for itself. */
static void same_types_are_one(void)
{
	static const __u32 refs[] = { 0, 8, 24 };
	struct karena_register out;
	struct heap heap;
	__u32 id;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	id = id_of(heap.fd, "a", 32, 0, refs, 3);
	check_eq(id_of(heap.fd, "a", 32, 0, refs, 3), id);
	check(id_of(heap.fd, "b", 32, 0, refs, 3) != id);
	check(id_of(heap.fd, "a", 40, 0, refs, 3) != id);
	check(id_of(heap.fd, "a", 32, 0, refs, 2) != id);
	check(id_of(heap.fd, "a", 32, 0, refs + 1, 2) != id_of(heap.fd, "a", 32, 0, refs, 2));
	check_eq(id_of(heap.fd, "a", 32, KARENA_TYPE_NOSCAN, NULL, 0),
		 id_of(heap.fd, "a", 32, 0, NULL, 0));
	check(id_of(heap.fd, "a", 32, KARENA_TYPE_NOSCAN, NULL, 0) !=
	      id_of(heap.fd, "a", 32, KARENA_TYPE_CONSERVATIVE, NULL, 0));
	/* What cannot be is not excused by one that is like it. */
	check_ret(reg_named(heap.fd, "a", 32, KARENA_TYPE_NOSCAN, refs, 3, &out), -EINVAL);
	check_ret(reg_named(heap.fd, "a", 32, KARENA_TYPE_NOSCAN | KARENA_TYPE_CONSERVATIVE,
			    NULL, 0, &out), -EINVAL);
	check_eq(id_of(heap.fd, "a", 32, 0, refs, 3), id);
	heap_close(&heap);
}

static void bad_words_are_named(void)
{
	static const struct {
		__u32 refs[3];
		__u32 bad;
	} cases[] = {
		{ { 0, 8, 12 }, 2 }, { { 4, 8, 16 }, 0 }, { { 0, 8, 64 }, 2 },
		{ { 0, 8, 8 }, 2 }, { { 8, 0, 16 }, 1 }, { { 0, ~0U, 16 }, 1 },
		{ { 0, 0xfffffff8, 16 }, 1 },
	};
	struct karena_register out;
	struct heap heap;
	unsigned int i;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		tap_diag("case %u", i);
		check_ret(reg(heap.fd, 64, 0, cases[i].refs, 3, &out), -EINVAL);
		check_eq(out.bad, cases[i].bad);
	}
	/* None of them was taken. */
	check_ret(reg(heap.fd, 8, KARENA_TYPE_NOSCAN, NULL, 0, &out), 0);
	check_eq(out.id, 1);
	heap_close(&heap);
}

static void objects_and_arrays(void)
{
	static const __u32 refs[] = { 8 };
	struct karena_heap_info info;
	struct karena_register out;
	struct heap heap;
	__u64 addr[100], array, large;
	unsigned int i;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(reg(heap.fd, 24, 0, refs, 1, &out), 0);
	check_ret(heap_alloc_type(heap.fd, out.id, 0, 0, 100, addr), 0);
	for (i = 0; i < 100; i++) {
		check_eq(heap_usable(heap.fd, addr[i]), 24);
		check_eq(*(__u64 *)as_ptr(addr[i]), 0);
		memset(as_ptr(addr[i]), 1, 24);
	}
	check_ret(heap_alloc_type(heap.fd, out.id, 10 * 24, 0, 1, &array), 0);
	check_eq(heap_usable(heap.fd, array), 240);
	check_ret(heap_alloc_type(heap.fd, out.id, 10000 * 24, 0, 1, &large), 0);
	check(heap_usable(heap.fd, large) >= 240000);
	check_eq(*(__u64 *)as_ptr(large + 239992), 0);
	/* What a type does not allow. */
	check_ret(heap_alloc_type(heap.fd, out.id, 25, 0, 1, &array), -EINVAL);
	check_ret(heap_alloc_type(heap.fd, out.id, 0, KARENA_ALLOC_NOSCAN, 1, &array), -EINVAL);
	check_ret(heap_alloc_type(heap.fd, out.id + 1, 0, 0, 1, &array), -EINVAL);
	/* They are freed as all others, and come again zeroed. */
	check_ret(heap_free(heap.fd, addr, 100, NULL), 0);
	check_eq(heap_drop(heap.fd, addr[0]), KARENA_REJECT_DOUBLE);
	check_ret(heap_alloc_type(heap.fd, out.id, 0, 0, 100, addr), 0);
	for (i = 0; i < 100; i++)
		check_eq(*(__u64 *)as_ptr(addr[i] + 16), 0);
	check_ret(heap_free(heap.fd, addr, 100, NULL), 0);
	check_ret(heap_drop(heap.fd, large), 0);
	check_ret(heap_info(heap.fd, 0, 0, &info), 0);
	check_eq(info.live_objects, 1);
	heap_close(&heap);
}

static void so_many_types(void)
{
	struct karena_info before, now;
	struct karena_register out;
	struct heap heap;
	char name[16];
	unsigned int i;

	if (!user_numbers(&before) || !heap_open(&heap, WINDOW, 0))
		return;
	for (i = 1; i <= KARENA_MAX_TYPES; i++) {
		snprintf(name, sizeof(name), "type %u", i);
		if (!check_eq(id_of(heap.fd, name, 16, KARENA_TYPE_NOSCAN, NULL, 0), i))
			break;
	}
	check_ret(reg(heap.fd, 16, KARENA_TYPE_NOSCAN, NULL, 0, &out), -ENOSPC);
	check_eq(id_of(heap.fd, "type 1", 16, KARENA_TYPE_NOSCAN, NULL, 0), 1);
	check(user_numbers(&now));
	check(now.user_bytes >= before.user_bytes + KARENA_MAX_TYPES * KARENA_TYPE_CHARGE);
	heap_close(&heap);
	check(user_back_to(&before));
}

static const struct tap_case cases[] = {
	{ "good layouts", good_layouts },
	{ "types that are the same are one", same_types_are_one },
	{ "bad words are named", bad_words_are_named },
	{ "objects and arrays", objects_and_arrays },
	{ "so many types and no more", so_many_types },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
