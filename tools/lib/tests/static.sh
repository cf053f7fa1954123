#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What can be said of libkarena without running it: what it exports, that its
# header stands alone in C and C++, that pkg-config and the manual are right.
# Prints TAP.
#
#   usage: static.sh BUILD SOURCE

build=$1 source=$2
tests=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect NAME COMMAND...: has to succeed.
expect() {
	tests=$((tests + 1))
	name=$1
	shift
	if "$@" >"$work/log" 2>&1; then
		echo "ok $tests - $name"
	else
		failed=$((failed + 1))
		echo "not ok $tests - $name"
		sed 's/^/# /' "$work/log"
	fi
}

# One name a line: in the header, in the version script, in the library.
declared() {
	grep -o '\bkarena_[a-z_]*() - ' "$source/karena.h" | cut -d'(' -f1 | sort
}
listed() {
	sed -n 's/^\t\(karena_[a-z_]*\);$/\1/p' "$source/libkarena.map" | sort
}
exported() {
	nm -D --defined-only "$build/lib/libkarena.so.0" |
		sed -n 's/.* T \(.*\)@@.*/\1/p' | sort
}
same() { "$1" >"$work/a"; "$2" >"$work/b"; diff "$work/a" "$work/b" && [ -s "$work/a" ]; }
documented() {
	for f in $(declared); do
		grep -q "\.BI.*$f(" "$source"/man/*.3 || { echo "$f"; return 1; }
	done
}
# The program at the top of the header is examples/collect.c, but for its head.
same_program() {
	sed -n '/^ \*\t#include <stdio/,/^ \*\t}$/s/^ \*\t\{0,1\}//p' "$source/karena.h" >"$work/a"
	sed '1,/^ \*\/$/d' "$source/examples/collect.c" >"$work/b"
	diff "$work/a" "$work/b"
}
soname() { readelf -d "$build/lib/libkarena.so.0" | grep -q 'SONAME.*\[libkarena.so.0\]'; }
compiles() {
	echo '#include <karena.h>' >"$work/t.$2"
	"$1" -x "$3" -Wall -Wextra -Wpedantic -Werror -I"$build/include" \
		-fsyntax-only "$work/t.$2"
}
pkg() { PKG_CONFIG_PATH=$build/lib pkg-config --libs karena | grep -q -- -lkarena; }
mandoc_clean() { for f in "$source"/man/*.[0-9]; do mandoc -Tlint -W warning "$f" || return 1; done; }

expect 'each declared function is in the version script' same declared listed
expect 'each listed function is exported, and no other' same listed exported
expect 'each function is in a manual page' documented
expect 'the program in the header is the example' same_program
expect 'the soname is libkarena.so.0' soname
expect 'the header compiles as C' compiles "${CC:-gcc}" c c
command -v g++ >/dev/null && expect 'the header compiles as C++' compiles g++ cc c++
expect 'pkg-config knows the library' pkg
command -v mandoc >/dev/null && expect 'mandoc finds nothing in the pages' mandoc_clean
echo "1..$tests"
[ "$failed" -eq 0 ]
