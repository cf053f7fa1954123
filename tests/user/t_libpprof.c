// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl profile and the real go tool pprof: a program with malloc from karena, without
 * frame pointers, position independent, whole, stripped, and stripped with its symbols
 * elsewhere.  What pprof prints has to be what the program is known to have done.
 */
#define _GNU_SOURCE
#include <karena.h>
#include <math.h>
#include <signal.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define RATE 2048
#define ALL "-nodecount=0 -nodefraction=0"

static char text[4 << 20];
static char folder[32] = "/tmp/t_libpprof.XXXXXX";

/* Output of a command; false if it failed, with the case. */
static __attribute__((format(printf, 1, 2))) bool run(const char *fmt, ...)
{
	char command[1024];
	size_t n = 0, some;
	va_list args;
	int status;
	FILE *pipe;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	pipe = popen(command, "r");
	while (pipe && (some = fread(text + n, 1, sizeof(text) - 1 - n, pipe)))
		n += some;
	text[n] = '\0';
	status = pipe ? pclose(pipe) : -1;
	if (check_eq(status, 0))
		return true;
	tap_diag("%s: %.300s", command, text);
	return false;
}

/* The program, a pipe from it and to it. */
struct profiled {
	pid_t pid;
	__u32 id;		/* of its heap */
	FILE *from;
	FILE *to;
};

static void wait_ready(struct profiled *p)
{
	char line[64] = "";

	check(fgets(line, sizeof(line), p->from) && !strcmp(line, "ready\n"));
}

static __u32 heap_of(pid_t pid)
{
	struct karena_heap_info info = { 0 };
	int fd = dev_open(O_RDONLY);
	__u32 id = 0, found = 0;

	while (!heap_info(fd, id, 1, &info)) {
		id = info.id;
		if (info.pid == (__u32)pid)
			found = id;
	}
	close(fd);
	return found;
}

static bool start(struct profiled *p, const char *program)
{
	int from[2], to[2];
	char library[512], rate[32];

	snprintf(library, sizeof(library), "%s/lib/libkarena-malloc.so", getenv("KARENA_BUILD"));
	snprintf(rate, sizeof(rate), "%d", RATE);
	if (!check(!pipe(from)) || !check(!pipe(to)))
		return false;
	p->pid = fork();
	if (!p->pid) {
		setenv("LD_PRELOAD", library, 1);
		setenv("KARENA_MALLOC_PROFILE", rate, 1);
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execl(program, program, NULL);
		_exit(127);
	}
	close(from[1]);
	close(to[0]);
	p->from = fdopen(from[0], "r");
	p->to = fdopen(to[1], "w");
	wait_ready(p);
	p->id = heap_of(p->pid);
	return check(p->id);
}

static void go_on(struct profiled *p)
{
	fputs("on\n", p->to);
	fflush(p->to);
	wait_ready(p);
}

static void stop(struct profiled *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	fclose(p->from);
	fclose(p->to);
}

/* The flat value that pprof -top has printed for a function; 0 if there is none. */
static double flat(const char *function)
{
	char *line, *next;
	char name[256];
	double value;

	for (line = text; line; line = next ? next + 1 : NULL) {
		next = strchr(line, '\n');
		if (sscanf(line, "%lf%*s %*s %*s %*s %*s %255s", &value, name) == 2 &&
		    !strcmp(name, function))
			return value;
		if (sscanf(line, "%lf %*s %*s %*s %*s %255s", &value, name) == 2 &&
		    !strcmp(name, function))
			return value;
	}
	return 0;
}

/* Within five times the standard deviation of an estimate of @want objects. */
static void expect(const char *function, double want, double size, double unit)
{
	double p = 1 - exp(-size / RATE), got = flat(function) / unit;
	double most = 5 * sqrt(want * (1 - p) / p) + 1 + want / 1000;

	if (!check(fabs(got - want) <= most))
		tap_diag("%s: %.0f, want %.0f, may be wrong by %.0f", function, got, want, most);
}

static bool list_all(const char *index, const char *unit, const char *more)
{
	return run("cd %s && go tool pprof -top %s -sample_index=%s -unit=%s %s 2>&1",
		   folder, ALL, index, unit, more);
}

/* What goes through @wasted is waste's: its own name, or that of what it calls. */
static void look(struct profiled *p, const char *wasted)
{
	if (!run("karenactl profile -o %s/1.pb.gz %u 2>&1", folder, p->id))
		return;
	if (list_all("inuse_objects", "count", "1.pb.gz")) {
		expect("keep", 20000, 64, 1);
		expect("large", 200, 114688, 1);
		check_eq(flat(wasted), 0);
	}
	if (list_all("alloc_objects", "count", "1.pb.gz")) {
		expect("keep", 20000, 64, 1);
		expect(wasted, 20000, 128, 1);
		expect("large", 200, 114688, 1);
	}
	if (list_all("inuse_space", "B", "1.pb.gz")) {
		expect("keep", 20000, 64, 64);
		expect("large", 200, 114688, 114688);
	}
	if (list_all("alloc_space", "B", "1.pb.gz"))
		expect(wasted, 20000, 128, 128);
	/* Nothing of the allocator itself. */
	check(!strstr(text, "malloc") && !strstr(text, "karena_"));
}

static const char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/bin/%s", getenv("KARENA_BUILD"), name);
	return path;
}

static bool can_run(void)
{
	if (access("/usr/bin/go", X_OK))
		tap_skip("there is no go");
	else if (!__rseq_size)
		tap_skip("CPUs have no magazines here, others are not counted exactly");
	else if (!getenv("KARENA_BUILD"))
		tap_skip("KARENA_BUILD is not set");
	else
		return folder[strlen(folder) - 1] != 'X' || check(mkdtemp(folder));
	return false;
}

static void whole(void)
{
	struct profiled p;

	if (!can_run() || !start(&p, path_of("profiled")))
		return;
	look(&p, "hidden");
	/* By lines of the source. */
	if (run("cd %s && go tool pprof -list='^keep$' -sample_index=inuse_space 1.pb.gz 2>&1",
		folder)) {
		check(strstr(text, "ROUTINE") && strstr(text, "profiled.c"));
		check(strstr(text, "keep allocates"));
	}
	if (run("cd %s && go tool pprof -raw 1.pb.gz 2>&1", folder)) {
		check(strstr(text, "alloc_objects/count alloc_space/bytes inuse_objects/count"));
		check(strstr(text, "inuse_space/bytes[dflt]"));
		check(strstr(text, "Period: 2048"));
		check(strstr(text, "bytes:[64]") || strstr(text, "bytes:[64 bytes]"));
	}
	stop(&p);
}

/* What has come since: the difference of two profiles. */
static void difference(void)
{
	struct profiled p;

	if (!can_run() || !start(&p, path_of("profiled")))
		return;
	run("karenactl profile -o %s/1.pb.gz %u 2>&1", folder, p.id);
	go_on(&p);
	run("karenactl profile -o %s/2.pb.gz %u 2>&1", folder, p.id);
	if (list_all("inuse_objects", "count", "-base=1.pb.gz 2.pb.gz")) {
		expect("later", 10000, 64, 1);
		check_eq(flat("keep"), 0);
		check_eq(flat("large"), 0);
	}
	stop(&p);
}

/* Names are those for linking; what has none is its file's, and its callers have. */
static void without_symbols(void)
{
	struct profiled p;

	if (!can_run() || !start(&p, path_of("profiled-stripped")))
		return;
	if (run("karenactl profile -o %s/1.pb.gz %u 2>&1", folder, p.id) &&
	    list_all("inuse_objects", "count", "1.pb.gz")) {
		expect("keep", 20000, 64, 1);
		expect("large", 200, 114688, 1);
	}
	if (list_all("alloc_objects", "count", "-cum -focus=waste 1.pb.gz"))
		check(strstr(text, "waste"));
	stop(&p);
}

/* The same with its symbols where debuggers look, by build ID. */
static void symbols_elsewhere(void)
{
	char id[128], place[64];
	struct profiled p;

	if (!can_run() || access("/usr/bin/objcopy", X_OK))
		return tap_skip("there is no objcopy, or no go");
	if (!run("readelf -n %s | sed -n 's/.*Build ID: //p'", path_of("profiled-stripped")) ||
	    !check(sscanf(text, "%127s", id) == 1))
		return;
	snprintf(place, sizeof(place), "/usr/lib/debug/.build-id/%.2s", id);
	if (!run("mkdir -p %s && objcopy --only-keep-debug %s %s/%s.debug", place,
		 path_of("profiled"), place, id + 2) ||
	    !start(&p, path_of("profiled-stripped")))
		return;
	look(&p, "hidden");
	stop(&p);
	run("rm %s/%s.debug", place, id + 2);
}

/* A program that is gone has no names any more, but what it did counts. */
static void process_gone(void)
{
	struct karena *heap;
	unsigned int i;
	pid_t pid;

	if (!can_run())
		return;
	heap = karena_open(NULL);
	if (!check(heap) || !check(!karena_profile(heap, 1)))
		return;
	pid = fork();
	if (!pid) {
		for (i = 0; i < 100; i++)
			if (!karena_alloc(heap, 1000))
				_exit(1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	if (run("karenactl profile -o %s/1.pb.gz %u 2>&1", folder, karena_id(heap)) &&
	    run("cd %s && go tool pprof -raw 1.pb.gz 2>&1", folder))
		check(strstr(text, " 1024"));
	karena_close(heap);
	run("rm -r %s", folder);
}

static const struct tap_case cases[] = {
	{ "pprof: a program with all symbols", whole },
	{ "pprof: the difference of two profiles", difference },
	{ "pprof: a stripped program", without_symbols },
	{ "pprof: symbols that are elsewhere", symbols_elsewhere },
	{ "pprof: a process that is gone", process_gone },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
