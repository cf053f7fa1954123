// SPDX-License-Identifier: GPL-2.0
/*
 * What each user has: heaps and pages, over all processes, and the limits on
 * both.  It comes on top of the control group's charge, which goes by process.
 * CAP_SYS_RESOURCE goes past the limits.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "user.h"

static unsigned int max_user_heaps = 256;
module_param(max_user_heaps, uint, 0644);
MODULE_PARM_DESC(max_user_heaps, "most heaps of one user (256)");

static unsigned int max_user_private = 4096;
module_param(max_user_private, uint, 0644);
MODULE_PARM_DESC(max_user_private, "most private heaps of one user (4096)");

static unsigned long max_user_bytes;
module_param(max_user_bytes, ulong, 0644);
MODULE_PARM_DESC(max_user_bytes, "most bytes that the heaps of one user hold (half of the memory)");

/*
 * Most pages of addresses that one user's windows may take together: 4 TiB, of
 * the 64 TiB that there are for all.
 */
#define MAX_USER_WINDOWS	(BIT(42) >> KARENA_PAGE_SHIFT)

static DEFINE_MUTEX(users_lock);	/* the table, and references going to 0 */
static DEFINE_HASHTABLE(users, 6);

static struct karena_user *lookup_user(kuid_t uid)
{
	struct karena_user *user;

	hash_for_each_possible(users, user, node, __kuid_val(uid))
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

struct karena_user *karena_user_get(kuid_t uid)
{
	struct karena_user *user;

	mutex_lock(&users_lock);
	user = lookup_user(uid);
	if (user) {
		refcount_inc(&user->ref);
		goto out;
	}
	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		goto out;
	user->uid = uid;
	refcount_set(&user->ref, 1);
	hash_add(users, &user->node, __kuid_val(uid));
out:
	mutex_unlock(&users_lock);
	return user;
}

void karena_user_put(struct karena_user *user)
{
	if (!refcount_dec_and_mutex_lock(&user->ref, &users_lock))
		return;
	hash_del(&user->node);
	mutex_unlock(&users_lock);
	kfree(user);
}

/* Adds below the limit, or with the right to go past it. */
static bool add_limited(atomic_long_t *counter, unsigned long n, unsigned long limit)
{
	if (karena_add_below(counter, n, limit))
		return true;
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE) &&
	       karena_add_below(counter, n, LONG_MAX);
}

/* One more heap, with a window of @npages that no other heap has. */
int karena_user_add_heap(struct karena_user *user, unsigned long npages)
{
	if (!add_limited(&user->heaps, 1, READ_ONCE(max_user_heaps)))
		return -ENOSPC;
	if (add_limited(&user->window_pages, npages, MAX_USER_WINDOWS))
		return 0;
	atomic_long_dec(&user->heaps);
	return -ENOSPC;
}

void karena_user_del_heap(struct karena_user *user, unsigned long npages)
{
	atomic_long_sub(npages, &user->window_pages);
	atomic_long_dec(&user->heaps);
}

/* The same for one whose window is memory of a process, as any other. */
int karena_user_add_private(struct karena_user *user)
{
	return add_limited(&user->private_heaps, 1, READ_ONCE(max_user_private)) ? 0 : -ENOSPC;
}

void karena_user_del_private(struct karena_user *user)
{
	atomic_long_dec(&user->private_heaps);
}

int karena_user_charge(struct karena_user *user, unsigned long npages)
{
	unsigned long limit = READ_ONCE(max_user_bytes) >> KARENA_PAGE_SHIFT;

	return add_limited(&user->pages, npages, limit) ? 0 : -ENOMEM;
}

void karena_user_uncharge(struct karena_user *user, unsigned long npages)
{
	atomic_long_sub(npages, &user->pages);
}

/* What the caller's user has and may have. */
void karena_user_info(struct karena_info *info)
{
	struct karena_user *user;

	mutex_lock(&users_lock);
	user = lookup_user(current_uid());
	if (user) {
		info->user_heaps = atomic_long_read(&user->heaps);
		info->user_bytes = (u64)atomic_long_read(&user->pages) << KARENA_PAGE_SHIFT;
	}
	mutex_unlock(&users_lock);
	info->max_user_heaps = READ_ONCE(max_user_heaps);
	info->max_user_bytes = READ_ONCE(max_user_bytes);
}

void karena_user_init(void)
{
	if (!max_user_bytes)
		max_user_bytes = totalram_pages() / 2 << PAGE_SHIFT;
}
