/* SPDX-License-Identifier: MIT */
/*
 * sub_sse.c: a subscription over Server-Sent Events. The cursor is sent as Last-Event-ID, as a
 * browser would do, and as `since`, for proxies that drop unknown headers. The stream's `retry` is
 * the base of the pause after a loss.
 */
#include <errno.h>

#include "cli/sse_parse.h"
#include "cli/sub.h"

#define EVENT_MAX ((size_t)256 << 20)

static int on_event(void *arg, const struct sse_event *event)
{
	struct sub *s = arg;

	if (!sub_event(s, event->data))
		return -ECANCELED;
	s->cli->http.stall_ms = sub_stall_ms(s);
	return 0;
}

static bool on_body(void *arg, struct slice bytes)
{
	struct sse_parser *p = arg;
	int rc = sse_parse(p, bytes.p, bytes.n);

	if (rc == -ENOBUFS)
		sub_failed(p->arg, SUB_LOST, "an event is too large");
	return rc == 0;
}

static enum sub_end run(struct sub *s)
{
	struct http_request request = {.method = "GET", .on_body = on_body};
	char last_id[TRACK_ID_MAX + 32];
	struct sse_parser parser;
	struct http_reply reply;
	enum sub_end end;
	struct buf path;
	size_t n = 0;

	sse_parser_init(&parser, EVENT_MAX, on_event, s);
	parser.retry_ms = s->backoff.base_ms;
	sub_path(s, "/v1/sse", &path);
	request.path = buf_slice(&path);
	request.arg = &parser;
	request.headers[n++] = "Accept: text/event-stream";
	if (s->track.cursor[0]) {
		snprintf(last_id, sizeof(last_id), "Last-Event-ID: %s", s->track.cursor);
		request.headers[n++] = last_id;
	}
	s->cli->http.stall_ms = sub_stall_ms(s);
	http_perform(&s->cli->http, &request, &reply);
	s->backoff.base_ms = parser.retry_ms;
	end = sub_judge(s, &reply);
	http_reply_fini(&reply);
	buf_fini(&path);
	sse_parser_fini(&parser);
	return end;
}

const struct sub_transport sub_sse = {.name = "sse", .alias = "eventsource", .run = run};
