#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a test machine runs for "make bench ONLY=user-gc", with the module loaded: the
# programs one after the other, several times in turn; a line for each run, which
# report.awk reads.  With $KARENA_STEPS only what a program pays for each of its steps,
# for a machine whose time is that of its instructions.
#
#   usage: run.sh [RUNS]

runs=${1:-3}
depth=14

# once CASE PEER PROGRAM ARGUMENT...: report.awk sees it if that fails
once() {
	local case=$1 peer=$2 program=$3
	shift 3
	bench-measure user-gc "$case" "$peer" "user-gc-$program" "$@"
}

# all_peers CASE PROGRAM_ARGUMENT...
all_peers() {
	local case=$1
	shift
	once "$case" karena karena "$@"
	once "$case" boehm boehm "$@"
	once "$case" go go "$@"
}

steps() {
	local i
	for ((i = 0; i < runs; i++)); do
		once read-mostly karena graph walk 32 1
		once read-mostly barrier graph walk 32 1 barrier
		once 1%-writes karena graph walk 32 10
		once 1%-writes barrier graph walk 32 10 barrier
		once write-heavy karena graph walk 32 1000
		once write-heavy barrier graph walk 32 1000 barrier
		once pages karena graph pages 64
	done
}

# All runs have the same instructions there.
if [ -n "${KARENA_STEPS:-}" ]; then
	runs=1
	steps
	exit
fi

for ((i = 0; i < runs; i++)); do
	all_peers trees trees $depth
	all_peers gcbench gcbench $depth
done

# Threads of a process take turns under UML: no pause is to be seen there.
case $KARENA_MACHINE in
uml*)	;;
*)	once pauses nobody karena nothing 5 spin
	all_peers pauses trees $depth spin ;;
esac

once lru karena lru 60
steps
once pause-64M karena graph pause 64
once pause-1G karena graph pause 1024

# Its processes have no more mappings on the host than that allows (vm.max_map_count), and
# each page that is not beside the one before takes one.
case $KARENA_MACHINE in
uml*)	;;
*)	once dump-1G karena graph dump 1024 ;;
esac
