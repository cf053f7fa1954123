// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo, the text to index: what the user named, or the licences and
 * copyright files that each Debian machine has.
 *
 * The server finds the files, once, and hands the list to the indexers in a
 * memory file, so that all mean the same file by a number.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"

#define DEFAULT_FILES	200
#define DEFAULT_BYTES	(4ULL << 20)
#define MAX_FILE	UINT32_MAX	/* positions in it have 32 bits */
#define PROBE		4096		/* bytes that must look like text */

struct limits {
	size_t files;
	__u64 bytes;
};

static bool is_full(const struct corpus *corpus, const struct limits *limits)
{
	return corpus->count >= limits->files;
}

static bool fits(const struct corpus *corpus, __u64 size,
		 const struct limits *limits)
{
	return size && size <= MAX_FILE && size <= limits->bytes - corpus->bytes;
}

static int add(struct corpus *corpus, const char *path, __u64 size)
{
	char **paths = reallocarray(corpus->paths, corpus->count + 1,
				    sizeof(*paths));
	char *copy = strdup(path);

	if (paths)
		corpus->paths = paths;
	if (!paths || !copy) {
		free(copy);
		return -1;
	}
	paths[corpus->count++] = copy;
	corpus->bytes += size;
	return 0;
}

static bool looks_like_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char probe[PROBE];
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, probe, sizeof(probe));
	close(fd);
	return len > 0 && !memchr(probe, '\0', len);
}

static int visit(struct corpus *corpus, const FTSENT *entry,
		 const struct limits *limits)
{
	__u64 size;

	switch (entry->fts_info) {
	case FTS_F:
		size = entry->fts_statp->st_size;
		if (fits(corpus, size, limits) && looks_like_text(entry->fts_path))
			return add(corpus, entry->fts_path, size);
		corpus->left_out++;
		return 0;
	case FTS_NS:
	case FTS_ERR:
	case FTS_DNR:
		fprintf(stderr, "karena-demo: %s: %s\n", entry->fts_path,
			strerror(entry->fts_errno));
		return 0;
	default:
		return 0;
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Links are followed if named; below that they would count twice. */
static int find_named(struct corpus *corpus, char **files,
		      const struct limits *limits)
{
	FTS *walk = fts_open(files, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR,
			     by_name);
	FTSENT *entry;
	int err = 0;

	if (!walk)
		return -1;
	while (!err && !is_full(corpus, limits) && (entry = fts_read(walk)))
		err = visit(corpus, entry, limits);
	fts_close(walk);
	return err;
}

static int add_known(struct corpus *corpus, const char *path,
		     const struct limits *limits)
{
	struct stat st;

	if (is_full(corpus, limits) || lstat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	if (fits(corpus, st.st_size, limits))
		return add(corpus, path, st.st_size);
	corpus->left_out++;
	return 0;
}

/*
 * The files FOLDER/NAME/LEAF for each NAME there is.  Only those are looked at:
 * a file system that is far away, as in a virtual machine, takes its time.
 */
static int find_known(struct corpus *corpus, const char *folder,
		      const char *leaf, const struct limits *limits)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, alphasort), i, err = 0;
	char path[4096];

	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s%s", folder,
			 names[i]->d_name, leaf);
		if (!err && names[i]->d_name[0] != '.' &&
		    names[i]->d_type != DT_LNK)
			err = add_known(corpus, path, limits);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return err;
}

static int find_default(struct corpus *corpus, const struct limits *limits)
{
	if (find_known(corpus, "/usr/share/common-licenses", "", limits))
		return -1;
	return find_known(corpus, "/usr/share/doc", "/copyright", limits);
}

int corpus_find(struct corpus *corpus, const struct options *opts)
{
	bool named = opts->nr_files;
	struct limits limits = {
		.files = named ? SIZE_MAX : DEFAULT_FILES,
		.bytes = named ? UINT64_MAX : DEFAULT_BYTES,
	};

	if (opts->max_files)
		limits.files = opts->max_files;
	if (opts->max_bytes)
		limits.bytes = opts->max_bytes;
	memset(corpus, 0, sizeof(*corpus));
	if (named)
		return find_named(corpus, opts->files, &limits);
	return find_default(corpus, &limits);
}

/* Returns a file with all paths, each with its closing zero, or -1. */
int corpus_save(const struct corpus *corpus)
{
	int fd = memfd_create("files", MFD_CLOEXEC), err = 0;
	FILE *file = fd < 0 ? NULL : fdopen(dup(fd), "w");
	size_t i;

	if (!file)
		return -1;
	for (i = 0; i < corpus->count; i++)
		fwrite(corpus->paths[i], strlen(corpus->paths[i]) + 1, 1, file);
	err = ferror(file);
	if (fclose(file) || err) {
		close(fd);
		return -1;
	}
	return fd;
}

int corpus_load(struct corpus *corpus, int fd)
{
	char *path = NULL;
	size_t room = 0;
	int err = 0;
	FILE *file;

	memset(corpus, 0, sizeof(*corpus));
	/* The place to read at is shared with whoever has the file. */
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	file = fdopen(fd, "r");
	if (!file)
		return -1;
	while (!err && getdelim(&path, &room, '\0', file) > 0)
		err = add(corpus, path, 0);
	free(path);
	fclose(file);
	return err;
}

static ssize_t read_fully(int fd, char *to, size_t size)
{
	size_t done = 0;
	ssize_t len;

	while (done < size) {
		len = read(fd, to + done, size - done);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -1;
		if (!len)
			break;
		done += len;
	}
	return done;
}

/* The whole file, to be freed by the caller, or NULL with errno. */
char *read_text(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = -1;
	char *text = NULL;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st))
		text = malloc(st.st_size + 1);
	if (text)
		len = read_fully(fd, text, st.st_size);
	close(fd);
	if (len > 0) {
		*size = len;
		return text;
	}
	free(text);
	errno = len ? errno : ENODATA;
	return NULL;
}
