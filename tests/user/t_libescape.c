// SPDX-License-Identifier: GPL-2.0
/*
 * A program that is built with karena-escape, in a heap that is collected: objects on the
 * stack are no objects of the heap, and what only they lead to lives as long as they do; those
 * of scopes end with their function, however that is left.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <karena.h>

#include "tap.h"

#define ALONE	__attribute__((__noinline__))
#define MIB	(1024UL * 1024)
/* What a thread has ready for its next scopes, at most. */
#define SPARES 16
#define LENGTH	300

struct node {
	struct node *next;
	long number;
	long unused[2];
};

static struct karena *heap;
static struct node *made;
static jmp_buf out;

static struct karena *open_collected(void)
{
	struct karena_options opts = {
		.window = 64 * MIB, .name = "t_libescape", .flags = KARENA_COLLECT,
	};

	return karena_open(&opts);
}

static ALONE unsigned long long live(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return check_eq(karena_stats(heap, &info), 0) ? info.live_objects : ~0ULL;
}

/* No address gets away by this: what is compared goes nowhere. */
static ALONE bool is_in_heap(const void *object)
{
	return (size_t)((const char *)object - (const char *)karena_base(heap)) <
	       karena_window(heap);
}

/* Words on the stack and in registers that are left of others look like references. */
static ALONE void clear_stack(void)
{
	volatile char frames[16384];
	size_t i;

	for (i = 0; i < sizeof(frames); i++)
		frames[i] = 0;
}

static void *make_list(void *unused)
{
	struct node *node;
	long i;

	(void)unused;
	made = NULL;
	for (i = 0; i < LENGTH; i++) {
		node = karena_alloc(heap, sizeof(*node));
		if (!check(node))
			break;
		node->number = i;
		node->next = made;
		made = node;
	}
	return NULL;
}

/* In a thread that ends, so that nothing but @made leads to it. */
static void make(void)
{
	pthread_t thread;

	if (check_eq(pthread_create(&thread, NULL, make_list, NULL), 0))
		pthread_join(thread, NULL);
}

static ALONE long sum_of(const struct node *node)
{
	long sum = 0;

	for (; node; node = node->next)
		sum += node->number;
	return sum;
}

#define SUM	((long)LENGTH * (LENGTH - 1) / 2)

/* --- the stack --- */

static ALONE void hold(void)
{
	struct node *holder = karena_alloc(heap, sizeof(*holder));
	int i;

	check(!is_in_heap(holder));
	make();
	holder->next = made;
	made = NULL;
	clear_stack();
	for (i = 0; i < 3; i++) {
		check_eq(karena_gc(heap), 0);
		check_eq(live(), LENGTH);
	}
	check_eq(sum_of(holder), SUM);
}

static void stack_keeps(void)
{
	hold();
	clear_stack();
	check_eq(karena_gc(heap), 0);
	check_eq(live(), 0);
}

/* Each leads to the next, and the last to the list. */
static ALONE void hold_by_two(void)
{
	struct node *first = karena_alloc(heap, sizeof(*first));
	struct node *second = karena_alloc(heap, sizeof(*second));

	check(!is_in_heap(first));
	check(!is_in_heap(second));
	make();
	second->next = made;
	karena_store(heap, &first->next, second);
	made = NULL;
	clear_stack();
	check_eq(karena_gc(heap), 0);
	check_eq(live(), LENGTH);
	check_eq(sum_of(first), SUM);
	first->next = NULL;
	second->next = NULL;
	clear_stack();
	check_eq(karena_gc(heap), 0);
	check_eq(live(), 0);
}

static void chain_on_stack(void)
{
	hold_by_two();
}

/* Freed by hand: that is nothing, and no wrong free either. */
static ALONE long use_and_free(int i)
{
	struct node *node = karena_alloc(heap, sizeof(*node));
	long number;

	node->number = i;
	number = node->number + node->unused[1];
	check_eq(karena_free(heap, node), 0);
	return number;
}

static void freed_on_stack(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	long sum = 0;
	int i;

	for (i = 0; i < LENGTH; i++)
		sum += use_and_free(i);
	check_eq(sum, SUM);
	check_eq(karena_stats(heap, &info), 0);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		check_eq(info.rejects[i], 0);
	check_eq(info.live_objects, 0);
}

/* A type that is larger than what the program takes it for comes from the heap. */
static ALONE bool typed_is_in_heap(struct karena_type type)
{
	struct node *node = karena_new(heap, type);

	node->number = 1;
	return is_in_heap(node);
}

struct large {
	struct node node;
	char more[200];
};

static void type_at_run_time(void)
{
	check(!typed_is_in_heap(KARENA_TYPE(heap, struct node, next)));
	check(typed_is_in_heap(KARENA_TYPE(heap, struct large, node.next)));
}

/* --- scopes --- */

static ALONE long list_in_scope(int length, int far)
{
	struct node *list = NULL, *node;
	int i;

	for (i = 0; i < length; i++) {
		node = karena_alloc(heap, sizeof(*node));
		if (!node)
			return -1;
		node->number = i;
		node->next = list;
		list = node;
		if (i == length / 2)
			karena_gc(heap);
	}
	if (far)
		longjmp(out, 1);
	return sum_of(list);
}

static void scope_ends(void)
{
	int i;

	for (i = 0; i < 20; i++)
		check_eq(list_in_scope(LENGTH, 0), SUM);
	clear_stack();
	check_eq(karena_gc(heap), 0);
	check(live() <= SPARES);
}

static void left_by_jump(void)
{
	volatile int i;

	for (i = 0; i < 200; i++)
		if (!setjmp(out))
			list_in_scope(LENGTH, 1);
	check_eq(list_in_scope(LENGTH, 0), SUM);
	clear_stack();
	check_eq(karena_gc(heap), 0);
	check(live() <= SPARES);
}

/* More than a scope has: the rest is in the heap, and garbage afterwards. */
static void beyond_limit(void)
{
	long length = 40000;

	check_eq(list_in_scope(length, 0), length * (length - 1) / 2);
	clear_stack();
	check_eq(karena_gc(heap), 0);
	check(live() <= SPARES);
}

static ALONE long close_inside(struct karena *other)
{
	struct node *list = NULL, *node;
	long sum;
	int i;

	for (i = 0; i < LENGTH; i++) {
		node = karena_alloc(other, sizeof(*node));
		if (!node)
			break;
		node->number = i;
		node->next = list;
		list = node;
	}
	sum = sum_of(list);
	karena_close(other);
	return sum;
}

static void heap_closed_inside(void)
{
	struct karena *other = open_collected();

	if (check(other))
		check_eq(close_inside(other), SUM);
	check_eq(list_in_scope(LENGTH, 0), SUM);
}

static ALONE int fork_inside(void)
{
	struct node *list = NULL, *node;
	pid_t pid = -1;
	int i, status = -1;

	for (i = 0; i < LENGTH; i++) {
		node = karena_alloc(heap, sizeof(*node));
		if (!node)
			break;
		node->number = i;
		node->next = list;
		list = node;
		if (i == LENGTH / 2)
			pid = fork();
	}
	if (!pid)
		_exit(sum_of(list) != SUM);
	waitpid(pid, &status, 0);
	return status || sum_of(list) != SUM;
}

static void forked_inside(void)
{
	check_eq(fork_inside(), 0);
}

/* --- another stack --- */

static ucontext_t here, there;
static long sums[2];

/* The other one begins and ends in the middle of it. */
static ALONE long list_with_switch(ucontext_t *from, ucontext_t *to)
{
	struct node *list = NULL, *node;
	int i;

	for (i = 0; i < LENGTH; i++) {
		node = karena_alloc(heap, sizeof(*node));
		if (!node)
			return -1;
		node->number = i;
		node->next = list;
		list = node;
		if (i % 100 == 50)
			swapcontext(from, to);
	}
	return sum_of(list);
}

static void run_there(void)
{
	sums[1] = list_with_switch(&there, &here);
}

/* In a heap that is not collected: nobody looks at that stack. */
static void coroutine(void)
{
	static char stack[65536];
	int i;

	if (!check(!getcontext(&there)))
		return;
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof(stack);
	there.uc_link = &here;
	makecontext(&there, run_there, 0);
	sums[0] = list_with_switch(&here, &there);
	for (i = 0; i < 3 && !sums[1]; i++)
		swapcontext(&here, &there);
	check_eq(sums[0], SUM);
	check_eq(sums[1], SUM);
}

static void do_coroutine(void)
{
	heap = karena_open(NULL);
	if (!check(heap))
		return;
	coroutine();
	karena_close(heap);
}

static void in_heap_of_its_own(void (*run)(void))
{
	heap = open_collected();
	if (!check(heap))
		return;
	run();
	karena_close(heap);
}

#define CASE(name)	static void do_##name(void) { in_heap_of_its_own(name); }
CASE(stack_keeps)
CASE(chain_on_stack)
CASE(freed_on_stack)
CASE(type_at_run_time)
CASE(scope_ends)
CASE(left_by_jump)
CASE(beyond_limit)
CASE(heap_closed_inside)
CASE(forked_inside)

static const struct tap_case cases[] = {
	{ "what an object on the stack leads to lives", do_stack_keeps },
	{ "objects on the stack lead to each other", do_chain_on_stack },
	{ "an object on the stack is freed", do_freed_on_stack },
	{ "a type's size is known when the program runs only", do_type_at_run_time },
	{ "a scope ends with its function", do_scope_ends },
	{ "functions with scopes are left by longjmp()", do_left_by_jump },
	{ "more than a scope may have", do_beyond_limit },
	{ "the heap is closed in a function with a scope", do_heap_closed_inside },
	{ "fork() in a function with a scope", do_forked_inside },
	{ "functions with scopes on two stacks", do_coroutine },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
