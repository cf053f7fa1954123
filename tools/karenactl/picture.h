/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: the pages of a heap as a grid of cells, and their colours; for the terminal
 * (map.c) and for SVG (svg.c).
 */
#ifndef KARENACTL_PICTURE_H
#define KARENACTL_PICTURE_H

#include <stdio.h>

#include "list.h"

/* What is in a cell's pages, for the most part. */
enum fill {
	FILL_NOTHING,	/* no memory */
	FILL_FREE,
	FILL_SPAN,
};

struct map_cell {
	enum fill fill;
	bool noscan;
	bool unswept;
	__u32 object_size;	/* 0: large */
	__u32 type;		/* of all that is meant, or 0 */
	__u64 span;		/* its start, 0 if it is several */
	double age;		/* cycles, on average */
	double live;		/* share of the room for objects, on average */
};

struct map_row {
	__u64 start;		/* address */
	struct map_cell *cells;
};

/* Rows in which there is nothing are left out. */
struct grid {
	__u64 base;		/* the window's */
	__u64 cell_bytes;
	__u64 pages;		/* that the rows show, without FILL_NOTHING */
	size_t columns;
	size_t nr_rows;
	struct map_row *rows;
};

/* So coarse that there are about @most_cells, but a page is the least. */
void grid_make(struct grid *grid, const struct list *spans, __u64 base, size_t columns,
	       size_t most_cells);
void grid_free(struct grid *grid);

/* Size classes are told of by twos: up to 8 bytes, 16, 32, ... 32768, and large objects. */
#define NR_BANDS	14

int band_of(__u32 object_size);
/* "up to 64 B" */
const char *band_text(char buf[CELL_LEN], int band);
/* Bit 2 * band, and the next one without references, of each that the grid has. */
__u32 grid_bands(const struct grid *grid);

struct colour {
	__u8 red;
	__u8 green;
	__u8 blue;
};

/* By size the hue, by age the lightness. */
struct colour colour_of(__u32 object_size, double age);

/* svg.c: a file of its own, with addresses and a legend, or a part of a page. */
void svg_map(FILE *out, const struct grid *grid, const struct types *types, bool alone);
/* Text as XML and HTML have it, attributes as well. */
void put_escaped(FILE *out, const char *text);

#endif /* KARENACTL_PICTURE_H */
