// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of what a heap is made of, and dumps: spans with their live objects, types,
 * magazines are what the test knows of them; a dump is of one moment, with all roots of
 * that moment, whatever programs do meanwhile and whoever is killed at it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "kill.h"
#include "tap.h"

#define OBJECTS	3000u
#define ROOM	(1U << 20)

/* All records of a list, one behind the other; ends with one of size 0. */
static char *read_list(int fd, unsigned long cmd, __u32 id, __u32 flags, __u64 room)
{
	struct karena_list req = { .size = sizeof(req), .id = id, .flags = flags };
	__u64 total = 0, most = 2 * ROOM;
	char *all = calloc(1, most + 8);

	do {
		if (most - total < room)
			all = realloc(all, 2 * most + 8);
		most *= most - total < room ? 2 : 1;
		req.records = as_addr(all + total);
		req.length = room;
		if (!check_ret(kioctl(fd, cmd, &req), 0))
			break;
		check(req.length <= room);
		total += req.length;
	} while (req.from);
	memset(all + total, 0, 8);
	return all;
}

/* The next record of any list: all begin with their size. */
static const void *behind(const void *record)
{
	return (const char *)record + *(const __u32 *)record;
}

static int dump_of(int fd, __u32 id)
{
	struct karena_dump req = { .size = sizeof(req), .id = id, .fd = -1 };
	int ret;

	/* Threads may not have stood still. */
	while ((ret = kioctl(fd, KARENA_IOC_DUMP, &req)) == -EAGAIN)
		;
	return ret ? ret : req.fd;
}

/* --- spans --- */

struct known {
	__u64 addr;
	__u64 size;
	__u32 flags;
	bool seen;
};

static struct known known[OBJECTS];

static __u64 some_size(struct rng *rng)
{
	switch (rng_below(rng, 12)) {
	case 0:		return 1 + rng_below(rng, 200000);
	case 1:		return 1 + rng_below(rng, 30000);
	case 2 ... 5:	return 1 + rng_below(rng, 15);
	default:	return 1 + rng_below(rng, 1000);
	}
}

static void make_objects(struct heap *heap, struct rng *rng)
{
	unsigned int i;

	memset(known, 0, sizeof(known));
	for (i = 0; i < OBJECTS; i++) {
		known[i].size = some_size(rng);
		known[i].flags = rng_below(rng, 2) ? KARENA_ALLOC_NOSCAN : 0;
		known[i].addr = heap_new(heap->fd, known[i].size, known[i].flags);
		check(known[i].addr);
	}
	for (i = 0; i < OBJECTS; i++) {
		if (rng_below(rng, 3))
			continue;
		check_eq(heap_drop(heap->fd, known[i].addr), 0);
		known[i].addr = 0;
	}
}

static bool is_live(const struct karena_span_record *span, __u64 index)
{
	const __u64 *bits = (const void *)(span + 1);

	return bits[index / 64] >> index % 64 & 1;
}

/* Takes what lies in a span out of what is to be seen; how many of its objects. */
static unsigned int find_known(const struct karena_span_record *span)
{
	unsigned int i, n = 0;
	__u64 index, last = ~0ULL;

	for (i = 0; i < OBJECTS; i++) {
		if (known[i].addr - span->start >= span->length)
			continue;
		index = (known[i].addr - span->start) / span->object_size;
		check(is_live(span, index));
		check(known[i].size <= span->object_size);
		check_eq(!!(span->flags & KARENA_SPAN_NOSCAN),
			 !!(known[i].flags & KARENA_ALLOC_NOSCAN));
		check_eq(!!(span->flags & KARENA_SPAN_LARGE), known[i].size > KARENA_MAX_SMALL);
		known[i].seen = true;
		/* Several are packed into a block; those of one come together. */
		n += !(span->flags & KARENA_SPAN_PACKED) || index != last;
		last = index;
	}
	return n;
}

static void check_spans(int fd, __u64 room)
{
	char *all = read_list(fd, KARENA_IOC_SPANS, 0, KARENA_SPANS_LIVE, room);
	struct karena_heap_info info = { .size = sizeof(info) };
	__u64 end = 0, spans = 0, free_bytes = 0;
	const struct karena_span_record *span;
	unsigned int i, n;

	for (span = (void *)all; span->size; span = behind(span)) {
		check(span->start >= end);
		end = span->start + span->length;
		if (span->flags & KARENA_SPAN_FREE) {
			free_bytes += span->length;
			continue;
		}
		spans += span->length;
		n = find_known(span);
		if (!(span->flags & KARENA_SPAN_PACKED))
			check_eq(span->live, n);
		else
			check(span->live <= n);
	}
	free(all);
	for (i = 0; i < OBJECTS; i++) {
		check_eq(known[i].seen, known[i].addr != 0);
		known[i].seen = false;
	}
	check_ret(heap_info(fd, 0, 0, &info), 0);
	check_eq(info.span_bytes, spans);
	check_eq(info.free_bytes, free_bytes);
}

static void spans_are_what_is_there(void)
{
	struct heap heap;
	struct rng rng;
	int fd;

	rng_init(&rng, 1);
	if (!heap_open(&heap, WINDOW, 0))
		return;
	make_objects(&heap, &rng);
	/* Of the dump, where nothing is in magazines. */
	fd = dump_of(heap.fd, 0);
	if (check(fd >= 0)) {
		check_spans(fd, ROOM);
		check_spans(fd, 4096);
		close(fd);
	}
	fd = dump_of(heap.fd, heap.id);
	check(fd >= 0);
	heap_close(&heap);
	/* It is there without the heap. */
	check_spans(fd, ROOM);
	close(fd);
}

/* The span that one address is in, from its page on. */
static void spans_from_anywhere(void)
{
	struct karena_list req = { .size = sizeof(req), .length = 4096 };
	char room[4096] __attribute__((aligned(8)));
	const struct karena_span_record *span = (void *)room;
	struct heap heap;
	__u64 addr;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, 300000, 0);
	req.from = (addr - heap.base) / KARENA_PAGE_SIZE + 20;
	req.records = as_addr(room);
	if (check_ret(kioctl(heap.fd, KARENA_IOC_SPANS, &req), 0)) {
		check(req.length >= sizeof(*span));
		check_eq(span->start, addr);
		check_eq(span->objects, 1);
		check_eq(span->live, 1);
		check(span->object_size >= 300000);
		check_eq(req.from, 0);
	}
	req.from = heap.window / KARENA_PAGE_SIZE;
	req.length = 4096;
	check_ret(kioctl(heap.fd, KARENA_IOC_SPANS, &req), 0);
	check_eq(req.length, 0);
	heap_close(&heap);
}

/* --- types --- */

static void register_types(int fd, __u32 id[3])
{
	static const __u32 refs[] = { 0, 16, 24 };
	struct karena_register req[] = {
		{ .object_size = 40, .refs = as_addr(refs), .nr_refs = 3, .name = "pairs" },
		{ .object_size = 100, .flags = KARENA_TYPE_NOSCAN, .name = "bytes" },
		{ .object_size = 64, .flags = KARENA_TYPE_CONSERVATIVE, .name = "words" },
	};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		req[i].size = sizeof(req[i]);
		check_ret(kioctl(fd, KARENA_IOC_REGISTER, &req[i]), 0);
		id[i] = req[i].id;
	}
}

static void check_types(int fd, const __u32 id[3])
{
	static const char * const names[] = { "pairs", "bytes", "words" };
	static const __u32 refs[] = { 0, 16, 24, 0 };
	char *all = read_list(fd, KARENA_IOC_TYPES, 0, 0, 4096);
	const struct karena_type_record *type;
	unsigned int n = 0;

	for (type = (void *)all; type->size; type = behind(type)) {
		check_eq(type->id, id[n]);
		check(!strcmp(type->name, names[n]));
		check_eq(type->flags, n == 1 ? KARENA_TYPE_NOSCAN :
			 n == 2 ? KARENA_TYPE_CONSERVATIVE : 0);
		check_eq(type->nr_refs, n ? 0 : 3);
		check_eq(type->size, sizeof(*type) + (n ? 0 : sizeof(refs)));
		check(n || !memcmp(type + 1, refs, sizeof(refs)));
		/* One, and an array of ten. */
		check_eq(type->live_objects, 2);
		check(type->live_bytes >= 11 * type->element);
		n++;
	}
	check_eq(n, 3);
	free(all);
}

/* Each span of objects of a type says so, in the heap and in its dump. */
static void check_span_types(int fd, const __u32 id[3], __u64 addr[3][3])
{
	char *all = read_list(fd, KARENA_IOC_SPANS, 0, 0, ROOM);
	const struct karena_span_record *span;
	unsigned int i, j, n = 0;

	for (span = (void *)all; span->size; span = behind(span))
		for (i = 0; i < 3; i++)
			for (j = 0; j < 3; j++)
				if (addr[i][j] - span->start < span->length)
					n += check_eq(span->type, id[i]);
	check_eq(n, 9);
	free(all);
}

static void types_are_known(void)
{
	static __u64 addr[3][3];
	static const __u32 element[] = { 40, 100, 64 };
	struct heap heap;
	unsigned int i;
	__u32 id[3];
	int fd;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	check_ret(heap_root(heap.fd, addr, sizeof(addr), 0), 0);
	register_types(heap.fd, id);
	for (i = 0; i < 3; i++) {
		check_ret(heap_alloc_type(heap.fd, id[i], 0, 0, 1, &addr[i][0]), 0);
		check_ret(heap_alloc_type(heap.fd, id[i], 10 * element[i], 0, 1, &addr[i][1]), 0);
		check_ret(heap_alloc_type(heap.fd, id[i], 2000 * element[i], 0, 1, &addr[i][2]), 0);
	}
	check_types(heap.fd, id);
	check_span_types(heap.fd, id, addr);
	fd = dump_of(heap.fd, 0);
	if (check(fd >= 0)) {
		check_types(fd, id);
		check_span_types(fd, id, addr);
		close(fd);
	}
	check_ret(heap_collect(heap.fd), 0);
	check_types(heap.fd, id);
	check_ret(heap_root(heap.fd, addr, sizeof(addr), KARENA_ROOT_DEL), 0);
	heap_close(&heap);
}

/* --- magazines --- */

static void caches_add_up(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	const struct karena_cache_record *cache;
	struct heap heap;
	struct rng rng;
	__u64 bytes = 0;
	char *all;

	rng_init(&rng, 3);
	if (!heap_open(&heap, WINDOW, 0))
		return;
	make_objects(&heap, &rng);
	all = read_list(heap.fd, KARENA_IOC_CACHES, 0, 0, 4096);
	check_ret(heap_info(heap.fd, 0, 0, &info), 0);
	for (cache = (void *)all; cache->size; cache = behind(cache)) {
		check_eq(cache->size, sizeof(*cache));
		check(cache->objects);
		check(cache->objects <= cache->room);
		bytes += (__u64)cache->objects * cache->object_size;
	}
	/* A block that a CPU cuts tiny objects from is in no magazine. */
	check(bytes <= info.cached_bytes);
	check(info.cached_bytes - bytes <= 16 * 1024);
	check(bytes);
	free(all);
	heap_close(&heap);
}

/* --- roots --- */

/* Whether a dump has a root of a kind, of a thread or not, that leads to an object. */
static bool has_root(int fd, __u32 kind, __u64 object, __u32 tid)
{
	char *all = read_list(fd, KARENA_IOC_ROOTS, 0, 0, 4096);
	const struct karena_root_record *root;
	bool found = false;

	for (root = (void *)all; root->size; root = behind(root))
		if (root->kind == kind && root->word == object && root->tid == tid &&
		    root->pid == (__u32)getpid())
			found = true;
	free(all);
	return found;
}

struct holder {
	__u64 hidden;		/* the address inverted */
	__u32 tid;
	bool over;
};

/* In a register, and nowhere else: what is in memory is inverted. */
static void *hold_in_register(void *arg)
{
	struct holder *holder = arg;
	__u64 object = holder->hidden;

	__atomic_store_n(&holder->tid, gettid(), __ATOMIC_RELEASE);
	__asm__ volatile("not %0\n1:\n\tcmpb $0, %1\n\tje 1b\n\tnot %0"
			 : "+b"(object) : "m"(holder->over) : "memory");
	return NULL;
}

static void *hold_on_stack(void *arg)
{
	struct holder *holder = arg;
	volatile __u64 object __attribute__((unused)) = ~holder->hidden;

	__atomic_store_n(&holder->tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&holder->over, __ATOMIC_ACQUIRE))
		usleep(1000);
	object = 0;
	return NULL;
}

static void look_for(struct heap *heap, void *(*hold)(void *), __u32 kind)
{
	struct holder holder = { .hidden = ~heap_new(heap->fd, 64, 0) };
	pthread_t thread;
	int fd;

	if (!check(!pthread_create(&thread, NULL, hold, &holder)))
		return;
	while (!__atomic_load_n(&holder.tid, __ATOMIC_ACQUIRE))
		;
	fd = dump_of(heap->fd, 0);
	check(has_root(fd, kind, ~holder.hidden, holder.tid));
	close(fd);
	__atomic_store_n(&holder.over, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

static void roots_are_told(void)
{
	static __u64 word;
	struct heap heap;
	int fd;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	look_for(&heap, hold_in_register, KARENA_ROOT_REGISTER);
	look_for(&heap, hold_on_stack, KARENA_ROOT_STACK);
	word = heap_new(heap.fd, 64, 0);
	check_ret(heap_root(heap.fd, &word, sizeof(word), 0), 0);
	fd = dump_of(heap.fd, 0);
	check(has_root(fd, KARENA_ROOT_RANGE, word, 0));
	close(fd);
	check_ret(heap_root(heap.fd, &word, sizeof(word), KARENA_ROOT_DEL), 0);
	heap_close(&heap);
}

/* --- of one moment --- */

#define TOKENS	40u
#define CELLS	400u

/* In the heap: the token of each is in one place, or in the hands of who moves it. */
static __u64 *cells;

struct movers {
	struct heap heap;
	__u32 steps;
	bool over;
};

static struct movers *movers;

/* Takes one out, has it for a while, puts it elsewhere: each cell belongs to a mover. */
static void move_tokens(void *arg)
{
	unsigned int first = (uintptr_t)arg * CELLS / 2, from, to, hold;
	struct rng rng;
	__u64 token;

	rng_init(&rng, 40 + first);
	while (!__atomic_load_n(&movers->over, __ATOMIC_ACQUIRE)) {
		from = first + rng_below(&rng, CELLS / 2);
		to = first + rng_below(&rng, CELLS / 2);
		if (!cells[from] || cells[to])
			continue;
		token = __atomic_exchange_n(&cells[from], 0, __ATOMIC_RELAXED);
		/* Most of the time, so that a dump finds it there. */
		for (hold = rng_below(&rng, 400); hold; hold--)
			__asm__ volatile("" : "+r"(token) : : "memory");
		__atomic_store_n(&cells[to], token, __ATOMIC_RELAXED);
		__atomic_fetch_add(&movers->steps, 1, __ATOMIC_RELAXED);
	}
}

static bool is_in(const char *list, __u64 word)
{
	const struct karena_root_record *root;

	for (root = (void *)list; root->size; root = behind(root))
		if (root->word == word)
			return true;
	return false;
}

/* In a child, as the dump is where the heap is: who is not in a cell is in a root. */
static void check_moment(void *arg)
{
	unsigned int i, j, lost = 0, twice = 0, n;
	struct heap heap = movers->heap;
	__u64 tokens[TOKENS];
	int fd = *(int *)arg;
	char *roots;

	memcpy(tokens, movers + 1, sizeof(tokens));
	roots = read_list(fd, KARENA_IOC_ROOTS, 0, 0, ROOM);
	heap_unmap(&heap);
	if (!check_eq(map_objects(fd, heap.base, heap.window, PROT_READ, MAP_SHARED), heap.base))
		return;
	for (i = 0; i < TOKENS; i++) {
		for (n = 0, j = 0; j < CELLS; j++)
			n += cells[j] == ~tokens[i];
		twice += n > 1;
		lost += !n && !is_in(roots, ~tokens[i]);
	}
	check_eq(lost, 0);
	check_eq(twice, 0);
	free(roots);
}

static void a_dump_is_of_one_moment(void)
{
	unsigned int i, n = tap_count(40, 2000);
	__u64 *tokens;
	pid_t pid[2];
	int fd;

	movers = shared_memory(sizeof(*movers) + TOKENS * sizeof(*tokens));
	if (!movers || !heap_open_collected(&movers->heap, WINDOW, 0))
		return;
	tokens = (void *)(movers + 1);
	cells = as_ptr(heap_new(movers->heap.fd, CELLS * sizeof(*cells), 0));
	check_ret(heap_root(movers->heap.fd, &cells, sizeof(cells), 0), 0);
	for (i = 0; i < TOKENS; i++) {
		cells[i * CELLS / TOKENS] = heap_new(movers->heap.fd, 64, 0);
		tokens[i] = ~cells[i * CELLS / TOKENS];
	}
	for (i = 0; i < 2; i++)
		pid[i] = tap_fork(move_tokens, (void *)(uintptr_t)i);
	for (i = 0; i < n && !tap_failed(); i++) {
		wait_for_steps(&movers->steps, pid[i % 2], 10);
		fd = dump_of(movers->heap.fd, 0);
		if (check(fd >= 0))
			tap_isolate(check_moment, &fd);
		close(fd);
	}
	__atomic_store_n(&movers->over, true, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++)
		tap_join(pid[i]);
	tap_diag("%u dumps, %u steps", n, movers->steps);
	heap_close(&movers->heap);
}

/* --- who is killed --- */

static void dump_all_the_time(void *arg)
{
	struct movers *m = arg;
	int fd;

	for (;;) {
		fd = dump_of(m->heap.fd, 0);
		if (fd >= 0)
			close(fd);
		__atomic_fetch_add(&m->steps, 1, __ATOMIC_RELEASE);
	}
}

static void who_dumps_is_killed(void)
{
	unsigned int i, kills = tap_count(20, 1000);
	struct karena_info before;
	struct heap heap;
	struct rng rng;
	pid_t pid;

	rng_init(&rng, 9);
	check(user_at_rest(&before));
	movers = shared_memory(sizeof(*movers));
	if (!movers || !heap_open_collected(&movers->heap, WINDOW, 0))
		return;
	heap = movers->heap;
	check_ret(heap_root(heap.fd, known, sizeof(known), 0), 0);
	make_objects(&heap, &rng);
	for (i = 0; i < kills && !tap_failed(); i++) {
		pid = tap_fork(dump_all_the_time, movers);
		wait_for_steps(&movers->steps, pid, 1 + rng_below(&rng, 3));
		spin_at_random(&rng, 2000000);
		kill(pid, SIGKILL);
		reap_killed(pid);
	}
	check_ret(heap_root(heap.fd, known, sizeof(known), KARENA_ROOT_DEL), 0);
	/* Nobody is kept waiting by who is gone. */
	check(heap_new(heap.fd, 64, 0));
	check_ret(heap_collect(heap.fd), 0);
	check(heap_adds_up(heap.fd));
	heap_close(&heap);
	check(user_back_to(&before));
}

/* --- who may not --- */

static void as_somebody_else(void *arg)
{
	struct karena_list list = { .size = sizeof(list), .length = 4096 };
	char room[4096] __attribute__((aligned(8)));
	struct heap *heap = arg;

	if (!check(!setresuid(1234, 1234, 1234)))
		return;
	check_ret(dump_of(heap->fd, 0), -EPERM);
	check_ret(dump_of(heap->fd, heap->id), -ENOENT);
	list.records = as_addr(room);
	list.id = heap->id;
	check_ret(kioctl(heap->fd, KARENA_IOC_SPANS, &list), -ENOENT);
	check_ret(kioctl(heap->fd, KARENA_IOC_TYPES, &list), -ENOENT);
	check_ret(kioctl(heap->fd, KARENA_IOC_CACHES, &list), -ENOENT);
	/* Who has the heap may know how it is made. */
	list.id = 0;
	check_ret(kioctl(heap->fd, KARENA_IOC_SPANS, &list), 0);
}

/* As a setuid program that somebody has started. */
static void with_rights_of_another(void *arg)
{
	struct heap heap;

	(void)arg;
	if (!check(!setresuid(1234, 1235, 1235)) ||
	    !heap_open_collected(&heap, WINDOW, 0))
		return;
	check_ret(dump_of(heap.fd, 0), -EPERM);
	check_ret(dump_of(heap.fd, heap.id), -EPERM);
	heap_close(&heap);
}

/* An ordinary program of an ordinary user, and one that has secrets. */
static void as_anybody(void *arg)
{
	const bool *dumpable = arg;
	struct utsname kernel;
	struct heap heap;
	int fd;

	if (!check(!setresuid(1234, 1234, 1234)) ||
	    !check(!prctl(PR_SET_DUMPABLE, *dumpable, 0, 0, 0)) ||
	    !heap_open_collected(&heap, WINDOW, 0) || !check(!uname(&kernel)))
		return;
	fd = dump_of(heap.fd, heap.id);
	/* The newest kernels do not tell modules. */
	if (*dumpable || kernel.release[0] > '6')
		check(fd >= 0);
	else
		check_ret(fd, -EPERM);
	heap_close(&heap);
}

static void who_may_not(void)
{
	struct heap heap, private;
	__u64 addr;
	int fd;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	tap_isolate(as_somebody_else, &heap);
	tap_isolate(with_rights_of_another, NULL);
	tap_isolate(as_anybody, &(bool){ true });
	tap_isolate(as_anybody, &(bool){ false });
	fd = dump_of(heap.fd, 0);
	if (check(fd >= 0)) {
		/* It is to be read only, and nothing else. */
		heap_unmap(&heap);
		check_ret(map_objects(fd, 0, heap.window, PROT_READ | PROT_WRITE, MAP_SHARED),
			  -EACCES);
		check_ret(heap_alloc(fd, 64, 0, 1, &addr), -EBADF);
		check_ret(heap_collect(fd), -EBADF);
		close(fd);
	}
	heap_close(&heap);
	if (!heap_open_private(&private, WINDOW, MIB))
		return;
	check_ret(dump_of(private.fd, 0), -EINVAL);
	heap_close(&private);
}

int main(void)
{
	static const struct tap_case cases[] = {
		{ "spans are what is there", spans_are_what_is_there },
		{ "spans from anywhere", spans_from_anywhere },
		{ "types are known", types_are_known },
		{ "caches add up", caches_add_up },
		{ "roots are told", roots_are_told },
		{ "a dump is of one moment", a_dump_is_of_one_moment },
		{ "who dumps is killed", who_dumps_is_killed },
		{ "who may not", who_may_not },
	};

	return tap_main(cases, ARRAY_SIZE(cases));
}
