// SPDX-License-Identifier: GPL-2.0
/*
 * The 32-bit entry: one layout for both, so a call through int 0x80 has the
 * same answer.  The arguments lie below 4 GiB.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define NR_IOCTL_32 54
#define NR_GETPID_32 20

static sigjmp_buf back;
static char *low;

static long call_32(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static void caught(int sig)
{
	siglongjmp(back, sig);
}

/* Under UML int 0x80 would be a call of the host. */
static bool is_uml(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];
	bool uml = false;

	while (file && fgets(line, sizeof(line), file))
		uml |= !!strstr(line, "User Mode Linux");
	if (file)
		fclose(file);
	return uml;
}

static bool has_32(void)
{
	struct sigaction action = { .sa_handler = caught }, old;
	bool works = false;

	if (is_uml())
		return false;
	sigaction(SIGSEGV, &action, &old);
	if (!sigsetjmp(back, 1))
		works = call_32(NR_GETPID_32, 0, 0, 0) == getpid();
	sigaction(SIGSEGV, &old, NULL);
	return works;
}

static int ioctl_32(int fd, unsigned long cmd, void *arg)
{
	return call_32(NR_IOCTL_32, fd, cmd, (long)arg);
}

static void compat(void)
{
	struct karena_setup *setup = (void *)low;
	struct karena_alloc *alloc = (void *)(low + 512);
	struct karena_free *free = (void *)(low + 1024);
	struct karena_info *info = (void *)(low + 1536);
	__u64 *addrs = (void *)(low + 2048);
	int fd = dev_open(O_RDWR);

	info->size = sizeof(*info);
	check_ret(ioctl_32(fd, KARENA_IOC_INFO, info), 0);
	check_eq(info->nr_classes, KARENA_NR_CLASSES);
	setup->size = sizeof(*setup);
	setup->window = WINDOW;
	check_ret(ioctl_32(fd, KARENA_IOC_SETUP, setup), 0);
	alloc->size = sizeof(*alloc);
	alloc->object_size = 100;
	alloc->count = 10;
	alloc->addrs = as_addr(addrs);
	check_ret(ioctl_32(fd, KARENA_IOC_ALLOC, alloc), 0);
	check_eq(heap_usable(fd, addrs[9]), 112);
	free->size = sizeof(*free);
	free->addrs = as_addr(addrs);
	free->count = 10;
	check_ret(ioctl_32(fd, KARENA_IOC_FREE, free), 0);
	check_eq(free->rejected, 0);
	check_ret(ioctl_32(fd, KARENA_IOC_SETUP, setup), -EBUSY);
	check_ret(ioctl_32(fd, _IO(KARENA_IOC_MAGIC, 0xff), setup), -ENOTTY);
	close(fd);
}

static void through_int_80(void)
{
	if (!has_32())
		return tap_skip("no 32-bit entry here");
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (check(low != MAP_FAILED))
		compat();
}

static const struct tap_case cases[] = {
	{ "calls through the 32-bit entry", through_int_80 },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
