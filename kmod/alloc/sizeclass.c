// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of the size classes, and the proof that they are the ABI's.
 */
#include <linux/build_bug.h>

#include "kmod/compat/compat.h"
#include "sizeclass.h"
#include "sizeclass_table.h"

static_assert(KARENA_TABLE_CLASSES == KARENA_NR_CLASSES);
static_assert(KARENA_PAGE_SIZE == 1 << KARENA_PAGE_SHIFT);

KARENA_EXPORT_TEST(karena_class_size);
KARENA_EXPORT_TEST(karena_class_pages);
KARENA_EXPORT_TEST(karena_class_objects);
KARENA_EXPORT_TEST(karena_class_magic);
KARENA_EXPORT_TEST(karena_class_small);
KARENA_EXPORT_TEST(karena_class_big);
