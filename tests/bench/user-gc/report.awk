# SPDX-License-Identifier: GPL-2.0
#
# Makes tables of the lines of measure.c, and one JSON object a line in the file that
# -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f lib.awk -f report.awk LOG
#
# Figures are medians of all runs, with the distance from the least to the most as a
# share of that beside those that are compared.  ratio is how many times karena is
# better than the peer, target what has been promised.  Exit status 1 if something
# stays below its target or a program failed, 2 if there is nothing to report.  Where -v
# instructions=1 says that time is that of instructions, steps are measured by the CPU time
# of their thread, as all CPUs are one there.

# The promises: CPU time against other collectors; the longest of 1,000 pauses, in us;
# pauses of 64 MiB to those of 1 GiB; steps while it marks to those while it does not.
BEGIN {
	promise["trees boehm"] = 1
	promise["trees go"] = 2
	pause = 100
	independence = 1 / 1.5
	undisturbed = 0.9
	peers = split("karena boehm go", peer)
}

# --- what was measured: all values of "case peer key" ---

/(^| )user-gc case=/ {
	parse()
	run = field["case"] " " field["peer"]
	n++
	if (!("cpu_us" in field) || field["status"] != 0)
		unfinished[run]++
	else
		add_run(run)
}

# Below how many us a share of the stops was: the kernel's buckets double.
function stop_at(run, share,    i, j, all, sum, bucket, count)
{
	for (i = 1; i <= runs[run]; i++) {
		split(value[run, "stop_us", i], bucket, ",")
		for (j = 1; j <= 16; j++) {
			count[j] += bucket[j]
			all += bucket[j]
		}
	}
	for (j = 1; j <= 16 && all; j++) {
		sum += count[j]
		if (sum >= all * share)
			return 2 ^ (j - 1)
	}
	return 0
}

# --- what is said of it ---

function verdict(ratio, target)
{
	missed += ratio < target
	return ratio < target ? "  MISSED" : ""
}

function to_json(name, unit, mine, theirs, peer_name, ratio, target, run, other)
{
	if (!json)
		return
	printf "{\"bench\":\"user-gc\",\"case\":\"%s\",\"machine\":\"%s\",\"unit\":\"%s\"," \
	       "\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"%s\",\"ratio\":%.3f,",
	       name, machine, unit, mine, theirs, peer_name, ratio >> json
	printf "\"target\":%.3f,\"runs\":%d,\"spread\":%.3f,\"memory\":%d,\"peer_memory\":%d}\n",
	       target, runs[run], spread(run, "cpu_us"), median(run, "peak"),
	       median(other, "peak") >> json
}

# karena against one other collector.
function against(name, other,    mine, theirs, ratio, target)
{
	theirs = median(name " " other, "cpu_us") / 1000
	mine = median(name " karena", "cpu_us") / 1000
	if (!mine || !theirs)
		return
	ratio = theirs / mine
	target = promise[name " " other] + 0
	printf "%s against %s: %.2f", name, other, ratio
	if (target)
		printf " (target %s)%s", target, verdict(ratio, target)
	print ""
	to_json(name, "ms of CPU", mine, theirs, other, ratio, target, name " karena",
		name " " other)
}

function programs(name,    i, run)
{
	if (!runs[name " karena"])
		return
	printf "%-12s %-7s %10s %7s %10s %10s %9s %7s %9s\n", name, "", "CPU ms", "spread",
	       "kernel ms", "clock ms", "peak MiB", "cycles", "stop us"
	for (i = 1; i <= peers; i++) {
		run = name " " peer[i]
		if (!runs[run])
			continue
		printf "%-12s %-7s %10.0f %6.0f%% %10.0f %10.0f %9.1f %7d", "", peer[i],
		       median(run, "cpu_us") / 1000, spread(run, "cpu_us") * 100,
		       median(run, "kernel_us") / 1000, median(run, "wall_us") / 1000,
		       median(run, "peak") / 1048576, median(run, "cycles")
		if (i == 1)
			printf " %4d/%d", stop_at(run, 0.5), most(run, "stop_max_us")
		print ""
	}
	against(name, "boehm")
	against(name, "go")
}

function pauses(    i, run, ratio)
{
	if (!runs["pauses karena"])
		return
	printf "pauses of binary-trees, us: gaps in a thread that spins; p50, p99, p99.9, most\n"
	peer[peers + 1] = "nobody"
	for (i = 1; i <= peers + 1; i++) {
		run = "pauses " peer[i]
		printf "  %-7s %7d gaps, %4.1f%% of the time: %6d %6d %6d %6d\n", peer[i],
		       median(run, "gaps"), median(run, "gap_share") * 100, median(run, "gap_p50"),
		       median(run, "gap_p99"), median(run, "gap_p999"), median(run, "gap_max")
	}
	ratio = pause / median("pauses karena", "gap_p999")
	printf "p99.9 against %d us: %.2f (target 1)%s\n", pause, ratio, verdict(ratio, 1)
	to_json("pause p99.9", "us", median("pauses karena", "gap_p999"), pause, "limit", ratio, 1,
		"pauses karena", "")
}

function lru(    run)
{
	run = "lru karena"
	if (!runs[run])
		return
	printf "lru: %d operations a second, %d%% of them hits, %d wrong, %d parts emptied; ",
	       median(run, "per_s"),
	       100 * median(run, "hits") / (median(run, "operations") + !runs[run]),
	       median(run, "wrong"), median(run, "emptied")
	printf "most memory %.0f MiB; %d cycles, %d put off\n", median(run, "held") / 1048576,
	       median(run, "cycles"), median(run, "put_off")
	printf "lru: stops below %d us (p50), %d us (p99), longest %d us; ", stop_at(run, 0.5),
	       stop_at(run, 0.99), most(run, "stop_max_us")
	printf "operations of %s us (p50), %s us (p99.9), %s us of those above 10 us\n",
	       median(run, "gap_p50"), median(run, "gap_p999"), median(run, "gap_max")
	missed += median(run, "wrong") > 0
	to_json("lru", "operations a second", median(run, "per_s"), 0, "", 0, 0, run, "")
}

# Two figures of one case or of two: how much better the second is than the first.
function compare(what, unit, mine, theirs, other, target, run,    ratio)
{
	if (!mine)
		return
	ratio = theirs / mine
	printf "%s: %.1f %s, %s %.1f %s: %.2f", what, mine, unit, other, theirs, unit, ratio
	if (target)
		printf " (target %.2f)%s", target, verdict(ratio, target)
	print ""
	to_json(what, unit, mine, theirs, other, ratio, target, run, "")
}

function walk(name, barrier, words, target,    run, i, ratio, ps)
{
	run = name " " barrier
	ps = instructions ? "_cpu_ps" : "_ps"
	if (!runs[run])
		return
	# Where the graph is in memory makes more of a difference: each run by itself.
	for (i = 1; i <= runs[run]; i++)
		if (value[run, "marking" ps, i] > 0)
			value[run, "ratio", i] = \
				value[run, "idle" ps, i] / value[run, "marking" ps, i]
	ratio = median(run, "ratio")
	printf "%s, %s, a step: %.0f ns, %.0f before it marks, %.0f while it does: %.2f", name,
	       words, median(run, "idle" ps) / 1000, median(run, "begin" ps) / 1000,
	       median(run, "marking" ps) / 1000, ratio
	printf " (spread %.0f%%)", spread(run, "ratio") * 100
	if (target)
		printf " (target %.2f)%s", target, verdict(ratio, target)
	print ""
	to_json(name ", " words, "ns", median(run, "marking" ps) / 1000,
		median(run, "idle" ps) / 1000, "while no cycle runs", ratio, target, run, "")
}

# With the MMU's barrier and with that of the program, which nothing is promised of.
function walks(name, target)
{
	walk(name, "karena", "MMU", target)
	walk(name, "barrier", "karena_store()", 0)
}

function pages(    run)
{
	run = "pages karena"
	if (runs[run])
		printf "a page: %d ns to protect, %d ns for the first store after that, %d ns later\n",
		       median(run, "protect_ns"), median(run, "first_ns"), median(run, "again_ns")
}

# Seconds and size depend on what the graph is like: nothing is promised of them.
function dump(    run)
{
	run = "dump-1G karena"
	if (!runs[run])
		return
	printf "dump of 1 GiB: %.1f s, %.1f MiB\n", median(run, "dump_ns") / 1e9,
	       median(run, "dump_bytes") / 1048576
	compare("its stop, p50", "us", median(run, "dump_stop_ns") / 1000,
		median("pause-1G karena", "stop_p50_ns") / 1000, "that of a cycle", 0, run)
}

END {
	stop_if_nothing()
	programs("trees")
	programs("gcbench")
	pauses()
	lru()
	compare("stop with 1 GiB, p50", "us", median("pause-1G karena", "stop_p50_ns") / 1000,
		median("pause-64M karena", "stop_p50_ns") / 1000, "with 64 MiB", independence,
		"pause-1G karena")
	dump()
	walks("read-mostly", undisturbed)
	walks("1%-writes", 0)
	walks("write-heavy", 0)
	pages()
	for (run in unfinished) {
		printf "%s: failed, %d times\n", run, unfinished[run]
		missed++
	}
	exit missed > 0
}
