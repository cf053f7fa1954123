// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: two threads count in one plain variable ("KCSAN: data-race").
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>

static long planted_count;

static int planted_count_up(void *unused)
{
	while (!kthread_should_stop()) {
		planted_count++;
		barrier();
		if (!(planted_count & 0xfff))
			cond_resched();
	}
	return 0;
}

static int __init planted_init(void)
{
	struct task_struct *threads[2];
	int i;

	for (i = 0; i < 2; i++) {
		threads[i] = kthread_run(planted_count_up, NULL, "planted/%d", i);
		if (IS_ERR(threads[i]))
			break;
	}
	msleep(500);
	while (i--)
		kthread_stop(threads[i]);
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: data race");
MODULE_LICENSE("GPL");
