// SPDX-License-Identifier: GPL-2.0
/*
 * What kernel code may do in the heap of a program.  The tree is sorted by number, and
 * never freed by hand: the program has it until it can reach it no more.  Whatever the
 * program writes into it, a walk through it ends, and touches objects of the heap only.
 *
 * Calls are kept apart by the caller; the program and the collector need not be.
 */
#include <linux/err.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmod/karena.h"
#include "guest.h"

#define MAX_DEPTH	1000u		/* of a tree that somebody may have made a ring */
#define MAX_TASKS	65536u
#define SECTION_STEPS	64u		/* between two sections, others get their turn */

/**
 * guest_open - come into a heap
 * @fd: a descriptor of the calling program's
 * @type: number of the type of struct guest_node there
 *
 * Return: the guest, or an ERR_PTR(): as karena_from_fd(), -EINVAL for the type, -ENOMEM.
 */
struct guest *guest_open(int fd, u32 type)
{
	struct guest *guest = kzalloc(sizeof(*guest), GFP_KERNEL);
	int err;

	if (!guest)
		return ERR_PTR(-ENOMEM);
	guest->heap = karena_from_fd(fd);
	if (IS_ERR(guest->heap)) {
		err = PTR_ERR(guest->heap);
		goto free;
	}
	guest->type = karena_user_type(guest->heap, type);
	if (guest->type)
		return guest;
	err = -EINVAL;
	karena_heap_put(guest->heap);
free:
	kfree(guest);
	return ERR_PTR(err);
}

/**
 * guest_close - leave the heap
 * @guest: the guest, or NULL
 */
void guest_close(struct guest *guest)
{
	if (!guest)
		return;
	guest_forget(guest);
	karena_heap_put(guest->heap);
	kfree(guest);
}

static struct guest_node __user *new_node(struct guest *guest, const struct guest_node *node)
{
	struct guest_node __user *ref = karena_user_new(guest->heap, guest->type, sizeof(*node));

	/* Nobody has freed it, as nobody knows of it; it may be smaller than asked for. */
	if (ref && karena_user_write(guest->heap, ref, node, sizeof(*node)))
		return NULL;
	return ref;
}

/* The word that is to refer to the node of a number; an ERR_PTR() if there is no way. */
static void __user *find_slot(struct guest *guest, u64 number)
{
	struct guest_node node;
	struct guest_node __user *ref = guest->root, *next;
	void __user *slot;
	unsigned int depth;
	int err;

	for (depth = 0; depth < MAX_DEPTH; depth++, ref = next) {
		err = karena_user_read(guest->heap, ref, &node, sizeof(node));
		if (err || node.number == number)
			return (__force void __user *)ERR_PTR(err ? err : -EEXIST);
		slot = number < node.number ? &ref->left : &ref->right;
		/* Once more: a program may have changed it. */
		next = karena_user_load(guest->heap, slot);
		if (!next)
			return slot;
		if (IS_ERR(next))
			return next;
	}
	return (__force void __user *)ERR_PTR(-ELOOP);
}

static int add(struct guest *guest, const struct guest_node *node)
{
	void __user *slot = NULL;
	struct guest_node __user *ref;
	int err;

	if (guest->root)
		slot = find_slot(guest, node->number);
	if (IS_ERR(slot))
		return PTR_ERR(slot);
	ref = new_node(guest, node);
	if (!ref)
		return -ENOMEM;
	if (slot)
		return karena_user_store(guest->heap, slot, ref);
	err = karena_user_pin(guest->heap, ref);
	if (!err)
		guest->root = ref;
	return err;
}

/**
 * guest_add - one more node in the tree
 * @guest: the guest
 * @number: what the tree is sorted by
 * @name: cut to 31 characters
 *
 * Return: 0, -EEXIST, -ENOMEM, -EINTR if the caller is killed, -EFAULT or -ELOOP if the
 * program has spoiled the tree.
 */
int guest_add(struct guest *guest, u64 number, const char *name)
{
	struct guest_node node = { .number = number, .check = number * GUEST_CHECK };
	int err, section;

	strscpy(node.name, name, sizeof(node.name));
	section = karena_enter(guest->heap);
	err = add(guest, &node);
	karena_exit(guest->heap, section);
	if (err != -ENOMEM)
		return err;
	err = karena_collect(guest->heap, true);
	if (err)
		return err;
	section = karena_enter(guest->heap);
	err = add(guest, &node);
	karena_exit(guest->heap, section);
	return err;
}

/**
 * guest_forget - begin a new tree
 * @guest: the guest
 */
void guest_forget(struct guest *guest)
{
	if (guest->root)
		karena_user_unpin(guest->heap, guest->root);
	guest->root = NULL;
}

/* --- processes --- */

struct task_name {
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

static unsigned int list_tasks(struct task_name *list, unsigned int room)
{
	struct task_struct *task;
	unsigned int n = 0;

	rcu_read_lock();
	for_each_process(task) {
		if (n == room)
			break;
		list[n].pid = task->pid;
		get_task_comm(list[n].comm, task);
		n++;
	}
	rcu_read_unlock();
	return n;
}

/* The order that they come in is that of their numbers, and would make a long list. */
static void shuffle(struct task_name *list, unsigned int n)
{
	struct rnd_state rnd;
	unsigned int i, other;

	prandom_seed_state(&rnd, n);
	for (i = n; i > 1; i--) {
		other = prandom_u32_state(&rnd) % i;
		swap(list[i - 1], list[other]);
	}
}

/**
 * guest_add_tasks - all processes, by number
 * @guest: the guest
 *
 * Return: how many, or as guest_add().
 */
int guest_add_tasks(struct guest *guest)
{
	struct task_name *list = kvmalloc_array(MAX_TASKS, sizeof(*list), GFP_KERNEL);
	unsigned int n, i;
	int err = 0;

	if (!list)
		return -ENOMEM;
	n = list_tasks(list, MAX_TASKS);
	shuffle(list, n);
	for (i = 0; i < n && !err; i++)
		err = guest_add(guest, list[i].pid, list[i].comm);
	kvfree(list);
	return err ? err : n;
}

/* --- a table of the program's --- */

static struct guest_slot __user *random_slot(const struct guest_table *table,
					     struct rnd_state *rnd)
{
	return table->slot + prandom_u32_state(rnd) % table->nr;
}

/* Two words change what they refer to; each of it is nowhere but here for a moment. */
static int exchange(struct guest *guest, void __user *a, void __user *b)
{
	struct guest_node __user *first = karena_user_load(guest->heap, a);
	struct guest_node __user *second = karena_user_load(guest->heap, b);
	int err;

	if (IS_ERR(first) || IS_ERR(second))
		return -EFAULT;
	err = karena_user_store(guest->heap, a, NULL);
	if (!err)
		err = karena_user_store(guest->heap, b, first);
	if (!err)
		err = karena_user_store(guest->heap, a, second);
	return err;
}

/* What hangs on two nodes changes places. */
static int exchange_below(struct guest *guest, struct guest_slot __user *a,
			  struct guest_slot __user *b)
{
	struct guest_node __user *first = karena_user_load(guest->heap, a);
	struct guest_node __user *second = karena_user_load(guest->heap, b);

	if (IS_ERR(first) || IS_ERR(second))
		return -EFAULT;
	if (!first || !second)
		return 0;
	return exchange(guest, &first->left, &second->left);
}

/* A node is copied, and what refers to it refers to the copy. */
static int replace(struct guest *guest, struct guest_slot __user *slot)
{
	struct guest_node __user *ref = karena_user_load(guest->heap, slot);
	struct guest_node node;
	int err;

	if (IS_ERR_OR_NULL(ref))
		return PTR_ERR_OR_ZERO(ref);
	err = karena_user_read(guest->heap, ref, &node, sizeof(node));
	if (err)
		return err;
	if (node.check != node.number * GUEST_CHECK)
		return -EBADMSG;
	ref = new_node(guest, &node);
	return ref ? karena_user_store(guest->heap, slot, ref) : -ENOMEM;
}

/* Ends the section and begins another, with a node that is nowhere else. */
static int carry(struct guest *guest, struct guest_slot __user *slot, int *section)
{
	struct guest_node __user *ref = karena_user_load(guest->heap, slot);
	int err;

	if (IS_ERR_OR_NULL(ref))
		return PTR_ERR_OR_ZERO(ref);
	err = karena_user_pin(guest->heap, ref);
	if (err)
		return err;
	err = karena_user_store(guest->heap, slot, NULL);
	karena_exit(guest->heap, *section);
	cond_resched();
	*section = karena_enter(guest->heap);
	err = err ?: karena_user_store(guest->heap, slot, ref);
	karena_user_unpin(guest->heap, ref);
	return err;
}

/**
 * guest_move - change a table that a program has made
 * @guest: the guest
 * @table: words that refer to nodes, each to one of its own
 *
 * All nodes, or copies of them, are in the table after that, in other places.
 *
 * Return: 0, -EBADMSG if a node is not as it was made, -EFAULT, -ENOMEM, -EINTR.
 */
int guest_move(struct guest *guest, const struct guest_table *table)
{
	struct guest_slot __user *a, *b;
	struct rnd_state rnd;
	int err = 0, section;
	u64 i;

	prandom_seed_state(&rnd, table->seed);
	section = karena_enter(guest->heap);
	for (i = 1; i <= table->steps && !err; i++) {
		a = random_slot(table, &rnd);
		b = random_slot(table, &rnd);
		if (!(i % SECTION_STEPS))
			err = carry(guest, a, &section);
		else if (!(i % 8))
			err = replace(guest, a);
		else if (a != b)
			err = i % 2 ? exchange(guest, a, b) : exchange_below(guest, a, b);
		if (fatal_signal_pending(current))
			err = -EINTR;
	}
	karena_exit(guest->heap, section);
	return err;
}
