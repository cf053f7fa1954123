// SPDX-License-Identifier: GPL-2.0
/*
 * libkarena: what <karena.h> promises, function by function, with the errno of
 * each refusal.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <karena.h>

#include "model.h"
#include "tap.h"

#define MIB (1024UL * 1024)
#define WINDOW (256 * MIB)

/* The errno of a call that has to fail, 0 when it did not. */
#define error_of(failed) (errno = 0, (failed) ? errno : 0)

/* Out of the compiler's sight, for what it would rightly warn of. */
static void *hide(void *p)
{
	__asm__("" : "+r"(p));
	return p;
}

static struct karena *open_with(size_t limit, __u64 flags)
{
	struct karena_options opts = { .window = WINDOW, .limit = limit, .name = "t_lib",
				       .flags = flags };
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static struct karena *open_one(size_t limit)
{
	return open_with(limit, 0);
}

static void open_default(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena *heap = karena_open(NULL);

	if (!check(heap))
		return;
	check(karena_fd(heap) >= 0);
	check_eq(fcntl(karena_fd(heap), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	check(karena_id(heap) > 0);
	check(karena_window(heap) > 0);
	check_eq(karena_readonly(heap), 0);
	check_eq(karena_stats(heap, &info), 0);
	check_eq(info.id, karena_id(heap));
	check_eq(info.base, (unsigned long)karena_base(heap));
	check_eq(info.window, karena_window(heap));
	check(!strcmp(info.name, program_invocation_short_name));
	karena_close(heap);
}

static void open_options(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena *heap = open_one(8 * MIB);

	if (!heap)
		return;
	check_eq(karena_window(heap), WINDOW);
	check_eq(karena_stats(heap, &info), 0);
	check_eq(info.limit, 8 * MIB);
	check(!strcmp(info.name, "t_lib"));
	karena_close(heap);
}

static void open_errors(void)
{
	struct karena_options opts = { .window = 1 };

	check_eq(error_of(!karena_open(&opts)), EINVAL);
	opts = (struct karena_options){ .window = WINDOW, .limit = WINDOW + 1 };
	check_eq(error_of(!karena_open(&opts)), EINVAL);
	opts = (struct karena_options){ .name = "a\nb" };
	check_eq(error_of(!karena_open(&opts)), EINVAL);
	opts = (struct karena_options){ .name = "12345678901234567890123456789012" };
	check_eq(error_of(!karena_open(&opts)), EINVAL);
	opts = (struct karena_options){ .reserved[2] = 1 };
	check_eq(error_of(!karena_open(&opts)), EINVAL);
}

static void open_device(void)
{
	struct karena *heap;

	setenv("KARENA_DEVICE", "/nonexistent", 1);
	check_eq(error_of(!karena_open(NULL)), ENOENT);
	setenv("KARENA_DEVICE", "/dev/null", 1);
	check_eq(error_of(!karena_open(NULL)), EPROTO);
	setenv("KARENA_DEVICE", "/dev/karena", 1);
	heap = karena_open(NULL);
	check(heap);
	karena_close(heap);
	unsetenv("KARENA_DEVICE");
}

static void close_keeps_errno(void)
{
	struct karena *heap = open_one(0);

	errno = EDOM;
	karena_close(heap);
	check_eq(errno, EDOM);
	karena_close(NULL);
	check_eq(errno, EDOM);
}

static void alloc_and_free(void)
{
	struct karena *heap = open_one(0);
	size_t size;

	for (size = 1; heap && size < 300000; size += size / 3 + 1) {
		char *p = karena_alloc(heap, size);

		if (!check(p))
			break;
		check(zeroed(p, size));
		check(karena_usable_size(heap, p) >= size);
		check((void *)p >= karena_base(heap));
		fill(p, size, size);
		check_eq(karena_free(heap, p), 0);
	}
	check_eq(karena_free(heap, NULL), 0);
	karena_close(heap);
}

static void alloc_flags(void)
{
	struct karena *heap = open_one(0);
	char *a, *b, *c;

	if (!heap)
		return;
	a = karena_alloc_flags(heap, 100, KARENA_ALLOC_NOZERO);
	b = karena_alloc_flags(heap, 100, KARENA_ALLOC_NOSCAN);
	check(a && b);
	c = karena_strdup(heap, "some text");
	if (check(c))
		check(!strcmp(c, "some text"));
	check_eq(karena_free(heap, a), 0);
	check_eq(karena_free(heap, b), 0);
	check_eq(karena_free(heap, c), 0);
	check_eq(error_of(!karena_alloc_flags(heap, 100, 4)), EINVAL);
	karena_close(heap);
}

static void alloc_errors(void)
{
	struct karena *heap = open_one(MIB);

	if (!heap)
		return;
	check_eq(error_of(!karena_alloc(heap, 0)), EINVAL);
	check_eq(error_of(!karena_alloc(heap, (size_t)hide((void *)(WINDOW + 1)))), ENOMEM);
	check_eq(error_of(!karena_alloc(heap, 2 * MIB)), ENOMEM);
	check(karena_alloc(heap, 100));
	karena_close(heap);
}

static void free_errors(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena *heap = open_with(0, KARENA_CHECKED_FREE), *other = open_one(0);
	char *p, *foreign, local;

	if (!heap || !other)
		return;
	p = karena_alloc(heap, 100);
	foreign = karena_alloc(other, 100);
	check_eq(error_of(karena_free(heap, hide(p + 8))), EINVAL);
	check_eq(error_of(karena_free(heap, hide(&local))), EINVAL);
	check_eq(error_of(karena_free(heap, hide(foreign))), EINVAL);
	check_eq(error_of(!karena_usable_size(heap, hide(p + 8))), ENOENT);
	check_eq(karena_usable_size(heap, hide(p)), 112);
	check_eq(karena_free(heap, hide(p)), 0);
	check_eq(error_of(karena_free(heap, hide(p))), EINVAL);
	check_eq(karena_stats(heap, &info), 0);
	check_eq(info.live_objects, 0);
	check_eq(info.frees, 1);
	check_eq(karena_free(other, foreign), 0);
	karena_close(heap);
	karena_close(other);
}

static void bulk(void)
{
	const size_t many = 150000;
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena *heap = open_one(0);
	void **objects = calloc(many, sizeof(*objects));
	size_t i, rejected = 7;

	if (!heap)
		return;
	check_eq(karena_alloc_bulk(heap, 24, 0, 50000, objects), 0);
	check_eq(karena_alloc_bulk(heap, 24, 0, 50000, objects + 50000), 0);
	check_eq(karena_alloc_bulk(heap, 24, 0, 50000, objects + 100000), 0);
	for (i = 0; i < many; i++)
		*(void **)objects[i] = objects[i];
	for (i = 0; i < many; i++)
		check(*(void **)objects[i] == objects[i]);
	/* any number at once, with holes */
	objects[10] = NULL;
	check_eq(karena_free_bulk(heap, many, objects, &rejected), 0);
	check_eq(rejected, 0);
	check_eq(karena_stats(heap, &info), 0);
	check_eq(info.live_objects, 1);
	check_eq(error_of(karena_free_bulk(heap, 3, objects, &rejected)), EINVAL);
	check_eq(rejected, 3);
	check_eq(error_of(karena_free_bulk(heap, 3, objects, NULL)), EINVAL);
	check_eq(karena_free_bulk(heap, 0, objects, &rejected), 0);
	check_eq(rejected, 0);
	check_eq(error_of(karena_alloc_bulk(heap, 24, 0, KARENA_MAX_BULK + 1, objects)),
		 EINVAL);
	check_eq(error_of(karena_alloc_bulk(heap, 24, 0, 10, hide((void *)8))), EFAULT);
	karena_close(heap);
	free(objects);
}

static void stats(void)
{
	struct karena *heap = open_one(0);
	struct {
		struct karena_heap_info info;
		__u64 newer[4];
	} larger;

	if (!heap)
		return;
	memset(&larger, 0, sizeof(larger));
	larger.info.size = sizeof(larger);
	check_eq(karena_stats(heap, &larger.info), 0);
	check_eq(larger.info.id, karena_id(heap));
	check(larger.info.size <= sizeof(larger));
	larger.info.size = 8;
	check_eq(error_of(karena_stats(heap, &larger.info)), EINVAL);
	karena_close(heap);
}

static int shared_fd(const struct karena *heap, __u32 flags)
{
	struct karena_share arg = { .size = sizeof(arg), .flags = flags };

	return ioctl(karena_fd(heap), KARENA_IOC_SHARE, &arg) ? -1 : arg.fd;
}

/*
 * A heap that was closed here and is attached again by a shared descriptor, with
 * an object of 100 bytes that was filled before.
 */
static struct karena *reattached(__u32 flags, char **p)
{
	struct karena *heap = open_one(0);
	int fd;

	if (!heap)
		return NULL;
	*p = karena_alloc(heap, 100);
	fill(*p, 100, 1);
	fd = shared_fd(heap, flags);
	check(fd >= 0);
	/* one process has a heap once */
	check_eq(error_of(!karena_attach(fd)), EEXIST);
	check(fcntl(fd, F_GETFD) >= 0);
	karena_close(heap);
	heap = karena_attach(fd);
	if (!check(heap))
		return NULL;
	check_eq(karena_fd(heap), fd);
	check(filled(*p, 100, 1));
	return heap;
}

static void attach(void)
{
	struct karena *heap;
	char *p;
	int fd;

	heap = reattached(0, &p);
	if (!heap)
		return;
	fd = karena_fd(heap);
	check_eq(karena_free(heap, hide(p)), 0);
	karena_close(heap);
	check_eq(error_of(fcntl(fd, F_GETFD) < 0), EBADF);
}

static void attach_readonly(void)
{
	struct karena *reader;
	char *p;

	reader = reattached(KARENA_SHARE_RDONLY, &p);
	if (!reader)
		return;
	check_eq(karena_readonly(reader), 1);
	check_eq(karena_usable_size(reader, p), 112);
	check_eq(error_of(!karena_alloc(reader, 100)), EBADF);
	check_eq(error_of(karena_free(reader, hide(p))), EBADF);
	check_eq(karena_usable_size(reader, p), 112);
	karena_close(reader);
}

static void attach_errors(void)
{
	int null = open("/dev/null", O_RDWR), fresh = open("/dev/karena", O_RDWR);

	check_eq(error_of(!karena_attach(-1)), EBADF);
	check_eq(error_of(!karena_attach(null)), EPROTO);
	check_eq(error_of(!karena_attach(fresh)), ENXIO);
	/* they stayed ours */
	check(fcntl(null, F_GETFD) >= 0);
	check(fcntl(fresh, F_GETFD) >= 0);
	close(null);
	close(fresh);
}

struct message {
	char *object;
	size_t size;
};

static void take(void *arg)
{
	int socket = *(int *)arg;
	struct karena *heap = karena_recv(socket);
	struct message msg;

	if (!check(heap))
		return;
	check_eq(read(socket, &msg, sizeof(msg)), sizeof(msg));
	check(filled(msg.object, msg.size, 1));
	if (!karena_readonly(heap)) {
		fill(msg.object, msg.size, 2);
		check(karena_alloc(heap, 1000));
	} else {
		check_eq(error_of(!karena_alloc(heap, 1000)), EBADF);
	}
	karena_close(heap);
}

static void pass(unsigned int flags)
{
	struct message msg = { .size = 5000 };
	struct karena *heap;
	int sockets[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return tap_skip("no unix sockets: %s", strerror(errno));
	pid = tap_fork(take, &sockets[1]);
	heap = open_one(0);
	msg.object = karena_alloc(heap, msg.size);
	fill(msg.object, msg.size, 1);
	check_eq(karena_send(sockets[0], heap, flags), 0);
	check_eq(write(sockets[0], &msg, sizeof(msg)), sizeof(msg));
	tap_join(pid);
	check(filled(msg.object, msg.size, flags ? 1 : 2));
	karena_close(heap);
	close(sockets[0]);
	close(sockets[1]);
}

static void send_and_receive(void)
{
	pass(0);
}

static void send_readonly(void)
{
	pass(KARENA_SHARE_RDONLY);
}

static void receive_errors(void)
{
	int sockets[2];
	struct karena *heap;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets))
		return tap_skip("no unix sockets: %s", strerror(errno));
	heap = open_one(0);
	check_eq(error_of(!karena_recv(sockets[1])), EAGAIN);
	check_eq(error_of(karena_send(sockets[0], heap, 1U << 31)), EINVAL);
	check_eq(write(sockets[0], "rubbish!", 8), 8);
	check_eq(error_of(!karena_recv(sockets[1])), EPROTO);
	close(sockets[0]);
	check_eq(error_of(!karena_recv(sockets[1])), ECONNRESET);
	check_eq(error_of(karena_send(sockets[1], heap, 0)), EPIPE);
	close(sockets[1]);
	karena_close(heap);
}

static void child(void *arg)
{
	struct karena *heap = arg;
	char *p = karena_alloc(heap, 100);

	if (check(p))
		check_eq(karena_free(heap, p), 0);
	karena_close(heap);
}

static void over_fork(void)
{
	struct karena *heap = open_one(0);
	char *p = karena_alloc(heap, 100);

	if (!check(p))
		return;
	fill(p, 100, 1);
	tap_isolate(child, heap);
	check(filled(p, 100, 1));
	check_eq(karena_free(heap, p), 0);
	karena_close(heap);
}

static void *worker(void *arg)
{
	struct karena *heap = arg;
	void *held[16] = { NULL };
	unsigned int i;

	for (i = 0; i < tap_count(2000, 100000); i++) {
		void **slot = &held[i % 16];

		if (*slot) {
			check(filled(*slot, 8, (unsigned long)*slot));
			check_eq(karena_free(heap, *slot), 0);
		}
		*slot = karena_alloc(heap, 8 + i % 500);
		if (!check(*slot))
			return NULL;
		fill(*slot, 8, (unsigned long)*slot);
	}
	for (i = 0; i < 16; i++)
		karena_free(heap, held[i]);
	return NULL;
}

static void threads(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena *heap = open_one(0);
	pthread_t threads[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		check(!pthread_create(&threads[i], NULL, worker, heap));
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	check_eq(karena_stats(heap, &info), 0);
	check_eq(info.live_objects, 0);
	karena_close(heap);
}

/* What is not needed goes back when asked for; limits, and where memory is. */
static void memory(void)
{
	struct karena_explain explain = { .size = sizeof(explain) };
	struct karena_memory memory;
	struct karena *heap = open_one(0);
	void *p = karena_alloc(heap, 4 * MIB);

	check(p);
	check_eq(karena_explain(heap, &explain), 0);
	check(explain.live_bytes >= 4 * MIB && explain.held_bytes >= explain.live_bytes);
	check_eq(karena_free(heap, p), 0);
	check(karena_reclaim(heap, 0) >= 0);
	check_eq(karena_explain(heap, &explain), 0);
	check_eq(explain.held_bytes, 0);
	check(explain.returned_bytes >= 4 * MIB);
	check_eq(karena_memory_get(heap, &memory), 0);
	memory.soft_limit = MIB;
	memory.policy = KARENA_OVER_FAIL;
	check_eq(karena_memory_set(heap, &memory), 0);
	check_eq(error_of(!karena_alloc(heap, 2 * MIB)), ENOMEM);
	check_eq(karena_memory_get(heap, &memory), 0);
	check_eq(memory.soft_limit, MIB);
	check_eq(memory.over, 0);
	memory.policy = 3;
	check_eq(error_of(karena_memory_set(heap, &memory)), EINVAL);
	check_eq(error_of(karena_reclaim(heap, KARENA_RECLAIM_COLLECT) < 0), EINVAL);
	karena_close(heap);
}

static const struct tap_case cases[] = {
	{ "open with defaults", open_default },
	{ "open with options", open_options },
	{ "open refused", open_errors },
	{ "open another device", open_device },
	{ "close keeps errno", close_keeps_errno },
	{ "alloc and free", alloc_and_free },
	{ "alloc with flags, strdup", alloc_flags },
	{ "alloc refused", alloc_errors },
	{ "free refused", free_errors },
	{ "bulk", bulk },
	{ "stats", stats },
	{ "attach", attach },
	{ "attach to read", attach_readonly },
	{ "attach refused", attach_errors },
	{ "send and receive", send_and_receive },
	{ "send to read", send_readonly },
	{ "send and receive refused", receive_errors },
	{ "over fork", over_fork },
	{ "threads", threads },
	{ "memory", memory },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
