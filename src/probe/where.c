/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/where.c - "OBJECT:FUNCTION+OFFSET", and what of an object it means
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "decode/decode.h"
#include "probe/inside.h"

static bool is_pattern(const char *text)
{
	return strpbrk(text, "*?[\\") != NULL;
}

static bool parse_offset(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 0);
	return errno == 0 && *end == '\0';
}

static int copy_except(struct where *where, const char *const *except)
{
	size_t count = 0;

	while (except != NULL && except[count] != NULL) {
		if (count >= MAX_PLACE_EXCEPT || strnlen(except[count], MAX_PLACE_TEXT) == MAX_PLACE_TEXT)
			return -TETHER_EINVALID;
		count++;
	}
	if (count == 0)
		return 0;
	where->except = calloc(count + 1, sizeof(*where->except));
	if (where->except == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		where->except[i] = strdup(except[i]);
		if (where->except[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* What is owned goes with where_clear(), of one that failed too. */
int where_parse(struct where *where, const char *text, const char *const *except)
{
	size_t length = strnlen(text, MAX_PLACE_TEXT);
	const char *colon = strrchr(text, ':');

	if (length == MAX_PLACE_TEXT || colon == NULL || colon == text || colon[1] == '\0')
		return -TETHER_EINVALID;
	char *copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	char *function = copy + (colon - text), *plus = strrchr(function, '+');
	*function++ = '\0';
	where->offset = 0;
	if (plus != NULL) {
		*plus = '\0';
		if (!parse_offset(plus + 1, &where->offset) || *function == '\0') {
			free(copy);
			return -TETHER_EINVALID;
		}
	}
	where->object = copy;
	where->function = function;
	return copy_except(where, except);
}

void where_clear(struct where *where)
{
	free(where->object);
	where->object = where->function = NULL;
	for (size_t i = 0; where->except != NULL && where->except[i] != NULL; i++)
		free(where->except[i]);
	free(where->except);
	where->except = NULL;
}

static bool is_soname(const struct where *where, const struct view_object *object, const struct reader *memory)
{
	struct elf_image image = image_of(object);
	char name[ELF_SLOT_NAME];

	if (memory == NULL || !image.dynamic || object->is_program || strchr(where->object, '/') != NULL ||
	    elf_soname(memory, &image, name) < 0)
		return false;
	return is_pattern(where->object) ? fnmatch(where->object, name, 0) == 0 : strcmp(where->object, name) == 0;
}

bool where_is_object(const struct where *where, const struct view_object *object, const struct reader *memory)
{
	const char *base = strrchr(object->path, '/');

	if (where->object == NULL || object->high <= object->low || object->is_vdso)
		return false;
	if (object->is_program && strcmp(where->object, "a.out") == 0)
		return true;
	base = base != NULL ? base + 1 : object->path;
	if (is_pattern(where->object)
		    ? fnmatch(where->object, object->path, 0) == 0 || fnmatch(where->object, base, 0) == 0
		    : strcmp(where->object, object->path) == 0 || strcmp(where->object, base) == 0)
		return true;
	return is_soname(where, object, memory);
}

struct finding {
	const struct where *where;
	const struct view_object *object;
	struct symbol_file *table;
	bool pattern;
	uint64_t last; /* ascending: aliases come one after the other */
	int (*found)(const struct found *found, void *data);
	void *data;
};

static bool is_code(const struct where *where, const struct symbol *symbol, bool pattern)
{
	if (symbol->flags & (SYMBOL_IS_PLT | SYMBOL_IS_JIT))
		return false;
	/* A part of a function that the compiler has put elsewhere: no call, and no return address at its beginning. */
	if (where->calls && strstr(symbol->name, ".cold"))
		return false;
	/* What has no type may be data: taken by its whole name only. */
	return symbol->type == SYMBOL_FUNCTION || symbol->type == SYMBOL_IFUNC || (symbol->type == SYMBOL_UNTYPED && !pattern);
}

static bool is_excepted(const struct where *where, const char *name)
{
	for (size_t i = 0; where->except != NULL && where->except[i] != NULL; i++)
		if (fnmatch(where->except[i], name, 0) == 0)
			return true;
	return false;
}

static int visit(const struct symbol *symbol, void *data)
{
	struct finding *finding = data;
	const struct where *where = finding->where;
	const char *name = symbol->name;
	struct symbol best;

	if (!is_code(where, symbol, finding->pattern) || symbol->address == finding->last)
		return 0;
	if (finding->pattern ? fnmatch(where->function, name, 0) != 0 : strcmp(where->function, name) != 0)
		return 0;
	/* Of several names that match, the one that the address is called by. */
	if (finding->pattern && symbol_file_at(finding->table, symbol->address, &best) == 0 &&
	    best.address == symbol->address && fnmatch(where->function, best.name, 0) == 0)
		name = best.name;
	if (is_excepted(where, name))
		return 0;
	finding->last = symbol->address;
	struct found found = {
		.address = symbol->address + finding->object->bias + where->offset,
		.name = name,
		.offset = where->offset,
	};
	if (symbol->type == SYMBOL_IFUNC) {
		found.resolver = symbol->address + finding->object->bias;
		found.hidden_version = symbol->flags & SYMBOL_HIDDEN_VERSION;
	}
	return finding->found(&found, finding->data);
}

int where_find(const struct where *where, const struct view_object *object, struct symbol_file *table,
	       int (*found)(const struct found *found, void *data), void *data)
{
	struct finding finding = { where, object, table, is_pattern(where->function), UINT64_MAX, found, data };
	struct symbol symbol;

	/* Most objects have none of that name, and their index knows. */
	if (!finding.pattern && symbol_file_find(table, where->function, &symbol) == -ENOENT)
		return 0;
	return symbol_file_each(table, visit, &finding);
}

/*
 * A trap in the middle of an instruction makes another one of it. So a function is gone through from its beginning, as
 * its instructions follow each other; what is in doubt is refused.
 */
bool where_begins(struct tether *process, const struct found *found)
{
	enum { PIECE = 4096, LONGEST = RECIPE_INSN_MAX };
	struct reader memory = process_reader(process);
	vaddr_t at = found->address - found->offset;
	uint8_t bytes[PIECE];
	struct recipe recipe;

	if (found->offset > MAX_PLACE_OFFSET)
		return false;
	while (at < found->address) {
		size_t wanted = found->address - at + LONGEST < PIECE ? (size_t)(found->address - at) + LONGEST : PIECE;
		ssize_t got = memory.read(memory.data, at, bytes, wanted);
		size_t i = 0;

		while (got > 0 && i < (size_t)got && at + i < found->address &&
		       ((size_t)got - i >= LONGEST || (size_t)got < wanted)) {
			if (decode_recipe(bytes + i, (size_t)got - i, at + i, &recipe) < 0 || !recipe.length)
				return false;
			i += recipe.length;
		}
		if (!i)
			return false;
		at += i;
	}
	return at == found->address;
}
