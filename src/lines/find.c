/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines/find.c - separate debug files
 *
 *	/usr/lib/debug/.build-id/ab/cdef….debug        the build-id is compared
 *	DIR/NAME, DIR/.debug/NAME, /usr/lib/debug/DIR/NAME   NAME of .gnu_debuglink, its checksum is compared
 */
#include "lines/find.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BY_BUILD_ID, BESIDE, BELOW, CENTRAL, KINDS };
_Static_assert(2 * KINDS == FIND_PLACES, "each kind in two roots");

static bool name_by_build_id(const struct elf_build_id *id, char *path, size_t size)
{
	int used;

	if (id->size < 2)
		return false;
	used = snprintf(path, size, "/usr/lib/debug/.build-id/%02x/", id->bytes[0]);
	for (uint32_t i = 1; i < id->size && used > 0 && (size_t)used < size; i++)
		used += snprintf(path + used, size - (size_t)used, "%02x", id->bytes[i]);
	if (used > 0 && (size_t)used < size)
		used += snprintf(path + used, size - (size_t)used, ".debug");
	return used > 0 && (size_t)used < size;
}

static bool name_by_link(const char *object, const char *link, unsigned kind, char *path, size_t size)
{
	const char *slash = object != NULL && object[0] == '/' ? strrchr(object, '/') : NULL;
	int directory, used;

	/* A name, not a way out of the directory. */
	if (slash == NULL || strchr(link, '/') != NULL || slash - object >= PATH_MAX)
		return false;
	directory = (int)(slash - object);
	used = snprintf(path, size, "%s%.*s/%s%s", kind == CENTRAL ? "/usr/lib/debug" : "", directory, object,
			kind == BELOW ? ".debug/" : "", link);
	return used > 0 && (size_t)used < size;
}

/* The link's name and checksum; copied, as libelf's memory goes. */
static bool read_link(int fd, char name[NAME_MAX + 1], uint32_t *ret_crc)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	GElf_Word crc;
	const char *link = elf != NULL ? dwelf_elf_gnu_debuglink(elf, &crc) : NULL;
	bool found = link != NULL && link[0] != '\0' && strlen(link) <= NAME_MAX;

	if (found) {
		strcpy(name, link);
		*ret_crc = crc;
	}
	elf_end(elf);
	return found;
}

static bool has_checksum(int fd, uint32_t wanted)
{
	unsigned char buffer[65536];
	unsigned long crc = crc32(0, NULL, 0);
	off_t offset = 0;
	ssize_t got;

	while ((got = pread(fd, buffer, sizeof(buffer), offset)) > 0) {
		crc = crc32(crc, buffer, (unsigned)got);
		offset += got;
	}
	return got == 0 && crc == wanted;
}

static bool has_build_id(int fd, const struct elf_build_id *wanted)
{
	struct elf_build_id id;

	return elf_file_build_id(fd, &id) == 0 && id.size == wanted->size &&
	       memcmp(id.bytes, wanted->bytes, id.size) == 0;
}

static int open_in(int root, const char *path)
{
	struct stat status;
	int fd = openat(root, root == AT_FDCWD ? path : path + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
			(uint64_t)status.st_size > MAX_DEBUG_FILE)) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? -1 : fd;
}

int find_debug_file(const struct lines_source *source, unsigned place)
{
	char path[PATH_MAX + NAME_MAX + 32], link[NAME_MAX + 1];
	unsigned kind = place / 2;
	int root = place % 2 == 0 ? source->root_fd : AT_FDCWD, fd;
	uint32_t crc = 0;
	bool named;

	if (root == -1)
		return -1;
	if (kind == BY_BUILD_ID)
		named = name_by_build_id(&source->build_id, path, sizeof(path));
	else
		named = read_link(source->fd, link, &crc) && name_by_link(source->path, link, kind, path, sizeof(path));
	fd = named ? open_in(root, path) : -1;
	if (fd >= 0 && !(kind == BY_BUILD_ID ? has_build_id(fd, &source->build_id) : has_checksum(fd, crc))) {
		close(fd);
		fd = -1;
	}
	return fd;
}
