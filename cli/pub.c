/* SPDX-License-Identifier: MIT */
/*
 * pub.c: `holdfast pub`: one message from the command line or a file. Many, from standard input,
 * are pub_stream.c's.
 */
#include "cli/pub.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/stop.h"

#define FILE_MAX     ((size_t)1 << 30)
#define TRIES_MAX    10
#define RETRY_MS     1000
#define RETRY_CAP_MS 30000

void pub_path(const struct pub_options *opt, const char *channel, struct buf *out)
{
	buf_init(out, 4096);
	buf_add_str(out, "/v1/publish");
	query_add(out, "channel", slice_str(channel));
	if (opt->ephemeral)
		query_add(out, "ephemeral", SLICE("1"));
}

/* Only what surely stored nothing may be sent again. */
static bool may_retry(const struct http_reply *reply)
{
	return reply->result == HTTP_ANSWERED && (reply->status == 503 || reply->status == 429);
}

int pub_post(struct cli *cli, const struct http_request *request, struct http_reply *ret_reply)
{
	for (unsigned tries = 1;; tries++) {
		struct buf text;
		uint64_t wait;

		http_perform(&cli->http, request, ret_reply);
		if (ret_reply->result == HTTP_ANSWERED && ret_reply->status == 200)
			return CLI_OK;
		if (!may_retry(ret_reply) || tries == TRIES_MAX || stop_asked())
			return call_failed(cli, ret_reply);
		wait = ret_reply->retry_after_ms ? ret_reply->retry_after_ms : RETRY_MS;
		if (wait > RETRY_CAP_MS)
			wait = RETRY_CAP_MS;
		buf_init(&text, 0);
		http_refusal(ret_reply, &text);
		say("%.*s; trying again in %u s (%u of %u)", SLICE_ARG(buf_slice(&text)),
		    (unsigned)((wait + 999) / 1000), tries, TRIES_MAX - 1);
		buf_fini(&text);
		http_reply_fini(ret_reply);
		stop_wait(wait);
	}
}

/* Publish bytes as one message and print its id or receipt. */
static int publish_one(struct cli *cli, struct slice payload, const char *content_type)
{
	const struct pub_options *opt = cli->options;
	struct http_reply reply;
	struct buf path;
	int rc;

	pub_path(opt, cli->argv[0], &path);
	rc = pub_post(cli,
		      &(struct http_request){.method = "POST",
					     .path = buf_slice(&path),
					     .body = payload,
					     .content_type = content_type},
		      &reply);
	if (rc == CLI_OK && opt->json)
		call_print_json(buf_slice(&reply.body));
	else if (rc == CLI_OK)
		printf("%s\n", field_show(buf_slice(&reply.body), "id"));
	else if (reply.result == HTTP_LOST || reply.result == HTTP_STALLED)
		say_more("The message may have been stored or not; `holdfast history` tells.");
	buf_fini(&path);
	http_reply_fini(&reply);
	return rc;
}

static int read_all(int fd, struct buf *out)
{
	for (;;) {
		ssize_t n;
		if (buf_reserve(out, (size_t)64 << 10))
			return -EFBIG;
		n = read(fd, out->p + out->n, (size_t)64 << 10);
		if (n > 0)
			out->n += (size_t)n;
		else if (n == 0)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
}

static const char *guess_type(struct slice bytes)
{
	if (json_is_valid(bytes, NULL))
		return "application/json";
	return utf8_is_valid(bytes.p, bytes.n) ? "text/plain" : "application/octet-stream";
}

static int publish_file(struct cli *cli, const char *name)
{
	const struct pub_options *opt = cli->options;
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	struct buf bytes;
	int rc;

	if (fd < 0) {
		say("can not open %s: %s", name, strerror(errno));
		return CLI_USAGE;
	}
	buf_init(&bytes, FILE_MAX);
	rc = read_all(fd, &bytes);
	if (rc) {
		say("can not read %s: %s", name, strerror(-rc));
		rc = CLI_USAGE;
	} else {
		struct slice all = buf_slice(&bytes);
		rc = publish_one(cli, all, opt->type ? opt->type : guess_type(all));
	}
	buf_fini(&bytes);
	if (!is_stdin)
		close(fd);
	return rc;
}

static int run(struct cli *cli)
{
	const struct pub_options *opt = cli->options;

	if (opt->file && cli->argc > 1) {
		say("give a message or --file, not both");
		return CLI_USAGE;
	}
	if (opt->file)
		return publish_file(cli, opt->file);
	if (cli->argc < 2) {
		say("a message is missing: text, - for the lines of standard input, or --file "
		    "FILE");
		return CLI_USAGE;
	}
	if (strcmp(cli->argv[1], "-") == 0)
		return pub_stream(cli);
	return publish_one(cli, slice_str(cli->argv[1]), opt->type);
}

static const struct option_def options[] = {
	{
		.name = "file",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct pub_options, file),
		.arg = "FILE",
		.help = "publish a whole file as one message (- for standard input)",
	},
	{
		.name = "type",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct pub_options, type),
		.arg = "TYPE",
		.help = "content type; default: found out from the bytes",
	},
	{
		.name = "ephemeral",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct pub_options, ephemeral),
		.help = "for those who listen now; not stored",
	},
	{
		.name = "json",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct pub_options, json),
		.help = "print the receipts as JSON lines",
	},
	{0},
};

const struct command command_pub = {
	.name = "pub",
	.args = "CHANNEL MESSAGE | CHANNEL - | CHANNEL --file FILE",
	.summary = "Publish messages",
	.details = "MESSAGE is published as it stands; its id is printed once it is stored.\n"
		   "With - every line of standard input is a message: lines go out at once while "
		   "they come\n"
		   "slowly, in batches when they come fast, always in order. A summary ends on "
		   "stderr.\n"
		   "An overloaded server is asked again up to 9 times. What may have been stored "
		   "is never\n"
		   "sent twice.\n"
		   "\n"
		   "Examples:\n"
		   "  holdfast pub news '{\"title\":\"hello\"}'\n"
		   "  tail -f app.log | holdfast pub logs -\n"
		   "  holdfast pub pictures --file cat.png --type image/png\n",
	.options = options,
	.options_size = sizeof(struct pub_options),
	.args_min = 1,
	.args_max = 2,
	.run = run,
};
