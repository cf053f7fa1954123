// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, what it says: lines for people while it runs, or one object of
 * JSON at the end.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "demo.h"

void say(const struct options *opts, const char *format, ...)
{
	va_list args;

	if (opts->quiet || opts->json)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
}

void say_answers(const struct options *opts, const struct answers *answers)
{
	const struct answer *answer = answers->best;

	say(opts, "   \"%s\"%s\n", answers->query,
	    answers->count ? "" : "  (nowhere)");
	for (; answer < answers->best + answers->count; answer++) {
		say(opts, "   %4u times in %s\n", answer->count, answer->path);
		say(opts, "        line %u: %s\n", answer->line, answer->text);
	}
}

static void put(json_t *to, const char *name, __u64 number)
{
	json_object_set_new(to, name, json_integer(number));
}

static void put_text(json_t *to, const char *name, const char *text)
{
	json_object_set_new(to, name, json_string(text));
}

static void put_bool(json_t *to, const char *name, bool value)
{
	json_object_set_new(to, name, json_boolean(value));
}

static json_t *summary_json(const struct summary *sum)
{
	json_t *all = json_object();
	char checksum[20];

	snprintf(checksum, sizeof(checksum), "%016llx",
		 (unsigned long long)sum->checksum);
	put(all, "documents", sum->documents);
	put(all, "partial", sum->partial);
	put(all, "words", sum->words);
	put(all, "postings", sum->postings);
	put(all, "bytes", sum->bytes);
	put_text(all, "checksum", checksum);
	return all;
}

static json_t *heap_json(const struct karena_heap_info *info)
{
	json_t *all = json_object();

	put(all, "live_objects", info->live_objects);
	put(all, "live_bytes", info->live_bytes);
	put(all, "held_bytes", info->held_bytes);
	put(all, "allocs", info->allocs);
	put(all, "frees", info->frees);
	return all;
}

static json_t *answers_json(const struct answers *answers)
{
	const struct answer *answer = answers->best;
	json_t *all = json_array(), *one;

	for (; answer < answers->best + answers->count; answer++) {
		one = json_object();
		put_text(one, "path", answer->path);
		put(one, "count", answer->count);
		put(one, "line", answer->line);
		put_text(one, "text", answer->text);
		json_array_append_new(all, one);
	}
	return all;
}

static json_t *queries_json(const struct result *result)
{
	json_t *all = json_array(), *one;
	size_t i;

	for (i = 0; i < result->nr_answers; i++) {
		one = json_object();
		put_text(one, "query", result->answers[i].query);
		json_object_set_new(one, "best",
				    answers_json(&result->answers[i]));
		json_array_append_new(all, one);
	}
	return all;
}

static void put_run(json_t *all, const struct result *result)
{
	put(all, "seed", result->seed);
	put(all, "heap", result->heap_id);
	put(all, "files", result->files);
	put(all, "left_out", result->left_out);
	put_bool(all, "killed_while_adding", result->killed_early);
	put(all, "looks_while_adding", result->looks);
	put_bool(all, "same_answers", result->same_answers);
	put(all, "collected_after_first_kill", result->garbage[0]);
	put(all, "collected_after_second_kill", result->garbage[1]);
	put(all, "reachable_objects", result->reachable);
	json_object_set_new(all, "index_seconds",
			    json_real(result->index_seconds));
	json_object_set_new(all, "collect_seconds",
			    json_real(result->collect_seconds));
}

static json_t *result_json(const struct result *result, bool ok)
{
	json_t *all = json_object();

	put_bool(all, "ok", ok);
	put_run(all, result);
	json_object_set_new(all, "after_first_kill",
			    summary_json(&result->after_kill));
	json_object_set_new(all, "before_second_kill",
			    summary_json(&result->before));
	json_object_set_new(all, "after_second_kill",
			    summary_json(&result->after));
	json_object_set_new(all, "heap_full", heap_json(&result->full));
	json_object_set_new(all, "heap_left", heap_json(&result->empty));
	json_object_set_new(all, "queries", queries_json(result));
	return all;
}

void report_json(const struct result *result, bool ok)
{
	json_t *all = result_json(result, ok);

	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}
