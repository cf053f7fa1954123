#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the tests: what "make check" calls.
#
#   usage: check.sh [check|--quick|--long] [STAGE...]
#
# Prints a line for each test: "ok NAME", "not ok NAME" with what it said below,
# or "skip NAME # reason"; and last "N passed, N failed, N skipped".  Exit
# status 1 if any failed, or if there was none.
#
#   lint        style and static checks (lint.sh)
#   build       the modules for each kernel, the user programs
#   kunit       KUnit on UML, with KASAN and lockdep, and with KCSAN
#   torture     the collector against models and large graphs, on all kernels
#   user        the user-space tests, on what users run and on the detectors
#   programs    real programs with malloc from karena, on Debian's 6.1 and 6.12
#   tools       library, tool and demo, on Debian's 6.1; graphs of dumps on this machine
#   escape      the compiler plugin on this machine: a table of verdicts, random programs,
#               the ways in which it is used; with --long Debian's sources as well
#   planted     bugs that show each detector, and this harness, alive
#
# SEED (or KARENA_SEED) repeats the random choices of a run.  --quick is the
# inner loop: KUnit and user-space tests on UML, and the style of changed files;
# --long gives each test many more rounds and runs the user-space ones on KCSAN.
#
# Two jobs at a time fill two CPUs.  A job writes its lines to a file, which is
# shown when it is done, so that they stay together.

. "$(dirname "$0")/lib.sh"

results=$KARENA_BUILD/vm/results
vm=$KARENA_VM
all_kernels='uml uml-debug kcsan stock-6.1 stock-6.12'
kunit_machines='uml uml-debug kcsan'
program_machines='stock-6.1 stock-6.12'
user_machines='stock-6.1 stock-6.12 uml-debug'
pressure_machines='stock-6.1 kcsan'
# With a module that can be told to have bugs: see build.sh.
planted_machines='stock-6.1-planted stock-6.12-planted'
max_jobs=2
mode=full

# --- jobs ---

declare -A job_of=()
# Each job is a process group, so that none outlives this script.
set -m
trap 'stop_jobs; exit 130' INT TERM

stop_jobs() {
	local pid
	for pid in "${!job_of[@]}"; do
		kill -TERM -- "-$pid" 2>/dev/null || true
	done
}

# job NAME COMMAND...: starts COMMAND, whose output are result lines.
job() {
	local name=$1
	shift
	while [ "${#job_of[@]}" -ge "$max_jobs" ]; do
		reap
	done
	( "$@" ) >"$results/$name" 2>"$results/$name.err" </dev/null 8>&- &
	job_of[$!]=$name
}

# Waits for one job, shows what it said.
reap() {
	local pid rc=0
	wait -n -p pid "${!job_of[@]}" || rc=$?
	show "${job_of[$pid]}" "$rc"
	unset "job_of[$pid]"
}

reap_all() {
	while [ "${#job_of[@]}" -gt 0 ]; do
		reap
	done
}

# A job that said nothing of a test, or failed without saying which, has failed.
show() {
	local name=$1 rc=$2 file=$results/$1
	if ! grep -qE '^(ok|not ok|skip) ' "$file" ||
	   { [ "$rc" -ne 0 ] && ! grep -q '^not ok ' "$file"; }; then
		{
			echo "not ok $name # status $rc"
			tail -n 40 "$file.err" | sed 's/^/    /'
		} >>"$file"
	fi
	cat "$file"
}

# --- what the jobs do; each prints result lines ---

# build KERNEL
build() {
	"$vm/build.sh" "$1" >/dev/null && echo "ok build/$1"
}

build_user() {
	make -C "$KARENA_TOP" --no-print-directory tests >&2 && echo "ok build/user"
}

# machine NAME KERNEL OPTIONS... -- COMMAND: boots, reads the results that the
# kernel's log and the output have, and adds one line for the run itself.
machine() {
	local name=$1 kernel=$2 rc=0 out
	shift 2
	out=$KARENA_BUILD/vm/logs/$name.out.log
	"$vm/run.sh" --name "$name" "$kernel" "$@" >"$out" 2>"$out.err" || rc=$?
	{
		awk -v "machine=$kernel" -f "$vm/tap.awk" "$KARENA_BUILD/vm/logs/$name.kernel.log"
		awk -v "machine=$kernel" -f "$vm/tap.awk" "$out"
	} | awk '{ print; seen = 1 } END { exit !seen }' || echo "not ok ${name/#$kernel-/$kernel/} # there were none"
	run_line "${name/#$kernel-/$kernel/}" "$rc" "$out.err"
}

# run_line NAME STATUS FILE: whether the machine ran to its end without complaint.
run_line() {
	local why
	case $2 in
	0)	echo "ok $1-run"; return ;;
	70)	why="the kernel complained" ;;
	71)	why="the machine stopped" ;;
	124)	why="out of time" ;;
	*)	why="status $2" ;;
	esac
	echo "not ok $1-run # $why"
	tail -n 60 "$3" | sed 's/^/    /'
}

kunit() {
	local kernel=$1 memory=1G
	[ "$kernel" != kcsan ] || memory=2G
	machine "$kernel-kunit" "$kernel" --memory "$memory" --timeout "$limit" \
		-- "$vm/guest.sh" kunit
}

torture() {
	machine "$1-torture" "$1" --memory 2G --timeout "$limit" -- "$vm/guest.sh" torture
}

# user KERNEL [PART]: all programs, or every second one.  Those that take seconds are left
# out of the inner loop.
user() {
	local kernel=$1 part=${2:-} programs slow='none'
	[ $mode != quick ] || slow='t_(alloc|fuzz|kill|limits|mmap|race|random)'
	mapfile -t programs < <(find "$KARENA_BUILD/bin" -name 't_*' -type f |
		grep -vxE ".*/$slow" | sort |
		awk -v "part=$part" 'part == "" || NR % 2 == part % 2')
	if [ "${#programs[@]}" -eq 0 ]; then
		echo "not ok $kernel/user # no programs t_* in $KARENA_BUILD/bin"
		return
	fi
	machine "$kernel-user$part" "$kernel" --memory 2G --timeout "$limit" \
		-- "$vm/guest.sh" user "${programs[@]}"
}

# Where memory runs out, with lockdep and without.  Not UML: its flush_tlb_mm() walks
# mappings without a lock when two unmap at a time.
pressure() {
	KARENA_ONLY="by turns" machine "$1-pressure" "$1" --memory 400M --timeout "$limit" \
		-- "$vm/guest.sh" user "$KARENA_BUILD/bin/t_memory"
}

programs() {
	machine "$1-programs" "$1" --memory 2G --timeout "$limit" -- "$vm/guest.sh" programs
}

tools() {
	machine "$1-tools" "$1" --timeout "$limit" -- "$vm/guest.sh" tools
}

# What karenactl makes of dumps, on this machine.
graphs() {
	local rc=0 out=$KARENA_BUILD/vm/logs/graphs.out.log
	{
		echo '### begin karenactl-graphs'
		make -s -C "$KARENA_TOP/tools/karenactl" test || rc=$?
		echo "### end karenactl-graphs $rc"
	} >"$out"
	awk -v machine=host -f "$vm/tap.awk" "$out"
	return $rc
}

# The compiler plugin: a table of verdicts, random programs, and bugs that they have to show.
escape_table() {
	"$KARENA_TOP/tests/escape/table.py" "$KARENA_BUILD"
}

escape_fuzz() {
	local count=100
	[ $mode != long ] || count=2000
	"$KARENA_TOP/tests/escape/fuzz.py" --count $count --seed "$KARENA_SEED" "$KARENA_BUILD"
}

# With a seed of its own: that a bug shows is not to be luck.
escape_planted() {
	local bug rc=0
	for bug in loops writes content bytes cells moves frees aliases; do
		"$KARENA_TOP/tests/escape/fuzz.py" --plant $bug --count 60 --seed 1 \
			"$KARENA_BUILD" || rc=1
	done
	return $rc
}

# expect NAME LOG RE: a complaint that RE matches is in the log, and the scanner
# calls the log bad.
expect() {
	if ! "$vm/scan.sh" --expect "$3" "$2" 2>/dev/null; then
		echo "not ok planted/$1 # not noticed: see $2"
	elif "$vm/scan.sh" "$2" 2>/dev/null; then
		echo "not ok planted/$1 # the scan of the log let it pass"
	else
		echo "ok planted/$1"
	fi
}

# plant NAME KERNEL MODULE...: loads planted modules in a machine.
plant() {
	local name=$1 kernel=$2
	shift 2
	"$vm/run.sh" --name "$name" --timeout 120 "$kernel" -- \
		"$vm/guest.sh" load "${@/#/tests/planted/planted_}"
}

planted_debug() {
	local log=$KARENA_BUILD/vm/logs/planted-debug.kernel.log
	# Lockdep goes to sleep after its first report, and after KASAN's.
	plant planted-debug uml-debug {fault,lockdep,sleep,ubsan,kasan}.ko >&2 || true
	expect lockdep "$log" 'possible circular locking'
	expect atomic-sleep "$log" 'sleeping function called from invalid context'
	expect ubsan "$log" 'UBSAN: array-index-out-of-bounds'
	expect kasan "$log" 'KASAN: slab-use-after-free'
	if grep -q 'planted: allocation was made to fail' "$log"; then
		echo "ok planted/fault-injection"
	else
		echo "not ok planted/fault-injection"
	fi
}

planted_kcsan() {
	plant planted-kcsan kcsan race.ko >&2 || true
	expect kcsan "$KARENA_BUILD/vm/logs/planted-kcsan.kernel.log" \
		'KCSAN: data-race in planted_count_up'
}

# The collector's own check, and the scan, notice a barrier that is left out.
planted_barrier() {
	local log=$KARENA_BUILD/vm/logs/planted-barrier.kernel.log
	"$vm/run.sh" --name planted-barrier --timeout 120 uml -- "$vm/guest.sh" \
		load karena.ko tests/planted/planted_barrier.ko >&2 || true
	expect barrier "$log" 'is reachable and not marked'
}

# Bugs in the collection of user heaps, each of which some test notices.
planted_controls() {
	machine "$1-controls" "$1" --memory 2G --timeout "$limit" -- "$vm/guest.sh" controls
}

# status NAME WANTED COMMAND...: COMMAND ends with the status WANTED.
status() {
	local name=$1 wanted=$2 rc=0
	shift 2
	"$@" >&2 || rc=$?
	if [ "$rc" -eq "$wanted" ]; then
		echo "ok planted/$name"
	else
		echo "not ok planted/$name # status $rc, not $wanted"
	fi
}

# The harness notices a complaint, a machine that dies, one that hangs, a command
# that fails, and tests that are not what they seem.
planted_harness() {
	status warning 70 plant planted-warn uml warn.ko
	status panic 71 plant planted-panic uml panic.ko
	status hang 124 "$vm/run.sh" --name planted-hang --timeout 4 uml -- sleep 60
	status exit-status 7 "$vm/run.sh" --name planted-exit uml -- sh -c 'exit 7'
	if diff <(awk -v machine=m -f "$vm/tap.awk" "$KARENA_TOP/tests/planted/tap.in") \
		"$KARENA_TOP/tests/planted/tap.out" >&2; then
		echo "ok planted/results"
	else
		echo "not ok planted/results # tap.awk"
	fi
}

# What the scan of a log lets pass, and what not.
planted_scan() {
	local log rc wanted
	for log in "$KARENA_TOP"/tests/planted/scan/*; do
		rc=0
		"$vm/scan.sh" "$log" >/dev/null 2>&1 || rc=$?
		wanted=0
		[ "${log##*.}" = pass ] || wanted=1
		if [ "$rc" -eq "$wanted" ]; then
			echo "ok planted/scan-$(basename "$log")"
		else
			echo "not ok planted/scan-$(basename "$log") # status $rc"
		fi
	done
}

# --- stages ---

stage_lint() {
	local check
	if [ $mode = quick ]; then
		job lint "$vm/lint.sh" --quick
		return
	fi
	for check in checkpatch kernel-doc clang-format scripts sparse-6.1 sparse-7.3; do
		job "lint-$check" "$vm/lint.sh" "$check"
	done
}

# What all else needs.  Kernels are made here one after the other, with progress.
stage_build() {
	local kernel
	for kernel in $all_kernels $planted_machines; do
		"$vm/kernel.sh" "$kernel" >/dev/null
	done
	[ $mode = quick ] || "$vm/kernel.sh" sparse >/dev/null
	job build-user build_user
	for kernel in $all_kernels $planted_machines; do
		job "build-$kernel" build "$kernel"
	done
	reap_all
}

stage_kunit() {
	local kernel
	for kernel in $kunit_machines; do
		job "kunit-$kernel" kunit "$kernel"
	done
}

stage_torture() {
	local kernel
	[ $mode != quick ] || return 0
	for kernel in $all_kernels; do
		job "torture-$kernel" torture "$kernel"
	done
}

stage_user() {
	local kernel part
	for kernel in $user_machines; do
		case $kernel in
		uml-debug|kcsan) # These are slow, and have one CPU each.
			for part in 1 2; do
				job "user-$kernel-$part" user "$kernel" "$part"
			done ;;
		*)	job "user-$kernel" user "$kernel" ;;
		esac
	done
	[ $mode != quick ] || return 0
	for kernel in $pressure_machines; do
		job "pressure-$kernel" pressure "$kernel"
	done
}

stage_programs() {
	local kernel
	[ $mode != quick ] || return 0
	for kernel in $program_machines; do
		job "programs-$kernel" programs "$kernel"
	done
}

stage_tools() {
	[ $mode = quick ] || job tools-stock-6.1 tools stock-6.1
	job graphs graphs
}

stage_escape() {
	job escape-table escape_table
	job escape-ways "$KARENA_TOP/tests/escape/ways.sh" "$KARENA_BUILD"
	[ $mode != quick ] || return 0
	job escape-fuzz escape_fuzz
	job escape-planted escape_planted
	[ $mode != long ] || job escape-real "$KARENA_TOP/tests/escape/real.sh" "$KARENA_BUILD"
}

stage_planted() {
	local kernel
	[ $mode != quick ] || return 0
	for kernel in $planted_machines; do
		job "planted-$kernel" planted_controls "$kernel"
	done
	job planted-kcsan planted_kcsan
	job planted-barrier planted_barrier
	job planted-debug planted_debug
	job planted-harness planted_harness
	job planted-scan planted_scan
}

# total: the last line; its status is the run's.
total() {
	local passed failed skipped
	passed=$(count '^ok ') failed=$(count '^not ok ') skipped=$(count '^skip ')
	if [ "$failed" -gt 0 ]; then
		say "failed (seed $KARENA_SEED, logs in $KARENA_BUILD/vm/logs):"
		cat "$results"/* | grep '^not ok ' >&2
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

count() {
	find "$results" -type f ! -name '*.err' -exec cat {} + | grep -c "$1" || true
}

limit=2700
while [ $# -gt 0 ]; do
	case $1 in
	check|--check)	;;
	--quick)	mode=quick all_kernels=uml kunit_machines=uml user_machines=uml
			planted_machines='' ;;
	--long)		mode=long limit=14400 user_machines="$user_machines uml kcsan"
			export KARENA_LONG=1 ;;
	*)		break ;;
	esac
	shift
done
export KARENA_SEED=${SEED:-${KARENA_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}}
mkdir -p "$KARENA_BUILD/vm"
exec 8>"$KARENA_BUILD/vm/.check.lock"
flock -n 8 || die "another check is at work in $KARENA_BUILD; KARENA_BUILD=... for one beside it"
rm -rf "$results"
mkdir -p "$results" "$KARENA_BUILD/vm/logs"
echo "# seed $KARENA_SEED: make check SEED=$KARENA_SEED repeats this run"
[ $# -gt 0 ] || set -- build escape user programs tools kunit torture planted lint
for stage in "$@"; do
	"stage_$stage"
done
reap_all
total
