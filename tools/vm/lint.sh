#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Style and static checks; one line a check, as check.sh prints them.
#
#   usage: lint.sh [--quick] [CHECK...]
#
#   checkpatch    the kernel's scripts/checkpatch.pl --strict
#   kernel-doc    the kernel's checker of documentation comments
#   clang-format  layout, where clang-format and the kernel's style agree
#   sparse-6.1    sparse on the oldest and on the newest kernel
#   sparse-7.3
#   scripts       shellcheck
#
# --quick looks at files that differ from the last commit only, without sparse.

. "$(dirname "$0")/lib.sh"

kernel_folders='kmod tests/kunit tests/sample tests/torture tests/bench tests/planted tests/escape/kmod'
user_folders='uapi tools/lib tools/karenactl tools/demo tests/user tests/escape'
quick=

# files FOLDERS PATTERN: paths from the top.
files() {
	local folder
	cd "$KARENA_TOP"
	for folder in $1; do
		[ ! -d "$folder" ] || find "$folder" -name "$2"
	done | if_changed | sort
}

if_changed() {
	if [ -n "$quick" ] && git rev-parse -q --verify HEAD >/dev/null; then
		grep -xF -f <(git diff --name-only HEAD; git ls-files -o --exclude-standard) || true
	else
		cat
	fi
}

# run NAME COMMAND...: prints what became of a check, with its output if bad.
run() {
	local name=$1 out=$KARENA_BUILD/vm/logs/lint-$1.log
	shift
	if (set -e; "$@") >"$out" 2>&1; then
		echo "ok lint/$name"
	else
		echo "not ok lint/$name"
		sed 's/^/    /' "$out" | tail -n 60
		return 1
	fi
}

# checkpatch_files IGNORED FILE...
checkpatch_files() {
	local ignored=$1 top=$KARENA_TOP
	shift
	[ $# -gt 0 ] || return 0
	# It leaves a file of names where it is run.
	cd "$KARENA_BUILD/vm"
	perl "$source/scripts/checkpatch.pl" --strict --no-tree --root="$source" \
		--terse -q --no-summary --show-types --ignore "$ignored" -f "${@/#/$top/}"
}

checkpatch() {
	local rc=0 list
	# kzalloc_obj() and its like are younger than 6.12.
	local kernel=ALLOC_WITH_SIZEOF
	# User programs have none of what these recommend: BIT(), __printf(),
	# strscpy(), READ_ONCE(); for them ENOSYS is what it is.  LINE_SPACING
	# knows no assertion behind a structure, CAMELCASE no _Static_assert,
	# COMPLEX_MACRO and MACRO_ARG_UNUSED no list of offsets (KARENA_TYPE).
	local user=BIT_MACRO,PREFER_DEFINED_ATTRIBUTE_MACRO,STRCPY,STRNCPY,VOLATILE
	user=$user,ENOSYS,LINE_SPACING,CAMELCASE,COMPLEX_MACRO,MACRO_ARG_UNUSED
	# Trace events are laid out as everywhere in the kernel, which it does not know.
	local trace=PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE,SPACING
	mapfile -t list < <(files "$kernel_folders" '*.[ch]' | grep -v /trace.h)
	checkpatch_files $kernel "${list[@]}" || rc=1
	mapfile -t list < <(files "$kernel_folders" trace.h)
	checkpatch_files $trace "${list[@]}" || rc=1
	# All that is unusual in C is in the table of karena-escape.
	mapfile -t list < <(files "$user_folders" '*.[ch]' | grep -vx tests/escape/table.c)
	checkpatch_files $user "${list[@]}" || rc=1
	return $rc
}

kernel_doc() {
	local list out
	mapfile -t list < <(files "$kernel_folders uapi tools/lib" '*.[ch]')
	[ ${#list[@]} -gt 0 ] || return 0
	out=$("$source/scripts/kernel-doc" -none -Wall "${list[@]}" 2>&1) || true
	[ -z "$out" ] || { sort -u <<<"$out"; return 1; }
}

clang_format() {
	local list
	mapfile -t list < <(files "$kernel_folders $user_folders" '*.[ch]'
		files tools/escape '*.cc')
	cd "$KARENA_TOP"
	"$KARENA_VM/layout.py" "${list[@]}"
}

# sparse KERNEL CHECKER: checks what the last build compiled.
sparse() {
	local kernel=$1 checker=$2 dir out log
	dir=$("$KARENA_VM/kernel.sh" "$kernel") || return 1
	out=$("$KARENA_VM/build.sh" "$kernel") || return 1
	log=$KARENA_BUILD/vm/logs/sparse-$kernel.log
	sparse_make() {
		make -C "$dir/build" M="${out:?}" C=2 CHECK="$checker" CF=-Wsparse-error \
			KARENA_TESTS=1 KARENA_WERROR=1 $arch "$@"
	}
	local arch=
	[ "$kernel" != "${kernel#uml}" ] && arch=ARCH=um
	with_lock "build-$(echo "$out" | tr / _)" sparse_make KARENA_SPARSE=1 modules >"$log" 2>&1 ||
		{ grep -E 'error:|warning:|Error' "$log"; return 1; }
	grep -q '^ *CHECK ' "$log" || { cat "$log"; echo "sparse did not run"; return 1; }
	# The checker itself is alive: it finds the planted bug.
	if with_lock "build-$(echo "$out" | tr / _)" sparse_make tests/planted/planted_sparse.o >"$log.planted" 2>&1; then
		echo "sparse missed tests/planted/planted_sparse.c"
		return 1
	fi
	grep -q 'different address spaces' "$log.planted" || { cat "$log.planted"; return 1; }
}

shell_check() {
	local list
	mapfile -t list < <(files "tools tests .ci" '*.sh')
	cd "$KARENA_TOP"
	[ ${#list[@]} -eq 0 ] || shellcheck -x -S warning "${list[@]}"
}

one() {
	case $1 in
	checkpatch)	run checkpatch checkpatch ;;
	kernel-doc)	run kernel-doc kernel_doc ;;
	clang-format)	run clang-format clang_format ;;
	sparse-6.1)	run sparse-6.1 sparse stock-6.1 sparse ;;
	sparse-7.3)	run sparse-7.3 sparse uml "$("$KARENA_VM/kernel.sh" sparse)" ;;
	scripts)	run scripts shell_check ;;
	*)		die "no check is called $1" ;;
	esac
}

checks='checkpatch kernel-doc clang-format scripts sparse-6.1 sparse-7.3'
if [ "${1:-}" = --quick ]; then
	quick=1
	checks='checkpatch kernel-doc clang-format scripts'
	shift
fi
mkdir -p "$KARENA_BUILD/vm/logs"
source=$("$KARENA_VM/kernel.sh" source)
rc=0
list=()
[ $# -gt 0 ] || read -ra list <<<"$checks"
for check in "$@" "${list[@]}"; do
	one "$check" || rc=1
done
exit $rc
