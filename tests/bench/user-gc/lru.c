// SPDX-License-Identifier: GPL-2.0
/*
 * A cache that several processes share: entries, their lists and the values are in a
 * collected heap, whatever is dropped is garbage, and nobody calls free.  One process
 * after the other is killed, in the middle of whatever it does, and started again.
 *
 *	usage: lru [SECONDS [PROCESSES]]
 *
 * A part of the cache whose owner dies with its lock held is emptied by the next one.
 * Each value that is found is compared with its key: what is lost or used twice is seen.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layer.h"
#include "gaps.h"

#define SHARDS 64
#define BUCKETS 1024
#define ROOM 1024			/* entries of a shard: 64 MiB of values in all */
#define VALUE 1024			/* bytes */
#define KEYS (3 * SHARDS * ROOM / 2)
#define MAX_PROCESSES 16

struct entry {
	struct entry *chain, *newer, *older;
	__u64 *value;
	__u64 key;
};

struct shard {
	pthread_mutex_t lock;
	struct entry *bucket[BUCKETS];
	struct entry *newest, *oldest;
	unsigned long nr;
};

/* Of a process: in memory that outlives it. */
struct worker {
	pid_t pid;
	__u64 state;
	__u64 operations, hits, emptied, wrong;
	struct gaps gaps;
};

static struct shard *shards[SHARDS];
static struct karena_type entry_type;
static struct worker *workers;

static __u64 next(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* --- one shard; its lock is held --- */

static void empty(struct shard *shard)
{
	memset(shard->bucket, 0, sizeof(shard->bucket));
	shard->newest = NULL;
	shard->oldest = NULL;
	shard->nr = 0;
}

static struct entry **bucket_of(struct shard *shard, __u64 key)
{
	return &shard->bucket[key / SHARDS % BUCKETS];
}

static void unlink_entry(struct shard *shard, struct entry *entry)
{
	*(entry->newer ? &entry->newer->older : &shard->newest) = entry->older;
	*(entry->older ? &entry->older->newer : &shard->oldest) = entry->newer;
}

static void link_newest(struct shard *shard, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = shard->newest;
	*(shard->newest ? &shard->newest->newer : &shard->oldest) = entry;
	shard->newest = entry;
}

/*
 * Nothing leads from what is out to what comes after: a stale word on a stack that looks
 * like a reference to it would keep all entries since.
 */
static void evict(struct shard *shard)
{
	struct entry *entry = shard->oldest, **at;

	for (at = bucket_of(shard, entry->key); *at != entry; at = &(*at)->chain)
		;
	*at = entry->chain;
	unlink_entry(shard, entry);
	entry->chain = NULL;
	entry->newer = NULL;
	entry->older = NULL;
	shard->nr--;
}

static __u64 *make_value(__u64 key)
{
	__u64 *value = make_bytes(VALUE);

	value[0] = key;
	value[VALUE / 8 - 1] = ~key;
	return value;
}

static void insert(struct shard *shard, __u64 key)
{
	struct entry *entry = need(karena_new(heap, entry_type));

	entry->key = key;
	entry->value = make_value(key);
	if (shard->nr == ROOM)
		evict(shard);
	entry->chain = *bucket_of(shard, key);
	*bucket_of(shard, key) = entry;
	link_newest(shard, entry);
	shard->nr++;
}

/* Reads, or one time of eight writes, the value of a key. */
static void use(struct shard *shard, __u64 key, bool write, struct worker *self)
{
	struct entry *entry = *bucket_of(shard, key);

	while (entry && entry->key != key)
		entry = entry->chain;
	if (!entry) {
		insert(shard, key);
		return;
	}
	self->hits++;
	self->wrong += entry->value[0] != key || entry->value[VALUE / 8 - 1] != ~key;
	if (write)
		entry->value = make_value(key);
	unlink_entry(shard, entry);
	link_newest(shard, entry);
}

static void lock(struct shard *shard, struct worker *self)
{
	int err = pthread_mutex_lock(&shard->lock);

	if (err == EOWNERDEAD) {
		empty(shard);
		pthread_mutex_consistent(&shard->lock);
		self->emptied++;
	} else if (err) {
		errno = err;
		need(NULL);
	}
}

/* --- processes --- */

/* Most of what is asked for is in a fifth of the keys. */
static __u64 some_key(__u64 random)
{
	__u64 key = random >> 16;

	return random % 5 ? key % (KEYS / 5) : key % KEYS;
}

static void work(struct worker *self)
{
	__u64 rate = ticks_per_us(), last = ticks(), random, key, now;
	struct shard *shard;

	for (;;) {
		random = next(&self->state);
		key = some_key(random);
		shard = shards[key % SHARDS];
		lock(shard, self);
		use(shard, key, !(random >> 8 & 7), self);
		pthread_mutex_unlock(&shard->lock);
		now = ticks();
		gap_add(&self->gaps, (now - last) / rate);
		last = now;
		self->operations++;
	}
}

static void start(struct worker *worker)
{
	pid_t pid = fork();

	if (!pid) {
		work(worker);
		_exit(0);
	}
	if (pid < 0)
		need(NULL);
	worker->pid = pid;
}

static void stop(struct worker *worker)
{
	int status;

	kill(worker->pid, SIGKILL);
	waitpid(worker->pid, &status, 0);
	if (!WIFSIGNALED(status)) {
		fprintf(stderr, "a process has ended by itself\n");
		exit(1);
	}
}

static void begin(void)
{
	pthread_mutexattr_t attr;
	unsigned int i;

	layer_begin(0);
	entry_type = KARENA_TYPE(heap, struct entry, chain, newer, older, value);
	if (!entry_type.id)
		need(NULL);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (i = 0; i < SHARDS; i++) {
		shards[i] = need(karena_alloc(heap, sizeof(struct shard)));
		pthread_mutex_init(&shards[i]->lock, &attr);
	}
}

/* Memory that the heap holds, and what it takes to know where it is. */
static __u64 held(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	if (karena_stats(heap, &info))
		need(NULL);
	return info.held_bytes + info.meta_bytes;
}

static void report(unsigned int processes, __u64 us, __u64 most)
{
	struct worker sum = { 0 };
	struct gaps *gaps = &workers[0].gaps;
	unsigned int i, j;

	for (i = 0; i < processes; i++) {
		sum.operations += workers[i].operations;
		sum.hits += workers[i].hits;
		sum.emptied += workers[i].emptied;
		sum.wrong += workers[i].wrong;
		for (j = 0; i && j < workers[i].gaps.nr; j++)
			gap_add(gaps, workers[i].gaps.us[j]);
	}
	gaps->length = us * processes;
	printf("operations=%llu per_s=%llu hits=%llu emptied=%llu wrong=%llu held=%llu ",
	       sum.operations, sum.operations * 1000000 / us, sum.hits, sum.emptied, sum.wrong,
	       most);
	gaps_report(gaps);
	layer_report();
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? atoi(argv[1]) : 60;
	unsigned int processes = argc > 2 ? atoi(argv[2]) : 4;
	__u64 most = 0, now, at;
	unsigned int i;

	if (processes > MAX_PROCESSES)
		return 2;
	workers = shared_memory(processes * sizeof(*workers));
	begin();
	at = now_ns();
	for (i = 0; i < processes; i++) {
		workers[i].state = 88172645463325252ULL + i;
		start(&workers[i]);
	}
	for (i = 0; i < seconds * 10; i++) {
		usleep(100000);
		now = held();
		most = now > most ? now : most;
		if (i % 10 == 9) {
			stop(&workers[i / 10 % processes]);
			start(&workers[i / 10 % processes]);
		}
	}
	for (i = 0; i < processes; i++)
		stop(&workers[i]);
	report(processes, (now_ns() - at) / 1000, most);
	return 0;
}
