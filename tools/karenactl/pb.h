/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: what there is of protobuf's encoding in a profile for pprof.
 */
#ifndef KARENACTL_PB_H
#define KARENACTL_PB_H

#include <stddef.h>
#include <stdint.h>

/* A message in the making. */
struct pb {
	unsigned char *data;
	size_t length;
	size_t room;
};

void pb_number(struct pb *pb, unsigned int field, uint64_t value);
void pb_numbers(struct pb *pb, unsigned int field, const uint64_t *values, size_t nr);
void pb_bytes(struct pb *pb, unsigned int field, const void *data, size_t length);
/* @part becomes a field of @pb, and empty. */
void pb_message(struct pb *pb, unsigned int field, struct pb *part);
/* Compressed, into a file or "-"; 0, or -1 having said why. */
int pb_write_gzip(const struct pb *pb, const char *path);
void pb_free(struct pb *pb);

#endif /* KARENACTL_PB_H */
