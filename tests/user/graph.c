// SPDX-License-Identifier: GPL-2.0
/* Random changes to a part of a collected heap, with an oracle: see graph.h. */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "graph.h"

#define PORTS	4	/* elements of a node with references that are used */
#define REFS	8	/* of an element */

enum { TYPED, CONSERVATIVE, NOSCAN, PARCEL, NR_KINDS };

enum { SELF, SEED, SHAPE, SUM };

static __u64 hash(__u64 a, __u64 b)
{
	a = (a ^ (b * 0x9e3779b97f4a7c15ULL)) * 0xbf58476d1ce4e5b9ULL;
	return a ^ (a >> 29);
}

static __u64 shape_of(unsigned int kind, unsigned int nr)
{
	return kind | nr << 8;
}

static unsigned int kind_of(__u64 shape)
{
	return shape & 0xff;
}

static unsigned int nr_of(__u64 shape)
{
	return shape >> 8;
}

static unsigned int ports_of(__u64 shape)
{
	if (kind_of(shape) == NOSCAN)
		return 0;
	return nr_of(shape) < PORTS ? nr_of(shape) : PORTS;
}

static struct elem *port(struct elem *node, __u64 shape, unsigned int i)
{
	return &node[i * nr_of(shape) / ports_of(shape)];
}

__u32 graph_type(int fd)
{
	__u32 refs[REFS], i;

	for (i = 0; i < REFS; i++)
		refs[i] = offsetof(struct elem, ref[i]);
	return heap_register(fd, sizeof(struct elem), refs, REFS);
}

struct graph *graph_new(int fd, __u32 type, __u64 tag, const struct rng *rng)
{
	struct graph *graph;
	char *memory;

	memory = mmap(NULL, 4096 + sizeof(*graph), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!check(memory != MAP_FAILED))
		return NULL;
	graph = (struct graph *)(memory + 4096);
	graph->root = (struct elem **)memory;
	graph->fd = fd;
	graph->type = type;
	graph->tag = tag << 32;
	graph->nr_free = GRAPH_NODES - 1;
	graph->rng = *rng;
	if (!check_ret(heap_root(fd, graph->root, GRAPH_ROOTS * sizeof(*graph->root), 0), 0))
		return NULL;
	return graph;
}

/* --- the oracle --- */

static void reach(struct graph *g, __u32 id, __u32 *todo, __u32 *nr)
{
	if (!id || g->known[id].reached)
		return;
	g->known[id].reached = true;
	todo[(*nr)++] = id;
}

/* Sets who is reached, from one root or (@root GRAPH_ROOTS) all. */
static void mark_known(struct graph *g)
{
	__u32 todo[GRAPH_NODES], nr = 0, i, id;

	for (i = 0; i < GRAPH_NODES; i++)
		g->known[i].reached = false;
	for (i = 0; i < GRAPH_ROOTS; i++)
		reach(g, g->known_root[i], todo, &nr);
	while (nr) {
		id = todo[--nr];
		for (i = 0; i < GRAPH_REFS; i++)
			reach(g, g->known[id].ref[i], todo, &nr);
	}
}

/* Forgets what is garbage now. */
static void forget(struct graph *g)
{
	__u32 i;

	mark_known(g);
	for (i = 1; i < GRAPH_NODES; i++) {
		if (!g->known[i].used || g->known[i].reached)
			continue;
		memset(&g->known[i], 0, sizeof(g->known[i]));
		g->nr_free++;
	}
}

static __u32 new_known(struct graph *g, __u64 seed, __u64 shape)
{
	__u32 id;

	if (!g->nr_free)
		return 0;
	for (id = 1 + rng_below(&g->rng, GRAPH_NODES - 1); g->known[id].used;)
		id = id % (GRAPH_NODES - 1) + 1;
	g->nr_free--;
	g->known[id] = (struct known){ .seed = seed, .shape = shape, .used = true };
	return id;
}

void graph_drop(struct graph *g)
{
	memset(g->root, 0, GRAPH_ROOTS * sizeof(*g->root));
	memset(g->known_root, 0, sizeof(g->known_root));
	forget(g);
}

/* --- nodes --- */

static __u64 load_of(__u64 seed, unsigned int i, unsigned int j)
{
	return hash(seed, i * 16 + j);
}

static void fill_node(struct elem *node, __u64 self, __u64 seed, __u64 shape)
{
	bool noscan = kind_of(shape) == NOSCAN;
	unsigned int i, j;

	for (i = 0; i < nr_of(shape); i++) {
		for (j = 0; j < 4 && i; j++)
			node[i].head[j] = load_of(seed, i, j);
		for (j = 0; j < 4; j++)
			node[i].load[j] = load_of(seed, i, 4 + j);
		for (j = 0; j < REFS; j++)
			node[i].ref[j] = noscan ? as_ptr(load_of(seed, i, 8 + j)) : NULL;
	}
	node->head[SELF] = self;
	node->head[SEED] = seed;
	node->head[SHAPE] = shape;
	node->head[SUM] = hash(seed, shape);
}

static bool head_is_whole(const struct elem *node)
{
	const __u64 *head = node->head;

	return head[SUM] == hash(head[SEED], head[SHAPE]) && kind_of(head[SHAPE]) < NR_KINDS;
}

/* All but references that are used. */
static bool load_is_whole(const struct elem *node)
{
	__u64 seed = node->head[SEED], shape = node->head[SHAPE];
	bool noscan = kind_of(shape) == NOSCAN;
	unsigned int i, j;

	for (i = 0; i < nr_of(shape); i++) {
		for (j = 0; j < 4 && i; j++)
			if (node[i].head[j] != load_of(seed, i, j))
				return false;
		for (j = 0; j < 4; j++)
			if (node[i].load[j] != load_of(seed, i, 4 + j))
				return false;
		for (j = 0; j < REFS && noscan; j++)
			if (as_addr(node[i].ref[j]) != load_of(seed, i, 8 + j))
				return false;
	}
	return true;
}

static __u64 any_shape(struct rng *rng)
{
	unsigned int kind = rng_below(rng, 3);

	switch (rng_below(rng, 64)) {
	case 0:
		return shape_of(kind, rng_below(rng, 4) ? 257 : 1500);
	case 1 ... 8:
		return shape_of(kind, 5 + rng_below(rng, 30));
	case 9 ... 20:
		return shape_of(kind, 2 + rng_below(rng, 3));
	default:
		return shape_of(kind, 1);
	}
}

/* Objects of one shape; false when there are none. */
static bool get_nodes(struct graph *g, __u64 shape, unsigned int nr, struct elem **node)
{
	size_t size = nr_of(shape) * sizeof(**node);
	bool typed = kind_of(shape) == TYPED || kind_of(shape) == PARCEL;
	__u32 flags = kind_of(shape) == NOSCAN ? KARENA_ALLOC_NOSCAN : 0;
	unsigned int i;
	int ret;

	/* Else garbage is kept by what stands behind the last element. */
	if (flags && rng_below(&g->rng, 2))
		flags |= KARENA_ALLOC_NOZERO;
	ret = typed ? heap_alloc_type(g->fd, g->type, size, flags, nr, (__u64 *)node) :
		      heap_alloc(g->fd, size, flags, nr, (__u64 *)node);
	if (!check_ret(ret, 0))
		return false;
	for (i = 0; i < nr; i++) {
		const __u64 *words = (__u64 *)node[i];
		size_t j;

		for (j = 0; !(flags & KARENA_ALLOC_NOZERO) && j < size / 8; j++)
			if (words[j])
				return check(!"a new object is zero");
	}
	return true;
}

/* A new node, known; NULL if the oracle is full. */
static struct elem *new_node(struct graph *g, struct elem *node, __u64 shape, __u32 *id)
{
	__u64 seed = rng_next(&g->rng);

	*id = new_known(g, seed, shape);
	if (!*id)
		return NULL;
	fill_node(node, g->tag | *id, seed, shape);
	return node;
}

/* --- places --- */

/* A node on a random way from the roots; 0 if there is none. */
static __u32 walk(struct graph *g, struct elem **node)
{
	unsigned int steps = rng_below(&g->rng, 7), tries, i, r;
	__u32 id;

	r = rng_below(&g->rng, GRAPH_ROOTS);
	id = g->known_root[r];
	*node = g->root[r];
	for (; id && steps; steps--) {
		for (tries = 0; tries < 6; tries++) {
			i = rng_below(&g->rng, REFS * PORTS);
			if (g->known[id].ref[i])
				break;
		}
		if (tries == 6)
			break;
		*node = port(*node, g->known[id].shape, i / REFS)->ref[i % REFS];
		id = g->known[id].ref[i];
	}
	if (id && !check_eq((*node)->head[SELF], g->tag | id))
		return 0;
	return id;
}

/* References side by side, in the heap and in the oracle. */
struct refs {
	struct elem **real;
	__u32 *known;
};

static bool some_refs(struct graph *g, struct refs *refs)
{
	struct elem *node;
	__u32 id = walk(g, &node);
	unsigned int ports = id ? ports_of(g->known[id].shape) : 0, p;

	if (!ports) {
		refs->real = g->root;
		refs->known = g->known_root;
		return !tap_failed();
	}
	p = rng_below(&g->rng, ports);
	refs->real = port(node, g->known[id].shape, p)->ref;
	refs->known = &g->known[id].ref[p * REFS];
	return true;
}

/* --- copies --- */

struct eight {
	struct elem *ref[REFS];
};

static void copy_by_memcpy(struct elem **to, struct elem **from)
{
	memcpy(to, from, sizeof(struct eight));
}

static void copy_by_assignment(struct elem **to, struct elem **from)
{
	*(struct eight *)to = *(struct eight *)from;
}

static void copy_by_string(struct elem **to, struct elem **from)
{
	size_t nr = REFS;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(nr) : : "memory");
}

__attribute__((target("avx2")))
static void copy_by_avx(struct elem **to, struct elem **from)
{
	*(struct eight *)to = *(struct eight *)from;
	__asm__ volatile("" : : : "memory");
}

/* For a while all are in registers only. */
static void move_through_sse(struct elem **to, struct elem **from, unsigned long spin)
{
	__asm__ volatile("movdqu (%[from]), %%xmm4\n\t"
			 "movdqu 16(%[from]), %%xmm5\n\t"
			 "movdqu 32(%[from]), %%xmm6\n\t"
			 "movdqu 48(%[from]), %%xmm7\n\t"
			 "pxor %%xmm3, %%xmm3\n\t"
			 "movdqu %%xmm3, (%[from])\n\t"
			 "movdqu %%xmm3, 16(%[from])\n\t"
			 "movdqu %%xmm3, 32(%[from])\n\t"
			 "movdqu %%xmm3, 48(%[from])\n\t"
			 "1: dec %[spin]\n\t"
			 "jnz 1b\n\t"
			 "movdqu %%xmm4, (%[to])\n\t"
			 "movdqu %%xmm5, 16(%[to])\n\t"
			 "movdqu %%xmm6, 32(%[to])\n\t"
			 "movdqu %%xmm7, 48(%[to])"
			 : [spin] "+r"(spin) : [to] "r"(to), [from] "r"(from)
			 : "memory", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "cc");
}

__attribute__((target("avx2")))
static void move_through_avx(struct elem **to, struct elem **from, unsigned long spin)
{
	__asm__ volatile("vmovdqu (%[from]), %%ymm14\n\t"
			 "vmovdqu 32(%[from]), %%ymm15\n\t"
			 "vpxor %%ymm13, %%ymm13, %%ymm13\n\t"
			 "vmovdqu %%ymm13, (%[from])\n\t"
			 "vmovdqu %%ymm13, 32(%[from])\n\t"
			 "1: dec %[spin]\n\t"
			 "jnz 1b\n\t"
			 "vmovdqu %%ymm14, (%[to])\n\t"
			 "vmovdqu %%ymm15, 32(%[to])\n\t"
			 "vzeroupper"
			 : [spin] "+r"(spin) : [to] "r"(to), [from] "r"(from)
			 : "memory", "xmm13", "xmm14", "xmm15", "cc");
}

/* In locals, over system calls. */
static void move_through_stack(struct elem **to, struct elem **from, unsigned long spin)
{
	struct eight eight = *(struct eight *)from;
	struct elem *volatile hold[REFS];
	unsigned int i;

	for (i = 0; i < REFS; i++)
		hold[i] = eight.ref[i];
	memset(from, 0, sizeof(eight));
	for (; spin > 1; spin /= 8)
		sched_yield();
	for (i = 0; i < REFS; i++)
		to[i] = hold[i];
}

static bool has_avx(void)
{
	return __builtin_cpu_supports("avx2");
}

/* --- changes --- */

static void copy_refs(struct graph *g, const struct refs *to, const struct refs *from)
{
	static void (*const copy[])(struct elem **to, struct elem **from) = {
		copy_by_memcpy, copy_by_assignment, copy_by_string, copy_by_avx,
	};

	copy[rng_below(&g->rng, has_avx() ? 4 : 3)](to->real, from->real);
	memmove(to->known, from->known, REFS * sizeof(*to->known));
}

static void move_refs(struct graph *g, const struct refs *to, const struct refs *from)
{
	static void (*const move[])(struct elem **to, struct elem **from, unsigned long spin) = {
		move_through_sse, move_through_stack, move_through_avx,
	};
	__u32 known[REFS];

	memcpy(known, from->known, sizeof(known));
	memset(from->known, 0, sizeof(known));
	memcpy(to->known, known, sizeof(known));
	move[rng_below(&g->rng, has_avx() ? 3 : 2)](to->real, from->real,
						     1 + rng_below(&g->rng, 4000));
}

static void shift_refs(struct graph *g, const struct refs *refs)
{
	unsigned int by = 1 + rng_below(&g->rng, REFS - 1), left = REFS - by;

	if (rng_below(&g->rng, 2)) {
		memmove(refs->real + by, refs->real, left * sizeof(*refs->real));
		memmove(refs->known + by, refs->known, left * sizeof(*refs->known));
	} else {
		memmove(refs->real, refs->real + by, left * sizeof(*refs->real));
		memmove(refs->known, refs->known + by, left * sizeof(*refs->known));
	}
}

static void swap_refs(struct graph *g, const struct refs *a, const struct refs *b)
{
	unsigned int i = rng_below(&g->rng, REFS), j = rng_below(&g->rng, REFS);
	struct elem *node = a->real[i];
	__u32 id = a->known[i];

	a->real[i] = b->real[j];
	a->known[i] = b->known[j];
	b->real[j] = node;
	b->known[j] = id;
}

static void link_node(struct graph *g, const struct refs *to)
{
	unsigned int i = rng_below(&g->rng, REFS);
	struct elem *node;
	__u32 id = walk(g, &node);

	to->real[i] = id ? node : NULL;
	to->known[i] = id;
}

static void add_nodes(struct graph *g, const struct refs *to)
{
	unsigned int nr = rng_below(&g->rng, 4) ? 1 : 1 + rng_below(&g->rng, REFS), i;
	__u64 shape = any_shape(&g->rng);
	struct elem *node[REFS];
	__u32 id;

	if (g->nr_free < REFS)
		forget(g);
	if (g->nr_free < REFS) {
		graph_drop(g);
		return;
	}
	/* Large ones alone. */
	nr = nr_of(shape) > 64 ? 1 : nr;
	if (!get_nodes(g, shape, nr, node))
		return;
	for (i = 0; i < nr; i++) {
		to->real[i] = new_node(g, node[i], shape, &id);
		to->known[i] = id;
	}
}

/* Nodes that never were anywhere else. */
static void free_new(struct graph *g)
{
	unsigned int nr = 1 + rng_below(&g->rng, 12);
	struct karena_free out;
	__u64 addrs[12];

	if (!get_nodes(g, shape_of(rng_below(&g->rng, 3), 1), nr, (struct elem **)addrs))
		return;
	check_ret(heap_free(g->fd, addrs, nr, &out), 0);
	check_eq(out.rejected, 0);
}

/* One that there is one reference to. */
static void free_node(struct graph *g, const struct refs *refs)
{
	unsigned int i = rng_below(&g->rng, REFS), j, k, n = 0;
	struct elem *node = refs->real[i];
	__u32 id = refs->known[i];

	if (!id)
		return;
	for (j = 0; j < GRAPH_ROOTS; j++)
		n += g->known_root[j] == id;
	for (j = 0; j < GRAPH_NODES; j++)
		for (k = 0; k < GRAPH_REFS; k++)
			n += g->known[j].ref[k] == id;
	if (n != 1)
		return;
	refs->real[i] = NULL;
	refs->known[i] = 0;
	check_ret(heap_drop(g->fd, as_addr(node)), 0);
}

static void change(struct graph *g, const struct refs *a, const struct refs *b)
{
	switch (rng_below(&g->rng, 16)) {
	case 0 ... 4:
		add_nodes(g, a);
		return;
	case 5:
		a->real[1] = NULL;
		a->known[1] = 0;
		return;
	case 6:
		copy_refs(g, a, b);
		return;
	case 7 ... 8:
		move_refs(g, a, b);
		return;
	case 9:
		shift_refs(g, a);
		return;
	case 10 ... 11:
		swap_refs(g, a, b);
		return;
	case 12:
		free_new(g);
		return;
	case 13:
		free_node(g, a);
		return;
	default:
		link_node(g, a);
	}
}

void graph_step(struct graph *g)
{
	struct refs a, b;

	if (some_refs(g, &a) && some_refs(g, &b))
		change(g, &a, &b);
	g->steps++;
}

/* --- is it all there? --- */

static bool is_whole(struct graph *g, __u32 id, const struct elem *node)
{
	const struct known *known = &g->known[id];

	return check(node) &&
	       check(heap_usable(g->fd, as_addr(node)) > 0) &&
	       check_eq(node->head[SELF], g->tag | id) &&
	       check_eq(node->head[SEED], known->seed) &&
	       check_eq(node->head[SHAPE], known->shape) && check(head_is_whole(node)) &&
	       check(load_is_whole(node));
}

/* The node behind a reference; to be looked at if it is there for the first time. */
static bool meet(struct graph *g, __u32 id, struct elem *node, __u32 *todo, __u32 *nr)
{
	if (!id)
		return check(!node);
	if (g->known[id].hidden)
		return check_eq(~g->known[id].hidden, as_addr(node));
	g->known[id].hidden = ~as_addr(node);
	todo[(*nr)++] = id;
	return is_whole(g, id, node);
}

static bool meet_refs(struct graph *g, __u32 id, __u32 *todo, __u32 *nr)
{
	struct elem *node = as_ptr(~g->known[id].hidden);
	__u64 shape = g->known[id].shape;
	unsigned int i;

	for (i = 0; i < REFS * ports_of(shape); i++)
		if (!meet(g, g->known[id].ref[i], port(node, shape, i / REFS)->ref[i % REFS],
			  todo, nr))
			return false;
	return true;
}

bool graph_verify(struct graph *g)
{
	__u32 todo[GRAPH_NODES], nr = 0, i;
	bool good = true;

	for (i = 0; i < GRAPH_NODES; i++)
		g->known[i].hidden = 0;
	for (i = 0; good && i < GRAPH_ROOTS; i++)
		good = meet(g, g->known_root[i], g->root[i], todo, &nr);
	while (good && nr)
		good = meet_refs(g, todo[--nr], todo, &nr);
	return good;
}

unsigned int graph_count(struct graph *g)
{
	unsigned int i, n = 0;

	mark_known(g);
	for (i = 1; i < GRAPH_NODES; i++)
		n += g->known[i].reached;
	return n;
}

/* --- from one process to another --- */

/* What is in a parcel: how many nodes, and their seeds together. */
struct contents {
	__u64 nr;
	__u64 seeds;
};

static struct elem *pack(struct graph *g, const struct contents *contents)
{
	__u64 shape = shape_of(PARCEL, 1);
	struct elem *parcel;

	if (!get_nodes(g, shape, 1, &parcel))
		return NULL;
	fill_node(parcel, 0, rng_next(&g->rng), shape);
	parcel->load[0] = contents->nr;
	parcel->load[1] = contents->seeds;
	parcel->load[2] = hash(contents->nr, contents->seeds);
	return parcel;
}

/* Its one place is @to from then on. */
static void send(struct elem *parcel, struct elem **to)
{
	__atomic_store_n(to, parcel, __ATOMIC_RELEASE);
}

static bool send_all(struct graph *g, struct elem **to)
{
	struct contents contents = { 0 };
	struct elem *parcel;
	unsigned int i;

	mark_known(g);
	for (i = 1; i < GRAPH_NODES; i++) {
		if (!g->known[i].reached)
			continue;
		contents.nr++;
		contents.seeds += g->known[i].seed;
	}
	parcel = pack(g, &contents);
	if (!parcel)
		return false;
	memcpy(parcel->ref, g->root, sizeof(parcel->ref));
	graph_drop(g);
	send(parcel, to);
	return true;
}

/* A list that ends in a ring. */
static bool send_new(struct graph *g, struct elem **to)
{
	struct elem *node[6], *parcel;
	struct contents contents = { .nr = 1 + rng_below(&g->rng, ARRAY_SIZE(node)) };
	__u64 seed[ARRAY_SIZE(node)], shape = any_shape(&g->rng);
	unsigned int i;

	if (nr_of(shape) > 64 || kind_of(shape) == NOSCAN)
		contents.nr = 1;
	for (i = 0; i < contents.nr; i++) {
		seed[i] = rng_next(&g->rng);
		contents.seeds += seed[i];
	}
	if (!get_nodes(g, shape, contents.nr, node))
		return false;
	for (i = 0; i < contents.nr; i++)
		fill_node(node[i], 0, seed[i], shape);
	for (i = 0; i < contents.nr && ports_of(shape); i++)
		node[i]->ref[i % REFS] = node[i + 1 < contents.nr ? i + 1 : i / 2];
	parcel = pack(g, &contents);
	if (!parcel)
		return false;
	parcel->ref[0] = node[0];
	send(parcel, to);
	return true;
}

bool graph_send(struct graph *g, bool all, struct elem **to)
{
	return all ? send_all(g, to) : send_new(g, to);
}

/* A node of the parcel: known from here on, or already. */
static __u32 take(struct graph *g, struct elem *node, __u32 *todo, __u32 *nr)
{
	__u32 id;

	if (!node)
		return 0;
	if ((node->head[SELF] & ~0xffffffffULL) == g->tag)
		return node->head[SELF];
	if (!check(head_is_whole(node)) || !check(load_is_whole(node)))
		return 0;
	id = new_known(g, node->head[SEED], node->head[SHAPE]);
	if (!check(id))
		return 0;
	node->head[SELF] = g->tag | id;
	g->known[id].hidden = ~as_addr(node);
	todo[(*nr)++] = id;
	return id;
}

static void take_refs(struct graph *g, __u32 id, __u32 *todo, __u32 *nr)
{
	struct elem *node = as_ptr(~g->known[id].hidden);
	__u64 shape = g->known[id].shape;
	unsigned int i;

	for (i = 0; i < REFS * ports_of(shape); i++)
		g->known[id].ref[i] = take(g, port(node, shape, i / REFS)->ref[i % REFS],
					   todo, nr);
}

static bool unpack(struct graph *g, struct elem *parcel, const struct contents *contents)
{
	__u32 todo[GRAPH_NODES], nr = 0, i;
	struct contents found = { 0 };

	memcpy(g->root, parcel->ref, sizeof(parcel->ref));
	for (i = 0; i < GRAPH_ROOTS; i++)
		g->known_root[i] = take(g, g->root[i], todo, &nr);
	while (nr && !tap_failed()) {
		i = todo[--nr];
		found.nr++;
		found.seeds += g->known[i].seed;
		take_refs(g, i, todo, &nr);
	}
	return check_eq(found.nr, contents->nr) && check_eq(found.seeds, contents->seeds);
}

bool graph_receive(struct graph *g, struct elem **from)
{
	struct elem *parcel = __atomic_load_n(from, __ATOMIC_ACQUIRE);
	struct contents contents;

	if (!parcel)
		return true;
	/* What was there goes: both together might be too much for the oracle. */
	graph_drop(g);
	/* Whoever comes after a killed receiver gets it as it is. */
	g->root[0] = parcel;
	__atomic_store_n(from, NULL, __ATOMIC_RELEASE);
	contents = (struct contents){ parcel->load[0], parcel->load[1] };
	if (!check(head_is_whole(parcel)) ||
	    !check_eq(parcel->load[2], hash(contents.nr, contents.seeds)))
		return false;
	return unpack(g, parcel, &contents);
}
