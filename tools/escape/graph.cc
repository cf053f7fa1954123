// SPDX-License-Identifier: GPL-2.0
/*
 * The graph of a function: inclusion constraints between nodes (values, and what objects
 * hold), solved by a worklist (Andersen 1994).  A node has the elements whose address it
 * may be or carry; elements are objects.
 *
 * What escapes is one node; what an escaped object holds escapes with it, and may be
 * anything from then on.  Memory that outlives the function (what parameters lead to) is
 * "outer": what parameters lead to may be stored there and is told in the summary, but a
 * variable or an allocation of this function that gets there has escaped.
 *
 * Whatever may be the address of another place than an object's begin goes through a node
 * that is "shifted": all arithmetic, parts of addresses that are stored, what calls return.
 * The cells of its object are one from then on.
 */
#include "escape.h"

/* Elements that come to nodes; nobody is to wait for the compiler. */
#define MOST_WORK	(20UL << 20)

static unsigned long key(unsigned int a, unsigned int b)
{
	return (unsigned long)a << 32 | b;
}

graph::graph(function *f) : fn(f), lost(false), work(0)
{
	bitmap_obstack_initialize(&obstack);
	add_node();		/* 0 is none */
	add_flow(NULL, "");
	escaped = add_node();
	result = add_node();
	nodes[result].outer = true;
	world = add_object(OBJECT_WORLD, NULL_TREE, NULL);
	for (unsigned int content : objects[world].content) {
		address(content, world);
		copy(escaped, content, 0);
	}
}

graph::~graph()
{
	bitmap_obstack_release(&obstack);
}

unsigned int graph::add_node()
{
	nodes.push_back(node());
	bitmap_initialize(&nodes.back().has, &obstack);
	bitmap_initialize(&nodes.back().fresh, &obstack);
	return nodes.size() - 1;
}

/* Of variables those only that are more than one word. */
static bool has_cells(enum object_kind kind, tree decl)
{
	if (kind == OBJECT_SITE)
		return true;
	return kind == OBJECT_LOCAL && decl && AGGREGATE_TYPE_P(TREE_TYPE(decl)) &&
	       tree_fits_uhwi_p(TYPE_SIZE_UNIT(TREE_TYPE(decl))) &&
	       tree_to_uhwi(TYPE_SIZE_UNIT(TREE_TYPE(decl))) > CELL_BYTES;
}

unsigned int graph::add_object(enum object_kind kind, tree decl, gcall *call)
{
	unsigned int cells = has_cells(kind, decl) ? NR_CELLS : 1, i;
	struct object o = {};

	o.kind = kind;
	o.decl = decl;
	o.call = call;
	for (i = 0; i < cells * NR_CLASSES; i++) {
		o.content.push_back(add_node());
		nodes[o.content[i]].outer = kind == OBJECT_PARAM || kind == OBJECT_REACH;
	}
	objects.push_back(o);
	return objects.size() - 1;
}

unsigned int graph::add_flow(const gimple *stmt, const std::string &what)
{
	flows.push_back({ stmt, what });
	return flows.size() - 1;
}

unsigned int graph::params_at(unsigned int param, unsigned int level) const
{
	return params[param * LEVELS + level];
}

bool graph::is_param(unsigned int object) const
{
	return objects[object].kind == OBJECT_PARAM || objects[object].kind == OBJECT_REACH;
}

bool graph::has(unsigned int node, unsigned int object) const
{
	return node && bitmap_bit_p(&nodes[node].has, object);
}

void graph::push(unsigned int node)
{
	if (nodes[node].queued)
		return;
	nodes[node].queued = true;
	queue.push_back(node);
}

bool graph::add(unsigned int node, unsigned int object, unsigned int from, unsigned int why)
{
	if (!bitmap_set_bit(&nodes[node].has, object))
		return false;
	bitmap_set_bit(&nodes[node].fresh, object);
	work++;
	if (objects[object].kind == OBJECT_SITE || is_param(object))
		origin[key(node, object)] = { from, why };
	push(node);
	return true;
}

void graph::address(unsigned int to, unsigned int object)
{
	if (to)
		add(to, object, 0, 0);
}

void graph::copy(unsigned int to, unsigned int from, unsigned int why)
{
	bitmap_iterator bi;
	unsigned int object;

	if (!to || !from || to == from || !edges.insert(key(from, to)).second)
		return;
	nodes[from].to.push_back({ to, why });
	EXECUTE_IF_SET_IN_BITMAP(&nodes[from].has, 0, object, bi)
		add(to, object, from, why);
}

void graph::load(unsigned int to, unsigned int addr, struct range range, unsigned int why)
{
	if (!to || !addr)
		return;
	nodes[addr].loads.push_back({ range, to, why });
	bitmap_ior_into(&nodes[addr].fresh, &nodes[addr].has);
	push(addr);
}

/* Also of nothing: it may be a part of an address that is overwritten. */
void graph::store(unsigned int addr, struct range range, unsigned int from, unsigned int why)
{
	if (!addr || (!from && !range.partial))
		return;
	nodes[addr].stores.push_back({ range, from, why });
	bitmap_ior_into(&nodes[addr].fresh, &nodes[addr].has);
	push(addr);
}

/* There are addresses that are not those of its begin: all may be anywhere in it. */
void graph::merge(unsigned int object)
{
	std::vector<unsigned int> content = objects[object].content;
	unsigned int i, why;

	if (objects[object].merged || escape_plant("cells"))
		return;
	objects[object].merged = true;
	why = add_flow(NULL, "in the same object");
	for (i = NR_CLASSES; i < content.size(); i++) {
		copy(content[i % NR_CLASSES], content[i], why);
		copy(content[i], content[i % NR_CLASSES], why);
	}
}

/* What gets there may be the address of any place in its object. */
void graph::shift(unsigned int node)
{
	bitmap_iterator bi;
	unsigned int object;

	if (!node || nodes[node].shifted)
		return;
	nodes[node].shifted = true;
	/* It is looked at anew, as an element that has come. */
	EXECUTE_IF_SET_IN_BITMAP(&nodes[node].has, 0, object, bi)
		bitmap_set_bit(&nodes[node].fresh, object);
	push(node);
}

std::vector<unsigned int> graph::contents(unsigned int object, struct range range) const
{
	const std::vector<unsigned int> &content = objects[object].content;
	std::vector<unsigned int> nodes;
	unsigned int cell, c;

	for (cell = 0; cell * NR_CLASSES < content.size(); cell++)
		for (c = 0; c < NR_CLASSES; c++)
			if ((range.classes & 1U << c) &&
			    (content.size() == NR_CLASSES || (range.cells & 1U << cell)))
				nodes.push_back(content[cell * NR_CLASSES + c]);
	return nodes;
}

/* From now on anyone may read and write it. */
void graph::expose(unsigned int object)
{
	unsigned int why;

	if (objects[object].exposed || object == world || escape_plant("content"))
		return;
	objects[object].exposed = true;
	why = add_flow(NULL, "in what has escaped");
	for (unsigned int content : std::vector<unsigned int>(objects[object].content)) {
		copy(escaped, content, why);
		address(content, world);
	}
}

/* An element has come to a node that is more than a value. */
void graph::reached(unsigned int node, unsigned int object)
{
	bool own = objects[object].kind == OBJECT_LOCAL || objects[object].kind == OBJECT_SITE;
	step came = origin[key(node, object)];

	if (node == escaped)
		expose(object);
	if (nodes[node].shifted)
		merge(object);
	if (nodes[node].outer && own)
		add(escaped, object, came.from, came.why);
	if (nodes[node].freed && is_param(object))
		add(escaped, object, came.from, came.why);
}

void graph::process(unsigned int at)
{
	std::vector<unsigned int> fresh;
	bitmap_iterator bi;
	unsigned int object;

	nodes[at].queued = false;
	EXECUTE_IF_SET_IN_BITMAP(&nodes[at].fresh, 0, object, bi)
		fresh.push_back(object);
	bitmap_clear(&nodes[at].fresh);
	/* All of these vectors may grow while we go through them. */
	for (unsigned int e : fresh) {
		reached(at, e);
		for (size_t i = 0; i < nodes[at].loads.size(); i++) {
			node::access a = nodes[at].loads[i];

			for (unsigned int content : contents(e, a.range))
				copy(a.other, content, a.flow);
		}
		for (size_t i = 0; i < nodes[at].stores.size(); i++) {
			node::access a = nodes[at].stores[i];

			for (unsigned int content : contents(e, a.range)) {
				copy(content, a.other, a.flow);
				if (a.range.partial)
					shift(content);
			}
		}
	}
	for (size_t i = 0; i < nodes[at].to.size(); i++) {
		std::pair<unsigned int, unsigned int> edge = nodes[at].to[i];

		for (unsigned int e : fresh)
			add(edge.first, e, at, edge.second);
	}
}

void graph::solve()
{
	while (!queue.empty() && !lost) {
		unsigned int at = queue.back();

		queue.pop_back();
		process(at);
		lost = work > MOST_WORK;
	}
}

std::vector<graph::step> graph::trace(unsigned int node, unsigned int object) const
{
	std::vector<step> steps;

	while (node && steps.size() < 64) {
		auto found = origin.find(key(node, object));

		if (found == origin.end())
			break;
		steps.push_back(found->second);
		node = found->second.from;
	}
	return steps;
}
