// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, the map as SVG: hue by size of objects, lightness by age; a page is as full as
 * its colour is high; free memory is hatched.  What a page is shows where the mouse rests.
 */
#include <string.h>

#include "picture.h"

#define CELL		10	/* units, 1 of them to the next */
#define LABEL_WIDTH	98	/* room for addresses */
#define LEGEND_LINE	16
#define LEGEND_WIDTH	130

/* No other text may be in a file that says it is UTF-8. */
static bool is_utf8(const char *text)
{
	json_t *checked = json_string(text);
	bool good = checked;

	json_decref(checked);
	return good;
}

static bool is_allowed(char c, bool utf8)
{
	return (c >= ' ' && c <= '~') || c == '\n' || (utf8 && c < 0);
}

void put_escaped(FILE *out, const char *text)
{
	bool utf8 = is_utf8(text);

	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			/* Neither allows the others, however they are written. */
			putc(is_allowed(*text, utf8) ? *text : '?', out);
		}
	}
}

static void put_title(FILE *out, const struct map_cell *cell, const struct types *types,
		      __u64 start)
{
	const char *name = type_name(types, cell->type);
	char size[CELL_LEN];

	fprintf(out, "<title>%#llx: ", (unsigned long long)start);
	if (cell->fill == FILL_FREE) {
		fputs("free</title>", out);
		return;
	}
	if (cell->object_size)
		fprintf(out, "objects of %s", size_text(size, cell->object_size, true));
	else
		fputs("large", out);
	fputs(cell->noscan ? ", no references" : "", out);
	if (name) {
		fputs(", type ", out);
		put_escaped(out, name);
	}
	fprintf(out, ", %.0f %% live, %.0f cycles old%s</title>", 100 * cell->live, cell->age,
		cell->unswept ? ", not swept" : "");
}

static void put_rect(FILE *out, double x, double y, double width, double height)
{
	fprintf(out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"", x, y, width, height);
}

/* @nr cells next to each other that are one span. */
static void put_cells(FILE *out, const struct map_cell *cell, const struct types *types,
		      __u64 start, double x, double y, size_t nr)
{
	double width = nr * CELL - 1, height = CELL - 1, level = height * cell->live;
	struct colour c = colour_of(cell->object_size, cell->age);

	fprintf(out, "<g data-cells=\"%zu\">", nr);
	put_title(out, cell, types, start);
	put_rect(out, x, y, width, height);
	if (cell->fill == FILL_FREE) {
		fputs(" fill=\"url(#free)\"/></g>\n", out);
		return;
	}
	fprintf(out, " fill=\"#%02x%02x%02x\" fill-opacity=\".3\"/>", c.red, c.green, c.blue);
	put_rect(out, x, y + height - level, width, level);
	fprintf(out, " fill=\"#%02x%02x%02x\"/></g>\n", c.red, c.green, c.blue);
}

static size_t run_length(const struct grid *grid, const struct map_row *row, size_t at)
{
	size_t nr = 1;

	while (row->cells[at].span && at + nr < grid->columns &&
	       row->cells[at + nr].span == row->cells[at].span)
		nr++;
	return nr;
}

static void put_row(FILE *out, const struct grid *grid, const struct types *types,
		    const struct map_row *row, int left, int y)
{
	size_t i, nr;

	for (i = 0; i < grid->columns; i += nr) {
		nr = run_length(grid, row, i);
		if (row->cells[i].fill != FILL_NOTHING)
			put_cells(out, &row->cells[i], types, row->start + i * grid->cell_bytes,
				  left + i * CELL, y, nr);
	}
}

static void put_label(FILE *out, int x, int y, const char *text)
{
	fprintf(out, "<text x=\"%d\" y=\"%d\">", x, y);
	put_escaped(out, text);
	fputs("</text>\n", out);
}

static void put_legend(FILE *out, const struct grid *grid, int left, int top)
{
	int per_line = grid->columns * CELL / LEGEND_WIDTH, band, n = 0, x, y;
	__u32 bands = grid_bands(grid);
	char text[CELL_LEN];
	struct colour c;

	for (band = 0; band < NR_BANDS; band++) {
		if (!(bands >> 2 * band & 3))
			continue;
		x = left + n % per_line * LEGEND_WIDTH;
		y = top + n++ / per_line * LEGEND_LINE;
		c = colour_of(band == NR_BANDS - 1 ? 0 : 8U << band, 0);
		put_rect(out, x, y, CELL, CELL);
		fprintf(out, " fill=\"#%02x%02x%02x\"/>", c.red, c.green, c.blue);
		put_label(out, x + CELL + 4, y + CELL - 1, band_text(text, band));
	}
	y = top + (n + per_line - 1) / per_line * LEGEND_LINE + CELL;
	snprintf(text, sizeof(text), "A square is %llu KiB.",
		 (unsigned long long)grid->cell_bytes / 1024);
	put_label(out, left, y, text);
	put_label(out, left + LEGEND_WIDTH, y,
		  "Hue: size of objects. Darker: older. Height: share that is live. Hatched: free.");
}

static void put_style(FILE *out, bool alone)
{
	fputs("<defs><pattern id=\"free\" width=\"4\" height=\"4\"\n"
	      "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\n"
	      "<rect width=\"4\" height=\"4\" fill=\"#888\" fill-opacity=\".12\"/>\n"
	      "<rect width=\"1.2\" height=\"4\" fill=\"#888\" fill-opacity=\".6\"/>\n"
	      "</pattern></defs>\n", out);
	if (alone)
		fputs("<style>svg{background:#fff}text{fill:#333;"
		      "font:9px ui-monospace,monospace}\n"
		      "@media(prefers-color-scheme:dark){svg{background:#15171c}\n"
		      "text{fill:#ccc}}</style>\n", out);
}

static void put_begin(FILE *out, int width, int height, bool alone)
{
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"",
		width, height);
	if (alone)
		fprintf(out, " width=\"%d\" height=\"%d\"", width, height);
	else
		fputs(" class=\"map\" role=\"img\" aria-label=\"Map of pages\"", out);
	fputs(">\n", out);
	put_style(out, alone);
}

void svg_map(FILE *out, const struct grid *grid, const struct types *types, bool alone)
{
	int left = alone ? LABEL_WIDTH : 0, top = alone ? CELL : 0, y;
	int width = left + grid->columns * CELL + top;
	int bottom = top + grid->nr_rows * CELL;
	char text[CELL_LEN];
	size_t row;

	put_begin(out, width, alone ? bottom + 6 * LEGEND_LINE : bottom, alone);
	for (row = 0; row < grid->nr_rows; row++) {
		y = top + row * CELL;
		if (alone) {
			snprintf(text, sizeof(text), "%#14llx",
				 (unsigned long long)grid->rows[row].start);
			put_label(out, CELL, y + CELL - 2, text);
		}
		put_row(out, grid, types, &grid->rows[row], left, y);
	}
	if (alone)
		put_legend(out, grid, left, bottom + CELL);
	fputs("</svg>\n", out);
}
