// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, files that are written compressed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "gzip.h"

#define MOST_AT_A_TIME	(1U << 30)

static int complain(const char *path)
{
	fprintf(stderr, "karenactl: %s: %s\n", path, strerror(errno ? errno : EIO));
	return -1;
}

gzFile gzip_create(const char *path, const char *mode)
{
	int fd = strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) :
				     dup(STDOUT_FILENO);

	if (fd >= 0)
		return must_have(gzdopen(fd, mode));
	complain(path);
	return NULL;
}

int gzip_write(gzFile file, const char *path, const void *data, size_t length)
{
	const char *at = data;
	int n;

	for (; length; length -= n, at += n) {
		errno = 0;
		n = gzwrite(file, at, length < MOST_AT_A_TIME ? length : MOST_AT_A_TIME);
		if (n <= 0)
			return complain(path);
	}
	return 0;
}

int gzip_finish(gzFile file, const char *path)
{
	errno = 0;
	return gzclose(file) == Z_OK ? 0 : complain(path);
}
