#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the test machines run inside; see tools/vm/run.sh for the surroundings.
#
#   guest.sh kunit              load the KUnit module: results in the kernel log
#   guest.sh user PROGRAM...    load the module, run TAP programs
#   guest.sh torture            load the collector's tests: results there as well
#   guest.sh bench slab|mark    load the benchmark's module: results there as well
#   guest.sh bench user-gc|malloc|life-cycle|profile|escape   load the module, run the
#                               programs: a line for each run
#   guest.sh bench trace        the same, with and without trace events
#   guest.sh programs [NAME...] load the module, run programs with malloc from karena
#   guest.sh tools              load the module, test library, tool and demo
#   guest.sh controls           load the module, run user-space tests with bugs in it
#   guest.sh load MODULE...     load planted modules, whatever comes of it
#   guest.sh shell              load the module, then a prompt
#
# TAP programs find KARENA_KO (path of karena.ko), KARENA_SEED, KARENA_LONG=1 if
# they may take their time, and KARENA_SLOW=1 where everything takes ten times
# as long as elsewhere.

set -u

export KARENA_KO=$KARENA_MODULES/karena.ko
# Seconds that one program may take, of which TCG needs many.
limit=${KARENA_PROGRAM_LIMIT:-400}
case $KARENA_MACHINE in
uml-debug|kcsan) export KARENA_SLOW=1
		limit=${KARENA_PROGRAM_LIMIT:-800} ;;
esac
[ -z "${KARENA_LONG:-}" ] || limit=7200

# How many times slower than UML: detectors, and QEMU without KVM, or with both.
case $KARENA_MACHINE in
uml)		times_slower=1 ;;
uml-debug)	times_slower=30 ;;
kcsan)		times_slower=100 ;;
*)		times_slower=10 ;;
esac

# load MODULE: gives it the seed if it takes one, and what else it may.
load() {
	local path=$1 params=() name
	for name in seed long slow; do
		case $(modinfo -F parm "$path") in
		*"$name:"*) ;;
		*) continue ;;
		esac
		case $name in
		seed)	params+=("seed=${KARENA_SEED:-1}") ;;
		long)	params+=("long=${KARENA_LONG:-0}") ;;
		slow)	params+=("slow=$times_slower") ;;
		esac
	done
	insmod "$path" "${params[@]}"
}

# with_module NAME: a module that does all its work when it is loaded.
with_module() {
	load "$KARENA_KO" && load "$KARENA_MODULES/$1.ko" || return 1
	rmmod "$1" && rmmod karena
}

# run_program NAME COMMAND...: a TAP program, its name around its output.
run_program() {
	local name=$1 status sample='' begin=$SECONDS
	shift
	printf '### begin %s\n' "$name"
	if [[ $name =~ ^t_(sample|fromfd)$ ]] && [ -e "$KARENA_MODULES/karena_sample.ko" ]; then
		echo Y >/sys/module/karena/parameters/gctrace
		load "$KARENA_MODULES/karena_sample.ko" && sample=1
	fi
	timeout -k 5 "$limit" "$@"
	status=$?
	[ $status -ne 124 ] || printf '# no end after %s s\n' "$limit"
	[ -z "$sample" ] || rmmod karena_sample
	# The seconds are for people.
	printf '\n### end %s %s %s\n' "$name" "$status" $((SECONDS - begin))
}

# The library, the tool and the demo against the module.
tools() {
	load "$KARENA_KO" || return 1
	run_program libkarena "$KARENA_BUILD/bin/libkarena-test"
	run_program karenactl tools/karenactl/check.sh "$KARENA_BUILD/bin/karenactl"
	run_program demo tools/demo/check.sh "$KARENA_BUILD/bin/karena-demo" "${KARENA_SEED:-1}"
	rmmod karena
}

# Ends with a program of its own: that nothing holds the module any more.
user() {
	local program
	load "$KARENA_KO" || return 1
	for program in "$@"; do
		run_program "$(basename "$program")" "$program"
	done
	printf '### begin unload\n1..1\n'
	if rmmod karena; then
		printf 'ok 1 - rmmod\n### end unload 0\n'
	else
		printf 'not ok 1 - rmmod\n### end unload 1\n'
	fi
}

# plant BUG: the module has it from here on; NONE: it has none.
plant() {
	awk -v "name=KARENA_PLANT_$1," '
	/^enum karena_plant / { inside = 1; next }
	inside && $1 ~ /^KARENA_PLANT_/ { if ($1 == name) print n + 0; n++ }
	/^}/ { inside = 0 }' kmod/alloc/plant.h >/sys/module/karena/parameters/plant
}

# notices BUG PROGRAM NAME: whether that case fails; some bugs are races, with a few
# tries to lose.
notices() {
	local out try
	for ((try = 1; try <= 12; try++)); do
		plant "$1"
		out=$(KARENA_ONLY=$3 KARENA_SEED=${KARENA_SEED:-1}$try \
			timeout -k 5 "$limit" "$KARENA_BUILD/bin/$2")
		plant NONE
		printf '%s\n' "$out" | sed 's/^/# /'
		! grep -qE "^not ok [0-9]+ - $3\$" <<<"$out" || return 0
	done
	return 1
}

# Each bug in tests/planted/controls makes its case fail; or those only that
# KARENA_BUG, a regular expression, matches.  And heaps are damaged.
controls() {
	local bug program name n=0
	load "$KARENA_KO" || return 1
	printf '### begin controls\n'
	while read -r bug program name <&3; do
		notices "$bug" "$program" "$name" || printf 'not '
		printf 'ok %d - %s\n' $((n += 1)) "$bug"
	done 3< <(grep -v "^#" tests/planted/controls | grep -E "${KARENA_BUG:-.}")
	printf '1..%d\n### end controls 0\n' "$n"
	run_program t_check "$KARENA_BUILD/bin/t_check"
	rmmod karena
}

shell() {
	load "$KARENA_KO"
	cat <<-END

	  karena is loaded into Linux $(uname -r).  The tools are in PATH: karenactl;
	  the checkout is here.  Writes stay in this machine.  exit leaves it.

	END
	stty cols "${KARENA_COLUMNS:-80}" rows "${KARENA_LINES:-24}" 2>/dev/null
	PS1='karena \w# ' bash --norc -i
	return 0
}

command=$1
shift
case $command in
# insmod waits for all tests, uninterruptibly and maybe for long.
kunit|torture)
	echo 3600 2>/dev/null >/proc/sys/kernel/hung_task_timeout_secs
	with_module "karena_$command" || exit 1
	# Built with the compiler plugin, where there is one for the kernel's modules.
	[ $command = kunit ] || [ ! -e "$KARENA_MODULES/karena_escape.ko" ] ||
		with_module karena_escape ;;
bench)	case $1 in
	slab)	with_module karena_bench ;;
	user-gc|malloc|profile|escape)
		load "$KARENA_KO" && "tests/bench/$1/run.sh" && rmmod karena ;;
	life-cycle)
		load "$KARENA_KO" && "tests/bench/$1/run.sh" && rmmod karena &&
			with_module karena_bench_pool ;;
	trace)	tests/bench/trace/run.sh ;;
	*)	with_module "karena_bench_$1" ;;
	esac ;;
user)	user "$@" ;;
programs) load "$KARENA_KO" && run_program programs tests/programs/run.sh "$@" && rmmod karena ;;
tools)	tools ;;
controls) controls ;;
load)	for module in "$@"; do load "$KARENA_MODULES/$module"; done; true ;;
shell)	shell ;;
*)	exit 2 ;;
esac
