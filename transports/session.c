/* SPDX-License-Identifier: MIT */
/* session: the common part of all subscribing transports. What differs between them is in their own
 * files. */
#include "transports/session.h"

#include <errno.h>

#include "base/log.h"
#include "transports/members.h"
#include "transports/params.h"

static const enum counter_id session_gauges[KIND_COUNT] = {
	[KIND_WEBSOCKET] = COUNTER_SESSIONS_WEBSOCKET,
	[KIND_SSE] = COUNTER_SESSIONS_SSE,
	[KIND_LONGPOLL] = COUNTER_SESSIONS_LONGPOLL,
	[KIND_SHORTPOLL] = COUNTER_SESSIONS_SHORTPOLL,
};

static const struct session_ops *const ops_of_kind[KIND_COUNT] = {
	[KIND_WEBSOCKET] = &websocket_session,
	[KIND_SSE] = &sse_session,
	[KIND_LONGPOLL] = &poll_session,
	[KIND_SHORTPOLL] = &poll_session,
};

const struct session_ops *session_ops(const struct session *s)
{
	return ops_of_kind[s->subscriber.ops->kind];
}

struct session_id session_id(const struct session *s)
{
	return session_id_of(s->gateway->session_key, s->subscriber.name);
}

struct visit session_visit(const struct session *s)
{
	return (struct visit){.name = s->subscriber.name, .attendee = s->subscriber.attendee};
}

static void keep_visit(struct session *s, const struct visit *v)
{
	s->subscriber.name = v->name;
	s->subscriber.attendee = v->attendee;
}

void session_start(struct session *s, struct gateway *g, struct conn *c, struct visit *v,
		   const struct subscriber_ops *ops)
{
	s->magic = SESSION_MAGIC;
	s->gateway = g;
	s->conn = c;
	s->opened_ms = loop_now_ms(g->loop);
	s->sent = 0;
	s->is_listed = true;
	LIST_INSERT_HEAD(&g->sessions, s, link);
	g->session_n++;
	count_inc(g->counters, session_gauges[ops->kind]);
	subscriber_init(&s->subscriber, g->hub, ops);
	keep_visit(s, v);
	*v = (struct visit){.name = 0};
}

int session_subscribe(struct session *s, const struct subscribe_params *p, bool is_admin,
		      const struct durable_ops *ops,
		      void (*joined)(struct subscriber *s, void *arg, const struct fault *fault,
				     uint64_t from),
		      struct fault *fault)
{
	struct durable_want want = p->durable;

	if (!want.name.p)
		return subscriber_add(&s->subscriber, p->channels, p->channel_n, &p->start,
				      is_admin, fault);
	want.start_is_ack = ops == NULL;
	struct durable_request r = {
		.channels = p->channels,
		.n = p->channel_n,
		.start = &p->start,
		.is_admin = is_admin,
		.want = &want,
		.ops = ops,
		.joined = joined,
	};
	return durable_subscribe(&s->subscriber, &r, fault);
}

static void log_end(const struct session *s, enum close_reason reason)
{
	enum subscriber_kind kind = s->subscriber.ops->kind;
	char peer[64] = "-";

	/* A poll is a session of one request: its line is for debugging. */
	enum log_level level =
		kind == KIND_WEBSOCKET || kind == KIND_SSE ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
	if (!s->gateway->config->log_sessions || !log_enabled(level))
		return;
	if (s->conn)
		conn_peer_text(s->conn, peer);
	log_line(level, "session",
		 "id=%llu transport=%s peer=%s reason=%s channels=%u sent=%llu in_bytes=%llu "
		 "out_bytes=%llu "
		 "duration_ms=%llu",
		 s->conn ? (unsigned long long)s->conn->id : 0ull, subscriber_kind_name(kind), peer,
		 close_reason_info(reason)->text, s->subscriber.channel_n,
		 (unsigned long long)s->sent,
		 s->conn ? (unsigned long long)s->conn->in_total : 0ull,
		 s->conn ? (unsigned long long)s->conn->out_total : 0ull,
		 (unsigned long long)(loop_now_ms(s->gateway->loop) - s->opened_ms));
}

void session_end(struct session *s, enum close_reason reason)
{
	CHECK_OBJ(s, SESSION_MAGIC);
	if (!s->is_listed)
		return;
	log_end(s, reason);
	s->is_listed = false;
	LIST_REMOVE(s, link);
	s->gateway->session_n--;
	count_add(s->gateway->counters, session_gauges[s->subscriber.ops->kind], -1);
	subscriber_fini(&s->subscriber);
	struct visit v = session_visit(s);
	visit_close(&v);
	keep_visit(s, &v);
	s->conn = NULL;
}

void session_tell(struct session *s, struct session_id *ret)
{
	struct visit v = session_visit(s);

	*ret = visit_tell(&v, s->gateway);
	keep_visit(s, &v);
}

void session_introduce(struct session *s, struct slice info, bool wants_members)
{
	struct visit v = session_visit(s);

	visit_introduce(&v, s->gateway, info, wants_members);
	keep_visit(s, &v);
}

int session_attend(struct session *s, const struct slice *channels, size_t n, struct fault *fault)
{
	struct visit v = session_visit(s);
	int rc = visit_attend(&v, s->gateway, channels, n, fault);

	keep_visit(s, &v);
	return rc;
}

void session_leave_at_once(struct session *s)
{
	if (s->subscriber.attendee)
		s->subscriber.attendee->leaves_at_once = true;
}

void session_tell_members(struct session *s, void (*fn)(struct session *s, struct slice json))
{
	size_t left = MEMBERS_BYTES;
	struct slice channel;

	while (s->subscriber.state == SUB_LIVE && subscriber_take_owed(&s->subscriber, &channel)) {
		struct buf b = {0};

		buf_add_str(&b, "{\"type\":\"presence\",");
		json_add_members(&b, s->gateway,
				 &(struct members_request){
					 .channel = channel,
					 .limit = s->gateway->config->presence_members,
					 .bytes = left,
				 });
		buf_add_char(&b, '}');
		left -= b.n < left ? b.n : left;
		fn(s, buf_slice(&b));
		buf_fini(&b);
	}
}

int session_send_stream(struct subscriber *sub, struct frame *f)
{
	struct session *s = session_of(sub);
	const struct gateway_config *cfg = s->gateway->config;
	size_t room = sub->state == SUB_LIVE ? cfg->out_queue_bytes : cfg->replay_window_bytes;

	/* A burst of this turn does not make a client slow: only what its socket does not take. */
	if (sub->state == SUB_LIVE && conn_out_bytes(s->conn) >= room)
		conn_write_now(s->conn);
	if (conn_out_bytes(s->conn) >= room) {
		conn_call_on_drain(s->conn, cfg->replay_window_bytes / 2);
		return -ENOBUFS;
	}
	conn_send(s->conn, f);
	s->sent++;
	return 0;
}

uint64_t session_rewind_stream(struct subscriber *sub)
{
	struct session *s = session_of(sub);

	/* Who skips has room when everything has left, or a peer that reads nothing would be told
	 * of one gap after the other, and those are not dropped. */
	conn_call_on_drain(s->conn,
			   sub->is_skipping ? 0 : s->gateway->config->replay_window_bytes / 2);
	return conn_drop_messages(s->conn);
}
