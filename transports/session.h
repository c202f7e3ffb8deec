/* SPDX-License-Identifier: MIT */
/*
 * session: what all subscribing transports share: a subscriber on a connection, its place in the
 * gateway's list, its counters, and its one log line at the end. Embedded as the first member of
 * each transport's own struct.
 *
 * life: session_start → subscriber callbacks … → session_end (from the transport's one closing
 * place) → freed at the end of the turn by the transport.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_SESSION_H
#define TRANSPORTS_SESSION_H

#include "base/close_reason.h"
#include "broker/subscriber.h"
#include "transports/gateway.h"
#include "transports/visit.h"

struct subscribe_params;
struct durable_ops;

#define SESSION_MAGIC 0x53455353u

struct session_ops {
	/* Say goodbye, if the transport can, and end. May be called once. */
	void (*goodbye)(struct session *s, enum close_reason reason, uint64_t delay_ms);
};

extern const struct session_ops websocket_session, sse_session, poll_session;

/* Idle ones are many: what can be had otherwise is not kept. */
struct session {
	unsigned magic;
	bool is_listed;
	struct gateway *gateway;
	struct conn *conn;            /* NULL once gone */
	struct subscriber subscriber; /* its name and its attendee are the visit's */
	uint64_t opened_ms;
	uint64_t sent; /* messages handed to the connection */
	LIST_ENTRY(session) link;
};

/* Takes the visit; *v is empty afterwards. */
void session_start(struct session *s, struct gateway *g, struct conn *c, struct visit *v,
		   const struct subscriber_ops *ops);
/* Leave all channels and lists, count and log. Idempotent. */
void session_end(struct session *s, enum close_reason reason);

const struct session_ops *session_ops(const struct session *s);

static inline struct session *session_of(struct subscriber *s)
{
	return container_of(s, struct session, subscriber);
}

/* Which session, over connections and transports, it belongs to. A copy: what is changed must be
 * kept. */
struct visit session_visit(const struct session *s);
struct session_id session_id(const struct session *s);
/* As visit_tell(), visit_introduce(). */
void session_tell(struct session *s, struct session_id *ret);
void session_introduce(struct session *s, struct slice info, bool wants_members);
/* Before more channels are added: as visit_attend(). */
int session_attend(struct session *s, const struct slice *channels, size_t n, struct fault *fault);
/* Subscribe as the parameters say, durably or not; see durable_request. ops NULL: a poll. joined is
 * called for durable subscriptions only. Return 0, or negative with fault filled. */
int session_subscribe(struct session *s, const struct subscribe_params *p, bool is_admin,
		      const struct durable_ops *ops,
		      void (*joined)(struct subscriber *s, void *arg, const struct fault *fault,
				     uint64_t from),
		      struct fault *fault);
/* For live subscribers: call fn with the text of each member list that is owed. */
void session_tell_members(struct session *s, void (*fn)(struct session *s, struct slice json));
/* It was shown the door: it leaves presence without grace. */
void session_leave_at_once(struct session *s);

/* subscriber_ops.send and .rewind for sessions that stream to their connection. */
int session_send_stream(struct subscriber *s, struct frame *f);
uint64_t session_rewind_stream(struct subscriber *s);

#endif
