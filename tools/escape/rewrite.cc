// SPDX-License-Identifier: GPL-2.0
/*
 * Takes objects from the stack or from a scope.  On the stack an object is an array of
 * bytes, cleared where the allocation was; what frees it is taken away, or given NULL when
 * it may be another object as well.  If only a guess of its size is known, the type is asked
 * when the program runs, and a larger object comes from the heap as ever.
 */
#include "escape.h"
#include "tree-cfg.h"
#include "tree-pass.h"
#include "cfgloop.h"
#include "cfghooks.h"
#include "fold-const.h"
#include "gimplify.h"
#include "tree-into-ssa.h"
#include "tree-ssa-alias.h"
#include "tree-phinodes.h"
#include "tree-ssanames.h"
#include "dominance.h"

static tree byte_array(unsigned long bytes, unsigned long align, const char *name)
{
	tree type = build_array_type_nelts(unsigned_char_type_node, bytes);
	tree var = create_tmp_var_raw(type, name);

	SET_DECL_ALIGN(var, align * BITS_PER_UNIT);
	DECL_USER_ALIGN(var) = 1;
	TREE_ADDRESSABLE(var) = 1;
	DECL_CONTEXT(var) = cfun->decl;
	DECL_SEEN_IN_BIND_EXPR_P(var) = 1;
	add_local_decl(cfun, var);
	return var;
}

static tree address(tree var, tree type)
{
	return build1(ADDR_EXPR, type, var);
}

static gimple *clear(tree var, location_t where)
{
	gimple *call = gimple_build_call(builtin_decl_implicit(BUILT_IN_MEMSET), 3,
					 address(var, ptr_type_node), integer_zero_node,
					 DECL_SIZE_UNIT(var));

	gimple_set_location(call, where);
	return call;
}

/* The bytes that a type has, read when the program runs; NULL if it does not say. */
static tree element_of(tree type)
{
	tree record = TREE_TYPE(type), field;

	if (POINTER_TYPE_P(record)) {
		record = TREE_TYPE(record);
		type = build2(MEM_REF, record, type, build_int_cst(TREE_TYPE(type), 0));
	}
	if (TREE_CODE(record) != RECORD_TYPE)
		return NULL_TREE;
	for (field = TYPE_FIELDS(record); field; field = DECL_CHAIN(field))
		if (TREE_CODE(field) == FIELD_DECL && DECL_NAME(field) &&
		    !strcmp(IDENTIFIER_POINTER(DECL_NAME(field)), "element") &&
		    INTEGRAL_TYPE_P(TREE_TYPE(field)) && TYPE_UNSIGNED(TREE_TYPE(field)))
			return build3(COMPONENT_REF, TREE_TYPE(field), unshare_expr(type), field,
				      NULL_TREE);
	return NULL_TREE;
}

/* --- the stack --- */

static void replace_call(gcall *call, tree var, location_t where)
{
	gimple_stmt_iterator gsi = gsi_for_stmt(call);
	tree lhs = gimple_call_lhs(call);
	gassign *assign = gimple_build_assign(lhs, address(var, TREE_TYPE(lhs)));

	gimple_set_location(assign, where);
	gsi_insert_before(&gsi, clear(var, where), GSI_SAME_STMT);
	unlink_stmt_vdef(call);
	gsi_replace(&gsi, assign, false);
}

/* if (type.element - 1 < guess) the stack, else the call */
static bool guard_call(gcall *call, tree var, tree typed, unsigned long guess)
{
	gimple_stmt_iterator gsi = gsi_for_stmt(call);
	location_t where = gimple_location(call);
	tree element = element_of(typed), lhs = gimple_call_lhs(call), type, size, less;
	basic_block head = gimple_bb(call), heap, stack, after;
	tree from_heap, from_stack;
	gimple *load, *minus;
	edge to_heap, to_stack, out;
	gphi *phi;

	if (!element)
		return false;
	type = TREE_TYPE(element);
	size = make_ssa_name(type);
	less = make_ssa_name(type);
	load = gimple_build_assign(size, element);
	minus = gimple_build_assign(less, PLUS_EXPR, size, build_minus_one_cst(type));
	gsi_insert_before(&gsi, load, GSI_SAME_STMT);
	gsi_insert_before(&gsi, minus, GSI_SAME_STMT);

	to_heap = split_block(head, minus);
	heap = to_heap->dest;
	out = split_block(heap, call);
	after = out->dest;
	stack = create_empty_bb(head);
	stack->count = head->count;
	if (current_loops)
		add_bb_to_loop(stack, head->loop_father);

	gsi = gsi_last_bb(head);
	gsi_insert_after(&gsi, gimple_build_cond(LT_EXPR, less, build_int_cst(type, guess),
						 NULL_TREE, NULL_TREE), GSI_NEW_STMT);
	to_heap->flags = (to_heap->flags & ~EDGE_FALLTHRU) | EDGE_FALSE_VALUE;
	to_heap->probability = profile_probability::unlikely();
	to_stack = make_edge(head, stack, EDGE_TRUE_VALUE);
	to_stack->probability = profile_probability::likely();
	heap->count = to_heap->count();

	from_heap = copy_ssa_name(lhs, call);
	from_stack = copy_ssa_name(lhs);
	gimple_call_set_lhs(call, from_heap);
	update_stmt(call);
	gsi = gsi_start_bb(stack);
	gsi_insert_after(&gsi, clear(var, where), GSI_NEW_STMT);
	gsi_insert_after(&gsi, gimple_build_assign(from_stack, address(var, TREE_TYPE(lhs))),
			 GSI_NEW_STMT);
	phi = create_phi_node(lhs, after);
	add_phi_arg(phi, from_heap, out, where);
	add_phi_arg(phi, from_stack, make_single_succ_edge(stack, after, EDGE_FALLTHRU), where);
	return true;
}

/* --- what frees them --- */

struct moved {
	unsigned int object;
	tree var;
	bool surely;			/* it is never on the heap */
};

/* Whether nothing else than what was moved gets to a deallocator. */
static bool frees_only(const graph *g, unsigned int node, const std::vector<struct moved> &moved)
{
	bitmap_iterator bi;
	unsigned int object;

	EXECUTE_IF_SET_IN_BITMAP(&g->nodes[node].has, 0, object, bi) {
		bool found = false;

		for (const struct moved &m : moved)
			found |= m.object == object && m.surely;
		if (!found)
			return false;
	}
	return true;
}

static void remove_call(gcall *call)
{
	gimple_stmt_iterator gsi = gsi_for_stmt(call);

	unlink_stmt_vdef(call);
	gsi_remove(&gsi, true);
}

/* value == &var ? NULL : value */
static tree without(gimple_stmt_iterator *gsi, tree value, tree var)
{
	tree type = TREE_TYPE(value), next = make_ssa_name(type);
	tree same = build2(EQ_EXPR, boolean_type_node, value, address(var, type));

	gsi_insert_before(gsi, gimple_build_assign(next, COND_EXPR, same, build_zero_cst(type),
						   value), GSI_SAME_STMT);
	return next;
}

static void mend_free(const graph *g, gcall *call, unsigned int arg,
		      const std::vector<struct moved> &moved)
{
	gimple_stmt_iterator gsi = gsi_for_stmt(call);
	tree value = gimple_call_arg(call, arg);
	unsigned int node = TREE_CODE(value) == SSA_NAME &&
				    SSA_NAME_VERSION(value) < g->ssa.size() ?
				    g->ssa[SSA_NAME_VERSION(value)] : 0;
	bool any = false;

	for (const struct moved &m : moved) {
		if (!g->has(node, m.object) || escape_plant("frees"))
			continue;
		any = true;
		value = without(&gsi, value, m.var);
	}
	if (!any)
		return;
	if (!gimple_call_lhs(call) && frees_only(g, node, moved)) {
		remove_call(call);
		return;
	}
	gimple_call_set_arg(call, arg, value);
	update_stmt(call);
}

static void mend_frees(const graph *g, const std::vector<struct moved> &moved)
{
	std::vector<gcall *> calls;
	basic_block bb;

	FOR_EACH_BB_FN(bb, cfun) {
		for (auto gsi = gsi_start_bb(bb); !gsi_end_p(gsi); gsi_next(&gsi)) {
			gcall *call = dyn_cast<gcall *>(gsi_stmt(gsi));

			if (call && gimple_call_fndecl(call) &&
			    escape_freed_arg(gimple_call_fndecl(call)) >= 0)
				calls.push_back(call);
		}
	}
	for (gcall *call : calls)
		mend_free(g, call, escape_freed_arg(gimple_call_fndecl(call)), moved);
}

/* --- scopes --- */

#define FRAME_BYTES	64	/* KARENA_FRAME_SIZE of tools/lib/frame.h */

/* A function that no header declares. */
static tree external(const char *name, tree type)
{
	static std::map<std::string, tree> known;
	tree *fn = &known[name];

	if (!*fn) {
		*fn = build_fn_decl(name, type);
		TREE_NOTHROW(*fn) = 1;
	}
	return *fn;
}

/* The same call with the frame in front. */
static void scope_call(gcall *call, tree frame)
{
	tree old = gimple_call_fndecl(call), types = TYPE_ARG_TYPES(TREE_TYPE(old));
	gimple_stmt_iterator gsi = gsi_for_stmt(call);
	vec<tree> args = vNULL;
	gcall *next;

	args.safe_push(address(frame, ptr_type_node));
	for (unsigned int i = 0; i < gimple_call_num_args(call); i++)
		args.safe_push(unshare_expr(gimple_call_arg(call, i)));
	next = gimple_build_call_vec(external(escape_scoped_name(old),
					      build_function_type(ptr_type_node,
								  tree_cons(NULL_TREE, ptr_type_node,
									    types))), args);
	args.release();
	gimple_call_set_lhs(next, gimple_call_lhs(call));
	gimple_set_location(next, gimple_location(call));
	unlink_stmt_vdef(call);
	gsi_replace(&gsi, next, false);
}

/* The frame is empty when the function begins, and closed wherever it returns. */
static tree open_frame()
{
	tree frame = byte_array(FRAME_BYTES, 16, "frame");
	tree close = external("karena_frame_close",
			      build_function_type_list(void_type_node, ptr_type_node, NULL_TREE));
	edge entry = single_succ_edge(ENTRY_BLOCK_PTR_FOR_FN(cfun)), e;
	edge_iterator ei;

	FOR_EACH_EDGE(e, ei, EXIT_BLOCK_PTR_FOR_FN(cfun)->preds) {
		gimple_stmt_iterator gsi = gsi_last_bb(e->src);

		if (!gsi_end_p(gsi) && gimple_code(gsi_stmt(gsi)) == GIMPLE_RETURN)
			gsi_insert_before(&gsi, gimple_build_call(close, 1,
								  address(frame, ptr_type_node)),
					  GSI_SAME_STMT);
	}
	gsi_insert_on_edge_immediate(entry, clear(frame, UNKNOWN_LOCATION));
	return frame;
}

static bool move_to_stack(const struct site *site, std::vector<struct moved> *moved)
{
	const struct size_info *size = &site->size;

	if (!gimple_call_lhs(site->call)) {
		remove_call(site->call);
		return true;
	}
	tree var = byte_array(size->known ? size->bytes : size->guess, size->align, "object");

	if (size->known)
		replace_call(site->call, var, gimple_location(site->call));
	else if (!guard_call(site->call, var, size->typed, size->guess))
		return false;
	moved->push_back({ site->object, var, size->known });
	return true;
}

/* What the compiler believed of addresses is not so any more. */
static void believe_anew()
{
	free_dominance_info(CDI_DOMINATORS);
	free_dominance_info(CDI_POST_DOMINATORS);
	mark_virtual_operands_for_renaming(cfun);
	update_ssa(TODO_update_ssa_only_virtuals);
	if (optimize && !escape_plant("aliases"))
		compute_may_aliases();
	cgraph_edge::rebuild_edges();
}

/* To be called with the graph's function as cfun; the graph is out of date then. */
bool escape_rewrite(graph *g, std::vector<struct site> &sites)
{
	std::vector<struct moved> moved;
	tree frame = NULL_TREE;
	bool any = false;

	for (struct site &site : sites) {
		if (site.verdict == VERDICT_STACK && !move_to_stack(&site, &moved)) {
			site.verdict = VERDICT_STAYS;
			site.why = "its type does not tell its size";
		}
		if (site.verdict == VERDICT_SCOPE) {
			frame = frame ? frame : open_frame();
			scope_call(site.call, frame);
		}
		any |= site.verdict <= VERDICT_SCOPE;
	}
	if (!any)
		return false;
	mend_frees(g, moved);
	believe_anew();
	return true;
}
