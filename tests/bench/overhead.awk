#!/usr/bin/awk -f
# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of measure.c for what is to cost next to nothing, and one JSON
# object a line in the file that -v json=FILE names.
#
#	usage: awk -v bench=NAME -v machine=NAME -v json=FILE -f overhead.awk LOG
#
# Times are CPU time, medians of all runs.  ratio is how many times faster a program is with
# it than without, and 0.99 is promised; cases with a hyphen in their name are shown without
# a promise.  Exit status 1 if a program stays below that or failed, 2 if there is nothing
# to report.

$0 ~ "(^| )" bench " case=" {
	delete field
	for (i = 1; i <= NF; i++)
		if (split($i, pair, "=") == 2)
			field[pair[1]] = pair[2]
	run = field["case"] " " field["peer"]
	if (!(field["case"] in seen)) {
		seen[field["case"]] = 1
		name[++n] = field["case"]
	}
	if (!field["cpu_us"] || field["status"] != 0) {
		printf "%s: failed\n", run
		missed++
		next
	}
	value[run, ++runs[run]] = field["cpu_us"]
	peak[run] = field["peak"] > peak[run] ? field["peak"] : peak[run]
}

function median(run,    i, j, x)
{
	for (i = 1; i <= runs[run]; i++) {
		x = value[run, i] + 0
		for (j = i - 1; j >= 1 && list[j] > x; j--)
			list[j + 1] = list[j]
		list[j + 1] = x
	}
	return runs[run] ? list[int((runs[run] + 1) / 2)] : 0
}

# Half of all runs are so far apart, as a share of the median.
function spread(run,    middle)
{
	middle = median(run)
	return middle ? (list[int((3 * runs[run] + 3) / 4)] - list[int((runs[run] + 3) / 4)]) / middle : 0
}

function report(c,    with, without, ratio, target)
{
	with = median(c " with")
	without = median(c " without")
	if (!with || !without)
		return
	ratio = without / with
	target = c ~ /-/ ? 0 : 0.99
	missed += ratio < target
	printf "%-12s %10.1f %5.1f%% %10.1f %5.1f%% %8.3f%s %5s\n", c, with / 1000,
	       spread(c " with") * 100, without / 1000, spread(c " without") * 100, ratio,
	       ratio < target ? "!" : " ", target ? target : "-"
	if (!json)
		return
	printf "{\"bench\":\"%s\",\"case\":\"%s\",\"machine\":\"%s\",\"unit\":\"ms\"," \
	       "\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"without\",\"ratio\":%.4f,", bench, c,
	       machine, with / 1000, without / 1000, ratio >> json
	printf "\"target\":%.2f,\"runs\":%d,\"spread\":%.4f,\"memory\":%d,\"peer_memory\":%d}\n",
	       target, runs[c " with"], spread(c " with"), peak[c " with"], peak[c " without"] >> json
}

END {
	if (!n) {
		print machine ": no results" > "/dev/stderr"
		exit 2
	}
	printf "%-12s %10s %6s %10s %6s %8s  %5s\n", "case, CPU ms", "with", "spread", "without",
	       "spread", "ratio", "target"
	for (i = 1; i <= n; i++)
		report(name[i])
	exit missed > 0
}
