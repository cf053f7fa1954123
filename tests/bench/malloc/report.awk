#!/usr/bin/awk -f
# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of measure.c for malloc, and one JSON object a line in the
# file that -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f report.awk LOG
#
# Times are medians of all runs.  ratio is how many times faster karena is than the best of
# the others, or how much less memory it has than mimalloc; target what has been promised.
# Exit status 1 if something stays below its target or a program failed, 2 if there is
# nothing to report.

BEGIN {
	peers = split("glibc jemalloc tcmalloc mimalloc", peer)
	promise["pair"] = 1.6
	promise["batch"] = 0.8
	promise["small"] = 0.9
	promise["large"] = 1.2
	promise["pipe"] = promise["redis"] = promise["sqlite"] = promise["python"] = 1
	memory_promise = 1 / 1.1
}

/(^| )malloc case=/ {
	delete field
	for (i = 1; i <= NF; i++)
		if (split($i, pair, "=") == 2)
			field[pair[1]] = pair[2]
	run = field["case"] " " field["peer"]
	if (!(field["case"] in seen)) {
		seen[field["case"]] = 1
		name[++n] = field["case"]
	}
	if (!field["ps"] || field["status"] != 0) {
		printf "%s: failed\n", run
		missed++
		next
	}
	runs[run]++
	value[run, "ps", runs[run]] = field["ps"]
	value[run, "rss", runs[run]] = field["rss_kib"] ? field["rss_kib"] * 1024 : field["rss"]
	value[run, "peak", runs[run]] = field["peak"]
}

function median(run, key,    i, j, x)
{
	for (i = 1; i <= runs[run]; i++) {
		x = value[run, key, i] + 0
		for (j = i - 1; j >= 1 && list[j] > x; j--)
			list[j + 1] = list[j]
		list[j + 1] = x
	}
	return runs[run] ? list[int(runs[run] / 2) + 1] : 0
}

# Distance from the least to the most, as a share of the median.
function spread(run,    middle)
{
	middle = median(run, "ps")
	return middle ? (list[runs[run]] - list[1]) / middle : 0
}

function verdict(ratio, target)
{
	missed += ratio < target
	return sprintf("%7.2f%s", ratio, ratio < target ? "!" : " ")
}

function to_json(what, unit, mine, theirs, who, ratio, target, run, other)
{
	if (!json)
		return
	printf "{\"bench\":\"malloc\",\"case\":\"%s\",\"machine\":\"%s\",\"unit\":\"%s\"," \
	       "\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"%s\",\"ratio\":%.3f,",
	       what, machine, unit, mine, theirs, who, ratio >> json
	printf "\"target\":%.3f,\"runs\":%d,\"spread\":%.3f,\"memory\":%d,\"peer_memory\":%d}\n",
	       target, runs[run], spread(run), median(run, "peak"), median(other, "peak") >> json
}

function report(c,    i, run, mine, best, who, target, kind, rss, theirs)
{
	run = c " karena"
	mine = median(run, "ps") / 1000
	if (!mine)
		return
	printf "%-12s %9.1f %5.0f%%", c, mine, spread(run) * 100
	for (i = 1; i <= peers; i++) {
		theirs = median(c " " peer[i], "ps") / 1000
		printf " %9.1f", theirs
		if (theirs && (!best || theirs < best)) {
			best = theirs
			who = peer[i]
		}
	}
	kind = c
	sub(/-.*/, "", kind)
	target = promise[kind] + 0
	rss = median(run, "rss")
	theirs = median(c " mimalloc", "rss")
	printf " %s %6s   %8.1f %8.1f %s\n", verdict(best / mine, target), target,
	       rss / 1048576, theirs / 1048576, verdict(theirs / rss, memory_promise)
	to_json(c, "ns", mine, best, who, best / mine, target, run, c " " who)
	to_json(c ", peak RSS", "bytes", rss, theirs, "mimalloc", theirs / rss, memory_promise, run,
		c " mimalloc")
	if (runs[c " inline"]) {
		mine = median(c " inline", "ps") / 1000
		printf "  inline     %9.1f %5.0f%% %49s\n", mine, spread(c " inline") * 100,
		       sprintf("%.2f", best / mine)
		to_json(c ", inline", "ns", mine, best, who, best / mine, 0, c " inline", c " " who)
	}
}

END {
	if (!n) {
		print machine ": no results" > "/dev/stderr"
		exit 2
	}
	printf "%-12s %9s %6s", "case, ns", "karena", "spread"
	for (i = 1; i <= peers; i++)
		printf " %9s", peer[i]
	printf " %8s %6s   %8s %8s %8s\n", "ratio", "target", "RSS MiB", "mimalloc", "ratio"
	for (i = 1; i <= n; i++)
		report(name[i])
	exit missed > 0
}
