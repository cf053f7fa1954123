// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, how things are written for people: numbers, lines, tables.
 *
 * A table is filled cell by cell and printed when all widths are known.  Only
 * a terminal gets escape sequences, and not if NO_COLOR is set.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "ctl.h"

/* What a heap without one has for its limit. */
#define NO_LIMIT	((__u64)-1)

#define BOLD	"\033[1m"
#define PLAIN	"\033[0m"

bool is_terminal(void)
{
	return isatty(STDOUT_FILENO);
}

bool may_style(void)
{
	const char *no = getenv("NO_COLOR");

	return is_terminal() && !(no && *no);
}

void *must_have(void *memory)
{
	if (memory)
		return memory;
	fputs("karenactl: out of memory\n", stderr);
	exit(EXIT_FAILED);
}

/* 1234567 as 1,234,567: whoever wants to compute takes JSON. */
const char *count_text(char buf[CELL_LEN], __u64 count)
{
	char digits[CELL_LEN];
	int len = snprintf(digits, sizeof(digits), "%llu",
			   (unsigned long long)count);
	char *to = buf;
	int i;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return buf;
}

const char *size_text(char buf[CELL_LEN], __u64 bytes, bool raw)
{
	static const char * const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	double value = bytes;
	int unit = 0;

	if (bytes == NO_LIMIT)
		return strcpy(buf, "none");
	if (raw)
		return count_text(buf, bytes);
	for (; value >= 1023.95; value /= 1024)
		unit++;
	snprintf(buf, CELL_LEN, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

const char *user_text(char buf[CELL_LEN], __u32 uid)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(buf, CELL_LEN, "%.32s", pw->pw_name);
	else
		snprintf(buf, CELL_LEN, "%u", uid);
	return buf;
}

const char *pid_text(char buf[CELL_LEN], __u32 pid)
{
	if (pid)
		snprintf(buf, CELL_LEN, "%u", pid);
	else
		strcpy(buf, "-");
	return buf;
}

const char *kind_text(__u32 kind)
{
	static const char * const kinds[] = { "user", "kernel" };

	return kind < COUNT(kinds) ? kinds[kind] : "?";
}

const char *phase_text(__u32 phase)
{
	static const char * const phases[] = { "idle", "mark", "sweep" };

	return phase < COUNT(phases) ? phases[phase] : "?";
}

static char *cell(const struct table *table, size_t row, size_t column)
{
	return table->cells[row * table->nr_columns + column];
}

void table_text(struct table *table, size_t column, const char *text)
{
	snprintf(cell(table, table->nr_rows, column), CELL_LEN, "%s", text);
}

void table_count(struct table *table, size_t column, __u64 count)
{
	count_text(cell(table, table->nr_rows, column), count);
}

void table_size(struct table *table, size_t column, __u64 bytes, bool raw)
{
	size_text(cell(table, table->nr_rows, column), bytes, raw);
}

/* There is always an empty row to fill. */
static void next_row(struct table *table)
{
	if (table->nr_rows >= table->room) {
		table->room = 2 * table->room + 8;
		table->cells = must_have(reallocarray(table->cells,
						      table->room * table->nr_columns,
						      CELL_LEN));
	}
	memset(cell(table, table->nr_rows, 0), 0, table->nr_columns * CELL_LEN);
}

void table_begin(struct table *table, const struct column *columns, size_t nr)
{
	memset(table, 0, sizeof(*table));
	table->columns = columns;
	table->nr_columns = nr;
	next_row(table);
}

void table_row(struct table *table)
{
	table->nr_rows++;
	next_row(table);
}

static int width(const struct table *table, size_t column)
{
	size_t most = strlen(table->columns[column].title), row, len;

	for (row = 0; row < table->nr_rows; row++) {
		len = strlen(cell(table, row, column));
		if (len > most)
			most = len;
	}
	return most;
}

static void print_cell(const struct table *table, size_t column,
		       const char *text, int wide)
{
	bool last = column + 1 == table->nr_columns;

	if (!table->columns[column].left)
		printf("%*s", wide, text);
	else if (last)
		printf("%s", text);
	else
		printf("%-*s", wide, text);
	fputs(last ? "" : "  ", stdout);
}

void table_print(const struct table *table, size_t most_rows)
{
	size_t n = table->nr_columns, row, column;
	int widths[n];

	for (column = 0; column < n; column++)
		widths[column] = width(table, column);
	fputs(may_style() ? BOLD : "", stdout);
	for (column = 0; column < n; column++)
		print_cell(table, column, table->columns[column].title,
			   widths[column]);
	puts(may_style() ? PLAIN : "");
	for (row = 0; row < table->nr_rows && row < most_rows; row++) {
		for (column = 0; column < n; column++)
			print_cell(table, column, cell(table, row, column),
				   widths[column]);
		putchar('\n');
	}
}

void table_end(struct table *table)
{
	free(table->cells);
}

void line_text(const char *label, const char *text)
{
	printf("  %-22s %s\n", label, text);
}

void line_count(const char *label, __u64 count)
{
	char text[CELL_LEN];

	line_text(label, count_text(text, count));
}

void line_size(const char *label, __u64 bytes, bool raw)
{
	char text[CELL_LEN];

	line_text(label, size_text(text, bytes, raw));
}

void heading(const char *text)
{
	bool style = may_style();

	printf("%s%s%s\n", style ? BOLD : "", text, style ? PLAIN : "");
}
