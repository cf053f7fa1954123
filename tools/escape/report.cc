// SPDX-License-Identifier: GPL-2.0
/*
 * What is told of allocations and parameters: text as Go's compiler has it, in the order
 * of the source, each place once; and a JSON object a line, appended by one write, so that
 * compilers that run side by side do not disturb each other.
 */
#include "escape.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

struct line {
	std::string file;
	int row, column;
	std::string text, json;
	std::vector<std::string> flow;
	int weight;		/* of several for one place the heaviest is told */
};

typedef std::tuple<std::string, int, int, std::string> place;

static std::map<place, struct line> lines;

static const char *const words[] = {
	"moved to stack", "moved to scope", "does not escape", "escapes to heap",
};
static const char *const names[] = { "stack", "scope", "stays", "escapes" };

static std::string quoted(const std::string &text)
{
	std::string out = "\"";

	for (unsigned char c : text) {
		char hex[8];

		if (c == '"' || c == '\\') {
			out += '\\';
			out += c;
		} else if (c < ' ') {
			snprintf(hex, sizeof(hex), "\\u%04x", c);
			out += hex;
		} else {
			out += c;
		}
	}
	return out + "\"";
}

static void add_line(location_t at, const std::string &what, struct line line)
{
	expanded_location where = expand_location(at);

	if (!where.file)
		return;
	line.file = where.file;
	line.row = where.line;
	line.column = where.column;
	line.json = "{\"unit\":" + quoted(main_input_filename) + ",\"file\":" + quoted(where.file) +
		    ",\"line\":" + std::to_string(where.line) +
		    ",\"column\":" + std::to_string(where.column) + "," + line.json + "}\n";

	auto found = lines.insert({ place(line.file, line.row, line.column, what), line });

	if (!found.second && found.first->second.weight < line.weight)
		found.first->second = line;
}

/* What stands on the left of an assignment, about as the source has it. */
static std::string expression(tree t)
{
	tree base;

	switch (TREE_CODE(t)) {
	case COMPONENT_REF:
		base = TREE_OPERAND(t, 0);
		if (!DECL_NAME(TREE_OPERAND(t, 1)))
			return expression(base);
		if (TREE_CODE(base) == MEM_REF && TREE_CODE(TREE_OPERAND(base, 0)) == SSA_NAME)
			return expression(TREE_OPERAND(base, 0)) + "->" +
			       IDENTIFIER_POINTER(DECL_NAME(TREE_OPERAND(t, 1)));
		return expression(base) + "." + IDENTIFIER_POINTER(DECL_NAME(TREE_OPERAND(t, 1)));
	case ARRAY_REF:
		return expression(TREE_OPERAND(t, 0)) + "[]";
	case MEM_REF:
		if (TREE_CODE(TREE_OPERAND(t, 0)) == ADDR_EXPR)
			return expression(TREE_OPERAND(TREE_OPERAND(t, 0), 0));
		return "*" + expression(TREE_OPERAND(t, 0));
	case SSA_NAME:
		return SSA_NAME_VAR(t) ? expression(SSA_NAME_VAR(t)) : "(...)";
	default:
		return DECL_P(t) && DECL_NAME(t) ? IDENTIFIER_POINTER(DECL_NAME(t)) : "(...)";
	}
}

std::string escape_text(const struct flow &flow)
{
	tree lhs = flow.stmt && (is_gimple_assign(flow.stmt) || is_gimple_call(flow.stmt)) ?
			   gimple_get_lhs(flow.stmt) : NULL_TREE;

	if (!lhs || (flow.what != "stored" && flow.what != "assigned"))
		return flow.what;
	return flow.what + (flow.what == "stored" ? " in " : " to ") + expression(lhs);
}

/* The same with its line in front. */
std::string escape_step(const struct flow &flow)
{
	std::string line = flow.stmt && gimple_has_location(flow.stmt) ?
				   std::to_string(gimple_lineno(flow.stmt)) : "?";

	return line + ": " + escape_text(flow);
}

/* The name of the variable that it is for, if there is one. */
static std::string variable_of(const gcall *call)
{
	tree lhs = gimple_call_lhs(call);
	tree var = lhs && TREE_CODE(lhs) == SSA_NAME ? SSA_NAME_VAR(lhs) : lhs;

	if (!var || !DECL_P(var) || !DECL_NAME(var) || DECL_ARTIFICIAL(var))
		return "";
	return IDENTIFIER_POINTER(DECL_NAME(var));
}

static std::string sentence(const struct site *site)
{
	std::string name = escape_name(gimple_call_fndecl(site->call));
	std::string text = name + " " + words[site->verdict];

	if (site->verdict == VERDICT_STACK && !site->size.known)
		text += " (up to " + std::to_string(site->size.guess) + " bytes)";
	else if (site->verdict <= VERDICT_SCOPE && site->size.known)
		text += " (" + std::to_string(site->size.bytes) + " bytes)";
	if (!site->why.empty())
		text += ": " + site->why;
	if (site->why_line)
		text += " (line " + std::to_string(site->why_line) + ")";
	return text;
}

static std::string json_of_site(const graph *g, const struct site *site)
{
	std::string json = "\"kind\":\"allocation\",\"function\":" +
			   quoted(escape_name(g->fn->decl)) + ",\"allocator\":" +
			   quoted(escape_name(gimple_call_fndecl(site->call))) +
			   ",\"variable\":" + quoted(variable_of(site->call)) +
			   ",\"verdict\":\"" + names[site->verdict] + "\"";

	if (site->size.known)
		json += ",\"bytes\":" + std::to_string(site->size.bytes);
	json += ",\"reason\":" + quoted(site->why);
	if (site->why_line)
		json += ",\"reason_line\":" + std::to_string(site->why_line);
	json += ",\"flow\":[";
	for (const std::string &step : site->flow)
		json += (&step == &site->flow[0] ? "" : ",") + quoted(step);
	return json + "]";
}

void escape_report_sites(graph *g, const std::vector<struct site> &sites)
{
	for (const struct site &site : sites) {
		struct line line = {};
		struct site told = site;

		/* Without the rewrite nothing is moved: only said to be fit for it. */
		if (!escape_options.rewrite && site.verdict < VERDICT_STAYS) {
			told.verdict = VERDICT_STAYS;
			told.why.clear();
		}
		line.weight = told.verdict;
		line.text = sentence(&told);
		line.json = json_of_site(g, &told);
		line.flow = told.flow;
		add_line(gimple_location(site.call), "", line);
	}
}

static std::string name_of_param(const graph *g, unsigned int nr)
{
	tree parm = g->objects[g->params_at(nr, 0)].decl;

	return DECL_NAME(parm) ? IDENTIFIER_POINTER(DECL_NAME(parm)) : "a parameter";
}

/* Number of another parameter, plus 1, in whose memory it is stored; 0: in none. */
static int stored_in(const graph *g, unsigned int nr)
{
	for (const struct object &o : g->objects)
		for (unsigned int content : o.content)
			if (g->nodes[content].outer && o.param != nr &&
			    g->has(content, g->params_at(nr, 0)))
				return o.param + 1;
	return 0;
}

static void report_param(graph *g, tree parm, unsigned int nr)
{
	bool leaks = g->has(g->escaped, g->params_at(nr, 0));
	bool returned = g->has(g->result, g->params_at(nr, 0)), content = false, part = false;
	std::string name = IDENTIFIER_POINTER(DECL_NAME(parm));
	struct line line = {};

	for (unsigned int level = 1; level < LEVELS; level++) {
		content |= g->has(g->escaped, g->params_at(nr, level));
		part |= g->has(g->result, g->params_at(nr, level));
	}
	if (leaks)
		line.text = "leaking param: " + name;
	else if (content)
		line.text = "leaking param content: " + name;
	else if (int to = stored_in(g, nr))
		line.text = "leaking param: " + name + " to content of " + name_of_param(g, to - 1);
	else if (returned)
		line.text = "leaking param: " + name + " to result level=0";
	else if (part)
		line.text = "leaking param: " + name + " to result level=1";
	else
		line.text = name + " does not escape";
	line.json = "\"kind\":\"parameter\",\"function\":" + quoted(escape_name(g->fn->decl)) +
		    ",\"parameter\":" + quoted(name) + ",\"verdict\":" + quoted(line.text);
	if (leaks || content)
		for (graph::step step : g->trace(g->escaped,
						 g->params_at(nr, leaks ? 0 : 1 + CLASS_POINTER)))
			if (step.why)
				line.flow.insert(line.flow.begin(), escape_step(g->flows[step.why]));
	add_line(DECL_SOURCE_LOCATION(parm), name, line);
}

void escape_report_params(graph *g)
{
	unsigned int nr = 0;

	/* Not those of headers, which each unit would tell again. */
	if (strcmp(LOCATION_FILE(DECL_SOURCE_LOCATION(g->fn->decl)), main_input_filename))
		return;
	for (tree parm = DECL_ARGUMENTS(g->fn->decl); parm; parm = DECL_CHAIN(parm), nr++)
		if (POINTER_TYPE_P(TREE_TYPE(parm)) && DECL_NAME(parm) && !DECL_ARTIFICIAL(parm))
			report_param(g, parm, nr);
}

static void print(const struct line *line)
{
	fprintf(stderr, "%s:%d:%d: %s\n", line->file.c_str(), line->row, line->column,
		line->text.c_str());
	if (escape_options.report < 2)
		return;
	for (const std::string &step : line->flow)
		fprintf(stderr, "%s:%d:%d:   flow: line %s\n", line->file.c_str(), line->row,
			line->column, step.c_str());
}

static void append(const char *path, const std::string &text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	bool good;

	if (fd < 0) {
		error("cannot open %qs: %m", path);
		return;
	}
	/* One write appends all; the lock is for file systems that do not know that. */
	flock(fd, LOCK_EX);
	good = write(fd, text.data(), text.size()) == (ssize_t)text.size();
	if (close(fd) || !good)
		error("cannot write to %qs: %m", path);
}

void escape_report_flush()
{
	std::string json;

	for (auto &entry : lines) {
		if (escape_options.report)
			print(&entry.second);
		json += entry.second.json;
	}
	if (escape_options.json && !json.empty())
		append(escape_options.json, json);
}
