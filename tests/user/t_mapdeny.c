// SPDX-License-Identifier: GPL-2.0
/*
 * Each mapping that is refused, and each change to a mapping: the exact errno,
 * and afterwards heap, mapping and data are as they were.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define PAGE 4096ULL
#define RW (PROT_READ | PROT_WRITE)
#define ELSEWHERE 0x200000000000ULL

/* Mappings of a fresh heap, whole but for one thing. */
static const struct wrong_map {
	const char *name;
	int want;
	int prot;
	int flags;
	__u64 offset;
	/* to its true length */
	__s64 more;
	/* to its base */
	__s64 beside;
} wrong_maps[] = {
	{ "private", -EINVAL, RW, MAP_PRIVATE, 0, 0, 0 },
	{ "private, to read", -EINVAL, PROT_READ, MAP_PRIVATE, 0, 0, 0 },
	{ "short by a page", -EINVAL, RW, MAP_SHARED, 0, -PAGE, 0 },
	{ "long by a page", -EINVAL, RW, MAP_SHARED, 0, PAGE, 0 },
	{ "one page", -EINVAL, RW, MAP_SHARED, 0, PAGE - WINDOW, 0 },
	{ "offset of a page", -EINVAL, RW, MAP_SHARED, PAGE, 0, 0 },
	{ "rest from a page on", -EINVAL, RW, MAP_SHARED, PAGE, -PAGE, 0 },
	{ "offset at the window's end", -EINVAL, RW, MAP_SHARED, WINDOW, 0, 0 },
	{ "offset of no region", -EINVAL, RW, MAP_SHARED, 1ULL << 42, 0, 0 },
	{ "highest offset", -EINVAL, RW, MAP_SHARED, 1ULL << 62, 0, 0 },
	{ "executable", -EPERM, RW | PROT_EXEC, MAP_SHARED, 0, 0, 0 },
	{ "executable, not to read", -EPERM, PROT_EXEC, MAP_SHARED, 0, 0, 0 },
	{ "fixed a page above", -EINVAL, RW, MAP_SHARED | MAP_FIXED, 0, 0, PAGE },
	{ "fixed a page below", -EINVAL, RW, MAP_SHARED | MAP_FIXED, 0, 0, -PAGE },
	{ "fixed a window above", -EINVAL, RW, MAP_SHARED | MAP_FIXED, 0, 0, WINDOW },
	{ "fixed, not replacing, a window above", -EINVAL, RW,
	  MAP_SHARED | MAP_FIXED_NOREPLACE, 0, 0, WINDOW },
};

static __s64 try_map(const struct heap *heap, const struct wrong_map *wrong)
{
	__u64 hint = wrong->beside ? heap->base + wrong->beside : 0;
	void *p = mmap(as_ptr(hint), WINDOW + wrong->more, wrong->prot, wrong->flags,
		       heap->fd, wrong->offset);

	return p == MAP_FAILED ? -errno : (__s64)as_addr(p);
}

/* Nothing lies at @addr. */
static bool unmapped(__u64 addr)
{
	unsigned char vec;

	return mincore(as_ptr(addr), PAGE, &vec) < 0 && errno == ENOMEM;
}

static void run_wrong_map(const struct wrong_map *wrong)
{
	struct state before;
	struct heap heap;

	if (!tap_begin("window: %s", wrong->name))
		return;
	if (check_ret(heap_make(&heap, WINDOW, 0), 0)) {
		state_get(heap.fd, &before);
		check_ret(try_map(&heap, wrong), wrong->want);
		state_same(heap.fd, &before);
		check(unmapped(heap.base));
		check_ret(heap_map(&heap), 0);
		heap_close(&heap);
	}
	tap_end();
}

static void before_setup(void)
{
	int fd = dev_open(O_RDWR);
	struct state before;

	state_get(fd, &before);
	check_ret(map_objects(fd, 0, WINDOW, RW, MAP_SHARED), -ENXIO);
	check_ret(map_control(fd, PAGE, PROT_READ, MAP_SHARED), -ENXIO);
	state_same(fd, &before);
	close(fd);
}

/* A hint is a hint: it never leads elsewhere. */
static void hints(void)
{
	struct heap heap;
	__s64 addr;

	if (!check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	addr = map_objects(heap.fd, ELSEWHERE, WINDOW, RW, MAP_SHARED);
	if (map_failed(addr)) {
		check_ret(addr, -EINVAL);
	} else {
		check_eq(addr, heap.base);
		munmap(as_ptr(addr), WINDOW);
	}
	addr = map_objects(heap.fd, heap.base, WINDOW, RW, MAP_SHARED);
	check_eq(addr, heap.base);
	munmap(as_ptr(addr), WINDOW);
	addr = map_objects(heap.fd, heap.base, WINDOW, RW, MAP_SHARED | MAP_FIXED);
	check_eq(addr, heap.base);
	munmap(as_ptr(addr), WINDOW);
	addr = map_objects(heap.fd, heap.base, WINDOW, RW,
			   MAP_SHARED | MAP_FIXED_NOREPLACE);
	check_eq(addr, heap.base);
	munmap(as_ptr(addr), WINDOW);
	heap_close(&heap);
}

static void occupied(void)
{
	struct state before;
	struct heap heap;
	char *there;

	if (!check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	there = mmap(as_ptr(heap.base + WINDOW / 2), PAGE, RW,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (!check(there != MAP_FAILED))
		return;
	*there = 1;
	state_get(heap.fd, &before);
	check_ret(map_objects(heap.fd, 0, WINDOW, RW, MAP_SHARED), -EEXIST);
	check_ret(map_objects(heap.fd, heap.base, WINDOW, RW, MAP_SHARED), -EEXIST);
	check_ret(map_objects(heap.fd, heap.base, WINDOW, RW,
			      MAP_SHARED | MAP_FIXED_NOREPLACE), -EEXIST);
	state_same(heap.fd, &before);
	check_eq(*there, 1);
	munmap(there, PAGE);
	check_ret(heap_map(&heap), 0);
	check_ret(map_objects(heap.fd, 0, WINDOW, RW, MAP_SHARED), -EEXIST);
	heap_close(&heap);
}

/* A refused fixed mapping leaves what was in its place. */
static void fixed_elsewhere(void)
{
	struct heap heap;
	char *there;
	__s64 addr;

	if (!check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	there = mmap(NULL, WINDOW, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!check(there != MAP_FAILED))
		return;
	there[WINDOW / 2] = 1;
	addr = map_objects(heap.fd, as_addr(there), WINDOW, RW, MAP_SHARED | MAP_FIXED);
	check_ret(addr, -EINVAL);
	if (check(!unmapped(as_addr(there))))
		check_eq(there[WINDOW / 2], 1);
	munmap(there, WINDOW);
	heap_close(&heap);
}

static void control_region(void)
{
	struct state before;
	struct heap heap;
	__u64 len;

	if (!check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	len = heap.control_size;
	state_get(heap.fd, &before);
	check_ret(map_control(heap.fd, len, RW, MAP_SHARED), -EPERM);
	check_ret(map_control(heap.fd, len, PROT_WRITE, MAP_SHARED), -EPERM);
	check_ret(map_control(heap.fd, len, PROT_READ | PROT_EXEC, MAP_SHARED), -EPERM);
	check_ret(map_control(heap.fd, len, PROT_READ, MAP_PRIVATE), -EINVAL);
	check_ret(map_control(heap.fd, len + PAGE, PROT_READ, MAP_SHARED), -EINVAL);
	check_ret(map_control(heap.fd, PAGE, PROT_READ, MAP_SHARED), -EINVAL);
	check(mmap(NULL, len, PROT_READ, MAP_SHARED, heap.fd,
		   KARENA_OFF_CONTROL + PAGE) == MAP_FAILED);
	check_eq(errno, EINVAL);
	state_same(heap.fd, &before);
	heap_close(&heap);
}

/* Whole, shared, and at their place; written by whoever may write. */
static void magazines(void)
{
	const struct karena_cpu_magazines *cpu;
	struct heap heap;
	void *memory;
	__u64 len;
	int fd;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	len = heap.control->magazines_size;
	check(len > KARENA_NO_CPUS << KARENA_CPU_SHIFT);
	check_eq(mmap(NULL, len, RW, MAP_PRIVATE, heap.fd, KARENA_OFF_MAGAZINES), MAP_FAILED);
	check_eq(errno, EINVAL);
	check_eq(mmap(NULL, PAGE, RW, MAP_SHARED, heap.fd, KARENA_OFF_MAGAZINES), MAP_FAILED);
	check_eq(errno, EINVAL);
	check_eq(mmap(NULL, len, RW | PROT_EXEC, MAP_SHARED, heap.fd, KARENA_OFF_MAGAZINES),
		 MAP_FAILED);
	check_eq(errno, EPERM);
	fd = heap_share(heap.fd, KARENA_SHARE_RDONLY);
	check_eq(mmap(NULL, len, RW, MAP_SHARED, fd, KARENA_OFF_MAGAZINES), MAP_FAILED);
	check_eq(errno, EACCES);
	memory = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, KARENA_OFF_MAGAZINES);
	check(memory != MAP_FAILED);
	check_eq(mprotect(memory, len, RW), -1);
	check_eq(errno, EACCES);
	/* Those of no CPU have no room, the others have. */
	cpu = memory;
	check_eq(cpu->magazine[5].end - cpu->magazine[5].begin, 0);
	check(cpu[KARENA_NO_CPUS].magazine[5].end > cpu[KARENA_NO_CPUS].magazine[5].begin);
	check(!munmap(memory, len));
	close(fd);
	heap_close(&heap);
}

/* Slots could not tell its objects from one another. */
static void too_large_for_magazines(void)
{
	struct karena_fill fill = { .size = sizeof(fill), .magazine = 5 };
	struct heap heap;

	if (!heap_open(&heap, 64 * 1024 * MIB + KARENA_PAGE_SIZE, 0))
		return;
	check_eq(heap.control->magazines_size, 0);
	check_ret(kioctl(heap.fd, KARENA_IOC_FILL, &fill), -EINVAL);
	check_eq(mmap(NULL, PAGE, RW, MAP_SHARED, heap.fd, KARENA_OFF_MAGAZINES), MAP_FAILED);
	check_eq(errno, EINVAL);
	heap_close(&heap);
}

static void control_mprotect(void)
{
	struct heap heap;
	void *control;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	control = (void *)heap.control;
	check_eq(mprotect(control, heap.control_size, RW), -1);
	check_eq(errno, EACCES);
	check_eq(mprotect(control, heap.control_size, PROT_READ | PROT_EXEC), -1);
	check_eq(errno, EACCES);
	check_eq(munmap((char *)control + PAGE, PAGE), -1);
	check_eq(errno, EINVAL);
	check_eq(heap.control->magic, KARENA_CONTROL_MAGIC);
	heap_close(&heap);
}

/* A mapped heap with recognisable objects, small and large. */
struct scene {
	struct heap heap;
	__u64 small;
	__u64 large;
	struct state before;
};

static bool scene_open(struct scene *scene)
{
	if (!heap_open(&scene->heap, WINDOW, 0))
		return false;
	scene->small = heap_new(scene->heap.fd, 4096, 0);
	scene->large = heap_new(scene->heap.fd, MIB, 0);
	if (!check(scene->small) || !check(scene->large))
		return false;
	fill(as_ptr(scene->small), 4096, 1);
	fill(as_ptr(scene->large), MIB, 2);
	state_get(scene->heap.fd, &scene->before);
	return true;
}

/* All is whole, and can still be written. */
static void scene_close(struct scene *scene)
{
	if (!check(!unmapped(scene->small)) || !check(!unmapped(scene->large))) {
		close(scene->heap.fd);
		munmap(scene->heap.objects, WINDOW);
		return;
	}
	check(filled(as_ptr(scene->small), 4096, 1));
	check(filled(as_ptr(scene->large), MIB, 2));
	fill(as_ptr(scene->small), 4096, 3);
	check(filled(as_ptr(scene->small), 4096, 3));
	state_same(scene->heap.fd, &scene->before);
	check_ret(heap_drop(scene->heap.fd, scene->large), 0);
	heap_close(&scene->heap);
}

static void munmap_part(void)
{
	struct scene s;
	__u64 i;

	if (!scene_open(&s))
		return;
	for (i = 0; i < 4; i++) {
		__u64 from[] = { 0, WINDOW / 2, WINDOW - PAGE, s.large - s.heap.base };

		check_eq(munmap(as_ptr(s.heap.base + from[i]), PAGE), -1);
		check_eq(errno, EINVAL);
	}
	check_eq(munmap(as_ptr(s.heap.base - PAGE), 2 * PAGE), -1);
	check_eq(errno, EINVAL);
	scene_close(&s);
}

static void map_over(void)
{
	struct scene s;
	void *p;

	if (!scene_open(&s))
		return;
	p = mmap(as_ptr(s.large & ~(PAGE - 1)), PAGE, RW,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	check(p == MAP_FAILED);
	/* kernels before 6.12 translate the refusal to split */
	check(errno == EINVAL || errno == ENOMEM);
	scene_close(&s);
}

static void mprotect_part(void)
{
	struct scene s;

	if (!scene_open(&s))
		return;
	check_eq(mprotect(as_ptr(s.heap.base), PAGE, PROT_READ), -1);
	check_eq(errno, EINVAL);
	check_eq(mprotect(as_ptr(s.heap.base + WINDOW / 2), PAGE, PROT_NONE), -1);
	check_eq(errno, EINVAL);
	scene_close(&s);
}

static void mprotect_exec(void)
{
	struct scene s;

	if (!scene_open(&s))
		return;
	check_eq(mprotect(as_ptr(s.heap.base), WINDOW, RW | PROT_EXEC), -1);
	check_eq(errno, EACCES);
	check_eq(mprotect(as_ptr(s.heap.base), PAGE, PROT_EXEC), -1);
	check_eq(errno, EACCES);
	scene_close(&s);
}

/* Allowed: the whole window, to less and back. */
static void mprotect_whole(void)
{
	struct scene s;

	if (!scene_open(&s))
		return;
	check(!mprotect(as_ptr(s.heap.base), WINDOW, PROT_READ));
	check(filled(as_ptr(s.small), 4096, 1));
	check(!mprotect(as_ptr(s.heap.base), WINDOW, PROT_NONE));
	check(!mprotect(as_ptr(s.heap.base), WINDOW, RW));
	scene_close(&s);
}

static void no_remap(__u64 addr, __u64 old_len, __u64 new_len, int flags, __u64 to,
		     int want)
{
	void *p = mremap(as_ptr(addr), old_len, new_len, flags, as_ptr(to));

	check_ret(p == MAP_FAILED ? -errno : 0, want);
}

static void mremap_any(void)
{
	const int move = MREMAP_MAYMOVE, fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	struct scene s;
	__u64 base;

	if (!scene_open(&s))
		return;
	base = s.heap.base;
	no_remap(base, WINDOW, WINDOW + PAGE, 0, 0, -EFAULT);
	no_remap(base, WINDOW, 2 * WINDOW, move, 0, -EFAULT);
	/* a second mapping, the old way */
	no_remap(base, 0, WINDOW, move, 0, -EFAULT);
	no_remap(base, WINDOW, WINDOW - PAGE, 0, 0, -EINVAL);
	no_remap(base, WINDOW, WINDOW, fixed, ELSEWHERE, -EINVAL);
	no_remap(base, PAGE, PAGE, fixed, ELSEWHERE, -EINVAL);
	no_remap(base + PAGE, PAGE, PAGE, fixed, ELSEWHERE, -EINVAL);
	no_remap(base, WINDOW, WINDOW, move | MREMAP_DONTUNMAP, 0, -EINVAL);
	check(unmapped(ELSEWHERE));
	scene_close(&s);
}

static void remap_pages(void)
{
	struct scene s;

	if (!scene_open(&s))
		return;
	check_eq(remap_file_pages(as_ptr(s.heap.base), 2 * PAGE, 0, 2, 0), -1);
	check(errno == EINVAL || errno == ENOMEM);
	check_eq(remap_file_pages(as_ptr(s.heap.base), WINDOW, 0, 2, 0), -1);
	check(errno == EINVAL || errno == ENOMEM);
	scene_close(&s);
}

/* Advice changes no data, whether it is taken or refused. */
static void advice(void)
{
	static const int all[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED,
		MADV_REMOVE, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_DONTFORK, MADV_DOFORK,
		MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DODUMP, MADV_DONTDUMP,
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	struct scene s;
	unsigned int i;

	if (!scene_open(&s))
		return;
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		madvise(as_ptr(s.heap.base), WINDOW, all[i]);
		madvise(as_ptr(s.large), MIB, all[i]);
		check(filled(as_ptr(s.small), 4096, 1));
		check(filled(as_ptr(s.large), MIB, 2));
	}
	scene_close(&s);
}

static void advice_answers(void)
{
	struct scene s;

	if (!scene_open(&s))
		return;
	check(!madvise(as_ptr(s.heap.base), WINDOW, MADV_DONTNEED));
	check(!madvise(as_ptr(s.large), PAGE, MADV_DONTNEED));
	check_eq(madvise(as_ptr(s.large), MIB, MADV_REMOVE), -1);
	check_eq(madvise(as_ptr(s.large), MIB, MADV_FREE), -1);
	check_eq(errno, EINVAL);
	check_eq(madvise(as_ptr(s.heap.base), PAGE, MADV_DONTFORK), -1);
	check_eq(errno, EINVAL);
	check(!madvise(as_ptr(s.large), MIB, MADV_POPULATE_WRITE));
	scene_close(&s);
}

static const struct tap_case cases[] = {
	{ "before setup", before_setup },
	{ "hints never lead elsewhere", hints },
	{ "a place that is taken, by the window too", occupied },
	{ "a refused fixed mapping replaces nothing", fixed_elsewhere },
	{ "control region: each wrong mapping", control_region },
	{ "control region: mprotect and munmap of a part", control_mprotect },
	{ "magazines", magazines },
	{ "no magazines in a large window", too_large_for_magazines },
	{ "munmap of parts", munmap_part },
	{ "another mapping over a part", map_over },
	{ "mprotect of a part", mprotect_part },
	{ "mprotect to execute", mprotect_exec },
	{ "mprotect of the whole", mprotect_whole },
	{ "mremap in each form", mremap_any },
	{ "remap_file_pages", remap_pages },
	{ "madvise never loses data", advice },
	{ "madvise answers", advice_answers },
};

int main(void)
{
	unsigned int i;

	tap_plan(ARRAY_SIZE(wrong_maps) + ARRAY_SIZE(cases));
	for (i = 0; i < ARRAY_SIZE(wrong_maps); i++)
		run_wrong_map(&wrong_maps[i]);
	tap_run(cases, ARRAY_SIZE(cases));
	return tap_status();
}
