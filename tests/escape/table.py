#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compares what karena-escape says of tests/escape/table.c with what stands there.

usage: table.py BUILD [-v]

Prints a line for each level as check.sh has them, and counts what is imprecise.  A verdict
that is bolder than the exact one would be unsound, and fails like any other difference.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WANT = re.compile(r'/\* = (\w+)(?: but (\w+)(?: at ([0-3 ]+))?)? ?\*/')


def wanted(path, level):
    """{line: (exact, expected)}"""
    lines = {}
    with open(path) as file:
        for number, line in enumerate(file, 1):
            found = WANT.search(line)
            if not found:
                continue
            exact, imprecise, levels = found.groups()
            there = imprecise and (not levels or str(level) in levels.split())
            lines[number] = exact, imprecise if there else exact
    return lines


def verdicts(build, path, level, folder):
    out = os.path.join(folder, f'{level}.json')
    subprocess.run(['gcc', f'-O{level}', '-w', f'-I{build}/include', '-c', '-o', '/dev/null',
                    f'-fplugin={build}/lib/karena_escape.so',
                    '-fplugin-arg-karena_escape-rewrite',
                    f'-fplugin-arg-karena_escape-json={out}', path], check=True)
    with open(out) as file:
        told = [json.loads(line) for line in file]
    return {t['line']: t for t in told if t['kind'] == 'allocation' and
            t['file'] == path}


def check(build, level, folder):
    path = os.path.join(HERE, 'table.c')
    want = wanted(path, level)
    got = verdicts(build, path, level, folder)
    bad = []
    for line in sorted(want.keys() | got.keys()):
        expected = want.get(line, (None, 'nothing'))[1]
        told = got.get(line, {}).get('verdict', 'nothing')
        if told != expected:
            bad.append(f'    table.c:{line}: {told}, not {expected}: '
                       f'{got.get(line, {}).get("reason", "")}')
    imprecise = [line for line, (exact, expected) in want.items() if exact != expected]
    precise = 100 * (len(want) - len(imprecise)) / len(want)
    if precise < 95:
        bad.append(f'    {precise:.1f} % are exact, 95 are wanted')
    print(f'{"not ok" if bad else "ok"} escape/table-O{level} # {len(want)} allocations, '
          f'{precise:.1f} % exact; imprecise in lines {", ".join(map(str, sorted(imprecise)))}')
    for line in bad:
        print(line)
    return not bad


def main():
    build = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        good = [check(build, level, folder) for level in range(4)]
    sys.exit(not all(good))


if __name__ == '__main__':
    main()
