/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena, what programs call that karena-escape has rewritten: frame.c.  The compiler
 * makes the calls and the variable, so no program needs this.
 */
#ifndef KARENA_FRAME_H
#define KARENA_FRAME_H

#include "karena.h"

/* tools/escape/rewrite.cc has it as well. */
#define KARENA_FRAME_SIZE	64

/* A variable of that size, cleared when the function begins. */
struct karena_frame;

void *karena_frame_alloc(struct karena_frame *frame, struct karena *heap, size_t size);
void *karena_frame_alloc_flags(struct karena_frame *frame, struct karena *heap, size_t size,
			       unsigned int flags);
void *karena_frame_new(struct karena_frame *frame, struct karena *heap, struct karena_type type);
void *karena_frame_new_array(struct karena_frame *frame, struct karena *heap,
			     struct karena_type type, size_t count);
/* The function returns. */
void karena_frame_close(struct karena_frame *frame);

#endif /* KARENA_FRAME_H */
