/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Size classes: from a size to its class, and what the class is like.  The
 * table is Go's; mksizeclass.awk writes it.
 */
#ifndef _KARENA_SIZECLASS_H
#define _KARENA_SIZECLASS_H

#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "uapi/karena.h"
#include "fast.h"

#define KARENA_MAGAZINE	128u	/* objects of the largest magazines */

#define KARENA_PAGE_MASK	((unsigned long)KARENA_PAGE_SIZE - 1)

/* Where the step of the lookup tables goes from 8 to 128 bytes. */
#define KARENA_SMALL_STEP_MAX	1024

/* By class; [0] stands for large objects and is zero. */
extern const u16 karena_class_size[KARENA_NR_CLASSES];
extern const u8 karena_class_pages[KARENA_NR_CLASSES];
extern const u16 karena_class_objects[KARENA_NR_CLASSES];
extern const u32 karena_class_magic[KARENA_NR_CLASSES];

extern const u8 karena_class_small[KARENA_SMALL_STEP_MAX / 8 + 1];
extern const u8 karena_class_big[(KARENA_MAX_SMALL - KARENA_SMALL_STEP_MAX) / 128 + 1];

/* @size is KARENA_MAX_SMALL at most; nothing at all takes the smallest class. */
static inline unsigned int karena_size_to_class(size_t size)
{
	if (likely(size <= KARENA_SMALL_STEP_MAX))
		return karena_class_small[(size + 7) / 8];
	return karena_class_big[(size - KARENA_SMALL_STEP_MAX + 127) / 128];
}

/*
 * Objects of a magazine: enough that a refill is rare; half of it for larger
 * ones, and less for those of which a magazine would hold over 128 KiB.
 */
static inline unsigned int karena_class_magazine(unsigned int class)
{
	unsigned int size = karena_class_size[class];

	if (!size)
		return 0;
	if (size < 512)
		return KARENA_MAGAZINE;
	return clamp(131072u / size, 4u, KARENA_MAGAZINE / 2);
}

#endif /* _KARENA_SIZECLASS_H */
