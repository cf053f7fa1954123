# SPDX-License-Identifier: GPL-2.0
#
# Reads what tests printed and says what came of each, one a line:
#
#	ok MACHINE/SUITE/TEST
#	not ok MACHINE/SUITE/TEST # reason
#	    what was printed before it
#	skip MACHINE/SUITE/TEST # reason
#
#   usage: awk -v machine=NAME -f tap.awk FILE
#
# FILE is a kernel log with KTAP in it, or TAP of programs, each between the
# lines "### begin PROGRAM" and "### end PROGRAM STATUS" that tools/vm/guest.sh
# prints.  Tests within tests are told by four columns of indentation a level.
# No plan, less or more results than planned, no result at all, and a program
# that fails though its tests do not, are failures of their own.

function path(level, name,	i, text)
{
	text = machine
	if (program != "")
		text = text "/" program
	for (i = 1; i <= level; i++)
		if (group[i] != "")
			text = text "/" group[i]
	if (name != "")
		text = text "/" name
	gsub(/[ \t]+/, "_", text)
	return text
}

function report(kind, what, why,	i)
{
	print kind " " what (why == "" ? "" : " # " why)
	if (kind == "not ok") {
		failures++
		for (i = notes > 25 ? notes - 25 : 0; i < notes; i++)
			print "    " note[i]
	}
	notes = 0
}

function forget(level)
{
	plan[level] = ""
	seen[level] = bad[level] = 0
	if (level > 0)
		group[level] = ""
}

# Ends a level.  Only parameters of a KUnit test come without a plan.
function finish(level,	what)
{
	what = path(level, "plan")
	if (plan[level] == "" && level < 2)
		report("not ok", what, "no plan")
	else if (plan[level] != "" && plan[level] != seen[level])
		report("not ok", what, plan[level] " tests planned, " seen[level] " seen")
	else if (seen[level] == 0)
		report("not ok", what, "no tests")
	else
		return 0
	return 1
}

# A result at a level ends the levels below it, which were its parts.
function end_parts(level,	i, wrong)
{
	for (i = depth; i > level; i--) {
		if (plan[i] != "" || seen[i]) {
			wrong += finish(i) + bad[i]
			parts = 1
		}
		forget(i)
	}
	depth = level
	return wrong
}

function result(level, line,	failed, why, wrong)
{
	failed = line ~ /^not ok/
	sub(/^(not )?ok *[0-9]* *(- *)?/, "", line)
	why = ""
	if (match(line, / *# *[Ss][Kk][Ii][Pp][^ ]* */)) {
		why = substr(line, RSTART + RLENGTH)
		if (why == "")
			why = "no reason given"
		line = substr(line, 1, RSTART - 1)
	} else {
		sub(/ *#.*/, "", line)
	}
	parts = 0
	wrong = end_parts(level)
	seen[level]++
	if (failed || wrong)
		bad[level]++
	if (!parts && why != "")
		report("skip", path(level, line), why)
	else if (failed && !wrong)
		report("not ok", path(level, line))
	else if (!parts)
		report("ok", path(level, line))
}

function begin(name,	i)
{
	for (i = 0; i <= depth; i++)
		forget(i)
	program = name
	depth = notes = failures = skipped = started = 0
}

function end(status)
{
	if (skipped)
		report("skip", path(0, ""), skipped)
	else {
		end_parts(0)
		finish(0)
	}
	if (status != 0 && !failures)
		report("not ok", path(0, "exit"), "status " status)
	begin("")
}

BEGIN {
	begin("")
}

# Terminals and the kernel's log add to lines.
{
	sub(/\r$/, "")
	sub(/^\[ *[0-9]+\.[0-9]+\](\[[^]]*\])? ?/, "")
}

/^### begin / {
	begin($3)
	inside = 1
	next
}

/^### end / {
	end($4)
	inside = 0
	next
}

{
	line = $0
	match(line, /^ */)
	level = int(RLENGTH / 4)
	sub(/^ */, "", line)
}

line ~ /^1\.\.0( *#.*)?$/ {
	# What a kernel without built-in tests prints at boot, or a whole
	# program that cannot run here.
	if (inside) {
		skipped = line
		sub(/^1\.\.0 *#? *([Ss][Kk][Ii][Pp][^ ]*)? */, "", skipped)
		if (skipped == "")
			skipped = 0
		plan[0] = 0
	}
	next
}

line ~ /^1\.\.[0-9]+/ {
	if (level > depth)
		depth = level
	sub(/^1\.\./, "", line)
	plan[level] = line + 0
	started = 1
	next
}

line ~ /^# Subtest: / {
	sub(/^# Subtest: /, "", line)
	if (level == 0)
		level = 1
	if (level > depth)
		depth = level
	group[level] = line
	next
}

line ~ /^(not )?ok( |$)/ && (started || inside || level > 0) {
	if (level > depth)
		depth = level
	result(level, line)
	next
}

line ~ /^Bail out!/ {
	report("not ok", path(depth, "bail_out"), line)
	next
}

# Another test module's results begin.
line ~ /^KTAP version/ && level == 0 && !inside {
	if (started)
		end(0)
	begin("")
	next
}

line !~ /^(KTAP|TAP) version/ {
	note[notes++] = $0
}

END {
	# The kernel log has no end marker; a program without one has died.
	if (inside)
		report("not ok", path(depth, "unfinished"), "the machine stopped while it ran")
	else if (started && program == "" && (plan[0] != "" || seen[0]))
		end(0)
}
