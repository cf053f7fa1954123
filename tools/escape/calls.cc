// SPDX-License-Identifier: GPL-2.0
/*
 * What calls do: by what is known of the C library, by promises in headers, by the
 * summary of a function of this unit that cannot be another one when the program runs.
 * Of any other function, all that it is given escapes, and what it returns is unknown.
 */
#include "escape.h"
#include "builtins.h"
#include "fold-const.h"
#include "gimple-fold.h"
#include "internal-fn.h"

static unsigned int argument(graph *g, const gcall *call, unsigned int i)
{
	return i < gimple_call_num_args(call) ?
		       escape_value(g, gimple_call_arg(call, i), call) : 0;
}

/* Of what a call returns nobody knows which place in an object it is the address of. */
static void returns(graph *g, gcall *call, unsigned int value)
{
	unsigned int node = g->add_node();

	g->copy(node, value, g->add_flow(call, "given to the call"));
	g->shift(node);
	escape_assign(g, gimple_call_lhs(call), node, call, "returned by the call");
}

static unsigned int world_node(graph *g)
{
	unsigned int node = g->add_node();

	g->address(node, g->world);
	return node;
}

/* All that can be loaded from what @from leads to. */
static unsigned int reach_node(graph *g, unsigned int from, unsigned int why)
{
	unsigned int node = g->add_node();

	g->load(node, from, whole(), why);
	g->load(node, node, whole(), why);
	return node;
}

/* --- the C library --- */

static void copies_bytes(graph *g, gcall *call, unsigned int to, unsigned int from)
{
	unsigned int why = g->add_flow(call, "copied"), node = g->add_node();

	g->load(node, argument(g, call, from), bytes(), why);
	g->store(argument(g, call, to), bytes(), node, why);
}

static bool is_whole_words(const gcall *call)
{
	tree size = gimple_call_num_args(call) > 2 ? gimple_call_arg(call, 2) : NULL_TREE;

	return size && tree_fits_uhwi_p(size) && tree_to_uhwi(size) % CELL_BYTES == 0;
}

/* What is at the begin of one comes to the begin of the other. */
static void copies_memory(graph *g, gcall *call)
{
	unsigned int why = g->add_flow(call, "copied"), to, from, cell;

	if (!is_whole_words(call)) {
		copies_bytes(g, call, 0, 1);
		return;
	}
	to = argument(g, call, 0);
	from = argument(g, call, 1);
	for (cell = 0; cell < NR_CELLS; cell++) {
		unsigned int node = g->add_node();

		g->load(node, from, { CLASS_ALL, 1U << cell, false }, why);
		g->store(to, { CLASS_ALL, 1U << cell, false }, node, why);
	}
}

/* Of a format that is known: the conversion of each argument, or nothing. */
static bool conversions(const gcall *call, unsigned int at, std::string *kinds)
{
	const char *text = at < gimple_call_num_args(call) ?
				   c_getstr(gimple_call_arg(call, at)) : NULL;

	if (!text)
		return false;
	for (; *text; text++) {
		if (*text != '%')
			continue;
		for (text++; *text && strchr("0123456789+-# .'hlLqjzt", *text); text++)
			;
		if (*text == '%')
			continue;
		/* Addresses, counts that are stored, and what is not known. */
		if (!*text || !strchr("diouxXcsfFeEgGaA", *text))
			return false;
		*kinds += *text;
	}
	return true;
}

static void lose_all(graph *g, gcall *call, const std::string &what);

/* @to: argument that the text goes to; @format -1: to a file. */
static void prints(graph *g, gcall *call, int to, unsigned int format)
{
	unsigned int why = g->add_flow(call, "printed"), i, node, target = 0;
	std::string kinds;

	if (!conversions(call, format, &kinds)) {
		lose_all(g, call, "printed by a format that is not known");
		return;
	}
	if (to >= 0)
		target = argument(g, call, to);
	for (i = 0; i < format; i++)
		if ((int)i != to)
			g->escape(argument(g, call, i), why);
	for (i = format + 1; i < gimple_call_num_args(call); i++) {
		node = argument(g, call, i);
		if (i - format - 1 < kinds.size() && kinds[i - format - 1] == 's') {
			unsigned int text = g->add_node();

			g->load(text, node, bytes(), why);
			node = text;
		}
		if (to >= 0)
			g->store(target, bytes(), node, why);
		else
			g->escape(node, why);
	}
}

static void makes_local(graph *g, gcall *call)
{
	unsigned int object = g->add_object(OBJECT_LOCAL, NULL_TREE, call), node = g->add_node();

	g->address(node, object);
	returns(g, call, node);
}

/* sqrt() and its like */
static bool is_arithmetic(const gcall *call)
{
	for (unsigned int i = 0; i < gimple_call_num_args(call); i++)
		if (!SCALAR_FLOAT_TYPE_P(TREE_TYPE(gimple_call_arg(call, i))))
			return false;
	return gimple_call_num_args(call);
}

/* False: nothing is known of it here. */
static bool library_call(graph *g, gcall *call)
{
	if (!gimple_call_builtin_p(call, BUILT_IN_NORMAL))
		return false;
	if (is_arithmetic(call)) {
		for (unsigned int i = 0; i < gimple_call_num_args(call); i++)
			returns(g, call, argument(g, call, i));
		return true;
	}
	switch (DECL_FUNCTION_CODE(gimple_call_fndecl(call))) {
	case BUILT_IN_MEMCPY:
	case BUILT_IN_MEMMOVE:
	case BUILT_IN_MEMCPY_CHK:
	case BUILT_IN_MEMMOVE_CHK:
		copies_memory(g, call);
		returns(g, call, argument(g, call, 0));
		return true;
	case BUILT_IN_MEMPCPY:
	case BUILT_IN_STRCPY:
	case BUILT_IN_STRNCPY:
	case BUILT_IN_STPCPY:
	case BUILT_IN_STRCAT:
	case BUILT_IN_STRNCAT:
	case BUILT_IN_MEMPCPY_CHK:
	case BUILT_IN_STRCPY_CHK:
	case BUILT_IN_STRNCPY_CHK:
	case BUILT_IN_STPCPY_CHK:
	case BUILT_IN_STRCAT_CHK:
	case BUILT_IN_STRNCAT_CHK:
		copies_bytes(g, call, 0, 1);
		returns(g, call, argument(g, call, 0));
		return true;
	case BUILT_IN_MEMSET:
	case BUILT_IN_MEMSET_CHK:
		g->store(argument(g, call, 0), is_whole_words(call) ? whole() : bytes(),
			 argument(g, call, 1), g->add_flow(call, "stored"));
		returns(g, call, argument(g, call, 0));
		return true;
	case BUILT_IN_MEMCHR:
	case BUILT_IN_STRCHR:
	case BUILT_IN_STRRCHR:
	case BUILT_IN_STRSTR:
	case BUILT_IN_STRPBRK:
	case BUILT_IN_INDEX:
	case BUILT_IN_RINDEX:
	case BUILT_IN_EXPECT:
	case BUILT_IN_EXPECT_WITH_PROBABILITY:
	case BUILT_IN_ASSUME_ALIGNED:
		returns(g, call, argument(g, call, 0));
		return true;
	case BUILT_IN_STRLEN:
	case BUILT_IN_STRNLEN:
	case BUILT_IN_STRCMP:
	case BUILT_IN_STRNCMP:
	case BUILT_IN_STRCASECMP:
	case BUILT_IN_STRNCASECMP:
	case BUILT_IN_STRSPN:
	case BUILT_IN_STRCSPN:
	case BUILT_IN_MEMCMP:
	case BUILT_IN_BCMP:
	case BUILT_IN_BZERO:
	case BUILT_IN_PREFETCH:
	case BUILT_IN_UNREACHABLE:
	case BUILT_IN_TRAP:
	case BUILT_IN_ABORT:
	case BUILT_IN_CONSTANT_P:
	case BUILT_IN_OBJECT_SIZE:
	case BUILT_IN_DYNAMIC_OBJECT_SIZE:
	case BUILT_IN_STACK_SAVE:
	case BUILT_IN_STACK_RESTORE:
	case BUILT_IN_PUTS:
		return true;
	case BUILT_IN_ALLOCA:
	case BUILT_IN_ALLOCA_WITH_ALIGN:
	case BUILT_IN_ALLOCA_WITH_ALIGN_AND_MAX:
		makes_local(g, call);
		return true;
	case BUILT_IN_PRINTF:
		prints(g, call, -1, 0);
		return true;
	case BUILT_IN_PRINTF_CHK:
	case BUILT_IN_FPRINTF:
		prints(g, call, -1, 1);
		return true;
	case BUILT_IN_FPRINTF_CHK:
		prints(g, call, -1, 2);
		return true;
	case BUILT_IN_SPRINTF:
		prints(g, call, 0, 1);
		return true;
	case BUILT_IN_SNPRINTF:
		prints(g, call, 0, 2);
		return true;
	case BUILT_IN_SPRINTF_CHK:
		prints(g, call, 0, 3);
		return true;
	case BUILT_IN_SNPRINTF_CHK:
		prints(g, call, 0, 4);
		return true;
	default:
		return false;
	}
}

/* --- any function --- */

static void lose_arguments(graph *g, gcall *call, unsigned int first, const std::string &what)
{
	unsigned int why = g->add_flow(call, what), i;

	for (i = first; i < gimple_call_num_args(call); i++)
		g->escape(argument(g, call, i), why);
	g->escape(escape_value(g, gimple_call_chain(call), call), why);
}

static void lose_all(graph *g, gcall *call, const std::string &what)
{
	lose_arguments(g, call, 0, what);
	if (!gimple_call_internal_p(call))
		g->escape(escape_value(g, gimple_call_fn(call), call), g->add_flow(call, what));
	returns(g, call, world_node(g));
}

/* It stores nothing: what it returns may be anything that it sees. */
static void pure_call(graph *g, gcall *call)
{
	unsigned int why = g->add_flow(call, "seen by a pure function"), i, node;

	for (i = 0; i < gimple_call_num_args(call); i++) {
		node = argument(g, call, i);
		if (!node)
			continue;
		returns(g, call, node);
		returns(g, call, reach_node(g, node, why));
	}
	if (!gimple_call_internal_p(call))
		returns(g, call, world_node(g));
}

static void internal_call(graph *g, gcall *call)
{
	switch (gimple_call_internal_fn(call)) {
	case IFN_DEFERRED_INIT:
	case IFN_FALLTHROUGH:
		return;
	default:
		if (gimple_call_flags(call) & (ECF_CONST | ECF_PURE))
			pure_call(g, call);
		else
			lose_all(g, call, "used in a way that is not known");
	}
}

/* --- summaries --- */

struct applied {
	graph *g;
	gcall *call;
	std::vector<unsigned int> args, reach;
	std::map<unsigned int, unsigned int> nodes;	/* by token */
	unsigned int why;
};

/* What a token of the callee's is here. */
static unsigned int node_of_token(struct applied *a, unsigned int token)
{
	unsigned int param = token / LEVELS, level = token % LEVELS, node;

	if (token == TOKEN_WORLD || param >= a->args.size())
		return world_node(a->g);
	if (!level)
		return a->args[param];
	if (!a->args[param])
		return 0;
	if (a->nodes.count(token))
		return a->nodes[token];
	if (!a->reach[param])
		a->reach[param] = reach_node(a->g, a->args[param], a->why);
	node = a->g->add_node();
	a->g->load(node, a->args[param], { 1U << (level - 1), CELLS_ALL, false }, a->why);
	a->g->load(node, a->reach[param], { 1U << (level - 1), CELLS_ALL, false }, a->why);
	a->nodes[token] = node;
	return node;
}

static void apply(graph *g, gcall *call, tree fn, const struct summary *s)
{
	std::string name = escape_name(fn);
	struct applied a = { g, call, {}, {}, {}, g->add_flow(call, "passed to " + name) };
	unsigned int nr = list_length(DECL_ARGUMENTS(fn)), i;

	for (i = 0; i < nr; i++)
		a.args.push_back(i < gimple_call_num_args(call) ? argument(g, call, i) :
								  world_node(g));
	a.reach.resize(nr);
	for (auto &leak : s->leaks)
		g->escape(node_of_token(&a, leak.first),
			  g->add_flow(call, "passed to " + name + ", where it is " + leak.second));
	for (unsigned int token : s->results)
		returns(g, call, node_of_token(&a, token));
	if (escape_plant("writes"))
		return;
	for (auto &w : s->writes) {
		unsigned int node = g->add_node();

		g->copy(node, node_of_token(&a, w.value), a.why);
		g->shift(node);
		g->store(node_of_token(&a, w.to), { 1U << w.cls, CELLS_ALL, true }, node,
			 g->add_flow(call, "stored by " + name));
	}
	lose_arguments(g, call, nr, "passed to " + name + " as one of a variable number");
}

/* --- promises --- */

static void allocates(graph *g, gcall *call, tree fn)
{
	unsigned int object = g->add_object(OBJECT_SITE, NULL_TREE, call), node = g->add_node();

	g->memory[call] = object;
	g->address(node, object);
	escape_assign(g, gimple_call_lhs(call), node, call, "allocated");
	for (unsigned int i = 0; i < gimple_call_num_args(call); i++)
		if (!escape_keeps_nothing(fn, i))
			g->escape(argument(g, call, i),
				  g->add_flow(call, "passed to " + escape_name(fn)));
}

static void frees(graph *g, gcall *call, tree fn)
{
	unsigned int freed = escape_freed_arg(fn), node = g->add_node();

	g->nodes[node].freed = true;
	g->copy(node, argument(g, call, freed), g->add_flow(call, "freed"));
	for (unsigned int i = 0; i < gimple_call_num_args(call); i++)
		if (i != freed && !escape_keeps_nothing(fn, i))
			g->escape(argument(g, call, i),
				  g->add_flow(call, "passed to " + escape_name(fn)));
}

/* It may write what is unknown to whatever an argument leads to, but keeps nothing. */
static void promising_call(graph *g, gcall *call, tree fn)
{
	for (unsigned int i = 0; i < gimple_call_num_args(call); i++) {
		unsigned int node = argument(g, call, i);
		unsigned int why = g->add_flow(call, "passed to " + escape_name(fn));

		if (!node)
			continue;
		if (!escape_keeps_nothing(fn, i)) {
			g->escape(node, why);
			continue;
		}
		g->store(node, bytes(), world_node(g), why);
		g->store(reach_node(g, node, why), bytes(), world_node(g), why);
	}
	returns(g, call, world_node(g));
}

/* False: there is no promise. */
static bool promised_call(graph *g, gcall *call, tree fn)
{
	unsigned int to, from;

	if (escape_is_allocator(fn))
		allocates(g, call, fn);
	else if (escape_freed_arg(fn) >= 0)
		frees(g, call, fn);
	else if (escape_stores(fn, &to, &from))
		g->store(argument(g, call, to),
			 { escape_strict(g->fn) ? 1U << CLASS_POINTER : CLASS_ALL, 1U, false },
			 argument(g, call, from), g->add_flow(call, "stored"));
	else if (escape_copies(fn, &to, &from))
		copies_bytes(g, call, to, from);
	else if (escape_promises(fn))
		promising_call(g, call, fn);
	else
		return false;
	return true;
}

/* What returns an object of a class is told where to make it. */
static void lose_result(graph *g, gcall *call)
{
	tree lhs = gimple_call_lhs(call);

	if (lhs && TREE_CODE(lhs) != SSA_NAME && TREE_ADDRESSABLE(TREE_TYPE(lhs)))
		g->escape(escape_value(g, build_fold_addr_expr(lhs), call),
			  g->add_flow(call, "made by a call"));
}

void escape_call(graph *g, gcall *call)
{
	tree fn = gimple_call_fndecl(call);
	const struct summary *s;

	lose_result(g, call);
	if (gimple_call_internal_p(call))
		internal_call(g, call);
	else if (!fn)
		lose_all(g, call, "passed to a function that a pointer names");
	else if (promised_call(g, call, fn) || library_call(g, call))
		return;
	else if (!gimple_call_chain(call) && (s = escape_summary(fn)))
		apply(g, call, fn, s);
	else if (gimple_call_flags(call) & (ECF_CONST | ECF_PURE))
		pure_call(g, call);
	else
		lose_all(g, call, "passed to " + escape_name(fn) + ", of which nothing is known");
}
