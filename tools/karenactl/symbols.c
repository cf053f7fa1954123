// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, names for addresses: elfutils' libdwfl reads the mappings of a process, the
 * symbols of what is mapped there (those for linking if it is stripped), and finds files
 * with the rest by their build ID (/usr/lib/debug, debuginfod).
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <elfutils/libdwfl.h>

#include "ctl.h"
#include "symbols.h"

struct process {
	Dwfl *dwfl;
	char program[PATH_MAX];
};

static char *debug_path;

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.debuginfo_path = &debug_path,
};

struct process *process_open(uint32_t pid)
{
	struct process *process = must_have(calloc(1, sizeof(*process)));
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (readlink(path, process->program, sizeof(process->program) - 1) < 0)
		process->program[0] = '\0';
	process->dwfl = dwfl_begin(&callbacks);
	if (process->dwfl && !dwfl_linux_proc_report(process->dwfl, pid) &&
	    !dwfl_report_end(process->dwfl, NULL, NULL))
		return process;
	process_close(process);
	return NULL;
}

void process_close(struct process *process)
{
	if (process && process->dwfl)
		dwfl_end(process->dwfl);
	free(process);
}

static void fill_module(Dwfl_Module *found, struct module *module)
{
	const unsigned char *id;
	Dwarf_Addr start, end;
	GElf_Addr where;
	const char *file = NULL;
	const char *name;
	int i, length;

	name = dwfl_module_info(found, NULL, &start, &end, NULL, NULL, &file, NULL);
	module->start = start;
	module->end = end;
	module->path = file ? file : name ? name : "?";
	length = dwfl_module_build_id(found, &id, &where);
	for (i = 0; i < length && i < 64; i++)
		snprintf(module->build_id + 2 * i, 3, "%02x", id[i]);
}

struct search {
	const char *path;
	Dwfl_Module *found;
};

static int compare(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr start,
		   void *arg)
{
	struct search *search = arg;

	(void)userdata;
	(void)start;
	if (strcmp(name, search->path))
		return DWARF_CB_OK;
	search->found = module;
	return DWARF_CB_ABORT;
}

bool process_program(struct process *process, struct module *module)
{
	struct search search = { .path = process->program };

	dwfl_getmodules(process->dwfl, compare, &search, 0);
	if (search.found)
		fill_module(search.found, module);
	return search.found;
}

void process_symbol(struct process *process, uint64_t addr, struct symbol *symbol)
{
	Dwfl_Module *module = process ? dwfl_addrmodule(process->dwfl, addr) : NULL;
	Dwfl_Line *line;
	GElf_Off offset;
	GElf_Sym sym;

	*symbol = (struct symbol){ };
	if (!module)
		return;
	symbol->name = dwfl_module_addrinfo(module, addr, &offset, &sym, NULL, NULL, NULL);
	line = dwfl_module_getsrc(module, addr);
	if (line)
		symbol->file = dwfl_lineinfo(line, NULL, &symbol->line, NULL, NULL, NULL);
	/* After the symbols have been read: it is known then where they are from. */
	fill_module(module, &symbol->module);
	symbol->has_module = true;
}

struct known_process {
	uint32_t pid;
	struct process *process;
};

struct process *processes_get(struct processes *all, uint32_t pid, bool *is_new)
{
	struct process *process;
	size_t i;

	for (i = 0; i < all->nr && all->known[i].pid != pid; i++)
		;
	if (is_new)
		*is_new = i == all->nr;
	if (i < all->nr)
		return all->known[i].process;
	process = process_open(pid);
	if (!process)
		fprintf(stderr, "karenactl: process %u: no access, its functions have no names\n",
			pid);
	all->known = must_have(reallocarray(all->known, i + 1, sizeof(*all->known)));
	all->known[all->nr++] = (struct known_process){ pid, process };
	return process;
}

void processes_close(struct processes *all)
{
	size_t i;

	for (i = 0; i < all->nr; i++)
		process_close(all->known[i].process);
	free(all->known);
}
