// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, the reader of the index: examine it, ask it, count its objects.
 *
 * Nothing here trusts the writer to have ended well: it may have died at any
 * instruction, and may even be writing now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"

/* While an index is examined: which documents count, and what they should have. */
struct examination {
	const struct karena *heap;
	const struct index *index;
	struct summary *summary;
	const struct document **docs;	/* complete ones, by id */
	__u32 *postings;		/* found of each */
};

static bool is_inside(const struct karena *heap, const void *at, size_t size)
{
	uintptr_t base = (uintptr_t)karena_base(heap), addr = (uintptr_t)at;
	size_t window = karena_window(heap);

	return addr >= base && addr - base < window &&
	       size <= window - (addr - base);
}

static void mix(struct summary *summary, const void *bytes, size_t size)
{
	summary->checksum = sum_bytes(summary->checksum, bytes, size);
}

static const char *examine_document(struct examination *ex,
				    const struct document *doc)
{
	struct summary *summary = ex->summary;

	if (!is_inside(ex->heap, doc, sizeof(*doc)))
		return "a document is not in the heap";
	if (!observe(&doc->complete)) {
		summary->partial++;
		return NULL;
	}
	if (doc->id >= ex->index->nr_files || ex->docs[doc->id])
		return "a document has a wrong number";
	if (!is_inside(ex->heap, doc->text, doc->bytes))
		return "a text is not in the heap";
	if (sum_bytes(SUM_SEED, doc->text, doc->bytes) != doc->text_sum)
		return "a text has changed";
	ex->docs[doc->id] = doc;
	summary->documents++;
	summary->bytes += doc->bytes;
	mix(summary, &doc, sizeof(doc));
	mix(summary, doc, sizeof(*doc));
	mix(summary, doc->path, strlen(doc->path));
	return NULL;
}

static const char *examine_documents(struct examination *ex)
{
	const struct document *doc = observe(&ex->index->documents);
	const char *wrong = NULL;

	for (; doc && !wrong; doc = doc->next)
		wrong = examine_document(ex, doc);
	return wrong;
}

/* Returns how many postings of @word count, or -1. */
static long examine_postings(struct examination *ex, const struct word *word)
{
	const struct posting *posting = observe(&word->postings);
	const struct document *doc;
	long n = 0;

	for (; posting; posting = posting->next) {
		if (!is_inside(ex->heap, posting, sizeof(*posting)) ||
		    !is_inside(ex->heap, posting->doc, sizeof(*posting->doc)))
			return -1;
		doc = posting->doc;
		if (doc->id >= ex->index->nr_files)
			return -1;
		/* What became complete since the walk over them is left out. */
		if (ex->docs[doc->id] != doc)
			continue;
		if (!posting->count || posting->first >= doc->bytes)
			return -1;
		ex->postings[doc->id]++;
		mix(ex->summary, &posting, sizeof(posting));
		mix(ex->summary, posting, sizeof(*posting));
		n++;
	}
	return n;
}

static const char *examine_word(struct examination *ex, const struct word *word,
				size_t bucket)
{
	struct summary *summary = ex->summary;
	long n;

	if (!is_inside(ex->heap, word, sizeof(*word)))
		return "a word is not in the heap";
	if (word->len > MAX_WORD || word->hash % NR_BUCKETS != bucket ||
	    (__u32)sum_bytes(SUM_SEED, word->text, word->len) != word->hash)
		return "a word has changed";
	n = examine_postings(ex, word);
	if (n < 0)
		return "a posting is wrong";
	if (n) {
		summary->words++;
		summary->postings += n;
		mix(summary, &word, sizeof(word));
		mix(summary, word->text, word->len);
	}
	return NULL;
}

static const char *examine_words(struct examination *ex)
{
	const struct word *word;
	const char *wrong = NULL;
	size_t i;

	for (i = 0; i < NR_BUCKETS && !wrong; i++) {
		word = observe(&ex->index->buckets[i]);
		for (; word && !wrong; word = word->next)
			wrong = examine_word(ex, word, i);
	}
	return wrong;
}

static const char *compare_counts(const struct examination *ex)
{
	__u32 i;

	for (i = 0; i < ex->index->nr_files; i++)
		if (ex->docs[i] && ex->docs[i]->nr_postings != ex->postings[i])
			return "a document lacks postings";
	return NULL;
}

static const char *examine(struct examination *ex)
{
	const struct index *index = ex->index;
	const char *wrong;

	if (!is_inside(ex->heap, index, sizeof(*index)) ||
	    observe(&index->magic) != INDEX_MAGIC ||
	    !is_inside(ex->heap, index->buckets, NR_BUCKETS * sizeof(void *)))
		return "there is no index";
	ex->docs = calloc(index->nr_files, sizeof(*ex->docs));
	ex->postings = calloc(index->nr_files, sizeof(*ex->postings));
	if (!ex->docs || !ex->postings)
		return "no memory to look at the index";
	wrong = examine_documents(ex);
	if (!wrong)
		wrong = examine_words(ex);
	return wrong ? wrong : compare_counts(ex);
}

/* Follows each pointer; returns NULL, or what is wrong. */
const char *index_examine(const struct karena *heap, const struct index *index,
			  struct summary *summary)
{
	struct examination ex = {
		.heap = heap,
		.index = index,
		.summary = summary,
	};
	const char *wrong;

	memset(summary, 0, sizeof(*summary));
	summary->checksum = SUM_SEED;
	wrong = examine(&ex);
	free(ex.docs);
	free(ex.postings);
	return wrong;
}

static const struct word *find_word(const struct index *index,
				    const char *text, size_t len)
{
	__u32 hash = sum_bytes(SUM_SEED, text, len);
	const struct word *word;

	word = observe(&index->buckets[hash % NR_BUCKETS]);
	while (word && (word->hash != hash || strcmp(word->text, text)))
		word = word->next;
	return word;
}

/* What a query has gathered about a document. */
struct score {
	const struct posting *first;	/* of the query's first word */
	unsigned int words;
	unsigned int count;
};

static void score_word(struct score *scores, const struct word *word)
{
	const struct posting *posting = word ? observe(&word->postings) : NULL;
	struct score *score;

	for (; posting; posting = posting->next) {
		if (!observe(&posting->doc->complete))
			continue;
		score = &scores[posting->doc->id];
		if (!score->words++)
			score->first = posting;
		score->count += posting->count;
	}
}

static char printable(char c)
{
	return c < ' ' || c > '~' ? '?' : c;
}

/* Whatever files are called, a terminal and JSON can show this. */
static void copy_printable(char *to, size_t room, const char *text)
{
	while (*text && --room)
		*to++ = printable(*text++);
	*to = '\0';
}

/* The line around @posting: its number, and its text as far as it fits. */
static void quote(struct answer *answer, const struct posting *posting)
{
	const char *text = posting->doc->text, *at;
	const char *begin = text, *end = text + posting->doc->bytes;
	size_t i;

	answer->line = 1;
	for (at = text; at < text + posting->first; at++) {
		if (*at != '\n')
			continue;
		answer->line++;
		begin = at + 1;
	}
	while (begin < text + posting->first && strchr(" \t*#", *begin))
		begin++;
	for (i = 0; i < sizeof(answer->text) - 1 && begin + i < end; i++) {
		if (begin[i] == '\n')
			break;
		answer->text[i] = printable(begin[i]);
	}
	answer->text[i] = '\0';
}

/* Keeps the best; of equals, the file that comes first. */
static void offer(struct answers *answers, const struct score *score)
{
	struct answer *best = answers->best;
	size_t i = answers->count;

	while (i && best[i - 1].count < score->count)
		i--;
	if (i == MAX_ANSWERS)
		return;
	if (answers->count < MAX_ANSWERS)
		answers->count++;
	memmove(&best[i + 1], &best[i],
		(answers->count - i - 1) * sizeof(*best));
	best[i] = (struct answer) { .count = score->count };
	quote(&best[i], score->first);
	copy_printable(best[i].path, sizeof(best[i].path),
		       score->first->doc->path);
}

/* The documents that have all words of @query. */
int index_ask(const struct index *index, const char *query,
	      struct answers *answers)
{
	const char *at = query, *end = query + strlen(query);
	struct score *scores = calloc(index->nr_files, sizeof(*scores));
	char text[MAX_WORD + 1];
	unsigned int words = 0;
	size_t len, i;

	if (!scores)
		return -1;
	memset(answers, 0, sizeof(*answers));
	copy_printable(answers->query, sizeof(answers->query), query);
	while ((len = next_token(&at, end, text))) {
		if (len < MIN_WORD)
			continue;
		score_word(scores, find_word(index, text, len));
		words++;
	}
	for (i = 0; i < index->nr_files; i++)
		if (scores[i].words && scores[i].words == words)
			offer(answers, &scores[i]);
	free(scores);
	return 0;
}

static unsigned int nr_documents(const struct word *word)
{
	const struct posting *posting = observe(&word->postings);
	unsigned int n = 0;

	for (; posting; posting = posting->next)
		n += observe(&posting->doc->complete);
	return n;
}

/* Something to ask about text that is not known: long words, found most. */
int index_pick_words(const struct index *index, const char *words[], int most)
{
	unsigned int counts[MAX_QUERIES], n;
	const struct word *word;
	int found = 0, at;
	size_t i;

	for (i = 0; i < NR_BUCKETS; i++) {
		word = observe(&index->buckets[i]);
		for (; word; word = word->next) {
			n = word->len < 6 ? 0 : nr_documents(word);
			for (at = found; at && counts[at - 1] < n; at--)
				;
			if (!n || at == most)
				continue;
			found += found < most;
			memmove(&words[at + 1], &words[at],
				(found - at - 1) * sizeof(*words));
			memmove(&counts[at + 1], &counts[at],
				(found - at - 1) * sizeof(*counts));
			words[at] = word->text;
			counts[at] = n;
		}
	}
	return found;
}

struct list {
	uintptr_t *objects;
	size_t count;
	size_t room;
	bool failed;
};

static void push(struct list *list, const void *object)
{
	uintptr_t *objects = list->objects;

	if (!object || list->failed)
		return;
	if (list->count == list->room) {
		list->room = 2 * list->room + 1024;
		objects = reallocarray(objects, list->room, sizeof(*objects));
		list->failed = !objects;
		if (!objects)
			return;
		list->objects = objects;
	}
	/* Short texts share an object. */
	list->objects[list->count++] = (uintptr_t)object & ~15ul;
}

static void push_words(struct list *list, const struct word *word)
{
	const struct posting *posting;

	for (; word; word = word->next) {
		push(list, word);
		for (posting = word->postings; posting; posting = posting->next)
			push(list, posting);
	}
}

static void push_all(struct list *list, const struct index *index)
{
	const struct document *doc;
	size_t i;

	push(list, index);
	push(list, index->buckets);
	for (i = 0; i < NR_BUCKETS; i++)
		push_words(list, index->buckets[i]);
	for (doc = index->documents; doc; doc = doc->next) {
		push(list, doc);
		push(list, doc->text);
		push(list, doc->path);
	}
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return x < y ? -1 : x > y;
}

/* How many objects the index has; -1 without memory. */
long index_count(const struct index *index)
{
	struct list list = { };
	size_t i;
	long n = 0;

	push_all(&list, index);
	if (!list.failed) {
		qsort(list.objects, list.count, sizeof(*list.objects), by_address);
		for (i = 0; i < list.count; i++)
			n += !i || list.objects[i - 1] != list.objects[i];
	}
	free(list.objects);
	return list.failed ? -1 : n;
}
