/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view/open.c - the file that a load object was mapped from
 *
 * A name proves nothing: the file may be deleted, replaced, overlaid, moved by prelink, or be another one in the
 * victim's mount namespace. So each candidate is opened and compared with what is mapped. In this order:
 *
 *	/proc/TID/root + the path of the mapping, and of the link map   (what a victim names lies in its own root)
 *	/proc/TID/map_files/START-END                                   (the very file, deleted or not; needs privilege)
 *	/proc/TID/exe                                                   (the program: the very file)
 *	the path in our own root                                        (also when the victim has ended)
 *
 * The same is a file with the build-id and the layout of what is mapped; without a build-id, with its device and inode.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "os/mounts.h"
#include "os/procfs.h"
#include "symbol/table.h"
#include "view/view.h"

/* The first mapping of a file within the object. */
struct place {
	const struct view_object *object;
	bool found, deleted;
	vaddr_t start, end;
	uint64_t inode;
	uint32_t device_major, device_minor;
	char path[PATH_MAX];
};

static int visit_mapping(const struct os_mapping *mapping, void *data)
{
	struct place *place = data;

	if (mapping->start >= place->object->high)
		return 1;
	if (mapping->end <= place->object->low || mapping->inode == 0)
		return 0;
	place->found = true;
	place->deleted = mapping->deleted;
	place->start = mapping->start;
	place->end = mapping->end;
	place->inode = mapping->inode;
	place->device_major = mapping->device_major;
	place->device_minor = mapping->device_minor;
	snprintf(place->path, sizeof(place->path), "%s", mapping->path);
	return 1;
}

/* ---- is it the object's? ---------------------------------------------------------------------- */

/* Prelink moves the addresses in a file and leaves its build-id: names would be found beside their places. */
static bool same_layout(const struct view_object *object, int fd)
{
	struct reader bytes = elf_fd_reader(&fd);
	struct elf_file *file = malloc(sizeof(*file));
	bool same = file != NULL && elf_file_map(file, &bytes, object->bias) == 0 && file->low == object->low &&
		    file->high == object->high;

	free(file);
	return same;
}

static bool is_same(const struct view_object *object, const struct place *place, int fd)
{
	struct elf_build_id build_id;
	struct stat status;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return false;
	if (object->build_id.size != 0)
		return elf_file_build_id(fd, &build_id) == 0 && build_id.size == object->build_id.size &&
		       memcmp(build_id.bytes, object->build_id.bytes, build_id.size) == 0 && same_layout(object, fd);
	return place->found && status.st_ino == place->inode && major(status.st_dev) == place->device_major &&
	       minor(status.st_dev) == place->device_minor;
}

/* root: a directory that paths begin at, or -1: our own. */
static int open_if_same(int root, const char *path, const struct view_object *object, const struct place *place)
{
	int fd = symbol_open_under(root, path);

	if (fd >= 0 && !is_same(object, place, fd)) {
		symbol_close(fd);
		fd = -1;
	}
	return fd < 0 ? -1 : fd;
}

/* ---- the candidates --------------------------------------------------------------------------- */

/* The very file: nothing needs to be compared. */
static int open_mapped(int64_t tid, const struct place *place)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%lld/map_files/%llx-%llx", (long long)tid, (unsigned long long)place->start,
		 (unsigned long long)place->end);
	return symbol_open_under(-1, path);
}

/* A path from the root of a victim. */
static int open_in_root(int root_fd, const char *path, const struct view_object *object, const struct place *place)
{
	return root_fd >= 0 && path[0] == '/' ? open_if_same(root_fd, path, object, place) : -1;
}

static int open_alive(const struct view_object *object, int64_t tid, const struct place *place, int root_fd)
{
	char exe[48];
	int fd = -1;

	if (place->found && !place->deleted)
		fd = open_in_root(root_fd, place->path, object, place);
	if (fd < 0)
		fd = open_in_root(root_fd, object->path, object, place);
	if (fd < 0 && place->found)
		fd = open_mapped(tid, place);
	if (fd < 0 && object->is_program) {
		snprintf(exe, sizeof(exe), "/proc/%lld/exe", (long long)tid);
		fd = symbol_open_under(-1, exe);
	}
	if (fd < 0 && place->found && place->path[0] == '/')
		fd = open_if_same(-1, place->path, object, place);
	/* It may have ended, and the event that says so not be here yet: then its build-id is proof enough. */
	if (fd < 0 && !place->found && object->path[0] == '/')
		fd = open_if_same(-1, object->path, object, place);
	return fd;
}

/* ---- what the victim itself may serve --------------------------------------------------------- */

/* Held by us or by a signal, it serves nothing meanwhile; of what is stopped later the file system keeps us waiting as any other. */
static bool stands(const struct view_access *access)
{
	struct os_task_status status;

	if (access->parked || access->may_park)
		return true;
	return os_task_status(access->tid, &status) == 0 && (status.state == 'T' || status.state == 't');
}

/* What one that stands may serve; one that runs answers. Of one that ends meanwhile the list cannot be read: it serves nothing. */
static struct os_served served_by(const struct view_access *access, uint32_t device_major, uint32_t device_minor)
{
	struct os_served served = { false, false };

	if (stands(access))
		served = os_served(access->tid, device_major, device_minor);
	return served.any && stands(access) ? served : (struct os_served){ false, false };
}

/* ---- both ------------------------------------------------------------------------------------- */

static int open_root(int64_t tid)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/root", (long long)tid);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fd;
}

static int open_living(const struct view_object *object, const struct view_access *access, struct view_opened *ret)
{
	struct place place = { .object = object };

	(void)os_each_mapping(access->tid, visit_mapping, &place);
	struct os_served served = served_by(access, place.device_major, place.device_minor);
	ret->quiet = served.any;
	if (served.here)
		return 0;
	ret->root_fd = open_root(access->tid);
	ret->fd = open_alive(object, access->tid, &place, ret->root_fd);
	return 0;
}

int view_open(const struct view_object *object, const struct view_access *access, struct view_opened *ret)
{
	const struct place nowhere = { .object = object };

	*ret = (struct view_opened){ -1, -1, false };
	if (object->high <= object->low)
		return -ENOENT;
	if (access->memory != NULL)
		return object->is_vdso ? 0 : open_living(object, access, ret);
	/* It is gone, or not asked: only what can be proved by its build-id. On which mount it lies nobody tells. */
	if (access->tid != 0 && served_by(access, 0, 0).any)
		return -ENOENT;
	if (access->tid != 0) {
		ret->root_fd = open_root(access->tid);
		ret->fd = open_in_root(ret->root_fd, object->path, object, &nowhere);
	}
	if (ret->fd < 0 && object->path[0] == '/')
		ret->fd = open_if_same(-1, object->path, object, &nowhere);
	return ret->fd < 0 ? -ENOENT : 0;
}

void view_close(struct view_opened *opened)
{
	if (opened->fd >= 0)
		symbol_close(opened->fd);
	if (opened->root_fd >= 0)
		symbol_close(opened->root_fd);
}
