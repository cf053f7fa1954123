// SPDX-License-Identifier: GPL-2.0
/* Control groups: see group.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "group.h"
#include "tap.h"

#define CGROUPS "/sys/fs/cgroup"

static char group[128];

bool write_number(const char *path, __u64 number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", number);
	return write_text(path, text);
}

__s64 read_number(const char *path, const char *key)
{
	char text[4096], *at = text;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len < 0)
		return -1;
	text[len] = 0;
	if (*key)
		at = strstr(text, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

const char *in_group(const char *file)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return path;
}

bool group_open(__u64 max)
{
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	snprintf(group, sizeof(group), CGROUPS "/karena-test-%d", getpid());
	if (mkdir(group, 0755) || access(in_group("memory.max"), W_OK)) {
		rmdir(group);
		tap_skip("no memory controller in " CGROUPS);
		return false;
	}
	write_text(in_group("memory.swap.max"), "0");
	return check(write_number(in_group("memory.max"), max));
}

void group_close(void)
{
	check_eq(read_number(in_group("memory.events"), "oom_kill "), 0);
	check(!rmdir(group));
}

bool enter_group(void)
{
	/* nothing of this process' own has to be found once it is full */
	return check(!mlockall(MCL_CURRENT)) &&
	       check(write_number(in_group("cgroup.procs"), getpid()));
}
