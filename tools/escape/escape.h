/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karena-escape: escape analysis for GCC.  What the files share, from the bottom up:
 *
 *	attributes.cc	what headers promise of functions
 *	graph.cc	names, objects, what flows where; solved for a function at a time
 *	sizes.cc	bytes of an object, through types that are registered at run time
 *	flow.cc		statements of a function become a graph
 *	calls.cc	calls do, by promises, by summaries, or by fearing the worst
 *	summary.cc	what a function does with its parameters, to a fixpoint
 *	verdict.cc	what becomes of each allocation
 *	rewrite.cc	the stack or a scope instead of the heap
 *	report.cc	text and JSON
 *	plugin.cc	options and the pass
 *
 * An element is what a value may be the address of, or carry bits of: values of all
 * types have elements, so that a pointer is followed through integers and bytes.
 *
 * What an object holds is kept apart by where it is (cells of 8 bytes, the last of which
 * is all the rest), as long as all addresses of the object are those of its begin.  With
 * -fstrict-aliasing, which -O2 has by itself, it is kept apart by the class of the access
 * as well (enum escape_class), by the rules of C's effective types.
 */
#ifndef KARENA_ESCAPE_H
#define KARENA_ESCAPE_H

/* Before GCC poisons what they use. */
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gcc-plugin.h"
#include "tree.h"
#include "gimple.h"
#include "gimple-iterator.h"
#include "gimple-pretty-print.h"
#include "ssa.h"
#include "cgraph.h"
#include "diagnostic.h"
#include "attribs.h"
#include "stringpool.h"

/* --- options: plugin.cc --- */

struct escape_options {
	int report;		/* 0: none, 1: verdicts, 2: and how things flow */
	bool rewrite;
	bool scopes;		/* and not only to the stack */
	bool kernel;		/* code of the kernel, with its small stack */
	const char *json;
	unsigned long object_limit, frame_limit;	/* bytes on the stack */
	const char *plant;	/* tests of the tests: a bug that there is */
};

extern struct escape_options escape_options;

/* Whether the plugin was told to have this bug. */
bool escape_plant(const char *bug);

/* --- promises: attributes.cc --- */

void escape_register_attributes(void *event, void *data);
bool escape_is_allocator(tree fn);
bool escape_is_fixed(tree fn);
/* What serves it from a scope; NULL: nothing. */
const char *escape_scoped_name(tree fn);
/* Positions from 0 on; -1 if there is none. */
int escape_type_arg(tree fn);
int escape_count_arg(tree fn);
int escape_size_arg(tree fn, unsigned int nth);
int escape_freed_arg(tree fn);
int escape_type_size_arg(tree fn);
bool escape_keeps_nothing(tree fn, unsigned int arg);
bool escape_noscan_arg(tree fn, unsigned int *arg, unsigned int *bit);
bool escape_promises(tree fn);
/* "*to = value", "*to = *from" */
bool escape_stores(tree fn, unsigned int *to, unsigned int *value);
bool escape_copies(tree fn, unsigned int *to, unsigned int *from);
/* Allocators that are inline stay calls until the pass has seen them. */
void escape_hold_inline(void *event, void *data);
void escape_release_inline(void);
std::string escape_name(tree fn);

/* --- the graph: graph.cc --- */

enum escape_class { CLASS_POINTER, CLASS_LONG, CLASS_NARROW, NR_CLASSES };
#define CLASS_ALL	((1U << NR_CLASSES) - 1)

#define CELL_BYTES	8U
#define NR_CELLS	8U
#define CELLS_ALL	((1U << NR_CELLS) - 1)

/* Where and as what memory is accessed. */
struct range {
	unsigned int classes, cells;
	bool partial;		/* a store may leave a part of an address as it was */
};

enum object_kind {
	OBJECT_WORLD,		/* all that is outside of the function and has no other name */
	OBJECT_PARAM,		/* what a parameter points to, when it is called */
	OBJECT_REACH,		/* what can be reached from there, by the class it was stored as */
	OBJECT_LOCAL,		/* variables */
	OBJECT_SITE,		/* what an allocation makes */
};

struct object {
	enum object_kind kind;
	tree decl;		/* of a variable, a parameter */
	gcall *call;		/* of a site */
	unsigned int param, cls;
	std::vector<unsigned int> content;	/* nodes, by cell and class */
	bool exposed;
	bool merged;		/* there are addresses of other places than its begin */
};

/* Why something flows: a statement, and in a few words what it does. */
struct flow {
	const gimple *stmt;
	std::string what;
};

struct node {
	bitmap_head has, fresh;
	std::vector<std::pair<unsigned int, unsigned int>> to;	/* node, flow */
	struct access {
		struct range range;
		unsigned int other, flow;
	};
	std::vector<access> loads, stores;	/* through the addresses in it */
	bool outer;		/* memory that outlives the function */
	bool freed;		/* is given to a deallocator */
	bool shifted;		/* addresses in it may be of any place in an object */
	bool queued;
};

class graph {
public:
	explicit graph(function *fn);
	~graph();

	unsigned int add_node();
	unsigned int add_object(enum object_kind kind, tree decl, gcall *call);
	unsigned int add_flow(const gimple *stmt, const std::string &what);
	void address(unsigned int to, unsigned int object);
	void copy(unsigned int to, unsigned int from, unsigned int why);
	void load(unsigned int to, unsigned int addr, struct range range, unsigned int why);
	void store(unsigned int addr, struct range range, unsigned int from, unsigned int why);
	void shift(unsigned int node);
	void escape(unsigned int from, unsigned int why) { copy(escaped, from, why); }
	void solve();

	bool has(unsigned int node, unsigned int object) const;
	bool is_param(unsigned int object) const;
	/* How an element came into a node: node by node, the last first. */
	struct step {
		unsigned int from, why;
	};
	std::vector<step> trace(unsigned int node, unsigned int object) const;

	function *fn;
	bool lost;		/* too much work: nothing is known */
	std::vector<object> objects;
	std::vector<node> nodes;
	std::vector<flow> flows;
	unsigned int escaped, result, world;
	std::vector<unsigned int> ssa;			/* nodes by version, 0: none yet */
	std::map<tree, unsigned int> decls;		/* objects */
	std::map<const gimple *, unsigned int> memory;	/* objects that a statement makes */
	std::vector<unsigned int> params;		/* objects: what it points to, and 3 more */
	unsigned int params_at(unsigned int param, unsigned int level) const;

private:
	bitmap_obstack obstack;
	std::vector<unsigned int> queue;
	std::unordered_set<unsigned long> edges;
	std::unordered_map<unsigned long, step> origin;
	unsigned long work;

	bool add(unsigned int node, unsigned int object, unsigned int from, unsigned int why);
	void push(unsigned int node);
	void process(unsigned int node);
	void reached(unsigned int node, unsigned int object);
	void merge(unsigned int object);
	std::vector<unsigned int> contents(unsigned int object, struct range range) const;
	void expose(unsigned int object);
};

/* --- sizes: sizes.cc --- */

struct size_info {
	bool known;			/* bytes is what is asked for */
	unsigned long bytes;
	unsigned long align;
	bool pointer_free;		/* a flag or its type says so */
	tree typed;			/* the argument that is a type whose size is not known */
	unsigned long guess;		/* bytes that it most likely has; 0: none */
};

struct size_info escape_size(const gcall *call);

/* --- functions: flow.cc, calls.cc, summary.cc --- */

#define LEVELS	(1 + NR_CLASSES)	/* of a parameter: itself, reached by class */
#define TOKEN_WORLD	(~0U)

/* What a function does with its parameters, in tokens: param * LEVELS + level. */
struct summary {
	std::map<unsigned int, std::string> leaks;	/* and why */
	std::set<unsigned int> results;
	struct write {
		unsigned int to, cls, value;
		bool operator<(const write &o) const
		{
			return std::tie(to, cls, value) < std::tie(o.to, o.cls, o.value);
		}
	};
	std::set<write> writes;
	bool operator==(const summary &o) const;
};

graph *escape_build(function *fn);
/* Node of a value; 0 if it can hold nothing. */
unsigned int escape_value(graph *g, tree value, const gimple *stmt);
/* Whether two accesses of unlike classes are of unlike memory. */
bool escape_strict(const function *fn);
struct range escape_range(const graph *g, tree ref);
/* All of an object; some number of bytes of it, by copying. */
static inline struct range whole()
{
	return { CLASS_ALL, CELLS_ALL, false };
}

static inline struct range bytes()
{
	return { CLASS_ALL, CELLS_ALL, true };
}
void escape_assign(graph *g, tree lhs, unsigned int value, const gimple *stmt, const char *what);
void escape_call(graph *g, gcall *call);
/* NULL: nothing is known of it. */
const struct summary *escape_summary(tree fn);
/* @all: of each function, else of those that functions with allocations need. */
void escape_summarize(bool all);
struct summary escape_summary_of(const graph *g);
/* Functions of the unit, callees first. */
const std::vector<cgraph_node *> &escape_functions();
bool escape_has_sites(cgraph_node *node);

/* --- verdicts: verdict.cc --- */

enum verdict { VERDICT_STACK, VERDICT_SCOPE, VERDICT_STAYS, VERDICT_ESCAPES };

struct site {
	gcall *call;
	unsigned int object;
	enum verdict verdict;
	struct size_info size;
	std::string why;		/* it escapes, or is not moved */
	int why_line;			/* 0: none */
	std::vector<std::string> flow;
};

std::vector<struct site> escape_judge(graph *g);

/* --- rewriting: rewrite.cc --- */

/* Moves what is to be moved; whether that was anything. */
bool escape_rewrite(graph *g, std::vector<struct site> &sites);

/* --- reports: report.cc --- */

/* Why something flows, in words. */
std::string escape_text(const struct flow &flow);
std::string escape_step(const struct flow &flow);
void escape_report_sites(graph *g, const std::vector<struct site> &sites);
void escape_report_params(graph *g);
void escape_report_flush();

#endif /* KARENA_ESCAPE_H */
