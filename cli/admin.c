/* SPDX-License-Identifier: MIT */
/*
 * admin.c: looking at channels and connections, and acting on them. Lists are paged by the daemon
 * and printed page by page, so that a million channels take neither its memory nor ours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/human.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/table.h"

#define PAGE              1000
#define CONNECTIONS_LIMIT 1000

struct json_options {
	bool json;
};

static const struct option_def json_option[] = {
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct json_options, json),
		.help = "print JSON",
	},
	{0},
};

static void path_init(struct buf *path, const char *name)
{
	buf_init(path, 65536);
	buf_add_str(path, name);
}

/* Ask, and end the path. */
static int ask(struct cli *cli, const char *method, struct buf *path, struct http_reply *ret_reply)
{
	int rc = call(cli, method, path, ret_reply);

	buf_fini(path);
	return rc;
}

/* How long ago a time stamp of the server was; "-" for none. */
static const char *age_of(struct slice object, const char *name)
{
	uint64_t ts = field_u64(object, name, 0);
	uint64_t now = (uint64_t)clock_wall_ms();

	if (!ts)
		return "-";
	return human_age(now > ts ? now - ts : 0);
}

/* --- channels ------------------------------------------------------------------------------ */

static void add_channel_row(struct table *t, struct slice channel)
{
	table_add(t, "%s", field_show(channel, "name"));
	table_add(t, "%llu", (unsigned long long)field_u64(channel, "count", 0));
	table_add(t, "%s", human_size(field_u64(channel, "bytes", 0)));
	table_add(t, "%s", age_of(channel, "oldest_ts"));
	table_add(t, "%llu", (unsigned long long)field_u64(channel, "subscribers", 0));
	table_add(t, "%s", field_show(channel, "head"));
}

/* Print one page; after: the last name of it. Return how many. */
static size_t print_channels(struct table *t, struct slice list, bool as_json, struct buf *after)
{
	struct slice one;
	size_t pos = 0, n = 0;

	while (list.n && json_array_next(list, &pos, &one)) {
		if (as_json)
			call_print_json(one);
		else
			add_channel_row(t, one);
		buf_clear(after);
		field_text(one, "name", after);
		n++;
	}
	return n;
}

static int run_channels(struct cli *cli)
{
	static const char *const heads[] = {"CHANNEL", "MESSAGES",    "SIZE",
					    "OLDEST",  "SUBSCRIBERS", "HEAD"};
	const struct json_options *opt = cli->options;
	struct table table;
	struct buf after;
	bool more = true;
	int rc = CLI_OK;

	buf_init(&after, 4096);
	table_init(&table, heads, "lrrrrl");
	while (more) {
		struct http_reply reply;
		struct buf path;

		path_init(&path, "/v1/admin/channels");
		if (cli->argc)
			query_add(&path, "prefix", slice_str(cli->argv[0]));
		if (after.n)
			query_add(&path, "after", buf_slice(&after));
		query_add_u64(&path, "limit", PAGE);
		rc = ask(cli, "GET", &path, &reply);
		if (rc != CLI_OK)
			break;
		more = print_channels(&table, field_tree(buf_slice(&reply.body), "channels"),
				      opt->json, &after) &&
		       field_is_true(buf_slice(&reply.body), "more");
		if (!opt->json)
			table_print(&table, stdout);
		http_reply_fini(&reply);
	}
	table_fini(&table);
	buf_fini(&after);
	return rc;
}

static void print_channel(struct slice channel)
{
	struct slice transports = field_tree(channel, "subscribers_by_transport"), key, value;
	struct table t;
	size_t pos = 0;

	table_init(&t, NULL, "ll");
	table_add(&t, "channel");
	table_add(&t, "%s", field_show(channel, "name"));
	table_add(&t, "head");
	table_add(&t, "%s", field_show(channel, "head"));
	table_add(&t, "oldest");
	table_add(&t, "%s", field_show(channel, "oldest"));
	table_add(&t, "messages");
	table_add(&t, "%llu", (unsigned long long)field_u64(channel, "count", 0));
	table_add(&t, "size");
	table_add(&t, "%s", human_size(field_u64(channel, "bytes", 0)));
	table_add(&t, "age of oldest");
	table_add(&t, "%s", age_of(channel, "oldest_ts"));
	table_add(&t, "subscribers");
	table_add(&t, "%llu", (unsigned long long)field_u64(channel, "subscribers", 0));
	while (transports.n && json_object_next(transports, &pos, &key, &value)) {
		table_add(&t, "  %.*s", SLICE_ARG(key));
		table_add(&t, "%s", field_show_value(value));
	}
	table_print(&t, stdout);
	table_fini(&t);
}

static int run_channel(struct cli *cli)
{
	const struct json_options *opt = cli->options;
	struct http_reply reply;
	struct buf path;
	int rc;

	path_init(&path, "/v1/admin/channel");
	query_add(&path, "channel", slice_str(cli->argv[0]));
	rc = ask(cli, "GET", &path, &reply);
	if (rc != CLI_OK)
		return rc;
	if (opt->json)
		call_print_json(buf_slice(&reply.body));
	else
		print_channel(buf_slice(&reply.body));
	http_reply_fini(&reply);
	return CLI_OK;
}

struct purge_options {
	bool yes;
	bool json;
};

/* Removing is for good: ask a person; a script says --yes. */
static int confirm(const char *channel)
{
	char answer[16];

	if (!isatty(STDIN_FILENO)) {
		say("purge removes messages for good: say so with --yes");
		return CLI_USAGE;
	}
	fprintf(stderr, "Remove all stored messages of %s? [y/N] ", channel);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return CLI_OK;
	say("nothing was removed");
	return CLI_REFUSED;
}

static int run_purge(struct cli *cli)
{
	const struct purge_options *opt = cli->options;
	struct http_reply reply;
	struct buf path;
	int rc = opt->yes ? CLI_OK : confirm(cli->argv[0]);

	if (rc != CLI_OK)
		return rc;
	path_init(&path, "/v1/admin/purge");
	query_add(&path, "channel", slice_str(cli->argv[0]));
	rc = ask(cli, "POST", &path, &reply);
	if (rc != CLI_OK)
		return rc;
	if (opt->json)
		call_print_json(buf_slice(&reply.body));
	else
		printf("removed %llu messages of %s\n",
		       (unsigned long long)field_u64(buf_slice(&reply.body), "removed", 0),
		       cli->argv[0]);
	http_reply_fini(&reply);
	return CLI_OK;
}

/* --- connections --------------------------------------------------------------------------- */

struct connections_options {
	uint64_t limit;
	bool json;
};

static void add_connection_row(struct table *t, struct slice c)
{
	struct slice channels = field_tree(c, "channels"), one;
	size_t pos = 0, n = 0;
	const char *first = "-";

	while (channels.n && json_array_next(channels, &pos, &one)) {
		if (n++ == 0)
			first = field_show_value(one);
	}
	table_add(t, "%s", field_show(c, "id"));
	table_add(t, "%s", field_show(c, "transport"));
	table_add(t, "%s", field_show(c, "peer"));
	table_add(t, "%s", field_show(c, "state"));
	table_add(t, "%s", human_age(field_u64(c, "age_ms", 0)));
	table_add(t, "%s", human_size(field_u64(c, "in_bytes", 0)));
	table_add(t, "%s", human_size(field_u64(c, "out_bytes", 0)));
	table_add(t, "%s", human_size(field_u64(c, "queued_bytes", 0)));
	if (n > 1)
		table_add(t, "%s and %zu more", first, n - 1);
	else
		table_add(t, "%s", first);
}

static int run_connections(struct cli *cli)
{
	static const char *const heads[] = {"ID", "TRANSPORT", "PEER",   "STATE",   "AGE",
					    "IN", "OUT",       "QUEUED", "CHANNELS"};
	const struct connections_options *opt = cli->options;
	struct http_reply reply;
	struct slice list, one;
	struct table table;
	struct buf path;
	size_t pos = 0;
	int rc;

	path_init(&path, "/v1/admin/connections");
	query_add_u64(&path, "limit", opt->limit);
	rc = ask(cli, "GET", &path, &reply);
	if (rc != CLI_OK)
		return rc;
	table_init(&table, heads, "rlllrrrrl");
	list = field_tree(buf_slice(&reply.body), "connections");
	while (list.n && json_array_next(list, &pos, &one)) {
		if (opt->json)
			call_print_json(one);
		else
			add_connection_row(&table, one);
	}
	if (!opt->json)
		table_print(&table, stdout);
	if (field_is_true(buf_slice(&reply.body), "more")) {
		fflush(stdout);
		say("there are more; show them with --limit N");
	}
	table_fini(&table);
	http_reply_fini(&reply);
	return CLI_OK;
}

struct kick_options {
	const char *channel;
	bool json;
};

static int run_kick(struct cli *cli)
{
	const struct kick_options *opt = cli->options;
	struct http_reply reply;
	struct buf path;
	int rc;

	if ((opt->channel != NULL) == (cli->argc == 1)) {
		say("give the ID of a connection (see holdfast connections) or --channel NAME");
		return CLI_USAGE;
	}
	path_init(&path, "/v1/admin/kick");
	if (opt->channel)
		query_add(&path, "channel", slice_str(opt->channel));
	else
		query_add(&path, "id", slice_str(cli->argv[0]));
	rc = ask(cli, "POST", &path, &reply);
	if (rc != CLI_OK)
		return rc;
	if (opt->json)
		call_print_json(buf_slice(&reply.body));
	else
		printf("kicked %llu\n",
		       (unsigned long long)field_u64(buf_slice(&reply.body), "kicked", 0));
	http_reply_fini(&reply);
	return CLI_OK;
}

/* --- backup, info -------------------------------------------------------------------------- */

/* The daemon writes the file, so a path of ours must not depend on our directory. */
static int absolute(const char *file, struct buf *out)
{
	char *here;

	buf_init(out, 65536);
	if (file[0] == '/')
		return buf_add_str(out, file);
	here = getcwd(NULL, 0);
	if (!here)
		return -errno;
	buf_addf(out, "%s/%s", strcmp(here, "/") == 0 ? "" : here, file);
	free(here);
	return 0;
}

static int run_backup(struct cli *cli)
{
	const struct json_options *opt = cli->options;
	struct http_reply reply;
	struct buf path, file;
	int rc;

	rc = absolute(cli->argv[0], &file);
	if (rc) {
		say("can not tell the current directory: %s", strerror(-rc));
		return CLI_REFUSED;
	}
	path_init(&path, "/v1/admin/backup");
	query_add(&path, "path", buf_slice(&file));
	buf_fini(&file);
	/* A large log takes its time, and nothing is heard until it is done. */
	cli->http.stall_ms = UINT32_MAX;
	rc = ask(cli, "POST", &path, &reply);
	if (rc != CLI_OK)
		return rc;
	if (opt->json)
		call_print_json(buf_slice(&reply.body));
	else
		printf("wrote %s, %s\n", field_show(buf_slice(&reply.body), "path"),
		       human_size(field_u64(buf_slice(&reply.body), "bytes", 0)));
	http_reply_fini(&reply);
	return CLI_OK;
}

/* An array of words, with spaces between. */
static void add_words(struct table *t, struct slice list)
{
	struct slice one;
	struct buf words;
	size_t pos = 0;

	buf_init(&words, 0);
	while (json_array_next(list, &pos, &one))
		buf_addf(&words, "%s%s", words.n ? " " : "", field_show_value(one));
	table_add(t, "%.*s", SLICE_ARG(buf_slice(&words)));
	buf_fini(&words);
}

/* Members of an object as rows; objects in it indented below their name. */
static void add_members(struct table *t, struct slice object, const char *indent)
{
	struct slice key, value;
	size_t pos = 0;

	while (json_object_next(object, &pos, &key, &value)) {
		bool is_size = key.n > 5 && slice_eq_str(slice_skip(key, key.n - 6), "_bytes");
		uint64_t n;

		table_add(t, "%s%.*s", indent, SLICE_ARG(key));
		if (json_type_of(value) == JSON_OBJECT && !*indent) {
			table_add(t, "%s", "");
			add_members(t, value, "  ");
		} else if (json_type_of(value) == JSON_ARRAY) {
			add_words(t, value);
		} else if (is_size && json_get_u64(value, &n) && n >= 1024) {
			table_add(t, "%s", human_size(n));
		} else {
			table_add(t, "%s", field_show_value(value));
		}
	}
}

static int run_info(struct cli *cli)
{
	const struct json_options *opt = cli->options;
	struct http_reply reply;
	struct table table;
	struct buf path;
	int rc;

	path_init(&path, "/v1/info");
	rc = ask(cli, "GET", &path, &reply);
	if (rc != CLI_OK)
		return rc;
	if (opt->json) {
		call_print_json(buf_slice(&reply.body));
	} else {
		table_init(&table, NULL, "ll");
		table_add(&table, "address");
		table_add(&table, "%s", cli->target.name);
		add_members(&table, buf_slice(&reply.body), "");
		table_print(&table, stdout);
		table_fini(&table);
	}
	http_reply_fini(&reply);
	return CLI_OK;
}

/* --- the rows ------------------------------------------------------------------------------ */

const struct command command_channels = {
	.name = "channels",
	.args = "[PREFIX]",
	.summary = "List channels, stored and active ones",
	.details = "With --json one object per line.\n",
	.options = json_option,
	.options_size = sizeof(struct json_options),
	.args_max = 1,
	.is_admin = true,
	.run = run_channels,
};

const struct command command_channel = {
	.name = "channel",
	.args = "NAME",
	.summary = "Show one channel: head, size, age, subscribers by transport",
	.options = json_option,
	.options_size = sizeof(struct json_options),
	.args_min = 1,
	.args_max = 1,
	.is_admin = true,
	.run = run_channel,
};

static const struct option_def purge_options[] = {
	{
		.name = "yes",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct purge_options, yes),
		.help = "do not ask",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct purge_options, json),
		.help = "print JSON",
	},
	{0},
};

const struct command command_purge = {
	.name = "purge",
	.args = "CHANNEL",
	.summary = "Remove the stored messages of a channel",
	.options = purge_options,
	.options_size = sizeof(struct purge_options),
	.args_min = 1,
	.args_max = 1,
	.is_admin = true,
	.run = run_purge,
};

static const struct option_def connections_options[] = {
	{
		.name = "limit",
		.kind = OPTION_COUNT,
		.offset = offsetof(struct connections_options, limit),
		.arg = "N",
		.def = CONNECTIONS_LIMIT,
		.help = "at most N connections (default 1000)",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct connections_options, json),
		.help = "print one JSON object per line",
	},
	{0},
};

const struct command command_connections = {
	.name = "connections",
	.args = "",
	.summary = "List connections",
	.options = connections_options,
	.options_size = sizeof(struct connections_options),
	.is_admin = true,
	.run = run_connections,
};

static const struct option_def kick_options[] = {
	{
		.name = "channel",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct kick_options, channel),
		.arg = "NAME",
		.help = "all subscribers of a channel",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct kick_options, json),
		.help = "print JSON",
	},
	{0},
};

const struct command command_kick = {
	.name = "kick",
	.args = "ID | --channel NAME",
	.summary = "Close a connection, or all subscribers of a channel",
	.options = kick_options,
	.options_size = sizeof(struct kick_options),
	.args_max = 1,
	.is_admin = true,
	.run = run_kick,
};

const struct command command_backup = {
	.name = "backup",
	.args = "FILE",
	.summary = "Write a verified copy of the log while the daemon runs",
	.details = "The daemon writes FILE, with its own rights.\n",
	.options = json_option,
	.options_size = sizeof(struct json_options),
	.args_min = 1,
	.args_max = 1,
	.is_admin = true,
	.run = run_backup,
};

const struct command command_info = {
	.name = "info",
	.args = "",
	.summary = "Show the daemon's name, version, epoch, transports and limits",
	.options = json_option,
	.options_size = sizeof(struct json_options),
	.run = run_info,
};
