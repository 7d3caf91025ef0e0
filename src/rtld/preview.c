/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/preview.c - the survey of an image that is still a file
 */
#include "rtld/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/memory.h"
#include "os/sys.h"

/* Far from each other, and from where anything is linked to. */
#define PROGRAM_BIAS UINT64_C(0x100000000000)
#define LINKER_BIAS UINT64_C(0x200000000000)
enum { VDSO_MAX = 65536 };

struct previewed_file {
	int fd; /* -1: not open */
	struct reader bytes;
	struct elf_file elf;
};

struct rtld_previewed {
	struct previewed_file program, linker;
	vaddr_t vdso; /* every process of this machine has the same: ours serves */
};

static ssize_t read_bytes(void *data, vaddr_t offset, void *buffer, size_t length)
{
	const struct previewed_file *file = data;
	long got;

	if (offset > INT64_MAX)
		return -EFAULT;
	do {
		got = sys(pread64, file->fd, buffer, length, offset);
	} while (got == -EINTR);
	return got;
}

static ssize_t read_preview(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct rtld_previewed *files = data;
	ssize_t got = elf_file_read(&files->program.elf, address, buffer, length);

	if (got == -EFAULT && files->linker.fd >= 0)
		got = elf_file_read(&files->linker.elf, address, buffer, length);
	if (got == -EFAULT && files->vdso != 0 && address >= files->vdso && address - files->vdso < VDSO_MAX)
		got = os_read_memory(sys(gettid, 0), address, buffer, length);
	return got;
}

/* file->fd is open only on success. */
static int open_image(const char *path, vaddr_t bias, struct previewed_file *file, struct stat *status)
{
	file->bytes = (struct reader){ .read = read_bytes, .data = file };
	file->fd = (int)sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	if (file->fd < 0)
		return file->fd;
	long error = sys(newfstatat, file->fd, "", status, AT_EMPTY_PATH);
	if (error == 0)
		error = S_ISREG(status->st_mode) ? elf_file_map(&file->elf, &file->bytes, bias) : -ENOEXEC;
	if (error != 0) {
		sys(close, file->fd);
		file->fd = -1;
	}
	return (int)error;
}

static int preview_files(struct rtld_preview *preview, const char *path)
{
	struct rtld_previewed *files = preview->files;
	struct stat status;
	int error = open_image(path, PROGRAM_BIAS, &files->program, &status);

	if (error != 0)
		return error;
	preview->set_id = status.st_mode & (S_ISUID | S_ISGID);
	if (files->program.elf.interpreter[0] == '\0')
		return 0;
	return open_image(files->program.elf.interpreter, LINKER_BIAS, &files->linker, &status);
}

static int read_page(const struct reader *memory, vaddr_t page, uint8_t bytes[4096])
{
	return memory->read(memory->data, page, bytes, 4096) == 4096 ? 0 : -ENOEXEC;
}

int rtld_preview(struct rtld_preview *preview, const char *path, struct rtld_cache *cache)
{
	struct rtld_previewed *files = calloc(1, sizeof(*files));

	*preview = (struct rtld_preview){ 0 };
	preview->files = files;
	if (files == NULL)
		return -ENOMEM;
	files->program.fd = files->linker.fd = -1;
	files->vdso = getauxval(AT_SYSINFO_EHDR);
	preview->memory = (struct reader){ .read = read_preview, .data = files };
	int error = preview_files(preview, path);
	if (error != 0)
		return error;
	preview->program = files->program.elf.phdrs & ~UINT64_C(4095);
	preview->linker = files->linker.fd >= 0 ? files->linker.elf.low : 0;
	preview->vdso = files->vdso;
	preview->interpreter = files->program.elf.interpreter;
	const uint64_t auxv[][2] = {
		{ AT_PHDR, files->program.elf.phdrs },  { AT_PHNUM, files->program.elf.phdr_count },
		{ AT_ENTRY, files->program.elf.entry }, { AT_BASE, preview->linker },
		{ AT_SYSINFO_EHDR, preview->vdso },
	};
	error = rtld_survey_auxv(&preview->rtld, sys(gettid, 0), &preview->memory, cache, auxv,
				 sizeof(auxv) / sizeof(auxv[0]));
	if (error == 0)
		error = read_page(&preview->memory, preview->program, preview->program_page);
	if (error == 0 && preview->linker != 0)
		error = read_page(&preview->memory, preview->linker, preview->linker_page);
	return error;
}

void rtld_preview_end(struct rtld_preview *preview)
{
	struct rtld_previewed *files = preview->files;

	if (files == NULL)
		return;
	if (files->program.fd >= 0)
		sys(close, files->program.fd);
	if (files->linker.fd >= 0)
		sys(close, files->linker.fd);
	free(files);
	preview->files = NULL;
}

char *rtld_preview_path(const struct rtld_preview *preview)
{
	char link[40], path[MAX_OBJECT_NAME];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", preview->files->program.fd);
	ssize_t length = readlink(link, path, sizeof(path));
	return length > 0 && length < (ssize_t)sizeof(path) ? strndup(path, (size_t)length) : NULL;
}
