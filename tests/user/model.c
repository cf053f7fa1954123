// SPDX-License-Identifier: GPL-2.0
/* What the tests hold against karena: see model.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

const __u32 go_sizes[68] = {
	0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224,
	240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896,
	1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456,
	4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880,
	12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264,
	28672, 32768,
};

const __u8 go_pages[68] = {
	0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 2, 1, 2, 1, 2, 1, 3, 2, 3,
	1, 3, 2, 3, 4, 5, 6, 1, 7, 6, 5, 4,
	3, 5, 7, 2, 9, 7, 5, 8, 3,
	10, 7, 4,
};

unsigned int go_class(__u64 size)
{
	unsigned int i;

	for (i = 1; i < 68; i++) {
		if (go_sizes[i] >= size)
			return i;
	}
	return 0;
}

__u64 go_usable(__u64 size)
{
	unsigned int class = go_class(size);

	return class ? go_sizes[class] : (size + 8191) / 8192 * 8192;
}

__u64 go_align(__u64 size)
{
	if (size > 32768)
		return 8192;
	return size % 16 ? 8 : 16;
}

__u16 go_map_entry(__u64 size, bool noscan)
{
	if (noscan && size < TINY_BLOCK)
		size = TINY_BLOCK;
	return 1 + 2 * go_class(size) + noscan;
}

bool space_init(struct space *space, __u64 base, __u64 window)
{
	space->base = base;
	space->window = window;
	space->bits = calloc(window / 64 + 1, 8);
	return space->bits;
}

void space_exit(struct space *space)
{
	free(space->bits);
	space->bits = NULL;
}

/* Bits of word @word that [@from, @to) covers. */
static __u64 word_mask(__u64 word, __u64 from, __u64 to)
{
	__u64 mask = ~0ULL;

	if (from > word * 64)
		mask &= ~0ULL << (from - word * 64);
	if (to < word * 64 + 64)
		mask &= ~0ULL >> (word * 64 + 64 - to);
	return mask;
}

bool space_take(struct space *space, __u64 addr, __u64 len)
{
	__u64 from = addr - space->base, to = from + len, word;
	bool free = true;

	if (addr < space->base || from > space->window ||
	    len > space->window - from || !len)
		return false;
	for (word = from / 64; word <= (to - 1) / 64; word++) {
		__u64 mask = word_mask(word, from, to);

		free &= !(space->bits[word] & mask);
		space->bits[word] |= mask;
	}
	return free;
}

void space_give(struct space *space, __u64 addr, __u64 len)
{
	__u64 from = addr - space->base, to = from + len, word;

	for (word = from / 64; word <= (to - 1) / 64; word++)
		space->bits[word] &= ~word_mask(word, from, to);
}

static __u64 pattern(__u64 seed, __u64 index)
{
	return (seed ^ 0x5bd1e9955bd1e995ULL) * (2 * index + 1);
}

void fill(void *to, __u64 len, __u64 seed)
{
	__u64 *words = to, i, tail;

	for (i = 0; i < len / 8; i++)
		words[i] = pattern(seed, i);
	tail = pattern(seed, i);
	memcpy(&words[i], &tail, len % 8);
}

bool filled(const void *from, __u64 len, __u64 seed)
{
	const __u64 *words = from;
	__u64 i, tail;

	for (i = 0; i < len / 8; i++) {
		if (words[i] != pattern(seed, i))
			return false;
	}
	tail = pattern(seed, i);
	return !memcmp(&words[i], &tail, len % 8);
}

bool zeroed(const void *from, __u64 len)
{
	const char *bytes = from;

	return !len || (!bytes[0] && !memcmp(bytes, bytes + 1, len - 1));
}

/* Contents on what is at @path, or -1. */
static int direct_open(const char *path, int flags, __u64 len, __u64 seed)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | flags, 0600);
	char *data = aligned_alloc(4096, len);

	fill(data, len, seed);
	if (fd >= 0 && pwrite(fd, data, len, 0) != (ssize_t)len) {
		close(fd);
		fd = -1;
	}
	free(data);
	return fd;
}

int direct_file(__u64 len, __u64 seed)
{
	static const char * const folders[] = { ".", "/var/tmp", "/tmp", "/root", "/dev/shm" };
	unsigned int i;
	char path[256];
	int fd = -1;

	for (i = 0; fd < 0 && i < sizeof(folders) / sizeof(*folders); i++) {
		snprintf(path, sizeof(path), "%s/direct.%d", folders[i], getpid());
		fd = direct_open(path, O_CREAT | O_TRUNC, len, seed);
		unlink(path);
	}
	return fd < 0 ? direct_open("/dev/ram0", 0, len, seed) : fd;
}
