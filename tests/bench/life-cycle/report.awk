# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the lines of run.sh for life-cycle, and one JSON object a line in the
# file that -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f lib.awk -f report.awk LOG
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

/(^| )life-cycle case=.* against=/ {
	parse()
	note_case()
	against[field["case"]] = field["against"]
	target[field["case"]] = field["target"]
	next
}

/(^| )life-cycle case=/ {
	parse()
	run = field["case"] " " field["peer"]
	for (key in unit)
		if (field[key] && field["status"] == 0) {
			measured[field["case"]] = key
			add_run(run)
			next
		}
	has_failed(run)
}

function report(c,    mine, theirs, ratio, wide, other, key)
{
	other = c " " against[c]
	key = measured[c]
	if (!key)
		return
	mine = median(c " karena", key) / scale[key]
	theirs = median(other, key) / scale[key]
	if (!mine || !theirs)
		return
	ratio = theirs / mine
	wide = spread(c " karena", key)
	wide = wide > spread(other, key) ? wide : spread(other, key)
	missed += ratio < target[c]
	printf "%-24s %-5s %12.1f %12.1f %-12s %7.2f %7s %6.0f%%%s\n", c, unit[key], mine,
	       theirs, against[c], ratio, target[c], wide * 100, ratio < target[c] ? "  MISSED" : ""
	if (json)
		printf "{\"bench\":\"life-cycle\",\"case\":\"%s\",\"machine\":\"%s\"," \
		       "\"unit\":\"%s\",\"karena\":%.3f,\"peer\":%.3f,\"peer_name\":\"%s\"," \
		       "\"ratio\":%.3f,\"target\":%s,\"runs\":%d,\"spread\":%.3f," \
		       "\"memory\":%d,\"peer_memory\":%d}\n",
		       c, machine, unit[key], mine, theirs, against[c], ratio, target[c],
		       runs[c " karena"], wide, most(c " karena", "peak"), most(other, "peak") >> json
}

END {
	stop_if_nothing()
	printf "%-24s %-5s %12s %12s %-12s %7s %7s %7s\n", "case", "unit", "karena", "peer", "",
	       "ratio", "target", "spread"
	for (i = 1; i <= n; i++)
		report(name[i])
	exit missed > 0
}
