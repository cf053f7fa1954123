/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: what its files share.
 *
 * main.c picks a command; each command has a file of its own, which parses
 * its options (options.c), asks the module (device.c) and writes a table or
 * JSON (output.c).
 */
#ifndef KARENACTL_H
#define KARENACTL_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/karena.h>

/* What the process tells its caller. */
#define EXIT_OK		0
#define EXIT_FAILED	1
#define EXIT_USAGE	2

/* Where argp puts the list of options into the text of --help. */
#define BELOW_OPTIONS	"\v"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* options.c: what commands are asked to do. */
struct options {
	bool json;
	bool bytes;		/* plain numbers instead of KiB and MiB */
	bool has_id;
	__u32 id;
	char **words;		/* what follows the number */
	int nr_words;
};

/* What a command takes beside --json and --bytes. */
enum operand {
	TAKES_NOTHING,
	MAY_TAKE_ID,
	TAKES_ID,
	TAKES_ID_AND_WORDS,
};

void parse_options(struct options *opts, enum operand operand,
		   const char *args_doc, const char *doc, int argc, char **argv);

/* device.c: all calls into the module; they print what went wrong. */
const char *device_path(void);
int device_open(void);
int device_open_to_change(void);
int read_info(int fd, struct karena_info *info);
int read_heap(int fd, __u32 id, struct karena_heap_info *heap);
int next_heap(int fd, __u32 above, struct karena_heap_info *heap);
int read_gc(int fd, __u32 id, struct karena_gc_info *info);
int read_gc_control(int fd, __u32 id, struct karena_gc_control *control);
int set_gc_control(int fd, struct karena_gc_control *control);
int run_gc(int fd, __u32 id);
/* All of one heap, or of each that the caller may see. */
struct heap_numbers {
	struct karena_heap_info info;
	bool collected;			/* else the rest is 0 */
	struct karena_gc_info gc;
	struct karena_gc_control control;
};

struct heap_numbers *read_numbers(int fd, __u32 id, size_t *nr);
int read_profile(int fd, __u32 id, const __u64 *rate, struct karena_profile *p);
struct karena_class_info *read_classes(int fd, __u32 *count);
struct karena_class_stat *read_class_stats(int fd, __u32 id, __u32 *count);
int read_explain(int fd, __u32 id, struct karena_explain *explain,
		 struct karena_explain_class classes[KARENA_NR_CLASSES]);
int read_memory(int fd, __u32 id, struct karena_memory *memory);
int set_memory(int fd, struct karena_memory *memory);
void complain_list(__u32 id);
void clean_name(char name[KARENA_NAME_LEN]);
/* What of it is wrong: the records of as many damages as there is room for. */
int check_heap(int fd, __u32 id, struct karena_check *check,
	       struct karena_damage_record records[KARENA_MAX_DAMAGES]);
int reclaim_heap(int fd, __u32 id, struct karena_reclaim *reclaim);
int open_dump(int fd, __u32 id);

/* For commands with options of their own, beside common_argp. */
extern const struct argp common_argp;
int take_id(struct options *opts, const char *arg, struct argp_state *state);
int want_id(const struct options *opts, struct argp_state *state);

/* options.c as well: the number of a heap; false if it cannot be one. */
bool is_id(const char *text, __u32 *id);
/* A number from 0 to @most; false if it is none. */
bool to_count(const char *text, __u64 most, __u64 *count);
/* "4M" in bytes; false if it is no size. */
bool to_size(const char *text, __u64 *bytes);

/* output.c: for people. */
#define CELL_LEN	64

struct column {
	const char *title;
	bool left;		/* text; numbers stand to the right */
};

struct table {
	const struct column *columns;
	size_t nr_columns;
	size_t nr_rows;
	size_t room;
	char (*cells)[CELL_LEN];
};

void table_begin(struct table *table, const struct column *columns, size_t nr);
void table_text(struct table *table, size_t column, const char *text);
void table_count(struct table *table, size_t column, __u64 count);
void table_size(struct table *table, size_t column, __u64 bytes, bool raw);
void table_row(struct table *table);
void table_print(const struct table *table, size_t most_rows);
void table_end(struct table *table);

/* Texts of one expression each; the caller's buffer is returned. */
const char *count_text(char buf[CELL_LEN], __u64 count);
const char *size_text(char buf[CELL_LEN], __u64 bytes, bool raw);
const char *user_text(char buf[CELL_LEN], __u32 uid);
const char *pid_text(char buf[CELL_LEN], __u32 pid);
const char *kind_text(__u32 kind);
const char *phase_text(__u32 phase);

void line_text(const char *label, const char *text);
void line_count(const char *label, __u64 count);
void line_size(const char *label, __u64 bytes, bool raw);
void heading(const char *text);
bool is_terminal(void);
bool may_style(void);		/* and NO_COLOR is not set */
void *must_have(void *memory);

/* json.c: for programs. */
void print_json(json_t *value, size_t flags);
json_t *info_json(const struct karena_info *info);
json_t *gc_json(const struct karena_gc_info *info, const struct karena_gc_control *control);
json_t *heap_json(const struct karena_heap_info *heap);
json_t *class_json(const struct karena_class_info *class);
json_t *explain_json(const struct karena_explain *explain);
json_t *explain_class_json(const struct karena_explain_class *class);
json_t *reclaim_json(const struct karena_reclaim *reclaim);
json_t *check_json(const struct karena_check *check);
json_t *damage_json(const struct karena_damage_record *damage);
json_t *class_stat_json(const struct karena_class_stat *stat);

/* heap.c: what others show of a heap too. */
extern const char * const reject_names[KARENA_NR_REJECT];
void add_heap_cells(struct table *table, const struct karena_heap_info *heap,
		    bool raw);

/* metrics.c */
int print_metrics(int fd, __u32 id);

/* The commands; each returns one of EXIT_*. */
int cmd_info(int argc, char **argv);
int cmd_heap_list(int argc, char **argv);
int cmd_heap_show(int argc, char **argv);
int cmd_heap_explain(int argc, char **argv);
int cmd_heap_reclaim(int argc, char **argv);
int cmd_class_list(int argc, char **argv);
int cmd_span_list(int argc, char **argv);
int cmd_type_list(int argc, char **argv);
int cmd_cache_list(int argc, char **argv);
int cmd_object_show(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_limit(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_gc_run(int argc, char **argv);
int cmd_gc_status(int argc, char **argv);
int cmd_gc_trace(int argc, char **argv);
int cmd_gc_set(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_retained(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_leak(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_top(int argc, char **argv);

#endif /* KARENACTL_H */
