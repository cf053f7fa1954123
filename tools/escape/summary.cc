// SPDX-License-Identifier: GPL-2.0
/*
 * What functions of the unit do with their parameters.  Summaries begin empty and grow
 * until none does any more: so recursion is no special case.  A function that another
 * one may take the place of when the program is linked or run has none.
 */
#include "escape.h"
#include "ipa-utils.h"

struct entry {
	cgraph_node *node;
	struct summary summary;
	std::vector<cgraph_node *> callers, callees;
	unsigned int rounds;
	bool lost;		/* did not come to an end in time: unknown */
	bool has_sites, needed;
};

/* More than any that ends needs. */
#define MOST_ROUNDS	100

static std::map<cgraph_node *, struct entry> entries;
static std::vector<cgraph_node *> functions;

bool summary::operator==(const summary &o) const
{
	if (results != o.results || leaks.size() != o.leaks.size() ||
	    writes.size() != o.writes.size())
		return false;
	for (auto a = leaks.begin(), b = o.leaks.begin(); a != leaks.end(); a++, b++)
		if (a->first != b->first)
			return false;
	for (auto a = writes.begin(), b = o.writes.begin(); a != writes.end(); a++, b++)
		if (*a < *b || *b < *a)
			return false;
	return true;
}

const struct summary *escape_summary(tree fn)
{
	cgraph_node *node = cgraph_node::get(fn);
	enum availability availability;

	if (!node)
		return NULL;
	node = node->function_symbol(&availability);
	/* The body of an external one is for inlining only, and may be another's. */
	if (availability <= AVAIL_INTERPOSABLE || node->thunk || DECL_EXTERNAL(node->decl) ||
	    lookup_attribute("noipa", DECL_ATTRIBUTES(node->decl)))
		return NULL;
	auto found = entries.find(node);

	return found == entries.end() || found->second.lost ? NULL : &found->second.summary;
}

/* What an element of a graph is to callers. */
static bool token_of(const graph *g, unsigned int object, unsigned int *token)
{
	const struct object &o = g->objects[object];

	if (object == g->world) {
		*token = TOKEN_WORLD;
		return true;
	}
	if (!g->is_param(object))
		return false;
	*token = o.param * LEVELS + (o.kind == OBJECT_PARAM ? 0 : 1 + o.cls);
	return true;
}

static std::string reason(const graph *g, unsigned int object)
{
	for (graph::step step : g->trace(g->escaped, object))
		if (step.why)
			return escape_text(g->flows[step.why]);
	return "lost";
}

/* What is in memory that leaks is unknown to callers anyway. */
static bool is_written(const graph *g, unsigned int object, const struct summary *s,
		       unsigned int *token)
{
	return g->is_param(object) && token_of(g, object, token) && !s->leaks.count(*token);
}

static void add_writes(const graph *g, unsigned int object, struct summary *s)
{
	const struct object &o = g->objects[object];
	unsigned int to, value, c, e;
	bitmap_iterator bi;

	if (!is_written(g, object, s, &to))
		return;
	for (c = 0; c < NR_CLASSES; c++) {
		EXECUTE_IF_SET_IN_BITMAP(&g->nodes[o.content[c]].has, 0, e, bi) {
			bool initial = g->is_param(e) && g->objects[e].param == o.param &&
				       g->objects[e].kind == OBJECT_REACH &&
				       g->objects[e].cls == c;

			if (!initial && token_of(g, e, &value))
				s->writes.insert({ to, c, value });
		}
	}
}

/*
 * What a parameter leads to may change places in its own memory, which is no news of what
 * the memory holds, but is of where.
 */
static void add_moves(const graph *g, const struct node *node, struct summary *s)
{
	unsigned int to, value, c, e, v;
	bitmap_iterator bi, bj;

	if (escape_plant("moves"))
		return;
	for (const struct node::access &a : node->stores) {
		EXECUTE_IF_SET_IN_BITMAP(&node->has, 0, e, bi) {
			if (!is_written(g, e, s, &to))
				continue;
			EXECUTE_IF_SET_IN_BITMAP(&g->nodes[a.other].has, 0, v, bj) {
				if (g->objects[v].kind != OBJECT_REACH || !token_of(g, v, &value) ||
				    g->objects[v].param != g->objects[e].param)
					continue;
				for (c = 0; c < NR_CLASSES; c++)
					if (a.range.classes & 1U << c)
						s->writes.insert({ to, c, value });
			}
		}
	}
}

struct summary escape_summary_of(const graph *g)
{
	struct summary s;
	bitmap_iterator bi;
	unsigned int e, token;

	EXECUTE_IF_SET_IN_BITMAP(&g->nodes[g->escaped].has, 0, e, bi)
		if (token_of(g, e, &token) && token != TOKEN_WORLD)
			s.leaks[token] = reason(g, e);
	/* What this function had of its own has escaped. */
	EXECUTE_IF_SET_IN_BITMAP(&g->nodes[g->result].has, 0, e, bi)
		s.results.insert(token_of(g, e, &token) ? token : TOKEN_WORLD);
	for (e = 0; e < g->objects.size(); e++)
		add_writes(g, e, &s);
	for (const struct node &node : g->nodes)
		add_moves(g, &node, &s);
	return s;
}

const std::vector<cgraph_node *> &escape_functions()
{
	return functions;
}

/* Notes whom it calls, as its statements have it. */
static void add_caller(cgraph_node *node)
{
	basic_block bb;

	FOR_EACH_BB_FN(bb, DECL_STRUCT_FUNCTION(node->decl)) {
		for (auto gsi = gsi_start_bb(bb); !gsi_end_p(gsi); gsi_next(&gsi)) {
			tree fn = is_gimple_call(gsi_stmt(gsi)) ?
					  gimple_call_fndecl(gsi_stmt(gsi)) : NULL_TREE;
			cgraph_node *callee = fn ? cgraph_node::get(fn) : NULL;
			auto found = callee ? entries.find(callee->function_symbol()) :
					      entries.end();

			if (fn && escape_is_allocator(fn))
				entries[node].has_sites = true;
			if (found == entries.end())
				continue;
			found->second.callers.push_back(node);
			entries[node].callees.push_back(found->first);
		}
	}
}

static void need(cgraph_node *node)
{
	struct entry *e = &entries[node];

	if (e->needed)
		return;
	e->needed = true;
	for (cgraph_node *callee : e->callees)
		need(callee);
}

bool escape_has_sites(cgraph_node *node)
{
	return entries[node].has_sites;
}

static void collect()
{
	cgraph_node **order = XCNEWVEC(cgraph_node *, symtab->cgraph_count);
	int nr = ipa_reverse_postorder(order);

	while (nr--) {
		cgraph_node *node = order[nr];
		function *fn = DECL_STRUCT_FUNCTION(node->decl);

		if (!fn || !gimple_has_body_p(node->decl) || node->thunk || node->alias ||
		    !fn->cfg || !gimple_in_ssa_p(fn))
			continue;
		functions.push_back(node);
		entries[node].node = node;
	}
	free(order);
	for (cgraph_node *node : functions)
		add_caller(node);
}

/* Whether its callers have to be looked at again. */
static bool update(struct entry *e)
{
	struct summary next;
	graph *g;

	if (e->lost)
		return false;
	push_cfun(DECL_STRUCT_FUNCTION(e->node->decl));
	g = escape_build(cfun);
	next = escape_summary_of(g);
	e->lost = g->lost || e->rounds++ > MOST_ROUNDS;
	delete g;
	pop_cfun();
	if (next == e->summary && !e->lost)
		return false;
	e->summary = next;
	return true;
}

void escape_summarize(bool all)
{
	std::set<cgraph_node *> waiting;
	bool again = true;

	collect();
	for (cgraph_node *node : functions)
		if (all || entries[node].has_sites)
			need(node);
	for (cgraph_node *node : functions)
		if (entries[node].needed)
			waiting.insert(node);
	while (again) {
		again = false;
		for (cgraph_node *node : functions) {
			struct entry *e = &entries[node];

			if (!waiting.erase(node) || !update(e))
				continue;
			for (cgraph_node *caller : e->callers)
				if (entries[caller].needed)
					waiting.insert(caller);
			again = true;
		}
	}
}
