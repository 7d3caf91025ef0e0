/* SPDX-License-Identifier: BSD-2-Clause */
#include "output_symbol.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "quote.h"

/* Not cut: who asks for a name wants all of it. */
static struct line whole_line(struct output *output)
{
	return (struct line){
		.out = &output->sink.pending,
		.limit = INT_MAX,
		.color = output->color,
		.unicode = output->unicode,
	};
}

/* A demangled name has blanks and brackets, which are nobody's to be read by a shell. */
static void put_name(struct line *line, const char *name)
{
	if (quote_is_printable(name))
		line_put(line, name);
	else
		line_word(line, name);
}

/* ---- source lines ------------------------------------------------------------------------------ */

int output_sources_collect(const struct tether_source *source, void *data)
{
	struct output_sources *sources = data;
	struct output_source *list = realloc(sources->list, (sources->count + 1) * sizeof(*list));

	sources->failed = !list;
	if (!list)
		return 1;
	sources->list = list;
	list[sources->count] = (struct output_source){
		.file = strdup(source->file),
		.function = strdup(source->demangled),
		.line = source->line,
		.column = source->column,
		.inlined = source->inlined,
	};
	sources->failed = !list[sources->count].file || !list[sources->count].function;
	sources->count++;
	return sources->failed;
}

void output_sources_free(struct output_sources *sources)
{
	for (size_t i = 0; i < sources->count; i++) {
		free(sources->list[i].file);
		free(sources->list[i].function);
	}
	free(sources->list);
	*sources = (struct output_sources){ 0 };
}

void output_sources_json(struct json *json, const struct output_sources *sources)
{
	json_open(json, "source", '[');
	for (size_t i = 0; i < sources->count && !sources->failed; i++) {
		const struct output_source *source = &sources->list[i];

		json_open(json, NULL, '{');
		json_bytes(json, "file", source->file);
		json_unsigned(json, "line", source->line);
		if (source->column)
			json_unsigned(json, "column", source->column);
		json_bytes(json, "function", source->function);
		json_bool(json, "inlined", source->inlined);
		json_close(json, '}');
	}
	json_close(json, ']');
}

void output_sources_text(struct output *output, const struct output_sources *sources, int indent)
{
	for (size_t i = 0; i < sources->count && !sources->failed; i++) {
		const struct output_source *source = &sources->list[i];
		struct line line = whole_line(output);

		line_printf(&line, "%*s", indent, "");
		put_name(&line, *source->function ? source->function : "?");
		line_put(&line, source->inlined ? " (inlined) at " : " at ");
		line_path(&line, *source->file ? source->file : "?");
		if (source->line)
			line_printf(&line, ":%u", source->line);
		line_end(&line);
	}
}

/* ---- a name ------------------------------------------------------------------------------------ */

static void write_text(struct output *output, int64_t pid, uint64_t address, const struct tether_symbol *symbol)
{
	struct line line = whole_line(output);

	line_printf(&line, " %8lld  %012llx  ", (long long)pid, (unsigned long long)address);
	if (symbol->lmid)
		line_printf(&line, "[%lld] ", (long long)symbol->lmid);
	/* Made by nobody's linker: "[vdso]" is no word to be quoted. */
	if (*symbol->object && *symbol->object != '[')
		line_path(&line, symbol->object);
	else
		put_name(&line, *symbol->object ? symbol->object : "[jit]");
	if (*symbol->name) {
		line_put(&line, "`");
		line_style(&line, LINE_BOLD);
		put_name(&line, symbol->demangled);
		line_plain(&line);
	}
	if (symbol->offset || !*symbol->name)
		line_printf(&line, "+0x%llx", (unsigned long long)symbol->offset);
	if (symbol->symbol_size)
		line_printf(&line, "  size %llu", (unsigned long long)symbol->symbol_size);
	if (symbol->flags & TETHER_SYMBOL_IS_PAST)
		line_printf(&line, "  image %llu, past", (unsigned long long)symbol->image);
	line_end(&line);
}

static void write_json(struct output *output, int64_t pid, uint64_t address, const struct tether_symbol *symbol,
		       const struct output_sources *sources)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "symbol");
		json_signed(&json, "pid", pid);
		json_hex(&json, "addr", address);
		json_bytes(&json, "object", symbol->object);
		json_bytes(&json, "symbol", symbol->name);
		if (strcmp(symbol->demangled, symbol->name))
			json_bytes(&json, "demangled", symbol->demangled);
		json_unsigned(&json, "offset", symbol->offset);
		json_unsigned(&json, "size", symbol->symbol_size);
		json_hex(&json, "base", symbol->base);
		json_signed(&json, "lmid", symbol->lmid);
		if (symbol->build_id_size)
			json_digest(&json, "build_id", symbol->build_id, symbol->build_id_size);
		json_unsigned(&json, "image", symbol->image);
		if (symbol->flags & TETHER_SYMBOL_IS_PAST)
			json_bool(&json, "past", true);
		if (sources)
			output_sources_json(&json, sources);
	} while (json_end(&json) == JSON_AGAIN);
}

void output_symbol(struct output *output, int64_t pid, uint64_t address, const struct tether_symbol *symbol,
		   const struct output_sources *sources)
{
	enum { INDENT = 25 };

	if (output->options.quiet || output->sink.error)
		return;
	if (output->options.format == OUTPUT_JSONL) {
		write_json(output, pid, address, symbol, sources);
	} else {
		write_text(output, pid, address, symbol);
		if (sources)
			output_sources_text(output, sources, INDENT);
	}
	sink_added(&output->sink);
}
