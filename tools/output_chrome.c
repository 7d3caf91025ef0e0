/* SPDX-License-Identifier: BSD-2-Clause */
#include "output_chrome.h"

#include "output.h"

static void chrome_header(struct output *output, char *const *argv)
{
	(void)argv;
	buffer_text(&output->sink.pending, "[\n");
	output->sink.tail = "]\n";
}

static void chrome_summary(struct output *output, const struct tether_stats *stats)
{
	(void)output;
	(void)stats;
}

static void chrome_error(struct output *output, const char *code, const char *message, const char *cure)
{
	(void)output;
	(void)code;
	(void)message;
	(void)cure;
}

const struct output_writer output_chrome = {
	.header = chrome_header,
	.summary = chrome_summary,
	.error = chrome_error,
};

void chrome_begin(struct json *json, struct output *output)
{
	if (output->begun)
		buffer_char(&output->sink.pending, ',');
	output->begun = true;
	json_begin(json, &output->sink.pending);
}
