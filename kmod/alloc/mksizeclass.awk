#!/usr/bin/awk -f
# SPDX-License-Identifier: GPL-2.0
#
# Writes sizeclass_table.h: the size classes of Go's runtime, by its rules
# (src/runtime/mksizeclasses.go of Go 1.25):
#
#  - Sizes grow in steps that keep the waste of rounding up at 12.5 % at most:
#    8 bytes first, 16 from 32 on, an eighth of the size from 128 on, at most
#    256 from 2048 on.
#  - A span has as many pages as it takes to waste an eighth of it at most
#    behind its last object.
#  - A size that fits as many objects into as many pages as the next one gives
#    way to it, and each size grows as far as its number of objects allows, in
#    units of 128 bytes.
#
#	usage: awk -f mksizeclass.awk > sizeclass_table.h
#	       awk -v user=1 -f mksizeclass.awk > ../../tools/lib/classes.h
#
# The second one is for programs: which magazine serves a size, as <linux/karena.h>
# numbers them.

function next_align(size, align)
{
	if (is_pow2(size)) {
		if (size >= 2048)
			return 256
		if (size >= 128)
			return size / 8
		if (size >= 32)
			return 16
	}
	return align
}

function is_pow2(n)
{
	while (n > 1 && n % 2 == 0)
		n /= 2
	return n == 1
}

function array(type, name, values, count, per_line,    i)
{
	printf "\n%sconst %s %s[%d] = {", user ? "static " : "", type, name, count
	for (i = 0; i < count; i++)
		printf "%s%s,", i % per_line ? " " : "\n\t", values[i]
	print "\n};"
}

BEGIN {
	PAGE = 8192
	MAX = 32768
	n = 1
	align = 8
	for (size = 8; size <= MAX; size += align) {
		align = next_align(size, align)
		bytes = PAGE
		while (bytes % size > bytes / 8)
			bytes += PAGE
		objects = int(bytes / size)
		if (n > 1 && pages[n - 1] == bytes / PAGE && nobj[n - 1] == objects) {
			sizes[n - 1] = size
			continue
		}
		sizes[n] = size
		pages[n] = bytes / PAGE
		nobj[n] = objects
		n++
	}
	sizes[0] = pages[0] = nobj[0] = magic[0] = 0
	for (i = 1; i < n; i++) {
		grown = int(pages[i] * PAGE / nobj[i])
		grown -= grown % 128
		if (grown > sizes[i])
			sizes[i] = grown
		# ceil(2^32 / size): offset * magic >> 32 is offset / size for
		# each offset in a span.
		magic[i] = int((4294967296 + sizes[i] - 1) / sizes[i])
	}
	class = 1
	for (i = 0; i <= 1024 / 8; i++) {
		while (sizes[class] < i * 8)
			class++
		small[i] = class
	}
	small[0] = 1
	for (i = 0; i <= (MAX - 1024) / 128; i++) {
		while (sizes[class] < 1024 + i * 128)
			class++
		big[i] = class
	}
	for (i = 0; i < n; i++)
		magic[i] = magic[i] "U"

	if (user)
		print_user()
	else
		print_kernel()
}

function print_kernel()
{
	print "/* SPDX-License-Identifier: GPL-2.0 */"
	print "/* Written by mksizeclass.awk; do not edit. */"
	print "#ifndef _KARENA_SIZECLASS_TABLE_H"
	print "#define _KARENA_SIZECLASS_TABLE_H"
	print "\n#define KARENA_TABLE_CLASSES " n
	array("u16", "karena_class_size", sizes, n, 10)
	array("u8", "karena_class_pages", pages, n, 16)
	array("u16", "karena_class_objects", nobj, n, 12)
	array("u32", "karena_class_magic", magic, n, 5)
	print "\n/* Class of a size up to 1024 bytes, by (size + 7) / 8. */"
	array("u8", "karena_class_small", small, 1024 / 8 + 1, 16)
	print "\n/* Class of a larger size, by (size - 1024 + 127) / 128. */"
	array("u8", "karena_class_big", big, (MAX - 1024) / 128 + 1, 16)
	print "\n#endif /* _KARENA_SIZECLASS_TABLE_H */"
}

# A class whose objects begin at odd multiples of 8 has no magazine.
function magazine_of(size,    class)
{
	for (class = 2; sizes[class] < size || sizes[class] % 16; class++)
		;
	return 2 * class + 1
}

# See karena_magazine_pages().
function large_magazine(pages,    n)
{
	for (n = 0; (5 + n % 4) * 2 ^ int(n / 4) < pages; n++)
		;
	return 138 + n
}

function print_user(    i)
{
	print "/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */"
	print "/* Written by mksizeclass.awk; do not edit. */"
	print "#ifndef KARENA_CLASSES_H"
	print "#define KARENA_CLASSES_H"
	print "\n/* Bytes of an object, by (magazine - 1) / 2. */"
	array("__u16", "karena_class_bytes", sizes, n, 10)
	for (i = 0; i <= 1024 / 16; i++)
		small[i] = magazine_of(i * 16)
	print "\n/* Magazine for a size up to 1024 bytes, by (size + 15) / 16. */"
	array("__u8", "karena_magazine_small", small, 1024 / 16 + 1, 16)
	for (i = 0; i <= (MAX - 1024) / 128; i++)
		big[i] = magazine_of(1024 + i * 128)
	print "\n/* The same for a larger size, by (size - 1024 + 127) / 128. */"
	array("__u8", "karena_magazine_big", big, (MAX - 1024) / 128 + 1, 16)
	for (i = MAX / PAGE + 1; i <= 32; i++)
		large[i - MAX / PAGE - 1] = large_magazine(i)
	print "\n/* Magazine for a large object, by its pages - 5. */"
	array("__u8", "karena_magazine_large", large, 32 - MAX / PAGE, 14)
	print "\n#endif /* KARENA_CLASSES_H */"
}
