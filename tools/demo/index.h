/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The index, as it is in the heap: plain structures and plain pointers.
 *
 *	index --> buckets[] --> word --> word --> ...
 *	  |                       |
 *	  |                       +--> posting --> posting --> ...
 *	  |                               |
 *	  +--> document --> document <----+
 *	  |        |
 *	  |        +--> text
 *	  +--> ledgers: what a writer has allocated and perhaps not yet linked
 *
 * One process writes at a time, any number read.  A writer builds an object
 * and then publishes it by storing one pointer (release), which readers load
 * (acquire).  The last store for a document sets its @complete; until then
 * readers ignore it and all postings that point to it.  So at each
 * instruction at which a writer may die, readers see whole documents only.
 *
 * What would be lost with a writer are the objects that it has allocated but
 * not yet linked.  Therefore the kernel writes their addresses right into the
 * heap, into the writer's ledger, from where the last process frees them.
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
#define MAX_WRITERS	4
#define BATCH		256	/* objects that a writer allocates at once */
#define INDEX_MAGIC	0x7865646e69726b64ULL

struct document {
	struct document *next;
	const char *text;
	__u64 bytes;
	__u64 text_sum;		/* of the text, by sum_bytes() */
	__u32 id;		/* place in the list of files */
	__u32 complete;
	__u32 nr_postings;
	__u32 nr_tokens;
	char path[];
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
	char text[MAX_WORD + 1];
};

/* Slots keep their address when it is linked: who cleans up sorts that out. */
struct ledger {
	void *document;
	void *text;
	void *words[BATCH];
	void *postings[BATCH];
};

struct index {
	__u64 magic;
	__u32 nr_files;		/* ids are below this */
	__u32 nr_complete;
	struct word **buckets;
	struct document *documents;
	struct ledger *ledgers[MAX_WRITERS];
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
struct writer {
	struct karena *heap;
	struct index *index;
	struct ledger *ledger;
	unsigned int words_used;
	unsigned int postings_used;
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
