#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a test machine runs for "make bench ONLY=trace": programs on a module that has no
# trace events, on one whose events are off, and on the same with all of them on, in turn;
# a line for each run, which overhead.awk reads.

set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runs=${KARENA_RUNS:-5}
events=/sys/kernel/tracing/events/karena/enable
export PRELOAD=$KARENA_BUILD/lib/libkarena-malloc.so

# once CASE PEER: refills and flushes all the time; cycles; and a real program.
once() {
	# shellcheck disable=SC2016 # for the shell inside
	bench-measure trace "calls$1" "$2" env bash -c \
		'LD_PRELOAD=$PRELOAD exec malloc-micro "$@"' micro small 4096 1000000
	bench-measure trace "trees$1" "$2" user-gc-karena trees 13
	bench-measure trace "redis$1" "$2" "$here/../malloc/program.sh" redis "$work"
}

for ((i = 0; i < runs; i++)); do
	insmod "$KARENA_MODULES-untraced/karena.ko" || exit 1
	once '' without
	rmmod karena && insmod "$KARENA_KO" || exit 1
	once '' with
	once '-on' without
	echo 1 >"$events" || exit 1
	once '-on' with
	echo 0 >"$events"
	rmmod karena || exit 1
done
