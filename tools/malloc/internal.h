/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * What the files of libkarena-malloc share.  Only malloc.c has names that are seen from
 * outside.
 */
#ifndef KARENA_MALLOC_INTERNAL_H
#define KARENA_MALLOC_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "../lib/fast.h"
#include "../lib/stack.h"
#include "gate.h"

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define SMALL		1024u	/* bytes: the first step of the classes' tables */
#define INITIAL_EXEC	__attribute__((tls_model("initial-exec")))

/* glibc's own, for what is asked before there is a heap, or where there is none. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *object, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *object);

enum phase {
	PHASE_NONE,		/* not tried yet; so it is in any child */
	PHASE_READY,
	PHASE_FAILED,
};

/*
 * What is ready for any thread where CPUs have no magazines, by the numbers that these
 * would have.  Who finds it locked asks the kernel.
 */
struct bin {
	unsigned int count;
	void *object[24];
};

struct shared {
	int locked;
	struct bin bin[KARENA_NR_MAGAZINES];
};

/*
 * The heap of this process.  In a page that the kernel clears in a child, however that is
 * made: it must never work in its parent's heap.  A heap that has become useless gets no
 * second one in the same place: who is at work with it may go on.
 */
struct state {
	struct karena_fast fast;	/* its magazines are never NULL, but see most_small */
	size_t most_small;		/* sizes below it have @small; 0: there is no heap yet */
	__u8 small[SMALL / KARENA_SLOT_UNIT + 1];	/* magazines, by units of a size */
	char *nothing;			/* magazines that have nothing, and room for nothing */
	enum phase phase;
	int fd;
	__u32 id;			/* of the heap */
	size_t window;			/* bytes of addresses */
	size_t grown;			/* how much of that there is */
	size_t freed;			/* bytes, since some were given back */
	time_t asked;			/* second in which that was */
	int huge;			/* pages are asked for, when it has become large */
	__u32 *large;			/* pages of large objects, by their first page */
	const struct karena_control *control;
	size_t control_size;
	struct gate gate;
	struct shared shared;
};

/* Hidden is said here as well, so that nobody looks for it elsewhere. */
extern struct state *karena_state __attribute__((visibility("hidden")));

/* setup.c */
int karena_set_up(void);
void karena_set_grown(struct state *state, size_t grown);
void karena_lost(struct state *state);
int karena_child(const struct state *before, int fd);
int karena_is_foreign(const void *object, size_t *left);
int karena_high_fd(int fd);
void karena_close_fd(int fd);
int karena_owns_fd(const struct state *state);

/* 0, then 1 from the handler before fork() to that after it, 2 if the gate is closed. */
extern __thread int karena_forking INITIAL_EXEC;
int karena_fork_init(void);
void karena_fork_changed(void);

/* objects.c */
void *karena_take_slowly(size_t size);
void karena_give_slowly(void *object);
size_t karena_size_of(const void *object);
size_t karena_give_back(int all);
int karena_call(struct state *state, unsigned long command, void *args);
int karena_alloc_from_heap(struct state *state, size_t size, unsigned int count, void **objects);
int karena_free_to_heap(struct state *state, unsigned int count, void **objects);

/* shared.c */
void *karena_shared_take(struct state *state, unsigned int number);
int karena_shared_give(struct state *state, unsigned int number, void *object);
void karena_shared_flush(struct state *state);

/* Not while somebody forks, and not without restartable sequences. */
static inline int karena_has_magazines(const struct state *state)
{
	return state->fast.magazines != state->nothing;
}

static inline int karena_in_window(const struct state *state, const void *object)
{
	return (size_t)((const char *)object - state->fast.base) < state->window;
}

#endif /* KARENA_MALLOC_INTERNAL_H */
