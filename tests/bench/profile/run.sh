#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a test machine runs for "make bench ONLY=profile", with the module loaded: programs
# with malloc from karena, with their heaps sampled at the usual rate and without, in turn;
# a line for each run, which overhead.awk reads.

set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runs=${KARENA_RUNS:-5}
export PRELOAD=$KARENA_BUILD/lib/libkarena-malloc.so
# So that what a profile costs a process once is not taken for what it costs all the time.
export KARENA_ROWS=100000

# each CASE COMMAND...: sampled and not.
each() {
	local case=$1
	shift
	KARENA_MALLOC_PROFILE=524288 bench-measure profile "$case" with "$@"
	KARENA_MALLOC_PROFILE=0 bench-measure profile "$case" without "$@"
}

micro() {
	# shellcheck disable=SC2016 # for the shell inside
	each "$1-$2" env bash -c 'LD_PRELOAD=$PRELOAD exec malloc-micro "$@"' micro "$@"
}

for ((i = 0; i < runs; i++)); do
	for program in redis sqlite python; do
		each "$program" "$here/../malloc/program.sh" "$program" "$work"
	done
	micro small 1024 200000
	micro pair 64 1000000
done
