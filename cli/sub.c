/* SPDX-License-Identifier: MIT */
/*
 * sub.c: `holdfast sub`: follow channels, whatever happens to the connection.
 *
 * DESIGN. The loop in follow() is the whole life: run a transport until its connection ends, judge
 * the end, pause, run it again from the cursor. Transports know how to connect and how bytes become
 * JSON objects; everything that an object means is here, once, so that the same promises are
 * checked on all of them:
 *
 *   end of a connection        what follows
 *   ------------------------   -----------------------------------------------------------------
 *   SUB_OVER                   exit with s->exit_code
 *   SUB_REFUSED                exit 1 with the server's words (4xx, goodbye with reconnect false)
 *   SUB_UNREACHABLE            exit 3 if no connection ever worked, else pause and try again
 *   SUB_LOST                   pause and try again
 *
 * The pause has full jitter (backoff.c); retry, Retry-After and the delay of a goodbye are its
 * floor. Repeats after a reconnect are dropped; a `prev` that is not the last id seen, without a
 * gap in between, means that the server lost a message silently, which it promises never to do:
 * that is reported as a bug, and following goes on.
 */
#include "cli/sub.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/call.h"
#include "cli/human.h"
#include "cli/query.h"
#include "cli/say.h"
#include "cli/stop.h"

#define PATH_MAX_BYTES       ((size_t)1 << 20)
#define HEARTBEAT_UNKNOWN_MS 60000

static const struct sub_transport *const transports[] = {&sub_ws, &sub_sse, &sub_long_poll,
							 &sub_poll};

static const char gone_text[] = "standard output is closed";

/* --- the end ------------------------------------------------------------------------------- */

static bool end_with(struct sub *s, int code)
{
	s->is_over = true;
	s->exit_code = code;
	return false;
}

static bool flush(struct sub *s)
{
	int rc = out_flush(&s->out);

	if (rc == 0)
		return true;
	if (rc != -EPIPE && rc != -EINTR) {
		say("can not write the output: %s", strerror(-rc));
		return end_with(s, CLI_REFUSED);
	}
	return end_with(s, CLI_OK);
}

bool sub_turn(void *sub)
{
	struct sub *s = sub;

	if (s->is_over || !flush(s))
		return false;
	sub_acks_send(&s->acks, false);
	if (stop_asked())
		return end_with(s, CLI_OK);
	if (s->deadline_ms && clock_mono_ms() >= s->deadline_ms)
		return end_with(s, CLI_TIMEOUT);
	if (out_is_closed(&s->out)) {
		problem_set(&s->why, 0, "%s", gone_text);
		return end_with(s, CLI_OK);
	}
	return true;
}

enum sub_end sub_end_of(const struct sub *s)
{
	if (s->is_over)
		return SUB_OVER;
	return s->is_refused ? SUB_REFUSED : SUB_LOST;
}

enum sub_end sub_failed(struct sub *s, enum sub_end end, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why.text, sizeof(s->why.text), fmt, ap);
	va_end(ap);
	return end;
}

enum sub_end sub_judge(struct sub *s, const struct http_reply *reply)
{
	enum sub_end end;
	struct buf text;

	if (s->is_over || s->is_refused)
		return sub_end_of(s);
	switch (reply->result) {
	case HTTP_UNREACHABLE:
		return sub_failed(s, SUB_UNREACHABLE, "%s", reply->reason);
	case HTTP_STOPPED: /* an event said so, and gave the reason */
		return sub_end_of(s);
	case HTTP_LOST:
	case HTTP_STALLED:
		return sub_failed(s, SUB_LOST, "%s", reply->reason);
	case HTTP_ANSWERED:
		break;
	}
	if (reply->retry_after_ms > s->floor_ms)
		s->floor_ms = reply->retry_after_ms;
	if (reply->status == 200)
		return sub_failed(s, SUB_LOST, "the server ended the answer");
	end = http_is_temporary(reply->status) ? SUB_LOST : SUB_REFUSED;
	buf_init(&text, 0);
	http_refusal(reply, &text);
	sub_failed(s, end, "%.*s", SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
	return end;
}

void sub_is_up(struct sub *s)
{
	s->was_up = true;
	s->floor_ms = 0;
	backoff_reset(&s->backoff);
}

uint64_t sub_stall_ms(const struct sub *s)
{
	return 2 * (s->heartbeat_ms ? s->heartbeat_ms : HEARTBEAT_UNKNOWN_MS) + 5000;
}

bool sub_pause(struct sub *s, uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (sub_turn(s)) {
		uint64_t now = clock_mono_ms();
		uint64_t until = end;
		if (now >= end)
			return true;
		if (s->deadline_ms && s->deadline_ms < until)
			until = s->deadline_ms;
		/* A reader that leaves can not wake this wait: look once a second. */
		stop_wait(until - now > 1000 ? 1000 : until - now);
	}
	return false;
}

/* --- events -------------------------------------------------------------------------------- */

static bool on_message(struct sub *s, const struct event *e, struct slice json)
{
	if (e->id.n) {
		const char *last = track_last(&s->track, e->channel);
		char before[TRACK_ID_MAX + 1];
		snprintf(before, sizeof(before), "%s", last);

		switch (track_message(&s->track, e->channel, e->id, e->prev)) {
		case TRACK_DUPLICATE:
			return true;
		case TRACK_BROKEN:
			say("BUG of the server: message %.*s of %.*s follows %.*s, but the last "
			    "one "
			    "seen is %s: something was lost without a gap",
			    SLICE_ARG(e->id), SLICE_ARG(e->channel), e->prev.n ? (int)e->prev.n : 7,
			    e->prev.n ? e->prev.p : "nothing", before);
			break;
		case TRACK_DISORDER:
			say("BUG of the server: message %.*s of %.*s is older than what came "
			    "before",
			    SLICE_ARG(e->id), SLICE_ARG(e->channel));
			break;
		case TRACK_NEW:
			break;
		}
	}
	if (event_show(e, json, s->style, &s->out.b)) {
		say("message %.*s is too large to be shown", SLICE_ARG(e->id));
		buf_clear(&s->out.b);
	}
	if (e->id.n)
		sub_acks_note(&s->acks, e->channel, e->id);
	if (++s->shown >= s->opt->count)
		return end_with(s, CLI_OK);
	return s->out.b.n < OUT_FULL || flush(s);
}

static bool on_gap(struct sub *s, const struct event *e, struct slice json)
{
	track_gap(&s->track, e->channel);
	if (s->style == EVENT_JSON) {
		event_show_json(json, &s->out.b);
	} else {
		struct buf text;
		buf_init(&text, 0);
		event_show_gap(e, &text);
		flush(s); /* so that it stands between the messages where it belongs */
		say("%.*s", SLICE_ARG(buf_slice(&text)));
		buf_fini(&text);
	}
	/* what expired was not meant to be had any more */
	bool is_failure = s->opt->fail_on_gap && !slice_eq_str(e->reason, "expired");
	return is_failure ? end_with(s, CLI_GAP) : !s->is_over;
}

/* Who comes, goes and is there; only for those who asked. */
static bool on_members(struct sub *s, const struct event *e, struct slice json)
{
	if (!s->opt->presence || s->style == EVENT_RAW)
		return true;
	if (s->style == EVENT_JSON)
		event_show_json(json, &s->out.b);
	else
		event_show_members(e, &s->out.b);
	return s->out.b.n < OUT_FULL || flush(s);
}

void sub_set_session(struct sub *s, struct slice session)
{
	if (session.n && session.n < sizeof(s->session))
		snprintf(s->session, sizeof(s->session), "%.*s", SLICE_ARG(session));
}

static bool on_hello(struct sub *s, const struct event *e)
{
	uint64_t seconds;

	if (e->heartbeat.n && json_get_u64(e->heartbeat, &seconds) && seconds < 86400)
		s->heartbeat_ms = seconds * 1000;
	track_hello(&s->track, e->cursor);
	sub_set_session(s, e->session);
	sub_is_up(s);
	return true;
}

static bool on_goodbye(struct sub *s, const struct event *e)
{
	uint64_t ms;

	if (e->delay_ms.n && json_get_u64(e->delay_ms, &ms) && ms < 3600000)
		s->floor_ms = ms;
	s->is_refused = slice_eq_str(e->reconnect, "false");
	problem_set(&s->why, 0, "the server said goodbye: %.*s", SLICE_ARG(e->reason));
	return false;
}

/* A subscription in a URL is refused as an `error` frame on WebSocket, where the status is long
 * sent. */
static bool on_error(struct sub *s, const struct event *e)
{
	struct buf text;

	buf_init(&text, 0);
	event_text(e->message, &text);
	s->is_refused =
		!slice_eq_str(e->code, "store_unavailable") &&
		!slice_eq_str(e->code, "overloaded") && !slice_eq_str(e->code, "draining") &&
		!slice_eq_str(e->code, "too_many_requests") && !slice_eq_str(e->code, "internal");
	problem_set(&s->why, 0, "%.*s: %.*s", SLICE_ARG(e->code), SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
	return false;
}

bool sub_event(struct sub *s, struct slice json)
{
	struct event e;

	if (s->is_over)
		return false;
	if (event_parse(json, &e)) {
		problem_set(&s->why, 0, "the server sent something that is not Holdfast's JSON");
		return false;
	}
	if (slice_eq_str(e.type, "message"))
		return on_message(s, &e, json);
	if (slice_eq_str(e.type, "gap"))
		return on_gap(s, &e, json);
	if (slice_eq_str(e.type, "hello"))
		return on_hello(s, &e);
	if (slice_eq_str(e.type, "join") || slice_eq_str(e.type, "leave") ||
	    slice_eq_str(e.type, "presence"))
		return on_members(s, &e, json);
	if (slice_eq_str(e.type, "goodbye"))
		return on_goodbye(s, &e);
	if (slice_eq_str(e.type, "error"))
		return on_error(s, &e);
	return true; /* heartbeat, ok, and what later versions may add */
}

/* --- life ---------------------------------------------------------------------------------- */

void sub_path(const struct sub *s, const char *name, struct buf *path)
{
	buf_init(path, PATH_MAX_BYTES);
	buf_add_str(path, name);
	for (int i = 0; i < s->cli->argc; i++)
		query_add(path, "channel", slice_str(s->cli->argv[i]));
	if (s->opt->subscriber)
		query_add(path, "subscriber", slice_str(s->opt->subscriber));
	if (s->track.cursor[0])
		query_add(path, "since", slice_str(s->track.cursor));
	else if (s->opt->since)
		query_add(path, "since", slice_str(s->opt->since));
	else if (s->opt->last != OPTION_UNSET)
		query_add_u64(path, "last", s->opt->last);
	if (s->session[0])
		query_add(path, "session", slice_str(s->session));
	if (s->opt->presence)
		query_add(path, "presence", slice_str("1"));
}

static uint32_t random_bits(void)
{
	uint32_t bits = 0;

	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		bits = (uint32_t)clock_mono_us() * 2654435761u;
	return bits;
}

/* The connection ended and is to come back. False: over meanwhile. */
static bool come_back(struct sub *s)
{
	uint64_t wait = backoff_next(&s->backoff, s->floor_ms, random_bits());

	s->floor_ms = 0;
	if (!flush(s))
		return false;
	say("%s; again in %s%s%s", s->why.text, human_age(wait),
	    s->track.cursor[0] ? ", from " : "", s->track.cursor);
	return sub_pause(s, wait);
}

static int follow(struct sub *s, const struct sub_transport *transport)
{
	for (;;) {
		enum sub_end end;

		s->is_refused = false;
		s->heartbeat_ms = 0;
		end = transport->run(s);
		if (end == SUB_OVER)
			break;
		flush(s);
		if (end == SUB_REFUSED) {
			say("%s", s->why.text);
			return CLI_REFUSED;
		}
		if (end == SUB_UNREACHABLE && !s->was_up)
			return call_unreachable(s->cli, s->why.text);
		if (!come_back(s))
			break;
	}
	if (s->exit_code == CLI_OK || s->exit_code == CLI_TIMEOUT || s->exit_code == CLI_GAP) {
		if (!flush(s))
			return s->exit_code;
		if (s->track.cursor[0] && say_is_terminal() && s->shown < s->opt->count)
			say("the last cursor is %s (go on with --since)", s->track.cursor);
	}
	return s->exit_code;
}

static const struct sub_transport *find_transport(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
		if (!name || strcmp(name, transports[i]->name) == 0 ||
		    strcmp(name, transports[i]->alias) == 0)
			return transports[i];
	}
	say("--transport is one of ws, sse, long-poll, poll; not \"%s\"", name);
	return NULL;
}

static unsigned watch_stop(void *arg, struct curl_waitfd fds[HTTP_WATCH_MAX])
{
	struct sub *s = arg;

	if (s->out.stop_fd < 0)
		return 0;
	fds[0] = (struct curl_waitfd){.fd = s->out.stop_fd, .events = CURL_WAIT_POLLIN};
	return 1;
}

static int run(struct cli *cli)
{
	const struct sub_options *opt = cli->options;
	const struct sub_transport *transport = find_transport(opt->transport);
	struct sub s = {.cli = cli, .opt = opt};
	int rc;

	if (!transport)
		return CLI_USAGE;
	if (opt->raw && opt->json) {
		say("give --raw or --json, not both");
		return CLI_USAGE;
	}
	if (opt->ack && !opt->subscriber) {
		say("--ack needs --subscriber NAME: acknowledgements are kept under a name");
		return CLI_USAGE;
	}
	if (opt->count == 0)
		return CLI_OK;
	s.style = opt->raw ? EVENT_RAW : opt->json ? EVENT_JSON : EVENT_HUMAN;
	if (opt->timeout_ms != OPTION_UNSET)
		s.deadline_ms = clock_mono_ms() + opt->timeout_ms;
	track_init(&s.track);
	out_init(&s.out, STDOUT_FILENO, stop_open());
	cli->http.watch = (struct http_watch){
		.fds = watch_stop, .turn = sub_turn, .arg = &s, .wake_ms = s.deadline_ms};
	sub_acks_init(&s.acks, &cli->target, opt->ack ? opt->subscriber : NULL);
	rc = follow(&s, transport);
	/* what was not written was not seen by anybody */
	if (s.out.b.n == 0 && sub_acks_send(&s.acks, true) != 0 && rc == CLI_OK)
		rc = CLI_REFUSED;
	sub_acks_fini(&s.acks);
	out_fini(&s.out);
	track_fini(&s.track);
	return rc;
}

#define AT(field) .offset = offsetof(struct sub_options, field)

static const struct option_def options[] = {
	{
		.name = "transport",
		.kind = OPTION_TEXT,
		AT(transport),
		.arg = "NAME",
		.help = "ws (default), sse, long-poll or poll",
	},
	{
		.name = "since",
		.kind = OPTION_TEXT,
		AT(since),
		.arg = "ID",
		.help = "start after this id or cursor; 0: with all that is kept",
	},
	{
		.name = "last",
		.kind = OPTION_COUNT,
		AT(last),
		.arg = "N",
		.def = OPTION_UNSET,
		.help = "start with the newest N messages of each channel",
	},
	{
		.name = "count",
		.kind = OPTION_COUNT,
		AT(count),
		.arg = "N",
		.def = OPTION_UNSET,
		.help = "end after N messages",
	},
	{
		.name = "timeout",
		.kind = OPTION_SECONDS,
		AT(timeout_ms),
		.arg = "S",
		.def = OPTION_UNSET,
		.help = "end after S seconds, with exit code 124",
	},
	{
		.name = "interval",
		.kind = OPTION_SECONDS,
		AT(interval_ms),
		.arg = "S",
		.def = 1000,
		.help = "seconds between two polls of --transport poll (default 1)",
	},
	{
		.name = "subscriber",
		.kind = OPTION_TEXT,
		AT(subscriber),
		.arg = "NAME",
		.help = "as this durable subscriber: start where it acknowledged last",
	},
	{
		.name = "ack",
		.kind = OPTION_FLAG,
		AT(ack),
		.help = "acknowledge what was printed (a poll acknowledges anyway)",
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
	{
		.name = "fail-on-gap",
		.kind = OPTION_FLAG,
		AT(fail_on_gap),
		.help = "end with exit code 4 when messages can not be had any more",
	},
	{
		.name = "presence",
		.kind = OPTION_FLAG,
		AT(presence),
		.help = "print who is there (=), comes (+) and goes (-), too",
	},
	{0},
};

const struct command command_sub = {
	.name = "sub",
	.args = "CHANNEL...",
	.summary = "Follow channels, across every loss of the connection",
	.details = "Prints one line per message: id, channel, data. A lost connection is made "
		   "again, and\n"
		   "what was missed meanwhile comes first. What can not be had any more is told as "
		   "a gap on\n"
		   "stderr (with --json as an object on stdout).\n"
		   "\n"
		   "Examples:\n"
		   "  holdfast sub news sport --last 10\n"
		   "  holdfast sub 'room:*' (every channel whose name begins with room:)\n"
		   "  holdfast sub logs --since 0 --raw | grep ERROR\n"
		   "  holdfast sub jobs --count 1 --timeout 30 --transport sse\n"
		   "  holdfast sub jobs --subscriber worker-1 --ack\n",
	.options = options,
	.options_size = sizeof(struct sub_options),
	.args_min = 1,
	.args_max = -1,
	.run = run,
};
