// SPDX-License-Identifier: GPL-2.0
/*
 * libkarena against its documentation: what each function returns, and each
 * errno that can be had without running out of something.
 *
 * Without the device it says so and tests what is left.  Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

#define NR_THREADS	4
#define NR_ROUNDS	2000

static int tests, failed;

static void check(int good, const char *what)
{
	int err = errno;

	tests++;
	if (good) {
		printf("ok %d - %s\n", tests, what);
		return;
	}
	failed++;
	printf("not ok %d - %s\n# errno %d: %s\n", tests, what, err,
	       strerror(err));
}

/* The last call failed, with this errno and no other. */
static void check_error(int failing, int want, const char *what)
{
	check(failing && errno == want, what);
	errno = 0;
}

static struct karena *must_open(void)
{
	struct karena_options opts = { .flags = KARENA_CHECKED_FREE };
	struct karena *heap = karena_open(&opts);

	if (heap)
		return heap;
	printf("Bail out! karena_open: %s\n", strerror(errno));
	exit(1);
}

static __u64 live(struct karena *heap)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return karena_stats(heap, &info) ? (__u64)-1 : info.live_objects;
}

static void test_no_device(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	setenv("KARENA_DEVICE", "/dev/nothing-there", 1);
	check_error(!karena_open(NULL), ENOENT, "no device");
	setenv("KARENA_DEVICE", "/dev/null", 1);
	check_error(!karena_open(NULL), EPROTO, "a device of another kind");
	unsetenv("KARENA_DEVICE");
	check_error(!karena_attach(-1), EBADF, "attaching no descriptor");
	check_error(!karena_attach(fd), EPROTO, "attaching what is no heap");
	check(!fcntl(fd, F_GETFD) || fcntl(fd, F_GETFD) == FD_CLOEXEC,
	      "a descriptor that is refused stays open");
	karena_close(NULL);
	close(fd);
}

/* What karena_recv() makes of messages that are not karena_send()'s. */
static void test_strange_messages(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		exit(1);
	check(send(pair[0], "hello", 5, 0) == 5, "a strange message is sent");
	check_error(!karena_recv(pair[1]), EPROTO, "a strange message");
	check(send(pair[0], "karena\0\1", 8, 0) == 8, "a greeting is sent");
	check_error(!karena_recv(pair[1]), EPROTO, "a greeting without a heap");
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	check_error(!karena_recv(pair[1]), EAGAIN, "nothing has come yet");
	close(pair[0]);
	check_error(!karena_recv(pair[1]), ECONNRESET, "the other end closed");
	check_error(!karena_recv(-1), EBADF, "no socket");
	close(pair[1]);
}

static void test_options(void)
{
	struct karena_options opts = {
		.window = 3 << 20, .limit = 2 << 20, .name = "test",
	};
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena *heap = karena_open(&opts);

	check(heap && karena_window(heap) == 3 << 20, "a window of 3 MiB");
	check(heap && !karena_stats(heap, &info) && info.limit == 2 << 20,
	      "a limit of 2 MiB");
	check(!strcmp(info.name, "test") && info.id == karena_id(heap),
	      "name and number");
	check(karena_base(heap) == (void *)(uintptr_t)info.base, "base");
	check(!karena_readonly(heap), "not read only");
	check(fcntl(karena_fd(heap), F_GETFD) == FD_CLOEXEC, "close-on-exec");
	karena_close(heap);

	opts.reserved[2] = 1;
	check_error(!karena_open(&opts), EINVAL, "reserved is not zero");
	opts.reserved[2] = 0;
	opts.limit = 4 << 20;
	check_error(!karena_open(&opts), EINVAL, "limit above window");
	opts.limit = 0;
	opts.window = 1;
	check_error(!karena_open(&opts), EINVAL, "window too small");
	opts.window = 0;
	opts.name = "tab\there";
	check_error(!karena_open(&opts), EINVAL, "name not printable");
	opts.name = "0123456789012345678901234567890x";
	check_error(!karena_open(&opts), EINVAL, "name too long");
	opts.name += 1;
	heap = karena_open(&opts);
	check(!!heap, "name as long as it may be");
	karena_close(heap);
	info.size = 8;
	heap = must_open();
	check_error(karena_stats(heap, &info), EINVAL, "numbers of size 8");
	karena_close(heap);
}

static int is_zero(const char *bytes, size_t size)
{
	while (size--)
		if (*bytes++)
			return 0;
	return 1;
}

/* The compiler rightly complains of wrong frees when it sees them. */
static __attribute__((noipa)) void *hide(void *object)
{
	return object;
}

static void test_objects(struct karena *heap)
{
	char *object = karena_alloc(heap, 100), *text;
	void *wrong = hide(object + 8);

	check(object && is_zero(object, 100), "100 zeroed bytes");
	check(karena_usable_size(heap, object) >= 100, "usable size");
	memset(object, 1, karena_usable_size(heap, object));
	check_error(!karena_usable_size(heap, wrong), ENOENT, "no object there");
	check_error(karena_free(heap, wrong), EINVAL, "freeing its inside");
	wrong = hide(&tests);
	check_error(karena_free(heap, wrong), EINVAL, "freeing what is no object");
	wrong = hide(object);
	check(!karena_free(heap, object), "freeing it");
	check_error(karena_free(heap, wrong), EINVAL, "freeing it again");
	check(!karena_free(heap, NULL), "freeing NULL");
	check_error(!karena_alloc(heap, 0), EINVAL, "0 bytes");
	check_error(!karena_alloc_flags(heap, 8, 1U << 31), EINVAL,
		    "unknown flags");
	check_error(!karena_alloc(heap, PTRDIFF_MAX), ENOMEM, "too many bytes");
	text = karena_strdup(heap, "abc");
	check(text && !strcmp(text, "abc"), "a string");
	check(!karena_free(heap, text), "freeing a string");
	check(live(heap) == 0, "nothing is left");
}

static void test_alignment(struct karena *heap)
{
	size_t size, want, bad = 0;
	void *objects[8];
	int i;

	for (size = 1; size < 40000; size += 1 + size / 64) {
		want = size <= 8 || (size > 16 && size <= 24) ? 8 : 16;
		if (karena_alloc_bulk(heap, size, 0, 8, objects))
			exit(1);
		for (i = 0; i < 8; i++)
			bad += (uintptr_t)objects[i] % want != 0;
		bad += karena_free_bulk(heap, 8, objects, NULL) != 0;
	}
	check(!bad && live(heap) == 0, "alignment");
}

static void test_large(struct karena *heap)
{
	char *object = karena_alloc(heap, 5 << 20);

	check(object && is_zero(object, 5 << 20), "5 MiB");
	check(karena_usable_size(heap, object) >= 5 << 20, "its usable size");
	check(!karena_free(heap, object) && live(heap) == 0, "freeing it");
}

static void test_bulk(struct karena *heap)
{
	const size_t many = KARENA_MAX_BULK + 100;
	void **objects = calloc(many, sizeof(*objects));
	size_t rejected = 1;

	if (!objects)
		exit(1);
	check_error(karena_alloc_bulk(heap, 8, 0, many, objects), EINVAL,
		    "more than one call may take");
	check(!karena_alloc_bulk(heap, 8, 0, 0, objects), "none at all");
	check(!karena_alloc_bulk(heap, 16, 0, KARENA_MAX_BULK, objects),
	      "as many as may be");
	check(!karena_alloc_bulk(heap, 16, 0, 100, objects + KARENA_MAX_BULK),
	      "and a hundred");
	check(live(heap) == many, "they are counted");
	check(!karena_free_bulk(heap, many, objects, &rejected) && !rejected,
	      "freeing them by one call");
	check_error(karena_free_bulk(heap, many, objects, &rejected), EINVAL,
		    "freeing them again");
	check(rejected == many, "all are rejected");
	check_error(karena_free_bulk(heap, 1, (void **)8, NULL), EFAULT,
		    "a bad array");
	check(!karena_free_bulk(heap, 0, NULL, NULL), "freeing none");
	check(live(heap) == 0, "nothing is left of them");
	free(objects);
}

/* The kernel writes the addresses into an object. */
static void test_array_in_heap(struct karena *heap)
{
	void **slots = karena_alloc(heap, 64 * sizeof(*slots));

	check(slots && !karena_alloc_bulk(heap, 32, 0, 64, slots),
	      "an array in the heap");
	check(slots[0] && slots[63] && slots[0] != slots[63],
	      "it has got the addresses");
	check(!karena_free_bulk(heap, 64, slots, NULL), "freeing from there");
	check(!karena_free(heap, slots) && live(heap) == 0, "freeing the array");
}

static void *allocate_and_free(void *arg)
{
	struct karena *heap = arg;
	long i, bad = 0;
	long *object;

	for (i = 0; i < NR_ROUNDS; i++) {
		object = karena_alloc(heap, sizeof(*object) << i % 8);
		if (!object || *object)
			bad++;
		else
			*object = i;
		bad += karena_free(heap, object) != 0;
	}
	return (void *)bad;
}

static void test_threads(struct karena *heap)
{
	pthread_t threads[NR_THREADS];
	void *bad = NULL, *result;
	int i;

	for (i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, allocate_and_free, heap))
			exit(1);
	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], &result);
		bad = bad ? bad : result;
	}
	check(!bad && live(heap) == 0, "threads at the same time");
}

/* What a receiver that may write makes of the heap; 0 if all is well. */
static int use_received(struct karena *heap, char **root)
{
	char *object;

	if (karena_readonly(heap) || strcmp(*root, "text"))
		return 2;
	object = karena_alloc(heap, 8);
	if (!object || karena_free(heap, *root))
		return 3;
	*root = strcpy(object, "new");
	return 0;
}

/* The same for one that may only read. */
static int read_received(struct karena *heap, char **root)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	int pair[2];

	if (!karena_readonly(heap) || strcmp(*root, "text"))
		return 4;
	if (karena_alloc(heap, 8) || errno != EBADF)
		return 5;
	if (!karena_free(heap, *root) || errno != EBADF)
		return 6;
	if (karena_stats(heap, &info) || karena_usable_size(heap, *root) < 5)
		return 7;
	/* It may pass on what it has. */
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) ||
	    karena_send(pair[0], heap, 0) ||
	    karena_send(pair[0], heap, KARENA_SHARE_RDONLY))
		return 8;
	return 0;
}

/* In a process that had only the socket. */
static int receive(int socket, unsigned int flags)
{
	struct karena *heap = karena_recv(socket);
	char **root;
	int rc;

	if (!heap || read(socket, &root, sizeof(root)) != sizeof(root))
		return 1;
	if (fcntl(karena_fd(heap), F_GETFD) != FD_CLOEXEC)
		return 9;
	rc = flags ? read_received(heap, root) : use_received(heap, root);
	karena_close(heap);
	return rc;
}

/* Forks before there is a heap, so that the child cannot inherit it. */
static pid_t start_receiver(int pair[2], unsigned int flags)
{
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		exit(1);
	fflush(stdout);
	child = fork();
	if (!child) {
		close(pair[0]);
		_exit(receive(pair[1], flags));
	}
	close(pair[1]);
	return child;
}

static void test_share(unsigned int flags, const char *text, const char *what)
{
	int pair[2], status = -1;
	pid_t child = start_receiver(pair, flags);
	struct karena *heap = must_open();
	char **root = karena_alloc(heap, sizeof(*root));

	*root = karena_strdup(heap, "text");
	check(!karena_send(pair[0], heap, flags), "sending a heap");
	check(write(pair[0], &root, sizeof(root)) == sizeof(root), "and where");
	waitpid(child, &status, 0);
	if (status)
		printf("# status of the receiver: %#x\n", status);
	check(!status && !strcmp(*root, text), what);
	check(live(heap) == 2, "no object more or less");
	close(pair[0]);
	karena_close(heap);
}

static void test_send_errors(struct karena *heap)
{
	int pair[2], fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pipe(fds))
		exit(1);
	check_error(karena_send(pair[0], heap, 1U << 31), EINVAL,
		    "sending with unknown flags");
	check_error(karena_send(fds[1], heap, 0), ENOTSOCK, "sending to a pipe");
	check(!karena_send(pair[0], heap, 0), "sending to this process");
	check_error(!karena_recv(pair[1]), EEXIST, "it is mapped here already");
	close(pair[1]);
	check_error(karena_send(pair[0], heap, 0), EPIPE,
		    "sending to nobody, without a signal");
	close(pair[0]);
	close(fds[0]);
	close(fds[1]);
}

static void test_no_descriptor(struct karena *heap)
{
	struct rlimit old, none;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		exit(1);
	check(!karena_send(pair[0], heap, 0), "sending a last time");
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	check_error(!karena_recv(pair[1]), EMFILE, "no descriptor is free");
	setrlimit(RLIMIT_NOFILE, &old);
	close(pair[0]);
	close(pair[1]);
}

/* The child's close is the child's. */
static void test_fork(struct karena *heap)
{
	char *object = karena_alloc(heap, 8);
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		strcpy(object, "child");
		karena_close(heap);
		_exit(0);
	}
	waitpid(child, &status, 0);
	check(!status && !strcmp(object, "child"), "the heap after fork");
	check(!karena_free(heap, object) && !live(heap), "and after the child");
}

/* A heap that is closed and attached again by its descriptor. */
static void test_attach(void)
{
	struct karena *heap = must_open(), *again;
	void *base = karena_base(heap);
	char *text = karena_strdup(heap, "still here");
	int fd = dup(karena_fd(heap));

	check_error(!karena_attach(fd), EEXIST, "attaching twice");
	karena_close(heap);
	again = karena_attach(fd);
	check(again && karena_base(again) == base && karena_fd(again) == fd,
	      "attaching again");
	check(!strcmp(text, "still here"), "the objects are where they were");
	karena_close(again);
	check_error(fcntl(fd, F_GETFD) < 0, EBADF, "it took the descriptor");
	fd = open("/dev/karena", O_RDWR);
	check_error(!karena_attach(fd), ENXIO, "attaching what is not set up");
	close(fd);
}

static void test_with_device(void)
{
	struct karena *heap;

	test_options();
	heap = must_open();
	test_objects(heap);
	test_alignment(heap);
	test_large(heap);
	test_bulk(heap);
	test_array_in_heap(heap);
	test_threads(heap);
	test_send_errors(heap);
	test_no_descriptor(heap);
	test_fork(heap);
	karena_close(heap);
	test_attach();
	test_share(0, "new", "sharing to read and write");
	test_share(KARENA_SHARE_RDONLY, "text", "sharing to read");
}

int main(void)
{
	test_no_device();
	test_strange_messages();
	if (access("/dev/karena", F_OK))
		printf("# no /dev/karena: most is left out\n");
	else
		test_with_device();
	printf("1..%d\n", tests);
	return failed != 0;
}
