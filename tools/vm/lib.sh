# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every script of the test machines shares: where things are, how to say
# what goes on, and how to take a package from Debian's archive without
# touching the system's own apt state.  To be sourced by bash.

set -euo pipefail
shopt -s inherit_errexit

KARENA_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KARENA_VM=$KARENA_TOP/tools/vm
KARENA_BUILD=${KARENA_BUILD:-$KARENA_TOP/build}
# What make is called with.
export BUILD=$KARENA_BUILD
# Kernels outlive a checkout: they are large, slow to make and always the same.
KARENA_CACHE=${KARENA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/karena}
KARENA_JOBS=${KARENA_JOBS:-$(nproc)}

say() { printf '%s\n' "karena: $*" >&2; }
die() { say "$*"; exit 1; }

# with_lock NAME COMMAND...: one run at a time may fill the cache.
with_lock() {
	local name=$1
	shift
	mkdir -p "$KARENA_CACHE"
	(
		flock -n 9 || { say "waiting for another run ($name)"; flock 9; }
		"$@"
	) 9>"$KARENA_CACHE/.$name.lock"
}

# progress LOG TOTAL COMMAND...: runs COMMAND with its output in LOG, and shows
# how many of about TOTAL lines it has printed.  Shows the tail on failure.
progress() {
	local log=$1 total=$2 start=$SECONDS lines=0 pid rc=0 last=-1 now
	shift 2
	"$@" >"$log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		lines=$(wc -l <"$log")
		now=$((lines * 100 / total))
		[ "$now" -gt 99 ] && now=99
		if [ -t 2 ]; then
			printf '\r  %3d%%  %d s ' "$now" "$((SECONDS - start))" >&2
		elif [ $((now / 10)) -ne "$last" ]; then
			last=$((now / 10))
			printf '  %3d%%  %d s\n' "$now" "$((SECONDS - start))" >&2
		fi
	done
	[ -t 2 ] && printf '\r' >&2
	wait "$pid" || rc=$?
	if [ "$rc" -ne 0 ]; then
		tail -n 30 "$log" >&2
		say "failed; the whole log is in $log"
	fi
	return "$rc"
}

# The archive that this machine already uses, whichever mirror that is.
debian_mirror() {
	local uri
	uri=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		awk '$1 == "Debian" && $2 == "bookworm" { print $3; exit }')
	[ -n "$uri" ] || die "apt knows no Debian bookworm archive: run 'apt-get update' first"
	printf '%s\n' "$uri"
}

# apt SUITE COMMAND...: apt-get with the package lists of SUITE alone, kept in
# the cache folder.  Needs no privileges.
apt_private() {
	local suite=$1 dir=$KARENA_CACHE/apt/$1
	shift
	mkdir -p "$dir"/{lists/partial,cache/archives/partial,etc}
	[ -e "$dir/status" ] || : >"$dir/status"
	apt-get -qq -o Dir::Etc::sourcelist="$dir/etc/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::State="$dir" \
		-o Dir::State::lists="$dir/lists" -o Dir::State::status="$dir/status" \
		-o Dir::Cache="$dir/cache" -o APT::Sandbox::User= \
		-o Debug::NoLocking=true -o Acquire::Retries=3 "$@"
}

apt_update() {
	local suite=$1 dir=$KARENA_CACHE/apt/$1 mirror
	# Lists of today are good enough, and spare the mirror.
	[ -n "$(find "$dir/updated" -mmin -720 2>/dev/null)" ] && return 0
	mirror=$(debian_mirror)
	mkdir -p "$dir/etc"
	{
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
		echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
	} >"$dir/etc/sources.list"
	apt_private "$suite" update || return 1
	touch "$dir/updated"
}

# apt_names SUITE REGEX: package names of a suite, oldest version first.
apt_names() {
	local dir=$KARENA_CACHE/apt/$1
	apt-cache -o Dir::Etc::sourcelist="$dir/etc/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::State="$dir" \
		-o Dir::State::lists="$dir/lists" -o Dir::State::status="$dir/status" \
		-o Dir::Cache="$dir/cache" pkgnames | grep -E "^$2\$" | sort -V
}

# apt_get_deb SUITE PACKAGE: prints the path of the package's .deb.
apt_get_deb() {
	local suite=$1 package=$2 dir=$KARENA_CACHE/debs file
	mkdir -p "$dir"
	file=$(find "$dir" -name "${package}_*.deb" | sort -V | tail -n 1)
	if [ -z "$file" ]; then
		(cd "$dir" && apt_private "$suite" download "$package" >/dev/null) ||
			die "cannot download $package from $suite"
		file=$(find "$dir" -name "${package}_*.deb" | sort -V | tail -n 1)
	fi
	printf '%s\n' "$file"
}

# make_initrd KERNEL FOLDER: prints the path of what the kernel in FOLDER starts
# from: busybox, tools/vm/init, and what a stock kernel has in modules of what
# these need; brd is a disk for direct I/O.
make_initrd() {
	local kernel=$1 dir=$2 initrd=$KARENA_BUILD/vm/initrd-$1.gz
	mkdir -p "$KARENA_BUILD/vm"
	if [ "$KARENA_VM/init" -nt "$initrd" ] || [ "$KARENA_VM/lib.sh" -nt "$initrd" ] ||
	   [ "$dir/version" -nt "$initrd" ]; then
		with_lock "initrd-$kernel" pack_initrd "$dir" "$initrd"
	fi
	printf '%s\n' "$initrd"
}

pack_initrd() {
	local dir=$1 initrd=$2 root
	root=$(mktemp -d "$KARENA_BUILD/vm/initrd.XXXXXX")
	mkdir -p "$root"/{bin,dev,modules,proc,sys}
	cp /bin/busybox "$root/bin/"
	cp "$KARENA_VM/init" "$root/init"
	: >"$root/modules/order"
	if [ -e "$dir/modules" ]; then
		add_modules "$dir" "$root/modules" 9pnet_virtio 9p overlay virtio_pci brd
	fi
	(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$initrd.$$"
	mv "$initrd.$$" "$initrd"
	rm -rf "$root"
}

# add_modules FOLDER TARGET MODULE...: copies modules and what they depend on,
# unpacked; TARGET/order names them in the order to load them.
add_modules() {
	local dir=$1 target=$2 module path file
	shift 2
	for module in "$@"; do
		modprobe -D -S "$(cat "$dir/version")" -d "$dir/modules" "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
	while read -r path; do
		file=$(basename "$path")
		case $file in
		*.xz)	file=${file%.xz}; xz -dc "$path" >"$target/$file" ;;
		*.zst)	file=${file%.zst}; zstd -qdc "$path" >"$target/$file" ;;
		*)	cp "$path" "$target/" ;;
		esac
		echo "$file" >>"$target/order"
	done
}

# has_kvm: says "yes" if a machine comes up with KVM.  That the device exists is
# no proof: under some hypervisors a guest hangs early.  So one is tried, once
# for each boot of the host.
has_kvm() {
	local answer
	answer=$KARENA_CACHE/kvm-$(cat /proc/sys/kernel/random/boot_id)
	if [ ! -w /dev/kvm ]; then
		echo no
		return
	fi
	if [ ! -e "$answer" ]; then
		rm -f "$KARENA_CACHE"/kvm-*
		with_lock kvm try_kvm "$answer"
	fi
	cat "$answer"
}

try_kvm() {
	local answer=$1 dir initrd log=$KARENA_BUILD/vm/kvm.log
	[ ! -e "$answer" ] || return 0
	say "trying KVM (up to 20 s, once)"
	dir=$("$KARENA_VM/kernel.sh" stock-6.1)
	initrd=$(make_initrd stock-6.1 "$dir")
	timeout -k 2 20 qemu-system-x86_64 -accel kvm -cpu max -smp 2 -m 512 -nodefaults \
		-no-user-config -display none -no-reboot -kernel "$dir/boot" \
		-initrd "$initrd" -append "console=ttyS0 panic=-1" \
		-serial "file:$log" </dev/null >/dev/null 2>&1 || true
	# Without its shares init gives up, which is far enough.
	if grep -q 'karena-vm: exit' "$log"; then echo yes; else echo no; fi >"$answer.$$"
	mv "$answer.$$" "$answer"
}
