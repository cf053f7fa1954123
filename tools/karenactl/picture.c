// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, the grid: spans, which come by address, are cut into the pages of cells, and
 * a cell is what most of it is.  Colours are chosen in OKLCH (bottosson.github.io/posts/
 * oklab), where the same lightness looks equally light in each hue.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"

/* Pages of one kind in a cell that is being made. */
struct part {
	struct map_cell what;
	__u64 bytes;
};

struct maker {
	struct grid *grid;
	__u64 cell;		/* number, counted from the window's start */
	struct part *parts;
	size_t nr;
	size_t room;
};

static bool same_kind(const struct map_cell *a, const struct map_cell *b)
{
	return a->fill == b->fill && a->object_size == b->object_size && a->noscan == b->noscan;
}

/* Ages and live shares are sums until the cell is complete. */
static void merge(struct part *part, const struct map_cell *what, __u64 bytes)
{
	part->what.age += what->age * bytes;
	part->what.live += what->live * bytes;
	part->what.unswept |= what->unswept;
	if (part->what.type != what->type)
		part->what.type = 0;
	if (part->what.span != what->span)
		part->what.span = 0;
	part->bytes += bytes;
}

static void add_part(struct maker *m, const struct map_cell *what, __u64 bytes)
{
	size_t i;

	m->grid->pages += bytes / KARENA_PAGE_SIZE;
	for (i = 0; i < m->nr && !same_kind(&m->parts[i].what, what); i++)
		;
	if (i == m->room) {
		m->room = 2 * m->room + 8;
		m->parts = must_have(reallocarray(m->parts, m->room, sizeof(*m->parts)));
	}
	if (i == m->nr) {
		m->parts[m->nr] = (struct part){ .what = *what };
		m->parts[m->nr].what.age = 0;
		m->parts[m->nr++].what.live = 0;
	}
	merge(&m->parts[i], what, bytes);
}

static struct map_cell *place(struct grid *grid, __u64 cell)
{
	__u64 start = grid->base + cell / grid->columns * grid->columns * grid->cell_bytes;
	size_t nr = grid->nr_rows;

	if (!nr || grid->rows[nr - 1].start != start) {
		grid->rows = must_have(reallocarray(grid->rows, nr + 1, sizeof(*grid->rows)));
		grid->rows[nr].start = start;
		grid->rows[nr].cells = must_have(calloc(grid->columns, sizeof(struct map_cell)));
		grid->nr_rows = ++nr;
	}
	return &grid->rows[nr - 1].cells[cell % grid->columns];
}

/* Of two halves, the one with objects. */
static bool is_more(const struct part *part, const struct part *most)
{
	if (part->bytes == most->bytes)
		return most->what.fill == FILL_FREE && part->what.fill == FILL_SPAN;
	return part->bytes > most->bytes;
}

static void finish_cell(struct maker *m)
{
	const struct part *most = m->parts;
	__u64 nothing = m->grid->cell_bytes;
	struct map_cell *cell;
	size_t i;

	if (!m->nr)
		return;
	for (i = 0; i < m->nr; i++) {
		nothing -= m->parts[i].bytes;
		if (is_more(&m->parts[i], most))
			most = &m->parts[i];
	}
	cell = place(m->grid, m->cell);
	if (most->bytes >= nothing) {
		*cell = most->what;
		cell->age /= most->bytes;
		cell->live /= most->bytes;
	}
	m->nr = 0;
}

static void add_span(struct maker *m, const struct karena_span_record *span)
{
	const struct map_cell what = {
		.fill = span->flags & KARENA_SPAN_FREE ? FILL_FREE : FILL_SPAN,
		.noscan = span->flags & KARENA_SPAN_NOSCAN,
		.unswept = span->flags & KARENA_SPAN_UNSWEPT,
		.object_size = span->flags & KARENA_SPAN_LARGE ? 0 : span->object_size,
		.type = span->type,
		.span = span->start,
		.age = span->cycles,
		.live = span->objects ? (double)span->live / span->objects : 0,
	};
	__u64 at = span->start - m->grid->base, end = at + span->length, next;

	for (; at < end; at = next) {
		if (at / m->grid->cell_bytes != m->cell) {
			finish_cell(m);
			m->cell = at / m->grid->cell_bytes;
		}
		next = (m->cell + 1) * m->grid->cell_bytes;
		if (next > end)
			next = end;
		add_part(m, &what, next - at);
	}
}

static __u64 all_bytes(const struct list *spans)
{
	const struct karena_span_record *span = NULL;
	__u64 sum = 0;

	while ((span = list_next(spans, span)))
		sum += span->length;
	return sum;
}

void grid_make(struct grid *grid, const struct list *spans, __u64 base, size_t columns,
	       size_t most_cells)
{
	const struct karena_span_record *span = NULL;
	struct maker maker = { .grid = grid };
	__u64 bytes = all_bytes(spans);

	*grid = (struct grid){
		.base = base, .columns = columns, .cell_bytes = KARENA_PAGE_SIZE,
	};
	while (bytes / grid->cell_bytes > most_cells)
		grid->cell_bytes *= 2;
	while ((span = list_next(spans, span)))
		add_span(&maker, span);
	finish_cell(&maker);
	free(maker.parts);
}

void grid_free(struct grid *grid)
{
	size_t i;

	for (i = 0; i < grid->nr_rows; i++)
		free(grid->rows[i].cells);
	free(grid->rows);
}

int band_of(__u32 object_size)
{
	int band = 0;

	if (!object_size)
		return NR_BANDS - 1;
	while (band < NR_BANDS - 2 && 8U << band < object_size)
		band++;
	return band;
}

const char *band_text(char buf[CELL_LEN], int band)
{
	char size[CELL_LEN];

	if (band == NR_BANDS - 1)
		return strcpy(buf, "large");
	snprintf(buf, CELL_LEN, "up to %.20s", size_text(size, 8U << band, false));
	return buf;
}

__u32 grid_bands(const struct grid *grid)
{
	const struct map_cell *cell;
	__u32 bands = 0;
	size_t row, i;

	for (row = 0; row < grid->nr_rows; row++) {
		for (i = 0; i < grid->columns; i++) {
			cell = &grid->rows[row].cells[i];
			if (cell->fill == FILL_SPAN)
				bands |= 1U << (2 * band_of(cell->object_size) + cell->noscan);
		}
	}
	return bands;
}

/* --- colours --- */

static __u8 to_byte(double linear)
{
	double v = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;

	return v <= 0 ? 0 : v >= 1 ? 255 : lround(v * 255);
}

static double cube(double x)
{
	return x * x * x;
}

static struct colour from_oklch(double lightness, double chroma, double degrees)
{
	double a = chroma * cos(degrees * M_PI / 180), b = chroma * sin(degrees * M_PI / 180);
	double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b);
	double m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b);
	double s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);

	return (struct colour){
		to_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
		to_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
		to_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s),
	};
}

struct colour colour_of(__u32 object_size, double age)
{
	double hue = object_size ? 25 + 23 * log2(fmax(object_size, 8) / 8) : 335;
	double old = fmin(1, log2(1 + age) / 6);	/* 63 cycles are as old as it gets */

	return from_oklch(0.82 - 0.34 * old, 0.13, hue);
}
