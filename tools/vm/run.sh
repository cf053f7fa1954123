#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boots a test machine, runs a command inside and passes on its output and its
# exit status.
#
#   usage: run.sh [options] KERNEL -- COMMAND...
#
#   KERNEL               uml, uml-debug, kcsan, stock-6.1 or stock-6.12
#   --name NAME          name of the log files (default: KERNEL)
#   --memory SIZE        memory of the machine (default 1G)
#   --cpus N             its CPUs (default 2)
#   --instructions       QEMU: its time is that of its instructions, one a nanosecond, and it
#                        has one CPU: what else this machine does changes no figure
#   --huge               UML: its memory in huge pages, if this user may mount
#   --append ARGS        more for the kernel's command line
#   --timeout SECONDS    after that the machine is stopped (default 300)
#   --out FOLDER         where the guest's $KARENA_OUT is kept afterwards
#   --expect-report RE   the kernel must complain with a line matching RE
#   --interactive        the command gets this terminal
#
# The guest sees the host's files where they are on the host (tools/vm/init
# says how), gets each KARENA_* variable that is set here, and besides
#   KARENA_MACHINE       KERNEL
#   KARENA_MODULES       folder of the modules built for it
#   KARENA_OUT           folder whose files outlive the machine
#
# Exit status: that of COMMAND; 70 if the kernel complained (or should have
# and did not), 71 if the machine stopped without finishing COMMAND, 72 if it
# could not be set up, 124 if it ran out of time.  The kernel's log is left in
# build/vm/logs/NAME.kernel.log.

. "$(dirname "$0")/lib.sh"

usage() { sed -n '5,/^$/{/^#/!q;s/^# \{0,3\}//p}' "$0" >&2; exit 2; }

name='' kernel='' memory=1G cpus=2 append='' limit=300 out='' expect='' interactive='' huge=''
instructions=''
while [ $# -gt 0 ]; do
	case $1 in
	--name)		name=$2; shift ;;
	--memory)	memory=$2; shift ;;
	--cpus)		cpus=$2; shift ;;
	--instructions)	instructions=1 cpus=1 ;;
	--huge)		huge=1 ;;
	--append)	append=$2; shift ;;
	--timeout)	limit=$2; shift ;;
	--out)		out=$2; shift ;;
	--expect-report) expect=$2; shift ;;
	--interactive)	interactive=1 ;;
	--)		shift; break ;;
	-*)		usage ;;
	*)		kernel=$1 ;;
	esac
	shift
done
[ -n "$kernel" ] && [ $# -gt 0 ] || usage
name=${name:-$kernel}
logs=$KARENA_BUILD/vm/logs
log=$logs/$name.kernel.log
mkdir -p "$logs"
run=$(mktemp -d "$KARENA_BUILD/vm/run.XXXXXX")
trap 'rm -rf "$run"' EXIT

# What the guest runs: the environment, then COMMAND.
write_command() {
	local var
	mkdir "$run/out"
	[ -z "$interactive" ] || : >"$run/interactive"
	{
		for var in "${!KARENA_@}"; do
			printf 'export %s=%q\n' "$var" "${!var}"
		done
		cat <<-END
			export KARENA_MACHINE=$kernel KARENA_OUT=$run/out
			export KARENA_MODULES=$KARENA_BUILD/$kernel
			export HOME=/root USER=root LC_ALL=C.UTF-8 TERM=${TERM:-dumb}
			export PATH=$KARENA_BUILD/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
			cd $KARENA_TOP
		END
		printf 'exec'
		printf ' %q' "$@"
		printf '\n'
	} >"$run/command"
}

# UML keeps its memory in an unlinked file, which should not be on a disk.
uml_memory_folder() {
	if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ]; then
		echo /dev/shm
	else
		echo "${TMPDIR:-/tmp}"
	fi
}

# in_huge_pages COMMAND...: with a /dev/shm of its own that has them.
in_huge_pages() {
	if unshare --mount true 2>/dev/null; then
		# shellcheck disable=SC2016 # for the shell inside
		unshare --mount sh -c 'mount -t tmpfs -o huge=always,size=90% karena /dev/shm
			exec "$@"' sh "$@"
	else
		say "no huge pages for UML's memory: not permitted to mount"
		"$@"
	fi
}

start_uml() {
	local in=null
	[ -z "$huge" ] || set -- in_huge_pages "$@"
	[ -z "$interactive" ] || in=fd:0
	export TMPDIR
	TMPDIR=$(uml_memory_folder)
	"$@" "$dir/boot" mem="$memory" ncpus="$cpus" \
		seccomp=on initrd="$initrd" con=null con0=null,fd:2 "con1=$in,fd:1" \
		console=tty0 $kargs 2>"$log"
}

start_qemu() {
	local accel=(-accel "tcg,thread=multi")
	if [ -n "$instructions" ]; then
		accel=(-accel "tcg,thread=single" -icount shift=0)
	elif [ "$(has_kvm)" != no ]; then
		accel=(-accel kvm)
	fi
	"$@" qemu-system-x86_64 "${accel[@]}" -cpu max -smp "$cpus" -m "$memory" \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$dir/boot" -initrd "$initrd" \
		-append "console=ttyS0 $kargs" -serial "file:$log" \
		-chardev stdio,id=io,signal=off -serial chardev:io \
		-virtfs local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap \
		-virtfs "local,path=$run,mount_tag=run,security_model=none,multidevs=remap"
}

# boot COMMAND...: the machine, started through COMMAND, its kernel log in $log.
boot() {
	local dir initrd kargs
	# No "set -e" in here: the caller looks at the status.
	dir=$("$KARENA_VM/kernel.sh" "$kernel") || return 72
	initrd=$(make_initrd "$kernel" "$dir") || return 72
	kargs="vmrun=$run vmname=karena-${kernel//./-} ignore_loglevel printk.time=1 panic=-1 oops=panic $append"
	: >"$log"
	case $kernel in
	uml*)	start_uml "$@" ;;
	*)	start_qemu "$@" ;;
	esac
}

finish() {
	local rc=$1 status
	status=$(sed -n 's/.*karena-vm: exit \([0-9]*\).*/\1/p' "$log" | tail -n 1)
	[ "$rc" -ne 72 ] || return 72
	if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
		say "$name: no end after $limit s; the kernel's last words ($log):"
		tail -n 15 "$log" >&2
		return 124
	fi
	if [ -z "$status" ]; then
		say "$name: the machine stopped before the command did ($log):"
		tail -n 40 "$log" >&2
		return 71
	fi
	return "$status"
}

# Whether the kernel went down before anything of ours ran.  TCG sometimes loses
# the race of a CPU against another one that patches the code below it.
died_early() {
	[ "$rc" -ne 72 ] && grep -q 'Kernel panic' "$log" && ! grep -q 'karena-vm: begin' "$log"
}

write_command "$@"
for try in 1 2 3; do
	rc=0
	if [ -n "$interactive" ]; then
		boot env || rc=$?
		break
	fi
	# In the foreground: to be stopped together with this script.
	boot timeout --foreground -k 5 "$limit" </dev/null || rc=$?
	died_early || break
	cp "$log" "$logs/$name.boot-$try.log"
	say "$name: the kernel did not come up (boot $try, see $logs/$name.boot-$try.log)"
done
finish "$rc" && rc=0 || rc=$?
if [ -n "$out" ]; then
	mkdir -p "$out"
	cp -r "$run/out/." "$out/"
fi
[ -z "$interactive" ] || exit "$rc"
"$KARENA_VM/scan.sh" ${expect:+--expect "$expect"} "$log" || { [ "$rc" -ne 0 ] || rc=70; }
exit "$rc"
