/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/files.c - opening files, the victim's and this system's, and finding debug files among them
 *
 * Bare system calls throughout: in the control thread the numbers are those of its private table of descriptors, of
 * which no sanitizer knows. Paths come from a victim: nothing but a regular file is opened to be read, no FIFO is
 * waited for, and under a root no link leads out of it.
 */
#include "symbol/table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <zlib.h>

static const char debug_directory[] = "/usr/lib/debug";

void symbol_close(int fd)
{
	syscall(SYS_close, fd);
}

static int look_at(int fd, struct statx *ret)
{
	return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ret) ? -errno : 0;
}

int64_t symbol_file_size(int fd)
{
	struct statx file;
	int error = look_at(fd, &file);

	if (error)
		return error;
	return S_ISREG(file.stx_mode) && file.stx_size <= INT64_MAX ? (int64_t)file.stx_size : -EINVAL;
}

int symbol_identify(int fd, struct symbol_identity *ret)
{
	struct statx file;
	int error = look_at(fd, &file);

	if (error)
		return error;
	memset(ret, 0, sizeof(*ret)); /* it is a key, padding too */
	ret->device = makedev(file.stx_dev_major, file.stx_dev_minor);
	ret->inode = file.stx_ino;
	ret->size = file.stx_size;
	ret->modified = file.stx_mtime.tv_sec;
	ret->modified_ns = file.stx_mtime.tv_nsec;
	ret->changed = file.stx_ctime.tv_sec;
	ret->changed_ns = file.stx_ctime.tv_nsec;
	return 0;
}

int symbol_open_under(int root, const char *path)
{
	/* O_NONBLOCK: else the opening of a FIFO waits for a writer. */
	enum { HOW = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
	struct open_how how = { .flags = HOW, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd;
	int64_t size;

	if (root < 0)
		fd = syscall(SYS_openat, AT_FDCWD, path, HOW);
	else
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	/* A filter of system calls may not know it. Absolute links then lead out, to a file that must prove itself. */
	if (fd < 0 && root >= 0 && (errno == ENOSYS || errno == EPERM))
		fd = syscall(SYS_openat, root, path + strspn(path, "/"), HOW);
	if (fd < 0)
		return -errno;
	size = symbol_file_size((int)fd);
	if (size < 0) {
		symbol_close((int)fd);
		return (int)size;
	}
	return (int)fd;
}

/* ---- proof ---------------------------------------------------------------------------------------------- */

static bool has_build_id(int fd, const struct elf_build_id *id)
{
	struct elf_build_id found;

	return !elf_file_build_id(fd, &found) && found.size == id->size && !memcmp(found.bytes, id->bytes, id->size);
}

/* The checksum of .gnu_debuglink: that of the whole file. */
static bool has_checksum(int fd, uint32_t wanted)
{
	enum { BLOCK = 1 << 18 };
	int64_t size = symbol_file_size(fd), done = 0;
	unsigned char *block = malloc(BLOCK);
	struct reader file = elf_fd_reader(&fd);
	unsigned long sum = crc32(0, NULL, 0);
	ssize_t got = 0;

	if (size <= MAX_DEBUG_FILE)
		while (block && (got = file.read(file.data, (vaddr_t)done, block, BLOCK)) > 0) {
			sum = crc32(sum, block, (uInt)got);
			done += got;
			if (done > size) /* it grows */
				break;
		}
	free(block);
	return done == size && sum == wanted;
}

/* ---- debug files ---------------------------------------------------------------------------------------- */

static int by_build_id(int root, const struct elf_build_id *id)
{
	char path[sizeof(debug_directory) + 32 + 2 * MAX_BUILD_ID];
	int length, fd;

	if (id->size < 2)
		return -ENOENT;
	length = snprintf(path, sizeof(path), "%s/.build-id/%02x/", debug_directory, id->bytes[0]);
	for (uint32_t i = 1; i < id->size && i < MAX_BUILD_ID; i++)
		length += snprintf(path + length, sizeof(path) - (size_t)length, "%02x", id->bytes[i]);
	snprintf(path + length, sizeof(path) - (size_t)length, ".debug");
	fd = symbol_open_under(root, path);
	if (fd >= 0 && !has_build_id(fd, id)) {
		symbol_close(fd);
		fd = -ENOENT;
	}
	return fd;
}

int symbol_open_fetched(const char *path, const struct elf_build_id *id)
{
	int fd = symbol_open_under(-1, path);

	if (fd >= 0 && !has_build_id(fd, id)) {
		symbol_close(fd);
		fd = -ENOENT;
	}
	return fd;
}

/* In the three directories that gdb looks in. The name is one of a file, not a path. */
static int by_link(int root, const char *path, const char *name, uint32_t checksum)
{
	static const char *const before[] = { "", "", debug_directory };
	static const char *const between[] = { "/", "/.debug/", "/" };
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash || path[0] != '/' || strchr(name, '/') || !name[0])
		return -ENOENT;
	for (unsigned i = 0; i < ARRAY_LEN(before); i++) {
		char *candidate;
		int fd = -ENOENT;
		if (asprintf(&candidate, "%s%.*s%s%s", before[i], (int)(slash - path), path, between[i], name) < 0)
			return -ENOMEM;
		/* A link to the file itself is found first. */
		if (strcmp(candidate, path))
			fd = symbol_open_under(root, candidate);
		free(candidate);
		if (fd >= 0 && has_checksum(fd, checksum))
			return fd;
		if (fd >= 0)
			symbol_close(fd);
	}
	return -ENOENT;
}

int symbol_open_debug_file(int root, const struct elf_build_id *id, const char *path, const struct elf_blob *link)
{
	int fd = by_build_id(root, id);
	size_t length, at;
	uint32_t checksum;

	if (fd >= 0 || !link->data)
		return fd >= 0 ? fd : -ENOENT;
	/* A name, padding up to four bytes, the checksum. */
	length = strlen((const char *)link->data);
	at = (length + 1 + 3) & ~(size_t)3;
	if (length > 255 || at > link->size || link->size - at < sizeof(checksum))
		return -ENOENT;
	memcpy(&checksum, link->data + at, sizeof(checksum));
	return by_link(root, path, (const char *)link->data, checksum);
}
