// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, what the profile (KARENA_IOC_PROFILE) has more of than before, by stack.  As
 * the profile they are estimates: a sampled object stands for many.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"
#include "sites.h"

#define NO_NAME		"?"
#define FRAME_LEN	256

static const void *calls(const struct karena_profile_record *r)
{
	return r + 1;
}

static size_t calls_length(const struct karena_profile_record *r)
{
	return r->nr_frames * sizeof(__u64) + r->nr_functions * KARENA_FUNCTION_LEN;
}

static bool is_same(const struct karena_profile_record *one,
		    const struct karena_profile_record *other)
{
	return one->pid == other->pid && one->object_size == other->object_size &&
	       one->nr_frames == other->nr_frames && one->nr_functions == other->nr_functions &&
	       !memcmp(calls(one), calls(other), calls_length(one));
}

static struct site *find_site(struct sites *sites, const struct karena_profile_record *r)
{
	struct site *site;

	for (site = sites->sites; site < sites->sites + sites->nr; site++)
		if (is_same(site->record, r))
			return site;
	sites->sites = must_have(reallocarray(sites->sites, sites->nr + 1, sizeof(*site)));
	site = &sites->sites[sites->nr++];
	*site = (struct site){ .record = r };
	return site;
}

int sites_read(struct sites *sites, int fd, __u32 id, int side)
{
	struct karena_profile *p = &sites->profile[side];
	const struct karena_profile_record *r;
	const char *end;
	struct site *site;

	if (read_profile(fd, id, NULL, p))
		return -1;
	r = (const void *)(uintptr_t)p->records;
	for (end = (const char *)r + p->length; (const char *)r < end; r = profile_next(r)) {
		site = find_site(sites, r);
		site->record = r;
		site->objects[side] += profile_scaled(r, r->allocs - r->frees);
	}
	return 0;
}

static __u64 growth(const struct site *site)
{
	if (site->objects[1] <= site->objects[0])
		return 0;
	return (site->objects[1] - site->objects[0]) * site->record->object_size;
}

static int by_growth(const void *a, const void *b)
{
	__u64 one = growth(a), other = growth(b);

	return one == other ? 0 : one > other ? -1 : 1;
}

void sites_sort(struct sites *sites)
{
	if (sites->nr)
		qsort(sites->sites, sites->nr, sizeof(*sites->sites), by_growth);
	while (sites->nr && !growth(&sites->sites[sites->nr - 1]))
		sites->nr--;
}

void sites_free(struct sites *sites)
{
	free((void *)(uintptr_t)sites->profile[0].records);
	free((void *)(uintptr_t)sites->profile[1].records);
	free(sites->sites);
}

/* --- names --- */

static struct process *process_of(struct processes *names, const struct karena_profile_record *r)
{
	bool is_new;

	/* Another one may have its number. */
	return r->gone ? NULL : processes_get(names, r->pid, &is_new);
}

/* What a return address is of; true if it is the allocator's. */
static bool frame_text(char text[FRAME_LEN], struct process *process, __u64 addr)
{
	struct symbol symbol;

	process_symbol(process, addr - 1, &symbol);
	if (symbol.name && symbol.file)
		snprintf(text, FRAME_LEN, "%s (%s:%d)", symbol.name, symbol.file, symbol.line);
	else if (symbol.name)
		snprintf(text, FRAME_LEN, "%s", symbol.name);
	else
		snprintf(text, FRAME_LEN, "%#llx", (unsigned long long)addr);
	if (!symbol.name && !symbol.has_module)
		return false;
	return is_allocator(symbol.name ? symbol.name : "", &symbol);
}

/* The calls from the innermost on that is not the allocator's. */
static json_t *frames(struct processes *names, const struct karena_profile_record *r)
{
	const __u64 *frame = calls(r);
	const char *function = (const char *)(frame + r->nr_frames);
	json_t *all = must_have(json_array());
	char text[FRAME_LEN];
	__u32 i;

	for (i = 0; i < r->nr_functions; i++, function += KARENA_FUNCTION_LEN)
		json_array_append_new(all, must_have(json_string(function)));
	for (i = 0; i < r->nr_frames; i++) {
		if (frame_text(text, process_of(names, r), frame[i]) && !r->nr_functions &&
		    i + 1 < r->nr_frames)
			json_array_clear(all);
		else
			json_array_append_new(all, must_have(json_string(text)));
	}
	return all;
}

/* --- to show --- */

static void print_site(struct processes *names, const struct site *site, bool raw)
{
	const struct karena_profile_record *r = site->record;
	char more[CELL_LEN], before[CELL_LEN], each[CELL_LEN];
	json_t *list = frames(names, r), *frame;
	size_t i;

	printf("+%s, from %s, in objects of %s, process %u\n", size_text(more, growth(site), raw),
	       size_text(before, site->objects[0] * r->object_size, raw),
	       size_text(each, r->object_size, raw), r->pid);
	json_array_foreach(list, i, frame)
		printf("    %s\n", json_string_value(frame));
	if (!json_array_size(list))
		puts("    " NO_NAME);
	json_decref(list);
}

void sites_print(const struct sites *sites, size_t most, bool raw)
{
	struct processes names = { };
	size_t i;

	for (i = 0; i < sites->nr && i < most; i++)
		print_site(&names, &sites->sites[i], raw);
	processes_close(&names);
}

json_t *sites_json(const struct sites *sites)
{
	json_t *all = must_have(json_array());
	const struct karena_profile_record *r;
	const struct site *site;
	struct processes names = { };

	for (site = sites->sites; site < sites->sites + sites->nr; site++) {
		r = site->record;
		json_array_append_new(all, json_pack("{sI sI sI sI so}", "pid", (json_int_t)r->pid,
						     "object_size", (json_int_t)r->object_size,
						     "objects_before",
						     (json_int_t)site->objects[0], "objects_after",
						     (json_int_t)site->objects[1],
						     "frames", frames(&names, r)));
	}
	processes_close(&names);
	return all;
}
