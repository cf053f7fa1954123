// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: follows a user's pointer without asking ("different address
 * spaces").  For sparse; never loaded.
 */
#include <linux/module.h>
#include <linux/uaccess.h>

static int __user *planted_pointer;

static int __init planted_init(void)
{
	int *p = planted_pointer;

	return p ? *p : 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: user pointer");
MODULE_LICENSE("GPL");
