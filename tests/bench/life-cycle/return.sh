# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# Return of memory against its limits: see run.sh.  Not on UML, where each page that goes is
# a system call of the host: a hundredth of a CPU takes minutes for 128 MiB.
[ "$KARENA_MACHINE" != uml ] || return 0

# within KEY LIMIT CASE ARGUMENT...: of a run of life-cycle-return
within() {
	local key=$1 limit=$2
	shift 2
	case_of "return-$1" limit 1
	run karena life-cycle-return "$1" "$2"
	printf 'life-cycle case=return-%s peer=limit %s=%s status=0 peak=0\n' "$1" "$key" "$limit"
}

# 100 us; 10 us of each ms; 5 percent of the 496 MiB that are not needed any more.
within ps 100000000 lock 1024
within ps 10000000 cpu 128
within bytes 26004685 kept 512
