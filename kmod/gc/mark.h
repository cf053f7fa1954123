/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks of objects, for those who mark as they follow references (mark.c), and those who
 * shade what references are about to go from (shade.c).
 *
 * The marks of a span with few objects are near: in the entry of its first page, from
 * which all that marking needs to know can be had (struct karena_page).
 */
#ifndef _KARENA_GC_MARK_H
#define _KARENA_GC_MARK_H

#include <linux/bitfield.h>

#include "gc.h"

/* A word that may be a reference, and the entry of its page. */
struct ref {
	unsigned long word;
	struct karena_page *page;
};

static __always_inline size_t object_size(const struct karena_span *span)
{
	return span->size ? span->size : span->large_size;
}

/*
 * An object of a span is grey: whether it is the caller's to queue.  The full
 * barrier of setting the mark is between that and the look at the flag, and pairs
 * with the one in release_span().
 */
static __always_inline bool own_span(unsigned long *info)
{
	return !test_bit(KARENA_INFO_QUEUED, info) &&
	       !test_and_set_bit(KARENA_INFO_QUEUED, info);
}

/* Marks an object; false if it was. */
static inline bool mark_object(struct karena_span *span, u32 index)
{
	if (test_bit(index, span->mark) || test_and_set_bit(index, span->mark))
		return false;
	/* Large ones are scanned in pieces, from the first on. */
	if (!span->size)
		span->scan_at = 0;
	return true;
}

/* Whether the marks of the span that @info is of are near; @tag: the heap's, in place. */
static __always_inline bool is_near(unsigned long info, unsigned long tag)
{
	return (info & (KARENA_INFO_TAG | BIT(KARENA_INFO_FAR))) == tag;
}

/* How far from the start of its span a word leads. */
static __always_inline unsigned long span_offset(unsigned long word, unsigned long info)
{
	return (FIELD_GET(KARENA_INFO_PAGE, info) << KARENA_PAGE_SHIFT) +
	       (word & (KARENA_PAGE_SIZE - 1));
}

/* The index of the object there; what is behind the last one is none. */
static __always_inline u32 near_index(unsigned long offset, unsigned long info)
{
	return offset * karena_class_magic[FIELD_GET(KARENA_INFO_CLASS, info)] >> 32;
}

static __always_inline u32 near_objects(unsigned long info)
{
	return karena_class_objects[FIELD_GET(KARENA_INFO_CLASS, info)];
}

static __always_inline u32 near_size(unsigned long info)
{
	return karena_class_size[FIELD_GET(KARENA_INFO_CLASS, info)];
}

static __always_inline struct karena_page *first_page(struct karena_page *page,
						      unsigned long info)
{
	return page - FIELD_GET(KARENA_INFO_PAGE, info);
}

#endif /* _KARENA_GC_MARK_H */
