// SPDX-License-Identifier: GPL-2.0
/*
 * Not a bug: shows that fault injection, on which the tests of failing
 * allocations stand, makes an allocation fail that has no reason to.
 */
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

static int __init planted_init(void)
{
#ifdef CONFIG_FAULT_INJECTION
	void *p;

	current->fail_nth = 1;
	p = kmalloc(64, GFP_KERNEL);
	current->fail_nth = 0;
	pr_info("planted: allocation %s\n", p ? "went well" : "was made to fail");
	kfree(p);
#endif
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted fault: an allocation that fails");
MODULE_LICENSE("GPL");
