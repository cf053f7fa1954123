/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: a heap at one moment, as a graph: objects, the references between them, and
 * the roots, which are words outside of the heap that refer to objects.
 *
 * Objects have numbers, from 0 up, by address; what is known of each is in flat arrays,
 * for there may be many millions.  dump.c makes a graph from what the module tells, file.c
 * from a file.
 */
#ifndef KARENACTL_GRAPH_H
#define KARENACTL_GRAPH_H

#include "ctl.h"

/* No object, and how many there may be. */
#define NO_OBJECT	((__u32)-1)

#define NO_TYPE		((__u32)-1)

struct graph_type {
	__u32 id;
	__u32 flags;		/* KARENA_TYPE_* */
	__u64 element;		/* bytes of an object, or of an element of an array */
	__u32 nr_refs;
	__u32 *refs;		/* offsets in bytes */
	char name[KARENA_NAME_LEN];
};

struct graph_span {
	__u64 start;
	__u64 object_size;
	__u64 bits;		/* number of its first word in graph.live */
	__u32 slots;
	__u32 flags;		/* KARENA_SPAN_* */
	__u32 type;		/* number in graph.types, or NO_TYPE */
	__u32 group;		/* number in graph.groups */
	__u32 first;		/* number of its first object */
};

struct graph_root {
	__u64 word;
	__u64 at;
	__u32 kind;		/* KARENA_ROOT_* */
	__u32 pid;
	__u32 tid;
	__u32 reserved;
};

struct graph {
	__u32 id;		/* of the heap, as are the next ones */
	__u32 pid;
	__u32 uid;
	bool collected;		/* else nobody knows of roots */
	char name[KARENA_NAME_LEN];
	__u64 base;
	__u64 window;
	__u64 time;		/* of the dump, in seconds since 1970 */

	struct graph_type *types;	/* by id */
	size_t nr_types;
	struct graph_span *spans;	/* by address */
	size_t nr_spans;
	__u64 *live;			/* which slots of spans have objects */
	size_t nr_words;

	__u64 *addr;			/* of each object */
	__u32 nr_objects;
	__u64 nr_bytes;			/* of all of them */
	/* References from object i: numbers first_ref[i] to first_ref[i + 1] - 1. */
	__u32 *first_ref;
	__u32 *ref_at;			/* where it is in the object, in words of 8 bytes */
	__u32 *ref_to;			/* to which object it leads */
	__u32 nr_refs;
	__u32 room_refs;
	__u32 nr_from;			/* objects whose first_ref is known */

	struct graph_root *roots;
	size_t nr_roots;

	/* What belongs together for people: a type, or a size of objects without one. */
	char (*groups)[CELL_LEN];
	size_t nr_groups;
};

struct graph *graph_new(void);
/* The number of a type in graph.types, or NO_TYPE. */
__u32 graph_find_type(const struct graph *graph, __u32 id);
/* Types, spans and live bits are there, and become objects; -1 if they cannot, and *why. */
int graph_index(struct graph *graph, const char **why);
/* By ascending objects, and offsets in each. */
void graph_add_ref(struct graph *graph, __u32 from, __u32 at, __u32 to);
void graph_end_refs(struct graph *graph);
void graph_free(struct graph *graph);

/* The object at an address, or around it. */
__u32 graph_find(const struct graph *graph, __u64 addr);
const struct graph_span *graph_span_of(const struct graph *graph, __u32 object);
__u64 graph_size(const struct graph *graph, __u32 object);
const char *graph_label(const struct graph *graph, __u32 object);
/* The objects that a root refers to: of a thread's, two, if it is where one ends. */
#define ROOT_OBJECTS	2
unsigned int graph_root_objects(const struct graph *graph, const struct graph_root *root,
				__u32 objects[ROOT_OBJECTS]);
/* "[3]+16": element and offset. */
const char *graph_ref_text(char buf[CELL_LEN], const struct graph *graph, __u32 from, __u32 at);
const char *graph_root_text(char buf[2 * CELL_LEN], const struct graph_root *root);
const char *root_kind_text(__u32 kind);

/* Its name, or what else is known of objects without one. */
const char *group_text(char buf[CELL_LEN], const char *type_name, __u32 span_flags,
		       __u64 object_size);

/* Where references come from: those to object i, first[i] to first[i + 1] - 1 of from. */
struct referrers {
	__u32 *first;
	__u32 *from;
};

void referrers_find(struct referrers *referrers, const struct graph *graph);
void referrers_free(struct referrers *referrers);

/* file.c: 0, or -1 having said why; and NULL likewise. */
int graph_write(const struct graph *graph, const char *path);
struct graph *graph_read(const char *path);

/* dump.c: of a heap's number, or a file; NULL having said why. */
struct graph *graph_open(const char *heap_or_file);
/* The same, if it is known what is reachable. */
struct graph *graph_open_collected(const char *heap_or_file);

#endif /* KARENACTL_GRAPH_H */
