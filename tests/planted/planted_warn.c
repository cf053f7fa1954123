// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: a warning, after which insmod succeeds and all goes on.  Only
 * who reads the log knows.
 */
#include <linux/module.h>

static int __init planted_init(void)
{
	WARN(1, "planted: a warning\n");
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: a warning");
MODULE_LICENSE("GPL");
