/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view/view.c - what lies where, and the tables behind it
 */
#include "view/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/*
 *	table: NULL ──made under lock──► set, for good
 *	tried_alive, tried_dead: it could not be had then, and will not be
 */
struct view_file {
	unsigned users;
	pthread_mutex_t lock;
	struct symbol_file *table;  /* atomic */
	struct symbol_file *former; /* before debug files could be looked for; somebody may still read it */
	struct symbol_file *unfetched; /* before a server had sent one, the same */
	char *fetched;               /* under lock: where that is */
	bool asked, asked_lines;     /* atomic: the servers were */
	struct lines *lines;        /* under lock */
	int tried_alive, tried_dead; /* 0, or the error */
	int lines_alive, lines_dead;
	vaddr_t witness;             /* atomic */
	uint64_t seen_ns;            /* atomic */
};

/* ---- files ------------------------------------------------------------------------------------ */

static struct view_file *file_new(void)
{
	struct view_file *file = calloc(1, sizeof(*file));

	if (file == NULL)
		return NULL;
	file->users = 1;
	pthread_mutex_init(&file->lock, NULL);
	return file;
}

static struct view_file *file_get(struct view_file *file)
{
	__atomic_add_fetch(&file->users, 1, __ATOMIC_RELAXED);
	return file;
}

static void file_put(struct view_file *file)
{
	if (file == NULL || __atomic_sub_fetch(&file->users, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	symbol_file_put(file->table);
	symbol_file_put(file->former);
	symbol_file_put(file->unfetched);
	free(file->fetched);
	lines_close(file->lines);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

/* ---- views ------------------------------------------------------------------------------------ */

static int by_low(const void *a, const void *b, void *data)
{
	const struct view_object *object = data;
	vaddr_t one = object[*(const uint32_t *)a].low, other = object[*(const uint32_t *)b].low;

	return (one > other) - (one < other);
}

static void sort_by_address(struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->object[i].high > view->object[i].low)
			view->by_address[view->placed++] = (uint32_t)i;
	qsort_r(view->by_address, view->placed, sizeof(*view->by_address), by_low, view->object);
}

const struct view_object *view_object_at(const struct view *view, vaddr_t address)
{
	size_t low = 0, high = view->placed;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (view->object[view->by_address[middle]].low <= address)
			low = middle + 1;
		else
			high = middle;
	}
	/* Where a victim's lists lie, ranges may lie in each other: the one that begins last is asked, no other. */
	if (low == 0)
		return NULL;
	const struct view_object *object = &view->object[view->by_address[low - 1]];
	return address < object->high ? object : NULL;
}

static bool same_build_id(const struct elf_build_id *a, const struct elf_build_id *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The file of the same object in the view before, or a new one. */
static struct view_file *file_of(const struct view_object *object, const struct view *before)
{
	const struct view_object *old = before == NULL ? NULL : view_object_at(before, object->low);

	if (old != NULL && old->low == object->low && old->high == object->high && old->bias == object->bias &&
	    old->build_id.size != 0 && same_build_id(&old->build_id, &object->build_id))
		return file_get(old->file);
	/* Without a build-id two files that follow each other at one place look alike: link map and name tell. */
	if (old != NULL && old->low == object->low && old->high == object->high && old->bias == object->bias &&
	    old->build_id.size == 0 && object->build_id.size == 0 && old->link_map == object->link_map &&
	    strcmp(old->path, object->path) == 0)
		return file_get(old->file);
	return file_new();
}

static void take_object(struct view_object *to, const struct object *from)
{
	*to = (struct view_object){
		.bias = from->bias,
		.low = from->low,
		.high = from->high,
		.link_map = from->link_map,
		.dynamic = from->dynamic,
		.name = from->name,
		.lmid = from->lmid,
		.is_program = from->is_program,
		.is_linker = from->is_linker,
		.is_vdso = from->is_vdso,
		.build_id = from->build_id,
	};
}

static const char vdso_path[] = "[vdso]";

/* musl's list has it without a name. */
static const char *path_of(const struct object *object)
{
	return object->is_vdso && object->path[0] == '\0' ? vdso_path : object->path;
}

static bool allocate(struct view *view, const struct object_list *list)
{
	const struct object *object;
	size_t bytes = sizeof(vdso_path), count = 1;

	TAILQ_FOREACH(object, &list->queue, entry) {
		bytes += strlen(path_of(object)) + 1;
		count++;
	}
	view->object = calloc(count, sizeof(*view->object));
	view->by_address = calloc(count, sizeof(*view->by_address));
	view->paths = malloc(bytes);
	return view->object != NULL && view->by_address != NULL && view->paths != NULL;
}

/*
 * What came with the program is not unloaded: glibc's dlclose() takes only what dlopen() has brought, musl's nothing. They
 * append to their lists, and the linker itself came with the program, so that what stands before it did too. One
 * that has no link map yet stands where nothing can be told from it.
 */
static void note_what_stays(struct view *view)
{
	size_t end = 0;

	for (size_t i = 0; i < view->count && end == 0; i++)
		if (view->object[i].is_linker && view->object[i].link_map != 0 && view->object[i].lmid == 0)
			end = i + 1;
	for (size_t i = 0; i < end; i++)
		view->object[i].stays = view->object[i].lmid == 0;
}

static bool fill(struct view *view, const struct object_list *list, const struct elf_image *vdso,
		 const struct view *before)
{
	const struct object *object;
	char *path = view->paths;
	bool has_vdso = false;

	TAILQ_FOREACH(object, &list->queue, entry) {
		struct view_object *to = &view->object[view->count++];

		take_object(to, object);
		to->path = path;
		path = stpcpy(path, path_of(object)) + 1;
		has_vdso = has_vdso || to->is_vdso || (vdso != NULL && to->low == vdso->low);
	}
	if (vdso != NULL && !has_vdso) {
		strcpy(path, vdso_path);
		view->object[view->count++] = (struct view_object){
			.path = path, .bias = vdso->bias, .low = vdso->low, .high = vdso->high,
			.is_vdso = true, .build_id = vdso->build_id,
		};
	}
	for (size_t i = 0; i < view->count; i++) {
		view->object[i].file = file_of(&view->object[i], before);
		if (view->object[i].file == NULL)
			return false;
	}
	note_what_stays(view);
	return true;
}

struct view *view_new(uint64_t image, const struct object_list *list, const struct elf_image *vdso,
		      const struct view *before)
{
	struct view *view = calloc(1, sizeof(*view));

	if (view == NULL)
		return NULL;
	view->users = 1;
	view->image = image;
	if (!allocate(view, list) || !fill(view, list, vdso, before)) {
		view_put(view);
		return NULL;
	}
	sort_by_address(view);
	return view;
}

struct view *view_get(struct view *view)
{
	if (view != NULL)
		__atomic_add_fetch(&view->users, 1, __ATOMIC_RELAXED);
	return view;
}

void view_put(struct view *view)
{
	if (view == NULL || __atomic_sub_fetch(&view->users, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (size_t i = 0; i < view->count; i++)
		file_put(view->object[i].file);
	free(view->object);
	free(view->by_address);
	free(view->paths);
	free(view);
}

size_t view_bytes(const struct view *view)
{
	size_t bytes = sizeof(*view);

	for (size_t i = 0; i < view->count; i++)
		bytes += sizeof(view->object[i]) + sizeof(view->by_address[i]) + sizeof(struct view_file) +
			 strlen(view->object[i].path) + 1;
	return bytes;
}

/* ---- is it still there? ------------------------------------------------------------------------ */

vaddr_t view_witness(const struct view_object *object)
{
	return __atomic_load_n(&object->file->witness, __ATOMIC_RELAXED);
}

uint64_t view_seen(const struct view_object *object)
{
	return __atomic_load_n(&object->file->seen_ns, __ATOMIC_RELAXED);
}

void view_note_seen(const struct view_object *object, uint64_t now_ns)
{
	__atomic_store_n(&object->file->seen_ns, now_ns, __ATOMIC_RELAXED);
}

void view_note_witness(const struct view_object *object, const struct reader *memory)
{
	enum { PAGE = 4096 };
	char page[PAGE];

	if (object->build_id.size == 0 || object->high <= object->low || view_witness(object) != 0)
		return;
	ssize_t got = memory->read(memory->data, object->low, page, sizeof(page));
	const char *found = got > 0 ? memmem(page, (size_t)got, object->build_id.bytes, object->build_id.size) : NULL;
	if (found != NULL)
		__atomic_store_n(&object->file->witness, object->low + (vaddr_t)(found - page), __ATOMIC_RELAXED);
}

/* ---- tables ----------------------------------------------------------------------------------- */

static ssize_t read_own(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct elf_image *image = data;

	if (address < image->low || address >= image->high)
		return -EFAULT;
	if (length > image->high - address)
		length = image->high - address;
	memcpy(buffer, (const void *)(uintptr_t)address, length);
	return (ssize_t)length;
}

static ssize_t read_header(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct elf_image image = { .low = *(const vaddr_t *)data, .high = *(const vaddr_t *)data + 4096 };

	return read_own(&image, address, buffer, length);
}

/* The kernel maps one vdso into all processes of a kind: when the victim has ended, ours serves, if it is the same. */
static int table_of_own_vdso(const struct view_object *object, const struct view_access *access,
			     struct symbol_file **ret)
{
	vaddr_t header = getauxval(AT_SYSINFO_EHDR);
	struct reader first = { .read = read_header, .data = &header };
	struct elf_image image;

	if (header == 0 || elf_image_at(&first, header, &image) != 0 || object->build_id.size == 0 ||
	    !same_build_id(&image.build_id, &object->build_id))
		return -ENOENT;
	struct reader memory = { .read = read_own, .data = &image };
	struct symbol_source source = {
		.size = sizeof(source), .fd = -1, .root_fd = -1, .memory = &memory, .image = &image,
	};
	return symbol_file_get(access->pool, &source, ret);
}

static int make_table(const struct view_object *object, const struct view_access *access, struct symbol_file **ret)
{
	struct view_opened opened;
	struct elf_image image;

	if (object->is_vdso && access->memory == NULL)
		return table_of_own_vdso(object, access, ret);
	int error = view_open(object, access, &opened);
	if (error != 0)
		return error;
	if (opened.fd < 0)
		error = elf_image_at(access->memory, object->low, &image);
	if (error == 0) {
		struct symbol_source source = {
			.size = sizeof(source),
			.fd = opened.fd,
			.root_fd = opened.root_fd,
			.memory = opened.fd < 0 ? access->memory : NULL,
			.image = opened.fd < 0 ? &image : NULL,
			.path = object->path,
			.flags = opened.quiet ? SYMBOL_NO_DEBUG_FILES : 0,
			.fetched = opened.quiet ? NULL : object->file->fetched,
		};
		error = symbol_file_get(access->pool, &source, ret);
	}
	view_close(&opened);
	return error;
}

/* Memory may come back, and who has ended is looked at otherwise; what the victim or its files lack will not come. */
static int lasting(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EINTR || error == -ESRCH ? 0 : error;
}

struct symbol_file *view_table_made(const struct view_object *object)
{
	return __atomic_load_n(&object->file->table, __ATOMIC_ACQUIRE);
}

/* It was made while the victim stood still, without debug files. Once it is asked for again. */
static bool improves(const struct view_file *file, const struct symbol_file *table, const struct view_access *access)
{
	return access->memory != NULL && !access->parked && __atomic_load_n(&file->former, __ATOMIC_ACQUIRE) == NULL &&
	       symbol_file_is_partial(table);
}

/*
 * Ask the servers for the file's debug file, once; no lock is held meanwhile: whoever else asks for a name of the object
 * goes on with what is here.
 */
static bool fetch(const struct view_object *object, const struct view_access *access, bool *asked)
{
	struct view_file *file = object->file;
	char *path = NULL;

	if (__atomic_exchange_n(asked, true, __ATOMIC_RELAXED))
		return false;
	int error = symbol_fetch(access->fetching, &object->build_id, &path);
	if (error == -ECANCELED)
		__atomic_store_n(asked, false, __ATOMIC_RELAXED);
	if (error != 0)
		return false;
	pthread_mutex_lock(&file->lock);
	if (file->fetched == NULL)
		file->fetched = path;
	else
		free(path);
	pthread_mutex_unlock(&file->lock);
	return true;
}

static bool can_be_fetched(const struct view_object *object, const struct view_access *access)
{
	return access->fetching != NULL && !access->parked && object->build_id.size != 0 && !object->is_vdso;
}

/* A table of what a server has sent, in the place of the one that lacks it. */
static void fetch_table(const struct view_object *object, const struct view_access *access)
{
	struct view_access local = *access;
	struct view_file *file = object->file;
	struct symbol_file *table;

	local.fetching = NULL;
	if (!can_be_fetched(object, access) || __atomic_load_n(&file->asked, __ATOMIC_RELAXED) ||
	    view_table(object, &local, &table) != 0 || !symbol_file_lacks_symbols(table) ||
	    !fetch(object, access, &file->asked))
		return;
	pthread_mutex_lock(&file->lock);
	if (file->unfetched == NULL && make_table(object, &local, &table) == 0) {
		file->unfetched = file->table;
		__atomic_store_n(&file->table, table, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&file->lock);
}

int view_table(const struct view_object *object, const struct view_access *access, struct symbol_file **ret)
{
	struct view_file *file = object->file;

	fetch_table(object, access);
	struct symbol_file *table = view_table_made(object);
	int error = 0;

	if (table != NULL && !improves(file, table, access)) {
		*ret = table;
		return 0;
	}
	pthread_mutex_lock(&file->lock);
	int *tried = access->memory != NULL ? &file->tried_alive : &file->tried_dead;
	table = file->table;
	if (table == NULL) {
		error = *tried;
		if (error == 0)
			error = make_table(object, access, &table);
		*tried = lasting(error);
		if (error == 0)
			__atomic_store_n(&file->table, table, __ATOMIC_RELEASE);
	} else if (improves(file, table, access) && make_table(object, access, &table) == 0) {
		__atomic_store_n(&file->former, file->table, __ATOMIC_RELEASE);
		__atomic_store_n(&file->table, table, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&file->lock);
	if (error == 0)
		*ret = table;
	return error;
}

static int make_lines(const struct view_object *object, const struct view_access *access, struct lines **ret)
{
	struct view_opened opened;
	int error = view_open(object, access, &opened);

	if (error != 0)
		return error;
	if (opened.fd >= 0) {
		struct lines_source source = {
			.fd = opened.fd,
			.root_fd = opened.root_fd,
			.path = object->path,
			.build_id = object->build_id,
			.fetched = opened.quiet ? NULL : object->file->fetched,
		};
		error = lines_open(&source, ret);
	} else {
		error = -ENOENT;
	}
	view_close(&opened);
	return error;
}

/* The same of source lines: true, another try may find them. */
static bool fetch_lines(const struct view_object *object, const struct view_access *access)
{
	struct view_access local = *access;
	struct view_file *file = object->file;
	struct lines *lines;

	local.fetching = NULL;
	if (!can_be_fetched(object, access) || __atomic_load_n(&file->asked_lines, __ATOMIC_RELAXED) ||
	    view_lines(object, &local, &lines) != -ENOENT)
		return false;
	pthread_mutex_lock(&file->lock);
	bool there = file->fetched != NULL;
	pthread_mutex_unlock(&file->lock);
	/* What was fetched for names has the lines too. */
	return there ? !__atomic_exchange_n(&file->asked_lines, true, __ATOMIC_RELAXED) :
		       fetch(object, access, &file->asked_lines);
}

int view_lines(const struct view_object *object, const struct view_access *access, struct lines **ret)
{
	struct view_file *file = object->file;
	bool again = fetch_lines(object, access);
	int error = 0;

	pthread_mutex_lock(&file->lock);
	int *tried = access->memory != NULL ? &file->lines_alive : &file->lines_dead;
	if (file->lines == NULL) {
		error = again ? 0 : *tried;
		if (error == 0)
			error = make_lines(object, access, &file->lines);
		*tried = lasting(error);
	}
	*ret = file->lines;
	pthread_mutex_unlock(&file->lock);
	return error;
}
