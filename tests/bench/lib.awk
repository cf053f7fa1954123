# SPDX-License-Identifier: GPL-2.0
#
# What the reports of all benchmarks have in common: fields of a line, values of several
# runs, and what is made of these.
#
#	usage: awk -f lib.awk -f REPORT.awk ...
#
# A run is known by "case peer"; value[run, key, i] is what its i-th repetition had under a
# key, of runs[run] that there were.  name[1..n] are the cases as they came.

# Of a serial line.
{ sub(/\r$/, "") }

# The KEY=VALUE of a line.
function parse(    i, pair)
{
	delete field
	for (i = 1; i <= NF; i++)
		if (split($i, pair, "=") == 2)
			field[pair[1]] = pair[2]
}

# The case that the line is of.
function note_case()
{
	if (!(field["case"] in seen)) {
		seen[field["case"]] = 1
		name[++n] = field["case"]
	}
}

# The line's fields, as one more repetition of a run.
function add_run(run,    key)
{
	runs[run]++
	for (key in field)
		value[run, key, runs[run]] = field[key]
}

function has_failed(run)
{
	printf "%s: failed\n", run
	missed++
}

# In list[1] to list[runs[run]].
function sorted(run, key,    i, j, x)
{
	for (i = 1; i <= runs[run]; i++) {
		x = value[run, key, i] + 0
		for (j = i - 1; j >= 1 && list[j] > x; j--)
			list[j + 1] = list[j]
		list[j + 1] = x
	}
}

function median(run, key)
{
	sorted(run, key)
	return runs[run] ? list[int(runs[run] / 2) + 1] : 0
}

function most(run, key)
{
	sorted(run, key)
	return runs[run] ? list[runs[run]] : 0
}

# Distance from the least to the most, as a share of the median.
function spread(run, key,    middle)
{
	middle = median(run, key)
	return middle ? (list[runs[run]] - list[1]) / middle : 0
}

# The same of half of all runs, those in the middle.
function half_spread(run, key,    middle, high, low)
{
	middle = median(run, key)
	high = list[int((3 * runs[run] + 3) / 4)]
	low = list[int((runs[run] + 3) / 4)]
	return middle ? (high - low) / middle : 0
}

# In an END: nothing was measured.
function stop_if_nothing()
{
	if (n)
		return
	print machine ": no results" > "/dev/stderr"
	exit 2
}
