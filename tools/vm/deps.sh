#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the Debian packages of tools/vm/packages that are missing, with sudo
# if need be.  Takes no time when none is.
#
#   usage: deps.sh [PURPOSE]

. "$(dirname "$0")/lib.sh"

missing() {
	local file package only
	grep -v '^#' "$KARENA_VM/packages" | while read -r file package only; do
		[ -z "$only" ] || [ "$only" = "$purpose" ] || continue
		[ -e "$file" ] || printf '%s\n' "$package"
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "please install as root: $*"
	fi
}

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o Dpkg::Use-Pty=0 --no-install-recommends "$@" >>"$log" 2>&1 </dev/null
}

# Package lists may never have been fetched, or be too old to be of use.
install_packages() {
	if ! apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [0-9]'; then
		apt_get update || return 1
	fi
	apt_get install "$@" || { apt_get update && apt_get install "$@"; }
}

purpose=${1:-}
log=$KARENA_BUILD/vm/logs/deps.log
mkdir -p "$(dirname "$log")"
: >"$log"
command -v apt-get >/dev/null || die "this is no Debian: see tools/vm/packages for what is needed"
mapfile -t packages < <(missing)
if [ "${#packages[@]}" -gt 0 ]; then
	say "installing ${packages[*]}"
	install_packages "${packages[@]}" ||
		{ tail -n 20 "$log" >&2; die "apt-get could not install ${packages[*]} ($log)"; }
fi
# The other suites' kernels are looked up where Debian 12's own archive is.
(debian_mirror) >/dev/null 2>&1 || apt_get update
