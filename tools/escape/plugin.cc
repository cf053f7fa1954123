// SPDX-License-Identifier: GPL-2.0
/*
 * Options, and the pass: once for a unit, after the early optimizations of all its
 * functions and before those that look at more than one.
 *
 *	-fplugin-arg-karena_escape-report[=2]	print verdicts (2: and flows)
 *	-fplugin-arg-karena_escape-json=FILE	append them as JSON, an object a line
 *	-fplugin-arg-karena_escape-rewrite[=stack]	move what does not escape, to the stack
 *						and to scopes (or to the stack only)
 *	-fplugin-arg-karena_escape-kernel	kernel code (as -mcmodel=kernel says too)
 *	-fplugin-arg-karena_escape-object=N	most bytes of an object on the stack
 *	-fplugin-arg-karena_escape-frame=N	and of all of a function
 */
#include "escape.h"
#include "plugin-version.h"
#include "tree-pass.h"
#include "context.h"
#include "options.h"
#include "flags.h"
#include "langhooks.h"

int plugin_is_GPL_compatible;
struct escape_options escape_options;

#define KERNEL_OBJECT	256
#define KERNEL_FRAME	512
#define USER_OBJECT	4096
#define USER_FRAME	16384

/* Then all functions are looked at, else those with allocations. */
static bool tells()
{
	return escape_options.report || escape_options.json;
}

static void look_at(cgraph_node *node)
{
	std::vector<struct site> sites;
	graph *g;

	if (escape_is_allocator(node->decl) || (!tells() && !escape_has_sites(node)))
		return;
	/* Inlined into all that called it, and gone soon. */
	if (!TREE_PUBLIC(node->decl) && !node->callers && !node->address_taken &&
	    !node->force_output && DECL_DECLARED_INLINE_P(node->decl))
		return;
	push_cfun(DECL_STRUCT_FUNCTION(node->decl));
	g = escape_build(cfun);
	sites = escape_judge(g);
	if (escape_options.rewrite && !sites.empty())
		escape_rewrite(g, sites);
	if (tells()) {
		escape_report_params(g);
		escape_report_sites(g, sites);
	}
	delete g;
	pop_cfun();
}

static const pass_data escape_pass_data = {
	SIMPLE_IPA_PASS, "karena_escape", OPTGROUP_NONE, TV_NONE, PROP_ssa | PROP_cfg, 0, 0, 0, 0,
};

struct escape_pass : public simple_ipa_opt_pass {
	explicit escape_pass(gcc::context *ctxt) : simple_ipa_opt_pass(escape_pass_data, ctxt) {}
	bool gate(function *) final override { return !seen_error() && !in_lto_p; }
	unsigned int execute(function *) final override
	{
		escape_summarize(tells());
		for (cgraph_node *node : escape_functions())
			look_at(node);
		escape_release_inline();
		escape_report_flush();
		return 0;
	}
};

static bool is_sanitized()
{
	return flag_sanitize || flag_sanitize_coverage || profile_arc_flag;
}

/* What a memory checker would look for is not on the heap any more. */
static void start_unit(void *event, void *data)
{
	(void)event;
	(void)data;
	if (escape_options.rewrite && is_sanitized()) {
		inform(UNKNOWN_LOCATION,
		       "karena-escape moves nothing in a build with sanitizers or coverage");
		escape_options.rewrite = false;
	}
	if (ix86_cmodel == CM_KERNEL)
		escape_options.kernel = true;
	if (!escape_options.object_limit)
		escape_options.object_limit = escape_options.kernel ? KERNEL_OBJECT : USER_OBJECT;
	if (!escape_options.frame_limit)
		escape_options.frame_limit = escape_options.kernel ? KERNEL_FRAME : USER_FRAME;
}

bool escape_plant(const char *bug)
{
	return escape_options.plant && !strcmp(escape_options.plant, bug);
}

static bool take_number(const char *text, unsigned long *number)
{
	char *end = NULL;

	if (!text || !*text)
		return false;
	*number = strtoul(text, &end, 10);
	return !*end && *number && *number <= 65536;
}

static bool take_option(const struct plugin_argument *arg)
{
	const char *value = arg->value;

	if (!strcmp(arg->key, "report")) {
		escape_options.report = value ? atoi(value) : 1;
		return escape_options.report >= 0 && escape_options.report <= 2;
	}
	if (!strcmp(arg->key, "json")) {
		escape_options.json = value;
		return value && *value;
	}
	if (!strcmp(arg->key, "rewrite")) {
		escape_options.rewrite = true;
		escape_options.scopes = !value;
		return !value || !strcmp(value, "stack");
	}
	/* For tests/escape/fuzz.py alone. */
	if (!strcmp(arg->key, "plant")) {
		escape_options.plant = value;
		return value;
	}
	if (!strcmp(arg->key, "kernel")) {
		escape_options.kernel = true;
		return !value;
	}
	if (!strcmp(arg->key, "object"))
		return take_number(value, &escape_options.object_limit);
	if (!strcmp(arg->key, "frame"))
		return take_number(value, &escape_options.frame_limit);
	return false;
}

static struct plugin_info help = {
	"0.1.0",
	"karena-escape: which allocations outlive their function; see karena-escape(1)\n",
};

int plugin_init(struct plugin_name_args *info, struct plugin_gcc_version *version)
{
	struct register_pass_info pass = {};

	if (strcmp(version->basever, gcc_version.basever)) {
		error("karena-escape was built for GCC %s, this is %s", gcc_version.basever,
		      version->basever);
		return 1;
	}
	for (int i = 0; i < info->argc; i++) {
		if (take_option(&info->argv[i]))
			continue;
		error("karena-escape: %qs is no option of it, or not a value that it takes",
		      info->argv[i].key);
		return 1;
	}
	register_callback(info->base_name, PLUGIN_INFO, NULL, &help);
	/* All has been done when there is LTO. */
	if (!strcmp(lang_hooks.name, "GNU GIMPLE"))
		return 0;
	pass.pass = new escape_pass(g);
	pass.reference_pass_name = "opt_local_passes";
	pass.ref_pass_instance_number = 1;
	pass.pos_op = PASS_POS_INSERT_AFTER;
	register_callback(info->base_name, PLUGIN_PASS_MANAGER_SETUP, NULL, &pass);
	register_callback(info->base_name, PLUGIN_ATTRIBUTES, escape_register_attributes, NULL);
	register_callback(info->base_name, PLUGIN_START_UNIT, start_unit, NULL);
	register_callback(info->base_name, PLUGIN_PRE_GENERICIZE, escape_hold_inline, NULL);
	return 0;
}
