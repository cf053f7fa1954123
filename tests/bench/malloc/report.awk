# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of measure.c for malloc, and one JSON object a line in the
# file that -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f lib.awk -f report.awk LOG
#
# With -v instructions=1 the machine counted instructions, one a nanosecond, and the time of a
# program is that of its CPU: what it waits for takes as long as it takes.
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
	parse()
	run = field["case"] " " field["peer"]
	note_case()
	if (!field["ps"] || field["status"] != 0) {
		has_failed(run)
		next
	}
	if (instructions && field["case"] !~ /-/)
		field["ps"] = field["cpu_us"] * 1000000
	if (field["rss_kib"])
		field["rss"] = field["rss_kib"] * 1024
	add_run(run)
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
	       target, runs[run], spread(run, "ps"), median(run, "peak"), median(other, "peak") >> json
}

function report(c,    i, run, mine, best, who, target, kind, rss, theirs)
{
	run = c " karena"
	mine = median(run, "ps") / 1000
	if (!mine)
		return
	printf "%-12s %9.1f %5.0f%%", c, mine, spread(run, "ps") * 100
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
		printf "  inline     %9.1f %5.0f%% %49s\n", mine, spread(c " inline", "ps") * 100,
		       sprintf("%.2f", best / mine)
		to_json(c ", inline", "ns", mine, best, who, best / mine, 0, c " inline", c " " who)
	}
}

END {
	stop_if_nothing()
	printf "%-12s %9s %6s", "case, ns", "karena", "spread"
	for (i = 1; i <= peers; i++)
		printf " %9s", peer[i]
	printf " %8s %6s   %8s %8s %8s\n", "ratio", "target", "RSS MiB", "mimalloc", "ratio"
	for (i = 1; i <= n; i++)
		report(name[i])
	exit missed > 0
}
