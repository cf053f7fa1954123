// SPDX-License-Identifier: GPL-2.0
/*
 * All threads of all processes that have a collected heap mapped stand still for a
 * moment: the one stop of a cycle.
 *
 *	stopper (a kernel thread)	thread
 *	gate->stopping = n		... in user mode, or in the kernel
 *	full barrier
 *	find threads, queue task work	park():
 *	interrupt all CPUs		  queued = false, full barrier
 *	wait until all stand		  n = stopping; if it is not released:
 *	look at them			  arrived = n
 *	gate->released = n, wake all	  wait until released >= n
 *
 * Task work runs before a thread returns to user mode, and queueing it kicks a
 * thread that runs there, but wakes none: no system call ends because of a stop.
 * Once its work is queued, and after each CPU has been interrupted so that none is
 * past its last look for work, a thread that is not on a CPU stands: it can run in
 * the kernel only, and what it does there to the heap goes through the page
 * protocol.  So sleepers stay asleep.
 *
 * A look at all is good only if they stood all the time: a thread that was on a CPU
 * in between, or one that has just been made, makes it begin anew (its visits have
 * done no harm).  That is best done at once, as who woke in a system call waits at its
 * end by then.  If not all stand soon, all are released and asked again later: the
 * cycle is put off, and after a while that is reported.
 *
 * A thread's struct has a reference from its work, and so has the module: a thread
 * that sleeps has its work pending until it wakes, when the heap may be long gone.
 * What it waits at, the gate, therefore has references of its own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/hashtable.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/task_work.h>

#include "kmod/compat/compat.h"
#include "user.h"

#define STOP_LIMIT	(20 * NSEC_PER_MSEC)	/* until all are released again */
#define LOOKS		3u			/* but not before so many, if all stand */
#define LOOK_AGAIN	(50 * NSEC_PER_USEC)	/* who goes to sleep does not arrive */
#define CALM		3u			/* times as long as a hurry took */
#define REPORT_AFTER	(1 * NSEC_PER_SEC)
#define MOST_BACKOFF	100u			/* ms between two attempts */
#define MOST_PAGES	64u			/* to visit, in the first attempt */
#define SPARES		8u
#define LOCK_TRIES	10u
#define LOCK_PAUSE	100u			/* microseconds between two of them */

/* Where threads wait. */
struct gate {
	refcount_t ref;
	u64 stopping;			/* number of the last stop */
	u64 released;			/* and of the last that is over */
	wait_queue_head_t parked;
	wait_queue_head_t arrivals;
};

struct thread {
	struct hlist_node node;		/* stop->threads, or stop->spares */
	refcount_t ref;
	struct task_struct *task;
	struct mm_struct *mm;		/* never followed */
	struct gate *gate;
	struct callback_head work;
	atomic_t queued;		/* the work is, and not begun */
	u64 asked;			/* last stop that it was asked for */
	u64 arrived;			/* last stop that it waits, or waited, for */
	unsigned long switches;		/* when all stood, and nothing had been looked at */
	struct mutex lock;		/* its stack stays: see leave() */
	bool dying;			/* it was killed, and is on its way out; lock */
	bool gone;			/* it will never be in user mode again */
};

struct karena_stop {
	struct gate *gate;
	struct karena_scan *scan;
	DECLARE_HASHTABLE(threads, 6);
	struct hlist_head spares;
	unsigned int nr_spares;
	char blocker[TASK_COMM_LEN];	/* who did not stop in time, */
	pid_t blocker_pid;		/* 0 if nobody */
	struct karena_process **process;	/* while it stops: all of them, */
	DECLARE_HASHTABLE(by_mm, 6);		/* and by whose memory they have */
	unsigned int nr;
	unsigned int room;
	u64 opened;			/* when they were listed */
	unsigned int most_pages;	/* that may be written still */
	bool crowded;			/* there were more */
	u64 hurry;			/* when it began to, or 0 */
	int nice;			/* when it does not */
};

static u64 next_hurry;			/* of any stopper, READ_ONCE() */

/* --- gate and threads --- */

static void put_gate(struct gate *gate)
{
	if (refcount_dec_and_test(&gate->ref))
		kfree(gate);
}

static void put_thread(struct thread *thread)
{
	if (!refcount_dec_and_test(&thread->ref))
		return;
	if (thread->task)
		put_task_struct(thread->task);
	put_gate(thread->gate);
	kfree(thread);
}

/*
 * A thread that is killed does not wait, and its kernel stack is soon gone, where its
 * registers are.  All that were asked come by here before that, as what is queued is
 * run by who exits: whoever looks at it is waited for, and nobody does from here on, in no
 * stop, however long its way is.
 */
static void leave(struct thread *thread)
{
	mutex_lock(&thread->lock);
	thread->dying = true;
	mutex_unlock(&thread->lock);
}

/* Task work: waits until the stop is over. */
static void park(struct callback_head *work)
{
	struct thread *thread = container_of(work, struct thread, work);
	struct gate *gate = thread->gate;
	u64 stop;

	/* Full barrier: a newer stop is seen below, or queues the work again. */
	atomic_xchg(&thread->queued, 0);
	stop = READ_ONCE(gate->stopping);
	if (!(current->flags & PF_EXITING) && READ_ONCE(gate->released) < stop) {
		/* Pairs with smp_load_acquire() in stands(). */
		smp_store_release(&thread->arrived, stop);
		wake_up(&gate->arrivals);
		/* Who is killed goes on to its end. */
		wait_event_killable(gate->parked, READ_ONCE(gate->released) >= stop);
	}
	if (READ_ONCE(gate->released) < stop)
		leave(thread);
	put_thread(thread);
	/* The module's end waits for who is still in here: karena_stops_end(). */
	rcu_read_lock();
	module_put(THIS_MODULE);
	rcu_read_unlock();
}

/* From here on a thread does not return to user mode during this stop. */
static void ask(struct thread *thread, u64 stop)
{
	thread->asked = stop;
	if (karena_is_planted(KARENA_PLANT_NOT_STOPPED))
		return;
	if (atomic_xchg(&thread->queued, 1))
		return;
	refcount_inc(&thread->ref);
	__module_get(THIS_MODULE);
	if (!task_work_add(thread->task, &thread->work,
			   karena_is_planted(KARENA_PLANT_WOKEN) ? TWA_SIGNAL : TWA_RESUME))
		return;
	/* It is past the end of its life. */
	thread->gone = true;
	atomic_set(&thread->queued, 0);
	refcount_dec(&thread->ref);
	module_put(THIS_MODULE);
}

static unsigned long switches(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

static bool stands(const struct thread *thread)
{
	if (thread->gone || READ_ONCE(thread->task->flags) & PF_EXITING ||
	    karena_is_planted(KARENA_PLANT_NOT_STOPPED))
		return true;
	/* Pairs with smp_store_release() in park(). */
	if (smp_load_acquire(&thread->arrived) == thread->asked)
		return !karena_task_on_cpu(thread->task);
	return karena_task_stands(thread->task);
}

/* --- finding them --- */

static struct thread *find_thread(struct karena_stop *stop, struct task_struct *task)
{
	struct thread *thread;

	hash_for_each_possible(stop->threads, thread, node, (unsigned long)task)
		if (thread->task == task)
			return thread;
	return NULL;
}

static void add_spare(struct karena_stop *stop)
{
	struct thread *thread = kzalloc(sizeof(*thread), GFP_KERNEL);

	if (!thread)
		return;
	refcount_set(&thread->ref, 1);
	thread->gate = stop->gate;
	refcount_inc(&stop->gate->ref);
	mutex_init(&thread->lock);
	init_task_work(&thread->work, park);
	hlist_add_head(&thread->node, &stop->spares);
	stop->nr_spares++;
}

static void fill_spares(struct karena_stop *stop, unsigned int want)
{
	while (stop->nr_spares < want + SPARES) {
		add_spare(stop);
		cond_resched();
	}
}

static struct thread *new_thread(struct karena_stop *stop, struct task_struct *task,
				 struct mm_struct *mm)
{
	struct thread *thread;

	if (!stop->nr_spares)
		return NULL;
	thread = hlist_entry(stop->spares.first, struct thread, node);
	hlist_del(&thread->node);
	stop->nr_spares--;
	thread->task = get_task_struct(task);
	thread->mm = mm;
	hash_add(stop->threads, &thread->node, (unsigned long)task);
	return thread;
}

static struct karena_process *process_of(struct karena_stop *stop, struct mm_struct *mm)
{
	struct karena_process *process;

	hash_for_each_possible(stop->by_mm, process, by_mm, (unsigned long)mm)
		if (process->mm == mm)
			return process;
	return NULL;
}

/* Kernel threads that work for a process are never in user mode. */
static bool has_user_mode(const struct task_struct *task)
{
	return !(READ_ONCE(task->flags) & (PF_KTHREAD | PF_IO_WORKER | PF_EXITING));
}

/* What one look at all tasks has found. */
struct found {
	unsigned int asked;		/* threads that were not asked before */
	unsigned int missed;		/* those for which there was no struct */
};

static void find_task(struct karena_stop *stop, struct task_struct *task, struct found *found)
{
	/* Only compared with those of processes, which stay. */
	struct mm_struct *mm = READ_ONCE(task->mm);
	struct karena_process *process = process_of(stop, mm);
	struct thread *thread;

	if (!process || !has_user_mode(task))
		return;
	process->born = true;
	thread = find_thread(stop, task);
	if (!thread)
		thread = new_thread(stop, task, mm);
	if (!thread) {
		found->missed++;
		return;
	}
	thread->mm = mm;
	if (thread->asked == stop->gate->stopping)
		return;
	ask(thread, stop->gate->stopping);
	found->asked++;
}

/* Asks all threads that there are; how many there were that had not been. */
static unsigned int find_threads(struct karena_stop *stop)
{
	struct task_struct *leader, *task;
	unsigned int asked = 0;
	struct found found;

	do {
		found = (struct found){};
		rcu_read_lock();
		for_each_process_thread(leader, task)
			find_task(stop, task, &found);
		rcu_read_unlock();
		asked += found.asked;
		if (found.missed)
			fill_spares(stop, found.missed);
	} while (found.missed);
	return asked;
}

/* Forgets threads that are gone, or have nothing to do with the heap any more. */
static void forget_threads(struct karena_stop *stop, bool all)
{
	struct hlist_node *next;
	struct thread *thread;
	unsigned int i;

	hash_for_each_safe(stop->threads, i, next, thread, node) {
		if (!all && !thread->gone && process_of(stop, READ_ONCE(thread->task->mm)))
			continue;
		hash_del(&thread->node);
		put_thread(thread);
	}
}

/* --- processes --- */

static void put_processes(struct karena_stop *stop)
{
	unsigned int i;

	for (i = 0; i < stop->nr; i++)
		karena_process_put(stop->process[i]);
	stop->nr = 0;
	hash_init(stop->by_mm);
}

/* Lists all processes that there are. */
static void list_processes(struct karena_uheap *uh)
{
	struct karena_stop *stop = uh->stop;
	struct karena_process **list, *process;
	unsigned int nr, i;

	put_processes(stop);
	while ((nr = karena_processes_get(uh, stop->process, stop->room, &stop->opened)) >
	       stop->room) {
		stop->nr = stop->room;
		put_processes(stop);
		list = kvcalloc(nr + 8, sizeof(*list), GFP_KERNEL);
		if (!list) {
			cond_resched();
			continue;
		}
		kvfree(stop->process);
		stop->process = list;
		stop->room = nr + 8;
	}
	stop->nr = nr;
	for (i = 0; i < nr; i++) {
		process = stop->process[i];
		hash_add(stop->by_mm, &process->by_mm, (unsigned long)process->mm);
	}
}

/* A child whose fork() is not over can do anything as soon as it is. */
static bool all_born(const struct karena_stop *stop)
{
	unsigned int i;

	for (i = 0; i < stop->nr; i++)
		if (!stop->process[i]->born && !list_empty_careful(&stop->process[i]->node))
			return false;
	return true;
}

/* --- the stop --- */

/*
 * Whole processes wait for this thread, so it is not to wait for others.  But what it has
 * to do is up to programs: it hurries for no longer than a stop may take, and all
 * stoppers together for a quarter of the time.
 */
static void hurry(struct karena_stop *stop)
{
	u64 now = ktime_get_mono_fast_ns();

	if (now < READ_ONCE(next_hurry))
		return;
	stop->nice = task_nice(current);
	stop->hurry = now;
	set_user_nice(current, MIN_NICE);
}

static void calm_down(struct karena_stop *stop)
{
	u64 now = ktime_get_mono_fast_ns();

	if (!stop->hurry)
		return;
	set_user_nice(current, stop->nice);
	WRITE_ONCE(next_hurry, now + CALM * (now - stop->hurry));
	stop->hurry = 0;
}

/* For the stopper, between things that do not take long. */
void karena_rest(struct karena_uheap *uh)
{
	struct karena_stop *stop = uh->stop;

	if (stop && stop->hurry && ktime_get_mono_fast_ns() - stop->hurry > STOP_LIMIT)
		calm_down(stop);
	cond_resched();
}

static void nothing(void *unused)
{
}

/* The first thread that does not stand, or NULL. */
static struct thread *running(struct karena_stop *stop)
{
	struct thread *thread;
	unsigned int i;

	hash_for_each(stop->threads, i, thread, node)
		if (thread->asked == stop->gate->stopping && !stands(thread))
			return thread;
	return NULL;
}

/* Asks whoever is there until all stand; false if that takes too long. */
static bool stop_all(struct karena_uheap *uh, u64 end)
{
	struct karena_stop *stop = uh->stop;
	struct gate *gate = stop->gate;

	do {
		list_processes(uh);
		if (find_threads(stop) && !karena_is_planted(KARENA_PLANT_NOT_INTERRUPTED))
			/* Nobody is on the way to user mode who has not seen his work. */
			smp_call_function(nothing, NULL, 1);
		if (all_born(stop) && !running(stop))
			return true;
		wait_event_hrtimeout(gate->arrivals, all_born(stop) && !running(stop),
				     LOOK_AGAIN);
		karena_rest(uh);
	} while (ktime_get_mono_fast_ns() < end);
	return false;
}

static void release(struct karena_stop *stop)
{
	struct gate *gate = stop->gate;

	/* All that was done during the stop is seen by who goes on. */
	smp_store_release(&gate->released, gate->stopping);
	wake_up_all(&gate->parked);
}

/*
 * A program's thread may have a lock, and not get a CPU to go on: it stands.  Nothing
 * here waits for it for long; all begins anew then, or is put off.
 */
static bool try_lock(struct mutex *lock)
{
	unsigned int i;

	for (i = 0; !mutex_trylock(lock); i++) {
		if (i == LOCK_TRIES)
			return false;
		usleep_range(LOCK_PAUSE / 2, LOCK_PAUSE);
	}
	return true;
}

/* What calls and magazines have; both under the lock, as it goes from one to the other. */
static bool visit_inflight(struct karena_uheap *uh, karena_visit_t *visit, void *arg)
{
	const struct karena_extents *extents;
	struct karena_inflight *inflight;
	unsigned int i, nr;

	if (!try_lock(&uh->inflight_lock))
		return false;
	list_for_each_entry(inflight, &uh->inflight, node) {
		/* Pairs with smp_store_release() in alloc_all(). */
		nr = smp_load_acquire(&inflight->nr);
		for (i = 0; i < nr; i++)
			visit(arg, inflight->addrs[i]);
		/* And with that in karena_do_refill(). */
		extents = smp_load_acquire(&inflight->extents);
		for (i = 0; extents && i < extents->nr; i++)
			karena_extent_visit(uh, &extents->extent[i], ULONG_MAX, visit, arg);
		karena_rest(uh);
	}
	karena_magazines_visit(uh, visit, arg);
	mutex_unlock(&uh->inflight_lock);
	return true;
}

static void scan_ranges(struct karena_uheap *uh, struct karena_process *process)
{
	struct karena_ranges *ranges = karena_ranges_get(uh, process);
	const struct karena_range *range;
	u32 i;

	for (i = 0; ranges && i < ranges->nr; i++) {
		range = &ranges->range[i];
		if (range->stack_shift)
			karena_scan_stack_range(uh->stop->scan, range);
		else if (range->extents)
			karena_scan_extents(uh->stop->scan, range->start, range->end);
		else
			karena_scan_range(uh->stop->scan, range->start, range->end);
		if (karena_is_planted(KARENA_PLANT_MOVED_UNSEEN) ||
		    karena_is_planted(KARENA_PLANT_NOT_STOPPED))
			usleep_range(10000, 11000);
	}
	karena_ranges_put(ranges);
}

/* One that dies waits for the lock, but not until its stacks have been searched. */
static bool scan_thread(struct karena_stop *stop, struct thread *thread)
{
	struct karena_frame frame;
	bool there;

	if (!try_lock(&thread->lock))
		return false;
	there = !thread->gone && !thread->dying && has_user_mode(thread->task);
	if (there)
		karena_scan_registers(stop->scan, thread->task, &frame);
	mutex_unlock(&thread->lock);
	if (there)
		karena_scan_stacks(stop->scan, thread->task, &frame);
	return true;
}

static bool scan_threads(struct karena_stop *stop, struct mm_struct *mm)
{
	struct thread *thread;
	unsigned int i;

	hash_for_each(stop->threads, i, thread, node)
		if (thread->mm == mm && thread->asked == stop->gate->stopping &&
		    !scan_thread(stop, thread))
			return false;
	return true;
}

/* A thread of a process that was asked to stop; or NULL. */
static struct task_struct *thread_of(struct karena_stop *stop, const struct mm_struct *mm)
{
	struct thread *thread;
	unsigned int i;

	hash_for_each(stop->threads, i, thread, node)
		if (thread->mm == mm && thread->asked == stop->gate->stopping)
			return thread->task;
	return NULL;
}

static bool scan_process(struct karena_uheap *uh, struct karena_process *process)
{
	bool done;

	if (!mmget_not_zero(process->mm))
		return true;
	kthread_use_mm(process->mm);
	karena_scan_process(uh->stop->scan, thread_of(uh->stop, process->mm));
	scan_ranges(uh, process);
	done = scan_threads(uh->stop, process->mm);
	kthread_unuse_mm(process->mm);
	/* If it is the last one, its end is not ours to wait for. */
	mmput_async(process->mm);
	return done;
}

/*
 * Before anything is looked at: how often each was on a CPU.  Who wakes in a system
 * call may move references there, in ranges and in the heap too.
 */
static void note_switches(struct karena_stop *stop)
{
	struct thread *thread;
	unsigned int i;

	hash_for_each(stop->threads, i, thread, node)
		thread->switches = switches(thread->task);
	/* Pairs with the one in moved(). */
	smp_rmb();
}

/* Whether a thread was on a CPU since note_switches(), or is new. */
static bool moved(struct karena_uheap *uh)
{
	struct karena_stop *stop = uh->stop;
	struct thread *thread;
	unsigned int i;

	/* Pairs with the one in note_switches(). */
	smp_rmb();
	hash_for_each(stop->threads, i, thread, node)
		if (thread->asked == stop->gate->stopping && !thread->gone &&
		    has_user_mode(thread->task) &&
		    (!stands(thread) || switches(thread->task) != thread->switches))
			return true;
	return find_threads(stop) || READ_ONCE(uh->opened) != stop->opened;
}

/* What else the snapshot is made of; false if not all, or if too many pages are written. */
static bool visit_heap(struct karena_uheap *uh, const struct karena_visitor *visitor)
{
	if (!karena_is_planted(KARENA_PLANT_INFLIGHT_MISSED) &&
	    !visit_inflight(uh, visitor->word, visitor->arg))
		return false;
	uh->stop->crowded = !karena_pages_visit(uh, visitor->word, visitor->arg,
						uh->stop->most_pages);
	return !uh->stop->crowded;
}

/* Looks at all that stands still; false if it did not. */
static bool visit_all(struct karena_uheap *uh, const struct karena_visitor *visitor, bool snapshot)
{
	unsigned int i;

	if (visitor->begin)
		visitor->begin(visitor->arg);
	note_switches(uh->stop);
	if (snapshot && !visit_heap(uh, visitor))
		return false;
	/* The check, later on, is to find nothing that this did not. */
	karena_scan_begin(uh->stop->scan, visitor, snapshot && uh->heap.gc->params.check);
	for (i = 0; i < uh->stop->nr; i++)
		if (!scan_process(uh, uh->stop->process[i]))
			return false;
	if (!karena_scan_end(uh->stop->scan))
		return false;
	if (karena_is_planted(KARENA_PLANT_MOVED_UNSEEN) ||
	    karena_is_planted(KARENA_PLANT_NOT_STOPPED))
		return true;
	return !moved(uh);
}

/* For the report: whoever runs now that all should stand. */
static void note_blocker(struct karena_stop *stop)
{
	struct thread *thread = running(stop);

	stop->blocker_pid = thread ? thread->task->pid : 0;
	strscpy(stop->blocker, thread ? thread->task->comm : "", sizeof(stop->blocker));
}

static bool try_stop(struct karena_uheap *uh, const struct karena_visitor *visitor, bool snapshot)
{
	struct karena_stop *stop = uh->stop;
	u64 begin = ktime_get_mono_fast_ns(), end = begin + STOP_LIMIT;
	unsigned int looks = 0;
	bool all, done;

	hurry(stop);
	/* Pairs with the barrier in park(). */
	smp_store_mb(stop->gate->stopping, stop->gate->stopping + 1);
	stop->crowded = false;
	do {
		all = stop_all(uh, end);
		done = all && visit_all(uh, visitor, snapshot);
		looks += all;
	} while (!done && !stop->crowded &&
		 ((all && looks < LOOKS) || ktime_get_mono_fast_ns() < end));
	if (!done)
		note_blocker(stop);
	else if (visitor->standing)
		visitor->standing(visitor->arg);
	release(stop);
	calm_down(stop);
	/* A check takes what it takes. */
	if (snapshot || visitor->standing)
		karena_count_stop(uh->heap.gc, ktime_get_mono_fast_ns() - begin, done);
	return done;
}

static const char *why_not(const struct karena_stop *stop)
{
	if (stop->crowded)
		return "too much is written to at once";
	return all_born(stop) ? "threads stop, but not all at once" : "a fork() is not over";
}

static void report(struct karena_uheap *uh, const struct karena_visitor *visitor, bool snapshot)
{
	const char *what = snapshot ? "cycle" : visitor->standing ? "dump" : "check";
	struct karena_stop *stop = uh->stop;

	if (stop->blocker_pid)
		pr_warn("heap %u (%s): a %s is put off: thread %d (%s) does not stop\n",
			uh->heap.id, uh->heap.name, what, stop->blocker_pid, stop->blocker);
	else
		pr_warn("heap %u (%s): a %s is put off: %s\n", uh->heap.id, uh->heap.name, what,
			why_not(stop));
}

/*
 * After an attempt has failed: what has been written since the last rounds is protected
 * as well.  If that does not help, a longer stop is better than none.
 */
static void prepare_again(struct karena_uheap *uh)
{
	struct karena_stop *stop = uh->stop;

	if (stop->crowded && stop->most_pages <= UINT_MAX / 2)
		stop->most_pages *= 2;
	karena_pages_protect(uh);
}

/*
 * Stops all threads and visits each word that may be a reference and is not in the
 * heap; for the @snapshot also those in pages that may change unseen from here on.
 * Tries until it has succeeded, or the visitor has enough of it: false then.  Called by a
 * kernel thread; sleeps.
 */
bool karena_stopped(struct karena_heap *heap, const struct karena_visitor *visitor,
		    bool snapshot)
{
	struct karena_uheap *uh = to_uheap(heap);
	u64 begin = ktime_get_mono_fast_ns();
	unsigned int backoff = 1;
	bool reported = false, done;

	fill_spares(uh->stop, 0);
	uh->stop->most_pages = MOST_PAGES;
	while (!(done = try_stop(uh, visitor, snapshot))) {
		if (visitor->again && !visitor->again(visitor->arg))
			break;
		if (!reported && ktime_get_mono_fast_ns() - begin > REPORT_AFTER) {
			report(uh, visitor, snapshot);
			reported = true;
		}
		if (!uh->stop->crowded) {
			msleep(backoff);
			backoff = min(2 * backoff, MOST_BACKOFF);
		}
		if (snapshot)
			prepare_again(uh);
	}
	forget_threads(uh->stop, false);
	put_processes(uh->stop);
	return done;
}

/*
 * For calls of programs, outside of sections: a long one does not keep a stop waiting,
 * nor look like a thread that moves.  Sleeps.
 */
void karena_stand(struct karena_uheap *uh)
{
	struct gate *gate;
	u64 stop;

	cond_resched();
	if (!uh->stop)
		return;
	gate = uh->stop->gate;
	stop = READ_ONCE(gate->stopping);
	if (READ_ONCE(gate->released) < stop)
		wait_event_killable(gate->parked, READ_ONCE(gate->released) >= stop);
	karena_pages_hold(uh);
}

/* When the module goes: nobody is on the way out of park(). */
void karena_stops_end(void)
{
	synchronize_rcu_tasks();
}

int karena_stop_init(struct karena_uheap *uh)
{
	struct karena_stop *stop = kzalloc(sizeof(*stop), GFP_KERNEL_ACCOUNT);

	if (!stop)
		return -ENOMEM;
	hash_init(stop->threads);
	stop->scan = karena_scan_new(uh);
	stop->gate = kzalloc(sizeof(*stop->gate), GFP_KERNEL_ACCOUNT);
	if (!stop->scan || !stop->gate) {
		karena_scan_delete(stop->scan);
		kfree(stop->gate);
		kfree(stop);
		return -ENOMEM;
	}
	refcount_set(&stop->gate->ref, 1);
	init_waitqueue_head(&stop->gate->parked);
	init_waitqueue_head(&stop->gate->arrivals);
	uh->stop = stop;
	return 0;
}

void karena_stop_exit(struct karena_uheap *uh)
{
	struct karena_stop *stop = uh->stop;
	struct hlist_node *next;
	struct thread *thread;

	if (!stop)
		return;
	forget_threads(stop, true);
	hlist_for_each_entry_safe(thread, next, &stop->spares, node)
		put_thread(thread);
	put_processes(stop);
	kvfree(stop->process);
	karena_scan_delete(stop->scan);
	put_gate(stop->gate);
	kfree(stop);
}
