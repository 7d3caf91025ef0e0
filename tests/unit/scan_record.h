/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan_record.h - what a scan reports, as text: "+name@lmid -name@lmid ", without program and linker
 */
#ifndef TEST_SCAN_RECORD_H
#define TEST_SCAN_RECORD_H

#include <stdio.h>
#include <string.h>

#include "rtld/rtld.h"

struct record {
	char text[4096];
	unsigned added, removed;
};

static inline void append(struct record *record, char sign, const struct object *object)
{
	size_t used = strlen(record->text);

	if (used < sizeof(record->text) - 64 && !object->is_program && !object->is_linker)
		snprintf(record->text + used, sizeof(record->text) - used, "%c%.16s@%d ", sign, object->path,
			 (int)object->lmid);
}

static inline void added(struct object *object, void *data)
{
	struct record *record = data;

	record->added++;
	append(record, '+', object);
}

static inline void removed(struct object *object, void *data)
{
	struct record *record = data;

	record->removed++;
	append(record, '-', object);
}

#endif
