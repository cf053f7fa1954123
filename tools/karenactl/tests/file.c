// SPDX-License-Identifier: GPL-2.0
/*
 * Graphs in files: what is written is read back equal, and whatever a file is, it is read
 * as a graph or not at all.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff.h"
#include "gzip.h"
#include "random.h"
#include "why.h"

static char path[32];

static bool same_types(const struct graph *one, const struct graph *other)
{
	const struct graph_type *a, *b;
	size_t i;

	if (one->nr_types != other->nr_types)
		return false;
	for (i = 0; i < one->nr_types; i++) {
		a = &one->types[i];
		b = &other->types[i];
		if (a->id != b->id || a->flags != b->flags || a->element != b->element ||
		    strcmp(a->name, b->name) || a->nr_refs != b->nr_refs ||
		    memcmp(a->refs, b->refs, a->nr_refs * sizeof(*a->refs)))
			return false;
	}
	return true;
}

static bool same_spans(const struct graph *one, const struct graph *other)
{
	const struct graph_span *a, *b;
	size_t i;

	if (one->nr_spans != other->nr_spans || one->nr_words != other->nr_words)
		return false;
	for (i = 0; i < one->nr_spans; i++) {
		a = &one->spans[i];
		b = &other->spans[i];
		if (a->start != b->start || a->object_size != b->object_size ||
		    a->slots != b->slots || a->flags != b->flags || a->type != b->type ||
		    a->first != b->first || a->bits != b->bits || a->group != b->group)
			return false;
	}
	return !memcmp(one->live, other->live, one->nr_words * sizeof(*one->live));
}

static bool same_refs(const struct graph *one, const struct graph *other)
{
	size_t nr = one->nr_objects;

	return nr == other->nr_objects && one->nr_refs == other->nr_refs &&
	       one->nr_bytes == other->nr_bytes &&
	       !memcmp(one->addr, other->addr, nr * sizeof(*one->addr)) &&
	       !memcmp(one->first_ref, other->first_ref, (nr + 1) * sizeof(*one->first_ref)) &&
	       !memcmp(one->ref_at, other->ref_at, one->nr_refs * sizeof(*one->ref_at)) &&
	       !memcmp(one->ref_to, other->ref_to, one->nr_refs * sizeof(*one->ref_to));
}

static bool same_graph(const struct graph *one, const struct graph *other)
{
	return one->id == other->id && one->pid == other->pid && one->uid == other->uid &&
	       one->collected == other->collected && !strcmp(one->name, other->name) &&
	       one->base == other->base && one->window == other->window &&
	       one->time == other->time && same_types(one, other) && same_spans(one, other) &&
	       (!one->nr_refs || same_refs(one, other)) && one->nr_roots == other->nr_roots &&
	       !memcmp(one->roots, other->roots, one->nr_roots * sizeof(*one->roots));
}

void round_trip(void)
{
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 7);
	for (n = tap_count(300, 3000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 6), *again;

		check(!graph_write(graph, path));
		again = graph_read(path);
		if (check(again))
			check(same_graph(graph, again));
		graph_free(again);
		graph_free(graph);
	}
}

struct bytes {
	unsigned char *data;
	size_t length;
};

static struct bytes load(bool unpack)
{
	struct bytes file = { .data = malloc(1 << 20) };
	gzFile gz;
	int fd;

	if (unpack) {
		gz = gzopen(path, "rb");
		file.length = gzread(gz, file.data, 1 << 20);
		gzclose(gz);
	} else {
		fd = open(path, O_RDONLY);
		file.length = read(fd, file.data, 1 << 20);
		close(fd);
	}
	return file;
}

static void store(const struct bytes *file, size_t length)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	check_eq(write(fd, file->data, length), (long long)length);
	close(fd);
}

/* Whatever a graph is, nothing that is made of it goes wrong. */
static void use(const struct graph *graph)
{
	struct changes changes = { };
	struct dominators doms;
	struct way *ways;
	__u32 *steps;
	size_t nr;

	changes_of_dumps(&changes, graph, graph);
	changes_free(&changes);
	dominators_find(&doms, graph);
	free(group_sums(graph, &doms));
	free(written(graph, &doms, 0));
	free(written(graph, &doms, 10));
	dominators_free(&doms);
	if (!graph->nr_objects)
		return;
	steps = steps_to(graph, graph->nr_objects / 2);
	ways = ways_find(graph, steps, &nr);
	free(ways);
	free(steps);
}

static void change(struct bytes *file, struct rng *rng)
{
	static const unsigned char special[] = { 0, 1, 0x7f, 0x80, 0xff, '0', '9', '-', '"', '\n' };
	unsigned char *byte = &file->data[rng_below(rng, file->length)];

	switch (rng_below(rng, 4)) {
	case 0:
		*byte = special[rng_below(rng, COUNT(special))];
		break;
	case 1:
		*byte += rng_below(rng, 3) - 1;
		break;
	case 2:
		*byte ^= 1 << rng_below(rng, 8);
		break;
	default:
		*byte = rng_next(rng);
	}
}

/* Reads what is in the file now; true if it is a graph, which has been used then. */
static bool is_read(const struct graph *must_be)
{
	struct graph *graph = graph_read(path);

	if (!graph)
		return false;
	if (must_be)
		check(same_graph(graph, must_be));
	use(graph);
	graph_free(graph);
	return true;
}

static void damage(const struct graph *graph, struct rng *rng, bool unpack)
{
	struct bytes file = load(unpack), copy = { .data = malloc(1 << 20) };
	unsigned int changes;
	int n;

	for (n = 0; n < 30 && !tap_failed(); n++) {
		copy.length = file.length;
		memcpy(copy.data, file.data, file.length);
		for (changes = 1 + rng_below(rng, 3); changes; changes--)
			change(&copy, rng);
		store(&copy, copy.length);
		/* What is packed has a checksum, but some bytes of its header mean nothing. */
		is_read(unpack ? NULL : graph);
		store(&file, rng_below(rng, file.length));
		check(!is_read(NULL));
	}
	if (unpack) {
		memcpy(copy.data, file.data, file.length);
		copy.data[file.length] = 'x';
		store(&copy, file.length + 1);
		check(!is_read(NULL));
		store(&file, file.length);
		check(is_read(graph));
	}
	free(copy.data);
	free(file.data);
}

void damaged(void)
{
	int null = open("/dev/null", O_WRONLY), errors = dup(STDERR_FILENO);
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 8);
	/* Each says what is wrong. */
	dup2(null, STDERR_FILENO);
	for (n = tap_count(120, 2000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 4);

		check(!graph_write(graph, path));
		damage(graph, &rng, n % 4);
		graph_free(graph);
	}
	dup2(errors, STDERR_FILENO);
	close(errors);
	close(null);
}

/* What is said of files that are something else. */
void messages(void)
{
	static const struct {
		const char *text;
		const char *says;
	} files[] = {
		{ "", "not a dump" },
		{ "\n", "not a dump" },
		{ "{}\n", "not a dump" },
		{ "{\"format\":\"karena-dump\"}\n", "of a version" },
		{ "{\"format\":\"karena-dump\",\"version\":2}\n", "of a version" },
		{ "{\"format\":\"karena-dump\",\"version\":1}\n", "a number" },
	};
	int errors = dup(STDERR_FILENO), pipes[2];
	struct bytes file;
	char said[256];
	size_t i;
	ssize_t n;

	for (i = 0; i < COUNT(files) && check(!pipe(pipes)); i++) {
		file = (struct bytes){ (unsigned char *)files[i].text, strlen(files[i].text) };
		store(&file, file.length);
		dup2(pipes[1], STDERR_FILENO);
		check(!graph_read(path));
		dup2(errors, STDERR_FILENO);
		n = read(pipes[0], said, sizeof(said) - 1);
		said[n < 0 ? 0 : n] = '\0';
		if (!check(strstr(said, files[i].says) && strstr(said, path)))
			tap_diag("%s", said);
		close(pipes[0]);
		close(pipes[1]);
	}
	close(errors);
}

bool files_begin(void)
{
	int fd;

	strcpy(path, "/tmp/karena-graph-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0) {
		perror(path);
		return false;
	}
	close(fd);
	return true;
}

void files_end(void)
{
	unlink(path);
}
