/* SPDX-License-Identifier: MIT */
/*
 * pub_stream.c: `holdfast pub CHANNEL -`: every line of standard input is a message.
 *
 * DESIGN. One batch is under way at a time, and standard input is read meanwhile (lines.c). The
 * order of the input is therefore the order of the log, whatever fails in between, and what has
 * been acknowledged is always a prefix of the input: the summary can say exactly how far it came.
 * More requests in flight would need more connections, and then neither would hold. A batch of a
 * megabyte keeps the writer thread of the server busy enough for the pause between two batches not
 * to matter.
 *
 * Batches are numbered under a producer's name (docs/protocol.md, Publishing), so that one whose
 * answer is missing is sent again until it is answered, and stored once: a server that is killed
 * and started again in the middle loses nothing and repeats nothing. The first number is the time.
 * It is beyond any that an earlier run under the same name has used, so the server that remembers
 * such a run refuses it (producer_gap) and says which one it expects. A first try that is called a
 * duplicate all the same means that somebody else uses the name.
 *
 * SIGINT: lines that are complete go out, then the summary; a second one kills.
 */
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/call.h"
#include "cli/field.h"
#include "cli/human.h"
#include "cli/lines.h"
#include "cli/pub.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/stop.h"

#define BATCH_BYTES         ((size_t)1 << 20)
#define BATCH_BYTES_UNKNOWN ((size_t)64 << 10) /* when the server does not tell its limit */
#define BATCH_LINES         8192
#define PROGRESS_MS         500

struct stream {
	struct cli *cli;
	const struct pub_options *opt;
	struct lines lines;
	int stop_fd;
	size_t batch_bytes;
	char producer[300]; /* header; empty: ephemeral lines are not numbered */
	uint64_t seq;       /* of the next batch */
	uint64_t acked;     /* messages */
	char last_id[128];
	uint64_t start_ms; /* of the first batch */
	uint64_t shown_ms; /* when progress was shown last */
};

static unsigned watch_fds(void *arg, struct curl_waitfd fds[HTTP_WATCH_MAX])
{
	struct stream *s = arg;
	unsigned n = 0;

	if (lines_wants_input(&s->lines))
		fds[n++] = (struct curl_waitfd){.fd = s->lines.fd, .events = CURL_WAIT_POLLIN};
	if (!stop_asked() && s->stop_fd >= 0)
		fds[n++] = (struct curl_waitfd){.fd = s->stop_fd, .events = CURL_WAIT_POLLIN};
	return n;
}

static void show_progress(struct stream *s)
{
	uint64_t now = clock_mono_ms();

	if (!say_is_terminal() || now < s->shown_ms + PROGRESS_MS)
		return;
	s->shown_ms = now;
	say_progress("%llu messages, %s/s", (unsigned long long)s->acked,
		     human_rate((double)s->acked * 1000 / (double)(now - s->start_ms + 1)));
}

static void take_input(struct stream *s)
{
	if (!s->lines.is_ended && stop_asked())
		lines_stop(&s->lines);
	lines_read(&s->lines);
}

/* While a batch is under way: never a reason to give it up. */
static bool watch_turn(void *arg)
{
	take_input(arg);
	return true;
}

/* How large a request may be (a server that does not tell gets small ones); and whether there is a
 * server, before anybody waits for a first line. */
static int ask_limits(struct stream *s)
{
	struct http_request request = {.method = "GET", .path = SLICE("/v1/info")};
	struct http_reply reply;
	struct slice body;
	uint64_t bytes = 0;
	int rc = CLI_OK;

	http_perform(&s->cli->http, &request, &reply);
	if (reply.result != HTTP_ANSWERED)
		rc = call_failed(s->cli, &reply);
	body = buf_slice(&reply.body);
	if (reply.result == HTTP_ANSWERED && reply.status == 200 && json_is_valid(body, NULL))
		bytes = field_u64(field_tree(body, "limits"), "request_bytes", 0);
	s->batch_bytes = !bytes ? BATCH_BYTES_UNKNOWN : bytes < BATCH_BYTES ? bytes : BATCH_BYTES;
	http_reply_fini(&reply);
	return rc;
}

static void take_receipt(struct stream *s, struct slice receipt, size_t lines_n)
{
	struct slice id;

	s->acked += lines_n;
	if (!json_is_valid(receipt, NULL))
		return;
	id = field_bare(receipt, "id");
	if (id.n && id.n < sizeof(s->last_id))
		snprintf(s->last_id, sizeof(s->last_id), "%.*s", SLICE_ARG(id));
	if (s->opt->json) {
		call_print_json(receipt);
		fflush(stdout);
	}
}

static void report_failure(const struct stream *s, bool is_unknown, size_t lines_n)
{
	unsigned long long first = s->acked + 1, last = s->acked + lines_n;

	if (lines_n == 1)
		say_more("Line %llu %s.", first,
			 is_unknown ? "may have been stored or not" : "was not stored");
	else
		say_more("Lines %llu to %llu %s.", first, last,
			 is_unknown ? "may have been stored, all of them, or not"
				    : "were not stored");
}

static int post_numbered(struct stream *s, const struct buf *path, const struct buf *body,
			 struct pub_try *t, struct http_reply *ret_reply)
{
	bool is_numbered = s->producer[0] != '\0';
	char seq[64];

	snprintf(seq, sizeof(seq), "Producer-Seq: %llu", (unsigned long long)s->seq);
	*t = (struct pub_try){
		.is_repeatable = is_numbered,
		.was_up = true,
		.quiet_status = is_numbered && s->acked == 0 ? 409 : 0,
	};
	return pub_post(s->cli,
			&(struct http_request){.method = "POST",
					       .path = buf_slice(path),
					       .body = buf_slice(body),
					       .content_type = s->opt->type,
					       .headers = {is_numbered ? s->producer : NULL, seq}},
			t, ret_reply);
}

/* The number that a refused first batch should have had; 0: it was refused for something else. */
static uint64_t expected_seq(const struct http_reply *reply)
{
	struct slice body = buf_slice(&reply->body);

	if (reply->result != HTTP_ANSWERED || reply->status != 409 || !json_is_valid(body, NULL))
		return 0;
	return field_u64(field_tree(body, "error"), "expected", 0);
}

static int post_batch(struct stream *s, const struct buf *path, const struct buf *body,
		      size_t lines_n)
{
	struct http_reply reply;
	struct pub_try t;

	int rc = post_numbered(s, path, body, &t, &reply);
	uint64_t expected = t.quiet_status ? expected_seq(&reply) : 0;
	if (expected) {
		http_reply_fini(&reply);
		s->seq = expected;
		rc = post_numbered(s, path, body, &t, &reply);
	}
	if (rc != CLI_OK && reply.result == HTTP_ANSWERED && reply.status == t.quiet_status)
		rc = call_failed(s->cli, &reply);
	if (rc == CLI_OK && !t.is_repeated && json_is_valid(buf_slice(&reply.body), NULL) &&
	    field_is_true(buf_slice(&reply.body), "duplicate")) {
		say("somebody else publishes under the same name (%s)", s->producer);
		rc = CLI_REFUSED;
	}
	if (rc == CLI_OK)
		take_receipt(s, buf_slice(&reply.body), lines_n);
	else
		report_failure(s, t.may_be_stored, lines_n);
	s->seq++;
	http_reply_fini(&reply);
	return rc;
}

static int send_batch(struct stream *s, const struct buf *path)
{
	size_t lines_n;
	struct slice batch = lines_batch(&s->lines, s->batch_bytes, BATCH_LINES, &lines_n);
	struct buf body;
	int rc;

	if (!lines_n)
		return CLI_OK;
	/* A copy: reading on may move the buffer under the request. */
	buf_init(&body, batch.n);
	buf_add_slice(&body, batch);
	lines_drop(&s->lines, batch.n);
	if (!s->start_ms)
		s->start_ms = s->shown_ms = clock_mono_ms();
	rc = post_batch(s, path, &body, lines_n);
	show_progress(s);
	buf_fini(&body);
	return rc;
}

/* Nothing to send: sleep until there is. */
static void wait_input(struct stream *s)
{
	struct pollfd p[2] = {
		{.fd = s->lines.fd, .events = POLLIN},
		{.fd = s->stop_fd, .events = POLLIN},
	};

	poll(p, 2, -1);
	take_input(s);
}

static int pump(struct stream *s, const struct buf *path)
{
	int rc = CLI_OK;

	take_input(s);
	while (rc == CLI_OK && !lines_is_done(&s->lines)) {
		uint64_t before = s->acked;
		rc = send_batch(s, path);
		if (rc != CLI_OK)
			break;
		if (lines_is_stuck(&s->lines)) {
			say("line %llu is longer than %s", (unsigned long long)s->acked + 1,
			    human_size(s->lines.in_max));
			return CLI_REFUSED;
		}
		if (s->acked == before && !lines_is_done(&s->lines))
			wait_input(s);
	}
	if (s->lines.error && rc == CLI_OK) {
		say("can not read standard input: %s", strerror(s->lines.error));
		return CLI_REFUSED;
	}
	return rc;
}

static void print_summary(const struct stream *s, int rc)
{
	uint64_t took = s->start_ms ? clock_mono_ms() - s->start_ms : 0;

	say("%s %llu message%s%s%s, %s/s%s%s",
	    rc == CLI_OK ? "published" : "acknowledged:", (unsigned long long)s->acked,
	    s->acked == 1 ? "" : "s", took ? " in " : "", took ? human_age(took) : "",
	    human_rate((double)s->acked * 1000 / (double)(took ? took : 1)),
	    s->last_id[0] ? ", last id " : "", s->last_id);
}

static void choose_producer(struct stream *s)
{
	unsigned char random[8];
	char hex[2 * sizeof(random) + 1];

	if (s->opt->ephemeral)
		return;
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
	snprintf(s->producer, sizeof(s->producer), "Producer-Id: %s%s",
		 s->opt->producer ? "" : "pub-", s->opt->producer ? s->opt->producer : hex);
	s->seq = (uint64_t)clock_wall_ms();
}

int pub_stream(struct cli *cli)
{
	struct stream s = {.cli = cli, .opt = cli->options};
	struct buf path;
	int rc;

	rc = ask_limits(&s);
	if (rc != CLI_OK)
		return rc;
	choose_producer(&s);
	s.stop_fd = stop_open();
	lines_init(&s.lines, STDIN_FILENO, 4 * s.batch_bytes);
	cli->http.watch = (struct http_watch){.fds = watch_fds, .turn = watch_turn, .arg = &s};
	pub_path(s.opt, cli->argv[0], &path);
	query_add(&path, "batch", SLICE("lines"));
	rc = pump(&s, &path);
	print_summary(&s, rc);
	buf_fini(&path);
	lines_fini(&s.lines);
	return rc;
}
