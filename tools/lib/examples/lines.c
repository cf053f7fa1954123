// SPDX-License-Identifier: GPL-2.0
/*
 * Palindromes among the words of made-up lines.  Words are a list that is dropped with its
 * line, and nothing is freed by hand.  Built with karena-escape(1) the lists come from a
 * scope, which ends with the line:
 *
 *	cc -O2 -fplugin=karena_escape -fplugin-arg-karena_escape-rewrite \
 *	   lines.c $(pkg-config --cflags --libs karena) -o lines
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <karena.h>

#define LINE	200

struct word {
	struct word *next;
	size_t length;
	char text[32];
};

static struct karena *heap;
static size_t longest;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* The same each time: letters and spaces. */
static void make_line(char *line, unsigned int number)
{
	unsigned int state = number * 2654435761u + 1, i;

	for (i = 0; i < LINE - 1; i++) {
		state = state * 1664525 + 1013904223;
		line[i] = state >> 28 < 3 ? ' ' : 'a' + (state >> 24) % 3;
	}
	line[i] = 0;
}

static int is_palindrome(const struct word *word)
{
	size_t i;

	for (i = 0; i < word->length / 2; i++)
		if (word->text[i] != word->text[word->length - 1 - i])
			return 0;
	return 1;
}

static size_t word_length(const char *at)
{
	size_t length = strcspn(at, " ");

	return length < sizeof(((struct word *)0)->text) ? length :
							   sizeof(((struct word *)0)->text) - 1;
}

static unsigned int read_line(const char *line)
{
	struct word *words = NULL, *word;
	unsigned int found = 0;
	const char *at;

	for (at = line + strspn(line, " "); *at; at += strspn(at, " ")) {
		word = karena_alloc(heap, sizeof(*word));
		if (!word)
			die("karena_alloc");
		word->length = word_length(at);
		memcpy(word->text, at, word->length);
		word->next = words;
		words = word;
		at += word->length;
	}
	for (word = words; word; word = word->next) {
		if (!is_palindrome(word))
			continue;
		found++;
		if (word->length > longest)
			longest = word->length;
	}
	return found;
}

int main(int argc, char **argv)
{
	struct karena_options opts = { .flags = KARENA_COLLECT };
	unsigned int lines = argc > 1 ? atoi(argv[1]) : 20000, found = 0, i;
	char line[LINE];

	heap = karena_open(&opts);
	if (!heap)
		die("karena_open");
	for (i = 0; i < lines; i++) {
		make_line(line, i);
		found += read_line(line);
	}
	printf("%u palindromes, the longest of %zu letters\n", found, longest);
	karena_close(heap);
	return 0;
}
