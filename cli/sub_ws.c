/* SPDX-License-Identifier: MIT */
/*
 * sub_ws.c: a subscription over WebSocket. All channels and the cursor stand in the URL, as on
 * every other transport; after that the client only answers pings.
 */
#include "cli/sub.h"
#include "cli/ws_client.h"

static bool on_text(void *arg, struct slice text)
{
	struct sub *s = arg;

	if (!sub_event(s, text))
		return false;
	s->cli->http.stall_ms = sub_stall_ms(s);
	return true;
}

/* Close codes after which coming back would end the same way; of 1008 and others a goodbye tells.
 */
static bool is_final(uint16_t code)
{
	return code == 1002 || code == 1003 || code == 1007 || code == 1009 || code == 1010;
}

static enum sub_end judge_close(struct sub *s, const struct ws_client *w)
{
	enum sub_end end = is_final(w->close_code) ? SUB_REFUSED : SUB_LOST;

	return sub_failed(s, end, "the server closed the WebSocket with %u%s%s", w->close_code,
			  w->close_reason[0] ? ": " : "", w->close_reason);
}

static enum sub_end run_open(struct sub *s, struct ws_client *w)
{
	switch (ws_client_run(w, on_text, s)) {
	case WS_END_STOPPED:
		ws_client_close(w, 1000);
		return sub_end_of(s);
	case WS_END_CLOSED:
		return judge_close(s, w);
	case WS_END_LOST:
		break;
	}
	return sub_failed(s, SUB_LOST, "%s", w->why.text);
}

static enum sub_end run(struct sub *s)
{
	struct http_reply reply;
	struct ws_client w;
	enum sub_end end;
	struct buf path;

	sub_path(s, "/v1/ws", &path);
	ws_client_init(&w, &s->cli->http);
	s->cli->http.stall_ms = sub_stall_ms(s);
	ws_client_open(&w, buf_slice(&path), &reply);
	if (reply.result == HTTP_ANSWERED && reply.status == 101)
		end = run_open(s, &w);
	else
		end = sub_judge(s, &reply);
	http_reply_fini(&reply);
	ws_client_fini(&w);
	buf_fini(&path);
	return end;
}

const struct sub_transport sub_ws = {.name = "ws", .alias = "websocket", .run = run};
