// SPDX-License-Identifier: GPL-2.0
/*
 * karena: Go's memory manager as a kernel module.  Loading and unloading.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>

#include "kmod/alloc/internal.h"
#include "kmod/observe/stats.h"
#include "kmod/user/user.h"

unsigned long karena_secret __ro_after_init;
KARENA_EXPORT_TEST(karena_secret);

/*
 * The pagemap of kernel heaps covers the linear mapping, and as much again for
 * memory that is plugged in later; the top level costs 8 bytes for 4 MiB.
 */
static int __init kernel_map_init(void)
{
	unsigned long linear = (unsigned long)high_memory - PAGE_OFFSET;

	karena_kernel_map = karena_pagemap_new(2 * (linear >> KARENA_PAGE_SHIFT), false,
					       GFP_KERNEL);
	return karena_kernel_map ? 0 : -ENOMEM;
}

static int __init karena_load(void)
{
	int err;

	get_random_bytes(&karena_secret, sizeof(karena_secret));
	karena_user_init();
	err = karena_magazines_init();
	if (err)
		return err;
	err = karena_runs_init();
	if (err)
		return err;
	err = karena_centrals_init();
	if (err)
		goto exit_runs;
	err = kernel_map_init();
	if (err)
		goto exit_centrals;
	err = karena_inode_init();
	if (err)
		goto delete_map;
	err = karena_heaps_init();
	if (err)
		goto exit_inode;
	err = karena_hotplug_init();
	if (err)
		goto exit_heaps;
	err = karena_pressure_init();
	if (err)
		goto exit_hotplug;
	err = karena_kernel_stacks_init();
	if (err)
		goto exit_pressure;
	err = karena_stacks_init();
	if (err)
		goto exit_kernel_stacks;
	err = karena_chardev_init();
	if (err)
		goto exit_stacks;
	karena_debugfs_init();
	return 0;
exit_stacks:
	karena_stacks_exit();
exit_kernel_stacks:
	karena_kernel_stacks_exit();
exit_pressure:
	karena_pressure_exit();
exit_hotplug:
	karena_hotplug_exit();
exit_heaps:
	karena_heaps_exit();
exit_inode:
	karena_inode_exit();
delete_map:
	karena_pagemap_delete(karena_kernel_map);
exit_centrals:
	karena_centrals_exit();
exit_runs:
	karena_runs_exit();
	return err;
}

static void __exit karena_unload(void)
{
	karena_debugfs_exit();
	karena_chardev_exit();
	karena_stacks_exit();
	karena_kernel_stacks_exit();
	karena_stops_end();
	karena_pressure_exit();
	/* It may hold the last reference of a heap, which has an inode. */
	karena_hotplug_exit();
	karena_heaps_exit();
	karena_inode_exit();
	karena_pagemap_delete(karena_kernel_map);
	/* Spans go by RCU; runs do not, but their cache must see them all back. */
	rcu_barrier();
	karena_centrals_exit();
	karena_runs_exit();
}

module_init(karena_load);
module_exit(karena_unload);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Go's memory manager: size-class heaps for the kernel and for processes");
MODULE_AUTHOR("The karena authors");
