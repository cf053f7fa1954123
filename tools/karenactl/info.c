// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl info: what the module is, can, and allows the caller.
 */
#include <stdio.h>
#include <unistd.h>

#include "ctl.h"

static const char doc[] =
	"Show what the module is, can, and allows you." BELOW_OPTIONS
	"With --json: an object with the members of struct karena_info.";

static const struct {
	__u64 bit;
	const char *name;
} features[] = {
	{ KARENA_FEAT_TINY, "tiny objects packed" },
	{ KARENA_FEAT_SHARE, "read-only sharing" },
	{ KARENA_FEAT_PROFILE, "heap profiles" },
};

static void print_features(__u64 bits)
{
	char text[128] = "none";
	size_t i, used = 0;

	for (i = 0; i < COUNT(features); i++)
		if (bits & features[i].bit)
			used += snprintf(text + used, sizeof(text) - used,
					 "%s%s", used ? ", " : "",
					 features[i].name);
	line_text("features", text);
}

static void print_part(const char *label, const char *part, const char *whole)
{
	char text[2 * CELL_LEN + 4];

	snprintf(text, sizeof(text), "%s of %s", part, whole);
	line_text(label, text);
}

static void print_module(const struct karena_info *info, bool raw)
{
	char text[CELL_LEN];

	heading("module");
	line_text("ABI version", count_text(text, info->abi_version));
	print_features(info->features);
	line_text("page", size_text(text, info->page_size, raw));
	line_text("size classes", count_text(text, info->nr_classes));
	line_text("largest with a class", size_text(text, info->max_small, raw));
	line_text("most objects a call", count_text(text, info->max_bulk));
	line_text("smallest window", size_text(text, info->min_window, raw));
	line_text("largest window", size_text(text, info->max_window, raw));
	line_text("default window", size_text(text, info->default_window, raw));
}

static void print_user(const struct karena_info *info, bool raw)
{
	char part[CELL_LEN], whole[CELL_LEN];

	snprintf(part, sizeof(part), "user %s", user_text(whole, getuid()));
	heading(part);
	print_part("heaps", count_text(part, info->user_heaps),
		   count_text(whole, info->max_user_heaps));
	print_part("memory", size_text(part, info->user_bytes, raw),
		   size_text(whole, info->max_user_bytes, raw));
}

int cmd_info(int argc, char **argv)
{
	struct options opts = { };
	struct karena_info info;
	int fd, err;

	parse_options(&opts, TAKES_NOTHING, NULL, doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	err = read_info(fd, &info);
	close(fd);
	if (err)
		return EXIT_FAILED;
	if (opts.json) {
		print_json(info_json(&info), JSON_INDENT(2));
	} else {
		print_module(&info, opts.bytes);
		print_user(&info, opts.bytes);
	}
	return EXIT_OK;
}
