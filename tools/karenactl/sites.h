/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: objects in use by the stack that allocated them, before and after.
 */
#ifndef KARENACTL_SITES_H
#define KARENACTL_SITES_H

#include "ctl.h"

struct site {
	const struct karena_profile_record *record;	/* of the last profile that has it */
	__u64 objects[2];
};

struct sites {
	struct karena_profile profile[2];
	struct site *sites;
	size_t nr;
};

/* Reads the profile as it is before (0) or after (1); 0 or -1. */
int sites_read(struct sites *sites, int fd, __u32 id, int side);
/* No more than those that grew, most first. */
void sites_sort(struct sites *sites);
void sites_print(const struct sites *sites, size_t most, bool raw);
json_t *sites_json(const struct sites *sites);
void sites_free(struct sites *sites);

#endif /* KARENACTL_SITES_H */
