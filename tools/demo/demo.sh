#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The demo as a newcomer sees it: loads the module, runs karena-demo, shows
# with karenactl what the heap looks like at each step, unloads the module.
#
#   usage: demo.sh [ARGUMENT of karena-demo...]
#
# Needs root.  MODULE is the path of karena.ko, by default the one built for
# the running kernel; if the module is loaded already it is used, and stays.
# BUILD is the folder that has bin/, by default the repository's.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-${KARENA_BUILD:-$here/../../build}}
MODULE=${MODULE:-${KARENA_MODULES:-$BUILD/host}/karena.ko}
export PATH=$BUILD/bin:$PATH

heading() {
	if [ -t 1 ]; then
		printf '\n\033[1m== %s\033[0m\n\n' "$*"
	else
		printf '\n== %s\n\n' "$*"
	fi
}

# The first classes will do: each text has the size that it has.
shorten() {
	awk 'NR <= 12 { print } END { if (NR > 12) print "   ... and " NR - 12 " more" }'
}

# Run by karena-demo at each step (see --show), as this script with that name.
look() {
	case $1 in
	interrupted)
		echo
		karenactl heap list | sed 's/^/   | /' ;;
	indexed)
		heading "karenactl heap show $2: the tiers while the index is in use"
		karenactl heap show "$2"
		heading "karenactl class list $2: what the objects are"
		karenactl class list "$2" | shorten ;;
	freed)
		heading "karenactl heap show $2: the tiers after all has been collected"
		karenactl heap show "$2"
		heading "karenactl class list $2: nothing is live"
		karenactl class list "$2" | shorten ;;
	esac
}

if [ "${1:-}" = --look ]; then
	look "$KARENA_STEP" "$KARENA_HEAP"
	exit
fi

loaded=
if [ ! -d /sys/module/karena ]; then
	heading "insmod $(basename "$MODULE") on Linux $(uname -r)"
	insmod "$MODULE"
	loaded=1
fi
unload() {
	[ -n "$loaded" ] || return 0
	rmmod karena
	loaded=
}
trap unload EXIT

heading "karenactl info"
karenactl info
heading "karena-demo $*"
status=0
karena-demo --show "$(printf '%q --look' "$here/demo.sh")" "$@" || status=$?
heading "karenactl heap list: the heap went with its last process"
karenactl heap list
[ -z "$loaded" ] || heading "rmmod karena"
unload
exit "$status"
