// SPDX-License-Identifier: GPL-2.0
/*
 * A library that is loaded while a program runs (t_libgc.c), with a place for a
 * reference.
 */
void *plugin_slot;
