#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# One program with the malloc that $PRELOAD names; prints what a piece of its work took,
# in picoseconds, and the most memory that it had.
#
#   usage: program.sh redis|sqlite|python FOLDER
#
# $KARENA_ROWS: of sqlite's table, 20,000 if it is not set.

set -eu

name=$1
cd "$2"

# timed UNITS COMMAND...: with the malloc; nothing that it prints is of interest.
timed() {
	local units=$1 begin end
	shift
	begin=${EPOCHREALTIME/./}
	LD_PRELOAD=${PRELOAD:-} "$@" >/dev/null
	end=${EPOCHREALTIME/./}
	echo "ps=$(((end - begin) * 1000000 / units))"
}

redis() {
	local socket=$PWD/socket rps server
	rm -f "$socket"
	LD_PRELOAD=${PRELOAD:-} redis-server --port 0 --unixsocket "$socket" --save '' \
		--appendonly no --daemonize no >/dev/null &
	server=$!
	until redis-cli -s "$socket" ping >/dev/null 2>&1; do
		kill -0 "$server"
	done
	rps=$(redis-benchmark -s "$socket" -q --csv -c 20 -P 8 -n 20000 -r 10000 -d 200 \
		-t set,get,lpush,hset,zadd | awk -F '","' '
		NR > 1 { sum += 1 / $2; n++ } END { print n / sum }')
	echo "ps=$(awk -v rps="$rps" 'BEGIN { printf "%.0f", 1e12 / rps }')" \
		"rss_kib=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$server/status")"
	redis-cli -s "$socket" shutdown nosave >/dev/null 2>&1 || true
	wait "$server" || true
}

sqlite() {
	local rows=${KARENA_ROWS:-20000}
	timed "$rows" sqlite3 :memory: <<-END
		CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL, data BLOB);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $rows)
		INSERT INTO t SELECT i, printf('name-%d', i * 7919 % 100003), i * 0.5,
			zeroblob(i % 300) FROM c;
		CREATE INDEX by_name ON t (name);
		SELECT substr(name, 1, 7), count(*), max(value) FROM t GROUP BY 1 ORDER BY 2, 1;
		UPDATE t SET name = upper(name) || id WHERE id % 3 = 0;
		DELETE FROM t WHERE id % 5 = 0;
		SELECT count(*), group_concat(name) FROM (SELECT name FROM t ORDER BY name);
	END
}

python() {
	PYTHONMALLOC=malloc timed 10 python3 - <<-END
		import json
		class Node:
		    def __init__(self, left, right):
		        self.left, self.right = left, right
		def tree(depth):
		    return Node(tree(depth - 1), tree(depth - 1)) if depth else None
		for i in range(10):
		    tree(10)
		    d = {str(n): [n, n * 0.5, "x" * (n % 50)] for n in range(2000)}
		    assert json.loads(json.dumps(d)) == d
		    sorted(d, key=lambda k: d[k][2])
	END
}

"$name" | tr '\n' ' '
