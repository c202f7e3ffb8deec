/* SPDX-License-Identifier: MIT */
/*
 * visit: one connection's (or one poll's) part in a session: which session it belongs to, and
 * who it is in presence. A connection without presence has nothing but the name.
 *
 * life: visit_open → visit_attend before channels are added → visit_close, after they are left.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_VISIT_H
#define TRANSPORTS_VISIT_H

#include "base/fault.h"
#include "base/session_id.h"
#include "broker/presence.h"
#include "transports/gateway.h"

struct visit {
	uint64_t name;             /* of the session; 0: none yet, a poll's before it is needed */
	struct attendee *attendee; /* owned; NULL while the session needs none */
};

/* session: what the client gave, perhaps nothing; an id that this process did not give gets a
 * new one. is_poll: not before somebody needs it, or visit_tell() is called. */
void visit_open(struct visit *v, const struct gateway *g, struct slice session, bool is_poll);
/* The id, for the client alone: it is known by it from now on. */
struct session_id visit_tell(struct visit *v, const struct gateway *g);
/* What the client says of itself (valid JSON, copied), and whether it wants the members of the
 * channels that are added next. */
void visit_introduce(struct visit *v, const struct gateway *g, struct slice info,
		     bool wants_members);
/* The session is about to subscribe to these (valid names): take what it needs for those with
 * presence. Return 0, or negative with fault filled: FAULT_NOT_SUPPORTED when members are wanted of
 * a channel without presence, FAULT_OVERLOADED. */
int visit_attend(struct visit *v, const struct gateway *g, const struct slice *channels, size_t n,
		 struct fault *fault);
/* Fine for a zeroed struct, which it is afterwards. */
void visit_close(struct visit *v);

#endif
