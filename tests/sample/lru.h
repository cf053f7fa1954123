/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cache of strings with a limit in bytes that lets the least recently used
 * ones go: what kernel code may do with a karena heap.
 */
#ifndef _KARENA_SAMPLE_LRU_H
#define _KARENA_SAMPLE_LRU_H

#include <linux/types.h>
#include <linux/gfp.h>

struct lru_cache;

#define LRU_MAX_KEY	255
#define LRU_MAX_VALUE	65536

/**
 * struct lru_stats - numbers of a cache
 * @entries: keys in it
 * @bytes: their keys and values
 * @hits: lookups that found their key
 * @misses: lookups that did not
 * @evicted: entries that made room for others
 */
struct lru_stats {
	u64 entries;
	u64 bytes;
	u64 hits;
	u64 misses;
	u64 evicted;
};

struct lru_cache *lru_create(const char *name, size_t limit);
void lru_destroy(struct lru_cache *cache);
int lru_set(struct lru_cache *cache, const char *key, size_t key_len,
	    const void *value, size_t value_len, gfp_t gfp);
ssize_t lru_get(struct lru_cache *cache, const char *key, size_t key_len,
		void *value, size_t room);
int lru_del(struct lru_cache *cache, const char *key, size_t key_len);
void lru_stats(struct lru_cache *cache, struct lru_stats *stats);

#endif /* _KARENA_SAMPLE_LRU_H */
