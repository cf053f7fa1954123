#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the benchmarks in test machines: what "make bench" calls.
#
#   usage: bench.sh [NAME]
#
#   slab    the module against kmem_cache, on UML at native speed and on the
#           stock Debian 6.1
#
# Prints tables, writes build/bench.jsonl.  One machine at a time, so that they
# do not disturb each other.  Exit status 1 if a ratio stays below its target.

. "$(dirname "$0")/lib.sh"

json=$KARENA_BUILD/bench.jsonl
missed=0

# in_machine NAME KERNEL: kernel benchmark NAME, whose results are in the log.
# Debian's kernels zero all memory at its allocation; what is compared without
# zeroing is to be without.
in_machine() {
	local name=$1 kernel=$2 run=bench-$1-$2
	"$KARENA_VM/build.sh" "$kernel" >/dev/null
	say "benchmark $name on $kernel"
	"$KARENA_VM/run.sh" --name "$run" --memory 2G --timeout 1800 \
		--append "init_on_alloc=0" "$kernel" -- \
		"$KARENA_VM/guest.sh" bench >&2 || exit 1
	echo "$name on $kernel"
	awk -v machine="$kernel" -v json="$json" -f "$KARENA_TOP/tests/bench/report.awk" \
		"$KARENA_BUILD/vm/logs/$run.kernel.log" || missed=1
	echo
}

bench_slab() {
	in_machine slab uml
	in_machine slab stock-6.1
}

all=(slab)
[ $# -eq 0 ] || all=("$@")
rm -f "$json"
for name in "${all[@]}"; do
	declare -F "bench_$name" >/dev/null || die "no benchmark is called $name"
	"bench_$name"
done
echo "results in $json"
exit $missed
