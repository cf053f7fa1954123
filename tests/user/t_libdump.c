// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl dump and why on graphs that are known: each object and each reference of a
 * random graph is in the file, whatever kind it is of, and no other; ways are the shortest;
 * and while programs run, the dump is of one moment.  Files are read by what tools/karenactl/
 * file.c says of them, with nothing of karenactl's.
 */
#define _GNU_SOURCE
#include <karena.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define NODES	400u
#define REFS	8u		/* of a node, at most */
#define NONE	(~0u)

static char text[4 << 20];
static char path[40];

/* --- commands --- */

/* Exit status of a command, whose output is in text; its length in *length. */
static int run_raw(size_t *length, const char *command)
{
	FILE *pipe = popen(command, "r");
	size_t n = 0, some;
	int status;

	while (pipe && (some = fread(text + n, 1, sizeof(text) - 1 - n, pipe)))
		n += some;
	text[n] = '\0';
	*length = n;
	status = pipe ? pclose(pipe) : -1;
	return status < 0 ? status : status >> 8;
}

static __attribute__((format(printf, 1, 2))) int run(const char *fmt, ...)
{
	char command[512];
	va_list args;
	size_t length;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	strcat(command, " 2>&1");
	return run_raw(&length, command);
}

static bool says(const char *what)
{
	if (check(strstr(text, what)))
		return true;
	tap_diag("no '%s' in: %.500s", what, text);
	return false;
}

/* A number of JSON, the first one of that name from @at on. */
static long long json_from(const char *at, const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(at, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

static long long json(const char *name)
{
	return json_from(text, name);
}

/* --- files --- */

struct span {
	__u64 start;
	__u64 object_size;
	__u32 slots;
	__u32 flags;
	__u32 type;
	__u32 reserved;
};

struct root {
	__u64 word;
	__u64 at;
	__u32 kind;
	__u32 pid;
	__u32 tid;
	__u32 reserved;
};

struct object {
	__u64 addr;
	__u64 size;
	__u32 flags;
	__u32 type;
	__u32 first_ref;
	__u32 nr_refs;
};

/* In memory that nobody searches, as it is full of addresses. */
struct dump {
	struct object *objects;
	struct root *roots;
	__u32 *ref_at;
	__u32 *ref_to;
	size_t nr_objects;
	size_t nr_refs;
	size_t nr_roots;
	char *data;
};

static void *take(char **at, size_t bytes)
{
	void *from = *at;

	*at += bytes;
	return from;
}

static void take_objects(struct dump *dump, const struct span *span, const __u64 *live, size_t *nr)
{
	__u32 slot;

	for (slot = 0; slot < span->slots; slot++)
		if (live[slot / 64] >> slot % 64 & 1)
			dump->objects[(*nr)++] = (struct object) {
				.addr = span->start + slot * span->object_size,
				.size = span->object_size, .flags = span->flags,
				.type = span->type,
			};
}

static bool parse(struct dump *dump, char *at, size_t length)
{
	size_t spans = json_from(at, "spans"), words = json_from(at, "words"), i, nr = 0, ref = 0;
	char *end = at + length;
	struct span *span;
	__u32 *counts, n;
	__u64 *live;

	dump->nr_objects = json_from(at, "objects");
	dump->nr_refs = json_from(at, "references");
	dump->nr_roots = json_from(at, "roots");
	at = memchr(at, '\n', length) + 1;
	span = take(&at, spans * sizeof(*span));
	live = take(&at, words * sizeof(*live));
	counts = take(&at, dump->nr_objects * sizeof(*counts));
	dump->ref_at = take(&at, dump->nr_refs * sizeof(*dump->ref_at));
	dump->ref_to = take(&at, dump->nr_refs * sizeof(*dump->ref_to));
	dump->roots = take(&at, dump->nr_roots * sizeof(*dump->roots));
	dump->objects = calloc(dump->nr_objects + 1, sizeof(*dump->objects));
	for (i = 0; i < spans; live += (span[i++].slots + 63) / 64)
		take_objects(dump, &span[i], live, &nr);
	for (i = 0; i < dump->nr_objects; i++) {
		dump->objects[i].first_ref = ref;
		dump->objects[i].nr_refs = counts[i];
		for (n = 0; n < counts[i]; n++)
			dump->ref_to[ref++] += i;
	}
	return check(at == end) && check_eq(nr, dump->nr_objects) && check_eq(ref, dump->nr_refs);
}

static bool load(struct dump *dump)
{
	char command[64];
	size_t length;
	char *line;

	snprintf(command, sizeof(command), "zcat %s", path);
	if (!check_eq(run_raw(&length, command), 0) || !check(length < sizeof(text) - 1))
		return false;
	/* Behind the line all is aligned to nothing. */
	line = memchr(text, '\n', length);
	if (!check(line))
		return false;
	dump->data = malloc(length + 8);
	/* The first table is to begin at a multiple of 8. */
	line = dump->data + (7 - (line - text) % 8) % 8;
	memcpy(line, text, length);
	memset(text, 0, sizeof(text));
	return parse(dump, line, length);
}

static bool take_dump(struct dump *dump, __u32 id)
{
	memset(dump, 0, sizeof(*dump));
	if (!check_eq(run("karenactl dump --json -o %s %u", path, id), 0)) {
		tap_diag("%s", text);
		return false;
	}
	return load(dump);
}

static void drop(struct dump *dump)
{
	free(dump->data);
	free(dump->objects);
}

/* Around an address: its number, or NONE. */
static __u32 find(const struct dump *dump, __u64 addr)
{
	size_t low = 0, high = dump->nr_objects, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (addr < dump->objects[middle].addr + dump->objects[middle].size)
			high = middle;
		else
			low = middle + 1;
	}
	return low < dump->nr_objects && addr >= dump->objects[low].addr ? low : NONE;
}

/* The reference at an offset in bytes: to which object, or NONE. */
static __u32 ref_of(const struct dump *dump, __u32 object, __u64 offset)
{
	__u32 ref = dump->objects[object].first_ref, end = ref + dump->objects[object].nr_refs;

	for (; ref < end; ref++)
		if (8ULL * dump->ref_at[ref] == offset)
			return dump->ref_to[ref];
	return NONE;
}

/* --- a graph --- */

struct pair {
	__u64 value;
	struct pair *left;
	__u64 more;
	struct pair *right;
};

struct elem {
	void *ref;
	__u64 value;
	__u64 more;
};

enum kind { PAIR, ARRAY, LARGE, ANY, NOSCAN, PACKED, NR_KINDS };

/* What the test knows of a node; addresses inverted, so that they keep nothing. */
struct node {
	enum kind kind;
	__u64 hidden;
	__u64 size;
	__u32 nr_refs;
	struct {
		__u64 offset;
		__u32 to;
	} ref[REFS];
};

struct known {
	struct karena *heap;
	struct karena_type pair;
	struct karena_type elem;
	struct node node[NODES];
};

static __u64 addr_of(const struct node *node)
{
	return ~node->hidden;
}

static struct karena *open_heap(void)
{
	struct karena_options opts = {
		.flags = KARENA_COLLECT, .name = "t_libdump", .window = WINDOW,
	};
	struct karena *heap = karena_open(&opts);
	struct karena_gc_control control;

	if (!check(heap))
		return NULL;
	check(!karena_gc_get(heap, &control));
	control.percent = -1;
	check(!karena_gc_set(heap, &control));
	return heap;
}

static void *make(struct known *known, struct node *node, struct rng *rng)
{
	__u64 count;

	switch (node->kind) {
	case PAIR:
		node->size = sizeof(struct pair);
		return karena_new(known->heap, known->pair);
	case ARRAY:
	case LARGE:
		count = node->kind == ARRAY ? 1 + rng_below(rng, 30) : 2000 + rng_below(rng, 3000);
		node->size = count * sizeof(struct elem);
		return karena_new_array(known->heap, known->elem, count);
	case ANY:
		node->size = rng_below(rng, 2) ? 64 : 16 + rng_below(rng, 500);
		return karena_alloc(known->heap, node->size);
	case NOSCAN:
		node->size = 16 + rng_below(rng, 100);
		return karena_alloc_flags(known->heap, node->size, KARENA_ALLOC_NOSCAN);
	default:
		/* By the kernel, which packs such objects; those from a magazine are not. */
		node->size = 8;
		return as_ptr(heap_new(karena_fd(known->heap), node->size, KARENA_ALLOC_NOSCAN));
	}
}

/* Where a node may have a reference. */
static __u64 some_offset(const struct node *node, struct rng *rng)
{
	static const __u64 of_pair[] = {
		offsetof(struct pair, left), offsetof(struct pair, right)
	};

	if (node->kind == PAIR)
		return of_pair[rng_below(rng, 2)];
	if (node->kind == ANY)
		return 8 * rng_below(rng, node->size / 8);
	return sizeof(struct elem) * rng_below(rng, node->size / sizeof(struct elem));
}

static void add_ref(struct known *known, struct node *node, struct rng *rng)
{
	__u32 to = rng_below(rng, NODES), i;
	__u64 offset = some_offset(node, rng), word = addr_of(&known->node[to]);

	for (i = 0; i < node->nr_refs; i++)
		if (node->ref[i].offset == offset)
			return;
	/* To any byte of it. */
	if (!rng_below(rng, 3))
		word += rng_below(rng, known->node[to].size);
	node->ref[node->nr_refs].offset = offset;
	node->ref[node->nr_refs++].to = to;
	*(__u64 *)as_ptr(addr_of(node) + offset) = word;
}

/* What looks like references where none are. */
static void add_decoys(struct known *known, struct node *node, struct rng *rng)
{
	__u64 word = addr_of(&known->node[rng_below(rng, NODES)]);

	if (node->kind == PAIR)
		((struct pair *)as_ptr(addr_of(node)))->value = word;
	else if (node->kind == ARRAY || node->kind == LARGE)
		((struct elem *)as_ptr(addr_of(node)))->value = word;
	else if (node->kind != ANY)
		*(__u64 *)as_ptr(addr_of(node)) = word;
}

static __attribute__((noinline)) struct known *make_graph(struct rng *rng)
{
	struct known *known = calloc(1, sizeof(*known));
	unsigned int i, n;

	known->heap = open_heap();
	if (!known->heap)
		return NULL;
	known->pair = KARENA_TYPE(known->heap, struct pair, left, right);
	known->elem = KARENA_TYPE(known->heap, struct elem, ref);
	for (i = 0; i < NODES; i++) {
		known->node[i].kind = rng_below(rng, 20) ? rng_below(rng, NR_KINDS) : PAIR;
		if (known->node[i].kind == LARGE && rng_below(rng, 8))
			known->node[i].kind = PAIR;
		known->node[i].hidden = ~as_addr(make(known, &known->node[i], rng));
		check(addr_of(&known->node[i]));
	}
	for (i = 0; i < NODES && !tap_failed(); i++) {
		if (known->node[i].kind < NOSCAN)
			for (n = rng_below(rng, 4); n; n--)
				add_ref(known, &known->node[i], rng);
		add_decoys(known, &known->node[i], rng);
	}
	return known;
}

static void free_graph(struct known *known)
{
	karena_close(known->heap);
	free(known);
}

/* --- the dump of it --- */

static void check_kind(const struct known *known, const struct node *node,
		       const struct object *object)
{
	check(object->size >= node->size && object->size < 2 * node->size + 16);
	check_eq(!!(object->flags & KARENA_SPAN_LARGE), node->kind == LARGE);
	check_eq(!!(object->flags & KARENA_SPAN_PACKED), node->kind == PACKED);
	check_eq(!!(object->flags & KARENA_SPAN_NOSCAN), node->kind >= NOSCAN);
	check_eq(!!(object->flags & KARENA_SPAN_CONSERVATIVE), node->kind == ANY);
	if (node->kind == PAIR)
		check_eq(object->type, known->pair.id);
	else
		check_eq(object->type, node->kind <= LARGE ? known->elem.id : 0);
}

/* All of them, and no other. */
static void check_refs(const struct known *known, const struct node *node,
		       const struct dump *dump, __u32 object)
{
	__u32 i;

	check_eq(dump->objects[object].nr_refs, node->nr_refs);
	for (i = 0; i < node->nr_refs; i++)
		check_eq(ref_of(dump, object, node->ref[i].offset),
			 find(dump, addr_of(&known->node[node->ref[i].to])));
}

static void check_objects(const struct known *known, const struct dump *dump)
{
	bool *seen = calloc(dump->nr_objects + 1, sizeof(*seen));
	const struct node *node;
	__u32 object;
	size_t i;

	for (node = known->node; node < known->node + NODES && !tap_failed(); node++) {
		object = find(dump, addr_of(node));
		if (!check(object != NONE))
			break;
		check(!seen[object] || node->kind == PACKED);
		seen[object] = true;
		check_kind(known, node, &dump->objects[object]);
		check_refs(known, node, dump, object);
	}
	/* What else there is a thread holds ready, and it is empty. */
	for (i = 0; i < dump->nr_objects && !tap_failed(); i++)
		check(seen[i] || !dump->objects[i].nr_refs);
	free(seen);
}

static void *volatile global;

/* A root as the dump has to have it. */
static bool has_root(const struct dump *dump, __u32 kind, __u64 at, __u64 word, __u32 tid)
{
	const struct root *root;

	for (root = dump->roots; root < dump->roots + dump->nr_roots; root++)
		if (root->kind == kind && (!at || root->at == at) && root->word == word &&
		    root->pid == (__u32)getpid() && root->tid == tid)
			return true;
	return false;
}

struct other {
	pthread_t thread;
	pthread_barrier_t barrier;
	__u64 hidden;
	pid_t tid;
	void *volatile *at;
};

/* Holds an object on its stack, by its end. */
static void *hold(void *arg)
{
	struct other *other = arg;
	void *volatile held = as_ptr(~other->hidden);

	other->tid = gettid();
	other->at = &held;
	pthread_barrier_wait(&other->barrier);
	pthread_barrier_wait(&other->barrier);
	held = NULL;
	return NULL;
}

static void begin_other(struct other *other, __u64 word)
{
	other->hidden = ~word;
	pthread_barrier_init(&other->barrier, NULL, 2);
	check(!pthread_create(&other->thread, NULL, hold, other));
	pthread_barrier_wait(&other->barrier);
}

static void end_other(struct other *other)
{
	pthread_barrier_wait(&other->barrier);
	pthread_join(other->thread, NULL);
	pthread_barrier_destroy(&other->barrier);
}

/* Where the object of a node ends, by the dump; the others begin or end somewhere else. */
static __u64 end_of(const struct dump *dump, const struct node *node)
{
	const struct object *object = &dump->objects[find(dump, addr_of(node))];

	return object->addr + object->size;
}

static void roots(void)
{
	struct rng rng;
	struct known *known;
	struct dump dump;
	struct other other;
	void *volatile held;

	rng_init(&rng, 2);
	known = make_graph(&rng);
	if (!known || !take_dump(&dump, karena_id(known->heap)))
		return;
	begin_other(&other, end_of(&dump, &known->node[3]));
	drop(&dump);
	global = as_ptr(addr_of(&known->node[1]) + 1);
	held = as_ptr(addr_of(&known->node[2]));
	if (take_dump(&dump, karena_id(known->heap))) {
		check(has_root(&dump, KARENA_ROOT_RANGE, as_addr((void *)&global),
			       addr_of(&known->node[1]) + 1, 0));
		check(has_root(&dump, KARENA_ROOT_STACK, as_addr((void *)&held),
			       addr_of(&known->node[2]), gettid()));
		check(has_root(&dump, KARENA_ROOT_STACK, as_addr((void *)other.at),
			       end_of(&dump, &known->node[3]), other.tid));
		drop(&dump);
	}
	held = NULL;
	global = NULL;
	end_other(&other);
	free_graph(known);
}

static void graph(void)
{
	unsigned int n;
	struct rng rng;

	rng_init(&rng, 1);
	for (n = tap_count(4, 40); n && !tap_failed(); n--) {
		struct known *known = make_graph(&rng);
		struct dump dump;

		if (!known)
			return;
		if (take_dump(&dump, karena_id(known->heap))) {
			check_objects(known, &dump);
			drop(&dump);
		}
		free_graph(known);
	}
}

/* --- why --- */

/* The roots' distance of each object. */
static __u32 *distances(const struct dump *dump)
{
	__u32 *steps = malloc(dump->nr_objects * sizeof(*steps)), i, ref, to;
	const struct root *root;
	bool more = true;

	memset(steps, 0xff, dump->nr_objects * sizeof(*steps));
	for (root = dump->roots; root < dump->roots + dump->nr_roots; root++) {
		to = find(dump, root->word);
		if (to != NONE)
			steps[to] = 0;
		to = root->kind <= KARENA_ROOT_STACK ? find(dump, root->word - 1) : NONE;
		if (to != NONE)
			steps[to] = 0;
	}
	while (more) {
		more = false;
		for (i = 0; i < dump->nr_objects; i++)
			for (ref = 0; steps[i] != NONE && ref < dump->objects[i].nr_refs; ref++) {
				to = dump->ref_to[dump->objects[i].first_ref + ref];
				if (steps[to] == NONE || steps[to] > steps[i] + 1) {
					steps[to] = steps[i] + 1;
					more = true;
				}
			}
	}
	return steps;
}

/* The path of the JSON in text: each object is referred to by the one before. */
static __u32 path_steps(const struct dump *dump, __u32 target)
{
	char *at = strstr(text, "\"path\":");
	__u32 steps = 0, object = NONE, next;

	while (at && (at = strstr(at, "\"address\":"))) {
		next = find(dump, json_from(at, "address"));
		if (!check(next != NONE))
			return NONE;
		if (object != NONE) {
			check_eq(ref_of(dump, object, json_from(at, "offset")), next);
			steps++;
		}
		object = next;
		at++;
	}
	check_eq(object, target);
	return steps;
}

static void ask_why(const struct dump *dump, const __u32 *steps, __u64 addr)
{
	__u32 object = find(dump, addr);
	int rc = run("karenactl why --json %s %#llx", path, (unsigned long long)addr);

	if (steps[object] == NONE) {
		check_eq(rc, 1);
		says("garbage");
		return;
	}
	check_eq(rc, 0);
	check_eq(path_steps(dump, object), steps[object]);
	check_eq(run("karenactl why --all 3 %s %#llx", path, (unsigned long long)addr), 0);
	says("of process");
}

static void shortest_ways(void)
{
	struct rng rng;
	struct known *known;
	struct dump dump;
	unsigned int n, i;
	__u32 *steps;

	rng_init(&rng, 3);
	for (n = tap_count(3, 20); n && !tap_failed(); n--) {
		known = make_graph(&rng);
		if (!known)
			return;
		global = as_ptr(addr_of(&known->node[0]));
		if (take_dump(&dump, karena_id(known->heap))) {
			steps = distances(&dump);
			for (i = 0; i < 20; i++)
				ask_why(&dump, steps,
					addr_of(&known->node[rng_below(&rng, NODES)]) +
						rng_below(&rng, 8));
			check_eq(run("karenactl why %s %#llx", path,
				     (unsigned long long)as_addr(&rng)), 1);
			says("no object is there");
			free(steps);
			drop(&dump);
		}
		global = NULL;
		free_graph(known);
	}
}

/* A heap's number instead of a file, and the other commands. */
static void live_heap(void)
{
	struct karena *heap = open_heap();
	struct karena_type type;
	struct pair *list = NULL, *pair;
	struct karena_gc_info gc = { .size = sizeof(gc) };
	__u64 stops;
	__u32 id;
	int i;

	if (!heap)
		return;
	id = karena_id(heap);
	type = KARENA_TYPE(heap, struct pair, left, right);
	for (i = 0; i < 100; i++) {
		pair = karena_new(heap, type);
		pair->left = list;
		list = pair;
	}
	global = list;
	check_eq(run("karenactl why %u %p", id, list), 0);
	says("struct pair");
	check_eq(run("karenactl retained --json %u", id), 0);
	says("\"struct pair\"");
	check(json("retained") >= 100 * (long long)sizeof(*pair));
	check_eq(karena_gc_stats(heap, &gc), 0);
	stops = gc.stops;
	check_eq(run("karenactl dump -o %s %u", path, id), 0);
	check_eq(karena_gc_stats(heap, &gc), 0);
	/* Programs stand still for it, and it counts as for a cycle. */
	check(gc.stops > stops);
	check_eq(run("karenactl diff --json %s %u", path, id), 0);
	check_eq(json("objects_before"), json("objects_after"));
	for (i = 0; i < 1000; i++) {
		pair = karena_new(heap, type);
		pair->left = list;
		list = pair;
		global = list;
	}
	check_eq(run("karenactl diff --json %s %u", path, id), 0);
	check(json("objects_after") >= json("objects_before") + 500);
	check_eq(run("karenactl export -f heapsnapshot -o /dev/null %u", id), 0);
	check_eq(run("karenactl export -f dot -o - %u", id), 0);
	says("digraph");
	check_eq(run("karenactl leak --cycles 1 %u", id), 0);
	says("not sampled");
	global = NULL;
	karena_close(heap);
}

/* What grows while it is looked for, by type and by stack. */
static void *grow(void *arg)
{
	struct karena *heap = ((void **)arg)[0];
	bool *volatile stop = ((void **)arg)[1];
	struct karena_type type = KARENA_TYPE(heap, struct pair, left, right);
	struct pair *pair;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		pair = karena_new(heap, type);
		if (!pair)
			break;
		pair->left = global;
		global = pair;
		usleep(10);
	}
	return NULL;
}

static void what_grows(void)
{
	struct karena *heap = open_heap();
	bool stop = false;
	void *args[] = { heap, &stop };
	pthread_t thread;

	if (!heap)
		return;
	check(!karena_profile(heap, 1024));
	check(!pthread_create(&thread, NULL, grow, args));
	check_eq(run("karenactl leak --cycles 1 --json %u", karena_id(heap)), 0);
	if (says("\"struct pair\""))
		check(json("objects_after") > json("objects_before"));
	says("\"sampled\": true");
	says("grow");
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	global = NULL;
	karena_close(heap);
}

/* --- who may not --- */

static void dump_as_nobody(void *arg)
{
	if (!become_nobody())
		return;
	check_eq(run("karenactl dump -o /dev/null %u", *(__u32 *)arg), 1);
	says("not yours");
	check_eq(run("karenactl why %u 0x1000", *(__u32 *)arg), 1);
	says("not yours");
}

static void refused(void)
{
	struct karena *heap = open_heap(), *plain = karena_open(NULL);
	__u32 id;

	if (!heap || !check(plain))
		return;
	id = karena_id(heap);
	tap_isolate(dump_as_nobody, &id);
	check_eq(run("karenactl dump -o /nowhere/to/be %u", id), 1);
	says("No such file");
	check_eq(run("karenactl dump -o /dev/full %u", id), 1);
	says("No space");
	check_eq(run("karenactl dump -o /dev/null 2147483647"), 1);
	says("not there, or not yours");
	/* Objects without roots are something as well. */
	check(karena_alloc(plain, 100));
	check_eq(run("karenactl dump --json -o %s %u", path, karena_id(plain)), 0);
	check(json("objects") >= 1);
	check_eq(run("karenactl why %s 0x1000", path), 1);
	says("not collected");
	karena_close(plain);
	karena_close(heap);
}

/* --- while programs run --- */

#define WORKERS	3u
#define CELLS	64u
#define TOKENS	32u
#define LONGEST	200u

struct link {
	struct link *next;
	__u64 load;
};

/* What workers change: tokens in cells, and a list each, whose last one is @end. */
struct board {
	void *cell[WORKERS][CELLS];
	struct link *list[WORKERS];
	struct link *end;
};

struct shared {
	struct karena *heap;
	struct karena_type link;
	struct board *board;
	bool stop;
	__u64 rounds[WORKERS];
};

static struct shared *shared;

/* A token is in one cell, or for a moment in two. */
static void move_token(void **cells, struct rng *rng)
{
	void **from = &cells[rng_below(rng, CELLS)], **to = &cells[rng_below(rng, CELLS)];

	if (*from && !*to) {
		__atomic_store_n(to, *from, __ATOMIC_RELEASE);
		__atomic_store_n(from, NULL, __ATOMIC_RELEASE);
	}
}

/* Links are published whole; what was a list is garbage at once. */
static void grow_list(struct board *board, unsigned int worker, __u32 *length)
{
	struct link *link;

	if (++*length > LONGEST) {
		__atomic_store_n(&board->list[worker], board->end, __ATOMIC_RELEASE);
		*length = 0;
	}
	link = karena_new(shared->heap, shared->link);
	if (!link)
		return;
	link->next = board->list[worker];
	__atomic_store_n(&board->list[worker], link, __ATOMIC_RELEASE);
}

static void work(void *arg)
{
	unsigned int worker = (uintptr_t)arg;
	struct board *board = shared->board;
	__u32 length = 0;
	struct rng rng;

	rng_init(&rng, 100 + worker);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		move_token(board->cell[worker], &rng);
		grow_list(board, worker, &length);
		__atomic_fetch_add(&shared->rounds[worker], 1, __ATOMIC_RELAXED);
	}
}

/* Each token is in a cell of its worker, and none in more than two. */
static void check_tokens(const struct dump *dump, __u32 board, unsigned int worker)
{
	__u32 token[CELLS], cell, other, nr = 0, tokens = 0, same;

	for (cell = 0; cell < CELLS; cell++) {
		__u32 to = ref_of(dump, board, offsetof(struct board, cell[worker][cell]));

		if (to != NONE)
			token[nr++] = to;
	}
	check(nr == TOKENS || nr == TOKENS + 1);
	for (cell = 0; cell < nr; cell++) {
		same = 0;
		for (other = 0; other < cell; other++)
			same += token[other] == token[cell];
		tokens += !same;
	}
	check_eq(tokens, TOKENS);
}

static void check_list(const struct dump *dump, __u32 board, unsigned int worker)
{
	__u32 at = ref_of(dump, board, offsetof(struct board, list[worker]));
	__u32 end = ref_of(dump, board, offsetof(struct board, end)), length = 0;

	check(end != NONE);
	for (; at != end && at != NONE && length <= LONGEST; length++)
		at = ref_of(dump, at, offsetof(struct link, next));
	check_eq(at, end);
}

static bool make_board(void)
{
	struct board *board;
	unsigned int worker, i;

	shared->heap = open_heap();
	if (!shared->heap)
		return false;
	shared->link = KARENA_TYPE(shared->heap, struct link, next);
	board = karena_alloc(shared->heap, sizeof(*board));
	global = board;
	shared->board = board;
	board->end = karena_new(shared->heap, shared->link);
	for (worker = 0; worker < WORKERS; worker++) {
		board->list[worker] = board->end;
		for (i = 0; i < TOKENS; i++)
			board->cell[worker][i] = karena_alloc(shared->heap, 32);
	}
	return check(board->end);
}

/* The collector is at work meanwhile: what is cut off is another list soon. */
static void collect_often(void)
{
	struct karena_gc_control control;

	check(!karena_gc_get(shared->heap, &control));
	control.percent = 50;
	control.min_heap = 256 * KIB;
	check(!karena_gc_set(shared->heap, &control));
}

static void moving(void)
{
	unsigned int n, worker;
	pid_t pid[WORKERS];
	struct dump dump;
	__u32 board;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (!check(shared != MAP_FAILED) || !make_board())
		return;
	collect_often();
	for (worker = 0; worker < WORKERS; worker++)
		pid[worker] = tap_fork(work, as_ptr(worker));
	for (n = tap_count(6, 60); n && !tap_failed(); n--) {
		if (!take_dump(&dump, karena_id(shared->heap)))
			break;
		board = find(&dump, as_addr(shared->board));
		check(board != NONE);
		for (worker = 0; worker < WORKERS && board != NONE; worker++) {
			check_tokens(&dump, board, worker);
			check_list(&dump, board, worker);
		}
		drop(&dump);
	}
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELAXED);
	for (worker = 0; worker < WORKERS; worker++) {
		check(tap_join(pid[worker]));
		check(shared->rounds[worker]);
	}
	global = NULL;
	karena_close(shared->heap);
	munmap(shared, sizeof(*shared));
}

static const struct tap_case cases[] = {
	{ "objects and references", graph },
	{ "roots", roots },
	{ "why", shortest_ways },
	{ "of a heap that is there", live_heap },
	{ "leak", what_grows },
	{ "who may not", refused },
	{ "while programs run", moving },
};

int main(void)
{
	int rc;

	snprintf(path, sizeof(path), "/tmp/t_libdump.%d", getpid());
	rc = tap_main(cases, ARRAY_SIZE(cases));
	unlink(path);
	return rc;
}
