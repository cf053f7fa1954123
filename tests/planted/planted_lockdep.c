// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: two locks taken in either order.  Nothing blocks here, only
 * lockdep can know ("possible circular locking dependency").
 */
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(planted_a);
static DEFINE_MUTEX(planted_b);

static void take_both(struct mutex *first, struct mutex *second)
{
	mutex_lock(first);
	mutex_lock(second);
	mutex_unlock(second);
	mutex_unlock(first);
}

static int __init planted_init(void)
{
	take_both(&planted_a, &planted_b);
	take_both(&planted_b, &planted_a);
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: lock order");
MODULE_LICENSE("GPL");
