// SPDX-License-Identifier: GPL-2.0
/*
 * The heap profile, as Go's and tcmalloc's: of all bytes that are allocated some are
 * sample points, at distances that are exponentially distributed, and an object that one
 * falls on is sampled: with the stack of who asked for it.  An object of n bytes is so
 * with a probability of 1 - exp(-n / rate), by which who reads the profile divides.
 *
 * A sampled object has a span of its own, as large ones do, of which no magazine has any
 * (karena_large_alloc_sampled()).  So its free is seen, whoever's it is, without any cost
 * to others, and so is a sweep that finds it dead.
 *
 * Who finds out that an object is to be sampled is the caller: programs take most objects
 * from magazines without a call, which count for that what is taken (user/magazine.c).
 *
 * Objects with the same stack, size, process and rate are counted together.  Those never
 * go, so they are read without a lock; what is counted, and span->sample, are guarded by
 * profile->lock, a leaf of the lock order.
 *
 * In a heap that is collected what is told is, as in Go, how it was at the snapshot of the
 * last complete cycle: else what has been allocated since would count as in use before
 * anybody had a chance to find it dead.  An object that is born in cycle n is told of after
 * n + 1, and that it is gone as well, or later.
 */
#include <linux/compat.h>
#include <linux/jhash.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/pid.h>
#include <linux/random.h>
#include <linux/rculist.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/stacktrace.h>
#include <linux/uaccess.h>

#include "kmod/gc/gc.h"
#include "profile.h"

#define TABLE_BITS	10
#define MAX_KERNEL	32u
#define FRACTION	24		/* bits behind the point */
#define LN_2		11629080ULL	/* with so many */

struct counts {
	u64 allocs;
	u64 frees;
};

/* Objects of one size from one place; but for the counts it never changes. */
struct bucket {
	struct hlist_node node;
	u32 hash;
	struct counts told;
	struct counts coming[2];	/* to be told of after cycles told_at + 1 and + 2 */
	u32 told_at;

	struct pid *pid;
	u64 size;
	u64 rate;
	u16 nr_user;
	u16 nr_kernel;
	u64 frame[];			/* of user space, then of the kernel */
};

struct karena_sample {
	struct bucket *bucket;		/* where it is counted */
	u32 born;			/* heap->cycle then */
	bool told;			/* by its process, where it comes from */
};

struct karena_profiler {
	u64 rate;			/* mean bytes to the next sample point, 0: off */
	s64 __percpu *left;		/* to the next one, for calls on this CPU */
	spinlock_t lock;
	struct hlist_head table[BIT(TABLE_BITS)];
	size_t bytes;
	u64 samples;
	u64 lost;			/* without memory for them, or with no stack */
};

/* Where an object comes from, in the making. */
struct place {
	struct pid *pid;
	u64 size;
	u64 rate;
	unsigned int nr_user;
	unsigned int nr_kernel;
	u64 frame[KARENA_MAX_FRAMES + MAX_KERNEL];
};

/* --- when to sample --- */

/* log2(n) with FRACTION bits behind the point: digit by digit, by squaring. */
static u64 log2_of(u64 n)
{
	unsigned int whole = ilog2(n), i;
	u64 x = n << 31 >> whole, log = whole;

	for (i = 0; i < FRACTION; i++) {
		x = x * x >> 31;
		log <<= 1;
		if (x >> 32) {
			x >>= 1;
			log |= 1;
		}
	}
	return log;
}

/* A number that is exponentially distributed; @mean up to 2^40. */
u64 karena_exponential(u64 mean)
{
	u64 uniform = (u64)get_random_u32() + 1;

	return mul_u64_u64_div_u64(mean, ((32ULL << FRACTION) - log2_of(uniform)) * LN_2,
				   1ULL << 2 * FRACTION);
}

KARENA_EXPORT_TEST(karena_exponential);

static struct karena_profiler *profiler_of(struct karena_heap *heap)
{
	/* Pairs with the cmpxchg in karena_profile_set(). */
	return READ_ONCE(heap->profiler);
}

u64 karena_profile_rate(struct karena_heap *heap)
{
	struct karena_profiler *p = profiler_of(heap);

	/* May change at any time. */
	return p ? READ_ONCE(p->rate) : 0;
}

/* Bytes to the next sample point. */
u64 karena_profile_draw(struct karena_heap *heap)
{
	return karena_exponential(karena_profile_rate(heap));
}

/* How many of the next @most objects that a call is for are before one to be sampled. */
unsigned int karena_profile_before(struct karena_heap *heap, size_t size, unsigned int most)
{
	s64 left;

	if (!karena_profile_rate(heap))
		return most;
	left = raw_cpu_read(*profiler_of(heap)->left);
	return left < 0 ? 0 : min_t(u64, most, div64_u64(left, size));
}

/* So many bytes have been allocated by calls. */
void karena_profile_count(struct karena_heap *heap, size_t bytes)
{
	if (karena_profile_rate(heap))
		this_cpu_sub(*profiler_of(heap)->left, bytes);
}

/* One of them has been sampled. */
void karena_profile_again(struct karena_heap *heap)
{
	this_cpu_write(*profiler_of(heap)->left, karena_profile_draw(heap));
}

/* --- counting --- */

static void tell(struct bucket *bucket, u32 cycle)
{
	struct counts *coming = &bucket->coming[cycle & 1];

	bucket->told.allocs += coming->allocs;
	bucket->told.frees += coming->frees;
	*coming = (struct counts){};
}

/* Whatever the last complete cycle has settled is told from here on. */
static void settle(struct bucket *bucket, u32 done)
{
	s32 n = done - bucket->told_at;

	if (n <= 0)
		return;
	tell(bucket, bucket->told_at + 1);
	if (n > 1)
		tell(bucket, bucket->told_at + 2);
	bucket->told_at = done;
}

static u32 cycles_done(struct karena_heap *heap)
{
	/* Written at the end of each cycle. */
	return heap->gc ? READ_ONCE(heap->gc->done) : 0;
}

/* Where something is counted that is to be told after cycle @when. */
static struct counts *counts_at(struct karena_heap *heap, struct bucket *bucket, u32 when)
{
	u32 done = cycles_done(heap);

	settle(bucket, done);
	return !heap->gc || (s32)(when - done) <= 0 ? &bucket->told : &bucket->coming[when & 1];
}

/* The cycle under way, or the last one: read first, it is one ahead of cycles_done() at most. */
static u32 cycle_now(struct karena_heap *heap)
{
	u32 cycle = READ_ONCE(heap->cycle);

	/* Pairs with gc->cycle_lock: who begins one has written that the last is done. */
	smp_rmb();
	return cycle;
}

/* After which cycle it is told that an object is gone. */
static u32 told_gone(struct karena_heap *heap, const struct karena_sample *sample)
{
	u32 now = cycle_now(heap);

	/* What a sweep finds dead was so at the snapshot; anything else happens after it. */
	if (READ_ONCE(heap->head.phase) != KARENA_SWEEP)
		now++;
	return (s32)(now - (sample->born + 1)) > 0 ? now : sample->born + 1;
}

/* A sampled object is gone, its span about to be: of alloc/large.c. */
static void gone(struct karena_heap *heap, struct karena_span *span)
{
	struct karena_profiler *p = heap->profiler;
	struct karena_sample *sample;
	unsigned long flags;

	spin_lock_irqsave(&p->lock, flags);
	sample = span->sample;
	span->sample = NULL;
	if (!karena_is_planted(KARENA_PLANT_FREE_UNSEEN))
		counts_at(heap, sample->bucket, told_gone(heap, sample))->frees++;
	spin_unlock_irqrestore(&p->lock, flags);
	kfree(sample);
}

/* --- places --- */

static u32 hash_of(const struct place *place)
{
	u32 hash = jhash(place->frame, (place->nr_user + place->nr_kernel) * sizeof(u64),
			 place->nr_user);

	hash = jhash(&place->size, sizeof(place->size), hash);
	hash = jhash(&place->rate, sizeof(place->rate), hash);
	return jhash(&place->pid, sizeof(place->pid), hash);
}

static bool is_of(const struct bucket *bucket, u32 hash, const struct place *place)
{
	return bucket->hash == hash && bucket->pid == place->pid &&
	       bucket->size == place->size && bucket->rate == place->rate &&
	       bucket->nr_user == place->nr_user && bucket->nr_kernel == place->nr_kernel &&
	       !memcmp(bucket->frame, place->frame,
		       (place->nr_user + place->nr_kernel) * sizeof(u64));
}

static struct bucket *find(struct karena_profiler *p, u32 hash, const struct place *place)
{
	struct bucket *bucket;

	hlist_for_each_entry(bucket, &p->table[hash >> (32 - TABLE_BITS)], node)
		if (is_of(bucket, hash, place))
			return bucket;
	return NULL;
}

static size_t bytes_of(const struct place *place)
{
	return struct_size_t(struct bucket, frame, place->nr_user + place->nr_kernel);
}

static struct bucket *make(struct karena_heap *heap, u32 hash, const struct place *place)
{
	struct bucket *bucket = kzalloc(bytes_of(place), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);

	if (!bucket)
		return NULL;
	bucket->hash = hash;
	bucket->pid = get_pid(place->pid);
	bucket->size = place->size;
	bucket->rate = place->rate;
	bucket->nr_user = place->nr_user;
	bucket->nr_kernel = place->nr_kernel;
	bucket->told_at = cycles_done(heap);
	memcpy(bucket->frame, place->frame, (place->nr_user + place->nr_kernel) * sizeof(u64));
	return bucket;
}

static void bucket_delete(struct bucket *bucket)
{
	if (bucket)
		put_pid(bucket->pid);
	kfree(bucket);
}

/* The bucket of a place, made if there is room for one; else NULL. */
static struct bucket *bucket_of(struct karena_heap *heap, const struct place *place, size_t room)
{
	struct karena_profiler *p = heap->profiler;
	struct bucket *bucket, *made;
	u32 hash = hash_of(place);

	spin_lock_irq(&p->lock);
	bucket = find(p, hash, place);
	spin_unlock_irq(&p->lock);
	if (bucket)
		return bucket;
	made = make(heap, hash, place);
	if (!made)
		return NULL;
	spin_lock_irq(&p->lock);
	bucket = find(p, hash, place);
	if (!bucket && p->bytes + bytes_of(place) <= room) {
		p->bytes += bytes_of(place);
		atomic_long_add(bytes_of(place), &heap->meta);
		/* Pairs with the walk of karena_profile_read(). */
		hlist_add_head_rcu(&made->node, &p->table[hash >> (32 - TABLE_BITS)]);
		swap(bucket, made);
	}
	spin_unlock_irq(&p->lock);
	bucket_delete(made);
	return bucket;
}

/* The same; without room for its stack, that of all objects of its size. */
static struct bucket *bucket_or_rest(struct karena_heap *heap, struct place *place)
{
	struct karena_profiler *p = heap->profiler;
	struct bucket *bucket = bucket_of(heap, place, KARENA_PROFILE_ROOM - SZ_64K);

	if (bucket)
		return bucket;
	spin_lock_irq(&p->lock);
	p->lost++;
	spin_unlock_irq(&p->lock);
	place->nr_user = 0;
	place->nr_kernel = 0;
	return bucket_of(heap, place, KARENA_PROFILE_ROOM);
}

/*
 * The stack of a program by its frame pointers, as far as it has such and is in memory:
 * a cycle waits for us.
 */
static unsigned int walk_user(u64 *frame, unsigned int room)
{
	struct pt_regs *regs = task_pt_regs(current);
	unsigned long at, link[2];
	unsigned int nr = 0;

	if (!current->mm || in_compat_syscall())
		return 0;
	at = karena_user_frame(regs);
	frame[nr++] = instruction_pointer(regs);
	while (nr < room && at && IS_ALIGNED(at, sizeof(at)) &&
	       !copy_from_user_nofault(link, (void __user *)at, sizeof(link)) && link[1]) {
		frame[nr++] = link[1];
		/* Upwards only: it may be anything. */
		if (link[0] <= at)
			break;
		at = link[0];
	}
	return nr;
}

/* That of the kernel, if it works for itself and not for a call of a program. */
static unsigned int walk_kernel(u64 *frame)
{
	static_assert(sizeof(unsigned long) == sizeof(u64));

	return stack_trace_save((unsigned long *)frame, MAX_KERNEL, 2);
}

/* --- samples --- */

/* Counts an object that is about to be made; NULL without memory. */
static struct karena_sample *sample_new(struct karena_heap *heap, size_t size, bool kernel)
{
	struct karena_profiler *p = heap->profiler;
	struct karena_sample *sample = kzalloc(sizeof(*sample), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	struct place *place = kmalloc(sizeof(*place), GFP_KERNEL | __GFP_NOWARN);

	if (!sample || !place)
		goto fail;
	place->pid = task_tgid(current);
	place->size = size;
	place->rate = karena_profile_rate(heap) ?: 1;
	place->nr_user = walk_user(place->frame, KARENA_MAX_FRAMES);
	place->nr_kernel = kernel ? walk_kernel(place->frame + place->nr_user) : 0;
	sample->bucket = bucket_or_rest(heap, place);
	if (!sample->bucket)
		goto fail;
	kfree(place);
	spin_lock_irq(&p->lock);
	sample->born = cycle_now(heap);
	counts_at(heap, sample->bucket, sample->born + 1)->allocs++;
	p->samples++;
	spin_unlock_irq(&p->lock);
	return sample;
fail:
	spin_lock_irq(&p->lock);
	p->lost++;
	spin_unlock_irq(&p->lock);
	kfree(place);
	kfree(sample);
	return NULL;
}

/* There is no such object after all. */
static void sample_drop(struct karena_heap *heap, struct karena_sample *sample)
{
	struct karena_profiler *p = heap->profiler;

	spin_lock_irq(&p->lock);
	counts_at(heap, sample->bucket, sample->born + 1)->allocs--;
	p->samples--;
	p->lost++;
	spin_unlock_irq(&p->lock);
	kfree(sample);
}

/*
 * An object that is sampled, in a heap that has been for once; 0 if it cannot be: then it
 * is to be had as any other.  May sleep, and read the caller's memory.
 */
unsigned long karena_sample_alloc(struct karena_heap *heap, size_t size,
				  const struct karena_layout *layout, unsigned int flags,
				  gfp_t gfp)
{
	struct karena_sample *sample;
	unsigned long addr;

	if (size <= KARENA_MAX_SMALL)
		size = karena_class_size[karena_size_to_class(size)];
	else
		size = round_up(size, KARENA_PAGE_SIZE);
	sample = sample_new(heap, size, flags & KARENA_SAMPLE_KERNEL);
	if (!sample)
		return 0;
	addr = karena_large_alloc_sampled(heap, size, layout, flags & ~KARENA_SAMPLE_KERNEL, gfp,
					  sample);
	if (!addr)
		sample_drop(heap, sample);
	return addr;
}

/* From where it comes, by who asked for it, and knows better; once. */
static struct karena_sample *untold(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span = karena_span_at(heap, addr);

	if (!span || span->base != addr || !span->sample || span->sample->told ||
	    span->sample->bucket->pid != task_tgid(current))
		return NULL;
	return span->sample;
}

/* -ENOENT if no sampled object of the caller's begins there that has not been told of. */
int karena_sample_tell(struct karena_heap *heap, unsigned long addr, const u64 *frames,
		       unsigned int nr)
{
	struct karena_profiler *p = profiler_of(heap);
	struct karena_sample *sample;
	struct bucket *bucket;
	struct place *place;

	if (!p)
		return -ENOENT;
	place = kmalloc(sizeof(*place), GFP_KERNEL | __GFP_NOWARN);
	if (!place)
		return -ENOMEM;
	spin_lock_irq(&p->lock);
	rcu_read_lock();
	sample = untold(heap, addr);
	if (sample) {
		place->pid = sample->bucket->pid;
		place->size = sample->bucket->size;
		place->rate = sample->bucket->rate;
	}
	rcu_read_unlock();
	spin_unlock_irq(&p->lock);
	if (!sample) {
		kfree(place);
		return -ENOENT;
	}
	place->nr_user = nr;
	place->nr_kernel = 0;
	memcpy(place->frame, frames, nr * sizeof(*frames));
	bucket = bucket_or_rest(heap, place);
	kfree(place);
	if (!bucket)
		return -ENOMEM;
	spin_lock_irq(&p->lock);
	rcu_read_lock();
	/* It may have been freed meanwhile, and be another. */
	sample = untold(heap, addr);
	if (sample && sample->bucket->size == bucket->size) {
		counts_at(heap, sample->bucket, sample->born + 1)->allocs--;
		counts_at(heap, bucket, sample->born + 1)->allocs++;
		sample->bucket = bucket;
		sample->told = true;
	}
	rcu_read_unlock();
	spin_unlock_irq(&p->lock);
	return sample ? 0 : -ENOENT;
}

/* --- on and off --- */

static struct karena_profiler *profiler_new(void)
{
	struct karena_profiler *p = kvzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);

	if (!p)
		return NULL;
	p->left = alloc_percpu_gfp(s64, GFP_KERNEL_ACCOUNT);
	if (!p->left) {
		kvfree(p);
		return NULL;
	}
	spin_lock_init(&p->lock);
	p->bytes = sizeof(*p);
	return p;
}

static void profiler_delete(struct karena_profiler *p)
{
	free_percpu(p->left);
	kvfree(p);
}

/* A heap's objects are sampled from here on, one in @rate bytes; 0: no more.  May sleep. */
int karena_profile_set(struct karena_heap *heap, u64 rate)
{
	struct karena_profiler *p = profiler_of(heap);
	unsigned int cpu;

	if (!p && !rate)
		return 0;
	if (!p) {
		p = profiler_new();
		if (!p)
			return -ENOMEM;
		heap->gone = gone;
		if (cmpxchg(&heap->profiler, NULL, p)) {
			profiler_delete(p);
			p = profiler_of(heap);
		} else {
			atomic_long_add(sizeof(*p), &heap->meta);
		}
	}
	WRITE_ONCE(p->rate, rate);
	for_each_possible_cpu(cpu)
		/* Calls may be counting there: whichever comes last is right. */
		WRITE_ONCE(*per_cpu_ptr(p->left, cpu), karena_exponential(rate));
	return 0;
}

/* All spans are gone.  May sleep. */
void karena_profile_exit(struct karena_heap *heap)
{
	struct karena_profiler *p = heap->profiler;
	struct hlist_node *next;
	struct bucket *bucket;
	unsigned int i;

	if (!p)
		return;
	atomic_long_sub(p->bytes, &heap->meta);
	for (i = 0; i < ARRAY_SIZE(p->table); i++)
		hlist_for_each_entry_safe(bucket, next, &p->table[i], node)
			bucket_delete(bucket);
	profiler_delete(p);
	heap->profiler = NULL;
}

/* --- reading --- */

/* What is written to a program, as far as it has room. */
struct output {
	char __user *to;
	u64 room;
	u64 length;			/* with what had no room */
};

static int put(struct output *out, const void *from, size_t bytes)
{
	if (out->room - min(out->length, out->room) >= bytes &&
	    copy_to_user(out->to + out->length, from, bytes))
		return -EFAULT;
	out->length += bytes;
	return 0;
}

/* Names, as addresses are not for programs. */
static int put_kernel(struct output *out, const struct bucket *bucket)
{
	char name[KARENA_FUNCTION_LEN];
	unsigned int i;
	int err = 0;

	for (i = 0; i < bucket->nr_kernel && !err; i++) {
		memset(name, 0, sizeof(name));
		scnprintf(name, sizeof(name), "%ps",
			  (void *)(unsigned long)bucket->frame[bucket->nr_user + i]);
		err = put(out, name, sizeof(name));
	}
	return err;
}

static int put_bucket(struct output *out, const struct bucket *bucket, const struct counts *counts)
{
	struct karena_profile_record record = {
		.size = sizeof(record) + bucket->nr_user * sizeof(u64) +
			bucket->nr_kernel * KARENA_FUNCTION_LEN,
		.pid = pid_vnr(bucket->pid),
		.object_size = bucket->size,
		.rate = bucket->rate,
		.allocs = counts->allocs,
		.frees = counts->frees,
		.nr_frames = bucket->nr_user,
		.nr_functions = bucket->nr_kernel,
	};
	int err;

	/* All of it or nothing. */
	if (out->length > out->room || out->room - out->length < record.size) {
		out->length += record.size;
		return 0;
	}
	rcu_read_lock();
	record.gone = !pid_task(bucket->pid, PIDTYPE_TGID);
	rcu_read_unlock();
	err = put(out, &record, sizeof(record));
	if (!err)
		err = put(out, bucket->frame, bucket->nr_user * sizeof(u64));
	return err ?: put_kernel(out, bucket);
}

/* All that there is to tell; @req is told how much, and how often. */
int karena_profile_read(struct karena_heap *heap, struct karena_profile *req)
{
	struct output out = { .to = u64_to_user_ptr(req->records), .room = req->length };
	struct karena_profiler *p = profiler_of(heap);
	struct bucket *bucket;
	struct counts counts;
	unsigned int i;
	int err = 0;

	req->rate = karena_profile_rate(heap);
	req->samples = 0;
	req->lost = 0;
	req->length = 0;
	if (!p)
		return 0;
	for (i = 0; i < ARRAY_SIZE(p->table); i++) {
		/* They never go: no RCU. */
		for (bucket = hlist_entry_safe(READ_ONCE(p->table[i].first), struct bucket, node);
		     bucket && !err;
		     bucket = hlist_entry_safe(READ_ONCE(bucket->node.next), struct bucket, node)) {
			spin_lock_irq(&p->lock);
			settle(bucket, cycles_done(heap));
			counts = bucket->told;
			spin_unlock_irq(&p->lock);
			if (counts.allocs)
				err = put_bucket(&out, bucket, &counts);
			cond_resched();
		}
	}
	spin_lock_irq(&p->lock);
	req->samples = p->samples;
	req->lost = p->lost;
	spin_unlock_irq(&p->lock);
	req->length = out.length;
	return err;
}
