// SPDX-License-Identifier: GPL-2.0
/*
 * What karena-escape has to say of each allocation, at each level of optimization.  Behind
 * an allocation stands what becomes of it:
 *
 *	= stack			exactly so
 *	= scope but escapes	what it could be, and what the plugin says
 *	... at 0 1		at these levels only
 *
 * Nothing of this is run: tests/escape/fuzz.py has programs that are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <karena.h>

#define ALONE	__attribute__((__noinline__))

struct node {
	struct node *next;
	long number;
	int small;
	char text[12];
};

struct pair {
	struct node *left, *right;
};

union word {
	struct node *node;
	unsigned long number;
	int half[2];
	char byte[8];
};

#define NODE	karena_alloc(heap, sizeof(struct node))

extern void unknown(void *);
extern void *unknown_result(void);
extern void maybe_kept(const void *) KARENA_ESCAPE(karena_noescape(1));
extern void own_free(void *) KARENA_ESCAPE(karena_deallocator(1));
extern void *own_alloc(size_t size, int kind)
	KARENA_ESCAPE(karena_allocator, karena_size(1));

struct karena *heap;
static struct node *global;
static struct node *globals[4];
static __thread struct node *per_thread;
static struct pair global_pair;
static struct karena_type node_type;
static jmp_buf jump;

/* --- the least --- */

ALONE struct node *returned(void)
{
	struct node *n = NODE;			/* = escapes */

	n->number = 1;
	return n;
}

ALONE long used(void)
{
	struct node *n = NODE;			/* = stack */

	n->number = 1;
	return n->number;
}

ALONE long used_if_there(void)
{
	struct node *n = NODE;			/* = stack */

	if (!n)
		return -1;
	n->number = 1;
	return n->number;
}

ALONE long freed(void)
{
	struct node *n = NODE;			/* = stack */
	long number;

	n->number = 1;
	number = n->number;
	karena_free(heap, n);
	return number;
}

ALONE void to_global(void)
{
	global = NODE;				/* = escapes */
}

ALONE void to_element(int i)
{
	globals[i & 3] = NODE;			/* = escapes */
}

ALONE void to_thread_local(void)
{
	per_thread = NODE;			/* = escapes */
}

ALONE void to_static(void)
{
	static struct node *kept;

	if (!kept)
		kept = NODE;			/* = escapes */
}

ALONE void to_member_of_global(void)
{
	global_pair.left = NODE;		/* = escapes */
}

ALONE void through_parameter(struct node *p)
{
	p->next = NODE;				/* = escapes */
}

ALONE void through_two_levels(struct node **p)
{
	(*p)->next = NODE;			/* = escapes */
}

ALONE void behind_global(void)
{
	if (global)
		global->next = NODE;		/* = escapes */
}

/* --- calls --- */

ALONE void to_unknown(void)
{
	unknown(NODE);				/* = escapes */
}

ALONE void in_unknown(void)
{
	struct node *inner = NODE;		/* = escapes */
	struct node outer = { .next = inner };

	unknown(&outer);
}

ALONE long to_promise(void)
{
	struct node *n = NODE;			/* = stack */

	n->number = 3;
	maybe_kept(n);
	return n->number;
}

ALONE long to_pointer(void (*fn)(void *))
{
	struct node *n = NODE;			/* = escapes */

	fn(n);
	return n->number;
}

static ALONE long reads(const struct node *n)
{
	return n->number + n->small;
}

ALONE long to_reader(void)
{
	struct node *n = NODE;			/* = stack */

	n->small = 4;
	return reads(n);
}

static ALONE void keeps(struct node *n)
{
	n->next = global;
	global = n;
}

ALONE void to_keeper(void)
{
	keeps(NODE);				/* = escapes */
}

static ALONE void keeps_content(struct node *n)
{
	global = n->next;
}

ALONE void content_to_keeper(void)
{
	struct node *outer = NODE;		/* = stack */

	outer->next = NODE;			/* = escapes */
	keeps_content(outer);
}

static ALONE struct node *same(struct node *n)
{
	return n;
}

ALONE long from_same(void)
{
	return same(NODE)->number;		/* = stack */
}

ALONE struct node *returned_by_same(void)
{
	return same(NODE);			/* = escapes */
}

static ALONE void link_to(struct node *from, struct node *to)
{
	from->next = to;
}

ALONE long linked(void)
{
	struct node *a = NODE;			/* = stack */
	struct node *b = NODE;			/* = stack */

	link_to(a, b);
	b->number = 5;
	return a->next->number;
}

ALONE void linked_to_global(void)
{
	struct node *n = NODE;			/* = escapes */

	link_to(global, n);
}

ALONE struct node *linked_and_returned(void)
{
	struct node *a = NODE;			/* = escapes */
	struct node *b = NODE;			/* = escapes */

	link_to(a, b);
	return a;
}

ALONE struct node *tail_returned(void)
{
	struct node *a = NODE;			/* = stack */
	struct node *b = NODE;			/* = escapes */

	link_to(a, b);
	return a->next;
}

static ALONE void set(struct node **to, struct node *n)
{
	*to = n;
}

ALONE long set_in_variable(void)
{
	struct node *n;

	set(&n, NODE);				/* = stack */
	n->number = 6;
	return n->number;
}

ALONE void set_in_global(void)
{
	set(&global, NODE);			/* = escapes */
}

static ALONE void drops(struct node *n)
{
	karena_free(heap, n);
}

ALONE void freed_by_callee(void)
{
	struct node *n = NODE;			/* = escapes */

	n->number = 1;
	drops(n);
}

static ALONE long depth_of(const struct node *n)
{
	return n ? 1 + depth_of(n->next) : 0;
}

ALONE long to_recursion(void)
{
	struct node *a = NODE;			/* = stack */
	struct node *b = NODE;			/* = stack */

	a->next = b;
	return depth_of(a);
}

static ALONE struct node *odd(struct node *n, int i);

static ALONE struct node *even(struct node *n, int i)
{
	return i ? odd(n->next, i - 1) : n;
}

static ALONE struct node *odd(struct node *n, int i)
{
	if (i == 77)
		global = n;
	return i ? even(n, i - 1) : n;
}

ALONE long to_mutual_recursion(int i)
{
	struct node *n = NODE;			/* = stack */

	/* What it leads to is kept, and that it is itself, only if the list goes on. */
	n->number = 2;
	return even(n, i & 1)->number;
}

ALONE long recursive(int i)
{
	struct node *n = NODE;			/* = stack */

	n->number = i;
	return i ? n->number + recursive(i - 1) : 0;
}

ALONE long recursive_with(struct node *up, int i)
{
	struct node *n = NODE;			/* = escapes */

	n->next = up;
	if (up)
		up->next = n;
	return i ? recursive_with(n, i - 1) : n->number;
}

static int by_number(const void *a, const void *b)
{
	return *(const long *)a > *(const long *)b;
}

ALONE void to_callback(void)
{
	long *numbers = karena_alloc(heap, 64);	/* = stack but escapes */

	qsort(numbers, 8, sizeof(long), by_number);
}

static ALONE long apply(long (*fn)(const struct node *), const struct node *n)
{
	return fn(n);
}

ALONE long to_callback_of_ours(void)
{
	struct node *n = NODE;			/* = stack but escapes */

	return apply(reads, n);
}

static ALONE long sum_of(int nr, ...)
{
	va_list args;
	long sum = 0;

	va_start(args, nr);
	while (nr--)
		sum += va_arg(args, struct node *)->number;
	va_end(args);
	return sum;
}

ALONE long to_varargs(void)
{
	return sum_of(1, NODE);			/* = stack but escapes */
}

ALONE void printed(void)
{
	char *text = karena_alloc(heap, 16);	/* = stack */

	strcpy(text, "text");
	printf("%s, %d letters\n", text, (int)strlen(text));
}

ALONE void address_printed(void)
{
	printf("%p\n", NODE);			/* = escapes */
}

ALONE __attribute__((__weak__)) void replaceable(struct node *n)
{
	n->number = 1;
}

ALONE void to_replaceable(void)
{
	replaceable(NODE);			/* = escapes */
}

/* --- loops --- */

ALONE long one_a_round(int count)
{
	long sum = 0;

	for (int i = 0; i < count; i++) {
		struct node *n = NODE;		/* = stack */

		n->number = i;
		sum += n->number;
	}
	return sum;
}

ALONE long list(int count)
{
	struct node *first = NULL;
	long sum = 0;

	for (int i = 0; i < count; i++) {
		struct node *n = NODE;		/* = scope */

		n->number = i;
		n->next = first;
		first = n;
	}
	for (; first; first = first->next)
		sum += first->number;
	return sum;
}

ALONE struct node *list_returned(int count)
{
	struct node *first = NULL;

	while (count--) {
		struct node *n = NODE;		/* = escapes */

		n->next = first;
		first = n;
	}
	return first;
}

ALONE long one_before(int count)
{
	struct node *last = NULL;
	long sum = 0;

	while (count--) {
		struct node *n = NODE;		/* = scope */

		if (last)
			sum += last->number;
		n->number = count;
		last = n;
	}
	return sum;
}

ALONE struct node *last_of_loop(int count)
{
	struct node *last = NULL;

	while (count--)
		last = NODE;			/* = escapes */
	return last;
}

ALONE long two_a_round(int count)
{
	long sum = 0;

	while (count--) {
		struct node *a = NODE;		/* = stack */
		struct node *b = NODE;		/* = scope */

		b->number = count;
		a->next = b;
		sum += a->next->number;
	}
	return sum;
}

ALONE long loop_of_gotos(int count)
{
	struct node *n;
	long sum = 0;

again:
	n = NODE;				/* = stack */
	n->number = count;
	sum += n->number;
	if (count--)
		goto again;
	return sum;
}

ALONE void array_of_nodes(void)
{
	struct node *nodes[4];

	for (int i = 0; i < 4; i++)
		nodes[i] = NODE;		/* = scope */
	for (int i = 0; i < 4; i++)
		maybe_kept(nodes[i]);
}

/* --- sizes and types --- */

ALONE void large(void)
{
	maybe_kept(karena_alloc(heap, 100000));	/* = scope */
}

ALONE void variable_size(size_t size)
{
	maybe_kept(karena_alloc(heap, size));	/* = scope */
}

ALONE void own_allocator(void)
{
	void *p = own_alloc(32, 1);		/* = stack */

	maybe_kept(p);
	own_free(p);
}

ALONE void typed(void)
{
	struct karena_type type = KARENA_TYPE(heap, struct node, next);

	maybe_kept(karena_new(heap, type));	/* = stack */
}

ALONE void typed_by_static(void)
{
	maybe_kept(karena_new(heap, node_type));	/* = stack */
}

void make_type(void)
{
	node_type = KARENA_TYPE(heap, struct node, next);
}

ALONE long typed_by_parameter(struct karena_type type)
{
	struct node *n = karena_new(heap, type);	/* = stack */

	n->number = 9;
	return n->number;
}

ALONE long typed_array(void)
{
	struct karena_type type = KARENA_TYPE(heap, struct node, next);
	struct node *n = karena_new_array(heap, type, 3);	/* = stack */

	n[2].number = 1;
	return n[2].number;
}

ALONE long flags(void)
{
	long *n = karena_alloc_flags(heap, 24, KARENA_ALLOC_NOSCAN);	/* = stack */

	n[1] = 4;
	return n[1];
}

ALONE long text(void)
{
	char *copy = karena_strdup(heap, "text");	/* = stays */

	return copy[1];
}

ALONE long in_scope_of_its_own(void)
{
	struct karena_scope scope;
	struct node *n;
	long number;

	if (karena_scope_open(&scope, heap, KARENA_SCOPE_LOCAL))
		return -1;
	n = karena_scope_alloc(&scope, sizeof(*n));	/* = stays */
	n->number = 8;
	number = n->number;
	karena_scope_close(&scope);
	return number;
}

ALONE struct node *from_scope(struct karena_scope *scope)
{
	return karena_scope_alloc(scope, sizeof(struct node));	/* = escapes */
}

/* --- ways of a pointer --- */

ALONE struct node *either(int which)
{
	struct node *a = NODE;			/* = escapes */
	struct node *b = NODE;			/* = escapes */

	return which ? a : b;
}

ALONE long one_of_two(int which)
{
	struct node *a = NODE;			/* = stack */
	struct node *b = NODE;			/* = stack */

	a->number = 1;
	b->number = 2;
	return (which ? a : b)->number;
}

ALONE struct node *returned_sometimes(int which)
{
	struct node *n = NODE;			/* = escapes */

	n->number = 1;
	return which ? n : NULL;
}

ALONE long freed_if(struct node *other, int which)
{
	struct node *n = which ? NODE : other;	/* = stack */
	long number = n->number;

	karena_free(heap, n);
	return number;
}

ALONE struct node *member_returned(void)
{
	struct node *outer = NODE;		/* = stack */

	outer->next = NODE;			/* = escapes */
	return outer->next;
}

ALONE long *address_of_member(void)
{
	return &((struct node *)NODE)->number;	/* = escapes */
}

ALONE struct pair by_value(void)
{
	struct pair pair = {
		.left = NODE,			/* = escapes */
	};

	return pair;
}

ALONE long struct_copied(void)
{
	struct pair a = {
		.left = NODE,			/* = stack */
	};
	struct pair b = a;

	b.left->number = 1;
	return a.left->number;
}

ALONE struct node *struct_copied_and_returned(void)
{
	struct pair a = {
		.left = NODE,			/* = escapes */
	};
	struct pair b = a;

	return b.left;
}

ALONE void struct_to_global(void)
{
	struct pair a = {
		.right = NODE,			/* = escapes */
	};

	global_pair = a;
}

static ALONE long pair_sum(struct pair pair)
{
	return pair.left->number + pair.right->number;
}

ALONE long struct_to_callee(void)
{
	struct pair pair;

	pair.left = NODE;			/* = stack */
	pair.right = NODE;			/* = stack */
	return pair_sum(pair);
}

ALONE struct node *bytes_copied(void)
{
	struct node *n = NODE, *copy;		/* = escapes */

	for (size_t i = 0; i < sizeof(n); i++)
		((char *)&copy)[i] = ((char *)&n)[i];
	return copy;
}

ALONE struct node *memory_copied(void)
{
	struct node *n = NODE, *copy;		/* = escapes */

	memcpy(&copy, &n, sizeof(n));
	return copy;
}

ALONE void memory_to_global(void)
{
	struct node *n = NODE;			/* = escapes */

	memcpy(&global, &n, sizeof(n));
}

ALONE long content_copied(void)
{
	struct node *a = NODE;			/* = stack */
	struct node *b = NODE;			/* = stack */

	a->number = 7;
	memcpy(b, a, sizeof(*a));
	return b->number;
}

ALONE struct node *by_union(void)
{
	union word word = {
		.node = NODE,			/* = escapes */
	};

	return (struct node *)word.number;
}

ALONE unsigned long by_halves(void)
{
	union word word = {
		.node = NODE,			/* = escapes */
	};

	return (unsigned long)(unsigned int)word.half[1] << 32 | (unsigned int)word.half[0];
}

ALONE int compared(void)
{
	struct node *n = NODE;			/* = stack */

	n->number = 1;
	return n == global;
}

ALONE unsigned long as_number(void)
{
	return (unsigned long)NODE;		/* = escapes */
}

ALONE unsigned long hashed(void)
{
	return (unsigned long)NODE >> 4 ^ 0x5555;	/* = escapes */
}

ALONE void to_asm(void)
{
	struct node *n = NODE;			/* = escapes */

	__asm__ volatile("" : : "r"(n) : "memory");
}

ALONE struct node *from_asm(void)
{
	struct node *n = NODE;			/* = escapes */

	__asm__ volatile("" : "+r"(n));
	return n;
}

ALONE void to_atomic(_Atomic(struct node *) *slot)
{
	atomic_store(slot, NODE);		/* = escapes */
}

ALONE long atomic_of_own(void)
{
	struct node *n = NODE;			/* = escapes */
	struct node *mine = NULL;

	__atomic_store_n(&mine, n, __ATOMIC_SEQ_CST);
	return n->number;
}

ALONE void to_volatile(void)
{
	*(struct node *volatile *)&global = NODE;	/* = escapes */
}

ALONE long in_volatile_variable(void)
{
	struct node *volatile n = NODE;		/* = stack */

	n->number = 1;
	return n->number;
}

ALONE long stored_by_call(void)
{
	struct node *a = NODE;			/* = stack */
	struct node *b = NODE;			/* = stack */

	karena_store(heap, &a->next, b);
	b->number = 3;
	return a->next->number;
}

ALONE void stored_outside(void)
{
	karena_store(heap, &global, NODE);	/* = escapes */
}

ALONE long in_variable_array(int count)
{
	struct node *nodes[count + 1];

	nodes[count] = NODE;			/* = stack */
	nodes[count]->number = 2;
	return nodes[count]->number;
}

ALONE long node_in_itself(void)
{
	struct node *n = NODE;			/* = stack */

	n->next = n;
	return n->next->next->number;
}

ALONE long size_asked(void)
{
	void *p = NODE;				/* = escapes */

	return karena_usable_size(heap, p);
}

/* --- unusual ways --- */

ALONE long with_setjmp(void)
{
	struct node *n = NODE;			/* = stays */

	if (setjmp(jump))
		return -1;
	n->number = 1;
	return n->number;
}

ALONE long with_longjmp(int far)
{
	struct node *n = NODE;			/* = stack */

	n->number = far;
	if (far)
		longjmp(jump, 1);
	return n->number;
}

ALONE long in_nested(void)
{
	struct node *n = NODE;			/* = stack but escapes */

	ALONE void add(long by)
	{
		n->number += by;
	}

	add(1);
	return n->number;
}

ALONE long by_nested(void)
{
	struct node *kept;

	ALONE void make(void)
	{
		kept = NODE;			/* = escapes */
	}

	make();
	return kept->number;
}

ALONE long through_jump(int which)
{
	static void *const where[] = { &&one, &&two };
	struct node *n = NODE;			/* = stack but stays */

	goto *where[which & 1];
one:
	n->number = 1;
	return n->number;
two:
	n->number = 2;
	return n->number;
}

ALONE long switched(int which)
{
	struct node *n = NULL;

	switch (which) {
	case 0:
		n = NODE;			/* = stack */
		break;
	case 1:
		n = NODE;			/* = stack */
		break;
	default:
		return 0;
	}
	n->small = which;
	return n->small;
}

ALONE void unused(void)
{
	(void)!NODE;				/* = stack */
}
