/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests hold against karena: Go's size classes written down once more
 * (by hand, not from the module's generated table), the addresses that live
 * objects occupy, and contents that can be recognised.
 */
#ifndef _TESTS_USER_MODEL_H
#define _TESTS_USER_MODEL_H

#include <linux/types.h>
#include <stdbool.h>

/* Blocks that the tiny allocator packs noscan objects below this size into. */
#define TINY_BLOCK 16

/* Class 0 is the one of large objects. */
extern const __u32 go_sizes[68];
extern const __u8 go_pages[68];

/* Smallest class that holds @size, 0 above 32 KiB. */
unsigned int go_class(__u64 size);
/* Bytes that an object of @size has, tiny packing aside. */
__u64 go_usable(__u64 size);
/* Alignment that a caller may count on. */
__u64 go_align(__u64 size);
/* Entry of the control region's map for a page of such an object. */
__u16 go_map_entry(__u64 size, bool noscan);

/* One bit a byte of a window: who is where. */
struct space {
	__u64 base;
	__u64 window;
	__u64 *bits;
};

bool space_init(struct space *space, __u64 base, __u64 window);
void space_exit(struct space *space);
/* False when it leaves the window or something is there already. */
bool space_take(struct space *space, __u64 addr, __u64 len);
void space_give(struct space *space, __u64 addr, __u64 len);

/* Contents made from @seed, different at each offset. */
void fill(void *to, __u64 len, __u64 seed);
bool filled(const void *from, __u64 len, __u64 seed);
bool zeroed(const void *from, __u64 len);

/*
 * A descriptor for direct I/O on @len bytes of such contents, of a file without a
 * name or else of a disk in memory; -1 if there is neither.
 */
int direct_file(__u64 len, __u64 seed);

#endif /* _TESTS_USER_MODEL_H */
