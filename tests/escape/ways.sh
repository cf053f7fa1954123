#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# karena-escape in the ways in which compilers are used: many at a time, with LTO, for
# shared libraries, with sanitizers, and wrongly.  Prints a line for each, as check.sh does.
#
#   usage: ways.sh BUILD

set -u

build=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
plugin=(-fplugin="$build/lib/karena_escape.so")
arg=-fplugin-arg-karena_escape
include=(-I"$build/include" -I"$here")
bad=0
cd "$work" || exit 1

# result NAME: what the command before it came to.
result() {
	if [ "$?" -eq 0 ]; then
		echo "ok escape/$1"
	else
		echo "not ok escape/$1"
		sed 's/^/    /' out | tail -n 20
		bad=1
	fi
}

cat >a.c <<'END'
#include <stdio.h>
#define KARENA_NO_INLINE
#include <karena.h>
#include "standin.h"
__attribute__((__noinline__)) int number(int *p);
int use(struct karena *heap);
int use(struct karena *heap)
{
	int *p = karena_alloc(heap, sizeof(*p));
	*p = 20;
	return number(p) + 1;
}
static inline int *make(struct karena *heap)
{
	return karena_alloc(heap, 4);
}
int main(void)
{
	printf("%d %d\n", use(0), *make(0) + *make(0));
	fprintf(stderr, "%lu objects\n", standin_heap);
	return 0;
}
int number(int *p)
{
	return *p + 1;
}
END
gcc "${include[@]}" -c "$here/standin.c" -o standin.o

# Compilers side by side: each line is whole, and none is missing.
parallel() {
	local i
	for i in {1..24}; do
		cp a.c "p$i.c"
		printf 'p%d.o: p%d.c\n\tgcc -O2 %s -c $< -o $@\n' "$i" "$i" \
			"${plugin[*]} ${include[*]} $arg-json=$work/all.json"
	done >makefile
	make -s -j 8 p{1..24}.o >out 2>&1 || return 1
	python3 - <<-'END' >>out 2>&1
	import collections, json
	units = collections.Counter(json.loads(line)["unit"] for line in open("all.json"))
	assert len(units) == 24 and len(set(units.values())) == 1, units
	END
}
parallel
result parallel-make

# The order is that of the source; what is inlined twice is told once.
order() {
	gcc -O2 "${plugin[@]}" "${include[@]}" $arg-report -c a.c -o a.o 2>out || return 1
	grep '^a.c:[0-9]*:[0-9]*: ' out | sort -t: -k2,2n -k3,3n -c &&
		[ "$(grep -c ': karena_alloc ' out)" -eq 2 ]
}
order
result order

# Link-time optimization: told when it is compiled, moved in what is linked.
lto() {
	gcc -O2 -flto "${plugin[@]}" "${include[@]}" $arg-report $arg-rewrite a.c standin.o \
		-o a 2>out || return 1
	[ "$(grep -c 'karena_alloc moved to stack' out)" -eq 2 ] || return 1
	./a >>out 2>&1 && grep -qx '22 0' out && grep -qx '0 objects' out
}
lto
result lto

# In a shared library number() may be another one when it runs.
pic() {
	gcc -O2 -fPIC "${plugin[@]}" "${include[@]}" $arg-report -c a.c -o a.o 2>out || return 1
	grep -q 'a.c:9:11: karena_alloc escapes to heap: passed to number' out || return 1
	gcc -O2 -fPIC -fno-semantic-interposition "${plugin[@]}" "${include[@]}" $arg-report \
		$arg-rewrite -c a.c -o a.o 2>out || return 1
	grep -q 'a.c:9:11: karena_alloc moved to stack' out
}
pic
result fPIC

sanitizers() {
	local option
	for option in -fsanitize=address -fsanitize=undefined -fsanitize=thread; do
		gcc -O1 $option "${plugin[@]}" "${include[@]}" $arg-report $arg-rewrite -c a.c \
			-o a.o 2>out || return 1
		grep -q 'note: karena-escape moves nothing' out || return 1
		! grep -q 'moved to' out || return 1
	done
}
sanitizers
result sanitizers

# refused OPTION...: an error, and nothing compiled.
refused() {
	rm -f a.o
	! gcc "${plugin[@]}" "${include[@]}" "$@" -c a.c -o a.o 2>>out && [ ! -e a.o ]
}
wrong() {
	: >out
	refused $arg-unknown && refused $arg-report=7 && refused $arg-json &&
		refused $arg-rewrite=heap && refused $arg-object=0 && refused $arg-frame=x &&
		refused $arg-json=/nowhere/file
}
wrong
result wrong-options

limits() {
	gcc -O2 "${plugin[@]}" "${include[@]}" $arg-report $arg-rewrite=stack $arg-object=3 \
		-c a.c -o a.o 2>out || return 1
	grep -q 'a.c:9:11: karena_alloc does not escape: it is too large' out
}
limits
result limits

# C++, and the header without the plugin, which has no attribute that is not known.
header() {
	printf '%s\n' '#include <karena.h>' 'int f(struct karena *h);' 'int f(struct karena *h)' \
		'{ int *p = (int *)karena_alloc(h, 4); *p = 1; return *p; }' >h.cc
	cp h.cc h.c
	g++ -O2 -Wall -Wextra -Werror "${include[@]}" -c h.cc -o h.o 2>out &&
		gcc -O2 -Wall -Wextra -Werror "${include[@]}" -c h.c -o h.o 2>out &&
		g++ -O2 "${plugin[@]}" "${include[@]}" $arg-report $arg-rewrite -c h.cc -o h.o \
			2>out && grep -q 'moved to stack' out
}
header
result header

exit $bad
