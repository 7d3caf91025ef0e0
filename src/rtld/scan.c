/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/scan.c - what came and went since the last scan
 *
 * The walk is applied only as a whole: first all that is gone goes, then what is new comes, in the order of
 * the link maps. So an object that took the place of another is seen as both.
 */
#include "rtld/inside.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/procfs.h"

enum { MAX_SEARCHES = 64 };

struct scan {
	struct rtld *rtld;
	int64_t tid;
	const struct reader *memory;
	struct object_list *list;
	const struct rtld_changes *changes;
	struct walk walk;
	size_t name_bytes; /* of new objects, and of known ones where these are many */
	unsigned searches; /* through all mappings: dear, so a forged list gets only some */
	bool changed;
	bool cut; /* a name was */
};

/* ---- names and images ------------------------------------------------------------------------ */

/* The string at address, at most MAX_OBJECT_NAME - 1 bytes, allocated. 0; 1: cut; -ENOMEM, -ESRCH. */
static int read_name(const struct reader *memory, vaddr_t address, char **ret)
{
	char name[MAX_OBJECT_NAME];
	size_t length = 0;
	bool cut = false;

	for (size_t chunk = 128; address != 0; chunk = 512) {
		size_t space = sizeof(name) - 1 - length;
		cut = space == 0;
		if (cut)
			break;
		size_t wanted = space < chunk ? space : chunk;
		ssize_t got = memory->read(memory->data, address + length, name + length, wanted);
		if (got == -ESRCH)
			return -ESRCH;
		if (got <= 0 || (size_t)got > wanted)
			break;
		size_t used = strnlen(name + length, (size_t)got);
		length += used;
		if (used < (size_t)got)
			break;
	}
	*ret = strndup(name, length);
	if (*ret == NULL)
		return -ENOMEM;
	return cut;
}

struct header_search {
	vaddr_t dynamic, header;
	uint64_t inode;
	uint32_t device_major, device_minor;
};

/* The header is at the start of the nearest mapping below of the same file. */
static int visit_for_header(const struct os_mapping *mapping, void *data)
{
	struct header_search *search = data;

	if (mapping->start > search->dynamic)
		return -ENOEXEC;
	bool same_file = search->header != 0 && mapping->inode == search->inode &&
			 mapping->device_major == search->device_major &&
			 mapping->device_minor == search->device_minor;
	if (mapping->offset == 0 && mapping->inode != 0 && !same_file) {
		search->header = mapping->start;
		search->inode = mapping->inode;
		search->device_major = mapping->device_major;
		search->device_minor = mapping->device_minor;
		same_file = true;
	}
	if (search->dynamic < mapping->end)
		return same_file ? 1 : -ENOEXEC;
	return 0;
}

/*
 * The object that a link map tells of, as it is mapped. 0; -ENOEXEC, -EFAULT: nothing readable is there,
 * which leaves an object without range and build-id; -ESRCH.
 */
static int find_image(struct scan *scan, vaddr_t bias, vaddr_t dynamic, struct elf_image *ret)
{
	struct header_search search = { .dynamic = dynamic };
	int error = elf_image_at(scan->memory, bias, ret);

	if (error == -ESRCH || (error == 0 && ret->bias == bias && ret->dynamic == dynamic))
		return error;
	/* Linked to an address of its own: the bias is not where the header is. */
	if (scan->searches++ >= MAX_SEARCHES || os_each_mapping(scan->tid, visit_for_header, &search) != 1)
		return -ENOEXEC;
	error = elf_image_at(scan->memory, search.header, ret);
	if (error == 0 && ret->dynamic != dynamic)
		error = -ENOEXEC;
	return error;
}

static void take_image(struct object *object, const struct elf_image *image)
{
	object->low = image->low;
	object->high = image->high;
	object->build_id = image->build_id;
}

/* ---- the executable and the linker ----------------------------------------------------------- */

/*
 * The link of /proc follows renames; it is the only name that no victim can forge. "" where it may not be read. 0, -ESRCH: the
 * thread has ended, -ENOMEM.
 */
static int executable_path(int64_t tid, char **ret)
{
	static const char deleted[] = " (deleted)";
	char link[40], path[MAX_OBJECT_NAME];

	snprintf(link, sizeof(link), "/proc/%lld/exe", (long long)tid);
	ssize_t length = readlink(link, path, sizeof(path) - 1);
	if (length < 0 && (errno == ENOENT || errno == ESRCH))
		return -ESRCH;
	if (length < 0)
		length = 0;
	path[length] = '\0';
	size_t tail = sizeof(deleted) - 1;
	if ((size_t)length > tail && strcmp(path + length - tail, deleted) == 0)
		path[(size_t)length - tail] = '\0';
	*ret = strdup(path);
	return *ret != NULL ? 0 : -ENOMEM;
}

static struct object *own_object(const struct elf_image *image, char *path)
{
	struct object *object = path == NULL ? NULL : calloc(1, sizeof(*object));

	if (object == NULL) {
		free(path);
		return NULL;
	}
	object->path = path;
	object->bias = image->bias;
	object->dynamic = image->dynamic;
	object->initial = true;
	take_image(object, image);
	return object;
}

static void enter(struct object_list *list, struct object *object, const struct rtld_changes *changes)
{
	TAILQ_INSERT_TAIL(&list->queue, object, entry);
	list->count++;
	if (changes != NULL && changes->added != NULL)
		changes->added(object, changes->data);
}

/* Both paths are taken, NULL: out of memory. */
static int enter_own(const struct rtld *rtld, struct object_list *list, const struct rtld_changes *changes,
		     char *program_path, char *linker_path)
{
	struct object *program = own_object(&rtld->program, program_path);
	struct object *linker = own_object(&rtld->linker, linker_path);
	bool has_linker = rtld->flavour != RTLD_STATIC && !rtld->linker_is_program;

	if (program == NULL || (has_linker && linker == NULL)) {
		object_free(program);
		object_free(linker);
		return -ENOMEM;
	}
	program->is_program = !rtld->linker_is_program;
	program->is_linker = rtld->linker_is_program;
	enter(list, program, changes);
	if (has_linker) {
		linker->is_linker = true;
		enter(list, linker, changes);
	} else {
		object_free(linker);
	}
	return 0;
}

static int enter_own_objects(const struct rtld *rtld, int64_t tid, const struct reader *memory,
			     struct object_list *list, const struct rtld_changes *changes)
{
	char *program, *linker = NULL;

	if (list->count > 0)
		return 0;
	int error = executable_path(tid, &program);
	if (error < 0)
		return error;
	error = read_name(memory, rtld->program.interpreter, &linker);
	if (error >= 0)
		return enter_own(rtld, list, changes, program, linker);
	free(program);
	return error;
}

void rtld_begin(const struct rtld *rtld, struct object_list *list, const char *program, const char *linker)
{
	if (list->count == 0)
		(void)enter_own(rtld, list, NULL, strdup(program), strdup(linker));
}

/* ---- where the lists are --------------------------------------------------------------------- */

/* 0 when r_debug is known, -EAGAIN when the linker has not got as far. */
static int find_r_debug(struct rtld *rtld, const struct reader *memory)
{
	uint64_t value = 0;

	if (rtld->r_debug != 0)
		return 0;
	if (rtld->debug_pointer != 0) {
		ssize_t got = memory->read(memory->data, rtld->debug_pointer, &value, sizeof(value));
		if (got == -ESRCH)
			return -ESRCH;
		/* Before the linker has relocated itself an address of the file stands there. */
		if (got != (ssize_t)sizeof(value) || value < rtld->linker.low || value >= rtld->linker.high)
			return -EAGAIN;
	} else {
		int error = elf_dynamic_value(memory, &rtld->program, DT_DEBUG, &value);
		if (error != 0 || value == 0)
			return error == -ESRCH ? error : -EAGAIN;
	}
	rtld->r_debug = value;
	return 0;
}

/* An unknown linker tells where it can be trapped only in r_debug itself. */
static void learn_r_brk(struct rtld *rtld, const struct reader *memory)
{
	uint64_t r_brk;

	if (rtld->r_brk == 0 &&
	    memory->read(memory->data, rtld->r_debug + offsetof(struct r_debug, r_brk), &r_brk,
			 sizeof(r_brk)) == (ssize_t)sizeof(r_brk) &&
	    r_brk >= rtld->linker.low && r_brk < rtld->linker.high)
		rtld->r_brk = r_brk;
}

/* ---- applying a walk ------------------------------------------------------------------------- */

static bool in_vdso(const struct rtld *rtld, vaddr_t address)
{
	return rtld->vdso != 0 && address >= rtld->vdso && address < rtld->vdso_end;
}

/* The object made before its link map was there: program or linker. */
static struct object *without_link_map(const struct scan *scan, const struct walked *walked)
{
	struct object *object;

	TAILQ_FOREACH(object, &scan->list->queue, entry) {
		/* They are at the head; behind them all have a link map. */
		if (object->link_map == 0 && object->dynamic == walked->words.ld &&
		    object->bias == walked->words.addr)
			return object;
	}
	return NULL;
}

/* Program and linker of the base namespace get their link maps. */
static void adopt(struct scan *scan)
{
	const struct link_namespace *base = &scan->walk.ns[0];

	if (scan->rtld->started || !base->consistent)
		return;
	for (size_t i = base->first; i < base->first + base->count; i++) {
		struct walked *walked = &scan->walk.map[i];
		struct object *object = walked->known == NULL ? without_link_map(scan, walked) : NULL;
		if (object == NULL)
			continue;
		object->link_map = walked->at;
		object->name = walked->words.name;
		walked->known = object;
		scan->changed = true;
	}
}

static void remove_missing(struct scan *scan)
{
	struct object_list *list = scan->list;
	struct object *object, *next;

	for (object = TAILQ_FIRST(&list->queue); object != NULL; object = next) {
		next = TAILQ_NEXT(object, entry);
		bool seen = object->generation == list->generation || object->link_map == 0;
		bool gone = object->lmid >= (int64_t)scan->walk.namespaces;
		if (seen || (!gone && !scan->walk.ns[object->lmid].consistent))
			continue;
		TAILQ_REMOVE(&list->queue, object, entry);
		list->count--;
		scan->changed = true;
		if (scan->changes != NULL && scan->changes->removed != NULL)
			scan->changes->removed(object, scan->changes->data);
		object_free(object);
	}
}

static int new_object(struct scan *scan, const struct walked *walked, int64_t lmid, bool first,
		      struct object **ret)
{
	struct rtld *rtld = scan->rtld;
	struct object *object = calloc(1, sizeof(*object));
	struct elf_image image;
	int error;

	if (object == NULL)
		return -ENOMEM;
	object->link_map = walked->at;
	object->bias = walked->words.addr;
	object->dynamic = walked->words.ld;
	object->name = walked->words.name;
	object->lmid = lmid;
	object->initial = !rtld->started;
	object->is_vdso = in_vdso(rtld, object->dynamic);
	object->is_linker = rtld->linker.dynamic != 0 && object->dynamic == rtld->linker.dynamic &&
			    object->bias == rtld->linker.bias;
	object->is_program = !object->is_linker && lmid == 0 &&
			     (rtld->linker_is_program ? first : object->dynamic == rtld->program.dynamic);
	/* Each name has its bound, but there may be many: what goes beyond has none, as if it were nowhere. */
	bool room = scan->name_bytes < MAX_NAME_BYTES;
	error = read_name(scan->memory, room ? object->name : 0, &object->path);
	scan->cut |= !room && object->name != 0;
	if (error >= 0)
		scan->name_bytes += strlen(object->path) + 1;
	scan->cut |= error == 1;
	if (error < 0) {
		object_free(object);
		return error;
	}
	error = find_image(scan, object->bias, object->dynamic, &image);
	if (error == -ESRCH) {
		object_free(object);
		return error;
	}
	if (error == 0)
		take_image(object, &image);
	if (error == 0 && object->is_program && rtld->linker_is_program) {
		rtld->program = image;
		rtld_survey_main(rtld, scan->memory, image.entry);
	}
	*ret = object;
	return 0;
}

static int add_new(struct scan *scan)
{
	for (size_t n = 0; n < scan->walk.namespaces; n++) {
		const struct link_namespace *ns = &scan->walk.ns[n];
		if (!ns->consistent)
			continue;
		for (size_t i = 0; i < ns->count; i++) {
			struct walked *walked = &scan->walk.map[ns->first + i];
			if (walked->known != NULL)
				continue;
			int error = new_object(scan, walked, (int64_t)n, i == 0, &walked->known);
			if (error != 0)
				return error;
			walked->known->generation = scan->list->generation;
			scan->changed = true;
			enter(scan->list, walked->known, scan->changes);
		}
	}
	return 0;
}

/* Namespace by namespace, in the order of the link maps; those without one lead, as they came. */
static void put_in_order(struct scan *scan)
{
	struct object_queue ordered = TAILQ_HEAD_INITIALIZER(ordered);
	struct object_queue *queue = &scan->list->queue;
	struct object *object, *next;

	for (object = TAILQ_FIRST(queue); object != NULL && object->link_map == 0; object = next) {
		next = TAILQ_NEXT(object, entry);
		TAILQ_REMOVE(queue, object, entry);
		TAILQ_INSERT_TAIL(&ordered, object, entry);
	}
	for (size_t n = 0; n < scan->walk.namespaces; n++) {
		const struct link_namespace *ns = &scan->walk.ns[n];
		for (size_t i = 0; i < ns->count; i++) {
			object = scan->walk.map[ns->first + i].known;
			if (object == NULL) /* memory ran out before it was made */
				continue;
			TAILQ_REMOVE(queue, object, entry);
			TAILQ_INSERT_TAIL(&ordered, object, entry);
		}
		for (object = TAILQ_FIRST(queue); !ns->consistent && object != NULL; object = next) {
			next = TAILQ_NEXT(object, entry);
			if (object->lmid != (int64_t)n)
				continue;
			TAILQ_REMOVE(queue, object, entry);
			TAILQ_INSERT_TAIL(&ordered, object, entry);
		}
	}
	TAILQ_CONCAT(&ordered, queue, entry);
	TAILQ_CONCAT(queue, &ordered, entry);
}

/* Of so few that they could all have the longest name, nothing needs to be counted. */
static size_t known_name_bytes(const struct object_list *list)
{
	const struct object *object;
	size_t bytes = 0;

	if (list->count <= MAX_NAME_BYTES / MAX_OBJECT_NAME)
		return 0;
	TAILQ_FOREACH(object, &list->queue, entry)
		bytes += strlen(object->path) + 1;
	return bytes;
}

static int apply(struct scan *scan)
{
	uint64_t generation = ++scan->list->generation;

	adopt(scan);
	for (size_t i = 0; i < scan->walk.maps; i++)
		if (scan->walk.map[i].known != NULL)
			scan->walk.map[i].known->generation = generation;
	remove_missing(scan);
	scan->name_bytes = known_name_bytes(scan->list);
	int error = add_new(scan);
	if (scan->changed) {
		put_in_order(scan);
		scan->rtld->seen_changes++;
	}
	return error;
}

static bool all_consistent(const struct walk *walk)
{
	for (size_t n = 0; n < walk->namespaces; n++)
		if (!walk->ns[n].consistent)
			return false;
	return true;
}

/*
 * Auditing libraries (LD_AUDIT) are loaded before all others, into namespaces of their own, while the base
 * namespace reads as consistent and holds the program alone. The linker fills DT_DEBUG when it turns to the
 * base namespace.
 */
static bool base_has_begun(const struct scan *scan)
{
	uint64_t value;

	if (scan->walk.ns[0].head == 0)
		return false;
	if (scan->rtld->started)
		return true;
	/* A program without DT_DEBUG: nothing to go by. */
	return elf_dynamic_value(scan->memory, &scan->rtld->program, DT_DEBUG, &value) != 0 || value != 0;
}

/* The first time that the base namespace is whole. */
static void note_start(struct scan *scan)
{
	struct rtld *rtld = scan->rtld;
	uint64_t main;

	if (rtld->started)
		return;
	rtld->started = true;
	learn_r_brk(rtld, scan->memory);
	if (rtld->main == 0 && rtld->main_slot != 0 &&
	    scan->memory->read(scan->memory->data, rtld->main_slot, &main, sizeof(main)) ==
		    (ssize_t)sizeof(main))
		rtld->main = main;
}

int rtld_scan(struct rtld *rtld, int64_t tid, const struct reader *memory, struct object_list *list,
	      const struct rtld_changes *changes)
{
	struct scan scan = { .rtld = rtld, .tid = tid, .memory = memory, .list = list, .changes = changes };
	int result = enter_own_objects(rtld, tid, memory, list, changes);

	rtld->refused = NULL;
	if (result < 0)
		return result;
	if (rtld->flavour == RTLD_STATIC) {
		rtld->started = true;
		return 1;
	}
	result = find_r_debug(rtld, memory);
	if (result != 0)
		return result == -EAGAIN ? 0 : result;
	result = walk_read(&scan.walk, rtld->r_debug, memory, list);
	rtld->refused = scan.walk.refused;
	if (result == 0 && scan.walk.ns[0].consistent)
		scan.walk.ns[0].consistent = base_has_begun(&scan);
	if (result == 0)
		result = apply(&scan);
	if (result == 0 && scan.walk.ns[0].consistent)
		note_start(&scan);
	if (result == 0)
		result = scan.walk.overflow || scan.cut ? -EOVERFLOW : all_consistent(&scan.walk);
	walk_free(&scan.walk);
	return result == -EAGAIN ? 0 : result;
}
