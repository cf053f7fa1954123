# SPDX-License-Identifier: GPL-2.0
#
# What the Makefiles of the user-space tools share: where things go, how to be
# quiet, and how a .c becomes a .o.  To be included.  The one who includes it
# has set `name`, which names its folder of objects.

BUILD	?= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))../../build)
# At once: what is included later changes the list.
BUILD	:= $(BUILD)
PREFIX	?= /usr/local
DESTDIR	?=
VERSION	?= 0.1.0

tools	:= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
uapi	:= $(abspath $(tools)/../uapi/karena.h)

bindir	 = $(DESTDIR)$(PREFIX)/bin
libdir	 = $(DESTDIR)$(PREFIX)/lib
incdir	 = $(DESTDIR)$(PREFIX)/include
mandir	 = $(DESTDIR)$(PREFIX)/share/man
compdir	 = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
docdir	 = $(DESTDIR)$(PREFIX)/share/doc/karena

V	?= 0
Q	:= $(if $(filter 1,$(V)),,@)
# say TOOL,FILE: one short line for each thing made, unless V=1 shows it all.
say	 = $(if $(Q),@printf '  %-7s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$(2))')

CC	?= gcc
AR	?= ar
CFLAGS	?= -O2 -g
override CFLAGS += -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
		   -Wmissing-prototypes -D_GNU_SOURCE -DKARENA_VERSION='"$(VERSION)"'
CPPFLAGS += -I$(BUILD)/include -MMD -MP

# Asked for when it is needed, so that cleaning works where it is missing.
jansson_cflags = $(shell pkg-config --cflags jansson 2>/dev/null)
jansson_libs   = $(or $(shell pkg-config --libs jansson 2>/dev/null),\
		 $(error jansson is missing: apt install libjansson-dev pkg-config))

obj	:= $(BUILD)/obj/$(name)
# Build folders see the contract as an installed program does: <linux/karena.h>.
staged	:= $(BUILD)/include/linux/karena.h
# What <karena.h> brings with it.
inline	:= fast.h classes.h cache.h inline.h scope.h
staged	+= $(inline:%=$(BUILD)/include/karena/%)

# The recipe is for make to say nothing when there is nothing to do.
all:
	@:

$(BUILD)/include/linux/karena.h: $(uapi)
	$(Q)mkdir -p $(@D) && ln -sfn $< $@

$(BUILD)/include/karena/%.h: $(tools)/lib/%.h
	$(Q)mkdir -p $(@D) && ln -sfn $< $@

$(obj)/%.o: %.c $(staged)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

-include $(wildcard $(obj)/*.d)

.PHONY: all install uninstall clean check
.DELETE_ON_ERROR:
