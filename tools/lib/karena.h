/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena: a heap of plain C pointers that several processes share, that
 * survives them, and that frees what none of them can reach any more.
 *
 * A complete program, in which nothing is freed by hand:
 *
 *	#include <stdio.h>
 *	#include <karena.h>
 *
 *	struct node {
 *		struct node *next;
 *		int number;
 *	};
 *
 *	static struct node *list;
 *
 *	int main(void)
 *	{
 *		struct karena_options opts = { .flags = KARENA_COLLECT };
 *		struct karena *heap = karena_open(&opts);
 *		struct karena_type type;
 *		int i;
 *
 *		if (!heap)
 *			return perror("karena_open"), 1;
 *		type = KARENA_TYPE(heap, struct node, next);
 *		for (i = 0; i < 1000000; i++) {
 *			struct node *node = karena_new(heap, type);
 *
 *			if (!node)
 *				return perror("karena_new"), 1;
 *			node->number = i;
 *			node->next = i % 1000 ? list : NULL;
 *			list = node;
 *		}
 *		printf("the last one is %d\n", list->number);
 *	}
 *
 * The variable is a root, as are all others; what they do not lead to is garbage.
 *
 * The heap has the same address in each process, so plain pointers into it
 * may be stored in it and sent about.  It lives until the last process closes
 * it; a process that is killed does it no harm.  karena_send() and
 * karena_recv() share it.  A heap without KARENA_COLLECT is freed by hand.
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

/* What karena-escape, the compiler plugin, may rely on; for programs' own allocators too. */
#if defined(__has_attribute)
#if __has_attribute(karena_allocator)
#define KARENA_ESCAPE(...)	__attribute__((__VA_ARGS__))
#endif
#endif
#ifndef KARENA_ESCAPE
#define KARENA_ESCAPE(...)
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
 * @flags: KARENA_COLLECT: what no process can reach is freed; KARENA_BARRIER beside
 *	it: references are stored by karena_store() only.  KARENA_CHECKED_FREE: this
 *	process allocates and frees by a system call each, which finds wrong frees at once
 * @reserved: 0
 */
struct karena_options {
	__u64 window;
	__u64 limit;
	const char *name;
	__u64 flags;
	__u64 reserved[3];
};

#define KARENA_COLLECT	(1U << 0)
#define KARENA_BARRIER	(1U << 1)
#define KARENA_CHECKED_FREE	(1U << 2)

/**
 * karena_open() - make a heap
 * @opts: what it should be, NULL for the defaults
 *
 * The device is /dev/karena, or the one that the environment names in
 * KARENA_DEVICE (which is ignored in set-user-ID programs).
 *
 * Errors: ENOENT or ENXIO the module is not loaded; EACCES; EINVAL window,
 * limit, name or flag that is refused, or @reserved not 0; ENOSPC the user
 * has its number of heaps; EEXIST something is mapped where the heap is to be;
 * EPROTO not a karena device, or one that this library does not know; EMFILE,
 * ENFILE, ENOMEM.
 *
 * Return: the heap, or NULL with errno.
 */
struct karena *karena_open(const struct karena_options *opts) KARENA_CHECKED
	KARENA_ESCAPE(karena_noescape(1));

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
void karena_close(struct karena *heap) KARENA_ESCAPE(karena_noescape(1));

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
 * karena_clone() - a snapshot of a heap, which is a heap of its own
 * @heap: the heap
 *
 * The clone has the same objects, at the same addresses, as they were at one moment
 * during the call.  So this process cannot attach to it, but another one can, or a child
 * that has closed @heap; a child can go on with the clone as if fork() had copied the
 * heap.  Memory is copied when one of both writes to it.  If the heap is collected, the
 * clone is not before karena_gc_set() or karena_gc() is called for it.
 *
 * Errors: EBADF the heap is read only; EMFILE, ENFILE; ENOSPC the user has its number of
 * heaps; EAGAIN a program was at a call that changes the heap, and does not come back;
 * ENOMEM also if the user would have too much memory if nothing of it were shared; EINTR
 * the process is being killed.
 *
 * Return: the descriptor of the clone, for karena_attach(), or -1 with errno.
 */
int karena_clone(struct karena *heap) KARENA_CHECKED;

/**
 * karena_free() - give an object back
 * @heap: the heap
 * @object: what karena_alloc() or another process's karena_alloc() returned,
 *	or NULL
 *
 * Any process that may write to the heap may free any object of it.  Most go to a
 * magazine of the CPU, from where whoever allocates next on it takes them; the kernel
 * checks them when it comes by.  In a heap that is collected their contents are cleared.
 *
 * Errors: EINVAL no object of this heap begins there; EBADF the heap is read only.  What
 * is free already, or inside of an object, may be noticed later only: then it is dropped,
 * and karena_stats() counts it.  KARENA_CHECKED_FREE says it at once.
 *
 * Return: 0, or -1 with errno.
 */
int karena_free(struct karena *heap, void *object)
	KARENA_ESCAPE(karena_deallocator(2), karena_noescape(1));

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
void *karena_alloc(struct karena *heap, size_t size) KARENA_OBJECT(2)
	KARENA_ESCAPE(karena_allocator, karena_noescape(1), karena_scoped("karena_frame_alloc"));

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
	KARENA_OBJECT(2) KARENA_ESCAPE(karena_allocator, karena_noescape(1),
				       karena_scoped("karena_frame_alloc_flags"));

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
	KARENA_CHECKED KARENA_ESCAPE(karena_allocator("fixed"), karena_noescape(1));

/*
 * Heaps that are collected.
 *
 * An object lives as long as a process that has the heap can reach it: from its
 * threads' registers and stacks, from the writable data of the program and of
 * its libraries, from thread-local variables, or from what karena_root_add()
 * names; and on through references in objects.  A reference is the address of
 * any byte of an object; on stacks and in registers that behind its end, too, and
 * there its neighbour is kept as well.  Where there is none to be found: in memory
 * from malloc() or mmap(), in files and pipes, and in thread-local variables of
 * libraries that dlopen() has brought.  The child has all roots of its parent after
 * fork(); roots go with their process, however it ends.
 *
 * Stores into objects are plain stores, memcpy() or whatever.  karena_free()
 * works as in other heaps.
 */

/**
 * struct karena_type - what objects of a heap hold
 * @id: number of it in its heap, 0 if there is none
 * @element: bytes of an object
 *
 * Good in each process that has the heap.
 */
struct karena_type {
	__u32 id;
	__u32 element;
};

/**
 * karena_type() - say where objects of a type hold references
 * @heap: the heap
 * @name: what tools show; cut at KARENA_NAME_LEN - 1 bytes
 * @size: bytes of an object, 1 to KARENA_MAX_SMALL; with references a multiple
 *	of 8
 * @refs: offsets of the pointers into the heap, multiples of 8, in any order
 * @nr_refs: how many; 0 for objects that never hold any
 *
 * Lives as long as the heap.  A type of the same name, size and offsets is the
 * same type, whichever process made it.  Any other pointers in an object are
 * not looked at.
 *
 * Errors: EINVAL size or offsets that cannot be; ENOSPC the heap has
 * KARENA_MAX_TYPES; EBADF the heap is read only; ENOMEM.
 *
 * Return: the type; with errno one whose id is 0.
 */
struct karena_type karena_type(struct karena *heap, const char *name,
			       size_t size, const __u32 *refs, size_t nr_refs)
	KARENA_CHECKED KARENA_ESCAPE(karena_type_of_size(3), karena_noescape(1, 2, 4));

/*
 * The same for a struct and up to 16 members of it that are pointers:
 * KARENA_TYPE(heap, struct node, left, right).
 */
#ifndef __cplusplus
#define KARENA_TYPE(heap, type, ...) \
	karena_type(heap, #type, sizeof(type), (const __u32[]){ \
			KARENA_EACH(type, __VA_ARGS__) }, \
		    sizeof((const __u32[]){ KARENA_EACH(type, __VA_ARGS__) }) / \
			    sizeof(__u32))
#define KARENA_EACH(type, ...) \
	KARENA_PICK(__VA_ARGS__, KARENA_16, KARENA_15, KARENA_14, KARENA_13, \
		    KARENA_12, KARENA_11, KARENA_10, KARENA_9, KARENA_8, \
		    KARENA_7, KARENA_6, KARENA_5, KARENA_4, KARENA_3, \
		    KARENA_2, KARENA_1, KARENA_0)(type, __VA_ARGS__)
#define KARENA_PICK(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, pick, ...) \
	pick
#define KARENA_1(type, m)	offsetof(type, m)
#define KARENA_2(type, m, ...)	offsetof(type, m), KARENA_1(type, __VA_ARGS__)
#define KARENA_3(type, m, ...)	offsetof(type, m), KARENA_2(type, __VA_ARGS__)
#define KARENA_4(type, m, ...)	offsetof(type, m), KARENA_3(type, __VA_ARGS__)
#define KARENA_5(type, m, ...)	offsetof(type, m), KARENA_4(type, __VA_ARGS__)
#define KARENA_6(type, m, ...)	offsetof(type, m), KARENA_5(type, __VA_ARGS__)
#define KARENA_7(type, m, ...)	offsetof(type, m), KARENA_6(type, __VA_ARGS__)
#define KARENA_8(type, m, ...)	offsetof(type, m), KARENA_7(type, __VA_ARGS__)
#define KARENA_9(type, m, ...)	offsetof(type, m), KARENA_8(type, __VA_ARGS__)
#define KARENA_10(type, m, ...)	offsetof(type, m), KARENA_9(type, __VA_ARGS__)
#define KARENA_11(type, m, ...)	offsetof(type, m), KARENA_10(type, __VA_ARGS__)
#define KARENA_12(type, m, ...)	offsetof(type, m), KARENA_11(type, __VA_ARGS__)
#define KARENA_13(type, m, ...)	offsetof(type, m), KARENA_12(type, __VA_ARGS__)
#define KARENA_14(type, m, ...)	offsetof(type, m), KARENA_13(type, __VA_ARGS__)
#define KARENA_15(type, m, ...)	offsetof(type, m), KARENA_14(type, __VA_ARGS__)
#define KARENA_16(type, m, ...)	offsetof(type, m), KARENA_15(type, __VA_ARGS__)
#endif

/**
 * karena_new() - a zeroed object of a type
 * @heap: the heap
 * @type: its type, of this heap
 *
 * A heap at its limit is collected first.  In a heap that is collected a thread
 * takes some objects of the type at a time (up to 16 KiB of them), and holds
 * them ready: karena_stats() counts them as live.
 *
 * Errors: EINVAL no type of this heap; else as karena_alloc().
 *
 * Return: the object, or NULL with errno.
 */
void *karena_new(struct karena *heap, struct karena_type type) KARENA_CHECKED
	KARENA_ESCAPE(karena_allocator(2), karena_noescape(1), karena_scoped("karena_frame_new"));

/**
 * karena_new_array() - a zeroed array of objects of a type
 * @heap: the heap
 * @type: type of its elements, of this heap
 * @count: how many, from 1 up
 *
 * One object: a reference to any element keeps all of it.
 *
 * Errors: EINVAL no type of this heap, @count is 0; else as karena_alloc().
 *
 * Return: the first element, or NULL with errno.
 */
void *karena_new_array(struct karena *heap, struct karena_type type,
		       size_t count) KARENA_CHECKED
	KARENA_ESCAPE(karena_allocator(2, 3), karena_noescape(1),
		      karena_scoped("karena_frame_new_array"));

/**
 * karena_store() - store a reference in an object
 * @heap: the heap
 * @slot: where to: the address of a pointer in an object
 * @value: what to, NULL included
 *
 * For heaps that were opened with KARENA_BARRIER, in which each reference that is
 * overwritten in an object has to be told.  There the kernel write-protects no pages,
 * which is worth it for programs that write all over a large heap.  Variables, and
 * words of an object that have been 0 since it was allocated, need no barrier.  Of
 * system calls none may write over references.
 *
 * In other heaps it is a plain store.  In either it is atomic, with release order.
 */
void karena_store(struct karena *heap, void *slot, const void *value)
	KARENA_ESCAPE(karena_stores(2, 3));

/**
 * karena_move() - memmove() for words that may hold references
 * @heap: the heap
 * @to: first word to be overwritten, a multiple of 8
 * @from: first word to be stored, a multiple of 8
 * @size: bytes, a multiple of 8
 *
 * Each word as by karena_store().
 */
void karena_move(struct karena *heap, void *to, const void *from, size_t size)
	KARENA_ESCAPE(karena_copies(2, 3));

/**
 * karena_gc() - collect, and wait until it is done
 * @heap: the heap
 *
 * What became unreachable before the call is free after it, and so is what the
 * calling thread held ready for karena_new().  Needs not be called: cycles begin by
 * themselves as the heap grows.
 *
 * Errors: EINVAL the heap is not collected; EBADF the heap is read only; EINTR
 * the process is being killed; ENOMEM.
 *
 * Return: 0, or -1 with errno.
 */
int karena_gc(struct karena *heap) KARENA_ESCAPE(karena_noescape(1));

/**
 * karena_step() - work for the cycle that runs, for callers with time to spare
 * @heap: the heap
 * @ns: about how long, in nanoseconds, up to a tenth of a second
 *
 * Errors: EINVAL the heap is not collected; EBADF the heap is read only.
 *
 * Return: 1, 0 if there was nothing to do, or -1 with errno.
 */
int karena_step(struct karena *heap, __u64 ns) KARENA_ESCAPE(karena_noescape(1));

/**
 * karena_root_add() - have memory of this process searched for references
 * @heap: the heap
 * @start: address, a multiple of 8, outside of the heap
 * @size: bytes, a multiple of 8
 *
 * For references in memory from malloc() or mmap(), but for what would have to be
 * fetched from another program or machine (FUSE, network file systems).  To be
 * withdrawn before the memory is given back: whatever comes there would be searched.
 *
 * Errors: EINVAL, also if the heap is not collected; EEXIST it overlaps what is
 * searched already; ENOSPC there are 4,096; ENOMEM.
 *
 * Return: 0, or -1 with errno.
 */
int karena_root_add(struct karena *heap, void *start, size_t size);

/**
 * karena_root_del() - undo karena_root_add()
 * @heap: the heap
 * @start: as given then
 * @size: as given then
 *
 * Errors: EINVAL as karena_root_add(); ENOENT it is not searched.
 *
 * Return: 0, or -1 with errno.
 */
int karena_root_del(struct karena *heap, void *start, size_t size);

/**
 * karena_data_roots() - have the program's data searched for references, or not
 * @heap: the heap
 * @on: 1: writable data of the program and of all libraries that are loaded,
 *	and thread-local variables of the main thread; 0: nothing of it
 *
 * It is on when a heap is opened, attached or received.  After dlopen() it is to
 * be called again if the library may keep references before karena_type() or
 * karena_gc() is called, which do the same.  Thread-local variables of other
 * threads are searched with their stacks.  If the library itself came by dlopen()
 * in a thread other than the main one, those of the main one are not known.
 *
 * Errors: EINVAL the heap is not collected; ENOSPC; ENOMEM.
 *
 * Return: 0, or -1 with errno.
 */
int karena_data_roots(struct karena *heap, int on);

/*
 * Scopes.
 *
 * Objects of a scope are had by moving a pointer, and given up together, with it.
 */

/**
 * struct karena_scope - a scope, a variable of the function that opens it
 * @region: of the library
 * @heap: of the library
 * @flags: of the library
 */
struct karena_scope {
	struct karena_region *region;
	struct karena *heap;
	__u64 flags;
};

#define KARENA_SCOPE_LOCAL	(1U << 0)
#define KARENA_SCOPE_STORES	(1U << 1)

/**
 * karena_scope_open() - begin a scope
 * @scope: the scope, a local variable of the caller
 * @heap: the heap that its objects are of
 * @flags: what the caller promises, if anything, for the time when it is closed:
 *	KARENA_SCOPE_LOCAL: nothing refers to an object of the scope any more;
 *	KARENA_SCOPE_STORES: nothing does, unless this thread has stored a reference to
 *	one outside of the scope, by karena_store() or karena_move()
 *
 * With the first promise all objects are freed at the close, without a look.  With the
 * second they are, if nothing was stored so; else what is still referred to lives on, from
 * wherever the collector looks, as any other object, and so it does without a promise,
 * where nothing at all has to be done for it.  For both the heap is one that is collected.
 * As objects of scopes lie close together, so do they live: one that is referred to keeps
 * others, up to 8 KiB of them.
 *
 * The scopes of a thread are closed in the reverse order of their opening.  One whose
 * function has been left without that, by longjmp() or an exception, is closed with the
 * next one that the thread opens or closes, for the same heap, in a function that was
 * called before the one that was left.  A scope is not for other threads, other stacks
 * (coroutines, handlers of signals), nor for open ones when its heap is closed.  A child
 * of fork() has the objects of scopes that are open; what it allocates in those, and in
 * no scope of its own, is not freed with them.
 *
 * Errors: EINVAL unknown flags, or both, or no KARENA_SCOPE_LOCAL in a heap that is not
 * collected; EBADF the heap is read only; ENOMEM, also if 16,384 scopes are open.
 *
 * Return: 0, or -1 with errno, and no scope is open.
 */
int karena_scope_open(struct karena_scope *scope, struct karena *heap, unsigned int flags)
	KARENA_CHECKED;

/**
 * karena_scope_alloc() - a zeroed object of a scope
 * @scope: the scope, open, of this thread
 * @size: bytes, from 1 up
 *
 * The object begins at a multiple of 16.  It is none for karena_free(), nor for
 * karena_usable_size().  Any word of it may be a reference.
 *
 * Errors: as karena_alloc().
 *
 * Return: the object, or NULL with errno.
 */
void *karena_scope_alloc(struct karena_scope *scope, size_t size)
	__attribute__((__alloc_size__(2), __warn_unused_result__))
	KARENA_ESCAPE(karena_allocator("fixed"), karena_noescape(1));

/**
 * karena_scope_new() - a zeroed object of a type, of a scope
 * @scope: the scope, open, of this thread
 * @type: its type, of the scope's heap
 *
 * As karena_scope_alloc(): references are found in any word of it.
 *
 * Errors: EINVAL no type; else as karena_alloc().
 *
 * Return: the object, or NULL with errno.
 */
void *karena_scope_new(struct karena_scope *scope, struct karena_type type) KARENA_CHECKED
	KARENA_ESCAPE(karena_allocator("fixed"), karena_noescape(1));

/**
 * karena_scope_close() - end a scope
 * @scope: the scope
 *
 * errno is kept.
 */
void karena_scope_close(struct karena_scope *scope);

/*
 * Pools.
 *
 * Objects that cost something to make, of whatever kind, are kept for whoever wants one
 * next, and dropped when nobody did for two cycles of the heap.
 */

/* Objects that may be had again, in this process. */
struct karena_pool;

/**
 * struct karena_pool_options - what a pool is of
 * @make: makes an object when there is none, or returns NULL; may be NULL
 * @drop: takes an object that is not kept any more, in any thread that uses the pool or
 *	allocates from the heap; calls no function of pools; NULL if there is nothing to do,
 *	as for objects of a heap that is collected
 * @arg: for both
 */
struct karena_pool_options {
	void *(*make)(void *arg);
	void (*drop)(void *object, void *arg);
	void *arg;
};

/**
 * karena_pool_create() - make a pool, which is empty
 * @heap: whose cycles count, and whose objects may be in it; open for longer than the pool
 * @opts: what it is of; NULL for nothing to be made or done
 *
 * In a heap that is not collected there are no cycles but karena_pool_age().  A child of
 * fork() has the pool, and none of the objects in it.
 *
 * Errors: EINVAL; ENOSPC as karena_root_add(); ENOMEM.
 *
 * Return: the pool, or NULL with errno.
 */
struct karena_pool *karena_pool_create(struct karena *heap, const struct karena_pool_options *opts)
	KARENA_CHECKED;

/**
 * karena_pool_get() - take an object of a pool, or make one
 * @pool: the pool
 *
 * It is as it was when it was put there; which one it is, is not said.  Objects that another
 * thread has put are found if they are many, or after a cycle.
 *
 * Return: the object, which nobody else gets; NULL if there is none and none was made.
 */
void *karena_pool_get(struct karena_pool *pool) KARENA_CHECKED;

/**
 * karena_pool_put() - leave an object to whoever wants one next
 * @pool: the pool
 * @object: the object, not NULL
 *
 * It is dropped at once if there are many already (16,384).
 */
void karena_pool_put(struct karena_pool *pool, void *object);

/**
 * karena_pool_age() - as if a cycle had passed
 * @pool: the pool
 *
 * Drops what has been in it since before the last cycle, or call of this.
 */
void karena_pool_age(struct karena_pool *pool);

/**
 * karena_pool_destroy() - drop all that is in a pool, and the pool
 * @pool: the pool, which nobody uses any more, or NULL
 *
 * errno is kept.
 */
void karena_pool_destroy(struct karena_pool *pool);

/*
 * Coroutines.
 *
 * Their stacks grow in place, a page at a time, and references on them are found.
 */

/* Room for stacks; of the thread that has made it, as are the coroutines on them. */
struct karena_stacks;

/* A function that may be left and entered again. */
struct karena_co;

/**
 * karena_stacks_open() - reserve addresses for stacks
 * @heap: the heap; if it is collected, references on the stacks are found
 * @size: bytes that each may grow to, a power of two from 8 KiB to 1 GiB, or rounded up
 *	to one; the lowest 4 KiB are a guard
 * @count: how many
 *
 * Only pages that are written take memory.  If the program has no handler for SIGSEGV, one
 * is installed that says which coroutine's stack has overflowed, before that ends the
 * program, and the thread gets a signal stack, if it has none.
 *
 * Errors: EINVAL @count is 0, @size or all of it (128 GiB) is too large, or the module has
 * no stacks; ENOSPC as karena_root_add(); ENOMEM.
 *
 * Return: the stacks, or NULL with errno.
 */
struct karena_stacks *karena_stacks_open(struct karena *heap, size_t size, size_t count)
	KARENA_CHECKED;

/**
 * karena_stacks_close() - give stacks back
 * @stacks: the stacks, with all coroutines on them, of which none runs; or NULL
 *
 * errno is kept.
 */
void karena_stacks_close(struct karena_stacks *stacks);

/**
 * karena_stacks_trim() - give back memory that stacks do not use any more
 * @stacks: the stacks
 *
 * Of each stack that has four times as much as it uses, or more.  Happens by itself after
 * each cycle of the heap, when a coroutine is made or resumed.
 *
 * Return: bytes given back.
 */
size_t karena_stacks_trim(struct karena_stacks *stacks);

/**
 * karena_co_new() - make a coroutine, which does not run yet
 * @stacks: where its stack is to be
 * @name: what is said if the stack overflows; is not copied
 * @run: the function
 * @arg: its argument
 *
 * Errors: ENOMEM all stacks are in use.
 *
 * Return: the coroutine, or NULL with errno.
 */
struct karena_co *karena_co_new(struct karena_stacks *stacks, const char *name,
				void (*run)(void *arg), void *arg) KARENA_CHECKED;

/**
 * karena_co_delete() - give a coroutine's stack to others
 * @co: the coroutine, which does not run, and need not have ended; or NULL
 */
void karena_co_delete(struct karena_co *co);

/**
 * karena_co_resume() - run a coroutine until it yields or ends
 * @co: the coroutine
 *
 * Modes of floating point are the thread's.
 *
 * Errors: EINVAL it has ended, or runs and waits for the caller.
 *
 * Return: 1 it has yielded, 0 it has ended; -1 with errno.
 */
int karena_co_resume(struct karena_co *co);

/**
 * karena_co_yield() - go back to who has resumed this coroutine
 *
 * To be called in a coroutine only.
 */
void karena_co_yield(void);

/**
 * karena_co_self() - the coroutine that runs
 *
 * Return: the coroutine, NULL outside of all.
 */
struct karena_co *karena_co_self(void);

/**
 * karena_co_overflow() - whose stack has overflowed, for handlers of SIGSEGV
 * @addr: siginfo_t.si_addr
 *
 * Safe in a signal handler.
 *
 * Return: name of the coroutine, NULL if the address is in no guard.
 */
const char *karena_co_overflow(const void *addr);

/**
 * karena_gc_get() - how a heap is collected
 * @heap: the heap
 * @control: gets it; <linux/karena.h> says what the members mean
 *
 * Errors: EINVAL the heap is not collected; EINTR the process is being killed.
 *
 * Return: 0, or -1 with errno.
 */
int karena_gc_get(const struct karena *heap, struct karena_gc_control *control);

/**
 * karena_gc_set() - change how a heap is collected
 * @heap: the heap
 * @control: as karena_gc_get() gave it, but for what is to change
 *
 * Errors: EINVAL, also if the heap is not collected; EBADF the heap is read only;
 * EINTR the process is being killed.
 *
 * Return: 0, or -1 with errno.
 */
int karena_gc_set(struct karena *heap, const struct karena_gc_control *control);

/**
 * karena_gc_stats() - what the collector has done for a heap
 * @heap: the heap
 * @info: in: info->size is sizeof(*info); out: the numbers
 *
 * Errors: EINVAL the heap is not collected, or @info->size is too small.
 *
 * Return: 0, or -1 with errno.
 */
int karena_gc_stats(const struct karena *heap, struct karena_gc_info *info);

/* A reference that does not keep its object: itself an object of the heap, of 16 bytes. */
struct karena_weak;

/**
 * karena_weak_new() - a reference to an object that does not keep it
 * @heap: the heap
 * @object: live object, by its start; of 16 bytes or more, or not of
 *	KARENA_ALLOC_NOSCAN
 *
 * For caches, and for tables of objects that others keep.  All processes may use it, and
 * it is kept and freed as any other object.
 *
 * Errors: EINVAL the heap is not collected, or the object is packed with others; ENOENT
 * no live object begins there; EBADF the heap is read only; ENOMEM.
 *
 * Return: the reference, or NULL with errno.
 */
struct karena_weak *karena_weak_new(struct karena *heap, const void *object) KARENA_CHECKED;

/**
 * karena_weak_get() - the object of a weak reference
 * @heap: the heap
 * @weak: what karena_weak_new() returned, here or elsewhere
 *
 * From then on the object is kept as by any other reference.  Once NULL, always NULL, for
 * everybody.  A few nanoseconds while no cycle runs, else a system call.
 *
 * Return: the object; NULL if it is gone.
 */
void *karena_weak_get(struct karena *heap, const struct karena_weak *weak);

/**
 * karena_cleanup_add() - be told when an object is gone
 * @heap: the heap
 * @object: as for karena_weak_new()
 * @cookie: what is told
 *
 * It does not keep the object, and does not bring it back.  An object may have several.
 * Each is told once: by karena_cleanup_read(), after a cycle has found the object dead,
 * or karena_free() has freed it.
 *
 * Errors: as karena_weak_new().
 *
 * Return: 0, or -1 with errno.
 */
int karena_cleanup_add(struct karena *heap, const void *object, __u64 cookie);

/**
 * karena_cleanup_del() - not be told
 * @heap: the heap
 * @object: live object
 * @cookie: of the first cleanup of it with this cookie
 *
 * Errors: ENOENT it has none with this cookie, or is gone; EINVAL; EBADF the heap is read
 * only.
 *
 * Return: 0, or -1 with errno.
 */
int karena_cleanup_del(struct karena *heap, const void *object, __u64 cookie);

/**
 * karena_cleanup_read() - which objects are gone
 * @heap: the heap
 * @events: gets them: karena_event.cookie is what karena_cleanup_add() was given
 * @count: how many there is room for, from 1 up
 *
 * Waits until there is one; not if O_NONBLOCK is set for karena_fd(), for which poll(2)
 * says POLLIN when there are some.  Each is told to one caller, of all processes.  One
 * that may be killed in between reads to memory that others have too, with @events zeroed
 * before: what is told is there, then, or is told to the next one who asks.
 *
 * Errors: EAGAIN there is none, and O_NONBLOCK is set; EINTR; EINVAL the heap is not
 * collected, or @count is 0; EBADF the heap is read only; EFAULT.
 *
 * Return: how many, or -1 with errno.
 */
long karena_cleanup_read(struct karena *heap, struct karena_event *events, size_t count);

/**
 * karena_reclaim() - give memory back now
 * @heap: the heap
 * @flags: KARENA_RECLAIM_COLLECT: what is garbage goes as well, which waits for a cycle;
 *	else 0
 *
 * Magazines are emptied, what the calling thread holds ready is free, and all that is free
 * goes back to the kernel.  Needs not be called: most of it goes by itself after a while.
 *
 * Errors: EINVAL unknown flag, or the heap is not collected and is to be; EBADF the heap is
 * read only; EINTR the process is being killed.
 *
 * Return: bytes that went, or -1 with errno.
 */
long long karena_reclaim(struct karena *heap, unsigned int flags);

/**
 * karena_memory_get() - how much memory a heap is to have
 * @heap: the heap
 * @memory: gets it: how eagerly memory goes back, a soft limit, what becomes of calls above
 *	it, and whether that is so
 *
 * poll(2) on karena_fd() tells POLLPRI as long as the heap is above a limit.
 *
 * Return: 0, or -1 with errno.
 */
int karena_memory_get(const struct karena *heap, struct karena_memory *memory);

/**
 * karena_memory_set() - change how much memory a heap is to have
 * @heap: the heap
 * @memory: as karena_memory_get() gave it, but for what is to change
 *
 * Errors: EINVAL; EBADF the heap is read only; EINTR the process is being killed.
 *
 * Return: 0, or -1 with errno.
 */
int karena_memory_set(struct karena *heap, const struct karena_memory *memory);

/**
 * karena_explain() - why a heap is as big as it is
 * @heap: the heap
 * @explain: in: explain->size is sizeof(*explain), and classes and count are 0 or an array
 *	and its length; out: the numbers
 *
 * Errors: EINVAL @explain->size is too small; EFAULT, ENOMEM.
 *
 * Return: 0, or -1 with errno.
 */
int karena_explain(const struct karena *heap, struct karena_explain *explain);

/**
 * karena_profile() - have objects of a heap sampled, for karenactl profile
 * @heap: the heap
 * @rate: mean number of bytes from one sample to the next, 524288 as in Go for most
 *	programs; 0: none
 *
 * Errors: EPERM the heap is another user's; EBADF the heap is read only; EINVAL @rate is
 * too large; ENOMEM.
 *
 * Return: 0, or -1 with errno.
 */
int karena_profile(struct karena *heap, size_t rate);

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

#if !defined(KARENA_NO_INLINE)
#include <karena/inline.h>
#endif

#ifdef __cplusplus
}
#endif

#endif /* LIBKARENA_H */
