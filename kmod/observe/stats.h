/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers of a heap, gathered without stopping anybody.
 */
#ifndef _KARENA_OBSERVE_STATS_H
#define _KARENA_OBSERVE_STATS_H

#include "kmod/alloc/internal.h"

void karena_stats_heap(struct karena_heap *heap, struct karena_heap_info *info);
void karena_stats_central(struct karena_central *central, struct karena_class_stat *stat);
unsigned int karena_stats_cached(struct karena_central *central, unsigned int cpu);
unsigned int karena_stats_class(struct karena_heap *heap, unsigned int spc,
				struct karena_class_stat *stat);

/* explain.c */
void karena_explain_heap(struct karena_heap *heap, struct karena_explain *out,
			 struct karena_explain_class *classes);

/* debugfs.c */
void karena_debugfs_init(void);
void karena_debugfs_exit(void);

#endif /* _KARENA_OBSERVE_STATS_H */
