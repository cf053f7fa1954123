#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What "make bench ONLY=escape" runs: each example with all objects from the heap and as
# karena-escape has rewritten it, in turn; a line for each run, which report.awk reads.
#
#	run.sh		in a test machine, with the module loaded: times
#	run.sh count	on this one, with a stand-in for the library: objects
#
# bench.sh has built escape-NAME-heap and escape-NAME-escape, and the same with -count.

set -u

runs=${KARENA_RUNS:-7}
declare -A rounds=([bodies]=200000 [lines]=50000)

if [ "${1:-}" = count ]; then
	counts=$(mktemp)
	trap 'rm -f "$counts"' EXIT
	for name in bodies lines collect; do
		for peer in heap escape; do
			printf 'escape case=%s peer=%s ' "$name" "$peer"
			"escape-$name-$peer-count" 2>"$counts" >/dev/null && cat "$counts"
		done
	done
	exit 0
fi
for ((i = 0; i < runs; i++)); do
	for name in bodies lines; do
		for peer in heap escape; do
			bench-measure escape "$name" "$peer" "escape-$name-$peer" "${rounds[$name]}" |
				grep -a '^escape \|status=' | tr '\n' ' '
			echo
		done
	done
done
