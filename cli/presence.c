/* SPDX-License-Identifier: MIT */
/*
 * presence.c: `holdfast presence`: who is in a channel, page after page until there are no more.
 */
#include "base/clock.h"
#include "base/json.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/human.h"
#include "cli/query.h"
#include "cli/table.h"

#define SESSION_MAX 64

struct presence_options {
	bool count;
	bool json;
};

static void add_row(struct table *t, struct slice member)
{
	uint64_t since = field_u64(member, "since_ts", 0), now = (uint64_t)clock_wall_ms();

	table_add(t, "%s", field_show(member, "session"));
	table_add(t, "%s", field_show(member, "user"));
	table_add(t, "%s", field_show(member, "transport"));
	table_add(t, "%llu", (unsigned long long)field_u64(member, "connections", 0));
	table_add(t, "%s", human_age(now > since ? now - since : 0));
	table_add(t, "%s", field_show(member, "info"));
}

/* Print one page; after: the session of its last member. Return how many. */
static size_t print_page(struct table *t, struct slice list, bool as_json, char after[SESSION_MAX])
{
	struct slice one;
	size_t pos = 0, n = 0;

	while (list.n && json_array_next(list, &pos, &one)) {
		if (as_json)
			call_print_json(one);
		else
			add_row(t, one);
		snprintf(after, SESSION_MAX, "%.*s", SLICE_ARG(field_bare(one, "session")));
		n++;
	}
	return n;
}

static int get_page(struct cli *cli, const char *after, struct http_reply *ret_reply)
{
	const struct presence_options *opt = cli->options;
	struct buf path;

	buf_init(&path, 65536);
	buf_add_str(&path, "/v1/presence");
	query_add(&path, "channel", slice_str(cli->argv[0]));
	if (*after)
		query_add(&path, "after", slice_str(after));
	if (opt->count)
		query_add(&path, "count", slice_str("1"));
	int rc = call(cli, "GET", &path, ret_reply);
	buf_fini(&path);
	return rc;
}

static int run(struct cli *cli)
{
	static const char *const heads[] = {"SESSION",     "USER", "TRANSPORT",
					    "CONNECTIONS", "AGE",  "INFO"};
	const struct presence_options *opt = cli->options;
	char after[SESSION_MAX] = "";
	struct http_reply reply;
	struct table table;
	bool more = true;
	int rc = CLI_OK;

	table_init(&table, heads, "lllrrl");
	while (more && (rc = get_page(cli, after, &reply)) == CLI_OK) {
		struct slice body = buf_slice(&reply.body);

		if (opt->count && opt->json)
			call_print_json(body);
		else if (opt->count)
			printf("%llu\n", (unsigned long long)field_u64(body, "count", 0));
		more = print_page(&table, field_tree(body, "members"), opt->json, after) &&
		       field_is_true(body, "more");
		if (!opt->json && !opt->count)
			table_print(&table, stdout);
		http_reply_fini(&reply);
	}
	table_fini(&table);
	return rc;
}

#define AT(field) .offset = offsetof(struct presence_options, field)

static const struct option_def options[] = {
	{
		.name = "count",
		.kind = OPTION_FLAG,
		AT(count),
		.help = "print how many there are, and nothing else",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		AT(json),
		.help = "print members as JSON lines",
	},
	{0},
};

const struct command command_presence = {
	.name = "presence",
	.args = "CHANNEL",
	.summary = "Show who is in a channel",
	.details = "The channel's namespace must keep presence (option presence = yes).\n",
	.options = options,
	.options_size = sizeof(struct presence_options),
	.args_min = 1,
	.args_max = 1,
	.run = run,
};
