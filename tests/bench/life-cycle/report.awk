#!/usr/bin/awk -f
# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of run.sh for life-cycle, and one JSON object a line in the
# file that -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f report.awk LOG
#
# Figures are medians of all runs; less is better.  ratio is how many times better karena is
# than the peer; target what has been promised, 0 for nothing.  Exit status 1 if something
# stays below its target or a program failed, 2 if there is nothing to report.

BEGIN {
	# What lines may have, and what it is told in.
	unit["ps"] = "ns"
	scale["ps"] = 1000
	unit["bytes"] = "bytes"
	scale["bytes"] = 1
}

# Of a serial line.
{ sub(/\r$/, "") }

function parse(    i, pair)
{
	delete field
	for (i = 1; i <= NF; i++)
		if (split($i, pair, "=") == 2)
			field[pair[1]] = pair[2]
}

/(^| )life-cycle case=.* against=/ {
	parse()
	c = field["case"]
	if (!(c in target))
		name[++n] = c
	against[c] = field["against"]
	target[c] = field["target"]
	next
}

/(^| )life-cycle case=/ {
	parse()
	c = field["case"]
	run = c " " field["peer"]
	for (key in unit)
		if (field[key] && field["status"] == 0) {
			in_unit[c] = key
			value[run, ++runs[run]] = field[key] / scale[key]
			peak[run] = field["peak"]
			next
		}
	printf "%s: failed\n", run
	missed++
}

function median(run,    i, j, x)
{
	for (i = 1; i <= runs[run]; i++) {
		x = value[run, i] + 0
		for (j = i - 1; j >= 1 && list[j] > x; j--)
			list[j + 1] = list[j]
		list[j + 1] = x
	}
	return runs[run] ? list[int(runs[run] / 2) + 1] : 0
}

# Distance from the least to the most, as a share of the median.
function spread(run,    middle)
{
	middle = median(run)
	return middle ? (list[runs[run]] - list[1]) / middle : 0
}

function report(c,    mine, theirs, ratio, wide, other)
{
	other = c " " against[c]
	mine = median(c " karena")
	theirs = median(other)
	if (!mine || !theirs)
		return
	ratio = theirs / mine
	wide = spread(c " karena")
	wide = wide > spread(other) ? wide : spread(other)
	missed += ratio < target[c]
	printf "%-24s %-5s %12.1f %12.1f %-12s %7.2f %7s %6.0f%%%s\n", c, unit[in_unit[c]], mine,
	       theirs, against[c], ratio, target[c], wide * 100, ratio < target[c] ? "  MISSED" : ""
	if (json)
		printf "{\"bench\":\"life-cycle\",\"case\":\"%s\",\"machine\":\"%s\"," \
		       "\"unit\":\"%s\",\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"%s\"," \
		       "\"ratio\":%.3f,\"target\":%s,\"runs\":%d,\"spread\":%.3f," \
		       "\"memory\":%d,\"peer_memory\":%d}\n",
		       c, machine, unit[in_unit[c]], mine, theirs, against[c], ratio, target[c],
		       runs[c " karena"], wide, peak[c " karena"], peak[other] >> json
}

END {
	if (!n) {
		print machine ": no results" > "/dev/stderr"
		exit 2
	}
	printf "%-24s %-5s %12s %12s %-12s %7s %7s %7s\n", "case", "unit", "karena", "peer", "",
	       "ratio", "target", "spread"
	for (i = 1; i <= n; i++)
		report(name[i])
	exit missed > 0
}
