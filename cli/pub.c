/* SPDX-License-Identifier: MIT */
/*
 * pub.c: `holdfast pub`: one message from the command line or a file. Many, from standard input,
 * are pub_stream.c's.
 */
#include "cli/pub.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cli/backoff.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/stop.h"

#define FILE_MAX     ((size_t)1 << 30)
#define TRIES_MAX    10
#define RETRY_MS     1000
#define RETRY_CAP_MS 30000
#define AWAY_MS      600000 /* a server that comes back later is another story */
#define AWAY_CAP_MS  5000

void pub_path(const struct pub_options *opt, const char *channel, struct buf *out)
{
	buf_init(out, 4096);
	buf_add_str(out, "/v1/publish");
	query_add(out, "channel", slice_str(channel));
	if (opt->ephemeral)
		query_add(out, "ephemeral", SLICE("1"));
	if (opt->expect)
		query_add(out, "expect", slice_str(opt->expect));
	if (opt->ttl_ms == OPTION_UNSET)
		return;
	char ttl[32];
	snprintf(ttl, sizeof(ttl), "%llu.%03u", (unsigned long long)(opt->ttl_ms / 1000),
		 (unsigned)(opt->ttl_ms % 1000));
	query_add(out, "ttl", slice_str(ttl));
}

/* What surely stored nothing. */
static bool is_put_off(const struct http_reply *reply)
{
	return reply->result == HTTP_ANSWERED && (reply->status == 503 || reply->status == 429);
}

static bool is_lost(const struct http_reply *reply)
{
	return reply->result == HTTP_LOST || reply->result == HTTP_STALLED;
}

/* Nobody knows what became of it, or nobody was there: the server may be starting again. */
static bool may_repeat(const struct pub_try *t, const struct http_reply *reply)
{
	if (reply->result == HTTP_UNREACHABLE)
		return t->was_up;
	return t->is_repeatable && is_lost(reply);
}

/* Wait for a server that is away. False: long enough. */
static bool wait_for_server(struct backoff *backoff, const struct http_reply *reply,
			    uint64_t since_ms)
{
	uint64_t wait;

	if (stop_asked() || clock_mono_ms() >= since_ms + AWAY_MS)
		return false;
	if (backoff->tries == 0)
		say("the server is away (%s); trying again until it is back", reply->reason);
	wait = backoff_next(backoff, 0, randombytes_random());
	stop_wait(wait > AWAY_CAP_MS ? AWAY_CAP_MS : wait);
	return true;
}

/* Wait as long as an overloaded server asks for. */
static void wait_put_off(const struct http_reply *reply, unsigned tries)
{
	uint64_t wait = reply->retry_after_ms ? reply->retry_after_ms : RETRY_MS;
	struct buf text;

	if (wait > RETRY_CAP_MS)
		wait = RETRY_CAP_MS;
	buf_init(&text, 0);
	http_refusal(reply, &text);
	say("%.*s; trying again in %u s (%u of %u)", SLICE_ARG(buf_slice(&text)),
	    (unsigned)((wait + 999) / 1000), tries, TRIES_MAX - 1);
	buf_fini(&text);
	stop_wait(wait);
}

int pub_post(struct cli *cli, const struct http_request *request, struct pub_try *t,
	     struct http_reply *ret_reply)
{
	struct backoff backoff = {0};
	uint64_t since_ms = clock_mono_ms();
	unsigned put_off = 0;

	for (;;) {
		http_perform(&cli->http, request, ret_reply);
		if (ret_reply->result == HTTP_ANSWERED && ret_reply->status == 200)
			return CLI_OK;
		if (ret_reply->result == HTTP_ANSWERED && ret_reply->status == t->quiet_status)
			return CLI_REFUSED;
		t->may_be_stored |= is_lost(ret_reply);
		t->was_up |= t->is_repeatable && ret_reply->result != HTTP_UNREACHABLE;
		if (may_repeat(t, ret_reply)) {
			if (!wait_for_server(&backoff, ret_reply, since_ms))
				return call_failed(cli, ret_reply);
		} else {
			if (!is_put_off(ret_reply) || ++put_off == TRIES_MAX || stop_asked())
				return call_failed(cli, ret_reply);
			wait_put_off(ret_reply, put_off);
		}
		t->is_repeated = true;
		http_reply_fini(ret_reply);
	}
}

/* Publish bytes as one message and print its id or receipt. */
static int publish_one(struct cli *cli, struct slice payload, const char *content_type)
{
	const struct pub_options *opt = cli->options;
	struct pub_try t = {.is_repeatable = opt->key != NULL};
	struct http_reply reply;
	struct buf path, key;
	int rc;

	pub_path(opt, cli->argv[0], &path);
	buf_init(&key, 0);
	buf_addf(&key, "Idempotency-Key: %s", opt->key ? opt->key : "");
	buf_add_char(&key, '\0');
	rc = pub_post(cli,
		      &(struct http_request){.method = "POST",
					     .path = buf_slice(&path),
					     .body = payload,
					     .content_type = content_type,
					     .headers = {opt->key ? key.p : NULL}},
		      &t, &reply);
	if (rc == CLI_OK && opt->json)
		call_print_json(buf_slice(&reply.body));
	else if (rc == CLI_OK)
		printf("%s\n", field_show(buf_slice(&reply.body), "id"));
	else if (t.may_be_stored)
		say_more("The message may have been stored or not; `holdfast history` tells.");
	buf_fini(&key);
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

/* Options that need one another, or exclude one another. */
static int check(const struct cli *cli)
{
	const struct pub_options *opt = cli->options;
	bool is_stream = !opt->file && cli->argc > 1 && strcmp(cli->argv[1], "-") == 0;

	if (is_stream && (opt->key || opt->expect))
		say("--%s is for one message, not for lines; --producer is for them",
		    opt->key ? "key" : "expect");
	else if (!is_stream && opt->producer)
		say("--producer is for the lines of standard input; --key is for one message");
	else if (opt->key && (!*opt->key || strpbrk(opt->key, "\r\n")))
		say("--key needs a word on one line");
	else if (opt->producer && (!*opt->producer || strpbrk(opt->producer, "\r\n")))
		say("--producer needs a name on one line");
	else
		return CLI_OK;
	return CLI_USAGE;
}

static int run(struct cli *cli)
{
	const struct pub_options *opt = cli->options;

	if (check(cli) != CLI_OK)
		return CLI_USAGE;
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
		.name = "key",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct pub_options, key),
		.arg = "KEY",
		.help = "store it once, however often it is published with this key",
	},
	{
		.name = "ttl",
		.kind = OPTION_SECONDS,
		.offset = offsetof(struct pub_options, ttl_ms),
		.arg = "S",
		.help = "not delivered any more after S seconds",
		.def = OPTION_UNSET,
	},
	{
		.name = "expect",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct pub_options, expect),
		.arg = "ID",
		.help = "only if this is the channel's newest message (none: it never had one)",
	},
	{
		.name = "producer",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct pub_options, producer),
		.arg = "ID",
		.help = "with -: the name to number batches under; default: a random one",
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
		   "An overloaded server is asked again up to 9 times. Lines are numbered, so that "
		   "what was\n"
		   "not answered is sent again and stored once, as it is with --key; without them "
		   "it is not\n"
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
