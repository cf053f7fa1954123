// SPDX-License-Identifier: GPL-2.0
/*
 * What headers promise of functions, by attributes that GCC knows only while the plugin
 * is loaded (so that <karena.h> asks __has_attribute()).  Positions count from 1, as in
 * GCC's own attributes.
 *
 *	karena_allocator		returns a new object of alloc_size() bytes, zeroed
 *	karena_allocator(t)		of the type that argument t is,
 *	karena_allocator(t, n)		times argument n
 *	karena_allocator("fixed")	does more than that: it is never moved
 *	karena_size(n[, m])		its size in bytes, if alloc_size() does not say
 *	karena_noscan(n, bit)		argument n & bit: it will hold no reference
 *	karena_scoped("name")		name(frame, the same arguments) is the same, and what
 *					it returns is good until karena_frame_close(frame)
 *	karena_deallocator(n)		gives argument n back; NULL is nothing
 *	karena_noescape(n, ...)		keeps nothing of what argument n is or leads to, nor
 *					returns or stores it
 *	karena_stores(to, value)	is *to = value
 *	karena_copies(to, from)		is a copy of bytes
 *	karena_type_of_size(n)		returns a type of argument n bytes
 */
#include "escape.h"

static tree take(tree *node, tree name, tree args, int flags, bool *no_add)
{
	(void)args;
	(void)flags;
	if (TREE_CODE(*node) == FUNCTION_DECL)
		return NULL_TREE;
	warning(OPT_Wattributes, "%qE applies to functions only", name);
	*no_add = true;
	return NULL_TREE;
}

static struct attribute_spec specs[] = {
	{ "karena_allocator", 0, 2, true, false, false, false, take, NULL },
	{ "karena_size", 1, 2, true, false, false, false, take, NULL },
	{ "karena_noscan", 2, 2, true, false, false, false, take, NULL },
	{ "karena_scoped", 1, 1, true, false, false, false, take, NULL },
	{ "karena_deallocator", 1, 1, true, false, false, false, take, NULL },
	{ "karena_noescape", 1, -1, true, false, false, false, take, NULL },
	{ "karena_stores", 2, 2, true, false, false, false, take, NULL },
	{ "karena_copies", 2, 2, true, false, false, false, take, NULL },
	{ "karena_type_of_size", 1, 1, true, false, false, false, take, NULL },
};

void escape_register_attributes(void *event, void *data)
{
	(void)event;
	(void)data;
	for (struct attribute_spec &spec : specs)
		register_attribute(&spec);
}

static tree find(tree fn, const char *name)
{
	return fn ? lookup_attribute(name, DECL_ATTRIBUTES(fn)) : NULL_TREE;
}

/* The nth number of an attribute, as a position from 0 on; -1 if there is none. */
static int position(tree attr, unsigned int nth)
{
	if (!attr)
		return -1;
	for (tree arg = TREE_VALUE(attr); arg; arg = TREE_CHAIN(arg)) {
		if (TREE_CODE(TREE_VALUE(arg)) != INTEGER_CST)
			continue;
		if (!nth--)
			return tree_to_shwi(TREE_VALUE(arg)) - 1;
	}
	return -1;
}

static bool pair(tree fn, const char *name, unsigned int *first, unsigned int *second)
{
	tree attr = find(fn, name);
	int one = position(attr, 0), other = position(attr, 1);

	if (one < 0 || other < 0)
		return false;
	*first = one;
	*second = other;
	return true;
}

bool escape_is_allocator(tree fn)
{
	return find(fn, "karena_allocator");
}

bool escape_is_fixed(tree fn)
{
	tree attr = find(fn, "karena_allocator");

	return attr && TREE_VALUE(attr) && TREE_CODE(TREE_VALUE(TREE_VALUE(attr))) == STRING_CST;
}

const char *escape_scoped_name(tree fn)
{
	tree attr = find(fn, "karena_scoped");

	if (!attr || TREE_CODE(TREE_VALUE(TREE_VALUE(attr))) != STRING_CST)
		return NULL;
	return TREE_STRING_POINTER(TREE_VALUE(TREE_VALUE(attr)));
}

int escape_type_arg(tree fn)
{
	return position(find(fn, "karena_allocator"), 0);
}

int escape_count_arg(tree fn)
{
	return position(find(fn, "karena_allocator"), 1);
}

int escape_size_arg(tree fn, unsigned int nth)
{
	tree attr = find(fn, "karena_size");

	if (attr)
		return position(attr, nth);
	return position(lookup_attribute("alloc_size", TYPE_ATTRIBUTES(TREE_TYPE(fn))), nth);
}

bool escape_noscan_arg(tree fn, unsigned int *arg, unsigned int *bit)
{
	if (!pair(fn, "karena_noscan", arg, bit))
		return false;
	++*bit;		/* it is no position */
	return true;
}

int escape_freed_arg(tree fn)
{
	return position(find(fn, "karena_deallocator"), 0);
}

int escape_type_size_arg(tree fn)
{
	return position(find(fn, "karena_type_of_size"), 0);
}

/* Whether anything is promised of what it does with its arguments. */
bool escape_promises(tree fn)
{
	return find(fn, "karena_noescape");
}

bool escape_keeps_nothing(tree fn, unsigned int arg)
{
	tree attr = find(fn, "karena_noescape");
	int at;

	for (unsigned int i = 0; (at = position(attr, i)) >= 0; i++)
		if ((unsigned int)at == arg)
			return true;
	return false;
}

bool escape_stores(tree fn, unsigned int *to, unsigned int *value)
{
	return pair(fn, "karena_stores", to, value);
}

bool escape_copies(tree fn, unsigned int *to, unsigned int *from)
{
	return pair(fn, "karena_copies", to, from);
}

static std::set<tree> held;

void escape_hold_inline(void *event, void *data)
{
	tree fn = (tree)event;

	(void)data;
	if (TREE_CODE(fn) != FUNCTION_DECL ||
	    (!escape_is_allocator(fn) && escape_freed_arg(fn) < 0 && !find(fn, "karena_stores")))
		return;
	if (DECL_UNINLINABLE(fn))
		return;
	held.insert(fn);
	DECL_ATTRIBUTES(fn) = remove_attribute("always_inline", DECL_ATTRIBUTES(fn));
	DECL_DISREGARD_INLINE_LIMITS(fn) = 0;
	DECL_UNINLINABLE(fn) = 1;
}

/* What is left of calls becomes what it would have been without us. */
void escape_release_inline(void)
{
	for (tree fn : held) {
		DECL_UNINLINABLE(fn) = 0;
		DECL_DISREGARD_INLINE_LIMITS(fn) = DECL_DECLARED_INLINE_P(fn);
	}
}

/* As programs know it. */
std::string escape_name(tree fn)
{
	std::string name;
	size_t at;

	if (!fn || !DECL_NAME(fn))
		return "a function";
	name = IDENTIFIER_POINTER(DECL_NAME(fn));
	at = name.rfind("_inline");
	if (at != std::string::npos && at + 7 == name.size())
		name.resize(at);
	return name;
}
