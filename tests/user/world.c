// SPDX-License-Identifier: GPL-2.0
/* A collected heap and processes that change it: see world.h. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <time.h>

#include "tap.h"
#include "world.h"

#define LINKS 48u	/* of KARENA_MAX_SMALL bytes */

/* No cycle but those that are asked for; marking takes its time if nobody waits. */
static void gc_by_hand(int fd)
{
	struct karena_gc_control control;

	if (!gc_get(fd, &control))
		return;
	control.percent = -1;
	control.period_ms = 0;
	control.share = 10;
	gc_set(fd, &control);
}

__u64 world_stops(struct world *w)
{
	struct karena_gc_info info;

	return gc_info(w->heap.fd, &info) ? info.stops : 0;
}

struct world *world_new(unsigned int nr)
{
	pthread_barrierattr_t attr;
	struct world *w;

	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!check(w != MAP_FAILED) || !heap_open_collected(&w->heap, WINDOW, 0))
		return NULL;
	gc_by_hand(w->heap.fd);
	check_ret(heap_root(w->heap.fd, w->root, sizeof(w->root), 0), 0);
	w->nr = nr;
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&w->barrier, &attr, nr + 1);
	return w;
}

static __u64 cycles(struct world *w)
{
	struct karena_gc_info info;

	return gc_info(w->heap.fd, &info) ? info.cycles : 0;
}

void world_collect_slowly(struct world *w)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct karena_collect req = { .size = sizeof(req) };
	__u64 before = cycles(w);

	check_ret(kioctl(w->heap.fd, KARENA_IOC_COLLECT, &req), 0);
	while (cycles(w) == before)
		nanosleep(&pause, NULL);
}

void world_delete(struct world *w)
{
	struct karena_gc_info info;

	gc_info(w->heap.fd, &info);
	tap_diag("%llu cycles, %llu stops, %llu put off, %llu us the longest", info.cycles,
		 info.stops, info.put_off, info.stop_max_ns / 1000);
	heap_close(&w->heap);
	munmap(w, sizeof(*w));
}

__u64 world_chain(struct world *w, __u64 last)
{
	unsigned int i;
	__u64 link;

	for (i = 0; i < LINKS; i++) {
		link = heap_new(w->heap.fd, KARENA_MAX_SMALL, 0);
		if (!check(link))
			return last;
		put(link + KARENA_MAX_SMALL - sizeof(link), last);
		last = link;
	}
	return last;
}

bool is_alive(struct world *w, __u64 addr)
{
	return heap_usable(w->heap.fd, addr) > 0;
}
