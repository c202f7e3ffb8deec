/* SPDX-License-Identifier: MIT */
/*
 * acks.c: durable subscribers: how they stand (`holdfast acks`), and acknowledging for one
 * (`holdfast ack`).
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/human.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/table.h"

#define PAGE 1000

struct acks_options {
	const char *channel;
	const char *subscriber;
	bool json;
};

static const char *age_of(struct slice row)
{
	uint64_t ts = field_u64(row, "updated_ts", 0), now = (uint64_t)clock_wall_ms();

	return human_age(now > ts ? now - ts : 0);
}

static void print_rows(struct table *t, struct slice list, bool as_json)
{
	struct slice one;
	size_t pos = 0;

	while (list.n && json_array_next(list, &pos, &one)) {
		bool is_least = field_bare(one, "lag_at_least").n > 0;

		if (as_json) {
			call_print_json(one);
			continue;
		}
		table_add(t, "%s", field_show(one, "subscriber"));
		table_add(t, "%s", field_show(one, "channel"));
		table_add(t, "%s", field_show(one, "id"));
		table_add(t, "%s%llu", is_least ? "≥ " : "",
			  (unsigned long long)field_u64(one, is_least ? "lag_at_least" : "lag", 0));
		table_add(t, "%s", age_of(one));
	}
	if (!as_json)
		table_print(t, stdout);
}

static void make_path(const struct acks_options *opt, const struct buf *after, struct buf *path)
{
	buf_init(path, 65536);
	buf_add_str(path, "/v1/acks");
	query_add_u64(path, "limit", PAGE);
	if (opt->channel)
		query_add(path, "channel", slice_str(opt->channel));
	if (opt->subscriber)
		query_add(path, "subscriber", slice_str(opt->subscriber));
	if (after->n)
		query_add(path, "after", buf_slice(after));
}

static int run_acks(struct cli *cli)
{
	static const char *const heads[] = {"SUBSCRIBER", "CHANNEL", "ACKNOWLEDGED", "LAG",
					    "HEARD"};
	const struct acks_options *opt = cli->options;
	struct table table;
	struct buf after;
	bool more = true;
	int rc = CLI_OK;

	if (opt->channel && opt->subscriber) {
		say("give --channel or --subscriber, not both");
		return CLI_USAGE;
	}
	buf_init(&after, 4096);
	table_init(&table, heads, "lllrr");
	while (more) {
		struct http_reply reply;
		struct buf path;

		make_path(opt, &after, &path);
		rc = call(cli, "GET", &path, &reply);
		buf_fini(&path);
		if (rc != CLI_OK)
			break;
		print_rows(&table, field_tree(buf_slice(&reply.body), "acks"), opt->json);
		buf_clear(&after);
		field_text(buf_slice(&reply.body), "next", &after);
		more = field_is_true(buf_slice(&reply.body), "more") && after.n;
		http_reply_fini(&reply);
	}
	table_fini(&table);
	buf_fini(&after);
	return rc;
}

struct ack_options {
	bool json;
};

static int run_ack(struct cli *cli)
{
	static const char *const names[] = {"subscriber", "channel", "id"};
	const struct ack_options *opt = cli->options;
	struct http_reply reply;
	struct buf body;
	int rc = CLI_OK;

	buf_init(&body, 65536);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		buf_addf(&body, "%s\"%s\":", i ? "," : "{", names[i]);
		json_add_string(&body, slice_str(cli->argv[i]));
	}
	buf_add_char(&body, '}');
	http_perform(&cli->http,
		     &(struct http_request){.method = "POST",
					    .path = SLICE("/v1/ack"),
					    .body = buf_slice(&body),
					    .content_type = "application/json"},
		     &reply);
	buf_fini(&body);
	if (reply.result != HTTP_ANSWERED || reply.status != 200)
		rc = call_failed(cli, &reply);
	else if (opt->json)
		call_print_json(buf_slice(&reply.body));
	else
		printf("%s\n", field_show(buf_slice(&reply.body), "id"));
	http_reply_fini(&reply);
	return rc;
}

#define AT(field) .offset = offsetof(struct acks_options, field)

static const struct option_def acks_options[] = {
	{
		.name = "channel",
		.kind = OPTION_TEXT,
		AT(channel),
		.arg = "NAME",
		.help = "the subscribers of this channel",
	},
	{
		.name = "subscriber",
		.kind = OPTION_TEXT,
		AT(subscriber),
		.arg = "NAME",
		.help = "the channels of this subscriber",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		AT(json),
		.help = "print one JSON object per line",
	},
	{0},
};

const struct command command_acks = {
	.name = "acks",
	.args = "",
	.summary = "Show how durable subscribers stand: acknowledged, lag, last heard of",
	.details = "Without options all of them, which works through the admin socket only.\n",
	.options = acks_options,
	.options_size = sizeof(struct acks_options),
	.run = run_acks,
};

static const struct option_def ack_options[] = {
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct ack_options, json),
		.help = "print JSON",
	},
	{0},
};

const struct command command_ack = {
	.name = "ack",
	.args = "SUBSCRIBER CHANNEL ID",
	.summary = "Acknowledge a channel up to an id, for a durable subscriber",
	.details = "Prints the position that is kept: never an older one than before.\n",
	.options = ack_options,
	.options_size = sizeof(struct ack_options),
	.args_min = 3,
	.args_max = 3,
	.run = run_ack,
};
