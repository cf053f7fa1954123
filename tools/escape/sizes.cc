// SPDX-License-Identifier: GPL-2.0
/*
 * How large an object is.  A type that is registered at run time is followed back to the
 * call that registers it, through variables of the function and of the unit that are
 * written by such calls only.  Where that leads nowhere its size is a guess, which the
 * rewritten program compares with what the type says.
 */
#include "escape.h"
#include "tree-cfg.h"

/* What the allocators promise. */
static unsigned long alignment(unsigned long bytes)
{
	return escape_options.kernel && bytes % 16 ? 8 : 16;
}

struct sizes {
	bool good;
	unsigned long bytes;
};

static struct sizes size_of_type(tree value, unsigned int depth);

static struct sizes none()
{
	return { false, 0 };
}

/* @bytes is 0 while nothing is known. */
static bool agree(unsigned long *bytes, struct sizes other)
{
	if (!other.good || (*bytes && *bytes != other.bytes))
		return false;
	*bytes = other.bytes;
	return true;
}

static struct sizes size_of_call(const gcall *call)
{
	int arg = escape_type_size_arg(gimple_call_fndecl(call));

	if (arg < 0 || (unsigned int)arg >= gimple_call_num_args(call))
		return none();
	tree size = gimple_call_arg(call, arg);

	if (!tree_fits_uhwi_p(size) || !tree_to_uhwi(size))
		return none();
	return { true, tree_to_uhwi(size) };
}

/* What a statement that has @var on its left stores there. */
static struct sizes size_of_store(const gimple *stmt, unsigned int depth)
{
	if (is_gimple_call(stmt))
		return size_of_call(as_a<const gcall *>(stmt));
	if (gimple_assign_single_p(stmt))
		return size_of_type(gimple_assign_rhs1(stmt), depth + 1);
	return none();
}

/* A variable of a function, whose address nobody has. */
static struct sizes size_of_local(tree var, function *fn, unsigned int depth)
{
	unsigned long bytes = 0;
	basic_block bb;

	if (TREE_ADDRESSABLE(var) || !fn || !fn->cfg)
		return none();
	FOR_EACH_BB_FN(bb, fn) {
		for (auto gsi = gsi_start_bb(bb); !gsi_end_p(gsi); gsi_next(&gsi)) {
			const gimple *stmt = gsi_stmt(gsi);
			tree lhs = gimple_get_lhs(stmt);

			if (is_gimple_debug(stmt) || gimple_clobber_p(stmt))
				continue;
			if (gimple_code(stmt) == GIMPLE_ASM)
				return none();
			if (!lhs || TREE_CODE(lhs) == SSA_NAME || get_base_address(lhs) != var)
				continue;
			if (lhs != var || !agree(&bytes, size_of_store(stmt, depth)))
				return none();
		}
	}
	return { bytes != 0, bytes };
}

/* A variable that only this unit writes. */
static struct sizes size_of_static(tree var, unsigned int depth)
{
	varpool_node *node = varpool_node::get(var);
	unsigned long bytes = 0;
	ipa_ref *ref;

	if (!node || TREE_PUBLIC(var) || DECL_EXTERNAL(var) || DECL_PRESERVE_P(var))
		return none();
	for (unsigned int i = 0; node->iterate_referring(i, ref); i++) {
		if (ref->use == IPA_REF_LOAD)
			continue;
		if (ref->use != IPA_REF_STORE || !ref->stmt ||
		    gimple_get_lhs(ref->stmt) != var ||
		    !agree(&bytes, size_of_store(ref->stmt, depth)))
			return none();
	}
	return { bytes != 0, bytes };
}

/* @value: a structure that is a type, or the address of one. */
static struct sizes size_of_type(tree value, unsigned int depth)
{
	if (depth > 4)
		return none();
	if (TREE_CODE(value) == SSA_NAME) {
		gimple *def = SSA_NAME_DEF_STMT(value);

		return gimple_nop_p(def) ? none() : size_of_store(def, depth);
	}
	if (TREE_CODE(value) != VAR_DECL)
		return none();
	if (TREE_STATIC(value) || DECL_EXTERNAL(value))
		return size_of_static(value, depth);
	return size_of_local(value, DECL_STRUCT_FUNCTION(DECL_CONTEXT(value)), depth);
}

/* Bytes of what the result points to, as the program declares it. */
static unsigned long guess_of(const gcall *call)
{
	tree lhs = gimple_call_lhs(call), type;

	if (!lhs || !POINTER_TYPE_P(TREE_TYPE(lhs)))
		return 0;
	type = TREE_TYPE(TREE_TYPE(lhs));
	if (VOID_TYPE_P(type) || !COMPLETE_TYPE_P(type) || !TYPE_SIZE_UNIT(type) ||
	    !tree_fits_uhwi_p(TYPE_SIZE_UNIT(type)))
		return 0;
	return tree_to_uhwi(TYPE_SIZE_UNIT(type));
}

static bool has_pointers(tree type)
{
	if (TREE_CODE(type) == ARRAY_TYPE)
		return has_pointers(TREE_TYPE(type));
	if (!RECORD_OR_UNION_TYPE_P(type))
		return !INTEGRAL_TYPE_P(type) && !SCALAR_FLOAT_TYPE_P(type);
	for (tree field = TYPE_FIELDS(type); field; field = DECL_CHAIN(field))
		if (TREE_CODE(field) == FIELD_DECL && has_pointers(TREE_TYPE(field)))
			return true;
	return false;
}

/* The result points to a structure of just that size, no member of which is a pointer. */
static bool is_of_numbers(const gcall *call, unsigned long bytes)
{
	tree lhs = gimple_call_lhs(call);

	return guess_of(call) == bytes && TREE_CODE(TREE_TYPE(TREE_TYPE(lhs))) == RECORD_TYPE &&
	       !has_pointers(TREE_TYPE(TREE_TYPE(lhs)));
}

/* The constant that an argument is; 0 if it is none, or too large to be of use. */
static unsigned long constant(const gcall *call, int arg)
{
	tree value;

	if (arg < 0 || (unsigned int)arg >= gimple_call_num_args(call))
		return 0;
	value = gimple_call_arg(call, arg);
	if (!tree_fits_uhwi_p(value) || tree_to_uhwi(value) > 1UL << 30)
		return 0;
	return tree_to_uhwi(value);
}

static void size_by_type(const gcall *call, tree fn, struct size_info *info)
{
	int type = escape_type_arg(fn), count = escape_count_arg(fn);
	unsigned long n = count < 0 ? 1 : constant(call, count);
	struct sizes sizes;

	if ((unsigned int)type >= gimple_call_num_args(call))
		return;
	sizes = size_of_type(gimple_call_arg(call, type), 0);
	info->known = sizes.good && n;
	info->bytes = sizes.bytes * n;
	if (sizes.good || count >= 0)
		return;
	info->typed = gimple_call_arg(call, type);
	info->guess = guess_of(call);
}

/* Its size is an argument, or the product of two. */
static void size_by_argument(const gcall *call, tree fn, struct size_info *info)
{
	int arg;

	for (unsigned int nth = 0; (arg = escape_size_arg(fn, nth)) >= 0; nth++)
		info->bytes = constant(call, arg) * (nth ? info->bytes : 1);
	info->known = info->bytes != 0;
}

struct size_info escape_size(const gcall *call)
{
	tree fn = gimple_call_fndecl(call);
	struct size_info info = {};
	unsigned int arg, bit;

	if (escape_is_fixed(fn) ||
	    lookup_attribute("alloc_align", TYPE_ATTRIBUTES(TREE_TYPE(fn))))
		return info;
	if (escape_type_arg(fn) >= 0)
		size_by_type(call, fn, &info);
	else
		size_by_argument(call, fn, &info);
	info.align = alignment(info.known ? info.bytes : info.guess);
	info.pointer_free = (escape_noscan_arg(fn, &arg, &bit) && (constant(call, arg) & bit)) ||
			    (info.known && is_of_numbers(call, info.bytes));
	return info;
}
