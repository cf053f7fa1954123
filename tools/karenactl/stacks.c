// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, stacks: records of a profile are of one size of objects, and of addresses;
 * here those whose functions are the same become one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"
#include "stacks.h"
#include "symbols.h"

/* A text of names, and where those of the allocator end. */
struct names {
	FILE *out;
	char *text;
	size_t length;
	size_t own;		/* bytes of it */
};

static void add_frame(struct names *names, struct process *process, __u64 addr, bool may_be_own)
{
	struct symbol symbol;

	/* A return address: what it returns from is before it. */
	process_symbol(process, addr - 1, &symbol);
	if (symbol.name)
		fprintf(names->out, "%s\n", symbol.name);
	else
		fprintf(names->out, "%#llx\n", (unsigned long long)addr);
	fflush(names->out);
	if (may_be_own && is_allocator(symbol.name ? symbol.name : "", &symbol))
		names->own = names->length;
}

static char *frames_of(struct processes *processes, const struct karena_profile_record *r)
{
	const __u64 *frame = (const __u64 *)(r + 1);
	const char *function = (const char *)(frame + r->nr_frames);
	struct process *process = r->gone ? NULL : processes_get(processes, r->pid, NULL);
	struct names names = { };
	char *text;
	__u32 i;

	names.out = must_have(open_memstream(&names.text, &names.length));
	for (i = 0; i < r->nr_functions; i++)
		fprintf(names.out, "%s\n", function + i * KARENA_FUNCTION_LEN);
	for (i = 0; i < r->nr_frames; i++)
		add_frame(&names, process, frame[i], i < OWN_FRAMES);
	fclose(names.out);
	/* Unless there is nothing else, as in the profile. */
	if (r->nr_functions || names.own == names.length)
		names.own = 0;
	text = must_have(strdup(names.text + names.own));
	free(names.text);
	return text;
}

static void add_record(struct stacks *stacks, char *frames, const struct karena_profile_record *r)
{
	__u64 objects = profile_scaled(r, r->allocs - r->frees);
	size_t i;

	for (i = 0; i < stacks->nr && strcmp(stacks->stack[i].frames, frames); i++)
		;
	if (i == stacks->nr) {
		stacks->stack = must_have(reallocarray(stacks->stack, i + 1,
						       sizeof(*stacks->stack)));
		stacks->stack[stacks->nr++] = (struct stack){ .frames = frames };
	} else {
		free(frames);
	}
	stacks->stack[i].objects += objects;
	stacks->stack[i].bytes += objects * r->object_size;
}

static int more_bytes_first(const void *a, const void *b)
{
	const struct stack *x = a, *y = b;

	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : 0;
}

void read_stacks(const struct karena_profile *profile, struct stacks *stacks)
{
	const struct karena_profile_record *r = (const void *)(uintptr_t)profile->records;
	const void *end = (const char *)r + profile->length;
	struct processes processes = { };

	*stacks = (struct stacks){ };
	for (; (const void *)r < end; r = profile_next(r))
		if (r->allocs > r->frees)
			add_record(stacks, frames_of(&processes, r), r);
	if (stacks->nr)
		qsort(stacks->stack, stacks->nr, sizeof(*stacks->stack), more_bytes_first);
	processes_close(&processes);
}

void stacks_free(struct stacks *stacks)
{
	size_t i;

	for (i = 0; i < stacks->nr; i++)
		free(stacks->stack[i].frames);
	free(stacks->stack);
}
