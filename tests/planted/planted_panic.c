// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: the machine stops in the middle of a test.
 */
#include <linux/module.h>

static int __init planted_init(void)
{
	panic("planted: the end\n");
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: panic");
MODULE_LICENSE("GPL");
