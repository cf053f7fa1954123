# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# Coroutines against a switch by hand, and their memory: see run.sh.

case_of stack-switch by-hand 0.833
run karena life-cycle-stack karena "$many"
run by-hand life-cycle-stack by-hand "$many"

case_of stack-memory-100000 pages 0.909
run karena life-cycle-stack memory 100000
run pages life-cycle-stack pages 100000
