// SPDX-License-Identifier: GPL-2.0
/* Running karenactl: see tool.h. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "tool.h"

char tool_text[4 << 20];

/* In hex, or as JSON has it: what the upper half of the addresses begins with. */
static bool has_kernel_address(void)
{
	const char *at;
	size_t digits;

	for (at = tool_text; *at; at += digits ? digits : 1) {
		for (digits = 0; isxdigit((unsigned char)at[digits]); digits++)
			;
		if (digits == 16 && !strncasecmp(at, "ffff", 4))
			return true;
		if (digits == 20 && !strncmp(at, "1844", 4))
			return true;
	}
	return false;
}

int run(const char *fmt, ...)
{
	char command[1024];
	size_t n = 0, some;
	va_list args;
	FILE *pipe;
	int status;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command) - sizeof(" 2>&1"), fmt, args);
	va_end(args);
	strcat(command, " 2>&1");
	pipe = popen(command, "r");
	while (pipe && (some = fread(tool_text + n, 1, sizeof(tool_text) - 1 - n, pipe)))
		n += some;
	tool_text[n] = '\0';
	status = pipe ? pclose(pipe) : -1;
	if (!check(!has_kernel_address()))
		tap_diag("an address of the kernel: %s", command);
	return status < 0 ? status : status >> 8;
}

bool says(const char *what)
{
	if (check(strstr(tool_text, what)))
		return true;
	tap_diag("no '%s' in: %.500s", what, tool_text);
	return false;
}

long long json(const char *name)
{
	char key[64];
	char *at;

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(tool_text, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}
