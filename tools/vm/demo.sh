#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The demo (tools/demo) in a test machine with the stock Debian 6.1 kernel: what
# "make demo" calls.
#
#   usage: demo.sh [ARGUMENT of tools/demo/demo.sh...]

. "$(dirname "$0")/lib.sh"

"$KARENA_VM/build.sh" stock-6.1 >/dev/null
say "starting a Debian machine with Linux $(cat "$("$KARENA_VM/kernel.sh" stock-6.1)/version")"
# The guest's output is a terminal, ours may not be one.
through=
[ -t 1 ] || through='| cat'
"$KARENA_VM/run.sh" --name demo --memory 2G --timeout 600 stock-6.1 -- \
	bash -o pipefail -c "tools/demo/demo.sh \"\$@\" $through" demo.sh "$@"
