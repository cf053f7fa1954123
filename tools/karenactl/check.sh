#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What karenactl says and returns without a device, with a wrong one, and when
# it is used wrongly; and, if there is a device, that each command works with
# it.  Prints TAP.
#
#   usage: check.sh PROGRAM

program=$1
out=$(mktemp) err=$(mktemp)
trap 'rm -f "$out" "$err"' EXIT
tests=0 failed=0

# result NAME CONDITION-STATUS
result() {
	tests=$((tests + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $tests - $1"
	else
		failed=$((failed + 1))
		echo "not ok $tests - $1"
		sed 's/^/# /' "$out" "$err"
	fi
}

# try STATUS OUT-PATTERN ERR-PATTERN ARGUMENT...: an empty pattern wants nothing.
try() {
	want=$1 in_out=$2 in_err=$3
	shift 3
	"$program" "$@" >"$out" 2>"$err"
	status=$?
	[ "$status" -eq "$want" ] && says "$out" "$in_out" && says "$err" "$in_err"
	result "karenactl $* returns $want" $?
}

says() {
	if [ -n "$2" ]; then grep -q -e "$2" "$1"; else [ ! -s "$1" ]; fi
}

for command in '' info 'heap list' 'heap show' 'heap explain' 'heap reclaim' 'class list' \
	'span list' 'type list' 'cache list' 'object show' map report limit reclaim bench \
	'gc run' 'gc status' 'gc trace' 'gc set' check profile dump why diff retained export leak \
	stat top; do
	# shellcheck disable=SC2086
	try 0 'Usage: karenactl' '' $command --help
	[ -z "$command" ] && continue
	# shellcheck disable=SC2086
	try 0 '--json' '' help $command
	# shellcheck disable=SC2086
	try 2 '' 'unrecognized option' $command --wrong
done
try 0 '^karenactl [0-9]' '' --version
try 2 '' 'which command'
try 2 '' 'not a command' frobnicate
try 2 '' 'not a command' heap frobnicate
try 2 '' 'not a command' heap
try 2 '' 'not a command' help frobnicate
try 2 '' 'which heap' heap show
try 2 '' 'which heap' heap explain
try 2 '' 'which heap' heap reclaim
for verb in run status trace set; do
	try 2 '' 'which heap' gc $verb
done
for command in 'span list' 'type list' 'cache list' 'object show' map report limit reclaim; do
	# shellcheck disable=SC2086
	try 2 '' 'which heap' $command
done
try 2 '' 'nothing to sort by' span list --sort=x 1
try 2 '' 'not a number of bytes' span list --class=0 1
try 2 '' 'what address' object show 1
try 2 '' 'not one address' object show 1 xyz
try 2 '' 'not one address' object show 1 10 20
try 2 '' 'not go with --json' map --svg - --json 1
try 2 '' 'into which file' report 1
try 2 '' 'number of seconds' report -o - -s x 1
try 2 '' 'number of seconds' report -o - -i 0 1
try 2 '' 'more than' report -o - -s 86400 -i 0.001 1
try 2 '' 'nor none' limit 1 x
try 2 '' 'too many' limit 1 1M 1M
try 2 '' 'not go-on' limit --policy=x 1
try 2 '' 'up to 1000' limit --wait=1001 1
try 2 '' 'with --policy wait' limit --wait=1 --policy=fail 1
try 2 '' 'number of objects' bench --objects=0
try 2 '' 'to what' gc trace 1
try 2 '' 'not understood' gc trace 1 maybe
try 2 '' 'to what' gc trace 1 on off
try 2 '' 'to what' gc set 1
for word in percent percent= percent=x percent=-2 percent=4294967296 min_heap=1Z what=1 =1 \
	min_heap=off; do
	try 2 '' 'not understood' gc set 1 -- "$word"
done
for number in 0 -1 4294967296 1x '' ' 1x'; do
	try 2 '' 'not the number of a heap' heap show -- "$number"
done
try 2 '' 'which heap' check
try 2 '' 'too many' check 1 2
try 2 '' 'which heap' profile
try 2 '' 'too many' profile 1 2
try 2 '' 'not a number of bytes' profile --rate=x 1
try 2 '' 'not a number of bytes' profile --rate=-1 1
try 2 '' 'which heap' dump -o /dev/null
try 2 '' 'where to' dump 1
try 2 '' 'not the number of a heap' dump -o /dev/null x
try 2 '' 'which heap, and which address' why
try 2 '' 'which heap, and which address' why 1
try 2 '' 'not an address' why 1 0xq
try 2 '' 'too many' why 1 0x1 0x2
try 2 '' 'number of roots' why --all=0 1 0x1
try 2 '' 'which two' diff
try 2 '' 'which two' diff 1
try 2 '' 'too many' diff 1 2 3
try 2 '' 'which heap' retained
try 2 '' 'too many' retained 1 2
try 2 '' 'number of objects' retained --top=-1 1
try 2 '' 'which heap' export -o x.dot
try 2 '' 'where to' export 1
try 2 '' 'in which format' export -o /dev/null 1
try 2 '' 'in which format' export -f png -o /dev/null 1
try 2 '' 'number of objects' export -f dot --max=x -o /dev/null 1
try 2 '' 'which heap' leak
try 2 '' 'number of cycles' leak --cycles=x 1
for word in x 0 -1 nan 1x; do
	try 2 '' 'number of seconds' leak --interval="$word" 1
done
for word in x 0 -1 nan 1x; do
	try 2 '' 'number of seconds' stat -- "$word"
done
try 2 '' 'number of rounds' stat 1 0
try 2 '' 'too many' stat 1 1 1
try 2 '' 'nothing else' stat --prometheus 1
try 2 '' 'not the number of a heap' stat --heap=x
try 2 '' 'too many' heap show 1 2
try 2 '' 'too many' info 1
try 2 '' 'number of rounds' top -n 0
try 2 '' 'number of rounds' top -n -1
try 2 '' 'number of seconds' top -d -1
try 2 '' 'number of seconds' top -d nan
try 2 '' 'number of seconds' top -d x

try 1 '' 'No such file' why /nowhere/to/be 0x1
try 1 '' 'No such file' diff /nowhere/to/be 1
try 1 '' 'not a dump' retained "$0"
try 1 '' 'not a dump' export -f dot -o /dev/null "$0"

export KARENA_DEVICE=/dev/nothing-there
for command in info 'heap list' 'heap show 1' 'heap explain 1' 'heap reclaim 1' 'class list' \
	'class list 1' 'span list 1' 'type list 1' 'cache list 1' 'object show 1 10' 'map 1' \
	'report -o /dev/null 1' 'limit 1' 'limit 1 1M' 'reclaim 1' bench 'gc run 1' 'gc status 1' 'gc trace 1 on' 'gc set 1 percent=off' \
	'check 1' 'profile 1' 'dump -o /dev/null 1' 'why 1 0x1' 'diff 1 2' 'retained 1' \
	'export -o /dev/null -f dot 1' 'leak 1' 'stat' 'stat 1 1' 'top -n 1'; do
	# shellcheck disable=SC2086
	try 1 '' 'not there: is the module loaded' $command
	# shellcheck disable=SC2086
	try 1 '' 'not there: is the module loaded' $command --json
done
export KARENA_DEVICE=/dev/null
try 1 '' 'not the device of karena' info
if [ "$(id -u)" -ne 0 ]; then
	KARENA_DEVICE=$(mktemp)
	chmod 0 "$KARENA_DEVICE"
	try 1 '' 'not permitted' info
	rm -f "$KARENA_DEVICE"
fi
unset KARENA_DEVICE

if [ -c /dev/karena ]; then
	try 0 'ABI version' '' info
	try 0 '"abi_version"' '' info --json
	try 0 '^ *ID' '' heap list
	try 0 '^\[' '' heap list --json
	try 1 '' 'not there, or not yours' heap show 4294967295
	try 1 '' 'not there, or not yours' heap explain 4294967295
	try 1 '' 'not there, or not yours' heap reclaim 4294967295
	try 1 '' 'not there, or not yours' class list 4294967295
	for command in 'span list' 'type list' 'cache list' map 'report -o -' limit reclaim; do
		# shellcheck disable=SC2086
		try 1 '' 'not there, or not yours' $command 4294967295
	done
	for command in run status 'trace' 'set'; do
		case $command in trace) word=on ;; set) word=percent=50 ;; *) word= ;; esac
		# shellcheck disable=SC2086
		try 1 '' 'not there, or not yours' gc $command 4294967295 $word
	done
	try 1 '' 'not there, or not yours' check 4294967295
	try 1 '' 'not there, or not yours' profile 4294967295
	try 1 '' 'not there, or not yours' dump -o /dev/null 4294967295
	try 1 '' 'not there, or not yours' why 4294967295 0x1
	try 1 '' 'not there, or not yours' leak 4294967295
	try 1 '' 'not there, or not yours' profile -o /dev/null 4294967295
	try 0 'objects' '' stat
	try 0 'ALLOC/S' '' stat 0.01 1
	try 0 '^# TYPE karena_' '' stat --prometheus
	try 0 'CLASS' '' class list
	try 0 '"span_objects"' '' class list --json
	try 0 'allocate and free' '' bench --objects=100
	try 0 'ALLOC/S' '' top -b -n 2 -d 0.1
	try 0 '"heaps"' '' top --json -n 2 -d 0.1
	"$program" info >/dev/full 2>"$err"
	[ $? -eq 1 ] && grep -q 'standard output' "$err"
	result 'a full disk is a failure' $?
fi
echo "1..$tests"
[ "$failed" -eq 0 ]
