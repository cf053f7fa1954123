/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena: a heap that several processes share, and that survives them.
 *
 *	struct karena *heap = karena_open(NULL);
 *	struct node *node = karena_alloc(heap, sizeof(*node));
 *
 *	karena_send(socket, heap, 0);		here, and in another process:
 *	heap = karena_recv(socket);
 *
 * The heap has the same address in each process, so plain pointers into it
 * may be stored in it and sent about.  It lives until the last process closes
 * it; a process that is killed does it no harm.
 *
 * Errors are in errno, after NULL or -1 as each function says.  Sizes are in
 * bytes.  All functions may be called by any thread at any time, with the one
 * exception that no other call may use a heap that karena_close() is given.
 * None is safe in a signal handler unless it says so.
 */
#ifndef LIBKARENA_H
#define LIBKARENA_H

#include <stddef.h>
#include <linux/karena.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KARENA_CHECKED __attribute__((__warn_unused_result__))
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
/* The compiler warns when an object is given to free(), or used after. */
#define KARENA_OBJECT(size) \
	__attribute__((__malloc__, __malloc__(karena_free, 2), \
		       __alloc_size__(size), __warn_unused_result__))
#else
#define KARENA_OBJECT(size) \
	__attribute__((__alloc_size__(size), __warn_unused_result__))
#endif

/* A heap as this process sees it: its descriptor and its mappings. */
struct karena;

/**
 * struct karena_options - what a new heap may be asked to be
 * @window: bytes of addresses, which bounds the heap for good; 0 for the
 *	default of the module.  Addresses cost nothing until used.
 * @limit: most bytes of memory that the objects may hold; 0 for the whole
 *	window
 * @name: what tools show, up to KARENA_NAME_LEN - 1 printable characters;
 *	NULL for the name of the program
 * @reserved: 0
 */
struct karena_options {
	__u64 window;
	__u64 limit;
	const char *name;
	__u64 reserved[4];
};

/**
 * karena_open() - make a heap
 * @opts: what it should be, NULL for the defaults
 *
 * The device is /dev/karena, or the one that the environment names in
 * KARENA_DEVICE (which is ignored in set-user-ID programs).
 *
 * Errors: ENOENT or ENXIO the module is not loaded; EACCES; EINVAL window,
 * limit or name that the module refuses, or @reserved not 0; ENOSPC the user
 * has its number of heaps; EEXIST something is mapped where the heap is to be;
 * EPROTO not a karena device, or one that this library does not know; EMFILE,
 * ENFILE, ENOMEM.
 *
 * Return: the heap, or NULL with errno.
 */
struct karena *karena_open(const struct karena_options *opts) KARENA_CHECKED;

/**
 * karena_attach() - use a heap whose descriptor came from elsewhere
 * @fd: descriptor of a heap; if opened to read only, the heap is mapped so
 *
 * With success @fd belongs to the heap and karena_close() closes it; with
 * failure it stays the caller's.
 *
 * Errors: EBADF; EPROTO not the descriptor of a heap; ENXIO of a heap that is
 * not set up; EEXIST something is mapped where the heap is to be, most likely
 * the same heap, attached already; ENOMEM.
 *
 * Return: the heap, or NULL with errno.
 */
struct karena *karena_attach(int fd) KARENA_CHECKED;

/**
 * karena_close() - unmap a heap and close its descriptor
 * @heap: the heap, or NULL
 *
 * Pointers into the heap are invalid in this process from now on.  When no
 * other process holds the heap it is gone, with all its objects.  errno is
 * kept.  In a child after fork() this affects the child only.
 */
void karena_close(struct karena *heap);

/**
 * karena_fd() - the descriptor of a heap
 * @heap: the heap
 *
 * It is close-on-exec and remains the heap's.  Safe in a signal handler.
 *
 * Return: the descriptor.
 */
int karena_fd(const struct karena *heap);

/**
 * karena_id() - the number of a heap, by which tools name it
 * @heap: the heap
 *
 * Safe in a signal handler.
 *
 * Return: the number, above 0.
 */
__u32 karena_id(const struct karena *heap);

/**
 * karena_base() - where a heap begins
 * @heap: the heap
 *
 * The same in each process.  Safe in a signal handler.
 *
 * Return: the lowest address of the window.
 */
void *karena_base(const struct karena *heap);

/**
 * karena_window() - how many addresses a heap has
 * @heap: the heap
 *
 * Safe in a signal handler.
 *
 * Return: bytes from karena_base() on that belong to the heap.
 */
size_t karena_window(const struct karena *heap);

/**
 * karena_readonly() - may this process only read?
 * @heap: the heap
 *
 * Safe in a signal handler.
 *
 * Return: 1 if the heap came by a descriptor that is read only, else 0.
 */
int karena_readonly(const struct karena *heap);

/**
 * karena_send() - give a heap to the process at the other end of a socket
 * @socket: connected unix socket, of any type
 * @heap: the heap
 * @flags: 0, or KARENA_SHARE_RDONLY for a receiver that may only read
 *
 * The message has 8 bytes and the descriptor.  The heap stays open here.
 * What is sent but not yet received keeps the heap alive.
 *
 * Errors: EINVAL unknown flags; those of sendmsg(2), among them EPIPE (there
 * is no signal), EAGAIN, EINTR; EMFILE, ENFILE, ENOMEM.
 *
 * Return: 0, or -1 with errno.
 */
int karena_send(int socket, const struct karena *heap, unsigned int flags);

/**
 * karena_recv() - take the heap that karena_send() sent
 * @socket: connected unix socket
 *
 * Waits for it, unless the socket does not block.
 *
 * Errors: ECONNRESET the other end closed; EPROTO what came is not from
 * karena_send() (it is lost, descriptors in it are closed); EMFILE no
 * descriptor is free here; those of recvmsg(2), among them EAGAIN, EINTR;
 * those of karena_attach().
 *
 * Return: the heap, or NULL with errno.
 */
struct karena *karena_recv(int socket) KARENA_CHECKED;

/**
 * karena_free() - give an object back
 * @heap: the heap
 * @object: what karena_alloc() or another process's karena_alloc() returned,
 *	or NULL
 *
 * Any process that may write to the heap may free any object of it.
 *
 * Errors: EINVAL no live object of this heap begins there (the heap counts
 * it and is unchanged); EBADF the heap is read only.
 *
 * Return: 0, or -1 with errno.
 */
int karena_free(struct karena *heap, void *object);

/**
 * karena_alloc() - a zeroed object
 * @heap: the heap
 * @size: bytes, from 1 up
 *
 * The object begins at a multiple of 16; of 8 if @size is up to 8, or 17 to 24.
 *
 * Errors: EINVAL @size is 0; ENOMEM the heap, its user or the control group is
 * at its limit, or the machine has no memory; EBADF the heap is read only.
 *
 * Return: the object, or NULL with errno.
 */
void *karena_alloc(struct karena *heap, size_t size) KARENA_OBJECT(2);

/**
 * karena_alloc_flags() - an object as the flags ask for
 * @heap: the heap
 * @size: bytes, from 1 up
 * @flags: KARENA_ALLOC_NOZERO: it need not be zeroed; KARENA_ALLOC_NOSCAN: it
 *	will never hold a pointer
 *
 * Objects of less than 16 bytes that hold no pointers are packed: they begin
 * at a multiple of 8, 4 or 2, the largest that divides @size, or of 2.
 *
 * Errors: as karena_alloc(), and EINVAL for unknown flags.
 *
 * Return: the object, or NULL with errno.
 */
void *karena_alloc_flags(struct karena *heap, size_t size, unsigned int flags)
	KARENA_OBJECT(2);

/**
 * karena_alloc_bulk() - many objects of one size, by one call
 * @heap: the heap
 * @size: bytes of each, from 1 up
 * @flags: as for karena_alloc_flags()
 * @count: how many, up to KARENA_MAX_BULK
 * @objects: gets their addresses
 *
 * All or nothing.  @objects may itself be in the heap: then no object gets
 * lost when this process is killed at any instruction.
 *
 * Errors: as karena_alloc_flags(), EINVAL @count is too large, EFAULT.
 *
 * Return: 0, or -1 with errno.
 */
int karena_alloc_bulk(struct karena *heap, size_t size, unsigned int flags,
		      size_t count, void **objects) KARENA_CHECKED;

/**
 * karena_free_bulk() - give many objects back
 * @heap: the heap
 * @count: how many, any number
 * @objects: their addresses; NULL among them is skipped
 * @rejected: NULL, or gets how many were no live objects of this heap
 *
 * Goes on behind an address that it rejects.
 *
 * Errors: EINVAL some were rejected, all others are freed; EBADF the heap is
 * read only; EFAULT those before the bad address are freed.
 *
 * Return: 0, or -1 with errno.
 */
int karena_free_bulk(struct karena *heap, size_t count, void *const *objects,
		     size_t *rejected);

/**
 * karena_usable_size() - how much of an object may be used
 * @heap: the heap
 * @object: the object
 *
 * Errors: ENOENT no live object begins there.
 *
 * Return: bytes, at least those asked for; 0 with errno.
 */
size_t karena_usable_size(struct karena *heap, const void *object);

/**
 * karena_strdup() - a copy of a string, in the heap
 * @heap: the heap
 * @text: the string
 *
 * Errors: as karena_alloc().
 *
 * Return: the copy, or NULL with errno.
 */
char *karena_strdup(struct karena *heap, const char *text)
	KARENA_CHECKED;

/**
 * karena_stats() - the numbers of a heap
 * @heap: the heap
 * @info: in: info->size is sizeof(*info), so that a library newer or older
 *	than the program fills what the program has room for; out: the numbers
 *
 * Errors: EINVAL @info->size is smaller than its first version.
 *
 * Return: 0, or -1 with errno.
 */
int karena_stats(const struct karena *heap, struct karena_heap_info *info);

#ifdef __cplusplus
}
#endif

#endif /* LIBKARENA_H */
