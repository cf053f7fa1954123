// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl check: verify what the kernel knows of a heap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl.h"

static const char check_doc[] =
	"Verify what the kernel knows of a heap, while it is used." BELOW_OPTIONS
	"Spans and the map to them, free objects, magazines, free pages, and all sums\n"
	"of these.  Nothing is changed.  What is wrong is told, and the exit status is 1\n"
	"then, as it is if the check could not be done.\n"
	"\nWith --json: an object with the members of struct karena_check, and damages,\n"
	"an array.";

/* What to say of each; the numbers are what was found, and wanted. */
static const struct damage {
	const char *name;
	const char *text;
} damages[KARENA_NR_DAMAGES] = {
	[KARENA_DAMAGE_LINK] = { "link", "a list is torn: %llu found on it, of %llu" },
	[KARENA_DAMAGE_SPAN] = { "span", "a span is not what it was made to be" },
	[KARENA_DAMAGE_MAP] = { "map",
		"a page leads to %llu spans, and is to lead to %llu" },
	[KARENA_DAMAGE_FREE] = { "free",
		"a span has %llu places marked as free, where there are to be %llu" },
	[KARENA_DAMAGE_STATE] = { "state",
		"an object is in state %llu, where state %llu is to be" },
	[KARENA_DAMAGE_WRITTEN] = { "written",
		"an object was written to after it had been freed" },
	[KARENA_DAMAGE_PLACE] = { "place",
		"a span with %llu free objects, of %llu, is on a list that is not for it" },
	[KARENA_DAMAGE_COUNT] = { "count",
		"the sums of a size class are wrong: %llu counted, %llu in its books" },
	[KARENA_DAMAGE_CACHE] = { "cache",
		"a magazine counts wrongly, or has something that is no free object" },
	[KARENA_DAMAGE_TWICE] = { "twice",
		"a free object is in two places, and would be given to two" },
	[KARENA_DAMAGE_RUN] = { "run",
		"free pages are out of order, or not counted: %llu found, for %llu" },
	[KARENA_DAMAGE_SUM] = { "sum",
		"the sums of the heap are wrong: %llu counted, %llu in its books" },
	[KARENA_DAMAGE_MEMORY] = { "memory",
		"a page has %llu pieces of memory, and is to have %llu" },
	[KARENA_DAMAGE_CLASS] = { "class",
		"programs are told something of a page that is not so" },
	[KARENA_DAMAGE_MARK] = { "mark", "%llu marks are where no object is" },
	[KARENA_DAMAGE_SPECIAL] = { "special",
		"a weak reference or cleanup is of an object that is not live" },
};

/* A newer module may know of more. */
static const struct damage *damage_of(const struct karena_damage_record *record)
{
	static const struct damage other = { "other", "something else is wrong: %llu, for %llu" };

	return record->kind < COUNT(damages) && damages[record->kind].name ?
	       &damages[record->kind] : &other;
}

static void print_damage(const struct karena_damage_record *record)
{
	fputs("  ", stdout);
	if (record->at)
		printf("at %#llx: ", (unsigned long long)record->at);
	printf(damage_of(record)->text, (unsigned long long)record->found,
	       (unsigned long long)record->wanted);
	if (record->object_size)
		printf(" (objects of %llu bytes)", (unsigned long long)record->object_size);
	putchar('\n');
}

static size_t nr_records(const struct karena_check *check)
{
	return check->length / sizeof(struct karena_damage_record);
}

static void print_check(const struct karena_check *check,
			const struct karena_damage_record *records)
{
	size_t i;

	heading("looked at");
	line_count("spans", check->spans);
	line_count("places for objects", check->objects);
	line_count("objects in magazines", check->cached);
	line_count("runs of free pages", check->runs);
	if (check->unsettled)
		line_count("changing all the time", check->unsettled);
	heading(check->damages ? "damaged" : "nothing is wrong");
	for (i = 0; i < nr_records(check); i++)
		print_damage(&records[i]);
	if (check->damages > nr_records(check))
		printf("  and %llu more\n",
		       (unsigned long long)(check->damages - nr_records(check)));
}

static void print_as_json(const struct karena_check *check,
			  const struct karena_damage_record *records)
{
	json_t *all = check_json(check), *list = must_have(json_array()), *one;
	size_t i;

	for (i = 0; i < nr_records(check); i++) {
		one = damage_json(&records[i]);
		json_object_set_new(one, "kind",
				    must_have(json_string(damage_of(&records[i])->name)));
		json_array_append_new(list, one);
	}
	json_object_set_new(all, "damages", list);
	print_json(all, JSON_INDENT(2));
}

int cmd_check(int argc, char **argv)
{
	static struct karena_damage_record records[KARENA_MAX_DAMAGES];
	struct karena_check check;
	struct options opts = { };
	int fd, err;

	parse_options(&opts, TAKES_ID, "ID", check_doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	err = check_heap(fd, opts.id, &check, records);
	close(fd);
	if (err)
		return EXIT_FAILED;
	if (opts.json)
		print_as_json(&check, records);
	else
		print_check(&check, records);
	if (!check.damages)
		return EXIT_OK;
	fprintf(stderr, "karenactl: heap %u: damaged\n", opts.id);
	return EXIT_FAILED;
}
