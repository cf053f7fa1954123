// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of each allocation.  One that does not outlive its function is moved to
 * the stack if its size is known and small, and if one place is enough: it is not in a
 * loop, or what the last round made is gone by then, as no name that may hold it is used
 * any more.  Others can be had from a scope.  Where there is doubt it stays where it is.
 */
#include "escape.h"
#include "tree-eh.h"
#include "tree-cfg.h"
#include "gimple-ssa.h"
#include "tree-phinodes.h"
#include "ssa-iterators.h"

/* Bytes of an object and of all of a function that calls itself. */
#define RECURSIVE_OBJECT	256
#define RECURSIVE_FRAME		512

/* --- where a name is used --- */

/* Whether @from is reached again from behind its end. */
static bool in_cycle(basic_block from)
{
	std::set<basic_block> seen;
	std::vector<basic_block> todo = { from };
	edge_iterator ei;
	edge e;

	while (!todo.empty()) {
		basic_block bb = todo.back();

		todo.pop_back();
		FOR_EACH_EDGE(e, ei, bb->succs) {
			if (e->dest == from)
				return true;
			if (seen.insert(e->dest).second)
				todo.push_back(e->dest);
		}
	}
	return false;
}

struct uses {
	std::set<const gimple *> stmts;
	std::set<basic_block> blocks;		/* of these */
	std::set<basic_block> ends;		/* at whose end it is used */
};

static struct uses uses_of(tree name)
{
	struct uses uses;
	imm_use_iterator it;
	use_operand_p use;

	FOR_EACH_IMM_USE_FAST(use, it, name) {
		gimple *stmt = USE_STMT(use);

		if (is_gimple_debug(stmt))
			continue;
		if (gimple_code(stmt) == GIMPLE_PHI) {
			uses.ends.insert(gimple_phi_arg_edge(as_a<gphi *>(stmt),
							     PHI_ARG_INDEX_FROM_USE(use))->src);
		} else {
			uses.stmts.insert(stmt);
			uses.blocks.insert(gimple_bb(stmt));
		}
	}
	return uses;
}

/* Whether what a name holds when @at is about to be executed is used later. */
static bool is_live_before(tree name, gimple *at)
{
	const gimple *def = SSA_NAME_DEF_STMT(name);
	basic_block first = gimple_bb(at), def_block = gimple_bb(def);
	std::set<basic_block> seen;
	std::vector<basic_block> todo = { first };
	struct uses uses = uses_of(name);
	edge_iterator ei;
	edge e;

	for (auto gsi = gsi_for_stmt(at); !gsi_end_p(gsi); gsi_next(&gsi)) {
		if (uses.stmts.count(gsi_stmt(gsi)))
			return true;
		if (gsi_stmt(gsi) == def)
			return false;
	}
	/* From the end of a block where it is not defined anew. */
	while (!todo.empty()) {
		basic_block bb = todo.back();

		todo.pop_back();
		if (uses.ends.count(bb))
			return true;
		FOR_EACH_EDGE(e, ei, bb->succs) {
			if (e->dest == def_block || !seen.insert(e->dest).second)
				continue;
			if (uses.blocks.count(e->dest))
				return true;
			todo.push_back(e->dest);
		}
	}
	return false;
}

static bool is_stored(const graph *g, unsigned int object)
{
	for (const struct object &o : g->objects)
		for (unsigned int content : o.content)
			if (g->has(content, object))
				return true;
	return false;
}

/* One place is enough, as what the last round made is gone by the next one. */
static bool is_gone_by_next(const graph *g, const struct site *site)
{
	tree name;
	unsigned int i;

	if (escape_plant("loops"))
		return true;
	if (is_stored(g, site->object))
		return false;
	FOR_EACH_SSA_NAME(i, name, g->fn) {
		if (virtual_operand_p(name) || i >= g->ssa.size() ||
		    !g->has(g->ssa[i], site->object))
			continue;
		if (is_live_before(name, site->call))
			return false;
	}
	return true;
}

/* --- limits --- */

static bool is_recursive(cgraph_node *node)
{
	std::set<cgraph_node *> seen;
	std::vector<cgraph_node *> todo = { node };

	while (!todo.empty()) {
		cgraph_node *at = todo.back();

		todo.pop_back();
		for (cgraph_edge *e = at->callees; e; e = e->next_callee) {
			cgraph_node *callee = e->callee->ultimate_alias_target();

			if (callee == node)
				return true;
			if (seen.insert(callee).second)
				todo.push_back(callee);
		}
	}
	return false;
}

/* Why nothing of a function may be moved; NULL if it may. */
static const char *obstacle(const function *fn)
{
	edge_iterator ei;
	basic_block bb;
	edge e;

	if (fn->calls_setjmp)
		return "the function calls setjmp";
	if (fn->has_nonlocal_label || fn->has_forced_label_in_static)
		return "the function has labels that others jump to";
	if (lookup_attribute("naked", DECL_ATTRIBUTES(fn->decl)))
		return "the function has no frame";
	FOR_EACH_BB_FN(bb, fn)
		FOR_EACH_EDGE(e, ei, bb->succs)
			if (e->flags & EDGE_ABNORMAL)
				return "the function is left and entered in unusual ways";
	return NULL;
}

static bool is_freed(const graph *g, unsigned int object)
{
	for (const struct node &n : g->nodes)
		if (n.freed && bitmap_bit_p(&n.has, object))
			return true;
	return false;
}

/* The kernel does not search its stacks: only what holds no reference may be there. */
static bool holds_nothing(const graph *g, const struct site *site)
{
	if (site->size.pointer_free)
		return true;
	for (unsigned int content : g->objects[site->object].content)
		if (!bitmap_empty_p(&g->nodes[content].has))
			return false;
	return true;
}

struct budget {
	unsigned long object, frame;
};

/* Why it is not moved to the stack; NULL: it is. */
static const char *stack_obstacle(const graph *g, const struct site *site, struct budget *left)
{
	unsigned long bytes = site->size.known ? site->size.bytes : site->size.guess;

	/* Nothing has to be anywhere. */
	if (!gimple_call_lhs(site->call))
		return NULL;
	if (!bytes)
		return "its size is not known";
	if (bytes > left->object)
		return "it is too large";
	if (bytes > left->frame)
		return "the function has enough on the stack";
	if (escape_options.kernel && !holds_nothing(g, site))
		return "it may hold references";
	if (in_cycle(gimple_bb(site->call)) && !is_gone_by_next(g, site))
		return "it is made in a loop";
	left->frame -= (bytes + site->size.align - 1) & -site->size.align;
	return NULL;
}

/* Scopes end in the reverse order of their beginning: the program's own are not crossed. */
static bool has_scopes(const function *fn)
{
	unsigned int i;
	tree var;

	FOR_EACH_LOCAL_DECL(fn, i, var) {
		tree type = TYPE_MAIN_VARIANT(TREE_TYPE(var)), name = TYPE_NAME(type);

		if (name && TREE_CODE(name) == TYPE_DECL)
			name = DECL_NAME(name);
		if (RECORD_OR_UNION_TYPE_P(type) && name && TREE_CODE(name) == IDENTIFIER_NODE &&
		    !strcmp(IDENTIFIER_POINTER(name), "karena_scope"))
			return true;
	}
	return false;
}

/* Why it is not moved to a scope, "" if that is nothing to tell; NULL: it is. */
static const char *scope_obstacle(const graph *g, const struct site *site)
{
	if (escape_options.kernel || (escape_options.rewrite && !escape_options.scopes) ||
	    !escape_scoped_name(gimple_call_fndecl(site->call)))
		return "";
	if (has_scopes(g->fn))
		return "the function has scopes of its own";
	if (is_freed(g, site->object))
		return "it is freed by hand";
	if (flag_exceptions)
		return "an exception would leave the scope open";
	return NULL;
}

static const char *call_obstacle(const gcall *call)
{
	tree lhs = gimple_call_lhs(call);

	if (escape_is_fixed(gimple_call_fndecl(call)))
		return "the call does more than that";
	if (lhs && (TREE_CODE(lhs) != SSA_NAME || SSA_NAME_OCCURS_IN_ABNORMAL_PHI(lhs)))
		return "the call is of an unusual form";
	if (stmt_ends_bb_p(const_cast<gcall *>(call)) || gimple_call_chain(call))
		return "the call is of an unusual form";
	return NULL;
}

static void place(const graph *g, struct site *site, struct budget *left)
{
	const char *why = obstacle(g->fn), *stack;

	if (!why)
		why = call_obstacle(site->call);
	if (!why) {
		stack = stack_obstacle(g, site, left);
		if (!stack) {
			site->verdict = VERDICT_STACK;
			return;
		}
		why = scope_obstacle(g, site);
		if (!why)
			site->verdict = VERDICT_SCOPE;
		site->why = stack;
		if (why && *why)
			site->why += std::string(", ") + why;
		return;
	}
	site->why = why;
}

/* --- reasons --- */

/* The last step is the reason; its line, or that of what led to it. */
static void explain(const graph *g, struct site *site)
{
	std::vector<graph::step> steps = g->trace(g->escaped, site->object);

	for (graph::step step : steps) {
		const struct flow &flow = g->flows[step.why];

		if (!step.why)
			continue;
		if (site->why.empty())
			site->why = escape_text(flow);
		if (!site->why_line && flow.stmt && gimple_has_location(flow.stmt))
			site->why_line = gimple_lineno(flow.stmt);
		site->flow.insert(site->flow.begin(), escape_step(flow));
	}
}

std::vector<struct site> escape_judge(graph *g)
{
	bool recursive = is_recursive(cgraph_node::get(g->fn->decl));
	struct budget left = { escape_options.object_limit, escape_options.frame_limit };
	std::vector<struct site> sites;

	if (recursive) {
		left.object = MIN(left.object, RECURSIVE_OBJECT);
		left.frame = MIN(left.frame, RECURSIVE_FRAME);
	}
	for (auto &made : g->memory) {
		struct site site = {};

		site.call = g->objects[made.second].call;
		site.object = made.second;
		sites.push_back(site);
	}
	std::sort(sites.begin(), sites.end(), [](const struct site &a, const struct site &b) {
		return a.object < b.object;
	});
	for (struct site &site : sites) {
		site.size = escape_size(site.call);
		if (g->lost) {
			site.verdict = VERDICT_ESCAPES;
			site.why = "the function is too large";
			continue;
		}
		if (g->has(g->escaped, site.object)) {
			site.verdict = VERDICT_ESCAPES;
			explain(g, &site);
			continue;
		}
		site.verdict = VERDICT_STAYS;
		place(g, &site, &left);
	}
	return sites;
}
