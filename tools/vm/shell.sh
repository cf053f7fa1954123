#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A prompt in a test machine with the module loaded: what "make shell" calls.
#
#   usage: shell.sh [KERNEL [run.sh's options]]        (stock-6.1 if not said)

. "$(dirname "$0")/lib.sh"

kernel=${1:-stock-6.1}
[ $# -eq 0 ] || shift
[ -t 0 ] || die "a shell needs a terminal"
"$KARENA_VM/build.sh" "$kernel" >/dev/null
read -r lines columns < <(stty size)
saved=$(stty -g)
trap 'stty "$saved"' EXIT
say "starting $kernel (some seconds)"
# The guest's terminal makes of the keys what is to be made of them.
stty raw -echo
KARENA_LINES=$lines KARENA_COLUMNS=$columns \
	"$KARENA_VM/run.sh" --name shell --interactive --memory 2G "$@" "$kernel" -- \
	"$KARENA_VM/guest.sh" shell
