// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: reads an object that was freed ("KASAN: slab-use-after-free").
 */
#include <linux/module.h>
#include <linux/slab.h>

static int __init planted_init(void)
{
	int *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	kfree(p);
	/* Or the compiler would see the bug, and do as it likes. */
	pr_info("planted: read %d\n", READ_ONCE(*p));
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: use after free");
MODULE_LICENSE("GPL");
