# SPDX-License-Identifier: GPL-2.0
#
# Looks into the kernel's headers for what compat.h has to bridge:
# karena-probe HEADER,TEXT,MACRO defines MACRO if the header has the text.

karena-probe = $(shell grep -sqF -e '$(strip $2)' $(srctree)/include/linux/$(strip $1) && \
	         echo -D$(strip $3))
karena-comma := ,
karena-open := (
karena-close := )

ccflags-y += $(call karena-probe, mm.h, vm_flags_mod, KARENA_HAVE_VM_FLAGS_SET)
ccflags-y += $(call karena-probe, mm.h, static inline int folio_mapcount, \
	KARENA_HAVE_FOLIO_MAPCOUNT)
ccflags-y += $(call karena-probe, mm.h, struct vm_area_struct **vmas, KARENA_HAVE_GUP_VMAS)
ccflags-y += $(call karena-probe, leafops.h, pte_is_marker, KARENA_HAVE_LEAFOPS)
ccflags-y += $(call karena-probe, shrinker.h, shrinker_alloc, KARENA_HAVE_SHRINKER_ALLOC)
ccflags-y += $(call karena-probe, workqueue.h, system_dfl_wq, KARENA_HAVE_SYSTEM_DFL_WQ)
ccflags-y += $(call karena-probe, sched/coredump.h, int get_dumpable, KARENA_HAVE_GET_DUMPABLE)
ccflags-y += $(call karena-probe, module.h, \
	MODULE_INFO$(karena-open)import_ns$(karena-comma) ns$(karena-close), \
	KARENA_HAVE_QUOTED_NS)
