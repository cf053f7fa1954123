/* SPDX-License-Identifier: GPL-2.0 */
/* Entries of page tables that are not present.  For one file: it includes a lot. */
#ifndef _KARENA_LEAFOPS_H
#define _KARENA_LEAFOPS_H

#ifdef KARENA_HAVE_LEAFOPS
#include <linux/leafops.h>
#else						/* up to 6.18 */
#include <linux/swap.h>
#include <linux/swapops.h>
#define pte_is_marker is_pte_marker
#endif

#endif /* _KARENA_LEAFOPS_H */
