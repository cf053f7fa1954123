# SPDX-License-Identifier: GPL-2.0
#
# bash completion for karenactl: commands, options and the numbers of heaps.

_karenactl_heaps() {
	karenactl heap list 2>/dev/null | awk 'NR > 1 { gsub(",", "", $1); print $1 }'
}

# What stands for a heap that may be a dump as well.
_karenactl_heaps_or_files() {
	_karenactl_heaps
	compgen -f -- "${COMP_WORDS[COMP_CWORD]}"
}

# What may follow the words that are there, options aside.
_karenactl_words() {
	case "$*" in
	'')			echo 'info heap class span type cache object map report limit' \
					'reclaim bench gc check profile dump why diff retained export' \
					'leak stat top help' ;;
	heap|'help heap')	echo 'list show explain reclaim' ;;
	class|'help class')	echo 'list' ;;
	span|type|cache|'help span'|'help type'|'help cache') echo 'list' ;;
	object|'help object')	echo 'show' ;;
	gc|'help gc')		echo 'run status trace set' ;;
	help)			echo 'info heap class span type cache object map report limit' \
					'reclaim bench gc check profile dump why diff retained export' \
					'leak stat top' ;;
	'heap show'|'heap explain'|'heap reclaim'|'class list') _karenactl_heaps ;;
	'span list'|'type list'|'cache list'|'object show'|map|report|limit|reclaim) _karenactl_heaps ;;
	'limit '*)		echo 'none' ;;
	'gc run'|'gc set'|'gc status'|'gc trace'|check|profile) _karenactl_heaps ;;
	dump|leak)		_karenactl_heaps ;;
	why|diff*|retained|export) _karenactl_heaps_or_files ;;
	'gc trace '*)		echo 'on off' ;;
	'gc set '*)		echo 'percent= min_heap= mem_limit= period_ms= slice_us= share=' \
					'assist_us= workers= trace= check=' ;;
	esac
}

_karenactl_options() {
	case "$*" in
	'')	echo '--help --usage --version' ;;
	top)	echo '--batch --bytes --delay --iterations --json --help --usage' ;;
	profile*) echo '--bytes --json --output= --rate= --help --usage' ;;
	span*)	echo '--bytes --class= --json --sort= --type= --help --usage' ;;
	map*)	echo '--bytes --json --svg= --help --usage' ;;
	report*) echo '--bytes --interval= --json --output= --seconds= --help --usage' ;;
	limit*)	echo '--bytes --json --policy= --wait= --help --usage' ;;
	bench*)	echo '--bytes --json --objects= --help --usage' ;;
	dump*)	echo '--bytes --json --output= --help --usage' ;;
	why*)	echo '--all= --bytes --json --help --usage' ;;
	retained*) echo '--bytes --json --top= --help --usage' ;;
	export*) echo '--format= --json --max= --output= --help --usage' ;;
	leak*)	echo '--bytes --cycles= --interval= --json --help --usage' ;;
	stat*)	echo '--bytes --heap= --json --prometheus --help --usage' ;;
	help*)	;;
	*)	echo '--bytes --json --help --usage' ;;
	esac
}

_karenactl() {
	local current=${COMP_WORDS[COMP_CWORD]} word words=()

	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $word == -* ]] || words+=("$word")
	done
	if [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_karenactl_options "${words[@]}")" -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_karenactl_words "${words[@]}")" -- "$current")
	fi
}

complete -F _karenactl karenactl
