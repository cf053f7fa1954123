/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: objects and bytes by type, and how they have changed.
 */
#ifndef KARENACTL_DIFF_H
#define KARENACTL_DIFF_H

#include "graph.h"

struct change {
	char name[CELL_LEN];
	__u64 objects[2];	/* before, and after */
	__u64 bytes[2];
};

/* A row for each name; empty ones are all 0. */
struct changes {
	struct change *rows;
	size_t nr;
};

/* To what there is already. */
void changes_add(struct changes *changes, const char *name, int side, __u64 objects, __u64 bytes);
/* Those that grew most first. */
void changes_sort(struct changes *changes);
/* Drops the others, of sorted ones. */
void changes_only_growth(struct changes *changes);
void changes_free(struct changes *changes);
void changes_of_dumps(struct changes *changes, const struct graph *old, const struct graph *new);
/* What did not change is not shown. */
void changes_print(const struct changes *changes, const char *title, bool raw);
json_t *changes_json(const struct changes *changes);

#endif /* KARENACTL_DIFF_H */
