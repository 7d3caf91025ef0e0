/* SPDX-License-Identifier: BSD-2-Clause */
#include "family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct process **slot(struct family *family, int64_t pid)
{
	struct process **at = &family->bucket[(uint64_t)pid % FAMILY_BUCKETS];

	while (*at && (*at)->pid != pid)
		at = &(*at)->next;
	return at;
}

struct process *family_find(struct family *family, int64_t pid)
{
	return *slot(family, pid);
}

struct process *family_add(struct family *family, int64_t pid, int64_t parent)
{
	const struct process *above = family_find(family, parent);
	struct process *process = family_find(family, pid);

	if (!process) {
		process = calloc(1, sizeof(*process));
		if (!process)
			return NULL;
		process->pid = pid;
		if (above) {
			process->depth = above->depth + 1;
			process->directory = above->directory;
			memcpy(process->name, above->name, sizeof(process->name));
		}
		*slot(family, pid) = process;
		family->count++;
	}
	return process;
}

void family_remove(struct family *family, int64_t pid)
{
	struct process **at = slot(family, pid);
	struct process *process = *at;

	if (!process)
		return;
	*at = process->next;
	family->count--;
	free(process);
}

struct process *family_any(struct family *family)
{
	for (size_t i = 0; i < FAMILY_BUCKETS; i++) {
		if (family->bucket[i])
			return family->bucket[i];
	}
	return NULL;
}

int64_t process_parent(int64_t pid)
{
	char path[40], text[512];
	const char *after;
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	/* PID (NAME) STATE PARENT: the name may hold parentheses and blanks. */
	after = strrchr(text, ')');
	return after && strlen(after) > 4 ? strtoll(after + 4, NULL, 10) : 0;
}

void process_set_name(struct process *process, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(process->name, sizeof(process->name), "%s", slash ? slash + 1 : path);
}

uint64_t directory_hash(const char *directory)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *directory; directory++)
		hash = (hash ^ (unsigned char)*directory) * 0x100000001b3;
	return hash ? hash : 1;
}
