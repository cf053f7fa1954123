// SPDX-License-Identifier: GPL-2.0
/*
 * The sample consumer, a kernel module with a cache of strings and a graph that is
 * never freed by hand in karena heaps (tests/sample): what it answers against a
 * model, its limit, what is collected, several processes at once, and that it can
 * be unloaded at any time, and karena with it.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tap.h"

#define CACHE "/sys/kernel/debug/karena_sample/cache"
#define GRAPH "/sys/kernel/debug/karena_sample/graph"
#define KEYS 64
#define MAX_VALUE 2000

static int sample_open(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0)
		tap_skip("%s: %s", path, strerror(errno));
	return fd;
}

static int cache_open(void)
{
	return sample_open(CACHE);
}

/* Writes a command and reads its answer; -errno of the command. */
static int ask(int fd, char *answer, size_t room, const char *command)
{
	ssize_t n = write(fd, command, strlen(command));

	answer[0] = '\0';
	if (n < 0)
		return -errno;
	n = pread(fd, answer, room - 1, 0);
	if (n < 0)
		return -errno;
	answer[n] = '\0';
	return 0;
}

static bool answers(int fd, const char *command, const char *want)
{
	char got[4096];

	if (!check_ret(ask(fd, got, sizeof(got), command), 0))
		return false;
	if (!strcmp(got, want))
		return true;
	tap_diag("%.40s: got %.60s, want %.60s", command, got, want);
	return check(!"the answer is as the model says");
}

static unsigned long long stat_of(int fd, const char *name)
{
	char got[4096], key[32], *at;

	snprintf(key, sizeof(key), "%s=", name);
	check_ret(ask(fd, got, sizeof(got), "stats"), 0);
	at = strstr(got, key);
	return check(at) ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void basics(void)
{
	int fd = cache_open();

	if (fd < 0)
		return;
	answers(fd, "set colour green", "ok\n");
	answers(fd, "get colour", "value green\n");
	answers(fd, "set colour deep blue", "ok\n");
	answers(fd, "get colour", "value deep blue\n");
	answers(fd, "get size", "none\n");
	answers(fd, "del colour", "ok\n");
	answers(fd, "del colour", "none\n");
	answers(fd, "get colour", "none\n");
	close(fd);
}

static void rejections(void)
{
	static const char * const bad[] = { "", "set", "set a", "get", "get a b", "del",
					    "stats now", "jump high" };
	char got[4096], key[400];
	unsigned int i;
	int fd = cache_open();

	if (fd < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (*bad[i])
			check_ret(ask(fd, got, sizeof(got), bad[i]), -EINVAL);
	memset(key, 'k', sizeof(key));
	memcpy(key, "set ", 4);
	memcpy(key + sizeof(key) - 3, " v", 3);
	answers(fd, key, "error 22\n");
	close(fd);
}

static void fill_value(struct rng *rng, char *value)
{
	unsigned int i, len = 1 + rng_below(rng, MAX_VALUE);

	for (i = 0; i < len; i++)
		value[i] = 'a' + rng_below(rng, 26);
	value[len] = '\0';
}

/* One process's keys against a model of them; they all fit. */
static void against_model(void *arg)
{
	static char model[KEYS][MAX_VALUE + 1], command[4096], want[4096];
	unsigned int i, key, steps = tap_count(2000, 50000);
	long id = (long)arg;
	struct rng rng;
	int fd = cache_open();

	if (fd < 0)
		return;
	rng_init(&rng, 100 + id);
	for (i = 0; i < steps && !tap_failed(); i++) {
		key = rng_below(&rng, KEYS);
		switch (rng_below(&rng, 4)) {
		case 0:
			fill_value(&rng, model[key]);
			snprintf(command, sizeof(command), "set %ld.%u %s", id, key, model[key]);
			answers(fd, command, "ok\n");
			break;
		case 1:
			snprintf(command, sizeof(command), "del %ld.%u", id, key);
			answers(fd, command, model[key][0] ? "ok\n" : "none\n");
			model[key][0] = '\0';
			break;
		default:
			snprintf(command, sizeof(command), "get %ld.%u", id, key);
			snprintf(want, sizeof(want), model[key][0] ? "value %s\n" : "none\n",
				 model[key]);
			answers(fd, command, want);
		}
	}
	for (key = 0; key < KEYS; key++) {
		snprintf(command, sizeof(command), "del %ld.%u", id, key);
		answers(fd, command, model[key][0] ? "ok\n" : "none\n");
	}
	close(fd);
}

static void model_alone(void)
{
	tap_isolate(against_model, (void *)1L);
}

static void model_together(void)
{
	pid_t pids[4];
	unsigned long i;

	for (i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = tap_fork(against_model, (void *)(i + 2));
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		tap_join(pids[i]);
}

/* Four times what fits: the last ones stay, the first ones are gone. */
static void eviction(void)
{
	char command[4096], value[1025];
	unsigned long long limit = 1 << 20, before;
	unsigned int i, n = 4 * limit / 1024;
	int fd = cache_open();

	if (fd < 0)
		return;
	memset(value, 'v', 1024);
	value[1024] = '\0';
	before = stat_of(fd, "evicted");
	for (i = 0; i < n; i++) {
		snprintf(command, sizeof(command), "set e%u %s", i, value);
		answers(fd, command, "ok\n");
		check(stat_of(fd, "bytes") <= limit);
	}
	answers(fd, "get e0", "none\n");
	snprintf(command, sizeof(command), "del e%u", n - 1);
	answers(fd, command, "ok\n");
	check(stat_of(fd, "evicted") - before >= n / 2);
	for (i = 0; i < n; i++) {
		snprintf(command, sizeof(command), "del e%u", i);
		check_ret(ask(fd, value, sizeof(value), command), 0);
	}
	check_eq(stat_of(fd, "entries"), 0);
	check_eq(stat_of(fd, "bytes"), 0);
	close(fd);
}

/* What is not known and not linked goes, cycles and all; what is linked stays. */
static void graph_forgets(void)
{
	int fd = sample_open(GRAPH);

	if (fd < 0)
		return;
	answers(fd, "add a", "ok\n");
	answers(fd, "add a", "error 17\n");
	answers(fd, "add b", "ok\n");
	answers(fd, "add c", "ok\n");
	answers(fd, "link a b", "ok\n");
	answers(fd, "link b c", "ok\n");
	answers(fd, "link c a", "ok\n");
	answers(fd, "link c d", "error 2\n");
	answers(fd, "hops a c", "2\n");
	answers(fd, "hops a a", "0\n");
	answers(fd, "forget b", "ok\n");
	answers(fd, "collect", "ok\n");
	answers(fd, "objects", "6\n");
	answers(fd, "hops a c", "2\n");
	answers(fd, "hops b c", "error 2\n");
	answers(fd, "unlink a b", "ok\n");
	answers(fd, "collect", "ok\n");
	answers(fd, "objects", "3\n");
	answers(fd, "forget a", "ok\n");
	answers(fd, "forget c", "ok\n");
	answers(fd, "forget c", "error 2\n");
	answers(fd, "collect", "ok\n");
	answers(fd, "objects", "0\n");
	close(fd);
}

#define CYCLE_LINE \
	" gc %llu @%lfs %u%%: %lf+%lf+%lf ms clock, %lf+%lf/%lf/%lf+%lf ms cpu, %llu->%llu->%llu MB, %llu MB goal, %llu MB stacks, %llu MB globals, %u P (forced)%n"

/* Whether a line has all fields of Go's gctrace line, and figures that can be. */
static bool is_gctrace(const char *line)
{
	unsigned long long n, used, marked, live, goal, stacks, globals;
	unsigned int share, cpus;
	double age, clock[3], cpu[5];
	int end = 0;

	line = strstr(line, " gc ");
	if (!line || sscanf(line, CYCLE_LINE, &n, &age, &share, &clock[0], &clock[1], &clock[2],
			    &cpu[0], &cpu[1], &cpu[2], &cpu[3], &cpu[4], &used, &marked, &live,
			    &goal, &stacks, &globals, &cpus, &end) != 18)
		return false;
	return end && n && age > 0 && share <= 100 && clock[1] > 0 && live <= marked && cpus;
}

/* gctrace was set before the sample was loaded (tools/vm/guest.sh). */
static void cycle_line(void)
{
	int fd = sample_open(GRAPH), log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	unsigned int lines = 0;
	char line[1024];
	ssize_t len;

	if (fd < 0 || !check(log >= 0))
		return;
	check(lseek(log, 0, SEEK_END) >= 0);
	answers(fd, "collect", "ok\n");
	while ((len = read(log, line, sizeof(line) - 1)) > 0) {
		line[len] = 0;
		lines += is_gctrace(line);
	}
	check_eq(lines, 1);
	close(log);
	close(fd);
}

/* One of several who make cycles and forget them, while others ask for cycles. */
static void make_rings(void *arg)
{
	unsigned int i, j, rings = tap_count(40, 4000);
	char command[100];
	long id = (long)arg;
	int fd = sample_open(GRAPH);

	if (fd < 0)
		return;
	for (i = 0; i < rings && !tap_failed(); i++) {
		for (j = 0; j < 20; j++) {
			snprintf(command, sizeof(command), "add %ld.%u", id, j);
			answers(fd, command, "ok\n");
		}
		for (j = 0; j < 20; j++) {
			snprintf(command, sizeof(command), "link %ld.%u %ld.%u", id, j, id,
				 (j + 1) % 20);
			answers(fd, command, "ok\n");
		}
		if (i % 8 == id % 8)
			answers(fd, "collect", "ok\n");
		snprintf(command, sizeof(command), "hops %ld.7 %ld.6", id, id);
		answers(fd, command, "19\n");
		for (j = 0; j < 20; j++) {
			snprintf(command, sizeof(command), "forget %ld.%u", id, j);
			answers(fd, command, "ok\n");
		}
	}
	close(fd);
}

static void graph_rings(void)
{
	int fd = sample_open(GRAPH);
	pid_t pids[4];
	unsigned long i;

	if (fd < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = tap_fork(make_rings, (void *)i);
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		tap_join(pids[i]);
	answers(fd, "collect", "ok\n");
	answers(fd, "objects", "0\n");
	close(fd);
}

/* Places in a ring, and half of them forgotten, so that a cycle has something to do. */
static void fill_graph(int fd)
{
	char command[64];
	unsigned int i;

	for (i = 0; i < 200 && !tap_failed(); i++) {
		snprintf(command, sizeof(command), "add u%u", i);
		answers(fd, command, "ok\n");
	}
	for (i = 0; i < 200 && !tap_failed(); i++) {
		snprintf(command, sizeof(command), "link u%u u%u", i, (i + 1) % 200);
		answers(fd, command, "ok\n");
	}
}

static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? -errno : 0;
}

/* A module from the folder that karena.ko is in. */
static int load(const char *module)
{
	const char *karena = getenv("KARENA_KO"), *end = karena ? strrchr(karena, '/') : NULL;
	char path[512];
	int fd, err;

	if (!end)
		return -ENOENT;
	snprintf(path, sizeof(path), "%.*s/%s.ko", (int)(end - karena), karena, module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return err;
}

/* At a moment of the cycle that the seed knows, and the machine. */
static void unload_in_cycle(void)
{
	unsigned int i, rounds = tap_count(30, 200);
	struct rng rng;
	__u64 steps;
	int fd;

	rng_init(&rng, 20);
	for (i = 0; i < rounds && !tap_failed(); i++) {
		fd = sample_open(GRAPH);
		if (fd < 0)
			return;
		fill_graph(fd);
		answers(fd, "collect later", "ok\n");
		/* From nothing to longer than a cycle, mostly short. */
		for (steps = rng_below(&rng, 1ULL << rng_below(&rng, 14)); steps; steps--)
			sched_yield();
		close(fd);
		check_ret(unload("karena_sample"), 0);
		check_ret(unload("karena"), 0);
		check_ret(load("karena"), 0);
		check_ret(load("karena_sample"), 0);
	}
}

static const struct tap_case cases[] = {
	{ "set, get and del", basics },
	{ "commands that are none", rejections },
	{ "one process against a model", model_alone },
	{ "four processes against their models", model_together },
	{ "the limit lets the oldest go", eviction },
	{ "a graph whose garbage is collected", graph_forgets },
	{ "each cycle has its line in the log", cycle_line },
	{ "rings that four processes make and forget", graph_rings },
	{ "unloaded in the middle of a cycle", unload_in_cycle },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
