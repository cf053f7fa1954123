#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the modules for a kernel and prints the folder that they are in.
#
#   usage: build.sh uml|uml-debug|kcsan|stock-6.1|stock-6.12|host
#
# KERNEL-planted is karena.ko alone, with bugs to be switched on (kmod/alloc/plant.h);
# KERNEL-untraced is it without its trace events.
# "host" is the running kernel, for which no test modules are made.  The
# sources are copied to build/KERNEL, since a kernel builds a module in place;
# nothing is done when nothing changed.  A warning is a failure, except for
# "host", where the compiler may be any.  With V=1 the commands are shown.

. "$(dirname "$0")/lib.sh"

kernel=${1:?usage: build.sh KERNEL}
out=$KARENA_BUILD/$kernel
log=$KARENA_BUILD/vm/logs/build-$kernel.log
mkdir -p "$out" "$(dirname "$log")"

find_kernel() {
	if [ "$kernel" != host ]; then
		"$KARENA_VM/kernel.sh" "$kernel"
	elif [ -e "/lib/modules/$(uname -r)/build" ]; then
		echo "/lib/modules/$(uname -r)"
	else
		die "no headers of the running kernel: install linux-headers-$(uname -r)," \
			"or look at 'make demo', which brings its own kernel"
	fi
}

# What the build depends on, as text.
state() {
	printf '%s\n' "$dir" "${args[@]}"
	cd "$KARENA_TOP" && find "${sources[@]}" -type f -printf '%p %T@ %s\n' | sort
}

# Copies what is source; leaves objects, and what kbuild made, alone.  What
# changed gets the time of the copy: an edit during a build is older than the
# object that was made without it.
copy_sources() {
	(cd "$KARENA_TOP" && rsync -rlpR --checksum --delete --exclude='*.mod.c' --include='*/' \
		--include='*.[chS]' --include='*.mk' --include=Kbuild --exclude='*' \
		"${sources[@]}" "$out/")
}

make_modules() {
	make -C "$dir/build" M="${out:?}" -j"$KARENA_JOBS" "${args[@]}" modules
}

# Warnings that are not about the code: Debian's kernel was built by a compiler
# of another patch level; modules get no BTF without its vmlinux; a kernel in the
# cache may be older than this machine's pahole.
show_warnings() {
	grep -E 'warning:|WARNING' "$log" | grep -vE '(compiler|pahole version) differs|Skipping BTF'
}

# The compiler plugin for the module that is built with it, on Debian's kernels.
escape_plugin() {
	case $kernel in
	stock-*)
		make -C "$KARENA_TOP/tools/escape" --no-print-directory all >&2 || exit 1
		local plugin=$KARENA_BUILD/lib/karena_escape.so object=$out/tests/escape/kmod/escape.o
		[ -e "$plugin" ] || return 0
		args+=("KARENA_ESCAPE=$plugin")
		# Kbuild does not know that it depends on it.
		[ ! "$plugin" -nt "$object" ] || rm -f "$object" "$out/.state" ;;
	esac
}

build() {
	local dir args=() sources=(Kbuild kmod uapi) folder
	dir=$(find_kernel) || exit 1
	case $kernel in
	uml*)	args+=(ARCH=um) ;;
	esac
	case $kernel in
	host)	;;
	*-planted)
		args+=(KARENA_PLANT=1 KARENA_WERROR=1) ;;
	*-untraced)
		args+=(KARENA_UNTRACED=1 KARENA_WERROR=1) ;;
	*)
		args+=(KARENA_TESTS=1 KARENA_WERROR=1)
		escape_plugin
		for folder in tests/{kunit,sample,torture,bench,planted,escape/kmod}; do
			[ ! -d "$KARENA_TOP/$folder" ] || sources+=("$folder")
		done ;;
	esac
	[ -z "${V:-}" ] || args+=(V="$V")
	(state) >"$out/.state.new"
	if cmp -s "$out/.state.new" "$out/.state"; then
		echo "$out"
		return
	fi
	rm -f "$out/.state"
	copy_sources
	if ! make_modules >"$log" 2>&1; then
		cat "$log" >&2
		die "the modules do not build for $kernel"
	fi
	[ -z "${V:-}" ] || cat "$log" >&2
	if [ "$kernel" != host ] && show_warnings >&2; then
		# So that they are built, and warned of, again.
		find "$out" -name '*.ko' -delete
		die "warnings while building the modules for $kernel"
	fi
	mv "$out/.state.new" "$out/.state"
	echo "$out"
}

with_lock "build-$(echo "$out" | tr / _)" build
