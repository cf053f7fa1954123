/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random graphs, for the tests of what karenactl makes of them.
 */
#ifndef KARENACTL_TESTS_RANDOM_H
#define KARENACTL_TESTS_RANDOM_H

#include "../../../tests/user/tap.h"
#include "export.h"

#define BASE		0x7f0000000000ULL
#define WINDOW		(1ULL << 26)
#define MOST		1024	/* objects of a graph, and more than that */

bool one_in(struct rng *rng, __u64 n);
/* Of @spans spans at most, each of about 30 objects. */
struct graph *make_graph(struct rng *rng, unsigned int spans);
/* What a writer writes, a heapsnapshot if @dot is 0; to be freed. */
char *written(const struct graph *graph, const struct dominators *doms, size_t dot);

/* file.c: cases about files. */
void round_trip(void);
void damaged(void);
void messages(void);
bool files_begin(void);
void files_end(void);

#endif /* KARENACTL_TESTS_RANDOM_H */
