# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of measure.c for what is to cost next to nothing, and one JSON
# object a line in the file that -v json=FILE names.
#
#	usage: awk -v bench=NAME -v machine=NAME -v json=FILE -f lib.awk -f overhead.awk LOG
#
# Times are CPU time, medians of all runs.  ratio is how many times faster a program is with
# it than without, and 0.99 is promised; cases with a hyphen in their name are shown without
# a promise.  Exit status 1 if a program stays below that or failed, 2 if there is nothing
# to report.

$0 ~ "(^| )" bench " case=" {
	parse()
	run = field["case"] " " field["peer"]
	note_case()
	if (!field["cpu_us"] || field["status"] != 0)
		has_failed(run)
	else
		add_run(run)
}

function report(c,    with, without, ratio, target)
{
	with = median(c " with", "cpu_us")
	without = median(c " without", "cpu_us")
	if (!with || !without)
		return
	ratio = without / with
	target = c ~ /-/ ? 0 : 0.99
	missed += ratio < target
	printf "%-12s %10.1f %5.1f%% %10.1f %5.1f%% %8.3f%s %5s\n", c, with / 1000,
	       half_spread(c " with", "cpu_us") * 100, without / 1000, half_spread(c " without", "cpu_us") * 100, ratio,
	       ratio < target ? "!" : " ", target ? target : "-"
	if (!json)
		return
	printf "{\"bench\":\"%s\",\"case\":\"%s\",\"machine\":\"%s\",\"unit\":\"ms\"," \
	       "\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"without\",\"ratio\":%.4f,", bench, c,
	       machine, with / 1000, without / 1000, ratio >> json
	printf "\"target\":%.2f,\"runs\":%d,\"spread\":%.4f,\"memory\":%d,\"peer_memory\":%d}\n",
	       target, runs[c " with"], half_spread(c " with", "cpu_us"), most(c " with", "peak"), most(c " without", "peak") >> json
}

END {
	stop_if_nothing()
	printf "%-12s %10s %6s %10s %6s %8s  %5s\n", "case, CPU ms", "with", "spread", "without",
	       "spread", "ratio", "target"
	for (i = 1; i <= n; i++)
		report(name[i])
	exit missed > 0
}
