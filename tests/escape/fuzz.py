#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Random programs, with and without karena-escape, at each level: they have to do the same.

usage: fuzz.py [--count N] [--seed SEED] [--plant BUG] [--keep] BUILD

A program and the options it is compiled with follow from SEED and its number; a failure
names both: "--seed SEED.NUMBER" repeats that one.  --plant has the plugin with a bug: some
program has to show it.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile

# Nothing is to be left in the sources.
sys.dont_write_bytecode = True
import generate  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GCC = os.environ.get('CC', 'gcc')


class Fuzzer:
    def __init__(self, build, folder, plant):
        self.build, self.folder, self.plant = build, folder, plant
        self.standin = os.path.join(folder, 'standin.o')
        self.include = [f'-I{build}/include', f'-I{HERE}']
        self.heap = self.left = self.scope = 0
        subprocess.run([GCC, '-O1', '-w', *self.include, '-c', f'{HERE}/standin.c', '-o',
                        self.standin], check=True)

    def run(self, source, options):
        """What it prints, or why it does not."""
        out = os.path.join(self.folder, 'program')
        made = subprocess.run([GCC, '-w', *self.include, *options, source, self.standin, '-o', out],
                              capture_output=True, text=True)
        if made.returncode:
            return 'not compiled: ' + made.stderr[-2000:], None
        try:
            ran = subprocess.run([out], capture_output=True, text=True, timeout=20)
        except subprocess.TimeoutExpired:
            return 'no end', None
        if ran.returncode:
            return f'status {ran.returncode}', None
        return ran.stdout, tuple(map(int, ran.stderr.split()))

    def plugin(self):
        options = [f'-fplugin={self.build}/lib/karena_escape.so',
                   '-fplugin-arg-karena_escape-rewrite']
        if self.plant:
            options.append(f'-fplugin-arg-karena_escape-plant={self.plant}')
        return options

    def one(self, seed, number):
        """A text for each difference."""
        r = random.Random(f'{seed}.{number}')
        puns = r.random() < .3
        source = os.path.join(self.folder, f'{seed}.{number}.c')
        with open(source, 'w') as file:
            file.write(generate.program(f'{seed}.{number}', puns))
        common = ['-fno-strict-aliasing'] if puns else []
        want, before = self.run(source, ['-O0', *common])
        if before is None:
            sys.exit(f'not ok escape/generate # {seed}.{number}, without the plugin: {want}')
        bad = []
        for level in range(4):
            options = [f'-O{level}', *common]
            if r.random() < .2:
                options.append('-fPIC')
            if r.random() < .1:
                options.append('-flto')
            if r.random() < .1:
                options.append('-fno-inline')
            got, after = self.run(source, options + self.plugin())
            if self.plant and got.startswith('not compiled'):
                sys.exit(f'not ok escape/planted-{self.plant} # {got}')
            if got != want:
                without = self.run(source, options)[0]
                bad.append(f'{" ".join(options)}: {got.strip()}, not {want.strip()}'
                           f'{"" if without == want else " (without the plugin too)"}')
                continue
            if after[0] > before[0]:
                bad.append(f'{" ".join(options)}: {after[0]} objects, not {before[0]}')
            self.heap += before[0]
            self.left += after[0]
            self.scope += after[1]
        if not bad:
            os.unlink(source)
        return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--seed', default='1')
    parser.add_argument('--plant')
    parser.add_argument('--keep', action='store_true')
    args = parser.parse_args()
    seed, _, only = args.seed.partition('.')
    numbers = [int(only)] if only else range(args.count)
    name = f'escape/planted-{args.plant}' if args.plant else 'escape/fuzz'
    folder = tempfile.mkdtemp()
    fuzzer = Fuzzer(os.path.abspath(args.build), folder, args.plant)
    failed = []
    for number in numbers:
        bad = fuzzer.one(seed, number)
        if bad and args.plant:
            break
        if bad:
            failed.append(f'    seed {seed}.{number}: ' + '\n        '.join(bad))
    if args.plant:
        print(f'{"ok" if bad else "not ok"} {name} # after {number + 1} programs')
        good = bool(bad)
    else:
        print(f'{"not ok" if failed else "ok"} {name} # {len(numbers)} programs at 4 levels, seed '
              f'{seed}; {fuzzer.heap} objects, {fuzzer.left} still from the heap, '
              f'{fuzzer.scope} from scopes')
        print('\n'.join(failed), end='\n' if failed else '')
        good = not failed
    if args.keep:
        print(f'# programs are in {folder}')
    else:
        subprocess.run(['rm', '-rf', folder], check=True)
    sys.exit(not good)


if __name__ == '__main__':
    main()
