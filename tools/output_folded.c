/* SPDX-License-Identifier: BSD-2-Clause */
#include "output_folded.h"

#include <inttypes.h>
#include <string.h>

#include "output.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

void folded_bytes(struct buffer *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		buffer_char(out, c == ';' ? ':' : c < 0x20 || c == 0x7f ? '?' : (char)c);
	}
}

void folded_stack(struct buffer *out, const struct tether_stack *stack)
{
	folded_bytes(out, stack->name[0] ? stack->name : "?");
	if (stack->state == TETHER_THREAD_RUNNING)
		buffer_text(out, ";[running]");
	else if (stack->end != TETHER_END_WHOLE)
		buffer_text(out, ";[truncated]");
	for (size_t i = stack->frame_count; i-- > 0;) {
		const struct tether_frame *frame = &stack->frames[i];

		buffer_char(out, ';');
		if (frame->symbol)
			folded_bytes(out, frame->symbol);
		else if (frame->object)
			folded_bytes(out, base_name(frame->object));
		else
			buffer_printf(out, "0x%" PRIx64, frame->pc);
	}
}

/* Nothing but stacks is written in this form; failures are messages. */
static void folded_header(struct output *output, char *const *argv)
{
	(void)output;
	(void)argv;
}

static void folded_summary(struct output *output, const struct tether_stats *stats)
{
	(void)output;
	(void)stats;
}

static void folded_error(struct output *output, const char *code, const char *text, const char *cure)
{
	(void)output;
	(void)code;
	(void)text;
	(void)cure;
}

const struct output_writer output_folded = {
	.header = folded_header,
	.summary = folded_summary,
	.error = folded_error,
};
