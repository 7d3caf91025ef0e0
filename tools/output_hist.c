/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_hist.c - latencies as people know them from dtrace(1) and bpftrace(8)
 *
 *	                   ns
 *	       [512, 1K)           3 |@@@@@@@@@@                                        |
 *	        [1K, 2K)          14 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
 *	 17 returns, 21.4 µs in all, 1.26 µs each
 */
#include "output_hist.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "line.h"

enum { BAR = 50, RANGE_WIDTH = 24, COUNT_WIDTH = 12, BUCKETS = TETHER_LATENCY_BUCKETS };

/* Powers of two are round in this form only. */
static void put_power(char room[8], int power)
{
	static const char units[] = " KMGTPE";

	if (power < 10)
		snprintf(room, 8, "%d", 1 << power);
	else
		snprintf(room, 8, "%d%c", 1 << power % 10, units[power / 10]);
}

static struct line new_line(struct output *output)
{
	return (struct line){
		.out = &output->sink.pending,
		.limit = INT_MAX,
		.color = output->color,
		.unicode = output->unicode,
	};
}

static void write_bucket(struct output *output, const struct output_count *count, int bucket, uint64_t most)
{
	struct line line = new_line(output);
	char low[8] = "0", high[8], range[24];
	/* Of what is there at all a trace is seen. */
	uint64_t number = count->latency[bucket];
	int length = (int)((double)number / (double)most * BAR + 0.5);

	if (number && !length)
		length = 1;
	if (bucket)
		put_power(low, bucket);
	put_power(high, bucket + 1);
	snprintf(range, sizeof(range), bucket + 1 < BUCKETS ? "[%s, %s)" : "[%s, ...)", low, high);
	line_printf(&line, "%*s %*" PRIu64 " |", RANGE_WIDTH, range, COUNT_WIDTH, number);
	line_style(&line, LINE_GREEN);
	for (int i = 0; i < length; i++)
		line_put(&line, "@");
	line_plain(&line);
	line_printf(&line, "%*s|", BAR - length, "");
	line_end(&line);
}

static void put_time(struct line *line, double ns)
{
	if (ns < 1e3)
		line_printf(line, "%.0f ns", ns);
	else if (ns < 1e6)
		line_printf(line, "%.3g %s", ns / 1e3, line->unicode ? "\xc2\xb5s" : "us");
	else if (ns < 1e9)
		line_printf(line, "%.3g ms", ns / 1e6);
	else
		line_printf(line, "%.1f s", ns / 1e9);
}

static void write_total(struct output *output, const struct output_count *count)
{
	struct line line = new_line(output);

	line_style(&line, LINE_DIM);
	line_printf(&line, "%*s%" PRIu64 " return%s", RANGE_WIDTH / 2, "", count->returns, count->returns == 1 ? "" : "s");
	if (count->returns) {
		line_put(&line, ", ");
		put_time(&line, (double)count->total_ns);
		line_put(&line, " in all, ");
		put_time(&line, (double)count->total_ns / (double)count->returns);
		line_put(&line, " each");
	}
	if (count->missed)
		line_printf(&line, "; of %" PRIu64 " more the return could not be waited for", count->missed);
	line_plain(&line);
	line_end(&line);
}

void hist_text(struct output *output, const struct output_count *count)
{
	int first = BUCKETS, last = -1;
	uint64_t most = 0;

	for (int i = 0; i < BUCKETS; i++) {
		if (!count->latency[i])
			continue;
		first = first < i ? first : i;
		last = i;
		most = count->latency[i] > most ? count->latency[i] : most;
	}
	if (last >= 0) {
		struct line line = new_line(output);

		line_printf(&line, "%*s", RANGE_WIDTH - 1, "ns");
		line_end(&line);
	}
	for (int i = first; i <= last; i++)
		write_bucket(output, count, i, most);
	write_total(output, count);
}

void hist_json(struct json *json, const struct output_count *count)
{
	json_unsigned(json, "returns", count->returns);
	if (count->missed)
		json_unsigned(json, "missed", count->missed);
	json_unsigned(json, "total_ns", count->total_ns);
	json_open(json, "hist", '[');
	for (int i = 0; i < BUCKETS; i++) {
		if (!count->latency[i])
			continue;
		json_open(json, NULL, '[');
		json_unsigned(json, NULL, i ? UINT64_C(1) << i : 0);
		json_unsigned(json, NULL, count->latency[i]);
		json_close(json, ']');
	}
	json_close(json, ']');
}
