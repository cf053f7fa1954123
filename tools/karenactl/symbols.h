/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: what the addresses of a process are.
 */
#ifndef KARENACTL_SYMBOLS_H
#define KARENACTL_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process;

/* A file that a process has mapped. */
struct module {
	uint64_t start;
	uint64_t end;
	const char *path;
	char build_id[130];	/* in hex, or empty */
};

/* Texts are good as long as the process is open. */
struct symbol {
	const char *name;	/* of the function, or NULL */
	const char *file;	/* of the source, or NULL */
	int line;
	bool has_module;
	struct module module;
};

/* Those that have been asked for, each opened once. */
struct processes {
	struct known_process *known;
	size_t nr;
};

/* NULL if it cannot be looked into, which is told once.  @is_new may be NULL. */
struct process *processes_get(struct processes *all, uint32_t pid, bool *is_new);
void processes_close(struct processes *all);

/* NULL if it cannot be looked into, or is gone. */
struct process *process_open(uint32_t pid);
void process_close(struct process *process);
/* The program itself; false if that is not known. */
bool process_program(struct process *process, struct module *module);
void process_symbol(struct process *process, uint64_t addr, struct symbol *symbol);

#endif /* KARENACTL_SYMBOLS_H */
