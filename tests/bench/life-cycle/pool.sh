# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# Pools against Go's sync.Pool: see run.sh.

for nr in 1 16; do
	case_of "pool-$nr" sync.Pool 2
	run karena life-cycle-pool "$nr" "$many"
	run sync.Pool life-cycle-pool-go "$nr" "$many"
done
