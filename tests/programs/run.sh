#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs that know nothing of karena, with libkarena-malloc and without: what they
# write has to be the same.  TAP; inside of a test machine, with karena loaded.
#
#   usage: run.sh [NAME...]
#
# KARENA_LONG=1 asks for full sizes instead of a slice.

set -u

here=$(cd "$(dirname "$0")" && pwd)
library=$KARENA_BUILD/lib/libkarena-malloc.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
failed=0

# size SLICE FULL
size() {
	if [ -n "${KARENA_LONG:-}" ]; then echo "$2"; else echo "$1"; fi
}

# Whether the library works at all: its heap is mapped.
uses_heap() {
	LD_PRELOAD=$library grep -c karena /proc/self/maps
}

# --- programs: each runs in an empty folder and writes what is to be the same ---

sqlite() {
	sqlite3 test.db <<-END
		PRAGMA journal_mode = MEMORY;
		CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL, data BLOB);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c
			WHERE i < $(size 20000 1000000))
		INSERT INTO t SELECT i, printf('name-%d', i * 7919 % 100003), i * 0.5,
			zeroblob(i % 300) FROM c;
		CREATE INDEX by_name ON t (name);
		SELECT count(*), sum(value), sum(length(data)) FROM t;
		SELECT substr(name, 1, 7), count(*), max(value) FROM t GROUP BY 1 ORDER BY 2, 1;
		UPDATE t SET name = upper(name) WHERE id % 3 = 0;
		DELETE FROM t WHERE id % 5 = 0;
		SELECT count(*), group_concat(name) FROM (SELECT name FROM t ORDER BY name LIMIT 500);
		VACUUM;
		PRAGMA integrity_check;
	END
	sha256sum <test.db
}

# A file of a thousand functions.
functions() {
	local i
	for ((i = 0; i < $(size 25 1000); i++)); do
		cat <<-END
			struct s$i { int a[$((i % 17 + 1))]; struct s$i *next; double d; };
			int f$i(struct s$i *s, int n)
			{
				int i, sum = $i;
				for (i = 0; i < n && s; i++, s = s->next)
					switch ((s->a[i % $((i % 17 + 1))] + $i) % 5) {
					case 0: sum += s->a[0]; break;
					case 1: sum ^= i << $((i % 7)); break;
					case 2: s->d *= sum; break;
					case 3: sum += f$((i ? i - 1 : 0))((void *)s->next, i); break;
					default: sum--;
					}
				return sum;
			}
		END
	done
}

compiler() {
	functions >test.c
	gcc -w -O2 -S -o test.s test.c && sha256sum <test.s
	gcc -w -O2 -c -o test.o test.c && objdump -d test.o | sha256sum
}

children() {
	local i
	for ((i = 0; i < $(size 150 600); i++)); do
		printf '%s ' "$(echo $((i * i)) | (read -r x; echo "$x"))"
	done
	echo
	{
		printf 'all:'; for ((i = 0; i < $(size 60 300); i++)); do printf ' o%d' $i; done
		printf '\n\t@cat $^ | sha256sum\n'
		for ((i = 0; i < $(size 60 300); i++)); do
			printf 'o%d:\n\t@echo $$(( %d * 3 )) >$@ && grep -q . $@\n' $i $i
		done
	} >Makefile
	make -s -j4
}

repository() {
	local i
	export GIT_AUTHOR_DATE="1000000000 +0000" GIT_COMMITTER_DATE="1000000000 +0000"
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
	git init -q -b main . && cp -r "/usr/include/$(size linux/can .)" tree
	for i in 1 2 3 4; do
		find tree -type f -name "*$i*.h" | head -100 | while read -r file; do
			echo "/* $i */" >>"$file"
		done
		git add tree && git commit -q -m "$i"
	done
	git fsck --full --strict 2>&1
	git repack -adfq --depth=50 --window=20 && git fsck --full 2>&1
	git rev-list --objects --all | sort | sha256sum
	git cat-file --batch-check --batch-all-objects | sort | sha256sum
	git log --stat -p | sha256sum
}

# Lines of tests with what came of each, but for where it ran and how long it took.
python() {
	local tests=(test_list test_dict test_fork1 test_json)
	# Two that look whether a child has descriptors beside its own: it has the heap's.
	local ignored=(-i test_close_fds_when_max_fd_is_lowered -i test_pass_fds_redirected)
	[ -z "${KARENA_LONG:-}" ] ||
		tests+=(test_set test_tuple test_str test_bytes test_re test_gc test_weakref
			test_threading test_mmap test_pickle test_collections test_heapq
			test_array test_struct test_zlib test_subprocess test_sqlite3
			test_decimal test_itertools)
	PYTHONMALLOC=malloc python3 -m test -v "${ignored[@]}" "${tests[@]}" 2>&1 |
		grep -E '\.\.\. (ok|FAIL|ERROR|skipped|expected failure)|^Tests result' | sort
}

# What is said to be in redis, however it got there.
redis_digest() {
	redis-cli -s "$PWD/socket" DEBUG DIGEST
	redis-cli -s "$PWD/socket" DBSIZE
}

redis_start() {
	redis-server --port 0 --unixsocket "$PWD/socket" --dir "$PWD" --save "" \
		--enable-debug-command yes --daemonize no >log 2>&1 &
	server=$!
	# While it loads its file it answers, but with an error.
	until [ "$(redis-cli -s "$PWD/socket" ping 2>&1)" = PONG ]; do
		kill -0 $server || return 1
		sleep 0.1
	done
	[ -z "${LD_PRELOAD:-}" ] || grep -q karena /proc/$server/maps
}

redis_fill() {
	awk -v n="$(size 3000 100000)" -v from="$1" 'BEGIN {
		for (i = from; i < from + n; i++) {
			printf "SET key:%d %0*d\r\n", i, i % 700 + 1, i
			printf "RPUSH list:%d %d a%d\r\n", i % 97, i, i
			printf "HSET hash:%d f%d v%d\r\n", i % 53, i, i
			printf "ZADD zset:%d %d m%d\r\n", i % 31, i * 7919 % 1000, i
			if (i % 3 == 0) printf "DEL key:%d\r\n", i - 1
		}
	}' | redis-cli -s "$PWD/socket" --pipe | tail -1
}

redis() {
	local server
	redis_start || return 1
	redis_fill 0
	redis-cli -s "$PWD/socket" BGSAVE >/dev/null
	redis_fill 1000000
	while redis-cli -s "$PWD/socket" INFO persistence | grep -q bgsave_in_progress:1; do
		sleep 0.1
	done
	redis-cli -s "$PWD/socket" INFO persistence | grep bgsave_status
	redis_digest
	redis-benchmark -s "$PWD/socket" -q -n "$(size 2000 100000)" -r 1000 -d 200 \
		-t set,get,lpush,lpop,sadd,hset,zadd,lrange_100 >benchmark || echo failed
	redis-cli -s "$PWD/socket" SHUTDOWN NOSAVE
	wait $server
	# What the child saved is what there was when it was forked.
	redis_start || return 1
	redis_digest
	redis-cli -s "$PWD/socket" SHUTDOWN NOSAVE
	wait $server
}

# --- running them ---

# seconds PROGRAM FOLDER PRELOAD: what it wrote is beside the folder.
run() {
	mkdir -p "$2"
	(cd "$2" && export LD_PRELOAD=$3 && "$1") >"$2.out" 2>"$2.err"
}

same() {
	local name=$1 from=$EPOCHREALTIME between
	run "$name" "$work/plain" ""
	between=$EPOCHREALTIME
	run "$name" "$work/karena" "$library"
	awk -v a="$from" -v b="$between" -v c="$EPOCHREALTIME" -v name="$name" \
		'BEGIN { printf "# %s: %.1f s with karena, %.1f s without\n", name, c - b, b - a }'
	n=$((n + 1))
	if [ -s "$work/plain.out" ] && cmp -s "$work/plain.out" "$work/karena.out"; then
		echo "ok $n - $name"
	else
		failed=1
		echo "not ok $n - $name"
		diff "$work/plain.out" "$work/karena.out" | head -20 | sed 's/^/# /'
		sed 's/^/# without: /' "$work/plain.err" | tail -5
		sed 's/^/# with: /' "$work/karena.err" | tail -20
	fi
	rm -rf "${work:?}"/*
}

[ $# -gt 0 ] || set -- redis sqlite python repository compiler children
cd "$here" || exit 1
echo "1..$#"
if [ "$(uses_heap)" = 0 ]; then
	echo "Bail out! the library has no heap"
	exit 1
fi
for name in "$@"; do
	same "$name"
done
exit $failed
