// SPDX-License-Identifier: GPL-2.0
/*
 * Dumps: a clone of a heap (clone.c), and of one that is collected what refers to its
 * objects from outside at the same moment.
 *
 *	who calls			worker
 *	calls are over, no cycle runs
 *	unmap most of the heap
 *	queue the work			stop all threads (stop.c)
 *	  wait				  note what they refer to
 *	freeze the heap			    all stand still: wait
 *	tell the worker			  release them
 *	fill the clone
 *	thaw
 *
 * What is unmapped before need not be while all stand, but for what is in use just then
 * (mapped.c).  While all stand nobody changes references, in the heap or outside; what they
 * do once released waits for the thaw as soon as it touches the heap.
 */
#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "user.h"

/* A word that refers to an object. */
struct root {
	unsigned long word;
	unsigned long at;
	struct pid *pid;		/* with references, or NULL */
	struct pid *tid;
	u32 kind;
};

#define CHUNK		SZ_4K
#define PER_CHUNK	(CHUNK / sizeof(struct root))
#define MOST_ROOTS	BIT(20)
#define ROOTS_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Calls that change the heap wait meanwhile. */
#define STOP_WAIT	HZ

struct chunk {
	struct root root[PER_CHUNK];
};

struct karena_roots {
	struct karena_uheap *uh;	/* the clone, which pays for them */
	struct xarray chunks;		/* by number */
	u64 nr;
	bool lost;			/* there was no memory for one, or are too many */
};

/* Those of a heap, while they are noted. */
struct taking {
	struct karena_uheap *uh;
	struct karena_roots *roots;
	struct karena_origin origin;
	struct work_struct work;
	struct mem_cgroup *group;	/* of who calls, */
	const struct cred *cred;	/* whose limits hold, */
	bool knows_all;			/* and who may know of everybody */
	unsigned long end;		/* jiffies, until when it is tried */
	bool killed;			/* who calls is: WRITE_ONCE() */
	bool stood;			/* all threads did */
	struct completion standing;	/* they do, or never will */
	struct completion frozen;	/* the heap is, or it is over */
};

struct karena_roots *karena_roots_new(struct karena_uheap *uh)
{
	struct karena_roots *roots = kzalloc(sizeof(*roots), GFP_KERNEL_ACCOUNT);

	if (!roots)
		return NULL;
	roots->uh = uh;
	xa_init(&roots->chunks);
	return roots;
}

static void forget(struct karena_roots *roots)
{
	struct chunk *chunk;
	unsigned long nr;
	unsigned int i;

	xa_for_each(&roots->chunks, nr, chunk) {
		for (i = 0; i < PER_CHUNK && chunk->root[i].word; i++) {
			put_pid(chunk->root[i].pid);
			put_pid(chunk->root[i].tid);
		}
		kfree(chunk);
		karena_uheap_uncharge_meta(roots->uh, CHUNK);
		cond_resched();
	}
	xa_destroy(&roots->chunks);
	roots->nr = 0;
	roots->lost = false;
}

void karena_roots_delete(struct karena_roots *roots)
{
	if (!roots)
		return;
	forget(roots);
	kfree(roots);
}

static struct root *root_at(struct karena_roots *roots, u64 nr)
{
	struct chunk *chunk = xa_load(&roots->chunks, nr / PER_CHUNK);

	return chunk ? &chunk->root[nr % PER_CHUNK] : NULL;
}

static int add_chunk(struct karena_roots *roots)
{
	struct chunk *chunk;
	int err;

	err = karena_uheap_charge_meta(roots->uh, CHUNK);
	if (err)
		return err;
	chunk = kzalloc(sizeof(*chunk), ROOTS_GFP);
	err = chunk ? xa_err(xa_store(&roots->chunks, roots->nr / PER_CHUNK, chunk,
				      ROOTS_GFP)) : -ENOMEM;
	if (err) {
		kfree(chunk);
		karena_uheap_uncharge_meta(roots->uh, CHUNK);
	}
	return err;
}

/* Room for one more; NULL without memory. */
static struct root *next_root(struct karena_roots *roots)
{
	if (roots->nr == MOST_ROOTS || (roots->nr % PER_CHUNK == 0 && add_chunk(roots)))
		return NULL;
	return root_at(roots, roots->nr);
}

static bool is_object(struct karena_uheap *uh, unsigned long word)
{
	struct karena_span *span;
	u32 index;

	rcu_read_lock();
	span = karena_find_object(&uh->heap, word, &index);
	rcu_read_unlock();
	return span;
}

/* Whether a thread is one of whom who calls may know where it has what. */
static bool is_known(const struct taking *taking, struct task_struct *task)
{
	return taking->knows_all || (uid_eq(task_uid(task), taking->cred->uid) &&
				     uid_eq(task_cred_xxx(task, euid), taking->cred->uid));
}

static void note(struct taking *taking, unsigned long word, const struct karena_origin *origin)
{
	struct task_struct *task = origin->task;
	struct root *root;

	if (taking->roots->lost)
		return;
	root = next_root(taking->roots);
	if (!root) {
		taking->roots->lost = true;
		return;
	}
	*root = (struct root) { .word = word, .kind = origin->kind };
	if (!task || is_known(taking, task)) {
		root->at = origin->at;
		root->pid = task ? get_task_pid(task, PIDTYPE_TGID) : NULL;
		root->tid = task && origin->of_thread ? get_task_pid(task, PIDTYPE_PID) : NULL;
	}
	taking->roots->nr++;
}

static void note_word(void *arg, unsigned long word)
{
	struct taking *taking = arg;

	if (is_object(taking->uh, word))
		note(taking, word, &taking->origin);
}

/* It may be where an object ends: struct karena_visitor. */
static void note_thread_word(void *arg, unsigned long word)
{
	struct taking *taking = arg;

	if (is_object(taking->uh, word) || is_object(taking->uh, word - 1))
		note(taking, word, &taking->origin);
}

static void begin(void *arg)
{
	struct taking *taking = arg;

	forget(taking->roots);
}

static void all_stand(void *arg)
{
	struct taking *taking = arg;

	taking->stood = true;
	complete(&taking->standing);
	if (!karena_is_planted(KARENA_PLANT_ROOTS_EARLY))
		wait_for_completion(&taking->frozen);
}

static bool again(void *arg)
{
	struct taking *taking = arg;

	return !READ_ONCE(taking->killed) && !taking->roots->lost &&
	       time_before(jiffies, taking->end);
}

static void take(struct work_struct *work)
{
	struct taking *taking = container_of(work, struct taking, work);
	const struct karena_visitor visitor = {
		.word = note_word,
		.thread_word = note_thread_word,
		.arg = taking,
		.begin = begin,
		.standing = all_stand,
		.again = again,
		.origin = &taking->origin,
	};
	struct mem_cgroup *group = set_active_memcg(taking->group);
	const struct cred *cred = override_creds(taking->cred);

	if (!karena_stopped(&taking->uh->heap, &visitor, false))
		complete(&taking->standing);
	revert_creds(cred);
	set_active_memcg(group);
}

/* What the kernel has for programs, which no call changes now. */
static void note_kernel(struct taking *taking)
{
	const struct karena_origin origin = { .kind = KARENA_ROOT_CALL };
	struct karena_uheap *uh = taking->uh;
	struct karena_inflight *inflight;
	unsigned long index;
	unsigned int i;
	void *count;

	mutex_lock(&uh->heap.gc->roots_lock);
	xa_for_each(&uh->heap.gc->pins, index, count)
		if (is_object(uh, index * sizeof(void *)))
			note(taking, index * sizeof(void *), &origin);
	mutex_unlock(&uh->heap.gc->roots_lock);
	mutex_lock(&uh->inflight_lock);
	list_for_each_entry(inflight, &uh->inflight, node)
		/* Pairs with smp_store_release() in alloc_all(). */
		for (i = 0; i < smp_load_acquire(&inflight->nr); i++)
			if (is_object(uh, inflight->addrs[i]))
				note(taking, inflight->addrs[i], &origin);
	mutex_unlock(&uh->inflight_lock);
}

/* All threads stand, and will until the heap is frozen; or they did not. */
static int wait_until_all_stand(struct taking *taking)
{
	int err = wait_for_completion_killable(&taking->standing) ? -EINTR : 0;

	if (karena_is_planted(KARENA_PLANT_ROOTS_EARLY))
		usleep_range(10000, 11000);
	WRITE_ONCE(taking->killed, err);
	if (!err && !taking->stood)
		err = taking->roots->lost ? -ENOMEM : -EAGAIN;
	return err;
}

/*
 * Freezes a heap that is collected and notes its roots for the clone: of the moment when it
 * is frozen.  The caller has stopped what else changes it.  After an error it is not frozen:
 * -ENOMEM, -EAGAIN, -EINTR.
 */
int karena_freeze_with_roots(struct karena_uheap *uh, struct karena_roots *roots)
{
	struct taking taking = {
		.uh = uh,
		.roots = roots,
		.group = karena_group_get(),
		.cred = get_current_cred(),
		.knows_all = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN),
		.end = jiffies + STOP_WAIT,
	};
	int err;

	init_completion(&taking.standing);
	init_completion(&taking.frozen);
	INIT_WORK_ONSTACK(&taking.work, take);
	queue_work(system_dfl_wq, &taking.work);
	err = wait_until_all_stand(&taking);
	if (!err)
		karena_freeze(uh);
	complete(&taking.frozen);
	flush_work(&taking.work);
	destroy_work_on_stack(&taking.work);
	if (karena_is_planted(KARENA_PLANT_MAPPED_UNSEEN))
		usleep_range(10000, 11000);
	if (!err) {
		note_kernel(&taking);
		err = roots->lost ? -ENOMEM : 0;
		if (err)
			karena_thaw(uh);
	}
	karena_group_put(taking.group);
	put_cred(taking.cred);
	return err;
}

/* One of them, as the caller sees it; false behind the last one.  They do not change. */
bool karena_roots_tell(struct karena_roots *roots, u64 nr, struct karena_root_record *record)
{
	const struct root *root = nr < roots->nr ? root_at(roots, nr) : NULL;

	if (!root)
		return false;
	*record = (struct karena_root_record) {
		.size = sizeof(*record),
		.kind = root->kind,
		.word = root->word,
		.at = root->at,
		.pid = pid_vnr(root->pid),
		.tid = pid_vnr(root->tid),
	};
	return true;
}

int karena_do_dump(struct karena_uheap *uh, struct karena_dump *req,
		   struct karena_dump __user *ureq)
{
	struct karena_uheap *clone;
	int err;

	if (uh->private)
		return -EINVAL;
	clone = karena_clone_make(uh, true);
	if (IS_ERR(clone))
		return PTR_ERR(clone);
	err = karena_file_give(clone, O_RDONLY, &req->fd, &ureq->fd);
	karena_heap_put(&clone->heap);
	return err;
}
