// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, what programs get: JSON with the names of the contract
 * (uapi/karena.h), sizes in bytes, numbers without rounding.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "list.h"

/* A number in a structure of the contract. */
struct field {
	const char *name;
	bool wide;		/* 8 bytes, else 4 */
	size_t offset;
};

#define NARROW(type, member)	{ #member, false, offsetof(type, member) }
#define WIDE(type, member)	{ #member, true, offsetof(type, member) }

#define INFO32(member)	NARROW(struct karena_info, member)
#define INFO64(member)	WIDE(struct karena_info, member)
#define HEAP32(member)	NARROW(struct karena_heap_info, member)
#define HEAP64(member)	WIDE(struct karena_heap_info, member)
#define CLASS32(member)	NARROW(struct karena_class_info, member)
#define STAT32(member)	NARROW(struct karena_class_stat, member)
#define STAT64(member)	WIDE(struct karena_class_stat, member)
#define EXPLAIN32(member) NARROW(struct karena_explain, member)
#define EXPLAIN64(member) WIDE(struct karena_explain, member)
#define PART32(member)	NARROW(struct karena_explain_class, member)
#define PART64(member)	WIDE(struct karena_explain_class, member)
#define GC64(member)	WIDE(struct karena_gc_info, member)
#define CONTROL32(member) NARROW(struct karena_gc_control, member)
#define CONTROL64(member) WIDE(struct karena_gc_control, member)
#define CHECK64(member)	WIDE(struct karena_check, member)
#define DAMAGE64(member) WIDE(struct karena_damage_record, member)

static const struct field info_fields[] = {
	INFO32(abi_version), INFO64(features), INFO32(page_size),
	INFO32(nr_classes), INFO32(max_small), INFO32(max_bulk),
	INFO64(min_window), INFO64(max_window), INFO64(default_window),
	INFO32(user_heaps), INFO32(max_user_heaps), INFO64(user_bytes),
	INFO64(max_user_bytes),
};

static const struct field heap_fields[] = {
	HEAP32(id), HEAP32(uid), HEAP32(pid), HEAP64(base), HEAP64(window),
	HEAP64(limit), HEAP64(held_bytes), HEAP64(span_bytes),
	HEAP64(free_bytes), HEAP64(live_bytes), HEAP64(cached_bytes),
	HEAP64(meta_bytes), HEAP64(nr_spans), HEAP64(live_objects),
	HEAP64(allocs), HEAP64(frees), HEAP64(refills), HEAP64(flushes),
	HEAP64(failed),
};

static const struct field class_fields[] = {
	CLASS32(object_size), CLASS32(span_pages), CLASS32(span_objects),
	CLASS32(magazine),
};

static const struct field stat_fields[] = {
	STAT32(object_size), STAT32(noscan), STAT64(spans),
	STAT64(live_objects), STAT64(cached_objects), STAT64(free_objects),
	STAT64(allocs),
};

static const struct field explain_fields[] = {
	EXPLAIN32(id), EXPLAIN64(held_bytes), EXPLAIN64(live_bytes),
	EXPLAIN64(garbage_bytes), EXPLAIN64(cached_bytes), EXPLAIN64(slot_bytes),
	EXPLAIN64(tail_bytes), EXPLAIN64(free_bytes), EXPLAIN64(meta_bytes),
	EXPLAIN64(meta_span_bytes), EXPLAIN64(meta_map_bytes),
	EXPLAIN64(meta_region_bytes), EXPLAIN64(meta_class_bytes),
	EXPLAIN64(meta_gc_bytes), EXPLAIN64(soft_limit), EXPLAIN64(goal_bytes),
	EXPLAIN64(module_bytes), EXPLAIN64(module_soft_limit),
	EXPLAIN64(group_room), EXPLAIN64(returned_bytes), EXPLAIN64(return_ns),
	EXPLAIN64(return_max_ns), EXPLAIN64(return_switches),
};

static const struct field explain_class_fields[] = {
	PART32(object_size), PART64(spans), PART64(span_bytes), PART64(live_bytes),
	PART64(garbage_bytes), PART64(cached_bytes), PART64(free_bytes),
	PART64(tail_bytes),
};

static const struct field reclaim_fields[] = {
	NARROW(struct karena_reclaim, id), WIDE(struct karena_reclaim, returned),
	WIDE(struct karena_reclaim, meta),
};

static const struct field check_fields[] = {
	NARROW(struct karena_check, id), CHECK64(spans), CHECK64(objects),
	CHECK64(cached), CHECK64(runs), CHECK64(unsettled),
};

static const struct field damage_fields[] = {
	DAMAGE64(at), DAMAGE64(object_size), DAMAGE64(found), DAMAGE64(wanted),
};

static const struct field gc_fields[] = {
	GC64(cycles), GC64(forced), GC64(freed_objects), GC64(freed_bytes),
	GC64(live_bytes), GC64(goal_bytes), GC64(marked_objects), GC64(marked_bytes),
	GC64(mark_ns), GC64(assist_ns), GC64(slices), GC64(assists), GC64(lost),
	GC64(stops), GC64(put_off), GC64(stop_ns), GC64(stop_max_ns), GC64(protect_ns),
};

static const struct field span_fields[] = {
	WIDE(struct karena_span_record, start), WIDE(struct karena_span_record, length),
	NARROW(struct karena_span_record, object_size),
	NARROW(struct karena_span_record, objects), NARROW(struct karena_span_record, live),
	NARROW(struct karena_span_record, cached), NARROW(struct karena_span_record, type),
	NARROW(struct karena_span_record, cycles),
};

static const struct field type_fields[] = {
	NARROW(struct karena_type_record, id), NARROW(struct karena_type_record, nr_refs),
	WIDE(struct karena_type_record, element),
	WIDE(struct karena_type_record, live_objects),
	WIDE(struct karena_type_record, live_bytes),
};

static const struct field cache_fields[] = {
	NARROW(struct karena_cache_record, cpu),
	NARROW(struct karena_cache_record, object_size),
	NARROW(struct karena_cache_record, objects), NARROW(struct karena_cache_record, room),
	NARROW(struct karena_cache_record, type),
};

static const struct field control_fields[] = {
	CONTROL32(workers), CONTROL64(min_heap), CONTROL64(mem_limit),
	CONTROL32(period_ms), CONTROL32(slice_us), CONTROL32(share),
	CONTROL32(assist_us), CONTROL32(trace), CONTROL32(check),
};

static json_t *number(const void *from, const struct field *field)
{
	const char *at = (const char *)from + field->offset;
	__u64 wide;
	__u32 narrow;

	if (!field->wide) {
		memcpy(&narrow, at, sizeof(narrow));
		return json_integer(narrow);
	}
	memcpy(&wide, at, sizeof(wide));
	/* "No limit" is more than JSON's numbers can say. */
	return wide > INT64_MAX ? json_null() : json_integer(wide);
}

static json_t *object(const void *from, const struct field *fields, size_t nr)
{
	json_t *all = must_have(json_object());
	size_t i;

	for (i = 0; i < nr; i++)
		json_object_set_new(all, fields[i].name,
				    must_have(number(from, &fields[i])));
	return all;
}

json_t *info_json(const struct karena_info *info)
{
	return object(info, info_fields, COUNT(info_fields));
}

static json_t *numbers(const __u64 *from, size_t nr)
{
	json_t *all = must_have(json_array());
	size_t i;

	for (i = 0; i < nr; i++)
		json_array_append_new(all, must_have(json_integer(from[i])));
	return all;
}

json_t *gc_json(const struct karena_gc_info *info, const struct karena_gc_control *control)
{
	json_t *all = object(info, gc_fields, COUNT(gc_fields));
	json_t *set = object(control, control_fields, COUNT(control_fields));

	json_object_set_new(set, "percent", must_have(json_integer(control->percent)));
	json_object_set_new(all, "phase", must_have(json_string(phase_text(info->phase))));
	json_object_set_new(all, "slice_us", numbers(info->slice_us, KARENA_GC_BUCKETS));
	json_object_set_new(all, "stop_us", numbers(info->stop_us, KARENA_GC_BUCKETS));
	json_object_set_new(all, "assist_us", numbers(info->assist_us, KARENA_GC_BUCKETS));
	json_object_set_new(all, "control", set);
	return all;
}

json_t *class_json(const struct karena_class_info *class)
{
	return object(class, class_fields, COUNT(class_fields));
}

json_t *class_stat_json(const struct karena_class_stat *stat)
{
	return object(stat, stat_fields, COUNT(stat_fields));
}

json_t *explain_json(const struct karena_explain *explain)
{
	json_t *all = object(explain, explain_fields, COUNT(explain_fields));
	json_t *times = must_have(json_array());
	int i;

	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		json_array_append_new(times, must_have(json_integer(explain->return_us[i])));
	json_object_set_new(all, "return_us", times);
	return all;
}

json_t *explain_class_json(const struct karena_explain_class *class)
{
	return object(class, explain_class_fields, COUNT(explain_class_fields));
}

json_t *reclaim_json(const struct karena_reclaim *reclaim)
{
	return object(reclaim, reclaim_fields, COUNT(reclaim_fields));
}

static json_t *text_or_null(const char *text)
{
	return must_have(text ? json_string(text) : json_null());
}

json_t *span_json(const struct karena_span_record *span, const char *type_name)
{
	json_t *all = object(span, span_fields, COUNT(span_fields));

	json_object_set_new(all, "type_name", text_or_null(type_name));
	return all;
}

json_t *type_json(const struct karena_type_record *type)
{
	const __u32 *refs = (const __u32 *)(type + 1);
	json_t *all = object(type, type_fields, COUNT(type_fields));
	json_t *offsets = must_have(json_array());
	__u32 i;

	for (i = 0; i < type->nr_refs; i++)
		json_array_append_new(offsets, must_have(json_integer(refs[i])));
	json_object_set_new(all, "offsets", offsets);
	json_object_set_new(all, "noscan", json_boolean(type->flags & KARENA_TYPE_NOSCAN));
	json_object_set_new(all, "conservative",
			    json_boolean(type->flags & KARENA_TYPE_CONSERVATIVE));
	json_object_set_new(all, "name", must_have(json_string(type->name)));
	return all;
}

json_t *cache_json(const struct karena_cache_record *cache, const char *type_name)
{
	json_t *all = object(cache, cache_fields, COUNT(cache_fields));

	if (cache->cpu == KARENA_CACHE_DEPOT)
		json_object_set_new(all, "cpu", json_null());
	json_object_set_new(all, "program", json_boolean(cache->flags & KARENA_CACHE_PROGRAM));
	json_object_set_new(all, "noscan", json_boolean(cache->flags & KARENA_CACHE_NOSCAN));
	json_object_set_new(all, "type_name", text_or_null(type_name));
	return all;
}

json_t *check_json(const struct karena_check *check)
{
	return object(check, check_fields, COUNT(check_fields));
}

json_t *damage_json(const struct karena_damage_record *damage)
{
	return object(damage, damage_fields, COUNT(damage_fields));
}

json_t *heap_json(const struct karena_heap_info *heap)
{
	json_t *all = object(heap, heap_fields, COUNT(heap_fields));
	json_t *rejects = must_have(json_object());
	int i;

	for (i = KARENA_REJECT_NONE + 1; i < KARENA_NR_REJECT; i++)
		json_object_set_new(rejects, reject_names[i],
				    must_have(json_integer(heap->rejects[i])));
	json_object_set_new(all, "rejects", rejects);
	json_object_set_new(all, "kind",
			    must_have(json_string(kind_text(heap->kind))));
	json_object_set_new(all, "name", must_have(json_string(heap->name)));
	return all;
}

void print_json(json_t *value, size_t flags)
{
	json_dumpf(value, stdout, flags);
	putchar('\n');
	json_decref(value);
}
