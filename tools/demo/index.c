// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, the writer of the index; index.h says how it stays consistent.
 *
 * All functions return 0, or -1 with errno.  What a failed call has allocated
 * is the collector's, so nothing needs to be unwound.
 */
#include <string.h>

#include "index.h"

/* FNV-1a: simple, and good enough to notice that something changed. */
__u64 sum_bytes(__u64 sum, const void *bytes, size_t size)
{
	const unsigned char *at = bytes, *end = at + size;

	while (at < end)
		sum = (sum ^ *at++) * 0x100000001b3ULL;
	return sum;
}

/* Letters and digits; all that is not ASCII counts as a letter. */
static bool in_word(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c >= 0x80;
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

/* Puts the next word in lower case at @word; returns its length, 0 at the end. */
size_t next_token(const char **at, const char *end, char word[MAX_WORD + 1])
{
	size_t len = 0;

	while (*at < end && !in_word(**at))
		(*at)++;
	for (; *at < end && in_word(**at); (*at)++)
		if (len < MAX_WORD)
			word[len++] = to_lower(**at);
	word[len] = '\0';
	return len;
}

struct index *index_create(struct karena *heap, __u32 nr_files)
{
	struct karena_type type = KARENA_TYPE(heap, struct index, buckets,
					      documents);
	struct karena_type bucket = karena_type(heap, "bucket", sizeof(void *),
						(const __u32[]){ 0 }, 1);
	struct index *index = karena_new(heap, type);

	if (!index)
		return NULL;
	index->nr_files = nr_files;
	index->buckets = karena_new_array(heap, bucket, NR_BUCKETS);
	if (!index->buckets)
		return NULL;
	publish(&index->magic, INDEX_MAGIC);
	return index;
}

/* Types are the same as those of the last writer. */
int writer_begin(struct writer *writer, struct karena *heap,
		 struct index *index)
{
	writer->heap = heap;
	writer->index = index;
	writer->document = KARENA_TYPE(heap, struct document, next, text, path);
	writer->word = KARENA_TYPE(heap, struct word, next, postings);
	writer->posting = KARENA_TYPE(heap, struct posting, next, doc);
	writer->draft = KARENA_TYPE(heap, struct draft, word, posting);
	writer->room = 1024;
	writer->drafts = karena_new_array(heap, writer->draft, writer->room);
	return writer->document.id && writer->word.id && writer->posting.id &&
	       writer->drafts ? 0 : -1;
}

static struct word *find_or_add_word(struct writer *writer, const char *text,
				     size_t len)
{
	__u32 hash = sum_bytes(SUM_SEED, text, len);
	struct word **bucket = &writer->index->buckets[hash % NR_BUCKETS];
	struct word *word;

	for (word = *bucket; word; word = word->next)
		if (word->hash == hash && !strcmp(word->text, text))
			return word;
	word = karena_new(writer->heap, writer->word);
	if (!word)
		return NULL;
	word->hash = hash;
	word->len = len;
	memcpy(word->text, text, len + 1);
	word->next = *bucket;
	publish(bucket, word);
	return word;
}

/* The posting of a word in the document that is being built, or NULL. */
static struct posting *find_draft(const struct writer *writer,
				  const struct word *word)
{
	/* What another writer left there means nothing, but does no harm. */
	if (word->draft < writer->nr_drafts &&
	    writer->drafts[word->draft].word == word)
		return writer->drafts[word->draft].posting;
	return NULL;
}

static int make_room(struct writer *writer)
{
	struct draft *drafts;

	if (writer->nr_drafts < writer->room)
		return 0;
	drafts = karena_new_array(writer->heap, writer->draft, 2 * writer->room);
	if (!drafts)
		return -1;
	memcpy(drafts, writer->drafts, writer->room * sizeof(*drafts));
	writer->drafts = drafts;
	writer->room *= 2;
	return 0;
}

static int add_token(struct writer *writer, struct document *doc,
		     struct word *word, __u32 where)
{
	struct posting *posting = find_draft(writer, word);

	doc->nr_tokens++;
	if (posting) {
		posting->count++;
		return 0;
	}
	if (make_room(writer))
		return -1;
	posting = karena_new(writer->heap, writer->posting);
	if (!posting)
		return -1;
	posting->doc = doc;
	posting->count = 1;
	posting->first = where;
	word->draft = writer->nr_drafts++;
	writer->drafts[word->draft] = (struct draft){ word, posting };
	return 0;
}

static int add_tokens(struct writer *writer, struct document *doc)
{
	const char *at = doc->text, *end = at + doc->bytes;
	char text[MAX_WORD + 1];
	struct word *word;
	size_t len;

	while ((len = next_token(&at, end, text))) {
		if (len < MIN_WORD)
			continue;
		word = find_or_add_word(writer, text, len);
		/* A long word is longer in the text, hence no underflow. */
		if (!word || add_token(writer, doc, word, at - len - doc->text))
			return -1;
	}
	return 0;
}

static int add_text(struct writer *writer, struct document *doc,
		    const char *text, size_t size)
{
	char *copy = karena_alloc_flags(writer->heap, size,
					KARENA_ALLOC_NOSCAN |
					KARENA_ALLOC_NOZERO);

	if (!copy)
		return -1;
	doc->bytes = size;
	doc->text_sum = sum_bytes(SUM_SEED, text, size);
	doc->text = memcpy(copy, text, size);
	return 0;
}

static struct document *build_document(struct writer *writer, __u32 id,
				       const char *path, const char *text,
				       size_t size)
{
	struct document *doc = karena_new(writer->heap, writer->document);

	if (!doc)
		return NULL;
	doc->id = id;
	doc->path = karena_strdup(writer->heap, path);
	writer->nr_drafts = 0;
	if (!doc->path || add_text(writer, doc, text, size) ||
	    add_tokens(writer, doc))
		return NULL;
	doc->nr_postings = writer->nr_drafts;
	return doc;
}

static void publish_document(struct writer *writer, struct document *doc)
{
	struct index *index = writer->index;
	struct draft *draft = writer->drafts;

	doc->next = index->documents;
	publish(&index->documents, doc);
	for (; draft < writer->drafts + writer->nr_drafts; draft++) {
		draft->posting->next = draft->word->postings;
		publish(&draft->word->postings, draft->posting);
	}
	/* From this store on it exists. */
	publish(&doc->complete, 1);
	publish(&index->nr_complete, index->nr_complete + 1);
}

int writer_add(struct writer *writer, __u32 id, const char *path,
	       const char *text, size_t size)
{
	struct document *doc = build_document(writer, id, path, text, size);

	if (!doc)
		return -1;
	publish_document(writer, doc);
	return 0;
}
