// SPDX-License-Identifier: GPL-2.0
/*
 * Inodes for heaps.  All opens of a misc device share the device's inode, but
 * each heap needs an address space of its own: so that unmapping pages of one
 * never reaches another, and so that futexes and reverse mapping work.
 */
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "user.h"

#define KARENA_FS_MAGIC	0x6b617265	/* "kare" */

static struct vfsmount *karena_mnt;

static int karena_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, KARENA_FS_MAGIC) ? 0 : -ENOMEM;
}

/* No owner: the mount lives as long as the module and must not hold it. */
static struct file_system_type karena_fs_type = {
	.name = "karena",
	.init_fs_context = karena_init_fs_context,
	.kill_sb = kill_anon_super,
};

struct inode *karena_inode_new(loff_t size)
{
	struct inode *inode = alloc_anon_inode(karena_mnt->mnt_sb);

	if (!IS_ERR(inode))
		i_size_write(inode, size);
	return inode;
}

int karena_inode_init(void)
{
	karena_mnt = kern_mount(&karena_fs_type);
	return PTR_ERR_OR_ZERO(karena_mnt);
}

void karena_inode_exit(void)
{
	kern_unmount(karena_mnt);
}
