/* SPDX-License-Identifier: MIT */
/*
 * visit: one connection's (or one poll's) part in a session: which session it belongs to, whether
 * the node remembers that session because of it, and who it is in presence. A connection without
 * presence has nothing but the id.
 *
 * life: visit_open → visit_attend before channels are added → visit_close, after they are left.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_VISIT_H
#define TRANSPORTS_VISIT_H

#include "base/fault.h"
#include "base/session_id.h"
#include "broker/hub.h"
#include "broker/presence.h"

struct visit {
	struct session_id id;      /* when is_made */
	bool is_made;              /* of a poll, not before it is needed */
	bool is_held;              /* the node remembers the session, for one because of this */
	bool is_present;           /* it was about to enter some channel's presence */
	struct attendee *attendee; /* owned; NULL while the session needs none */
};

/* session: what the client gave, perhaps nothing; an id that the node does not know gets a new one.
 * is_poll: not before somebody needs it, or visit_tell() is called. */
void visit_open(struct visit *v, struct hub *h, struct slice session, bool is_poll);
/* The reply of a poll names its session: it is to be known until the next one, if there is room for
 * it. Once. */
void visit_tell(struct visit *v, struct hub *h, struct session_id *ret);
/* What the client says of itself (valid JSON, copied), and whether it wants the members of the
 * channels that are added next. */
void visit_introduce(struct visit *v, struct slice info, bool wants_members);
/* The session is about to subscribe to these (valid names): take what it needs for those with
 * presence. Return 0, or negative with fault filled: FAULT_NOT_SUPPORTED when members are wanted of
 * a channel without presence, FAULT_OVERLOADED. */
int visit_attend(struct visit *v, struct hub *h, const struct slice *channels, size_t n,
		 struct fault *fault);
/* Fine for a zeroed struct, which it is afterwards. */
void visit_close(struct visit *v, struct hub *h);

#endif
