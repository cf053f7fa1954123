// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, the writer of the index; index.h says how it stays consistent.
 *
 * All functions return 0, or -1 with errno.  What a failed call has allocated
 * is in the ledger, so nothing needs to be unwound.
 */
#include <errno.h>
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

/* One object, with its address stored in the heap by the kernel. */
static int alloc_into(struct karena *heap, size_t size, unsigned int flags,
		      void *slot)
{
	return karena_alloc_bulk(heap, size, flags, 1, slot);
}

struct index *index_create(struct karena *heap, __u32 nr_files)
{
	struct index *index = karena_alloc(heap, sizeof(*index));

	if (!index)
		return NULL;
	index->nr_files = nr_files;
	if (alloc_into(heap, NR_BUCKETS * sizeof(*index->buckets), 0,
		       &index->buckets))
		return NULL;
	publish(&index->magic, INDEX_MAGIC);
	return index;
}

/* A ledger of its own: what the last writer had linked, only it knew. */
int writer_begin(struct writer *writer, struct karena *heap,
		 struct index *index)
{
	int i = 0;

	while (i < MAX_WRITERS && index->ledgers[i])
		i++;
	if (i == MAX_WRITERS) {
		errno = EBUSY;
		return -1;
	}
	if (alloc_into(heap, sizeof(struct ledger), 0, &index->ledgers[i]))
		return -1;
	writer->heap = heap;
	writer->index = index;
	writer->ledger = index->ledgers[i];
	writer->words_used = BATCH;
	writer->postings_used = BATCH;
	return 0;
}

/*
 * The next object of a batch; a new batch takes the slots only when all
 * objects of the last one have been linked.
 */
static void *take(struct writer *writer, void **slots, unsigned int *used,
		  size_t size)
{
	if (*used == BATCH) {
		if (karena_alloc_bulk(writer->heap, size, 0, BATCH, slots))
			return NULL;
		*used = 0;
	}
	return slots[(*used)++];
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
	word = take(writer, writer->ledger->words, &writer->words_used,
		    sizeof(*word));
	if (!word)
		return NULL;
	word->hash = hash;
	word->len = len;
	memcpy(word->text, text, len + 1);
	word->next = *bucket;
	publish(bucket, word);
	return word;
}

/* The newest posting is the first, so this document's is there or nowhere. */
static int add_token(struct writer *writer, struct document *doc,
		     struct word *word, __u32 where)
{
	struct posting *posting = word->postings;

	doc->nr_tokens++;
	if (posting && posting->doc == doc) {
		posting->count++;
		return 0;
	}
	posting = take(writer, writer->ledger->postings, &writer->postings_used,
		       sizeof(*posting));
	if (!posting)
		return -1;
	posting->doc = doc;
	posting->count = 1;
	posting->first = where;
	posting->next = word->postings;
	publish(&word->postings, posting);
	doc->nr_postings++;
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
	struct ledger *ledger = writer->ledger;

	if (alloc_into(writer->heap, size,
		       KARENA_ALLOC_NOSCAN | KARENA_ALLOC_NOZERO, &ledger->text))
		return -1;
	memcpy(ledger->text, text, size);
	doc->bytes = size;
	doc->text_sum = sum_bytes(SUM_SEED, text, size);
	publish(&doc->text, ledger->text);
	return 0;
}

static struct document *begin_document(struct writer *writer, __u32 id,
				       const char *path)
{
	struct index *index = writer->index;
	size_t len = strlen(path) + 1;
	struct document *doc;

	if (alloc_into(writer->heap, sizeof(*doc) + len, 0,
		       &writer->ledger->document))
		return NULL;
	doc = writer->ledger->document;
	doc->id = id;
	memcpy(doc->path, path, len);
	doc->next = index->documents;
	publish(&index->documents, doc);
	return doc;
}

int writer_add(struct writer *writer, __u32 id, const char *path,
	       const char *text, size_t size)
{
	struct document *doc = begin_document(writer, id, path);

	if (!doc || add_text(writer, doc, text, size) || add_tokens(writer, doc))
		return -1;
	/* From this store on it exists. */
	publish(&doc->complete, 1);
	publish(&writer->index->nr_complete, writer->index->nr_complete + 1);
	return 0;
}
