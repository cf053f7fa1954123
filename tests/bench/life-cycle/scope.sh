# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# Objects of scopes against malloc() and free(): see run.sh.

# scope TARGET KIND OBJECTS-OF-A-SCOPE
scope() {
	local target=$1 kind=$2 nr=$3
	case_of "scope-$kind-$nr" mimalloc "$target"
	run karena life-cycle-scope "$kind" "$nr" "$many"
	LD_PRELOAD=$libs/libmimalloc.so.2 run mimalloc life-cycle-scope-peer "$kind" "$nr" "$many"
}

scope 3 local 1000
scope 3 local 64
scope 1 local 4
scope 1 local 1
scope 1 stores 64
scope 1 collected 64
