#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes (or finds in the cache) a test machine's kernel and prints its folder.
#
#   usage: kernel.sh uml|uml-debug|kcsan|stock-6.1|stock-6.12|source|sparse
#
# A kernel's folder holds:
#   boot      the image to start (ELF program for UML, bzImage else)
#   build     what "make -C" takes to build a module against it
#   modules   for a stock kernel, the root to give to "modprobe -d"
#   version   its release
#
# "source" is the newest kernel source there is, "sparse" a sparse that can
# read it.  What is in the cache stays as it is until "make distclean", so that
# nothing needs the network then.

. "$(dirname "$0")/lib.sh"

# Writes "suite package" of the newest kernel source of Debian's.
newest_source() {
	local suite=trixie-backports name
	apt_update $suite
	name=$(apt_names $suite 'linux-source-[0-9]+\.[0-9]+' | tail -n 1)
	[ -n "$name" ] || die "no linux-source package in $suite"
	printf '%s %s\n' "$suite" "$name"
}

make_source() {
	local out=$KARENA_CACHE/source suite package deb
	if [ ! -e "$out/Makefile" ]; then
		read -r suite package < <(newest_source)
		say "fetching $package (140 MB)"
		deb=$(apt_get_deb "$suite" "$package")
		rm -rf "$out.new" && mkdir -p "$out.new"
		say "unpacking $package"
		dpkg-deb --fsys-tarfile "$deb" |
			tar -xO "./usr/src/$package.tar.xz" |
			tar -xJ -C "$out.new" --strip-components=1
		rm -f "$deb"
		mv "$out.new" "$out"
	fi
	printf '%s\n' "$out"
}

# Refuses a configuration that lacks an option which was asked for: kconfig
# drops what it cannot have without a word.
check_config() {
	local want=$1 have=$2 missing
	missing=$(grep -E '^CONFIG_[A-Z0-9_]+=y' "$want" | sort -u |
		grep -vxFf <(grep '=y' "$have") || true)
	[ -z "$missing" ] || die "options not to be had in $have:" $missing
}

build_kernel() {
	local name=$1 arch=$2 image=$3 lines=$4 src key out want
	shift 4
	src=$(with_lock source make_source)
	want=$KARENA_BUILD/vm/$name.want
	mkdir -p "$KARENA_BUILD/vm"
	cat "$@" >"$want"
	key=$(cat "$want" "$src/Makefile" <(gcc -dumpfullversion) | sha256sum | cut -c1-12)
	out=$KARENA_CACHE/$name-$key
	if [ ! -e "$out/version" ]; then
		say "building kernel $name (some minutes, once)"
		rm -rf "$out" && mkdir -p "$out/build"
		compile_kernel
	fi
	printf '%s\n' "$out"
}

# The part of build_kernel() that takes long; uses its variables.
compile_kernel() {
	local kmake=(make -C "$src" O="$out/build" ARCH="$arch")
	cp "$want" "$out/build/allno.config"
	KCONFIG_ALLCONFIG=$out/build/allno.config "${kmake[@]}" -s allnoconfig >"$out/config.log" 2>&1 ||
		{ cat "$out/config.log" >&2; die "configuration of $name failed"; }
	check_config "$want" "$out/build/.config"
	progress "$out/build.log" "$lines" \
		"${kmake[@]}" -j"$KARENA_JOBS" "$(basename "$image")" modules
	ln -s "build/$image" "$out/boot"
	# Module builds need the headers, scripts and symbol lists only.
	find "$out/build" \( -name '*.o' -o -name '*.a' \) -not -path '*/scripts/*' \
		-not -path '*/tools/*' -not -name 'module*.o' -not -name 'vdso*' -delete
	"${kmake[@]}" -s kernelrelease >"$out/version.new"
	mv "$out/version.new" "$out/version"
}

# have NAME: prints the folder of a kernel that the cache has, whichever version.
have() {
	local version
	version=$(find "$KARENA_CACHE" -mindepth 2 -maxdepth 2 -path "*/$1-*/version" | sort -V | tail -n 1)
	[ -n "$version" ] && dirname "$version"
}

stock_kernel() {
	local name=$1 suite=$2 image=$3 out release
	have "$name" && return
	apt_update "$suite"
	release=$(apt_names "$suite" "linux-headers-$image-amd64" | tail -n 1)
	release=${release#linux-headers-}
	[ -n "$release" ] || die "no kernel $image in $suite"
	out=$KARENA_CACHE/$name-$release
	say "fetching Debian's kernel $release (100 MB)"
	rm -rf "$out" && mkdir -p "$out/root"
	unpack_stock
	[ -d "$out/root/lib/modules" ] || ln -s usr/lib "$out/root/lib"
	depmod -b "$out/root" "$release"
	ln -s "root/boot/vmlinuz-$release" "$out/boot"
	ln -s "root/usr/src/linux-headers-$release" "$out/build"
	ln -s root "$out/modules"
	printf '%s\n' "$release" >"$out/version"
	printf '%s\n' "$out"
}

# Image and headers, unpacked without installing; uses stock_kernel()'s variables.
unpack_stock() {
	local headers=$out/root/usr/src/linux-headers-$release deb
	local common=${release%-amd64}-common kbuild=linux-kbuild-${release%-amd64}
	case $release in 6.1.*) kbuild=linux-kbuild-6.1 ;; esac
	for deb in "linux-image-$release" "linux-headers-$release" \
		   "linux-headers-$common" "$kbuild"; do
		deb=$(apt_get_deb "$suite" "$deb")
		dpkg-deb -x "$deb" "$out/root"
		rm -f "$deb"
	done
	# The headers' Makefile names the common ones by absolute path.
	sed -i "s, /usr/src/, $out/root/usr/src/,;s,= */usr/src/,= $out/root/usr/src/," \
		"$headers/Makefile"
}

# Debian 12's sparse cannot read the newest kernels (and the kernel's build
# then skips it without a word): the one of a later Debian, from its source.
make_sparse() {
	local out=$KARENA_CACHE/sparse suite=forky
	if [ ! -x "$out/sparse" ]; then
		say "building sparse"
		apt_update "$suite"
		rm -rf "$out.new" && mkdir -p "$out.new"
		(
			cd "$out.new"
			apt_private "$suite" source --download-only sparse >/dev/null
			dpkg-source --no-check -x ./*.dsc tree
			make -C tree -j"$KARENA_JOBS" CC=gcc HAVE_SQLITE=no HAVE_LIBXML=no \
				HAVE_LLVM=no HAVE_GTK=no sparse
		) >"$KARENA_CACHE/sparse.log" 2>&1 ||
			{ tail -n 20 "$KARENA_CACHE/sparse.log" >&2; die "sparse does not build"; }
		mkdir -p "$out"
		cp "$out.new/tree/sparse" "$out/"
		rm -rf "$out.new"
	fi
	printf '%s\n' "$out/sparse"
}

kernel=${1:-}
# What is special with these are the modules: see build.sh.
kernel=${kernel%-planted}
case ${kernel%-untraced} in
source)		with_lock source make_source ;;
uml)		with_lock uml build_kernel uml um linux 1150 "$KARENA_VM/configs/uml.config" ;;
uml-debug)	with_lock uml-debug build_kernel uml-debug um linux 1210 \
			"$KARENA_VM/configs/uml.config" "$KARENA_VM/configs/uml-debug.config" ;;
kcsan)		with_lock kcsan build_kernel kcsan x86_64 arch/x86/boot/bzImage 1750 \
			"$KARENA_VM/configs/kcsan.config" ;;
stock-6.1)	with_lock stock-6.1 stock_kernel stock-6.1 bookworm '6\.1\.0-[0-9]+' ;;
stock-6.12)	with_lock stock-6.12 stock_kernel stock-6.12 bookworm-backports '6\.12\.[0-9.]+\+deb12' ;;
sparse)		with_lock sparse make_sparse ;;
*)		die "usage: kernel.sh uml|uml-debug|kcsan|stock-6.1|stock-6.12|source|sparse" ;;
esac
