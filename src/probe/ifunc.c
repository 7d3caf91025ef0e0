/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/ifunc.c - the functions that the linker has chosen (STT_GNU_IFUNC)
 *
 *	libc.so.6: strlen, resolver at R ──┬── its own IRELATIVE slot of R ──────┐
 *	                                   └── anybody's slot named "strlen" ────┴──► holds __strlen_avx2
 *
 * Nothing of the victim is called: what its linker has written is read. Before it has, and where nobody calls
 * a function by name, nothing is known. A slot that is not bound yet points into a procedure linkage table,
 * one that is bound to another object's function of that name into that object: neither is taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/inside.h"

struct choice {
	STAILQ_ENTRY(choice) next;
	vaddr_t resolver, value;
	char name[]; /* "": by its resolver */
};

static int note(const struct elf_slot *slot, void *data)
{
	struct choices *choices = data;
	const char *name = slot->name ? slot->name : "";
	struct choice *choice = calloc(1, sizeof(*choice) + strlen(name) + 1);

	if (choice == NULL)
		return -ENOMEM;
	choice->resolver = slot->resolver;
	choice->value = slot->value;
	memcpy(choice->name, name, strlen(name) + 1);
	STAILQ_INSERT_TAIL(&choices->list, choice, next);
	return ++choices->count < MAX_PLT_ENTRIES ? 0 : -E2BIG;
}

struct elf_image image_of(const struct view_object *object)
{
	return (struct elf_image){
		.bias = object->bias,
		.low = object->low,
		.high = object->high,
		.dynamic = object->dynamic,
		.is_64 = true,
		.is_x86 = true,
	};
}

/* What all objects have bound to this one. */
static void collect(struct choices *choices, const struct view *view, const struct view_object *object,
		    const struct reader *memory)
{
	uint64_t budget = MAX_DYNAMIC_SYMBOLS;

	choices->object = object;
	STAILQ_INIT(&choices->list);
	for (size_t i = 0; i < view->placed; i++) {
		struct elf_image image = image_of(&view->object[view->by_address[i]]);

		if (image.dynamic)
			(void)elf_each_slot(memory, &image, object->low, object->high, &budget, note,
					    choices);
	}
}

/* Does a function begin there? Where names are stripped nobody says that none does. */
static bool is_function(struct symbol_file *table, uint64_t address)
{
	struct symbol symbol;

	if (symbol_file_at(table, address, &symbol) < 0)
		return true;
	if (symbol.flags & SYMBOL_IS_PLT || (symbol.type != SYMBOL_FUNCTION && symbol.type != SYMBOL_UNTYPED))
		return false;
	return symbol.address == address || symbol.flags & SYMBOL_HAS_NO_SIZE;
}

vaddr_t choices_find(struct choices *choices, const struct view *view, const struct view_object *object,
		     struct symbol_file *table, const struct reader *memory, const struct found *found)
{
	vaddr_t by_name = 0;
	const struct choice *choice;

	if (choices->object != object) {
		choices_clear(choices);
		collect(choices, view, object, memory);
	}
	STAILQ_FOREACH(choice, &choices->list, next) {
		bool own = choice->resolver == found->resolver;

		if ((!own && (found->hidden_version || strcmp(choice->name, found->name) != 0)) ||
		    !is_function(table, choice->value - object->bias))
			continue;
		if (own)
			return choice->value;
		by_name = by_name ? by_name : choice->value;
	}
	return by_name;
}

void choices_clear(struct choices *choices)
{
	struct choice *choice;

	if (choices->object == NULL)
		return;
	while ((choice = STAILQ_FIRST(&choices->list))) {
		STAILQ_REMOVE_HEAD(&choices->list, next);
		free(choice);
	}
	*choices = (struct choices){ 0 };
}
