// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that are asleep in a system call while their heap is collected stay so: no
 * call returns EINTR, or before its time, because of that.  At the end each of them
 * is woken in its own way, those that only a signal ends by one, and returns what it
 * has to.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define LONG_TIME	1000	/* seconds */

struct sleeper {
	const char *name;
	long (*call)(struct sleeper *s);
	void (*wake)(struct sleeper *s);
	long want;
	pthread_t thread;
	pid_t tid;
	bool returned;
	long got;
	int fd[2];
	unsigned int word;
};

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

static void wake_by_write(struct sleeper *s)
{
	check_eq(write(s->fd[1], "x", 1), 1);
}

static void wake_by_signal(struct sleeper *s)
{
	pthread_kill(s->thread, SIGUSR1);
}

static long call_nanosleep(__attribute__((unused)) struct sleeper *s)
{
	struct timespec time = { .tv_sec = LONG_TIME };

	return result(nanosleep(&time, NULL));
}

static long call_pause(__attribute__((unused)) struct sleeper *s)
{
	return result(pause());
}

static long call_epoll(struct sleeper *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	check(!pipe2(s->fd, O_CLOEXEC));
	check(!epoll_ctl(fd, EPOLL_CTL_ADD, s->fd[0], &event));
	return result(epoll_wait(fd, &event, 1, -1));
}

static long call_poll(struct sleeper *s)
{
	struct pollfd fd = { .events = POLLIN };

	check(!pipe2(s->fd, O_CLOEXEC));
	fd.fd = s->fd[0];
	return result(poll(&fd, 1, -1));
}

static long call_select(struct sleeper *s)
{
	fd_set set;

	check(!pipe2(s->fd, O_CLOEXEC));
	FD_ZERO(&set);
	FD_SET(s->fd[0], &set);
	return result(select(s->fd[0] + 1, &set, NULL, NULL, NULL));
}

static long call_read(struct sleeper *s)
{
	char c;

	check(!pipe2(s->fd, O_CLOEXEC));
	return result(read(s->fd[0], &c, 1));
}

static long call_recv(struct sleeper *s)
{
	char c;

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, s->fd));
	return result(recv(s->fd[0], &c, 1, 0));
}

static struct sockaddr_un address(const struct sleeper *s)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	/* Without a file. */
	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "karena-%d", s->tid);
	return addr;
}

static long call_accept(struct sleeper *s)
{
	struct sockaddr_un addr = address(s);

	s->fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	check(!bind(s->fd[0], (struct sockaddr *)&addr, sizeof(addr)));
	check(!listen(s->fd[0], 1));
	return result(accept(s->fd[0], NULL, NULL)) < 0 ? -errno : 0;
}

static void wake_by_connect(struct sleeper *s)
{
	struct sockaddr_un addr = address(s);

	s->fd[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	check(!connect(s->fd[1], (struct sockaddr *)&addr, sizeof(addr)));
}

static long call_futex(struct sleeper *s)
{
	return result(syscall(SYS_futex, &s->word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
}

static void wake_by_futex(struct sleeper *s)
{
	syscall(SYS_futex, &s->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static long call_sigwait(__attribute__((unused)) struct sleeper *s)
{
	struct timespec time = { .tv_sec = LONG_TIME };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return result(sigtimedwait(&set, NULL, &time));
}

static long call_semop(struct sleeper *s)
{
	struct sembuf op = { .sem_op = -1 };
	long ret;

	s->fd[0] = semget(IPC_PRIVATE, 1, 0600);
	ret = result(semop(s->fd[0], &op, 1));
	semctl(s->fd[0], 0, IPC_RMID);
	return ret;
}

static void wake_by_semop(struct sleeper *s)
{
	struct sembuf op = { .sem_op = 1 };

	check(!semop(s->fd[0], &op, 1));
}

#define SLEEPER(_name, _call, _wake, _want) \
	{ .name = _name, .call = _call, .wake = _wake, .want = _want }

static struct sleeper sleepers[] = {
	SLEEPER("nanosleep", call_nanosleep, wake_by_signal, -EINTR),
	SLEEPER("pause", call_pause, wake_by_signal, -EINTR),
	SLEEPER("epoll_wait", call_epoll, wake_by_write, 1),
	SLEEPER("poll", call_poll, wake_by_write, 1),
	SLEEPER("select", call_select, wake_by_write, 1),
	SLEEPER("read", call_read, wake_by_write, 1),
	SLEEPER("recv", call_recv, wake_by_write, 1),
	SLEEPER("accept", call_accept, wake_by_connect, 0),
	SLEEPER("futex", call_futex, wake_by_futex, 0),
	SLEEPER("sigtimedwait", call_sigwait, wake_by_signal, SIGUSR1),
	SLEEPER("semop", call_semop, wake_by_semop, 0),
};

static void handle(__attribute__((unused)) int number)
{
}

static void *run_sleeper(void *arg)
{
	struct sleeper *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->got = s->call(s);
	__atomic_store_n(&s->returned, true, __ATOMIC_RELEASE);
	return NULL;
}

/* State of a thread, as ps(1) tells it. */
static char state(pid_t tid)
{
	char path[64], text[64] = "";
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	/* It may have returned, and be gone. */
	return size > 0 ? strrchr(text, ')')[2] : 0;
}

static void fall_asleep(struct sleeper *s)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int times = 0;

	if (!check(!pthread_create(&s->thread, NULL, run_sleeper, s)))
		return;
	/* A few times in a row: it may wait for a lock on its way. */
	while (times < 5 && !__atomic_load_n(&s->returned, __ATOMIC_ACQUIRE) && !tap_failed()) {
		nanosleep(&pause, NULL);
		times = __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE) && state(s->tid) == 'S' ?
			times + 1 : 0;
	}
}

static void wake(struct sleeper *s)
{
	if (!__atomic_load_n(&s->returned, __ATOMIC_ACQUIRE))
		s->wake(s);
	else if (s->got != -ENOSYS)
		check(!"asleep until it is woken");
	pthread_join(s->thread, NULL);
	if (s->got == -ENOSYS)
		tap_diag("there is no %s here", s->name);
	else if (!check_ret(s->got, s->want))
		tap_diag("it was %s", s->name);
}

static void all_asleep(void)
{
	unsigned int i, n = tap_count(100, 2000);
	struct sigaction action = { .sa_handler = handle };
	struct heap heap;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < ARRAY_SIZE(sleepers); i++)
		fall_asleep(&sleepers[i]);
	for (i = 0; i < n; i++)
		check_ret(heap_collect(heap.fd), 0);
	for (i = 0; i < ARRAY_SIZE(sleepers); i++)
		wake(&sleepers[i]);
	heap_close(&heap);
}

/* --- calls that end by themselves, and not before --- */

#define SHORT_TIME	3	/* milliseconds */

static bool over;

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static long nap_nanosleep(void)
{
	struct timespec time = { .tv_nsec = SHORT_TIME * 1000000 };

	return result(nanosleep(&time, NULL));
}

static long nap_epoll(void)
{
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	long ret = result(epoll_wait(fd, &event, 1, SHORT_TIME));

	close(fd);
	return ret;
}

static long nap_poll(void)
{
	return result(poll(NULL, 0, SHORT_TIME));
}

static long nap_futex(void)
{
	struct timespec time = { .tv_nsec = SHORT_TIME * 1000000 };
	unsigned int word = 0;
	long ret = result(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0));

	return ret == -ETIMEDOUT ? 0 : ret;
}

static long (*const naps[])(void) = { nap_nanosleep, nap_epoll, nap_poll, nap_futex };

static void *run_naps(void *arg)
{
	long (*nap)(void) = naps[(long)arg];
	__u64 begin;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		begin = now_ns();
		check_ret(nap(), 0);
		check(now_ns() - begin >= SHORT_TIME * 1000000ULL);
	}
	return NULL;
}

static void all_nap(void)
{
	pthread_t thread[ARRAY_SIZE(naps)];
	unsigned int n = tap_count(100, 2000);
	struct heap heap;
	unsigned long i;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	for (i = 0; i < ARRAY_SIZE(naps); i++)
		check(!pthread_create(&thread[i], NULL, run_naps, (void *)i));
	for (i = 0; i < n; i++)
		check_ret(heap_collect(heap.fd), 0);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(naps); i++)
		pthread_join(thread[i], NULL);
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "who sleeps goes on sleeping", all_asleep },
	{ "and as long as was asked for", all_nap },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
