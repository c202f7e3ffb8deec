/* SPDX-License-Identifier: MIT */
/*
 * stats.c: `holdfast stats`: the daemon's counters as a table, once or again and again with rates.
 * The names come from the daemon, so that a new counter needs no new command line. Counters (names
 * on _total, or _total{…}) get a rate; gauges do not.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/human.h"
#include "cli/stop.h"
#include "cli/table.h"

struct stats_options {
	uint64_t watch_ms;
	bool all;
	bool json;
};

/* The values of the last round, in the daemon's order, which does not change while it runs. */
struct round {
	uint64_t at_ms;
	double *values;
	size_t n;
};

static bool is_counter(struct slice name)
{
	const char *brace = memchr(name.p, '{', name.n);
	size_t n = brace ? (size_t)(brace - name.p) : name.n;

	return n > 6 && memcmp(name.p + n - 6, "_total", 6) == 0;
}

/* A key's text: labels have escaped quotes. */
static const char *show_key(struct slice key)
{
	return field_show_value(slice_make(key.p - 1, key.n + 2)); /* with the quotes around it */
}

static void add_value(struct table *t, struct slice key, struct slice value)
{
	const char *bytes = memmem(key.p, key.n, "bytes", 5);
	uint64_t n;

	table_add(t, "%s", show_key(key));
	if (bytes && json_get_u64(value, &n))
		table_add(t, "%s", human_size(n));
	else
		table_add(t, "%s", field_show_value(value));
}

static void add_rate(struct table *t, const struct round *before, size_t i, double value,
		     uint64_t now_ms, struct slice key)
{
	double seconds = (double)(now_ms - before->at_ms) / 1000;

	if (!is_counter(key) || i >= before->n || value < before->values[i] || seconds <= 0)
		table_add(t, "%s", "");
	else if (value > before->values[i])
		table_add(t, "%s/s", human_rate((value - before->values[i]) / seconds));
	else
		table_add(t, "%s", "-");
}

/* The counters; the round is replaced by this one. */
static void print_values(struct slice stats, const struct stats_options *opt, struct round *round)
{
	static const char *const heads[] = {"NAME", "VALUE", "RATE"};
	bool with_rate = opt->watch_ms != OPTION_UNSET;
	struct round next = {.at_ms = clock_mono_ms()};
	struct slice key, value;
	struct table t;
	size_t pos = 0;

	table_init(&t, heads, with_rate ? "lrr" : "lr");
	while (json_object_next(stats, &pos, &key, &value)) {
		double v;
		if (json_type_of(value) != JSON_NUMBER)
			continue;
		v = strtod(value.p, NULL); /* ended by the ',' or '}' that follows */
		next.values = xrealloc(next.values, (next.n + 1) * sizeof(*next.values));
		next.values[next.n++] = v;
		if (v == 0 && !opt->all)
			continue;
		add_value(&t, key, value);
		if (with_rate)
			add_rate(&t, round, next.n - 1, v, next.at_ms, key);
	}
	table_print(&t, stdout);
	table_fini(&t);
	free(round->values);
	*round = next;
}

static const char *micros(struct slice histogram, const char *name)
{
	static char texts[4][24];
	static unsigned turn;
	char *out = texts[turn++ % ARRAY_LEN(texts)];
	uint64_t us = field_u64(histogram, name, 0);

	if (us < 1000)
		snprintf(out, 24, "%u us", (unsigned)us);
	else if (us < 1000000)
		snprintf(out, 24, "%.1f ms", (double)us / 1e3);
	else
		snprintf(out, 24, "%.1f s", (double)us / 1e6);
	return out;
}

static void print_histograms(struct slice list, bool all)
{
	static const char *const heads[] = {"LATENCY", "COUNT", "MEDIAN", "99%"};
	struct slice key, value;
	struct table t;
	size_t pos = 0;

	table_init(&t, heads, "lrrr");
	while (list.n && json_object_next(list, &pos, &key, &value)) {
		uint64_t count = field_u64(value, "count", 0);
		if (!count && !all)
			continue;
		table_add(&t, "%s", show_key(key));
		table_add(&t, "%llu", (unsigned long long)count);
		table_add(&t, "%s", micros(value, "p50_us"));
		table_add(&t, "%s", micros(value, "p99_us"));
	}
	if (t.cells_n) {
		putchar('\n');
		table_print(&t, stdout);
	}
	table_fini(&t);
}

static int show_once(struct cli *cli, struct round *round, bool clear)
{
	const struct stats_options *opt = cli->options;
	struct http_reply reply;
	struct slice body;
	struct buf path;
	int rc;

	buf_init(&path, 64);
	buf_add_str(&path, "/v1/admin/stats");
	rc = call(cli, "GET", &path, &reply);
	buf_fini(&path);
	if (rc != CLI_OK)
		return rc;
	body = buf_slice(&reply.body);
	if (clear)
		fputs("\033[H\033[2J", stdout);
	if (opt->json) {
		call_print_json(body);
	} else {
		print_values(body, opt, round);
		print_histograms(field_tree(body, "histograms"), opt->all);
	}
	http_reply_fini(&reply);
	return CLI_OK;
}

static int run(struct cli *cli)
{
	const struct stats_options *opt = cli->options;
	bool is_terminal = isatty(STDOUT_FILENO) == 1;
	struct round round = {0};
	int rc;

	if (opt->watch_ms == OPTION_UNSET) {
		rc = show_once(cli, &round, false);
		free(round.values);
		return rc;
	}
	stop_open();
	do {
		rc = show_once(cli, &round, is_terminal && !opt->json);
		if (!is_terminal && !opt->json)
			putchar('\n');
	} while (rc == CLI_OK && fflush(stdout) == 0 && !stop_wait(opt->watch_ms));
	free(round.values);
	return rc;
}

static const struct option_def options[] = {
	{
		.name = "watch",
		.kind = OPTION_SECONDS,
		.offset = offsetof(struct stats_options, watch_ms),
		.arg = "S",
		.def = OPTION_UNSET,
		.is_optional = true,
		.implied = 1000,
		.help = "again every S seconds (default 1), with rates",
	},
	{
		.name = "all",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct stats_options, all),
		.help = "zeros too",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct stats_options, json),
		.help = "print JSON, one object per round",
	},
	{0},
};

const struct command command_stats = {
	.name = "stats",
	.args = "",
	.summary = "Show the daemon's counters",
	.options = options,
	.options_size = sizeof(struct stats_options),
	.is_admin = true,
	.run = run,
};
