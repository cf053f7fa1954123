#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a test machine runs for "make bench ONLY=malloc", with the module loaded: each case
# with each malloc in turn, several times; a line for each run, which report.awk reads.
#
#   usage: run.sh [native]
#
# native is for a machine that has no module: there a stand-in is loaded before the
# library, and the cases are those that stay in user space for the most part.

set -u

here=$(cd "$(dirname "$0")" && pwd)
native=${1:-}
libs=/usr/lib/x86_64-linux-gnu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Emulation takes some 40 times as long.
objects=3000000 runs=${KARENA_RUNS:-11}
[ -n "$native" ] || objects=200000 runs=${KARENA_RUNS:-5}

declare -A library=(
	[glibc]=''
	[jemalloc]=$libs/libjemalloc.so.2
	[tcmalloc]=$libs/libtcmalloc_minimal.so.4
	[mimalloc]=$libs/libmimalloc.so.2
	[karena]=${native:+$KARENA_BUILD/lib/malloc-standin.so:}$KARENA_BUILD/lib/libkarena-malloc.so
)
peers=(glibc jemalloc tcmalloc mimalloc karena)

# each CASE COMMAND...: with each malloc; COMMAND finds the library in $PRELOAD.
each() {
	local case=$1 peer
	shift
	for peer in "${peers[@]}"; do
		PRELOAD=${library[$peer]} bench-measure malloc "$case" "$peer" "$@"
	done
}

micro() {
	local case=$1 size=$2 n=$3
	each "$case-$size" env bash -c 'LD_PRELOAD=$PRELOAD exec malloc-micro "$@"' micro \
		"$case" "$size" "$n"
}

micros() {
	local size n
	for size in 8 64 512 4096 32768 65536; do
		n=$objects
		# Pages are had anew for each.
		[ "$size" -lt 4096 ] || n=$((objects / 10))
		micro pair "$size" "$n"
		micro batch "$size" "$n"
	done
	micro small 1024 "$objects"
	micro large 1024 "$objects"
	# Two threads that wait for each other in loops.
	[ "$(nproc)" -eq 1 ] || micro pipe 64 "$objects"
	[ -n "$native" ] || inline
}

# The same objects without a call: of a heap, cleared, by a size that the compiler knows.
inline() {
	local case
	for case in pair batch; do
		bench-measure malloc "$case-64" inline malloc-inline "$case" 64 "$objects"
	done
}

for ((i = 0; i < runs; i++)); do
	micros
done
[ -n "$native" ] || for ((i = 0; i < ${KARENA_RUNS:-3}; i++)); do
	each redis "$here/program.sh" redis "$work"
	each sqlite "$here/program.sh" sqlite "$work"
	each python "$here/program.sh" python "$work"
done
