// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a program and says what it took, in one line around what it prints itself.
 *
 *	usage: measure BENCHMARK CASE PEER COMMAND...
 *
 * cpu_us is the time of the program on CPUs and that of all threads of the kernel
 * meanwhile (kernel_us of it): karena marks and sweeps there.  peak is memory that was
 * charged to a control group of its own: user pages, page tables, and what karena keeps
 * in the kernel for its heap; where no group can be made, as rss, the most memory that
 * one process of it had.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KTHREADD 2

static char group[64];		/* a folder; empty: there is none */

static long long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static FILE *process_file(const char *pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, name);
	return fopen(path, "r");
}

/* Microseconds that it has run, where the kernel counts that; or else -1. */
static long long exact_us(const char *pid)
{
	FILE *f = process_file(pid, "schedstat");
	long long ns = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%lld", &ns) != 1)
		ns = -1000;
	fclose(f);
	return ns / 1000;
}

/* Microseconds of one process, if it is a thread of the kernel. */
static long long kernel_thread_us(const char *pid)
{
	FILE *f = process_file(pid, "stat");
	unsigned long user, system;
	long long us = 0;
	int parent;

	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &parent, &user, &system) == 3 && parent == KTHREADD) {
		us = exact_us(pid);
		/* Of ticks, which may be as long as what is measured. */
		if (us < 0)
			us = (user + system) * 1000000LL / sysconf(_SC_CLK_TCK);
	}
	fclose(f);
	return us;
}

static long long kernel_us(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	long long sum = 0;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			sum += kernel_thread_us(entry->d_name);
	if (dir)
		closedir(dir);
	return sum;
}

static FILE *group_file(const char *name, const char *mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return fopen(path, mode);
}

static void make_group(void)
{
	snprintf(group, sizeof(group), "/sys/fs/cgroup/bench-%d", getpid());
	if (mkdir(group, 0755))
		*group = 0;
}

static void enter_group(void)
{
	FILE *f = *group ? group_file("cgroup.procs", "w") : NULL;

	if (!*group)
		return;
	if (!f || fprintf(f, "%d", getpid()) < 0 || fclose(f)) {
		perror(group);
		_exit(1);
	}
}

static long long peak_bytes(const struct rusage *usage)
{
	FILE *f = *group ? group_file("memory.peak", "r") : NULL;
	long long bytes = 0;

	if (!f)
		return usage->ru_maxrss * 1024LL;
	if (fscanf(f, "%lld", &bytes) != 1)
		bytes = 0;
	fclose(f);
	return bytes;
}

static int run(char **command)
{
	int status = 1;
	pid_t pid;

	pid = fork();
	if (!pid) {
		enter_group();
		execvp(command[0], command);
		perror(command[0]);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static long long used_us(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000LL + u->ru_utime.tv_usec +
	       u->ru_stime.tv_usec;
}

int main(int argc, char **argv)
{
	long long kernel, wall;
	struct rusage usage;
	int status;

	if (argc < 5)
		return 2;
	make_group();
	printf("%s case=%s peer=%s ", argv[1], argv[2], argv[3]);
	fflush(stdout);
	kernel = kernel_us();
	wall = now_us();
	status = run(argv + 4);
	wall = now_us() - wall;
	kernel = kernel_us() - kernel;
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("wall_us=%lld cpu_us=%lld kernel_us=%lld faults=%ld peak=%lld rss=%lld status=%d\n",
	       wall, used_us(&usage) + kernel, kernel, usage.ru_minflt, peak_bytes(&usage),
	       usage.ru_maxrss * 1024LL, status);
	if (*group)
		rmdir(group);
	return status;
}
