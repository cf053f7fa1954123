# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of run.sh, and one JSON object a line in the file that
# -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f lib.awk -f report.awk LOG
#
# gone is the share of the heap's objects that there are not any more, of which half is
# promised for all examples together; ratio is how many times faster a program is, by the
# median CPU time, which is never to be below 1.  Exit status 1 if something stays below its
# target or a program failed, 2 if there is nothing to report.

/(^| )escape case=/ {
	parse()
	note_case()
	run = field["case"] " " field["peer"]
	if ("objects" in field) {
		objects[run] = field["objects"]
		total[field["peer"]] += field["objects"]
		next
	}
	if (field["status"] != 0)
		has_failed(run)
	else
		add_run(run)
}

function to_json(c, unit, mine, theirs, ratio, target, nr, wide)
{
	if (json)
		printf "{\"bench\":\"escape\",\"case\":\"%s\",\"machine\":\"%s\",\"unit\":\"%s\"," \
		       "\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"heap\",\"ratio\":%.3f," \
		       "\"target\":%.1f,\"runs\":%d,\"spread\":%.3f,\"memory\":0," \
		       "\"peer_memory\":0}\n", c, machine, unit, mine, theirs, ratio, target, nr,
		       wide >> json
}

function count(c,    before, after, gone)
{
	before = objects[c " heap"]
	after = objects[c " escape"]
	gone = before ? 1 - after / before : 0
	printf "%-10s %12d %12d %6.1f%% gone\n", c, before, after, gone * 100
	to_json(c ", objects", "objects", after, before, gone, 0, 1, 0)
}

function times(c,    mine, theirs, wide)
{
	theirs = median(c " heap", "cpu_us")
	mine = median(c " escape", "cpu_us")
	if (!mine || !theirs)
		return
	wide = spread(c " escape", "cpu_us")
	printf "%-10s %10.1f ms %10.1f ms %7.2f times %5.0f%% spread%s\n", c, theirs / 1000,
	       mine / 1000, theirs / mine, wide * 100, theirs < mine ? "  MISSED" : ""
	missed += theirs < mine
	to_json(c, "us", mine, theirs, theirs / mine, 1, runs[c " escape"], wide)
}

END {
	stop_if_nothing()
	printf "%-10s %12s %12s\n", "case", "heap", "escape"
	for (i = 1; i <= n; i++) {
		if (name[i] " heap" in objects)
			count(name[i])
		times(name[i])
	}
	if (total["heap"]) {
		gone = 1 - total["escape"] / total["heap"]
		printf "%-10s %12d %12d %6.1f%% gone, half is wanted%s\n", "all", total["heap"],
		       total["escape"], gone * 100, gone < 0.5 ? "  MISSED" : ""
		missed += gone < 0.5
		to_json("all, objects", "objects", total["escape"], total["heap"], gone, 0.5, 1, 0)
	}
	exit missed > 0
}
