#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a test machine runs for "make bench ONLY=life-cycle", with the module loaded: all
# cases, several times.  The cases are in the other scripts of this folder; each prints
# lines that report.awk reads, by case_of and run.

set -u

here=$(cd "$(dirname "$0")" && pwd)
libs=/usr/lib/x86_64-linux-gnu many=1000000 runs=${KARENA_RUNS:-5}
# User space is not slow there.
[ "$KARENA_MACHINE" != uml ] || many=10000000

# case_of NAME PEER TARGET: of the runs that follow; karena is to be TARGET times better.
case_of() {
	name=$1
	printf 'life-cycle case=%s against=%s target=%s\n' "$1" "$2" "$3"
}

# run PEER COMMAND...: prints ps=N, or another unit that report.awk knows.
run() {
	bench-measure life-cycle "$name" "$@"
}

# For the scripts.
export libs many
for ((i = 0; i < runs; i++)); do
	for script in "$here"/*.sh; do
		# shellcheck source=/dev/null
		[ "$script" = "$here/run.sh" ] || . "$script"
	done
done
