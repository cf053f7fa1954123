// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, a heap as a graph in memory: see graph.h.  Spans are found by address or by
 * object through binary search, what is in a span by its live bits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

#define BITS		64
#define MAX_SLOTS	(1U << 16)
#define SIZES		(KARENA_MAX_SMALL / 8 + 2)	/* the last is that of large objects */

/* What objects without a type may hold. */
enum kind { NO_REFS, ANY_WORD, PACKED, NR_KINDS };

struct graph *graph_new(void)
{
	return must_have(calloc(1, sizeof(struct graph)));
}

void graph_free(struct graph *graph)
{
	size_t i;

	if (!graph)
		return;
	for (i = 0; i < graph->nr_types; i++)
		free(graph->types[i].refs);
	free(graph->types);
	free(graph->spans);
	free(graph->live);
	free(graph->addr);
	free(graph->first_ref);
	free(graph->ref_at);
	free(graph->ref_to);
	free(graph->roots);
	free(graph->groups);
	free(graph);
}

__u32 graph_find_type(const struct graph *graph, __u32 id)
{
	__u32 i;

	for (i = 0; i < graph->nr_types; i++)
		if (graph->types[i].id == id)
			return i;
	return NO_TYPE;
}

/* --- groups --- */

static enum kind span_kind(__u32 flags)
{
	if (flags & KARENA_SPAN_PACKED)
		return PACKED;
	return flags & KARENA_SPAN_NOSCAN ? NO_REFS : ANY_WORD;
}

const char *group_text(char buf[CELL_LEN], const char *type_name, __u32 span_flags,
		       __u64 object_size)
{
	static const char * const kinds[NR_KINDS] = { "no references", "any word", "packed" };
	const char *kind = kinds[span_kind(span_flags)];

	if (type_name)
		snprintf(buf, CELL_LEN, "%s", type_name);
	else if (span_flags & KARENA_SPAN_LARGE)
		snprintf(buf, CELL_LEN, "(large, %s)", kind);
	else
		snprintf(buf, CELL_LEN, "(%llu B, %s)", (unsigned long long)object_size, kind);
	return buf;
}

static __u32 add_group(struct graph *graph, const char *text)
{
	size_t nr = graph->nr_groups++;

	if (!(nr & (nr - 1)))
		graph->groups = must_have(reallocarray(graph->groups, nr ? 2 * nr : 1,
						       sizeof(*graph->groups)));
	snprintf(graph->groups[nr], sizeof(graph->groups[nr]), "%s", text);
	return nr;
}

/* Types of one name are one group; those before @type have theirs. */
static __u32 group_of_type(struct graph *graph, const __u32 *of_type, __u32 type)
{
	__u32 i;

	for (i = 0; i < type; i++)
		if (!strcmp(graph->types[i].name, graph->types[type].name))
			return of_type[i];
	return add_group(graph, graph->types[type].name);
}

static void set_groups(struct graph *graph)
{
	__u32 *of_type = must_have(calloc(graph->nr_types + 1, sizeof(*of_type)));
	__u32 *of_size = must_have(calloc(NR_KINDS * SIZES, sizeof(*of_size)));
	struct graph_span *span;
	char text[CELL_LEN];
	__u32 i, *group;

	for (i = 0; i < graph->nr_types; i++)
		of_type[i] = group_of_type(graph, of_type, i);
	for (span = graph->spans; span < graph->spans + graph->nr_spans; span++) {
		if (span->type != NO_TYPE) {
			span->group = of_type[span->type];
			continue;
		}
		i = span->flags & KARENA_SPAN_LARGE ? SIZES - 1 : span->object_size / 8;
		group = &of_size[span_kind(span->flags) * SIZES + i];
		if (!*group)
			*group = 1 + add_group(graph, group_text(text, NULL, span->flags,
								 span->object_size));
		span->group = *group - 1;
	}
	free(of_type);
	free(of_size);
}

/* --- objects --- */

/* 0, or what is wrong with a span, where the one before ended at @end. */
static const char *check_span(const struct graph *graph, const struct graph_span *span, __u64 end)
{
	__u64 bytes, limit = graph->base + graph->window;

	if (span->start < end || span->start >= limit || span->start % 8)
		return "a span is out of place";
	if (!span->slots || span->slots > MAX_SLOTS || span->object_size < 8)
		return "a span without objects";
	if (!(span->flags & KARENA_SPAN_LARGE) &&
	    (span->object_size > KARENA_MAX_SMALL || span->object_size % 8))
		return "objects of no size class";
	if (__builtin_mul_overflow(span->slots, span->object_size, &bytes) ||
	    bytes > limit - span->start || span->object_size / 8 > NO_OBJECT)
		return "a span that is too long";
	return NULL;
}

static const char *check_spans(struct graph *graph)
{
	struct graph_span *span;
	const char *why;
	__u64 end = graph->base, words = 0;

	if (graph->base + graph->window < graph->base)
		return "a window that is too long";
	for (span = graph->spans; span < graph->spans + graph->nr_spans; span++) {
		why = check_span(graph, span, end);
		if (why)
			return why;
		end = span->start + span->slots * span->object_size;
		span->bits = words;
		words += ((__u64)span->slots + BITS - 1) / BITS;
	}
	return words == graph->nr_words ? NULL : "live bits of other spans";
}

static __u64 count_live(const struct graph *graph)
{
	__u64 nr = 0;
	size_t i;

	for (i = 0; i < graph->nr_words; i++)
		nr += __builtin_popcountll(graph->live[i]);
	return nr;
}

/* Adds the objects of a span; false if there are some behind its end. */
static bool add_objects(struct graph *graph, struct graph_span *span)
{
	const __u64 *live = graph->live + span->bits;
	__u32 word, slot;
	__u64 bits;

	span->first = graph->nr_objects;
	for (word = 0; word < ((__u64)span->slots + BITS - 1) / BITS; word++) {
		for (bits = live[word]; bits; bits &= bits - 1) {
			slot = word * BITS + __builtin_ctzll(bits);
			if (slot >= span->slots)
				return false;
			graph->addr[graph->nr_objects++] = span->start + slot * span->object_size;
		}
	}
	graph->nr_bytes += (graph->nr_objects - span->first) * span->object_size;
	return true;
}

int graph_index(struct graph *graph, const char **why)
{
	__u64 nr = count_live(graph);
	size_t i;

	*why = check_spans(graph);
	if (!*why && nr >= NO_OBJECT / 2)
		*why = "too many objects";
	if (*why)
		return -1;
	graph->addr = must_have(calloc(nr + 1, sizeof(*graph->addr)));
	graph->first_ref = must_have(calloc(nr + 1, sizeof(*graph->first_ref)));
	for (i = 0; i < graph->nr_spans; i++) {
		if (!add_objects(graph, &graph->spans[i])) {
			*why = "live bits of other spans";
			return -1;
		}
	}
	set_groups(graph);
	return 0;
}

/* The last span that begins at or before an address, by its number; there is one. */
static size_t span_before(const struct graph *graph, __u64 addr)
{
	size_t low = 0, high = graph->nr_spans, middle;

	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (graph->spans[middle].start <= addr)
			low = middle;
		else
			high = middle;
	}
	return low;
}

__u32 graph_find(const struct graph *graph, __u64 addr)
{
	const struct graph_span *span;
	const __u64 *live;
	__u64 slot, word;
	__u32 nr;

	if (addr - graph->base >= graph->window || !graph->nr_spans)
		return NO_OBJECT;
	span = &graph->spans[span_before(graph, addr)];
	slot = (addr - span->start) / span->object_size;
	if (addr < span->start || slot >= span->slots)
		return NO_OBJECT;
	live = graph->live + span->bits;
	if (!(live[slot / BITS] >> slot % BITS & 1))
		return NO_OBJECT;
	nr = span->first + __builtin_popcountll(live[slot / BITS] & ((1ULL << slot % BITS) - 1));
	for (word = 0; word < slot / BITS; word++)
		nr += __builtin_popcountll(live[word]);
	return nr;
}

const struct graph_span *graph_span_of(const struct graph *graph, __u32 object)
{
	return &graph->spans[span_before(graph, graph->addr[object])];
}

__u64 graph_size(const struct graph *graph, __u32 object)
{
	return graph_span_of(graph, object)->object_size;
}

const char *graph_label(const struct graph *graph, __u32 object)
{
	return graph->groups[graph_span_of(graph, object)->group];
}

/* --- references --- */

static void begin_refs(struct graph *graph, __u32 up_to)
{
	while (graph->nr_from <= up_to)
		graph->first_ref[graph->nr_from++] = graph->nr_refs;
}

void graph_add_ref(struct graph *graph, __u32 from, __u32 at, __u32 to)
{
	begin_refs(graph, from);
	if (graph->nr_refs == graph->room_refs) {
		if (graph->nr_refs >= NO_OBJECT / 2) {
			fputs("karenactl: too many references\n", stderr);
			exit(EXIT_FAILED);
		}
		graph->room_refs = 2 * graph->room_refs + 1024;
		graph->ref_at = must_have(reallocarray(graph->ref_at, graph->room_refs,
						       sizeof(*graph->ref_at)));
		graph->ref_to = must_have(reallocarray(graph->ref_to, graph->room_refs,
						       sizeof(*graph->ref_to)));
	}
	graph->ref_at[graph->nr_refs] = at;
	graph->ref_to[graph->nr_refs++] = to;
}

void graph_end_refs(struct graph *graph)
{
	begin_refs(graph, graph->nr_objects);
}

void referrers_find(struct referrers *referrers, const struct graph *graph)
{
	__u32 *first = must_have(calloc((size_t)graph->nr_objects + 2, sizeof(*first)));
	__u32 *from = must_have(calloc((size_t)graph->nr_refs + 1, sizeof(*from)));
	__u32 i, ref;

	/* Numbers of them, one further on; then where each begins, which moves to its end. */
	for (ref = 0; ref < graph->nr_refs; ref++)
		first[graph->ref_to[ref] + 2]++;
	for (i = 2; i < graph->nr_objects + 2; i++)
		first[i] += first[i - 1];
	for (i = 0; i < graph->nr_objects; i++)
		for (ref = graph->first_ref[i]; ref < graph->first_ref[i + 1]; ref++)
			from[first[graph->ref_to[ref] + 1]++] = i;
	referrers->first = first;
	referrers->from = from;
}

void referrers_free(struct referrers *referrers)
{
	free(referrers->first);
	free(referrers->from);
}

/* --- roots --- */

unsigned int graph_root_objects(const struct graph *graph, const struct graph_root *root,
				__u32 objects[ROOT_OBJECTS])
{
	__u32 object = graph_find(graph, root->word), before;
	unsigned int nr = 0;

	if (object != NO_OBJECT)
		objects[nr++] = object;
	if (root->kind != KARENA_ROOT_REGISTER && root->kind != KARENA_ROOT_STACK)
		return nr;
	/* The collector keeps both, as it cannot tell which one is meant. */
	before = graph_find(graph, root->word - 1);
	if (before != NO_OBJECT && before != object)
		objects[nr++] = before;
	return nr;
}

const char *root_kind_text(__u32 kind)
{
	static const char * const kinds[] = { "register", "stack", "range", "call" };

	return kind < COUNT(kinds) ? kinds[kind] : "?";
}

const char *graph_root_text(char buf[2 * CELL_LEN], const struct graph_root *root)
{
	char pid[CELL_LEN], tid[CELL_LEN];

	pid_text(pid, root->pid);
	pid_text(tid, root->tid);
	switch (root->kind) {
	case KARENA_ROOT_REGISTER:
		snprintf(buf, 2 * CELL_LEN, "a register of thread %.11s of process %.11s", tid,
			 pid);
		break;
	case KARENA_ROOT_STACK:
		snprintf(buf, 2 * CELL_LEN, "%#llx, on the stack of thread %.11s of process %.11s",
			 (unsigned long long)root->at, tid, pid);
		break;
	case KARENA_ROOT_RANGE:
		snprintf(buf, 2 * CELL_LEN, "%#llx, in data of process %.11s",
			 (unsigned long long)root->at, pid);
		break;
	default:
		snprintf(buf, 2 * CELL_LEN, "a call that process %.11s makes", pid);
	}
	return buf;
}

const char *graph_ref_text(char buf[CELL_LEN], const struct graph *graph, __u32 from, __u32 at)
{
	const struct graph_span *span = graph_span_of(graph, from);
	unsigned long long offset = 8ULL * at, element = span->object_size;

	if (span->type != NO_TYPE)
		element = graph->types[span->type].element;
	if (element && 2 * element <= span->object_size)
		snprintf(buf, CELL_LEN, "[%llu]+%llu", offset / element, offset % element);
	else
		snprintf(buf, CELL_LEN, "+%llu", offset);
	return buf;
}
