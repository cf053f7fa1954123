// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/karena: a descriptor, and its heap once it is set up.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "user.h"

/* The heap of a descriptor; NULL while it is not set up. */
struct karena_uheap *karena_file_heap(struct file *file)
{
	struct karena_file *kf = file->private_data;

	/* Pairs with smp_store_release() in the set-up. */
	return smp_load_acquire(&kf->heap);
}

static struct karena_file *new_file(struct karena_uheap *uh)
{
	struct karena_file *kf = kzalloc(sizeof(*kf), GFP_KERNEL_ACCOUNT);

	if (kf) {
		mutex_init(&kf->lock);
		kf->heap = uh;
	}
	return kf;
}

static void delete_file(struct karena_file *kf)
{
	if (kf->heap)
		karena_heap_put(&kf->heap->heap);
	mutex_destroy(&kf->lock);
	kfree(kf);
}

static int karena_open(struct inode *inode, struct file *file)
{
	file->private_data = new_file(NULL);
	return file->private_data ? nonseekable_open(inode, file) : -ENOMEM;
}

static int karena_release(struct inode *inode, struct file *file)
{
	delete_file(file->private_data);
	return 0;
}

const struct file_operations karena_fops = {
	.owner = THIS_MODULE,
	.open = karena_open,
	.release = karena_release,
	.read = karena_read,
	.poll = karena_poll,
	.unlocked_ioctl = karena_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = karena_mmap,
	.get_unmapped_area = karena_get_unmapped_area,
};

/* One more file for a heap, of which it takes a reference. */
static struct file *new_file_of(struct karena_uheap *uh, int flags)
{
	struct karena_file *kf = new_file(uh);
	struct file *file;

	if (!kf)
		return ERR_PTR(-ENOMEM);
	karena_heap_get(&uh->heap);
	file = anon_inode_getfile("[karena]", &karena_fops, kf, flags);
	if (IS_ERR(file))
		delete_file(kf);
	else
		file->f_mapping = uh->inode->i_mapping;
	return file;
}

/*
 * The caller gets one more descriptor for a heap, told at @ufd.  One that cannot be told
 * is not there.
 */
int karena_file_give(struct karena_uheap *uh, int flags, s32 *fd, s32 __user *ufd)
{
	struct file *file;
	int err;

	*fd = get_unused_fd_flags(O_CLOEXEC);
	if (*fd < 0)
		return *fd;
	file = new_file_of(uh, flags);
	err = IS_ERR(file) ? PTR_ERR(file) : 0;
	if (!err && put_user(*fd, ufd)) {
		fput(file);
		err = -EFAULT;
	}
	if (err)
		put_unused_fd(*fd);
	else
		fd_install(*fd, file);
	return err;
}

static struct miscdevice karena_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "karena",
	.fops = &karena_fops,
	.mode = 0666,
};

int karena_chardev_init(void)
{
	return misc_register(&karena_misc);
}

void karena_chardev_exit(void)
{
	misc_deregister(&karena_misc);
}
