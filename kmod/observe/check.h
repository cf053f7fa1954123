/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The check of a heap: what its files share.
 *
 *	check.c		what is told, and the heap as a whole
 *	check_spans.c	lists of spans, and what is in a span
 *	check_runs.c	free pages
 *	check_mags.c	magazines and depots
 *	damage.c	bugs that tests plant into a heap
 */
#ifndef _KARENA_OBSERVE_CHECK_H
#define _KARENA_OBSERVE_CHECK_H

#include "kmod/alloc/internal.h"

/* Times that what changes meanwhile is tried once more. */
#define KARENA_CHECK_TRIES	16u

/* A check under way. */
struct karena_checker {
	struct karena_heap *heap;
	struct karena_check told;	/* but for records and length */
	unsigned int nr;		/* records that there are */
	struct karena_damage_record record[KARENA_MAX_DAMAGES];
	unsigned long where[KARENA_MAX_DAMAGES];	/* their addresses, of any heap */
};

/* check.c */
struct karena_checker *karena_checker_new(struct karena_heap *heap);
int karena_check_heap(struct karena_checker *checker);
void karena_damaged(struct karena_checker *checker, const struct karena_damage_record *record);
bool karena_is_sound(const void *at, size_t size);
int karena_do_check(struct karena_heap *heap, struct karena_check *req);

/* check_spans.c */
bool karena_is_span_of(const struct karena_heap *heap, const struct karena_span *span);
int karena_check_central(struct karena_checker *checker, struct karena_central *central);
int karena_check_spans(struct karena_checker *checker);

/* check_runs.c */
int karena_check_runs(struct karena_checker *checker, struct karena_runs *runs, bool bare);

/* check_mags.c */
int karena_check_magazines(struct karena_checker *checker);

#ifdef KARENA_CAN_PLANT
/* Something of a heap that is not as it was. */
struct karena_wound {
	struct karena_heap *heap;
	void *at;
	u64 was;
	unsigned int size;		/* of it */
	struct karena_span *moved;	/* to another list */
	struct list_head *from;
	struct karena_run *run;		/* of which programs are told something else */
	u16 value;
};

/* damage.c */
bool karena_wound(struct karena_heap *heap, u32 kind, struct karena_wound *wound);
void karena_mend(struct karena_wound *wound);
#endif

#endif /* _KARENA_OBSERVE_CHECK_H */
