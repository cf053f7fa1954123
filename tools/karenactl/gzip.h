/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: files that are written compressed.
 */
#ifndef KARENACTL_GZIP_H
#define KARENACTL_GZIP_H

#include <stddef.h>
#include <zlib.h>

/*
 * A new file, or "-" for standard output; @mode as of gzopen(3).  All of these say what
 * went wrong; NULL or -1 then.
 */
gzFile gzip_create(const char *path, const char *mode);
int gzip_write(gzFile file, const char *path, const void *data, size_t length);
/* Closes it: only then all is written. */
int gzip_finish(gzFile file, const char *path);

#endif /* KARENACTL_GZIP_H */
