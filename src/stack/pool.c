/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/pool.c - the files that stacks lead through, each read once
 *
 * By device and inode, as maps tells them. A page of each kept file stays mapped, without access: so long its inode
 * is not given to another, and no descriptor is held. What no file can be opened for is put together from memory:
 * the vdso, which is the same for all processes, and files that are deleted, replaced, or of another mount namespace;
 * these are kept for one map only. So is what a process may serve itself (FUSE): stacks are made while their threads stand, and
 * who waited for such a file could not let them go on.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "os/mounts.h"
#include "os/sys.h"
#include "stack/inside.h"

enum { FILES_KEPT = 512, PAGE = 4096 };

struct stack_pool {
	pthread_mutex_t lock;
	LIST_HEAD(, file) files;
	unsigned count;
	uint64_t clock;
};

struct stack_pool *stack_pool_new(void)
{
	struct stack_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	LIST_INIT(&pool->files);
	return pool;
}

static void file_free(struct file *file)
{
	cfi_free(file->cfi);
	if (file->pin)
		munmap(file->pin, PAGE);
	free(file->bytes);
	free(file);
}

static void unlist(struct stack_pool *pool, struct file *file)
{
	LIST_REMOVE(file, entry);
	file->listed = false;
	pool->count--;
}

void stack_pool_free(struct stack_pool *pool)
{
	struct file *file;

	if (!pool)
		return;
	while ((file = LIST_FIRST(&pool->files))) {
		unlist(pool, file);
		file_free(file);
	}
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void pool_put(struct stack_pool *pool, struct file *file)
{
	pthread_mutex_lock(&pool->lock);
	bool last = --file->users == 0 && !file->listed;
	pthread_mutex_unlock(&pool->lock);
	if (last)
		file_free(file);
}

/* Lock held: the one that nobody uses for longest goes. */
static void make_room(struct stack_pool *pool)
{
	struct file *file, *oldest = NULL;

	if (pool->count < FILES_KEPT)
		return;
	LIST_FOREACH(file, &pool->files, entry)
		if (!file->users && (!oldest || file->used < oldest->used))
			oldest = file;
	if (!oldest)
		return;
	unlist(pool, oldest);
	file_free(oldest);
}

/* Lock held. */
static void file_use(struct stack_pool *pool, struct file *file)
{
	if (!file)
		return;
	file->users++;
	file->used = ++pool->clock;
}

static struct file *look_up(struct stack_pool *pool, const struct mapped *mapping)
{
	struct file *file;

	pthread_mutex_lock(&pool->lock);
	LIST_FOREACH(file, &pool->files, entry)
		if (file->inode == mapping->inode && file->device_major == mapping->device_major &&
		    file->device_minor == mapping->device_minor)
			break;
	file_use(pool, file);
	pthread_mutex_unlock(&pool->lock);
	return file;
}

/* Where two threads have read the same file, both copies serve, and one is found by others. */
static void keep(struct stack_pool *pool, struct file *file)
{
	pthread_mutex_lock(&pool->lock);
	make_room(pool);
	if (pool->count < FILES_KEPT) {
		LIST_INSERT_HEAD(&pool->files, file, entry);
		file->listed = true;
		file->used = ++pool->clock;
		pool->count++;
	}
	pthread_mutex_unlock(&pool->lock);
}

/* ---- segments ---------------------------------------------------------------------------- */

static bool is_ours(const Elf64_Ehdr *header)
{
	return !memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_ident[EI_CLASS] == ELFCLASS64 &&
	       header->e_ident[EI_DATA] == ELFDATA2LSB && header->e_phentsize == sizeof(Elf64_Phdr) &&
	       header->e_phnum && header->e_phnum <= MAX_ELF_PHDRS;
}

static void add_segment(struct file *file, const Elf64_Phdr *phdr)
{
	if (phdr->p_type != PT_LOAD || file->segments == SEGMENTS_MAX)
		return;
	file->segment[file->segments++] = (struct segment){ phdr->p_offset, phdr->p_vaddr, phdr->p_filesz };
}

/* Pages are mapped whole: what stands before a segment on its first page belongs to it as well as to the one before. */
uint64_t file_address(const struct file *file, uint64_t offset)
{
	for (unsigned i = 0; i < file->segments; i++) {
		const struct segment *segment = &file->segment[i];

		if (offset >= segment->offset && offset - segment->offset < segment->size)
			return segment->address + (offset - segment->offset);
	}
	return UINT64_MAX;
}

/* ---- from a file ------------------------------------------------------------------------- */

static int open_path(int64_t tid, const struct mapped *mapping)
{
	char path[MAX_OBJECT_NAME + 64];
	struct stat status;
	long fd;

	snprintf(path, sizeof(path), "/proc/%lld/map_files/%llx-%llx", (long long)tid, (unsigned long long)mapping->start,
		 (unsigned long long)mapping->end);
	fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd >= 0)
		return (int)fd;
	if (mapping->path[0] != '/')
		return -ENOENT;
	/* Not everybody may do that. By its name then, as the victim sees it, if it still is that file. */
	snprintf(path, sizeof(path), "/proc/%lld/root%s", (long long)tid, mapping->path);
	fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return (int)fd;
	if (!sys(newfstatat, fd, "", &status, AT_EMPTY_PATH) && status.st_ino == mapping->inode && S_ISREG(status.st_mode))
		return (int)fd;
	sys(close, fd);
	return -ESTALE;
}

static bool read_segments(struct file *file, int fd)
{
	Elf64_Phdr phdr[MAX_ELF_PHDRS];
	Elf64_Ehdr header;
	size_t size;

	if (sys(pread64, fd, &header, sizeof(header), 0) != (long)sizeof(header) || !is_ours(&header))
		return false;
	size = header.e_phnum * sizeof(phdr[0]);
	if (sys(pread64, fd, phdr, size, header.e_phoff) != (long)size)
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++)
		add_segment(file, &phdr[i]);
	return true;
}

static bool read_file(struct file *file, int64_t tid, const struct mapped *mapping)
{
	int fd = open_path(tid, mapping);

	if (fd < 0)
		return false;
	void *pin = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE, fd, 0);
	file->pin = pin == MAP_FAILED ? NULL : pin;
	bool read = file->pin && read_segments(file, fd);
	if (read)
		file->cfi = cfi_of_file(fd);
	sys(close, fd);
	return read;
}

/* ---- from memory ------------------------------------------------------------------------- */

/* The file's first mapping, if a header can be there. */
static vaddr_t header_at(const struct mapped *mapping, const struct reader *memory)
{
	Elf64_Ehdr header;
	/* Of the usual layouts the first part lies right below the text, or is it: so far is looked back. */
	vaddr_t first = mapping->start - mapping->offset;

	if (mapping->vdso)
		return mapping->start;
	if (memory->read(memory->data, first, &header, sizeof(header)) == (ssize_t)sizeof(header) && is_ours(&header))
		return first;
	return 0;
}

static bool copy_part(struct file *file, const struct reader *memory, vaddr_t base, const Elf64_Phdr *phdr)
{
	unsigned char *grown;

	if (phdr->p_type != PT_LOAD || !phdr->p_filesz || phdr->p_offset > MAX_IMAGE_BYTES || phdr->p_filesz > MAX_IMAGE_BYTES)
		return true;
	if (phdr->p_offset + phdr->p_filesz > file->length) {
		grown = realloc(file->bytes, phdr->p_offset + phdr->p_filesz);
		if (!grown)
			return false;
		memset(grown + file->length, 0, phdr->p_offset + phdr->p_filesz - file->length);
		file->bytes = grown;
		file->length = phdr->p_offset + phdr->p_filesz;
	}
	/* What cannot be read stays zero, and tells nothing. */
	(void)memory->read(memory->data, base + phdr->p_vaddr, file->bytes + phdr->p_offset, phdr->p_filesz);
	add_segment(file, phdr);
	return true;
}

static bool has_rules(const Elf64_Phdr *phdr, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (phdr[i].p_type == PT_GNU_EH_FRAME)
			return true;
	return false;
}

/* Its parts where they would stand in a file; sections, which memory need not have, are left out. */
static bool read_image(struct file *file, const struct reader *memory, const struct mapped *mapping)
{
	vaddr_t at = header_at(mapping, memory), base = at;
	Elf64_Phdr phdr[MAX_ELF_PHDRS];
	Elf64_Ehdr header;
	size_t size;

	if (!at || memory->read(memory->data, at, &header, sizeof(header)) != (ssize_t)sizeof(header) || !is_ours(&header))
		return false;
	size = header.e_phnum * sizeof(phdr[0]);
	if (memory->read(memory->data, at + header.e_phoff, phdr, size) != (ssize_t)size ||
	    !has_rules(phdr, header.e_phnum))
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_offset == 0)
			base = at - phdr[i].p_vaddr;
	for (unsigned i = 0; i < header.e_phnum; i++)
		if (!copy_part(file, memory, base, &phdr[i]))
			return false;
	if (file->length < sizeof(header))
		return false;
	header.e_shoff = header.e_shnum = header.e_shstrndx = 0;
	memcpy(file->bytes, &header, sizeof(header));
	file->cfi = cfi_of_bytes(file->bytes, file->length);
	return true;
}

/* The vdso has no inode; it is told by its bytes, which are few. */
static struct file *same_vdso(struct stack_pool *pool, const struct file *fresh)
{
	struct file *file;

	pthread_mutex_lock(&pool->lock);
	LIST_FOREACH(file, &pool->files, entry)
		if (!file->inode && file->length == fresh->length && !memcmp(file->bytes, fresh->bytes, file->length))
			break;
	file_use(pool, file);
	pthread_mutex_unlock(&pool->lock);
	return file;
}

static struct file *from_memory(struct stack_pool *pool, struct file *file, const struct reader *memory,
				const struct mapped *mapping)
{
	struct file *same;

	if (!read_image(file, memory, mapping)) {
		file_free(file);
		return NULL;
	}
	file->inode = 0;
	if (!mapping->vdso)
		return file;
	same = same_vdso(pool, file);
	if (same) {
		file_free(file);
		return same;
	}
	keep(pool, file);
	return file;
}

struct file *pool_file(struct stack_pool *pool, int64_t tid, const struct reader *memory, const struct mapped *mapping)
{
	struct file *file;

	if (!mapping->vdso && !mapping->inode)
		return NULL; /* code that a program has made, or a memory of nobody's */
	file = mapping->vdso ? NULL : look_up(pool, mapping);
	if (file)
		return file;
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->users = 1;
	file->inode = mapping->inode;
	file->device_major = mapping->device_major;
	file->device_minor = mapping->device_minor;
	if (mapping->vdso || os_served(tid, mapping->device_major, mapping->device_minor).here ||
	    !read_file(file, tid, mapping))
		return from_memory(pool, file, memory, mapping);
	keep(pool, file);
	return file;
}
