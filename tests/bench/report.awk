# SPDX-License-Identifier: GPL-2.0
#
# Makes a table of the log lines of karena_bench (tests/bench/slab.c), and one
# JSON object a line in the file that -v json=FILE names.
#
#	usage: awk -v machine=NAME -v json=FILE -f lib.awk -f report.awk LOG
#
# ratio is how many times karena is better than the peer; target what has been
# promised for this machine and case, 0 for nothing.  Exit status 1 if a ratio
# stays below its target, 2 if there is nothing to report.

# The promises: "machine name" -> ratio, at 64 bytes and without zeroing; with
# two CPUs nothing may be lost at any size.
BEGIN {
	promise["uml pair"] = 3.5
	promise["uml batch-128"] = 5
	promise["stock-6.1 pair"] = 3
	promise["stock-6.1 random-4096"] = 5
	promise["stock-6.1 bulk-128"] = 1.8
}

function target_of(c)
{
	if (name[c] ~ /2cpu|producer/)
		return 1
	if (size[c] == 64 && !zero[c] && (machine " " name[c]) in promise)
		return promise[machine " " name[c]]
	return 0
}

# Largest distance from the least to the most, of both, as a share of the median.
function spread_of(    mine, theirs)
{
	mine = (field["karena_max"] - field["karena_min"]) / field["karena"]
	theirs = (field["peer_max"] - field["peer_min"]) / field["peer"]
	return mine > theirs ? mine : theirs
}

/karena_bench: baseline/ {
	parse()
	printf "%s: %s %.2f ns\n", machine, field["name"], field["ps"] / 1000
}

/karena_bench: case/ {
	parse()
	n++
	name[n] = field["name"]
	size[n] = field["size"]
	zero[n] = field["zero"]
	runs[n] = field["runs"]
	karena[n] = field["karena"] / 1000
	peer[n] = field["peer"] / 1000
	wide[n] = spread_of()
}

/karena_bench: memory/ {
	parse()
	memory[field["size"]] = field["karena"]
	peer_memory[field["size"]] = field["kmem_cache"]
}

END {
	stop_if_nothing()
	printf "%-18s %5s %5s %10s %10s %7s %7s %7s\n", "case", "bytes", "zero",
	       "karena ns", "slab ns", "ratio", "target", "spread"
	for (c = 1; c <= n; c++) {
		target = target_of(c)
		ratio = peer[c] / karena[c]
		missed += ratio < target
		printf "%-18s %5d %5s %10.1f %10.1f %7.2f %7s %6.0f%%%s\n", name[c], size[c],
		       zero[c] ? "yes" : "no", karena[c], peer[c], ratio,
		       target ? target : "-", wide[c] * 100, ratio < target ? "  MISSED" : ""
		if (json)
			printf "{\"bench\":\"slab\",\"case\":\"%s/%d/%s\",\"machine\":\"%s\"," \
			       "\"unit\":\"ns\",\"karena\":%.3f,\"peer\":%.3f," \
			       "\"peer_name\":\"kmem_cache\",\"ratio\":%.3f,\"target\":%s," \
			       "\"runs\":%d,\"spread\":%.3f,\"memory\":%d,\"peer_memory\":%d}\n",
			       name[c], size[c], zero[c] ? "zero" : "nozero", machine,
			       karena[c], peer[c], ratio, target, runs[c], wide[c],
			       memory[size[c]], peer_memory[size[c]] >> json
	}
	for (s in memory)
		printf "memory with 65536 objects of %d bytes out: karena %.2f MiB, slab %.2f MiB\n",
		       s, memory[s] / 1048576, peer_memory[s] / 1048576
	exit missed > 0
}
