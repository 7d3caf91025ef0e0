/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_symbol.h - names of addresses as records
 */
#ifndef TOOLS_OUTPUT_SYMBOL_H
#define TOOLS_OUTPUT_SYMBOL_H

#include "json.h"
#include "output.h"

/* Source lines of one address, kept. */
struct output_sources {
	struct output_source {
		char *file, *function;
		uint32_t line, column;
		bool inlined;
	} *list;
	size_t count;
	bool failed; /* without memory */
};

/* A tether_source_fn; data: struct output_sources. */
int output_sources_collect(const struct tether_source *source, void *data);
void output_sources_free(struct output_sources *sources);
/* The array "source" of a record. */
void output_sources_json(struct json *json, const struct output_sources *sources);
/* One line each, behind `indent` columns. */
void output_sources_text(struct output *output, const struct output_sources *sources, int indent);

/* address: the one asked for, that of the symbol for a name. sources: NULL: not asked for. */
void output_symbol(struct output *output, int64_t pid, uint64_t address, const struct tether_symbol *symbol,
		   const struct output_sources *sources);

#endif
