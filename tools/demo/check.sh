#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What karena-demo says and returns when it is used wrongly or has no device,
# and, if there is one, that it works again and again with other seeds.
# Prints TAP.
#
#   usage: check.sh PROGRAM [SEED...]

program=$1
shift
out=$(mktemp) err=$(mktemp)
folder=$(mktemp -d)
trap 'rm -rf "$out" "$err" "$folder"' EXIT
tests=0 failed=0

# try STATUS WORDS-OF-OUTPUT ARGUMENT...
try() {
	want=$1 pattern=$2
	shift 2
	tests=$((tests + 1))
	"$program" "$@" >"$out" 2>"$err"
	status=$?
	if [ "$status" -eq "$want" ] && cat "$out" "$err" | grep -q -e "$pattern"; then
		echo "ok $tests - karena-demo $* returns $want"
	else
		failed=$((failed + 1))
		echo "not ok $tests - karena-demo $* returned $status"
		sed 's/^/# /' "$out" "$err"
	fi
}

try 0 'Usage: karena-demo' --help
try 0 '^karena-demo [0-9]' --version
try 2 'unrecognized' --wrong
try 2 'not a number' --seed x
try 2 'not a number' --seed -1
try 2 'nothing to index' --max-files 0
try 2 'too many queries' -Qa -Qa -Qa -Qa -Qa -Qa -Qa -Qa -Qa
try 1 'no text to index' "$folder"
try 1 'No such file' "$folder/none"
head -c 5000 /dev/zero >"$folder/binary"
try 1 'no text to index' "$folder"
echo 'some text, and more of the text' >"$folder/text"
KARENA_DEVICE=/dev/nothing-there
export KARENA_DEVICE
try 1 'not there: is the module loaded' "$folder"
unset KARENA_DEVICE

if [ -c /dev/karena ]; then
	try 0 'All as it should be' "$folder"
	try 0 '2 times in' -Q 'text' "$folder"
	try 0 'nowhere' -Q 'missing' "$folder"
	try 0 '"ok": true' --json "$folder"
	for seed in "${@:-1}"; do
		try 0 'All as it should be' --seed "$seed" --max-files 60
	done
fi
echo "1..$tests"
[ "$failed" -eq 0 ]
