#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Searches a kernel log for complaints of the kernel, prints what it finds.
#
#   usage: scan.sh [--expect RE] LOG
#
# Exit status 1 if there is one; with --expect, 1 if none matches RE.
#
# A data race report (KCSAN) counts only when a module of ours is in its
# stacks: races inside of the kernel are neither ours to mend nor to wait for.
# Some of the kernel's own have our code below them, because we sleep or wake
# somebody: those where one of the two that race is the scheduler or a timer,
# and the tick of a worker, which reads the flags of the task (kthread_data())
# that memalloc_*_save() changes inline.

. "$(dirname "$0")/lib.sh"

complaints='BUG: |kernel BUG|BUG at|WARNING: |KASAN: |KCSAN: |UBSAN: |ODEBUG: |possible circular|'\
'possible recursive|inconsistent lock state|lock held when returning|bad unlock balance|'\
'suspicious RCU|INFO: task|INFO: trying to register|rcu: INFO|rcu:.*stall|soft lockup|hard LOCKUP|'\
'Call Trace|sleeping function|scheduling while atomic|kmemleak|leaked|refcount_t:|'\
'list_(add|del) corruption|corruption|general protection|Oops|Kernel panic|Unable to handle|'\
'Bad page|bad_page|Objects remaining|Slab .* (error|corrupt)|workqueue lockup|Out of memory|oom-kill'

# Lines that look like a complaint and are none: results of tests, the kernel
# telling how it was started, and that it takes a page fault again which had no
# memory (tests make allocations fail).
strip_noise() {
	grep -vaE '^(\[[^]]*\])* *(# |ok |not ok |KTAP |Command line:|Kernel command line:|karena-vm:|'\
'Huh VM_FAULT_OOM leaked out to the #PF handler)'
}

# Drops whole KCSAN reports without a frame of ours.  A report stands between
# two lines of '='.
ours_only() {
	awk '
	function kernels_own(text) {
		return text ~ /data-race in .*kthread_data/ && text ~ /wq_worker_tick/ ||
		       text ~ /data-race in (.* \/ )?(_*hrtimer|_*schedule|try_to_wake_up|ttwu|tick_|_*run_timer)/
	}
	/====================/ && !inside { inside = 1; text = $0; next }
	/====================/ && inside {
		if (text !~ /KCSAN/ || (text ~ /\[(karena|planted)/ && !kernels_own(text)))
			print text
		inside = 0
		next
	}
	inside { text = text "\n" $0; next }
	{ print }
	END { if (inside) print text }'
}

# Drops two reports of kernels themselves; any other of the kind stays.
#
#  - UML's flush_tlb_mm() (arch/um/kernel/tlb.c, 7.3) walks the mappings of a process
#    without a lock when two unmap at once, which lockdep sees in the maple tree.
#  - With CONFIG_DEBUG_VM a fault on memory of userfaultfd is reported that may not
#    wait: which is why user/scan.c makes it so.
#
# A report ends with the last frame of its stack.
not_the_kernels() {
	awk '
	function done() {
		if (!(text ~ /lib\/maple_tree\.c/ && text ~ /\] flush_tlb_mm\+/) &&
		    !(text ~ /handle_userfault/ && text ~ /\] get_user_pages_remote\+/))
			print text
		inside = traced = 0
	}
	inside && traced && !/^\[[^]]*\]  / { done() }
	/WARNING: suspicious RCU usage|FAULT_FLAG_ALLOW_RETRY missing/ {
		if (inside) done()
		inside = 1
		text = $0
		next
	}
	inside { text = text "\n" $0 }
	inside && /Call Trace:/ { traced = 1 }
	inside { next }
	!/^\[[^]]*\] *$/ { print }
	END { if (inside) done() }'
}

ours() { ours_only | not_the_kernels; }

expect=
if [ "${1:-}" = --expect ]; then
	expect=$2
	shift 2
fi
log=$1

if [ -n "$expect" ]; then
	# Not "grep -q": what feeds it would die of its end.
	strip_noise <"$log" | grep -aE "$expect" >/dev/null && exit 0
	say "no complaint of the kernel that matches '$expect' in $log"
	exit 1
fi
found=$(strip_noise <"$log" | ours | grep -naE "$complaints" || true)
[ -n "$found" ] || exit 0
say "the kernel complained ($log):"
strip_noise <"$log" | ours | grep -aE -B 2 -A 40 "$complaints" |
	awk 'NR <= 50' >&2
exit 1
