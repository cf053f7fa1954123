/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What programs of the fuzzer see of tests/escape/standin.c beside <karena.h>.
 */
#ifndef _TESTS_ESCAPE_STANDIN_H
#define _TESTS_ESCAPE_STANDIN_H

extern unsigned long standin_heap, standin_scope;	/* objects from there */

/* Overwrites what functions that have returned left on the stack. */
void poison(void);

#endif /* _TESTS_ESCAPE_STANDIN_H */
