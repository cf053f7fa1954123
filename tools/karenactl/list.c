// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, lists: calls that tell them in parts until there is no more.  A heap may
 * change between two of them; each record is right by itself.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "list.h"

/* Bytes that a call may fill: of a list that is wanted whole, and the least. */
#define PART		(256 << 10)
#define LEAST_PART	(4 << 10)

/* One call, its records behind what there is; where the next one goes on, or -1. */
static __s64 add_part(int fd, unsigned long call, struct karena_list *args, __u64 room,
		      struct list *list)
{
	list->records = must_have(realloc(list->records, list->length + room));
	args->records = (uintptr_t)list->records + list->length;
	args->length = room;
	if (ioctl(fd, call, args))
		return -1;
	list->length += args->length;
	return args->from;
}

int read_part(int fd, unsigned long call, __u32 flags, __u32 id, __u64 from, struct list *list)
{
	struct karena_list args = {
		.size = sizeof(args), .flags = flags, .id = id, .from = from,
	};

	*list = (struct list){ };
	if (add_part(fd, call, &args, LEAST_PART, list) >= 0)
		return 0;
	list_free(list);
	return -1;
}

int read_list(int fd, unsigned long call, __u32 flags, __u32 id, struct list *list)
{
	struct karena_list args = { .size = sizeof(args), .flags = flags, .id = id };
	__s64 from;

	*list = (struct list){ };
	do
		from = add_part(fd, call, &args, PART, list);
	while (from > 0);
	if (!from)
		return 0;
	list_free(list);
	complain_list(id);
	return -1;
}

const void *list_next(const struct list *list, const void *record)
{
	const char *next = list->records;
	const __u32 *size = record;

	if (record)
		next = (const char *)record + *size;
	return next < list->records + list->length ? next : NULL;
}

void list_free(struct list *list)
{
	free(list->records);
	*list = (struct list){ };
}

int read_types(int fd, __u32 id, struct types *types)
{
	const struct karena_type_record *type;
	const void *at = NULL;

	*types = (struct types){ };
	if (read_list(fd, KARENA_IOC_TYPES, 0, id, &types->list))
		return -1;
	while ((at = list_next(&types->list, at))) {
		type = at;
		clean_name((char *)type->name);
		if (type->id <= KARENA_MAX_TYPES)
			types->by_id[type->id] = type;
	}
	return 0;
}

const struct karena_type_record *find_type(const struct types *types, __u32 id)
{
	return id <= KARENA_MAX_TYPES ? types->by_id[id] : NULL;
}

const char *type_name(const struct types *types, __u32 id)
{
	const struct karena_type_record *type = find_type(types, id);

	return type ? type->name : NULL;
}

void types_free(struct types *types)
{
	list_free(&types->list);
}
