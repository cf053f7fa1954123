// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl map: the pages of a heap as a picture, in letters, in colours if the terminal
 * has enough of them, or as SVG.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "picture.h"

#define ADDRESS_LEN	15	/* with the space behind it */
#define SVG_COLUMNS	64
#define SVG_CELLS	8192	/* more make files that are slow to show */

static const char doc[] =
	"Show the pages of a heap by what is in them." BELOW_OPTIONS
	"A letter is a page, or several next to each other: then it tells what most of them\n"
	"are.  It says how large objects are; upper case ones hold references.  A terminal\n"
	"with 256 colours or more has the size as hue, and what is older is darker.\n"
	"\nWith --json: an object with cell_bytes and rows, of which each has its address\n"
	"(start) and its letters (cells).";

struct map_options {
	struct options common;
	const char *svg;
};

static const struct argp_option option_list[] = {
	{ "svg", 's', "FILE", 0, "Write an SVG there, - for standard output", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct map_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 's':
		opts->svg = arg;
		return 0;
	case ARGP_KEY_ARG:
		return take_id(&opts->common, arg, state);
	case ARGP_KEY_END:
		if (opts->svg && opts->common.json)
			argp_error(state, "--svg does not go with --json");
		return want_id(&opts->common, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- the terminal --- */

enum depth { NO_COLOURS, COLOURS_256, COLOURS_24BIT };

static enum depth colours_of_terminal(void)
{
	const char *colorterm = getenv("COLORTERM"), *term = getenv("TERM");

	if (!may_style())
		return NO_COLOURS;
	if (colorterm && (!strcmp(colorterm, "truecolor") || !strcmp(colorterm, "24bit")))
		return COLOURS_24BIT;
	return term && strstr(term, "256color") ? COLOURS_256 : NO_COLOURS;
}

static char letter_of(const struct map_cell *cell)
{
	int band;

	if (cell->fill != FILL_SPAN)
		return cell->fill == FILL_FREE ? '.' : ' ';
	band = band_of(cell->object_size);
	if (band == NR_BANDS - 1)
		return cell->noscan ? 'z' : 'Z';
	return (cell->noscan ? 'a' : 'A') + band;
}

/* In the 6 * 6 * 6 colours that follow the first 16. */
static int index_of(struct colour c)
{
	return 16 + 36 * ((c.red * 5 + 127) / 255) + 6 * ((c.green * 5 + 127) / 255) +
	       (c.blue * 5 + 127) / 255;
}

/* Black on the colour. */
static void begin_colour(struct colour c, enum depth depth)
{
	if (depth == COLOURS_24BIT)
		printf("\033[38;2;0;0;0;48;2;%u;%u;%um", c.red, c.green, c.blue);
	else if (depth == COLOURS_256)
		printf("\033[38;5;16;48;5;%dm", index_of(c));
}

static void print_map_cell(const struct map_cell *cell, enum depth depth)
{
	bool coloured = depth && cell->fill == FILL_SPAN;

	if (coloured)
		begin_colour(colour_of(cell->object_size, cell->age), depth);
	putchar(letter_of(cell));
	if (coloured)
		fputs("\033[0m", stdout);
}

static void print_row(const struct grid *grid, const struct map_row *row, enum depth depth)
{
	size_t i, used = grid->columns;

	while (used && row->cells[used - 1].fill == FILL_NOTHING)
		used--;
	printf("%#14llx ", (unsigned long long)row->start);
	for (i = 0; i < used; i++)
		print_map_cell(&row->cells[i], depth);
	putchar('\n');
}

static void print_legend(const struct grid *grid, enum depth depth)
{
	static const __u32 both = 3;
	__u32 bands = grid_bands(grid), here;
	struct map_cell sample = { .fill = FILL_SPAN };
	char text[CELL_LEN];
	int band;

	for (band = 0; band < NR_BANDS; band++) {
		here = bands >> 2 * band & both;
		if (!here)
			continue;
		sample.object_size = band == NR_BANDS - 1 ? 0 : 8U << band;
		fputs("  ", stdout);
		for (sample.noscan = true; ; sample.noscan = false) {
			if (here & 1U << sample.noscan)
				print_map_cell(&sample, depth);
			else
				putchar(' ');
			if (!sample.noscan)
				break;
		}
		printf(" %s\n", band_text(text, band));
	}
	puts("  .  free; blank: no memory.  Upper case: with references.");
	if (depth)
		puts("  Hue: size of objects.  Older spans are darker.");
}

static void print_summary(const struct karena_heap_info *heap, const struct grid *grid, bool raw)
{
	char pages[CELL_LEN], size[CELL_LEN], text[4 * CELL_LEN];

	snprintf(text, sizeof(text), "heap %u  %s: %s pages, a letter is %s", heap->id, heap->name,
		 count_text(pages, grid->pages), size_text(size, grid->cell_bytes, raw));
	heading(text);
}

static void print_grid(const struct karena_heap_info *heap, const struct grid *grid, bool raw)
{
	enum depth depth = colours_of_terminal();
	size_t i;

	print_summary(heap, grid, raw);
	for (i = 0; i < grid->nr_rows; i++) {
		if (i && grid->rows[i].start - grid->rows[i - 1].start >
			 grid->columns * grid->cell_bytes)
			puts("           ...");
		print_row(grid, &grid->rows[i], depth);
	}
	print_legend(grid, depth);
}

static void print_as_json(const struct grid *grid)
{
	json_t *rows = must_have(json_array());
	char text[grid->columns + 1];
	size_t row, i;

	for (row = 0; row < grid->nr_rows; row++) {
		for (i = 0; i < grid->columns; i++)
			text[i] = letter_of(&grid->rows[row].cells[i]);
		text[i] = '\0';
		json_array_append_new(rows,
				      json_pack("{sI ss}", "start",
						(json_int_t)grid->rows[row].start,
						"cells", text));
	}
	print_json(json_pack("{sI sI so}", "cell_bytes", (json_int_t)grid->cell_bytes,
			     "pages", (json_int_t)grid->pages, "rows", rows), JSON_INDENT(2));
}

/* As many as are of use: so that rows begin at round addresses, and fit. */
static void size_of_screen(size_t *columns, size_t *rows)
{
	struct winsize size;

	*columns = 64;
	*rows = 32;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return;
	if (size.ws_col >= ADDRESS_LEN + 16)
		*columns = (size.ws_col - ADDRESS_LEN) / 16 * 16;
	if (size.ws_row >= 24)
		*rows = size.ws_row - 12;
}

/* --- the command --- */

static int write_svg(const struct grid *grid, const struct types *types, const char *path)
{
	bool to_stdout = !strcmp(path, "-");
	FILE *out = to_stdout ? stdout : fopen(path, "w");

	if (out)
		svg_map(out, grid, types, true);
	if (to_stdout || (out && !(ferror(out) | fclose(out))))
		return EXIT_OK;
	fprintf(stderr, "karenactl: %s: %s\n", path, strerror(errno));
	return EXIT_FAILED;
}

static int show(const struct karena_heap_info *heap, const struct list *spans,
		const struct types *types, const struct map_options *opts)
{
	size_t columns = SVG_COLUMNS, rows = SVG_CELLS / SVG_COLUMNS;
	struct grid grid;
	int rc = EXIT_OK;

	if (!opts->svg)
		size_of_screen(&columns, &rows);
	grid_make(&grid, spans, heap->base, columns, columns * rows);
	if (opts->svg)
		rc = write_svg(&grid, types, opts->svg);
	else if (opts->common.json)
		print_as_json(&grid);
	else
		print_grid(heap, &grid, opts->common.bytes);
	grid_free(&grid);
	return rc;
}

static int map(int fd, const struct map_options *opts)
{
	struct karena_heap_info heap;
	int rc = EXIT_FAILED;
	struct types types;
	struct list spans;

	if (read_heap(fd, opts->common.id, &heap) || read_types(fd, opts->common.id, &types))
		return EXIT_FAILED;
	if (!read_list(fd, KARENA_IOC_SPANS, 0, opts->common.id, &spans)) {
		rc = show(&heap, &spans, &types, opts);
		list_free(&spans);
	}
	types_free(&types);
	return rc;
}

int cmd_map(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "ID", doc, children, NULL, NULL };
	struct map_options opts = { };
	int fd, rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = map(fd, &opts);
	close(fd);
	return rc;
}
