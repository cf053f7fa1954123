/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The index, as it is in the heap: plain structures and plain pointers.
 *
 *	index --> buckets[] --> word --> word --> ...
 *	  |                       |
 *	  |                       +--> posting --> posting --> ...
 *	  |                               |
 *	  +--> document --> document <----+
 *	           |
 *	           +--> text, path
 *
 * One process writes at a time, any number read.  A writer builds a document and
 * all its postings where nobody sees them, and then publishes one after the other
 * by storing one pointer (release), which readers load (acquire).  The last store
 * sets the document's @complete; until then readers ignore it and all postings
 * that point to it.  So at each instruction at which a writer may die, readers
 * see whole documents only.
 *
 * What a writer that dies had not published, nobody can reach: the collector frees
 * it.  Nothing here is ever freed by hand.
 */
#ifndef KARENA_DEMO_INDEX_H
#define KARENA_DEMO_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <karena.h>

#define MAX_WORD	39	/* bytes; the rest of a longer one is cut */
#define MIN_WORD	2
#define NR_BUCKETS	16384
#define INDEX_MAGIC	0x7865646e69726b64ULL

struct document {
	struct document *next;
	const char *text;
	const char *path;
	__u64 bytes;
	__u64 text_sum;		/* of the text, by sum_bytes() */
	__u32 id;		/* place in the list of files */
	__u32 complete;
	__u32 nr_postings;
	__u32 nr_tokens;
};

struct posting {
	struct posting *next;
	const struct document *doc;
	__u32 count;		/* how often the word is in the document */
	__u32 first;		/* where it is first, in bytes */
};

struct word {
	struct word *next;
	struct posting *postings;
	__u32 hash;
	__u32 len;
	__u32 draft;		/* of the writer: where it may be among its drafts */
	char text[MAX_WORD + 1];
};

struct index {
	__u64 magic;
	__u32 nr_files;		/* ids are below this */
	__u32 nr_complete;
	struct word **buckets;
	struct document *documents;
};

/* What index_examine() finds, of complete documents. */
struct summary {
	size_t documents;
	size_t partial;		/* begun by a writer that died */
	size_t words;
	size_t postings;
	__u64 bytes;
	__u64 checksum;		/* over contents and addresses */
};

/* index.c: for the process that writes. */
struct draft {
	struct word *word;
	struct posting *posting;	/* of the document that is being built */
};

struct writer {
	struct karena *heap;
	struct index *index;
	struct karena_type document, word, posting, draft;
	struct draft *drafts;		/* in the heap as well */
	__u32 nr_drafts;
	__u32 room;
};

struct index *index_create(struct karena *heap, __u32 nr_files);
int writer_begin(struct writer *writer, struct karena *heap,
		 struct index *index);
int writer_add(struct writer *writer, __u32 id, const char *path,
	       const char *text, size_t size);

#define SUM_SEED	0xcbf29ce484222325ULL

__u64 sum_bytes(__u64 sum, const void *bytes, size_t size);
size_t next_token(const char **at, const char *end, char word[MAX_WORD + 1]);

#define publish(slot, value)	__atomic_store_n(slot, value, __ATOMIC_RELEASE)
#define observe(slot)		__atomic_load_n(slot, __ATOMIC_ACQUIRE)

#endif /* KARENA_DEMO_INDEX_H */
