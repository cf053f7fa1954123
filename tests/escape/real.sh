#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Real programs through karena-escape: Debian's sources of zlib and of zstd, with malloc() and
# its family taken for allocators.  Nothing is moved.  No crash, the same objects as without,
# verdicts for each call that there is, and at most 1.15 times the CPU time.
#
#	usage: real.sh BUILD

. "$(dirname "$0")/../../tools/vm/lib.sh"

build=$(realpath "$1")
folder=$KARENA_CACHE/escape
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runs=3
most=1.15

# What malloc() and its family are to the plugin.
cat >"$work/tag.h" <<-'END'
	#include <stddef.h>
	extern void *malloc(size_t) __attribute__((karena_allocator, alloc_size(1)));
	extern void *calloc(size_t, size_t) __attribute__((karena_allocator, alloc_size(1, 2)));
	extern void free(void *) __attribute__((karena_deallocator(1)));
END

# fetch PACKAGE: prints the folder of its source.
fetch() {
	if [ ! -e "$folder/$1" ]; then
		apt_update bookworm >&2
		rm -rf "$folder/$1.new" && mkdir -p "$folder/$1.new"
		(
			cd "$folder/$1.new" || exit
			apt_private bookworm source --download-only "$1" >&2
			dpkg-source --no-check -x ./*.dsc tree >&2
		)
		mv "$folder/$1.new" "$folder/$1"
	fi
	echo "$folder/$1/tree"
}

# cpu_of COMMAND...: milliseconds of CPU time, its children's included.
cpu_of() {
	local TIMEFORMAT='%U %S'
	{ time "$@" >/dev/null 2>>"$work/errors" || true; } 2>&1 | awk '{ printf "%d", ($1 + $2) * 1000 }'
}

# compile OUT OPTION...: all files of $files.
compile() {
	local out=$1 file
	shift
	for file in "${files[@]}"; do
		gcc -O2 -w "${options[@]}" "$@" -c "$file" -o "$out/$(basename "$file").o" || return 1
	done
}

median() {
	sort -n | sed -n "$((runs / 2 + 1))p"
}

# check NAME: what compiles files with options.
check() {
	local name=$1 plugin lines i with without ratio verdicts
	local plain=$work/$name-plain mine=$work/$name-mine
	mkdir -p "$plain" "$mine"
	plugin=("-fplugin=$build/lib/karena_escape.so" -include "$work/tag.h"
		"-fplugin-arg-karena_escape-json=$work/$name.json")
	: >"$work/errors"
	for ((i = 0; i < runs; i++)); do
		cpu_of compile "$plain" >>"$work/$name.without"
		echo >>"$work/$name.without"
		rm -f "$work/$name.json"
		cpu_of compile "$mine" "${plugin[@]}" >>"$work/$name.with"
		echo >>"$work/$name.with"
	done
	without=$(median <"$work/$name.without")
	with=$(median <"$work/$name.with")
	ratio=$(awk -v a="$with" -v b="$without" 'BEGIN { printf "%.3f", a / b }')
	lines=$(cat "${files[@]}" | wc -l)
	verdicts=$(grep -c '"kind":"allocation"' "$work/$name.json" || true)
	if [ -s "$work/errors" ] || [ "$verdicts" -eq 0 ] || [ "$lines" -lt 10000 ]; then
		echo "not ok escape/real-$name # $lines lines, $verdicts allocations"
		sed 's/^/    /' "$work/errors" | head -n 20
	elif ! same "$plain" "$mine"; then
		echo "not ok escape/real-$name # other code than without the plugin"
	else
		awk -v r="$ratio" -v most=$most 'BEGIN { exit r > most }' || printf 'not '
		echo "ok escape/real-$name # $lines lines, $verdicts allocations, $ratio times the" \
			"time ($with ms, not $without, medians of $runs)"
	fi
}

# The analysis alone changes nothing in the code.
same() {
	local file
	for file in "$1"/*.o; do
		cmp -s <(objdump -d "$file" | tail -n +4) \
			<(objdump -d "$2/$(basename "$file")" | tail -n +4) || return 1
	done
}

tree=$(fetch zlib)
mapfile -t files < <(find "$tree" "$tree"/contrib/minizip "$tree"/examples -maxdepth 1 -name '*.c' \
	! -name 'iowin*' ! -name 'minizip.c' ! -name 'miniunz.c' | sort)
options=("-I$tree" "-I$tree/contrib/minizip" -DHAVE_UNISTD_H -D_LARGEFILE64_SOURCE)
check zlib
tree=$(fetch libzstd)
mapfile -t files < <(find "$tree"/lib/{common,compress,decompress,dictBuilder} -name '*.c' | sort)
options=("-I$tree/lib" "-I$tree/lib/common" -DZSTD_DISABLE_ASM)
check zstd
