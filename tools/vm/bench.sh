#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the benchmarks in test machines: what "make bench" calls.
#
#   usage: bench.sh [NAME]
#
#   slab    the module against kmem_cache, on UML at native speed and on the
#           stock Debian 6.1
#   mark    the collector against Boehm's and Go's, on this machine and on UML,
#           whose memory is in huge pages if this user may ask for them, as the
#           linear mapping of other kernels is
#   user-gc collected heaps of programs against Boehm's collector and Go's, in the
#           stock Debian 6.1 and on UML, where user space has native speed but no
#           two threads of a process run at a time; and what the barrier costs steps of a
#           program, in instructions
#   malloc  libkarena-malloc against four others, in the stock Debian 6.1; and on this
#           machine, with a stand-in for the module (tests/bench/malloc/standin.c)
#   life-cycle  scopes against malloc, pools against Go's and kmem_cache, coroutines
#           against switches by hand, return of memory, on the stock Debian 6.1 and on UML
#   profile programs with malloc from karena, sampled and not, in the stock Debian 6.1,
#           whose instructions are counted
#   trace   programs on a module without trace events, with them off, and on, likewise
#   escape  the library's examples as karena-escape has rewritten them: objects of the
#           heap that there are not any more, counted on this machine with a stand-in for
#           the library, and instructions in the stock Debian 6.1
#
# Prints tables, writes build/bench.jsonl.  One machine at a time, so that they
# do not disturb each other.  Exit status 1 if a ratio stays below its target.

. "$(dirname "$0")/lib.sh"

json=$KARENA_BUILD/bench.jsonl
missed=0

# in_machine NAME KERNEL OPTIONS...: loads kernel benchmark NAME; its results are
# in the log, whose name it prints.  Debian's kernels zero all memory at its
# allocation; what is compared without zeroing is to be without.
in_machine() {
	local name=$1 kernel=$2 run=bench-$1-$2
	shift 2
	"$KARENA_VM/build.sh" "$kernel" >/dev/null
	say "benchmark $name on $kernel"
	"$KARENA_VM/run.sh" --name "$run" --memory 2G --timeout 1800 "$@" \
		--append "init_on_alloc=0" "$kernel" -- \
		"$KARENA_VM/guest.sh" bench "$name" >&2 || exit 1
	echo "$KARENA_BUILD/vm/logs/$run.kernel.log"
}

# report NAME MACHINE SCRIPT FILE...: a table of results.
report() {
	local name=$1 machine=$2 script=$3
	shift 3
	echo "$name on $machine"
	awk -v bench="$name" -v machine="$machine" -v json="$json" \
		-f "$KARENA_TOP/tests/bench/lib.awk" -f "$KARENA_TOP/tests/bench/$script" "$@" ||
		missed=1
	echo
}

bench_slab() {
	local kernel log
	for kernel in uml stock-6.1; do
		log=$(in_machine slab "$kernel")
		report slab "$kernel" report.awk "$log"
	done
}

# The same graphs for other collectors: two programs of this machine.
mark_peers() {
	local peers=$KARENA_TOP/tests/bench/mark/peers bin=$KARENA_BUILD/bin peer graph
	mkdir -p "$bin"
	gcc -O2 -Wall -Wextra -o "$bin/mark-boehm" "$peers/boehm.c" -lgc
	GO111MODULE=off GOCACHE=$KARENA_BUILD/go go build -o "$bin/mark-go" "$peers/gc.go"
	for peer in boehm go; do
		for graph in random tree; do
			say "benchmark mark: $peer, $graph"
			"$bin/mark-$peer" "$graph"
		done
	done
}

bench_mark() {
	local log peers=$KARENA_BUILD/vm/logs/bench-mark-peers.log
	mark_peers >"$peers"
	log=$(in_machine mark uml --huge)
	report mark uml mark/report.awk "$log" "$peers"
}

# The same programs with other collectors run in the same machines.
user_gc_programs() {
	local src=$KARENA_TOP/tests/bench/user-gc bin=$KARENA_BUILD/bin
	local cc=(gcc -O2 -Wall -Wextra -pthread "-I$KARENA_BUILD/include")
	local lib=$KARENA_BUILD/lib/libkarena.a name
	make -C "$KARENA_TOP" tools >/dev/null
	for name in graph lru; do
		"${cc[@]}" -o "$bin/user-gc-$name" "$src/$name.c" "$lib"
	done
	"${cc[@]}" -o "$bin/user-gc-karena" "$src/trees.c" "$lib"
	"${cc[@]}" -DPEER_BOEHM -o "$bin/user-gc-boehm" "$src/trees.c" -lgc
	"${cc[@]}" -o "$bin/bench-measure" "$src/../measure/measure.c"
	(cd "$src/go" && GO111MODULE=off GOCACHE=$KARENA_BUILD/go go build -o "$bin/user-gc-go" .)
}

bench_user_gc() {
	local kernel log
	user_gc_programs
	for kernel in stock-6.1 uml; do
		log=$KARENA_BUILD/vm/logs/bench-user-gc-$kernel.log
		"$KARENA_VM/build.sh" "$kernel" >/dev/null
		say "benchmark user-gc on $kernel"
		"$KARENA_VM/run.sh" --name "bench-user-gc-$kernel" --memory 3G --timeout 1800 \
			"$kernel" -- "$KARENA_VM/guest.sh" bench user-gc >"$log" ||
			{ tail -n 5 "$log" >&2; exit 1; }
		report user-gc "$kernel" user-gc/report.awk "$log"
	done
	bench_steps
}

# What the barrier costs a program, in instructions.
bench_steps() {
	local kernel=stock-6.1 log=$KARENA_BUILD/vm/logs/bench-steps-stock-6.1.log
	say "benchmark user-gc on $kernel, in instructions"
	KARENA_STEPS=1 "$KARENA_VM/run.sh" --name "bench-steps-$kernel" --memory 2G \
		--timeout 1800 --instructions "$kernel" -- \
		"$KARENA_VM/guest.sh" bench user-gc >"$log" || { tail -n 5 "$log" >&2; exit 1; }
	report user-gc "$kernel in instructions" user-gc/report.awk -v instructions=1 "$log"
}

malloc_programs() {
	local src=$KARENA_TOP/tests/bench/malloc bin=$KARENA_BUILD/bin
	local cc=(gcc -O2 -Wall -Wextra -pthread "-I$KARENA_BUILD/include")
	make -C "$KARENA_TOP" tools >/dev/null
	"${cc[@]}" -o "$bin/malloc-micro" "$src/micro.c"
	"${cc[@]}" -DINLINE -o "$bin/malloc-inline" "$src/micro.c" "$KARENA_BUILD/lib/libkarena.a"
	"${cc[@]}" -o "$bin/bench-measure" "$src/../measure/measure.c"
	"${cc[@]}" -fPIC -shared -o "$KARENA_BUILD/lib/malloc-standin.so" "$src/standin.c"
}

bench_malloc() {
	local logs=$KARENA_BUILD/vm/logs kernel=stock-6.1 log
	malloc_programs
	log=$logs/bench-malloc-native.log
	say "benchmark malloc on this machine"
	PATH=$KARENA_BUILD/bin:$PATH "$KARENA_TOP/tests/bench/malloc/run.sh" native >"$log"
	report malloc native malloc/report.awk "$log"
	log=$logs/bench-malloc-$kernel.log
	"$KARENA_VM/build.sh" "$kernel" >/dev/null
	say "benchmark malloc on $kernel"
	"$KARENA_VM/run.sh" --name "bench-malloc-$kernel" --memory 3G --timeout 3600 \
		--append "init_on_alloc=0" "$kernel" -- "$KARENA_VM/guest.sh" bench malloc >"$log" ||
		{ tail -n 5 "$log" >&2; exit 1; }
	report malloc "$kernel" malloc/report.awk "$log"
	bench_malloc_instructions
}

# The same by the number of instructions, which is the same in each run.
bench_malloc_instructions() {
	local kernel=stock-6.1 log=$KARENA_BUILD/vm/logs/bench-malloc-instructions.log
	say "benchmark malloc on $kernel, in instructions"
	KARENA_RUNS=1 "$KARENA_VM/run.sh" --name bench-malloc-instructions --memory 3G \
		--timeout 1800 --append "init_on_alloc=0" --instructions "$kernel" -- \
		"$KARENA_VM/guest.sh" bench malloc >"$log" || { tail -n 5 "$log" >&2; exit 1; }
	report malloc "$kernel in instructions" malloc/report.awk -v instructions=1 "$log"
}

life_cycle_programs() {
	local src=$KARENA_TOP/tests/bench/life-cycle bin=$KARENA_BUILD/bin
	local cc=(gcc -O2 -Wall -Wextra -pthread "-I$KARENA_BUILD/include")
	local lib=$KARENA_BUILD/lib/libkarena.a
	make -C "$KARENA_TOP" tools >/dev/null
	"${cc[@]}" -o "$bin/bench-measure" "$src/../measure/measure.c"
	"${cc[@]}" -o "$bin/life-cycle-return" "$src/return.c" "$lib"
	"${cc[@]}" -o "$bin/life-cycle-scope" "$src/scope.c" "$lib"
	"${cc[@]}" -DPEER -o "$bin/life-cycle-scope-peer" "$src/scope.c"
	"${cc[@]}" -o "$bin/life-cycle-pool" "$src/pool.c" "$lib"
	"${cc[@]}" -o "$bin/life-cycle-stack" "$src/stack.c" "$lib"
	(cd "$src/go" && GO111MODULE=off GOCACHE=$KARENA_BUILD/go go build -o "$bin/life-cycle-pool-go" pool.go)
}

bench_life_cycle() {
	local kernel log
	life_cycle_programs
	for kernel in stock-6.1 uml; do
		log=$KARENA_BUILD/vm/logs/bench-life-cycle-$kernel.log
		"$KARENA_VM/build.sh" "$kernel" >/dev/null
		say "benchmark life-cycle on $kernel"
		"$KARENA_VM/run.sh" --name "bench-life-cycle-$kernel" --memory 3G --timeout 1800 \
			--append "init_on_alloc=0" "$kernel" -- \
			"$KARENA_VM/guest.sh" bench life-cycle >"$log" ||
			{ tail -n 5 "$log" >&2; exit 1; }
		report life-cycle "$kernel" life-cycle/report.awk "$log" \
			"${log%.log}.kernel.log"
	done
}

bench_profile() {
	local kernel=stock-6.1 log
	malloc_programs
	log=$KARENA_BUILD/vm/logs/bench-profile-$kernel.log
	"$KARENA_VM/build.sh" "$kernel" >/dev/null
	say "benchmark profile on $kernel"
	"$KARENA_VM/run.sh" --name "bench-profile-$kernel" --memory 3G --timeout 3600 \
		--instructions "$kernel" -- "$KARENA_VM/guest.sh" bench profile >"$log" ||
		{ tail -n 5 "$log" >&2; exit 1; }
	report profile "$kernel" overhead.awk "$log"
}

bench_trace() {
	local kernel=stock-6.1 log
	malloc_programs
	user_gc_programs
	log=$KARENA_BUILD/vm/logs/bench-trace-$kernel.log
	"$KARENA_VM/build.sh" "$kernel" >/dev/null
	"$KARENA_VM/build.sh" "$kernel-untraced" >/dev/null
	say "benchmark trace on $kernel"
	"$KARENA_VM/run.sh" --name "bench-trace-$kernel" --memory 3G --timeout 3600 \
		--instructions "$kernel" -- "$KARENA_VM/guest.sh" bench trace >"$log" ||
		{ tail -n 5 "$log" >&2; exit 1; }
	report trace "$kernel" overhead.awk "$log"
}

# Each example twice: with all objects from the heap, and rewritten.
escape_programs() {
	local bin=$KARENA_BUILD/bin src=$KARENA_TOP/tools/lib/examples name
	local tests=$KARENA_TOP/tests/escape plugin=$KARENA_BUILD/lib/karena_escape.so
	local cc=(gcc -O2 -Wall -Wextra "-I$KARENA_BUILD/include")
	local rewrite=("-fplugin=$plugin" -fplugin-arg-karena_escape-rewrite)
	make -C "$KARENA_TOP" tools >/dev/null
	"${cc[@]}" -o "$bin/bench-measure" "$KARENA_TOP/tests/bench/measure/measure.c"
	"${cc[@]}" -DSTANDIN_COUNTS -c -o "$bin/standin.o" "$tests/standin.c"
	for name in bodies lines collect; do
		"${cc[@]}" -o "$bin/escape-$name-heap" "$src/$name.c" \
			"$KARENA_BUILD/lib/libkarena.a" -lm
		"${cc[@]}" "${rewrite[@]}" -o "$bin/escape-$name-escape" "$src/$name.c" \
			"$KARENA_BUILD/lib/libkarena.a" -lm
		"${cc[@]}" -DKARENA_NO_INLINE -o "$bin/escape-$name-heap-count" "$src/$name.c" \
			"$bin/standin.o" -lm
		"${cc[@]}" -DKARENA_NO_INLINE "${rewrite[@]}" -o "$bin/escape-$name-escape-count" \
			"$src/$name.c" "$bin/standin.o" -lm
	done
}

bench_escape() {
	local logs=$KARENA_BUILD/vm/logs kernel=stock-6.1 log
	escape_programs
	log=$logs/bench-escape-native.log
	PATH=$KARENA_BUILD/bin:$PATH "$KARENA_TOP/tests/bench/escape/run.sh" count >"$log"
	report "escape, objects" native escape/report.awk "$log"
	log=$logs/bench-escape-$kernel.log
	"$KARENA_VM/build.sh" "$kernel" >/dev/null
	say "benchmark escape on $kernel"
	"$KARENA_VM/run.sh" --name "bench-escape-$kernel" --memory 2G --timeout 1800 \
		--instructions "$kernel" -- "$KARENA_VM/guest.sh" bench escape >"$log" ||
		{ tail -n 5 "$log" >&2; exit 1; }
	report escape "$kernel" escape/report.awk "$log"
}

all=(slab mark user-gc malloc life-cycle profile trace escape)
[ $# -eq 0 ] || all=("$@")
rm -f "$json"
for name in "${all[@]}"; do
	declare -F "bench_${name//-/_}" >/dev/null || die "no benchmark is called $name"
	"bench_${name//-/_}"
done
echo "results in $json"
exit $missed
