// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl profile: where the objects of a heap come from, in the format of pprof
 * (github.com/google/pprof, proto/profile.proto), as Go writes its heap profiles.
 *
 * The kernel tells how many objects of a size were sampled at a place; that is divided by
 * how likely it was.  Frames of the allocator itself are left out.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "pb.h"
#include "profile.h"
#include "symbols.h"

static const char doc[] =
	"Sample the objects of a heap, and write where they come from, for pprof." BELOW_OPTIONS
	"Without options: how the heap is sampled, and what there would be to write.\n"
	"\n"
	"  karenactl profile --rate 512K 1     from here on\n"
	"  karenactl profile -o heap.pb.gz 1   what has been sampled so far\n"
	"  go tool pprof -top heap.pb.gz";

/* Fields of proto/profile.proto. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE,
	PROFILE_MAPPING,
	PROFILE_LOCATION,
	PROFILE_FUNCTION,
	PROFILE_STRING,
	PROFILE_TIME = 9,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD,
	PROFILE_DEFAULT = 14,
};

enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_NUMBER = 3, LABEL_UNIT };
enum { LOCATION_ID = 1, LOCATION_MAPPING, LOCATION_ADDRESS, LOCATION_LINE };
enum { LINE_FUNCTION = 1, LINE_LINE };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_SYSTEM_NAME, FUNCTION_FILE };

enum {
	MAPPING_ID = 1,
	MAPPING_START,
	MAPPING_LIMIT,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID,
	MAPPING_HAS_FUNCTIONS,
	MAPPING_HAS_FILES,
	MAPPING_HAS_LINES,
};

/* Each kind has its numbers, from 1 up, strings from 0. */
struct mapping {
	uint64_t start;
	uint32_t pid;
};

struct function {
	uint64_t name;
	uint64_t file;
};

struct location {
	uint32_t pid;		/* 0: of the kernel, where @addr is the function */
	uint64_t addr;
	bool own;		/* the allocator's */
};

struct writer {
	struct pb out;
	struct pb part;
	char **strings;
	size_t nr_strings;
	struct mapping *mappings;
	size_t nr_mappings;
	struct function *functions;
	size_t nr_functions;
	struct location *locations;
	size_t nr_locations;
	struct processes processes;
};

/* One more at the end of an array, which doubles at powers of two. */
static void *grown(void *array, size_t nr, size_t size)
{
	return nr & (nr - 1) ? array : must_have(reallocarray(array, nr ? 2 * nr : 1, size));
}

static uint64_t string(struct writer *w, const char *text)
{
	size_t i;

	for (i = 0; i < w->nr_strings; i++)
		if (!strcmp(w->strings[i], text))
			return i;
	w->strings = grown(w->strings, i, sizeof(*w->strings));
	w->strings[i] = must_have(strdup(text));
	w->nr_strings++;
	return i;
}

static void add_type(struct writer *w, unsigned int field, const char *type, const char *unit)
{
	pb_number(&w->part, TYPE_TYPE, string(w, type));
	pb_number(&w->part, TYPE_UNIT, string(w, unit));
	pb_message(&w->out, field, &w->part);
}

static uint64_t mapping(struct writer *w, uint32_t pid, const struct module *module)
{
	size_t i;

	for (i = 0; i < w->nr_mappings; i++)
		if (w->mappings[i].pid == pid && w->mappings[i].start == module->start)
			return i + 1;
	w->mappings = grown(w->mappings, i, sizeof(*w->mappings));
	w->mappings[w->nr_mappings++] = (struct mapping){ module->start, pid };
	pb_number(&w->part, MAPPING_ID, i + 1);
	pb_number(&w->part, MAPPING_START, module->start);
	pb_number(&w->part, MAPPING_LIMIT, module->end);
	pb_number(&w->part, MAPPING_FILE, string(w, module->path));
	pb_number(&w->part, MAPPING_BUILD_ID, string(w, module->build_id));
	/* There is nothing that pprof would find and we did not. */
	pb_number(&w->part, MAPPING_HAS_FUNCTIONS, 1);
	pb_number(&w->part, MAPPING_HAS_FILES, 1);
	pb_number(&w->part, MAPPING_HAS_LINES, 1);
	pb_message(&w->out, PROFILE_MAPPING, &w->part);
	return i + 1;
}

static uint64_t function(struct writer *w, const char *name, const char *file)
{
	struct function key = { string(w, name), string(w, file ? file : "") };
	size_t i;

	for (i = 0; i < w->nr_functions; i++)
		if (!memcmp(&w->functions[i], &key, sizeof(key)))
			return i + 1;
	w->functions = grown(w->functions, i, sizeof(*w->functions));
	w->functions[w->nr_functions++] = key;
	pb_number(&w->part, FUNCTION_ID, i + 1);
	pb_number(&w->part, FUNCTION_NAME, key.name);
	pb_number(&w->part, FUNCTION_SYSTEM_NAME, key.name);
	pb_number(&w->part, FUNCTION_FILE, key.file);
	pb_message(&w->out, PROFILE_FUNCTION, &w->part);
	return i + 1;
}

bool is_allocator(const char *name, const struct symbol *symbol)
{
	static const char * const names[] = {
		"malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc",
		"posix_memalign", "valloc", "pvalloc", "ioctl", "__ioctl", "syscall",
	};
	const char *slash = symbol->has_module ? strrchr(symbol->module.path, '/') : NULL;
	size_t i;

	if (slash && !strncmp(slash, "/libkarena", strlen("/libkarena")))
		return true;
	for (i = 0; i < COUNT(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	/* operator new, of all kinds. */
	return !strncmp(name, "_Zna", 4) || !strncmp(name, "_Znw", 4) ||
	       !strncmp(name, "karena_", strlen("karena_"));
}

static struct process *process_of(struct writer *w, const struct karena_profile_record *r)
{
	struct module program = { };
	struct process *process;
	bool is_new;

	/* Another one may have its number. */
	if (r->gone)
		return NULL;
	process = processes_get(&w->processes, r->pid, &is_new);
	/* Whose mapping comes first is what pprof says that the profile is of. */
	if (is_new && process && process_program(process, &program))
		mapping(w, r->pid, &program);
	return process;
}

/* Number of the location with a key, or 0 with a new one at the end. */
static uint64_t find_location(struct writer *w, uint32_t pid, uint64_t addr)
{
	size_t i;

	for (i = 0; i < w->nr_locations; i++)
		if (w->locations[i].pid == pid && w->locations[i].addr == addr)
			return i + 1;
	w->locations = grown(w->locations, i, sizeof(*w->locations));
	w->locations[w->nr_locations++] = (struct location){ .pid = pid, .addr = addr };
	return 0;
}

static void add_line(struct writer *w, uint64_t name, int line)
{
	struct pb inner = { };

	pb_number(&inner, LINE_FUNCTION, name);
	pb_number(&inner, LINE_LINE, line);
	pb_message(&w->part, LOCATION_LINE, &inner);
	pb_free(&inner);
}

/* A return address: what it returns from is before it. */
static uint64_t location(struct writer *w, const struct karena_profile_record *r, uint64_t addr)
{
	uint64_t id = find_location(w, r->gone ? UINT32_MAX : r->pid, addr), name, map = 0;
	struct symbol symbol;
	char text[32];

	if (id)
		return id;
	process_symbol(process_of(w, r), addr - 1, &symbol);
	snprintf(text, sizeof(text), "%#llx", (unsigned long long)addr);
	w->locations[w->nr_locations - 1].own = symbol.name && is_allocator(symbol.name, &symbol);
	if (!symbol.name && symbol.has_module)
		w->locations[w->nr_locations - 1].own = is_allocator("", &symbol);
	name = function(w, symbol.name ? symbol.name : text, symbol.file);
	if (symbol.has_module)
		map = mapping(w, r->pid, &symbol.module);
	id = w->nr_locations;
	pb_number(&w->part, LOCATION_ID, id);
	pb_number(&w->part, LOCATION_MAPPING, map);
	pb_number(&w->part, LOCATION_ADDRESS, addr - 1);
	add_line(w, name, symbol.line);
	pb_message(&w->out, PROFILE_LOCATION, &w->part);
	return id;
}

static uint64_t kernel_location(struct writer *w, const char *name)
{
	uint64_t key = function(w, name, "[kernel]"), id = find_location(w, 0, key);

	if (id)
		return id;
	id = w->nr_locations;
	pb_number(&w->part, LOCATION_ID, id);
	add_line(w, key, 0);
	pb_message(&w->out, PROFILE_LOCATION, &w->part);
	return id;
}

/* How many of the innermost frames are the allocator's, if others are behind them. */
static size_t own_frames(const struct writer *w, const uint64_t *ids, size_t nr)
{
	size_t i, own = 0;

	for (i = 0; i < nr && i < OWN_FRAMES; i++)
		if (w->locations[ids[i] - 1].own)
			own = i + 1;
	return own < nr ? own : 0;
}

static void add_label(struct pb *to, struct writer *w, const char *key, uint64_t number,
		      const char *unit)
{
	struct pb label = { };

	pb_number(&label, LABEL_KEY, string(w, key));
	pb_number(&label, LABEL_NUMBER, number);
	pb_number(&label, LABEL_UNIT, string(w, unit));
	pb_message(to, SAMPLE_LABEL, &label);
	pb_free(&label);
}

uint64_t profile_scaled(const struct karena_profile_record *r, uint64_t nr)
{
	return llround(nr / -expm1(-(double)r->object_size / r->rate));
}

static void add_record(struct writer *w, const struct karena_profile_record *r)
{
	const uint64_t *frame = (const uint64_t *)(r + 1);
	const char *name = (const char *)(frame + r->nr_frames);
	uint64_t ids[2 * KARENA_MAX_FRAMES], allocs, in_use;
	struct pb sample = { };
	size_t nr = 0, own, i;

	for (i = 0; i < r->nr_functions && nr < KARENA_MAX_FRAMES; i++)
		ids[nr++] = kernel_location(w, name + i * KARENA_FUNCTION_LEN);
	for (i = 0; i < r->nr_frames && i < KARENA_MAX_FRAMES; i++)
		ids[nr++] = location(w, r, frame[i]);
	own = r->nr_functions ? 0 : own_frames(w, ids, nr);
	allocs = profile_scaled(r, r->allocs);
	in_use = profile_scaled(r, r->allocs - r->frees);
	pb_numbers(&sample, SAMPLE_LOCATION, ids + own, nr - own);
	pb_numbers(&sample, SAMPLE_VALUE,
		   (uint64_t[]){ allocs, allocs * r->object_size, in_use,
				 in_use * r->object_size }, 4);
	add_label(&sample, w, "bytes", r->object_size, "bytes");
	add_label(&sample, w, "pid", r->pid, "");
	pb_message(&w->out, PROFILE_SAMPLE, &sample);
	pb_free(&sample);
}

static void add_strings(struct writer *w)
{
	size_t i;

	for (i = 0; i < w->nr_strings; i++)
		pb_bytes(&w->out, PROFILE_STRING, w->strings[i], strlen(w->strings[i]));
}

static void writer_free(struct writer *w)
{
	size_t i;

	for (i = 0; i < w->nr_strings; i++)
		free(w->strings[i]);
	processes_close(&w->processes);
	free(w->strings);
	free(w->mappings);
	free(w->functions);
	free(w->locations);
	pb_free(&w->out);
	pb_free(&w->part);
}

static int write_profile(const struct karena_profile *p, const char *path)
{
	const struct karena_profile_record *r = (const void *)(uintptr_t)p->records;
	const void *end = (const char *)r + p->length;
	struct writer w = { };
	struct timespec now;
	int err;

	clock_gettime(CLOCK_REALTIME, &now);
	string(&w, "");
	add_type(&w, PROFILE_SAMPLE_TYPE, "alloc_objects", "count");
	add_type(&w, PROFILE_SAMPLE_TYPE, "alloc_space", "bytes");
	add_type(&w, PROFILE_SAMPLE_TYPE, "inuse_objects", "count");
	add_type(&w, PROFILE_SAMPLE_TYPE, "inuse_space", "bytes");
	for (; (const void *)r < end; r = profile_next(r))
		add_record(&w, r);
	pb_number(&w.out, PROFILE_TIME, now.tv_sec * 1000000000ULL + now.tv_nsec);
	add_type(&w, PROFILE_PERIOD_TYPE, "space", "bytes");
	pb_number(&w.out, PROFILE_PERIOD, p->rate);
	pb_number(&w.out, PROFILE_DEFAULT, string(&w, "inuse_space"));
	add_strings(&w);
	err = pb_write_gzip(&w.out, path);
	writer_free(&w);
	return err ? EXIT_FAILED : EXIT_OK;
}

/* --- the command --- */

struct profile_options {
	struct options common;
	const char *output;
	bool has_rate;
	__u64 rate;
};

static const struct argp_option option_list[] = {
	{ "output", 'o', "FILE", 0, "Write the profile there, - for standard output", 0 },
	{ "rate", 'r', "SIZE", 0, "Sample one object in so many bytes; off: none", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct profile_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'o':
		opts->output = arg;
		return 0;
	case 'r':
		opts->has_rate = true;
		if (strcmp(arg, "off") && !to_size(arg, &opts->rate))
			argp_error(state, "'%s' is not a number of bytes", arg);
		return 0;
	case ARGP_KEY_ARG:
		return take_id(&opts->common, arg, state);
	case ARGP_KEY_END:
		return want_id(&opts->common, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* In use, all together, as far as it can be told. */
static __u64 bytes_in_use(const struct karena_profile *p)
{
	const struct karena_profile_record *r = (const void *)(uintptr_t)p->records;
	const void *end = (const char *)r + p->length;
	__u64 sum = 0;

	for (; (const void *)r < end; r = profile_next(r))
		sum += profile_scaled(r, r->allocs - r->frees) * r->object_size;
	return sum;
}

static void show_text(const struct karena_profile *p, bool raw)
{
	if (p->rate)
		line_size("one sample in", p->rate, raw);
	else
		line_text("one sample in", "off (see --rate)");
	line_count("samples", p->samples);
	line_count("lost, or no stack", p->lost);
	line_size("in use, estimated", bytes_in_use(p), raw);
}

static void show_json(const struct karena_profile *p)
{
	print_json(json_pack("{sI sI sI sI}", "rate", (json_int_t)p->rate,
			     "samples", (json_int_t)p->samples, "lost", (json_int_t)p->lost,
			     "inuse_space", (json_int_t)bytes_in_use(p)), JSON_INDENT(2));
}

static int show(const struct karena_profile *p, const struct profile_options *opts)
{
	if (opts->output)
		return write_profile(p, opts->output);
	if (opts->common.json)
		show_json(p);
	else if (!opts->has_rate)
		show_text(p, opts->common.bytes);
	return EXIT_OK;
}

int cmd_profile(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "ID", doc, children, NULL, NULL };
	struct profile_options opts = { };
	struct karena_profile p;
	int fd, rc = EXIT_FAILED;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	fd = opts.has_rate ? device_open_to_change() : device_open();
	if (fd < 0)
		return EXIT_FAILED;
	if (!read_profile(fd, opts.common.id, opts.has_rate ? &opts.rate : NULL, &p))
		rc = show(&p, &opts);
	free((void *)(uintptr_t)p.records);
	close(fd);
	return rc;
}
