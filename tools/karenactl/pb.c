// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, protobuf: numbers are written 7 bits a byte, the lowest first; a field is its
 * number and kind (0: a number, 2: bytes), then its value.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "gzip.h"
#include "pb.h"

#define NUMBER	0
#define BYTES	2

static void append(struct pb *pb, const void *data, size_t length)
{
	if (pb->room - pb->length < length) {
		pb->room = 2 * (pb->length + length) + 64;
		pb->data = must_have(realloc(pb->data, pb->room));
	}
	if (length)
		memcpy(pb->data + pb->length, data, length);
	pb->length += length;
}

static void varint(struct pb *pb, uint64_t value)
{
	unsigned char byte;

	do {
		byte = (value & 0x7f) | (value > 0x7f ? 0x80 : 0);
		append(pb, &byte, 1);
		value >>= 7;
	} while (value);
}

void pb_number(struct pb *pb, unsigned int field, uint64_t value)
{
	varint(pb, field << 3 | NUMBER);
	varint(pb, value);
}

void pb_bytes(struct pb *pb, unsigned int field, const void *data, size_t length)
{
	varint(pb, field << 3 | BYTES);
	varint(pb, length);
	append(pb, data, length);
}

void pb_message(struct pb *pb, unsigned int field, struct pb *part)
{
	pb_bytes(pb, field, part->data, part->length);
	part->length = 0;
}

void pb_numbers(struct pb *pb, unsigned int field, const uint64_t *values, size_t nr)
{
	struct pb packed = { };
	size_t i;

	for (i = 0; i < nr; i++)
		varint(&packed, values[i]);
	pb_message(pb, field, &packed);
	pb_free(&packed);
}

int pb_write_gzip(const struct pb *pb, const char *path)
{
	gzFile file = gzip_create(path, "wb");
	int err;

	if (!file)
		return -1;
	err = gzip_write(file, path, pb->data, pb->length);
	if (!err)
		return gzip_finish(file, path);
	gzclose(file);
	return err;
}

void pb_free(struct pb *pb)
{
	free(pb->data);
	*pb = (struct pb){ };
}
