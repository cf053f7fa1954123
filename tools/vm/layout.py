#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks layout with clang-format, as far as it and the kernel's style agree.

usage: layout.py FILE...

Prints file:line and the line for each place that clang-format would change,
but for those where it does not know the kernel's style:
 - where a line is broken, and how an expression goes on in the next one
   (the indentation of a new statement counts);
 - preprocessor lines, comments, and what is aligned by tabs;
 - lists of initialisers, and what stands in one line between braces;
 - "* const", asm, and names that are words of C++.
"""

import html
import re
import subprocess
import sys

EXEMPT = re.compile(rb'^\s*[#*{".]|\\$|/\*|,$|\{ .*\}|\{ \}|[=)] ?\{$|\}\);?$|\* const|asm'
                    rb'|\b(class|new|this)\b')
REPLACEMENT = re.compile(r"<replacement offset='(\d+)' length='(\d+)'>([^<]*)<")


def line_at(text, offset):
    start = text.rfind(b'\n', 0, offset) + 1
    end = text.find(b'\n', offset)
    return text.count(b'\n', 0, offset) + 1, text[start:end if end >= 0 else len(text)]


def matters(text, offset, length, new):
    old = text[offset:offset + length]
    if old.count(b'\n') != html.unescape(new).count('\n'):
        return False
    if b'\n' in old and text[offset - 1:offset] not in (b';', b'{', b'}'):
        return False
    return not EXEMPT.search(line_at(text, offset + length)[1])


def check(path):
    with open(path, 'rb') as file:
        text = file.read()
    changes = subprocess.run(['clang-format', '--style=file', '--output-replacements-xml', path],
                             check=True, capture_output=True, text=True).stdout
    bad = {line_at(text, int(offset) + int(length))
           for offset, length, new in REPLACEMENT.findall(changes)
           if matters(text, int(offset), int(length), new)}
    for number, line in sorted(bad):
        print(f'{path}:{number}: {line.decode(errors="replace")}')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(max([check(path) for path in sys.argv[1:]], default=False))
