// SPDX-License-Identifier: GPL-2.0
/*
 * karena_sample: the cache, the graph and guests behind files in
 * /sys/kernel/debug/karena_sample.  A line written is a command, what is read next
 * is its answer.  In "cache":
 *
 *	set KEY VALUE	ok | error N
 *	get KEY		value VALUE | none
 *	del KEY		ok | none
 *	stats		entries=N bytes=N hits=N misses=N evicted=N
 *
 * In "graph":
 *
 *	add A, forget A, link A B, unlink A B	ok | error N
 *	hops A B	N | error N
 *	collect		ok, when it is done
 *	collect later	ok, at once
 *	objects		N
 *
 * In "guest", where each descriptor has one of its own (guest.h, line.c):
 *
 *	open FD TYPE	ok | error N		into the heap of the caller's FD
 *	add N NAME	ok | error N		a node of its tree
 *	tasks		N | error N		all processes
 *	root		ADDRESS			of the tree
 *	forget		ok			and begins another one
 *	move ADDRESS COUNT STEPS SEED	ok | error N	references of a table
 *	bare ...	ok | error N		the same, wrong
 *	size A, load A, store A VALUE, read A LENGTH, write A LENGTH BYTE, pin A, unpin A
 *
 * N after "error" is an errno.  A descriptor keeps the answer to its own last
 * command; descriptors may be used at the same time.
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "graph.h"
#include "guest.h"
#include "lru.h"

static unsigned long limit = 1 << 20;
module_param(limit, ulong, 0444);
MODULE_PARM_DESC(limit, "most bytes of keys and values (1 MiB)");

#define MAX_LINE	4096

static struct lru_cache *cache;
static struct graph *graph;
static struct dentry *dir;

struct session {
	int (*answer_line)(struct session *s);
	struct mutex lock;		/* all below */
	struct guest *guest;
	char line[MAX_LINE];
	char answer[MAX_LINE];
};

static int sample_open(struct inode *inode, struct file *file)
{
	struct session *s = kvzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return -ENOMEM;
	mutex_init(&s->lock);
	s->answer_line = inode->i_private;
	file->private_data = s;
	return 0;
}

static int sample_release(struct inode *inode, struct file *file)
{
	struct session *s = file->private_data;

	guest_close(s->guest);
	kvfree(s);
	return 0;
}

static void answer_get(struct session *s, const char *key)
{
	char *out = s->answer;
	size_t prefix = strlen("value "), room = MAX_LINE - prefix - 2;
	ssize_t len;

	strscpy(out, "value ", MAX_LINE);
	len = lru_get(cache, key, strlen(key), out + prefix, room);
	if (len < 0) {
		strscpy(out, "none\n", MAX_LINE);
		return;
	}
	len = min_t(ssize_t, len, room);
	out[prefix + len] = '\n';
	out[prefix + len + 1] = '\0';
}

static void answer_set(struct session *s, const char *key, const char *value)
{
	int err = lru_set(cache, key, strlen(key), value, strlen(value), GFP_KERNEL);

	if (err)
		snprintf(s->answer, MAX_LINE, "error %d\n", -err);
	else
		strscpy(s->answer, "ok\n", MAX_LINE);
}

static void answer_stats(struct session *s)
{
	struct lru_stats st;

	lru_stats(cache, &st);
	snprintf(s->answer, MAX_LINE,
		 "entries=%llu bytes=%llu hits=%llu misses=%llu evicted=%llu\n",
		 st.entries, st.bytes, st.hits, st.misses, st.evicted);
}

static int answer_cache(struct session *s)
{
	char *rest = strim(s->line), *verb = strsep(&rest, " "), *key;

	if (!strcmp(verb, "stats") && !rest) {
		answer_stats(s);
		return 0;
	}
	key = rest ? strsep(&rest, " ") : NULL;
	if (!key || !*key)
		return -EINVAL;
	if (!strcmp(verb, "set") && rest)
		answer_set(s, key, rest);
	else if (!strcmp(verb, "get") && !rest)
		answer_get(s, key);
	else if (!strcmp(verb, "del") && !rest)
		strscpy(s->answer, lru_del(cache, key, strlen(key)) ? "none\n" : "ok\n",
			MAX_LINE);
	else
		return -EINVAL;
	return 0;
}

static void say_result(struct session *s, int result)
{
	if (result < 0)
		snprintf(s->answer, MAX_LINE, "error %d\n", -result);
	else
		strscpy(s->answer, "ok\n", MAX_LINE);
}

static int answer_graph(struct session *s)
{
	char *rest = strim(s->line), *verb = strsep(&rest, " ");
	char *a = rest ? strsep(&rest, " ") : NULL, *b = rest;
	int n;

	if (!strcmp(verb, "objects") && !a) {
		snprintf(s->answer, MAX_LINE, "%llu\n", graph_objects(graph));
	} else if (!strcmp(verb, "collect") && !a) {
		say_result(s, graph_collect(graph, true));
	} else if (!strcmp(verb, "collect") && !strcmp(a, "later") && !b) {
		say_result(s, graph_collect(graph, false));
	} else if (!strcmp(verb, "add") && a && !b) {
		say_result(s, graph_add(graph, a));
	} else if (!strcmp(verb, "forget") && a && !b) {
		say_result(s, graph_forget(graph, a));
	} else if (!strcmp(verb, "link") && b) {
		say_result(s, graph_link(graph, a, b));
	} else if (!strcmp(verb, "unlink") && b) {
		say_result(s, graph_unlink(graph, a, b));
	} else if (!strcmp(verb, "hops") && b) {
		n = graph_hops(graph, a, b);
		say_result(s, n);
		if (n >= 0)
			snprintf(s->answer, MAX_LINE, "%d\n", n);
	} else {
		return -EINVAL;
	}
	return 0;
}

static int answer_guest(struct session *s)
{
	int result;

	s->answer[0] = '\0';
	result = guest_answer(&s->guest, s->line, s->answer, MAX_LINE);
	if (result == -ENOTTY)
		return -EINVAL;
	if (!s->answer[0])
		say_result(s, result);
	return 0;
}

static ssize_t sample_write(struct file *file, const char __user *buf, size_t len,
			    loff_t *pos)
{
	struct session *s = file->private_data;
	ssize_t ret = len;
	int err;

	if (len >= MAX_LINE)
		return -E2BIG;
	mutex_lock(&s->lock);
	if (copy_from_user(s->line, buf, len)) {
		ret = -EFAULT;
		goto unlock;
	}
	s->line[len] = '\0';
	err = s->answer_line(s);
	if (err)
		ret = err;
	else
		*pos = 0;
unlock:
	mutex_unlock(&s->lock);
	return ret;
}

static ssize_t sample_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct session *s = file->private_data;
	ssize_t ret;

	mutex_lock(&s->lock);
	ret = simple_read_from_buffer(buf, len, pos, s->answer, strlen(s->answer));
	mutex_unlock(&s->lock);
	return ret;
}

static const struct file_operations sample_fops = {
	.owner = THIS_MODULE,
	.open = sample_open,
	.release = sample_release,
	.read = sample_read,
	.write = sample_write,
};

static int __init sample_init(void)
{
	cache = lru_create("sample", limit);
	if (IS_ERR(cache))
		return PTR_ERR(cache);
	graph = graph_create("sample graph");
	if (IS_ERR(graph)) {
		lru_destroy(cache);
		return PTR_ERR(graph);
	}
	dir = debugfs_create_dir("karena_sample", NULL);
	debugfs_create_file("cache", 0600, dir, answer_cache, &sample_fops);
	debugfs_create_file("graph", 0600, dir, answer_graph, &sample_fops);
	debugfs_create_file("guest", 0600, dir, answer_guest, &sample_fops);
	return 0;
}

static void __exit sample_exit(void)
{
	debugfs_remove(dir);
	graph_destroy(graph);
	lru_destroy(cache);
}

module_init(sample_init);
module_exit(sample_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A cache of strings, a graph of places, and guests of programs in karena heaps");
