/* SPDX-License-Identifier: MIT */
/*
 * history.c: `holdfast history`: stored messages, page after page until there are no more, printed
 * as `sub` prints them. With --last the server gives the newest in one page.
 */
#include <unistd.h>

#include "base/json.h"
#include "cli/call.h"
#include "cli/event.h"
#include "cli/field.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/track.h"

#define PAGE 1000

struct history_options {
	const char *since;
	uint64_t last;
	uint64_t limit;
	bool raw;
	bool json;
};

static void print_gaps(struct slice list, enum event_style style)
{
	struct slice one;
	struct event e;
	size_t pos = 0;

	while (list.n && json_array_next(list, &pos, &one)) {
		if (event_parse(one, &e))
			continue;
		if (style == EVENT_JSON) {
			call_print_json(one);
		} else {
			struct buf text;
			buf_init(&text, 0);
			event_show_gap(&e, &text);
			fflush(stdout);
			say("%.*s", SLICE_ARG(buf_slice(&text)));
			buf_fini(&text);
		}
	}
}

/* Return how many were printed. */
static uint64_t print_messages(struct slice list, enum event_style style)
{
	struct slice one;
	struct event e;
	struct buf line;
	uint64_t n = 0;
	size_t pos = 0;

	buf_init(&line, (size_t)1 << 30);
	while (list.n && json_array_next(list, &pos, &one)) {
		if (event_parse(one, &e))
			continue;
		buf_clear(&line);
		event_show(&e, one, style, &line);
		fwrite(line.p, 1, line.n, stdout);
		n++;
	}
	buf_fini(&line);
	return n;
}

static void page_path(const struct cli *cli, const char *cursor, uint64_t left, struct buf *path)
{
	const struct history_options *opt = cli->options;

	buf_init(path, 65536);
	buf_add_str(path, "/v1/history");
	query_add(path, "channel", slice_str(cli->argv[0]));
	if (opt->last != OPTION_UNSET) {
		query_add_u64(path, "last", opt->last);
		return;
	}
	if (*cursor)
		query_add(path, "since", slice_str(cursor));
	query_add_u64(path, "limit", left < PAGE ? left : PAGE);
}

static int print_all(struct cli *cli, enum event_style style)
{
	const struct history_options *opt = cli->options;
	uint64_t left = opt->limit;
	struct track at;
	bool more = true;

	track_init(&at);
	track_set_cursor(&at, slice_str(opt->since));
	while (more && left && !ferror(stdout)) {
		struct http_reply reply;
		struct slice body;
		uint64_t printed;
		struct buf path;
		int rc;

		page_path(cli, at.cursor, left, &path);
		rc = call(cli, "GET", &path, &reply);
		buf_fini(&path);
		if (rc != CLI_OK)
			return rc;
		body = buf_slice(&reply.body);
		print_gaps(field_tree(body, "gaps"), style);
		printed = print_messages(field_tree(body, "messages"), style);
		left -= printed < left ? printed : left;
		track_set_cursor(&at, field_bare(body, "cursor"));
		/* A page without messages that claims more would go on for ever. */
		more = printed && field_is_true(body, "more") && opt->last == OPTION_UNSET;
		http_reply_fini(&reply);
	}
	track_fini(&at);
	return CLI_OK;
}

static int run(struct cli *cli)
{
	const struct history_options *opt = cli->options;

	if (opt->raw && opt->json) {
		say("give --raw or --json, not both");
		return CLI_USAGE;
	}
	if (opt->since && opt->last != OPTION_UNSET) {
		say("give --since or --last, not both");
		return CLI_USAGE;
	}
	return print_all(cli, opt->raw ? EVENT_RAW : opt->json ? EVENT_JSON : EVENT_HUMAN);
}

#define AT(field) .offset = offsetof(struct history_options, field)

static const struct option_def options[] = {
	{
		.name = "since",
		.kind = OPTION_TEXT,
		AT(since),
		.arg = "ID",
		.help = "messages after this id; default: from the oldest",
	},
	{
		.name = "last",
		.kind = OPTION_COUNT,
		AT(last),
		.arg = "N",
		.def = OPTION_UNSET,
		.help = "the newest N, up to the server's limit",
	},
	{
		.name = "limit",
		.kind = OPTION_COUNT,
		AT(limit),
		.arg = "N",
		.def = OPTION_UNSET,
		.help = "at most N messages",
	},
	{
		.name = "raw",
		.kind = OPTION_FLAG,
		AT(raw),
		.help = "print bare payloads, each followed by a line end",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		AT(json),
		.help = "print messages and gaps as JSON lines",
	},
	{0},
};

const struct command command_history = {
	.name = "history",
	.args = "CHANNEL",
	.summary = "Print stored messages",
	.details = "Prints one line per message: id, channel, data.\n",
	.options = options,
	.options_size = sizeof(struct history_options),
	.args_min = 1,
	.args_max = 1,
	.run = run,
};
