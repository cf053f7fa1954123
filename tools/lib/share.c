// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, sharing: a heap's descriptor goes through a unix socket; and clones.
 *
 * The message is a word that tells the receiver that a heap is meant, with
 * the descriptor beside it.  Nothing about the heap is in the message: what a
 * descriptor is, the receiver asks the kernel, not the sender.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

#define GREETING "karena\0\1"
#define GREETING_LEN 8

/* Room for one descriptor, in the units that control messages align to. */
struct message {
	struct msghdr hdr;
	struct iovec iov;
	size_t ancillary[CMSG_SPACE(sizeof(int)) / sizeof(size_t)];
	char greeting[GREETING_LEN];
};

static void prepare(struct message *msg)
{
	memset(msg, 0, sizeof(*msg));
	msg->iov.iov_base = msg->greeting;
	msg->iov.iov_len = GREETING_LEN;
	msg->hdr.msg_iov = &msg->iov;
	msg->hdr.msg_iovlen = 1;
	msg->hdr.msg_control = msg->ancillary;
	msg->hdr.msg_controllen = sizeof(msg->ancillary);
}

static int send_fd(int socket, int fd)
{
	struct message msg;
	struct cmsghdr *cmsg;

	prepare(&msg);
	memcpy(msg.greeting, GREETING, GREETING_LEN);
	cmsg = CMSG_FIRSTHDR(&msg.hdr);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(socket, &msg.hdr, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int send_shared(int socket, const struct karena *heap,
		       unsigned int flags)
{
	struct karena_share share = { .size = sizeof(share), .flags = flags };
	int err, saved;

	if (ioctl(heap->fd, KARENA_IOC_SHARE, &share))
		return -1;
	err = send_fd(socket, share.fd);
	saved = errno;
	close(share.fd);
	errno = saved;
	return err;
}

EXPORT int karena_send(int socket, const struct karena *heap,
		       unsigned int flags)
{
	/* Sent as it is, a descriptor keeps the rights that it has. */
	if (!flags)
		return send_fd(socket, heap->fd);
	return send_shared(socket, heap, flags);
}

static int take_fd(struct msghdr *hdr)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(hdr);
	int fd;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET ||
	    cmsg->cmsg_type != SCM_RIGHTS ||
	    cmsg->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

/*
 * 0, or what is wrong with a message.  A greeting whose descriptor got lost on
 * the way tells that there was no room for it here.
 */
static int judge(const struct message *msg, ssize_t len, int fd)
{
	if (!len)
		return -ECONNRESET;
	if (len != GREETING_LEN || memcmp(msg->greeting, GREETING, GREETING_LEN))
		return -EPROTO;
	if (fd < 0)
		return msg->hdr.msg_flags & MSG_CTRUNC ? -EMFILE : -EPROTO;
	return msg->hdr.msg_flags & MSG_CTRUNC ? -EPROTO : 0;
}

static int recv_fd(int socket)
{
	struct message msg;
	ssize_t len;
	int fd, err;

	prepare(&msg);
	len = recvmsg(socket, &msg.hdr, MSG_CMSG_CLOEXEC);
	if (len < 0)
		return -1;
	fd = take_fd(&msg.hdr);
	err = judge(&msg, len, fd);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	errno = -err;
	return -1;
}

EXPORT struct karena *karena_recv(int socket)
{
	int fd = recv_fd(socket), saved;
	struct karena *heap;

	if (fd < 0)
		return NULL;
	heap = karena_attach(fd);
	if (!heap) {
		saved = errno;
		close(fd);
		errno = saved;
	}
	return heap;
}

EXPORT int karena_clone(struct karena *heap)
{
	struct karena_clone args = { .size = sizeof(args) };

	return ioctl(heap->fd, KARENA_IOC_CLONE, &args) ? -1 : args.fd;
}
