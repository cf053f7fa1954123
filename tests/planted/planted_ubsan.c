// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: reads behind the end of an array ("array-index-out-of-bounds").
 */
#include <linux/module.h>

/* One more than the index may be, by a parameter so that nobody knows. */
static unsigned int index = 4;
module_param(index, uint, 0);

static struct {
	int words[4];
	int behind;
} planted = { .behind = 1 };

static int __init planted_init(void)
{
	pr_info("planted: read %d\n", planted.words[index]);
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: index out of bounds");
MODULE_LICENSE("GPL");
