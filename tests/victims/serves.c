/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serves.c - a program that serves its own library by FUSE, and stands in it
 *
 * It mounts a file system of one file in a mount namespace of its own, loads that file, calls into it and from there waits
 * for words. One thread answers the kernel, by the bare protocol: no library of FUSE is needed. Prints the address of the
 * function in the library, then "ready"; "cannot WHAT" where the machine does not let it. Ends at "end" or end-of-file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "victim.h"

static const char name[] = "served-by-fuse.so";
enum { ROOT = 1, FILE_NODE = 2, REQUEST_MAX = 1 << 17 };

struct server {
	int device;
	unsigned char *bytes;
	size_t length;
};

static void answer(const struct server *server, const struct fuse_in_header *in, int error, const void *body, size_t size)
{
	const struct fuse_out_header out = { (uint32_t)(sizeof(out) + size), error, in->unique };
	struct iovec parts[] = { { (void *)(uintptr_t)&out, sizeof(out) }, { (void *)(uintptr_t)body, size } };

	if (writev(server->device, parts, size ? 2 : 1) < 0 && errno != ENOENT)
		_exit(98);
}

/* Of the folder and the one file in it. */
static struct fuse_attr attributes(const struct server *server, uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = node == FILE_NODE ? server->length : 0,
		.mode = node == FILE_NODE ? S_IFREG | 0555 : S_IFDIR | 0555,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void read_part(const struct server *server, const struct fuse_in_header *in, const struct fuse_read_in *what)
{
	size_t left = what->offset < server->length ? server->length - what->offset : 0;

	answer(server, in, 0, left ? server->bytes + what->offset : NULL, what->size < left ? what->size : left);
}

/* Nothing is cached: each look at the file is a question to this thread. */
static void serve(const struct server *server, const struct fuse_in_header *in, const void *body)
{
	const struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = 65536, .max_write = 65536, .max_background = 4,
	};
	const struct fuse_entry_out entry = { .nodeid = FILE_NODE, .attr = attributes(server, FILE_NODE) };
	const struct fuse_attr_out attr = { .attr = attributes(server, in->nodeid) };
	const struct fuse_open_out opened = { .fh = 1 };
	const struct fuse_statfs_out statfs = { .st = { .bsize = 4096, .namelen = 255 } };

	switch (in->opcode) {
	case FUSE_INIT:
		answer(server, in, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer(server, in, strcmp(body, name) ? -ENOENT : 0, &entry, strcmp(body, name) ? 0 : sizeof(entry));
		break;
	case FUSE_GETATTR:
		answer(server, in, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(server, in, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		read_part(server, in, body);
		break;
	case FUSE_STATFS:
		answer(server, in, 0, &statfs, sizeof(statfs));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* these want no answer */
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_ACCESS:
		answer(server, in, 0, NULL, 0);
		break;
	default:
		answer(server, in, -ENOSYS, NULL, 0);
	}
}

static void *serve_all(void *data)
{
	const struct server *server = data;
	static _Alignas(8) unsigned char request[REQUEST_MAX];

	for (;;) {
		ssize_t got = read(server->device, request, sizeof(request));

		if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (got < (ssize_t)sizeof(struct fuse_in_header))
			return NULL;
		serve(server, (const void *)request, request + sizeof(struct fuse_in_header));
	}
}

static void cannot(const char *what)
{
	say("cannot %s: %s", what, strerror(errno));
	exit(0);
}

static void load(struct server *server, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		exit(97);
	server->length = (size_t)status.st_size;
	server->bytes = malloc(server->length);
	if (!server->bytes || read(fd, server->bytes, server->length) != status.st_size)
		exit(97);
	close(fd);
}

/* It waits here, in a call from the library. */
static int wait_in_it(void)
{
	say("ready");
	await("end");
	return 1;
}

int main(int argc, char **argv)
{
	struct server server = { .device = open("/dev/fuse", O_RDWR | O_CLOEXEC) };
	int (*function)(int (*call)(void));
	char options[128], path[PATH_MAX];
	pthread_t thread;
	void *library;

	if (argc < 2)
		return 96;
	if (server.device < 0)
		cannot("open /dev/fuse");
	load(&server, beside("served.so"));
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		cannot("make a mount namespace");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d", server.device, getuid(), getgid());
	if (mount("served", argv[1], "fuse", MS_NOSUID | MS_NODEV, options))
		cannot("mount a file system by FUSE");
	pthread_create(&thread, NULL, serve_all, &server);
	snprintf(path, sizeof(path), "%s/%s", argv[1], name);
	library = dlopen(path, RTLD_NOW);
	if (!library) {
		say("cannot dlopen: %s", dlerror());
		return 1;
	}
	*(void **)&function = dlsym(library, "served_function");
	say("address served_function 0x%lx", (unsigned long)(uintptr_t)function);
	return function(wait_in_it) == 2 ? 0 : 1;
}
