# SPDX-License-Identifier: GPL-2.0
#
# karena: see "make help" for what can be made.  Everything that is built is
# under $(BUILD); kernels for the test machines are kept in ~/.cache/karena.

TOP	:= $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
BUILD	?= $(TOP)/build
PREFIX	?= /usr/local
DESTDIR	?=
V	?= 0

KERNEL	:= $(shell uname -r)
MODULES	:= $(DESTDIR)/lib/modules/$(KERNEL)/updates
VM	:= $(TOP)/tools/vm
SUDO	:= $(if $(filter 0,$(shell id -u)),,sudo)

override BUILD	:= $(abspath $(BUILD))
export BUILD PREFIX DESTDIR
export KARENA_BUILD := $(BUILD)
# 0 is quiet, as in the kernel; the scripts take unset for that.
ifneq ($(V),0)
export V
else
unexport V
MAKEFLAGS += --no-print-directory
endif

# Folders of user programs, in the order in which they need each other.
TOOLS	:= $(foreach d,lib escape malloc karenactl demo,$(if $(wildcard $(TOP)/tools/$d/Makefile),tools/$d))
TESTS	:= $(patsubst %/Makefile,%,$(wildcard tests/user/Makefile))
# Those that are linked with the library.
TESTS_LIB := $(if $(wildcard tests/user/t_lib.c),lib)

all: module tools

module:
	@$(VM)/build.sh host >/dev/null && echo "  MODULE  $(BUILD)/host/karena.ko"

tools:
	@for d in $(TOOLS); do $(MAKE) -C $$d all || exit; done

# The user-space tests; the test machines have no compiler of their own.
tests: tools
	@for d in $(TESTS); do $(MAKE) -C $$d all $(TESTS_LIB) || exit; done

load: module
	$(SUDO) insmod $(BUILD)/host/karena.ko
	@echo "/dev/karena is there: try $(BUILD)/bin/karenactl info"

unload:
	$(SUDO) rmmod karena

install: all
	install -D -m 644 $(BUILD)/host/karena.ko $(MODULES)/karena.ko
	@for d in $(TOOLS); do $(MAKE) -C $$d install || exit; done
	$(if $(DESTDIR),,depmod $(KERNEL))

uninstall:
	rm -f $(MODULES)/karena.ko
	@for d in $(TOOLS); do $(MAKE) -C $$d uninstall || exit; done
	$(if $(DESTDIR),,depmod $(KERNEL))

deps:
	@$(VM)/deps.sh

demo: deps tools
	@$(VM)/demo.sh $(DEMO_ARGS)

shell: deps tools
	@$(VM)/shell.sh

check check-quick check-long: deps
	@$(VM)/check.sh $(@:check-%=--%)

bench:
	@$(VM)/deps.sh bench
	@$(VM)/bench.sh $(ONLY)

# Verdicts on the library's examples; LEVEL=2 shows how things flow.
escape-report: deps
	@$(MAKE) -C tools/escape all
	@$(MAKE) -C tools/lib escape-report 2>&1

lint: deps
	@$(VM)/lint.sh

clean:
	rm -rf $(BUILD)

# The kernels as well: the next check takes a quarter of an hour again.
distclean: clean
	rm -rf $${KARENA_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/karena}

help:
	@sed -n 's/^#: \?//p' $(TOP)/Makefile

#: On this machine:
#:   make                 the module for the running kernel, library and tools
#:   make load, unload    insmod and rmmod (with sudo)
#:   make escape-report   which allocations of the examples escape, and why; LEVEL=2
#:   make install         module, library, tools, manual pages; DESTDIR=, PREFIX=
#:   make uninstall       takes them away again
#:
#: In test machines, which are made on the first use (Debian packages are
#: installed for them by "make deps"):
#:   make demo            see it work; DEMO_ARGS="FILE..." to index your own files
#:   make shell           a prompt in a Debian 6.1 with the module loaded
#:   make check           all tests; SEED=N repeats a run's random choices
#:   make check-quick     the most telling ones, in some minutes
#:   make check-long      all, with many more rounds
#:   make bench           the benchmarks; ONLY=NAME for one
#:   make lint            style and static checks
#:
#:   make clean           removes build/; distclean removes the kernels too
#: V=1 shows each command.

.PHONY: all module tools tests load unload install uninstall deps demo shell \
	check check-quick check-long bench escape-report lint clean distclean help
