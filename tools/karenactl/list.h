/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: lists that the module tells in parts (struct karena_list), and what is in
 * them: spans, types, magazines.
 */
#ifndef KARENACTL_LIST_H
#define KARENACTL_LIST_H

#include "ctl.h"

/* Records of different sizes, one behind the other. */
struct list {
	char *records;
	size_t length;
};

/* All of it; complains and returns -1. */
int read_list(int fd, unsigned long call, __u32 flags, __u32 id, struct list *list);
/* Some records, from a place on, of spans their page in the window; -1 with errno. */
int read_part(int fd, unsigned long call, __u32 flags, __u32 id, __u64 from, struct list *list);
/* The next record, the first behind NULL; NULL behind the last. */
const void *list_next(const struct list *list, const void *record);
void list_free(struct list *list);

/* The types of a heap, by their numbers. */
struct types {
	struct list list;
	const struct karena_type_record *by_id[KARENA_MAX_TYPES + 1];
};

int read_types(int fd, __u32 id, struct types *types);
const struct karena_type_record *find_type(const struct types *types, __u32 id);
/* NULL if none is known. */
const char *type_name(const struct types *types, __u32 id);
void types_free(struct types *types);

/* span.c: "large, noscan"; "-" if nothing is to be said. */
const char *span_flags_text(char buf[CELL_LEN], __u32 flags);

/* json.c */
json_t *span_json(const struct karena_span_record *span, const char *type_name);
json_t *type_json(const struct karena_type_record *type);
json_t *cache_json(const struct karena_cache_record *cache, const char *type_name);

#endif /* KARENACTL_LIST_H */
