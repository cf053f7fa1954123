// SPDX-License-Identifier: GPL-2.0
/*
 * Statements of a function become constraints.  Whatever is not known here lets all that
 * it touches escape.
 */
#include "escape.h"
#include "tree-cfg.h"
#include "tree-dfa.h"
#include "gimple-ssa.h"
#include "options.h"
#include "opts.h"

/* The rules of C's effective types count where they do for GCC. */
bool escape_strict(const function *fn)
{
	return opt_for_fn(fn->decl, flag_strict_aliasing);
}

static bool is_character(tree type)
{
	return TREE_CODE(type) == INTEGER_TYPE && TYPE_PRECISION(type) <= BITS_PER_UNIT &&
	       !escape_plant("bytes");
}

static unsigned int classes_of_type(tree type)
{
	if (TYPE_MODE(type) == VOIDmode || AGGREGATE_TYPE_P(type) || is_character(type) ||
	    TYPE_REF_CAN_ALIAS_ALL(build_pointer_type(type)) ||
	    lookup_attribute("may_alias", TYPE_ATTRIBUTES(type)))
		return CLASS_ALL;
	if (POINTER_TYPE_P(type))
		return 1U << CLASS_POINTER;
	if (!INTEGRAL_TYPE_P(type) && !SCALAR_FLOAT_TYPE_P(type))
		return CLASS_ALL;
	if (!tree_fits_uhwi_p(TYPE_SIZE_UNIT(type)))
		return CLASS_ALL;
	return tree_to_uhwi(TYPE_SIZE_UNIT(type)) < 8 ? 1U << CLASS_NARROW : 1U << CLASS_LONG;
}

/* By which types memory is accessed; all of them for bytes, unions and copies. */
static unsigned int classes_of(const graph *g, tree ref)
{
	tree type = TREE_TYPE(ref), base = ref;

	if (!escape_strict(g->fn))
		return CLASS_ALL;
	for (; handled_component_p(base); base = TREE_OPERAND(base, 0)) {
		if (TREE_CODE(base) != COMPONENT_REF && TREE_CODE(base) != ARRAY_REF)
			return CLASS_ALL;
		if (TREE_CODE(base) == COMPONENT_REF &&
		    TREE_CODE(TREE_TYPE(TREE_OPERAND(base, 0))) != RECORD_TYPE)
			return CLASS_ALL;
	}
	if (TREE_CODE(base) == MEM_REF) {
		tree alias = TREE_TYPE(TREE_OPERAND(base, 1)), as = TREE_TYPE(alias);

		if (TYPE_REF_CAN_ALIAS_ALL(alias) || is_character(as) || VOID_TYPE_P(as) ||
		    TREE_CODE(as) == UNION_TYPE)
			return CLASS_ALL;
		if (base == ref && classes_of_type(as) != classes_of_type(type))
			return CLASS_ALL;
	} else if (!DECL_P(base)) {
		return CLASS_ALL;
	} else if (base != ref && !AGGREGATE_TYPE_P(TREE_TYPE(base))) {
		return CLASS_ALL;
	}
	return classes_of_type(type);
}

/*
 * Where an access begins and ends, in bytes from its base; @exact: that is all that it
 * accesses, not what it may be somewhere in.  False: it is not known.
 */
static bool extent(tree ref, HOST_WIDE_INT *begin, HOST_WIDE_INT *end, bool *exact)
{
	poly_int64 at, size, most;
	tree base;
	bool reverse;

	base = get_ref_base_and_extent(ref, &at, &size, &most, &reverse);
	if (base && TREE_CODE(base) == MEM_REF) {
		poly_offset_int more = mem_ref_offset(base) << LOG2_BITS_PER_UNIT;
		poly_int64 bits;

		if (!more.to_shwi(&bits))
			return false;
		at += bits;
	} else if (!base || !DECL_P(base)) {
		return false;
	}
	if (!known_size_p(most) || !at.is_constant(begin) || !most.is_constant(end) ||
	    *begin < 0 || *end <= 0)
		return false;
	*exact = known_eq(size, most) && !((*begin | *end) % BITS_PER_UNIT);
	*end = (*begin + *end + BITS_PER_UNIT - 1) / BITS_PER_UNIT;
	*begin /= BITS_PER_UNIT;
	return true;
}

struct range escape_range(const graph *g, tree ref)
{
	struct range range = { classes_of(g, ref), CELLS_ALL, true };
	HOST_WIDE_INT begin, end;
	unsigned int first, last;
	bool exact;

	if (TREE_CODE(ref) == WITH_SIZE_EXPR || !extent(ref, &begin, &end, &exact))
		return range;
	range.partial = !exact || (begin | end) % CELL_BYTES;
	first = MIN(begin / CELL_BYTES, NR_CELLS - 1);
	last = MIN((end - 1) / CELL_BYTES, NR_CELLS - 1);
	range.cells = CELLS_ALL >> (NR_CELLS - 1 - last) & ~0U << first;
	return range;
}

/* --- objects --- */

static unsigned int variable(graph *g, tree decl)
{
	auto found = g->decls.find(decl);
	unsigned int object;

	if (found != g->decls.end())
		return found->second;
	object = g->add_object(OBJECT_LOCAL, decl, NULL);
	g->decls[decl] = object;
	if (TREE_CODE(decl) == RESULT_DECL) {
		unsigned int why = g->add_flow(NULL, "returned");

		for (unsigned int content : g->objects[object].content)
			g->copy(g->result, content, why);
	}
	return object;
}

static bool is_own(const graph *g, tree decl)
{
	if (TREE_CODE(decl) == RESULT_DECL)
		return !DECL_BY_REFERENCE(decl);
	/* What is in a register of a name, any asm may read. */
	if (TREE_CODE(decl) == VAR_DECL && DECL_HARD_REGISTER(decl))
		return false;
	return (TREE_CODE(decl) == VAR_DECL || TREE_CODE(decl) == PARM_DECL) &&
	       auto_var_in_fn_p(decl, g->fn->decl);
}

static unsigned int node_of_object(graph *g, unsigned int object)
{
	unsigned int node = g->add_node();

	g->address(node, object);
	return node;
}

static unsigned int ssa_node(graph *g, tree name)
{
	unsigned int version = SSA_NAME_VERSION(name);

	if (g->ssa.size() <= version)
		g->ssa.resize(version + 1);
	if (!g->ssa[version])
		g->ssa[version] = g->add_node();
	return g->ssa[version];
}

/* Values of an address calculation, together. */
static unsigned int join(graph *g, tree one, tree other, tree third, const gimple *stmt)
{
	unsigned int node = g->add_node(), why = g->add_flow(stmt, "address");

	for (tree part : { one, other, third })
		if (part)
			g->copy(node, escape_value(g, part, stmt), why);
	g->shift(node);
	return node;
}

/* What @base, which has no components any more, stands at; 0 if it is a variable of ours. */
static unsigned int address_of(graph *g, tree base, const gimple *stmt)
{
	switch (TREE_CODE(base)) {
	case MEM_REF:
		if (TREE_CODE(TREE_OPERAND(base, 0)) == INTEGER_CST)
			return node_of_object(g, g->world);
		return escape_value(g, TREE_OPERAND(base, 0), stmt);
	case TARGET_MEM_REF:
		return join(g, TMR_BASE(base), TMR_INDEX(base), TMR_INDEX2(base), stmt);
	case VAR_DECL:
	case PARM_DECL:
	case RESULT_DECL:
		if (is_own(g, base))
			return node_of_object(g, variable(g, base));
		return node_of_object(g, g->world);
	default:
		return node_of_object(g, g->world);
	}
}

static tree without_components(tree ref)
{
	while (handled_component_p(ref) || TREE_CODE(ref) == WITH_SIZE_EXPR)
		ref = TREE_OPERAND(ref, 0);
	return ref;
}

static unsigned int load(graph *g, tree ref, const gimple *stmt)
{
	tree base = without_components(ref);
	unsigned int node;

	if (TREE_CODE(base) == SSA_NAME)
		return ssa_node(g, base);
	if (CONSTANT_CLASS_P(base))
		return 0;
	node = g->add_node();
	g->load(node, address_of(g, base, stmt), escape_range(g, ref), g->add_flow(stmt, "loaded"));
	return node;
}

static unsigned int elements(graph *g, tree ctor, const gimple *stmt)
{
	unsigned int node = 0, why = g->add_flow(stmt, "an element"), i;
	tree value;

	FOR_EACH_CONSTRUCTOR_VALUE(CONSTRUCTOR_ELTS(ctor), i, value) {
		unsigned int part = escape_value(g, value, stmt);

		if (!part)
			continue;
		if (!node)
			node = g->add_node();
		g->copy(node, part, why);
	}
	g->shift(node);
	return node;
}

/* &ref */
static unsigned int reference(graph *g, tree ref, const gimple *stmt)
{
	tree base = without_components(ref);
	HOST_WIDE_INT begin, end;
	unsigned int node, from;
	bool exact;

	if (TREE_CODE(base) == STRING_CST || TREE_CODE(base) == LABEL_DECL)
		return node_of_object(g, g->world);
	from = address_of(g, base, stmt);
	if (TREE_CODE(base) != TARGET_MEM_REF && extent(ref, &begin, &end, &exact) &&
	    exact && !begin)
		return from;
	node = g->add_node();
	g->copy(node, from, g->add_flow(stmt, "address"));
	g->shift(node);
	return node;
}

unsigned int escape_value(graph *g, tree value, const gimple *stmt)
{
	if (!value)
		return 0;
	switch (TREE_CODE(value)) {
	case SSA_NAME:
		return virtual_operand_p(value) ? 0 : ssa_node(g, value);
	case ADDR_EXPR:
		return reference(g, TREE_OPERAND(value, 0), stmt);
	case INTEGER_CST:
		/* The address of something, which the program knows. */
		if (POINTER_TYPE_P(TREE_TYPE(value)) && !integer_zerop(value))
			return node_of_object(g, g->world);
		return 0;
	case CONSTRUCTOR:
		return elements(g, value, stmt);
	case OBJ_TYPE_REF:
		return escape_value(g, OBJ_TYPE_REF_EXPR(value), stmt);
	default:
		return CONSTANT_CLASS_P(value) ? 0 : load(g, value, stmt);
	}
}

/* --- statements --- */

static void store(graph *g, tree lhs, unsigned int value, const gimple *stmt, const char *what)
{
	g->store(address_of(g, without_components(lhs), stmt), escape_range(g, lhs), value,
		 g->add_flow(stmt, what ? what : "stored"));
}

void escape_assign(graph *g, tree lhs, unsigned int value, const gimple *stmt, const char *what)
{
	tree base;

	if (!lhs)
		return;
	base = without_components(lhs);
	if (TREE_CODE(base) == SSA_NAME)
		g->copy(ssa_node(g, base), value, g->add_flow(stmt, what ? what : "assigned"));
	else
		store(g, lhs, value, stmt, what);
}

/* Structures are copied member by member: nothing becomes of another class. */
static bool copies_structure(const graph *g, tree lhs, tree rhs)
{
	tree type = TYPE_MAIN_VARIANT(TREE_TYPE(lhs));

	if (TREE_CODE(type) != RECORD_TYPE || type != TYPE_MAIN_VARIANT(TREE_TYPE(rhs)) ||
	    !escape_strict(g->fn))
		return false;
	for (tree ref : { lhs, rhs }) {
		tree base = ref;

		for (; handled_component_p(base); base = TREE_OPERAND(base, 0))
			if (TREE_CODE(base) != COMPONENT_REF && TREE_CODE(base) != ARRAY_REF)
				return false;
		if (TREE_CODE(base) == MEM_REF) {
			tree alias = TREE_TYPE(TREE_OPERAND(base, 1));

			if (TYPE_REF_CAN_ALIAS_ALL(alias) ||
			    TREE_CODE(TREE_TYPE(alias)) != RECORD_TYPE)
				return false;
		} else if (!DECL_P(base) || TREE_CODE(TREE_TYPE(base)) == UNION_TYPE) {
			return false;
		}
	}
	return true;
}

static void copy_range(graph *g, unsigned int to, struct range w, unsigned int from,
		       struct range r, unsigned int why)
{
	unsigned int node = g->add_node();

	g->load(node, from, r, why);
	g->store(to, w, node, why);
}

static void copy_structure(graph *g, tree lhs, tree rhs, const gimple *stmt)
{
	unsigned int to = address_of(g, without_components(lhs), stmt);
	unsigned int from = address_of(g, without_components(rhs), stmt);
	unsigned int why = g->add_flow(stmt, "stored");

	struct range r = escape_range(g, rhs), w = escape_range(g, lhs);

	for (unsigned int c = 0; c < NR_CLASSES; c++) {
		if (r.cells != w.cells || r.partial || w.partial) {
			copy_range(g, to, { 1U << c, w.cells, true }, from,
				   { 1U << c, r.cells, true }, why);
			continue;
		}
		for (unsigned int cell = 0; cell < NR_CELLS; cell++)
			if (r.cells & 1U << cell)
				copy_range(g, to, { 1U << c, 1U << cell, false }, from,
					   { 1U << c, 1U << cell, false }, why);
	}
}

/* What leaves an address as it is; all other operations may make another one of it. */
static bool is_copy(const gassign *stmt)
{
	enum tree_code code = gimple_assign_rhs_code(stmt);

	return gimple_assign_single_p(stmt) || CONVERT_EXPR_CODE_P(code) || code == COND_EXPR ||
	       (code == POINTER_PLUS_EXPR && integer_zerop(gimple_assign_rhs2(stmt)));
}

static bool is_test(enum tree_code code)
{
	return TREE_CODE_CLASS(code) == tcc_comparison || code == TRUTH_NOT_EXPR ||
	       code == TRUTH_AND_EXPR || code == TRUTH_OR_EXPR || code == TRUTH_XOR_EXPR;
}

static void assign(graph *g, gassign *stmt)
{
	tree lhs = gimple_assign_lhs(stmt), rhs = gimple_assign_rhs1(stmt);
	enum tree_code code = gimple_assign_rhs_code(stmt);

	if (gimple_clobber_p(stmt) || is_test(code))
		return;
	if (gimple_assign_single_p(stmt) && TREE_CODE(lhs) != SSA_NAME &&
	    TREE_CODE(rhs) != CONSTRUCTOR && copies_structure(g, lhs, rhs)) {
		copy_structure(g, lhs, rhs, stmt);
		return;
	}
	if (!is_copy(stmt) && TREE_CODE(lhs) == SSA_NAME)
		g->shift(ssa_node(g, lhs));
	for (unsigned int i = 1; i < gimple_num_ops(stmt); i++)
		/* What a condition is decided by goes nowhere. */
		if (i > 1 || code != COND_EXPR)
			escape_assign(g, lhs, escape_value(g, gimple_op(stmt, i), stmt), stmt, NULL);
	/* Any number may be the address of something that the program knows. */
	if (CONVERT_EXPR_CODE_P(code) && POINTER_TYPE_P(TREE_TYPE(lhs)) &&
	    !POINTER_TYPE_P(TREE_TYPE(rhs)))
		escape_assign(g, lhs, node_of_object(g, g->world), stmt, NULL);
}

static void asm_statement(graph *g, gasm *stmt)
{
	unsigned int why = g->add_flow(stmt, "given to asm"), i, node;

	for (i = 0; i < gimple_asm_ninputs(stmt); i++) {
		tree op = TREE_VALUE(gimple_asm_input_op(stmt, i));

		g->escape(escape_value(g, op, stmt), why);
		if (TREE_CODE(op) != SSA_NAME && !CONSTANT_CLASS_P(op) && TREE_CODE(op) != ADDR_EXPR)
			g->escape(address_of(g, without_components(op), stmt), why);
	}
	for (i = 0; i < gimple_asm_noutputs(stmt); i++) {
		tree op = TREE_VALUE(gimple_asm_output_op(stmt, i));

		node = node_of_object(g, g->world);
		escape_assign(g, op, node, stmt, "from asm");
		if (TREE_CODE(op) != SSA_NAME)
			g->escape(address_of(g, without_components(op), stmt), why);
	}
}

/* All operands of a statement that nobody here knows. */
static void unknown(graph *g, gimple *stmt)
{
	unsigned int why = g->add_flow(stmt, "in a statement of unknown meaning");

	for (unsigned int i = 0; i < gimple_num_ops(stmt); i++) {
		tree op = gimple_op(stmt, i);

		if (!op || TYPE_P(op) || TREE_CODE(op) == LABEL_DECL)
			continue;
		g->escape(escape_value(g, op, stmt), why);
		escape_assign(g, op, node_of_object(g, g->world), stmt, NULL);
	}
}

static void statement(graph *g, gimple *stmt)
{
	switch (gimple_code(stmt)) {
	case GIMPLE_ASSIGN:
		assign(g, as_a<gassign *>(stmt));
		break;
	case GIMPLE_CALL:
		escape_call(g, as_a<gcall *>(stmt));
		break;
	case GIMPLE_ASM:
		asm_statement(g, as_a<gasm *>(stmt));
		break;
	case GIMPLE_RETURN:
		g->copy(g->result, escape_value(g, gimple_return_retval(as_a<greturn *>(stmt)), stmt),
			g->add_flow(stmt, "returned"));
		break;
	case GIMPLE_COND:
	case GIMPLE_SWITCH:
	case GIMPLE_GOTO:
	case GIMPLE_LABEL:
	case GIMPLE_NOP:
	case GIMPLE_PREDICT:
	case GIMPLE_DEBUG:
	case GIMPLE_RESX:
	case GIMPLE_EH_DISPATCH:
		break;
	default:
		unknown(g, stmt);
	}
}

static void phi(graph *g, gphi *stmt)
{
	tree lhs = gimple_phi_result(stmt);

	if (virtual_operand_p(lhs))
		return;
	for (unsigned int i = 0; i < gimple_phi_num_args(stmt); i++)
		escape_assign(g, lhs, escape_value(g, gimple_phi_arg_def(stmt, i), stmt), stmt, NULL);
}

/* What parameters are when the function begins. */
static void parameters(graph *g)
{
	unsigned int nr = 0, level, c;

	for (tree parm = DECL_ARGUMENTS(g->fn->decl); parm; parm = DECL_CHAIN(parm), nr++) {
		unsigned int first = g->objects.size();
		tree name = ssa_default_def(g->fn, parm);

		for (level = 0; level < LEVELS; level++) {
			unsigned int object = g->add_object(level ? OBJECT_REACH : OBJECT_PARAM,
							    parm, NULL);

			g->objects[object].param = nr;
			g->objects[object].cls = level ? level - 1 : 0;
			g->params.push_back(object);
		}
		for (level = 0; level < LEVELS; level++)
			for (c = 0; c < NR_CLASSES; c++)
				g->address(g->objects[first + level].content[c], first + 1 + c);
		if (name)
			g->address(ssa_node(g, name), first);
		if (is_gimple_reg(parm))
			continue;
		for (unsigned int content : std::vector<unsigned int>(
			     g->objects[variable(g, parm)].content))
			g->address(content, first);
	}
}

/* Names that nothing defines: only those of variables are nothing. */
static void other_names(graph *g)
{
	unsigned int i;
	tree name;

	FOR_EACH_SSA_NAME(i, name, g->fn) {
		tree var = SSA_NAME_VAR(name);

		if (virtual_operand_p(name) || !SSA_NAME_IS_DEFAULT_DEF(name))
			continue;
		if (!var || TREE_CODE(var) == RESULT_DECL || var == g->fn->static_chain_decl ||
		    (TREE_CODE(var) == PARM_DECL && DECL_CONTEXT(var) != g->fn->decl))
			g->address(ssa_node(g, name), g->world);
	}
}

/* To be called with @fn as cfun. */
graph *escape_build(function *fn)
{
	graph *g = new graph(fn);
	basic_block bb;

	parameters(g);
	other_names(g);
	FOR_EACH_BB_FN(bb, fn) {
		for (auto gsi = gsi_start_phis(bb); !gsi_end_p(gsi); gsi_next(&gsi))
			phi(g, gsi.phi());
		for (auto gsi = gsi_start_bb(bb); !gsi_end_p(gsi); gsi_next(&gsi))
			statement(g, gsi_stmt(gsi));
	}
	g->solve();
	return g;
}
