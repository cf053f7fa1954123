/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events, karena:karena_*, for perf, trace-cmd, bpftrace and tracefs.
 *
 * As the kernel's own include/trace/events, this is included by files of all floors, and
 * so knows of none: an event takes numbers.  One that is off is a jump that is patched
 * out; what an event tells beyond what its caller knows anyway is to be computed only
 * if trace_*_enabled().  None is on a fast path.
 *
 * Heaps are told by their numbers, sizes in bytes, lengths of time in nanoseconds.  No
 * event has an address: pages of a program's heap are told by their offset in its
 * window, those of a kernel heap not at all (all bits set).
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM karena

#if !defined(_KARENA_OBSERVE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _KARENA_OBSERVE_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

/* Parts of a cycle, in their order: gc/cycle.c. */
#ifndef KARENA_TRACE_PHASES
#define KARENA_TRACE_PHASES
enum karena_trace_phase {
	KARENA_TRACE_IDLE,
	KARENA_TRACE_BEGIN,		/* waits for sections, empties magazines */
	KARENA_TRACE_PROTECT,
	KARENA_TRACE_SNAPSHOT,
	KARENA_TRACE_MARK,
	KARENA_TRACE_SWEEP,
};
#endif

/* clang-format off */
TRACE_DEFINE_ENUM(KARENA_TRACE_IDLE);
TRACE_DEFINE_ENUM(KARENA_TRACE_BEGIN);
TRACE_DEFINE_ENUM(KARENA_TRACE_PROTECT);
TRACE_DEFINE_ENUM(KARENA_TRACE_SNAPSHOT);
TRACE_DEFINE_ENUM(KARENA_TRACE_MARK);
TRACE_DEFINE_ENUM(KARENA_TRACE_SWEEP);

/* Objects on their way between spans and magazines. */
DECLARE_EVENT_CLASS(karena_objects,
	TP_PROTO(u32 heap, u32 size, u32 count),
	TP_ARGS(heap, size, count),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u32, size)
		__field(u32, count)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->size = size;
		__entry->count = count;
	),
	TP_printk("heap=%u size=%u count=%u", __entry->heap, __entry->size, __entry->count)
);

DEFINE_EVENT(karena_objects, karena_refill,
	TP_PROTO(u32 heap, u32 size, u32 count),
	TP_ARGS(heap, size, count));

DEFINE_EVENT(karena_objects, karena_flush,
	TP_PROTO(u32 heap, u32 size, u32 count),
	TP_ARGS(heap, size, count));

/* @size: of an object; 0: a large one, as large as the span. */
DECLARE_EVENT_CLASS(karena_span,
	TP_PROTO(u32 heap, u64 offset, u64 bytes, u32 size),
	TP_ARGS(heap, offset, bytes, size),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u32, size)
		__field(u64, offset)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->size = size;
		__entry->offset = offset;
		__entry->bytes = bytes;
	),
	TP_printk("heap=%u offset=%lld bytes=%llu size=%u", __entry->heap,
		  (s64)__entry->offset, __entry->bytes, __entry->size)
);

DEFINE_EVENT(karena_span, karena_span_new,
	TP_PROTO(u32 heap, u64 offset, u64 bytes, u32 size),
	TP_ARGS(heap, offset, bytes, size));

DEFINE_EVENT(karena_span, karena_span_gone,
	TP_PROTO(u32 heap, u64 offset, u64 bytes, u32 size),
	TP_ARGS(heap, offset, bytes, size));

/* A part of a cycle begins. */
TRACE_EVENT(karena_phase,
	TP_PROTO(u32 heap, u32 cycle, u32 phase),
	TP_ARGS(heap, cycle, phase),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u32, cycle)
		__field(u32, phase)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->cycle = cycle;
		__entry->phase = phase;
	),
	TP_printk("heap=%u cycle=%u phase=%s", __entry->heap, __entry->cycle,
		  __print_symbolic(__entry->phase,
				   { KARENA_TRACE_IDLE, "idle" },
				   { KARENA_TRACE_BEGIN, "begin" },
				   { KARENA_TRACE_PROTECT, "protect" },
				   { KARENA_TRACE_SNAPSHOT, "snapshot" },
				   { KARENA_TRACE_MARK, "mark" },
				   { KARENA_TRACE_SWEEP, "sweep" }))
);

/* All threads of programs stood still for @ns; or not all in time, if not @done. */
TRACE_EVENT(karena_stop,
	TP_PROTO(u32 heap, u64 ns, bool done),
	TP_ARGS(heap, ns, done),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(bool, done)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->done = done;
		__entry->ns = ns;
	),
	TP_printk("heap=%u ns=%llu done=%d", __entry->heap, __entry->ns, __entry->done)
);

/* Marking at a stretch. */
DECLARE_EVENT_CLASS(karena_marking,
	TP_PROTO(u32 heap, u64 ns, u64 objects, u64 scanned),
	TP_ARGS(heap, ns, objects, scanned),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u64, ns)
		__field(u64, objects)
		__field(u64, scanned)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->ns = ns;
		__entry->objects = objects;
		__entry->scanned = scanned;
	),
	TP_printk("heap=%u ns=%llu objects=%llu scanned=%llu", __entry->heap, __entry->ns,
		  __entry->objects, __entry->scanned)
);

/* By a worker, or who has time to spare. */
DEFINE_EVENT(karena_marking, karena_slice,
	TP_PROTO(u32 heap, u64 ns, u64 objects, u64 scanned),
	TP_ARGS(heap, ns, objects, scanned));

/* By an allocation. */
DEFINE_EVENT(karena_marking, karena_assist,
	TP_PROTO(u32 heap, u64 ns, u64 objects, u64 scanned),
	TP_ARGS(heap, ns, objects, scanned));

/* Memory goes back to the system. */
TRACE_EVENT(karena_scavenge,
	TP_PROTO(u32 heap, u64 bytes),
	TP_ARGS(heap, bytes),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->bytes = bytes;
	),
	TP_printk("heap=%u bytes=%llu", __entry->heap, __entry->bytes)
);

/* @why: enum karena_reject (uapi/karena.h) */
TRACE_EVENT(karena_wrong_free,
	TP_PROTO(u32 heap, u64 offset, u32 why),
	TP_ARGS(heap, offset, why),
	TP_STRUCT__entry(
		__field(u32, heap)
		__field(u32, why)
		__field(u64, offset)
	),
	TP_fast_assign(
		__entry->heap = heap;
		__entry->why = why;
		__entry->offset = offset;
	),
	TP_printk("heap=%u offset=%lld why=%s", __entry->heap, (s64)__entry->offset,
		  __print_symbolic(__entry->why,
				   { 1, "no object" }, { 2, "inside" }, { 3, "free already" },
				   { 4, "other heap" }))
);

/* clang-format on */

#endif /* _KARENA_OBSERVE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH kmod/observe
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
