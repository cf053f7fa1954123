// SPDX-License-Identifier: GPL-2.0
/*
 * The cache: a hash table of entries that are also on a list by use.  Entries
 * are objects of a karena heap, of just the size that key and value take; the
 * lock is taken with softirqs off, so that all but lru_create() and
 * lru_destroy() may be called from process and softirq context.
 */
#include <linux/err.h>
#include <linux/jhash.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "kmod/karena.h"
#include "lru.h"

#define LRU_BITS	12

struct lru_entry {
	struct hlist_node hash;
	struct list_head use;		/* most recent first */
	u32 value_len;
	u8 key_len;
	char data[];			/* key, then value */
};

struct lru_cache {
	struct karena_heap *heap;
	size_t limit;
	spinlock_t lock;		/* all below */
	struct list_head use;
	struct lru_stats stats;
	struct hlist_head table[1 << LRU_BITS];
};

static struct hlist_head *bucket(struct lru_cache *cache, const char *key, size_t key_len)
{
	return &cache->table[jhash(key, key_len, 0) >> (32 - LRU_BITS)];
}

static struct lru_entry *find(struct lru_cache *cache, const char *key, size_t key_len)
{
	struct lru_entry *e;

	hlist_for_each_entry(e, bucket(cache, key, key_len), hash)
		if (e->key_len == key_len && !memcmp(e->data, key, key_len))
			return e;
	return NULL;
}

static size_t entry_bytes(const struct lru_entry *e)
{
	return e->key_len + e->value_len;
}

static void remove(struct lru_cache *cache, struct lru_entry *e)
{
	hlist_del(&e->hash);
	list_del(&e->use);
	cache->stats.entries--;
	cache->stats.bytes -= entry_bytes(e);
	karena_free(cache->heap, e);
}

static void make_room(struct lru_cache *cache, size_t bytes)
{
	while (cache->stats.bytes + bytes > cache->limit && !list_empty(&cache->use)) {
		remove(cache, list_last_entry(&cache->use, struct lru_entry, use));
		cache->stats.evicted++;
	}
}

static void insert(struct lru_cache *cache, struct lru_entry *e)
{
	hlist_add_head(&e->hash, bucket(cache, e->data, e->key_len));
	list_add(&e->use, &cache->use);
	cache->stats.entries++;
	cache->stats.bytes += entry_bytes(e);
}

static struct lru_entry *new_entry(struct lru_cache *cache, const char *key, size_t key_len,
				   const void *value, size_t value_len, gfp_t gfp)
{
	struct lru_entry *e;

	e = karena_alloc(cache->heap, sizeof(*e) + key_len + value_len, KARENA_NOZERO, gfp);
	if (!e)
		return NULL;
	e->key_len = key_len;
	e->value_len = value_len;
	memcpy(e->data, key, key_len);
	memcpy(e->data + key_len, value, value_len);
	return e;
}

/**
 * lru_set - give a key a value
 * @cache: the cache
 * @key: the key
 * @key_len: its length, 1 to LRU_MAX_KEY bytes
 * @value: the value
 * @value_len: its length, up to LRU_MAX_VALUE bytes
 * @gfp: how to allocate
 *
 * Context: process or softirq context, sleeps if @gfp allows.
 * Return: 0, -EINVAL for lengths out of range, -ENOSPC if it can never fit,
 * -ENOMEM; in all of these nothing has changed.
 */
int lru_set(struct lru_cache *cache, const char *key, size_t key_len,
	    const void *value, size_t value_len, gfp_t gfp)
{
	struct lru_entry *e, *old;

	if (!key_len || key_len > LRU_MAX_KEY || value_len > LRU_MAX_VALUE)
		return -EINVAL;
	if (key_len + value_len > cache->limit)
		return -ENOSPC;
	e = new_entry(cache, key, key_len, value, value_len, gfp);
	if (!e)
		return -ENOMEM;
	spin_lock_bh(&cache->lock);
	old = find(cache, key, key_len);
	if (old)
		remove(cache, old);
	make_room(cache, entry_bytes(e));
	insert(cache, e);
	spin_unlock_bh(&cache->lock);
	return 0;
}

/**
 * lru_get - read the value of a key
 * @cache: the cache
 * @key: the key
 * @key_len: its length in bytes
 * @value: gets the value, as much of it as fits
 * @room: bytes at @value
 *
 * Context: process or softirq context.
 * Return: length of the value, or -ENOENT.
 */
ssize_t lru_get(struct lru_cache *cache, const char *key, size_t key_len,
		void *value, size_t room)
{
	struct lru_entry *e;
	ssize_t len = -ENOENT;

	spin_lock_bh(&cache->lock);
	e = find(cache, key, key_len);
	if (e) {
		len = e->value_len;
		memcpy(value, e->data + key_len, min_t(size_t, room, len));
		list_move(&e->use, &cache->use);
		cache->stats.hits++;
	} else {
		cache->stats.misses++;
	}
	spin_unlock_bh(&cache->lock);
	return len;
}

/**
 * lru_del - forget a key
 * @cache: the cache
 * @key: the key
 * @key_len: its length in bytes
 *
 * Context: process or softirq context.
 * Return: 0, or -ENOENT.
 */
int lru_del(struct lru_cache *cache, const char *key, size_t key_len)
{
	struct lru_entry *e;

	spin_lock_bh(&cache->lock);
	e = find(cache, key, key_len);
	if (e)
		remove(cache, e);
	spin_unlock_bh(&cache->lock);
	return e ? 0 : -ENOENT;
}

/**
 * lru_stats - numbers of a cache
 * @cache: the cache
 * @stats: gets them
 *
 * Context: process or softirq context.
 */
void lru_stats(struct lru_cache *cache, struct lru_stats *stats)
{
	spin_lock_bh(&cache->lock);
	*stats = cache->stats;
	spin_unlock_bh(&cache->lock);
}

/**
 * lru_create - make a cache
 * @name: name of its heap
 * @limit: most bytes of keys and values
 *
 * Context: process context, may sleep.
 * Return: the cache, or an ERR_PTR().
 */
struct lru_cache *lru_create(const char *name, size_t limit)
{
	struct lru_cache *cache = kvzalloc(sizeof(*cache), GFP_KERNEL);
	struct karena_heap *heap;

	if (!cache)
		return ERR_PTR(-ENOMEM);
	heap = karena_heap_create(name, NULL);
	if (IS_ERR(heap)) {
		kvfree(cache);
		return ERR_CAST(heap);
	}
	cache->heap = heap;
	cache->limit = limit;
	spin_lock_init(&cache->lock);
	INIT_LIST_HEAD(&cache->use);
	return cache;
}

/**
 * lru_destroy - end of a cache
 * @cache: the cache; nobody uses it any more
 *
 * The entries need not be freed one by one: they go with their heap.
 *
 * Context: process context, may sleep.
 */
void lru_destroy(struct lru_cache *cache)
{
	karena_heap_put(cache->heap);
	kvfree(cache);
}
