/* SPDX-License-Identifier: BSD-2-Clause */
#include "output_count.h"

#include <limits.h>

#include "json.h"
#include "line.h"
#include "output_hist.h"
#include "quote.h"

static void write_text(struct output *output, const struct output_count *count)
{
	struct line line = {
		.out = &output->sink.pending,
		.limit = INT_MAX,
		.color = output->color,
		.unicode = output->unicode,
	};

	line_printf(&line, " %8lld %12llu  ", (long long)count->pid, (unsigned long long)count->count);
	line_path(&line, count->object);
	line_put(&line, "`");
	line_style(&line, LINE_BOLD);
	/* Not quoted as a word of sh is: demangled names are full of what that would quote. */
	if (quote_is_printable(count->symbol))
		line_put(&line, count->symbol);
	else
		line_word(&line, count->symbol);
	line_plain(&line);
	if (count->offset)
		line_printf(&line, "+0x%llx", (unsigned long long)count->offset);
	line_end(&line);
	if (count->latency)
		hist_text(output, count);
}

static void write_json(struct output *output, const struct output_count *count)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "count");
		json_signed(&json, "pid", count->pid);
		json_bytes(&json, "object", count->object);
		json_bytes(&json, "symbol", count->symbol);
		if (count->offset)
			json_unsigned(&json, "offset", count->offset);
		json_unsigned(&json, "count", count->count);
		if (count->latency)
			hist_json(&json, count);
	} while (json_end(&json) == JSON_AGAIN);
}

void output_count(struct output *output, const struct output_count *count)
{
	if (output->options.quiet || output->sink.error)
		return;
	if (output->options.format == OUTPUT_JSONL)
		write_json(output, count);
	else
		write_text(output, count);
	sink_added(&output->sink);
}
