# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the log lines of karena_bench_mark and of its peers, and one
# JSON object a line in the file that -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f lib.awk -f report.awk KERNEL_LOG PEERS
#
# ratio is how many times less CPU time karena takes for an object that is alive;
# target what has been promised.  Exit status 1 if something stays below its
# target, 2 if there is nothing to report.

# The promises: "peer graph" -> ratio of CPU time; two workers against one by the
# clock on the wall; the share of slices in time; picoseconds of an idle barrier.
BEGIN {
	promise["boehm random"] = 10
	promise["boehm tree"] = 2
	promise["go random"] = 12
	promise["go tree"] = 4
	faster = 1.7
	in_time = 99.9
	idle = 300
}

function cpu_spread()
{
	return (field["cpu_max"] - field["cpu_min"]) / field["cpu_ps"]
}

function row(who, what, ns, percent, wall, memory)
{
	printf "%-18s %-8s %8.1f ns %4.0f%% %9.1f ms %7.0f MiB", who, what, ns, percent * 100,
	       wall / 1000, memory / 1048576
}

function verdict(value, target)
{
	if (value < target)
		missed++
	return value < target ? "  MISSED" : ""
}

function to_json(name, peer, value, target, unit)
{
	if (json)
		printf "{\"bench\":\"mark\",\"case\":\"%s\",\"machine\":\"%s\",\"peer_name\":\"%s\"," \
		       "\"unit\":\"%s\",\"ratio\":%.3f,\"target\":%s}\n",
		       name, machine, peer, unit, value, target >> json
}

/karena_bench_mark: mark/ {
	parse()
	n++
	row("karena, workers: " field["workers"], field["name"], field["cpu_ps"] / 1000,
	    cpu_spread(), field["wall_us"], field["memory"])
	late = field["late"] - field["ticked"]
	share = 100 * (1 - field["late"] / field["slices"])
	printf "  slices in time: %.2f%% (%.2f%% but for those with a timer tick)\n",
	       share, 100 * (1 - late / field["slices"])
	if (field["workers"] == 1) {
		ps[field["name"]] = field["cpu_ps"]
		wall[field["name"]] = field["wall_us"]
		slices += field["slices"]
		lates += field["late"]
	} else {
		speed[field["name"]] = wall[field["name"]] / field["wall_us"]
	}
}

/karena_bench_mark: store plain/ {
	parse()
	n_stores++
	plain += field["plain_ps"]
	idle_ps += field["idle_ps"]
}

/karena_bench_mark: store marking/ {
	parse()
	marking += field["marking_ps"]
}

/^(boehm|go) name=/ {
	parse()
	row($1, field["name"], field["cpu_ps"] / 1000, cpu_spread(), field["wall_us"], field["memory"])
	print ""
	peer[$1 " " field["name"]] = field["cpu_ps"]
}

END {
	stop_if_nothing()
	for (p in peer) {
		split(p, part, " ")
		ratio = peer[p] / ps[part[2]]
		printf "%-6s against %-6s %6.2f (target %s)%s\n", part[2], part[1], ratio, promise[p],
		       verdict(ratio, promise[p])
		to_json(part[2], part[1], ratio, promise[p], "ns an object")
	}
	for (g in speed) {
		printf "%-6s two workers    %6.2f (target %s)%s\n", g, speed[g], faster,
		       verdict(speed[g], faster)
		to_json(g "/2 workers", "1 worker", speed[g], faster, "ms")
	}
	share = 100 * (1 - lates / slices)
	printf "slices in time: %.2f%% (target %s%%)%s\n", share, in_time, verdict(share, in_time)
	to_json("slices in time", "budget", share, in_time, "%")
	cost = (idle_ps - plain) / n_stores
	printf "a store: plain %.2f ns, with the barrier idle %+.2f (target +%.1f)%s, marking %.2f\n",
	       plain / n_stores / 1000, cost / 1000, idle / 1000, verdict(-cost, -idle),
	       marking / n_stores / 1000
	exit missed > 0
}
