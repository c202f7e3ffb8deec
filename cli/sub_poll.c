/* SPDX-License-Identifier: MIT */
/*
 * sub_poll.c: a subscription by polling. Long polls ask again at once and let the server wait;
 * short polls wait here, and let caches on the way answer (If-None-Match, 304). Both carry the
 * whole state in the request: any node can answer the next one.
 */
#include "base/json.h"
#include "cli/field.h"
#include "cli/query.h"
#include "cli/sub.h"

#define WAIT_SECONDS 25
#define ANSWER_MS    30000 /* beyond the wait */

/* Each element of an array of the reply. False: leave. */
static bool feed(struct sub *s, struct slice body, const char *name)
{
	struct slice list = field_tree(body, name), one;
	size_t pos = 0;

	while (list.n && json_array_next(list, &pos, &one)) {
		if (!sub_event(s, one))
			return false;
	}
	return true;
}

/* Take a reply apart. False: leave; *ret_more: the next poll will be answered at once. */
static bool take_reply(struct sub *s, struct slice body, bool *ret_more)
{
	if (!json_is_valid(body, NULL) || !field_bare(body, "cursor").n) {
		sub_failed(s, SUB_LOST, "the server sent something that is not Holdfast's JSON");
		return false;
	}
	sub_set_session(s, field_bare(body, "session"));
	if (!feed(s, body, "gaps") || !feed(s, body, "messages") || !feed(s, body, "events"))
		return false;
	track_set_cursor(&s->track, field_bare(body, "cursor"));
	*ret_more = field_is_true(body, "more");
	return true;
}

/* One request. SUB_OVER with s->is_over unset means: go on. */
static enum sub_end poll_once(struct sub *s, uint64_t wait_s, bool *ret_more)
{
	struct http_request request = {.method = "GET"};
	char match[TRACK_ID_MAX + 32];
	struct http_reply reply;
	enum sub_end end = SUB_OVER;
	struct buf path;

	sub_path(s, "/v1/poll", &path);
	if (wait_s)
		query_add_u64(&path, "wait", wait_s);
	request.path = buf_slice(&path);
	if (s->track.cursor[0] && !wait_s) {
		snprintf(match, sizeof(match), "If-None-Match: \"%s\"", s->track.cursor);
		request.headers[0] = match;
	}
	s->cli->http.stall_ms = wait_s * 1000 + ANSWER_MS;
	http_perform(&s->cli->http, &request, &reply);
	*ret_more = false;
	if (reply.result == HTTP_ANSWERED && (reply.status == 200 || reply.status == 304)) {
		sub_is_up(s);
		if (reply.status == 200 && !take_reply(s, buf_slice(&reply.body), ret_more))
			end = sub_end_of(s);
	} else {
		end = sub_judge(s, &reply);
	}
	http_reply_fini(&reply);
	buf_fini(&path);
	return end;
}

static enum sub_end run(struct sub *s, uint64_t wait_s)
{
	for (;;) {
		bool more;
		enum sub_end end = poll_once(s, wait_s, &more);

		if (s->is_over || end != SUB_OVER)
			return end;
		if (!sub_pause(s, wait_s || more ? 0 : s->opt->interval_ms))
			return SUB_OVER;
	}
}

static enum sub_end run_long(struct sub *s)
{
	return run(s, WAIT_SECONDS);
}

static enum sub_end run_short(struct sub *s)
{
	return run(s, 0);
}

const struct sub_transport sub_long_poll = {
	.name = "long-poll", .alias = "longpoll", .run = run_long};
const struct sub_transport sub_poll = {.name = "poll", .alias = "shortpoll", .run = run_short};
