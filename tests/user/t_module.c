// SPDX-License-Identifier: GPL-2.0
/*
 * The module is not unloaded under its users: delete_module(2) is refused while
 * a descriptor, a mapping or a shared descriptor is left, and the use count is
 * what it was when they are gone.  With KARENA_KO=file it is then unloaded and
 * loaded again for real.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

/* Uses of the module, -1 when none of that name is loaded. */
static long use_count(void)
{
	FILE *modules = fopen("/proc/modules", "r");
	char line[512], name[64];
	long uses = -1, found;

	while (modules && fgets(line, sizeof(line), modules)) {
		if (sscanf(line, "%63s %*u %ld", name, &found) == 2 &&
		    !strcmp(name, "karena"))
			uses = found;
	}
	if (modules)
		fclose(modules);
	return uses;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "karena", O_NONBLOCK) ? -errno : 0;
}

static bool is_loaded(void)
{
	if (use_count() >= 0)
		return true;
	tap_skip("karena is not loaded as a module");
	return false;
}

/* Refused, and the heap can still be used. */
static void refused(int fd)
{
	check_ret(unload(), -EWOULDBLOCK);
	if (fd >= 0)
		check(heap_new(fd, 64, 0));
}

static void open_only(void)
{
	long uses = use_count();
	int fd;

	if (!is_loaded())
		return;
	fd = dev_open(O_RDWR);
	check(use_count() > uses);
	refused(-1);
	close(fd);
	check_eq(use_count(), uses);
}

static void heap_set_up(void)
{
	long uses = use_count();
	struct heap heap;

	if (!is_loaded() || !check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	refused(heap.fd);
	heap_close(&heap);
	check_eq(use_count(), uses);
}

static void mapping_only(void)
{
	long uses = use_count();
	struct heap heap;
	char *object;

	if (!is_loaded() || !heap_open(&heap, WINDOW, 0))
		return;
	object = as_ptr(heap_new(heap.fd, 64, 0));
	*object = 1;
	close(heap.fd);
	heap.fd = -1;
	refused(-1);
	check_eq(*object, 1);
	check(!munmap(heap.objects, WINDOW));
	heap.objects = NULL;
	/* the control region alone */
	refused(-1);
	heap_close(&heap);
	check_eq(use_count(), uses);
}

static void shared_only(void)
{
	long uses = use_count();
	struct heap heap;
	int shared;

	if (!is_loaded() || !check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	shared = heap_share(heap.fd, 0);
	heap_close(&heap);
	refused(shared);
	close(shared);
	check_eq(use_count(), uses);
}

struct pipes {
	int ready[2];
	int go[2];
};

static void hold(void *arg)
{
	struct pipes *pipes = arg;
	struct heap heap;
	char c = 0;

	heap_open(&heap, WINDOW, 0);
	check_eq(write(pipes->ready[1], &c, 1), 1);
	check_eq(read(pipes->go[0], &c, 1), 1);
	/* it just ends */
}

static void other_process(void)
{
	long uses = use_count();
	struct pipes pipes;
	pid_t pid;
	char c = 0;

	if (!is_loaded() || !check(!pipe(pipes.ready)) || !check(!pipe(pipes.go)))
		return;
	pid = tap_fork(hold, &pipes);
	check_eq(read(pipes.ready[0], &c, 1), 1);
	refused(-1);
	check_eq(write(pipes.go[1], &c, 1), 1);
	tap_join(pid);
	check_eq(use_count(), uses);
}

/* With memory of all kinds given back just before. */
static void reload(void)
{
	const char *ko = getenv("KARENA_KO");
	struct karena_info info;
	struct heap heap;
	unsigned int i;
	int fd;

	if (!ko)
		return tap_skip("KARENA_KO does not name the module's file");
	if (!is_loaded())
		return;
	if (use_count() > 0)
		return tap_skip("something else uses the module");
	for (i = 0; i < tap_count(3, 50) && !tap_failed(); i++) {
		if (!heap_open(&heap, WINDOW, 0))
			return;
		check(heap_new(heap.fd, 10 * MIB, 0));
		check(heap_new(heap.fd, 100, 0));
		heap_close(&heap);
		check_ret(unload(), 0);
		check_ret(dev_open(O_RDWR), -ENOENT);
		fd = open(ko, O_RDONLY | O_CLOEXEC);
		check(fd >= 0);
		check_eq(syscall(SYS_finit_module, fd, "", 0), 0);
		close(fd);
		check(user_numbers(&info));
		check_eq(info.user_bytes, 0);
	}
}

static const struct tap_case cases[] = {
	{ "not unloaded while it is open", open_only },
	{ "not unloaded while a heap is set up", heap_set_up },
	{ "not unloaded while a heap is mapped", mapping_only },
	{ "not unloaded while a shared descriptor is left", shared_only },
	{ "not unloaded while another process has a heap", other_process },
	{ "unloaded and loaded again", reload },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
