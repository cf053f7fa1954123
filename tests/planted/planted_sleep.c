// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: an allocation that may sleep, under a spinlock ("sleeping
 * function called from invalid context").
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(planted_lock);

static int __init planted_init(void)
{
	void *p;

	spin_lock(&planted_lock);
	p = kmalloc(64, GFP_KERNEL);
	spin_unlock(&planted_lock);
	kfree(p);
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: sleeps in atomic context");
MODULE_LICENSE("GPL");
