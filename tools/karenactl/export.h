/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: graphs as other programs read them.
 */
#ifndef KARENACTL_EXPORT_H
#define KARENACTL_EXPORT_H

#include <stdio.h>

#include "dominate.h"

/* Garbage is left out of both.  Whether it was written, ferror(3) tells. */
void write_heapsnapshot(FILE *to, const struct graph *graph, const struct dominators *doms);
/* The @most objects that retain most; how many others there are. */
__u32 write_dot(FILE *to, const struct graph *graph, const struct dominators *doms, size_t most);

#endif /* KARENACTL_EXPORT_H */
