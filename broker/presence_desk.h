/* SPDX-License-Identifier: MIT */
/*
 * presence_desk: one worker's door to what is shared of presence, and its part of the
 * housekeeping: what its calls make due, it sees to. Join and leave events leave from here, as
 * ephemeral messages of kind MESSAGE_EVENT, through the log: so every worker gets them, in one
 * order with the messages.
 * Thread: the worker's.
 */
#ifndef BROKER_PRESENCE_DESK_H
#define BROKER_PRESENCE_DESK_H

#include "base/loop.h"
#include "broker/presence.h"
#include "store/history.h"

struct presence_desk {
	unsigned magic;
	struct loop *loop;
	struct history *history;
	struct mailbox *mailbox; /* where receipts to this worker come */
	struct counters *counters;
	struct presence *presence;

	/* private */
	struct loop_timer timer;
	uint64_t wake_ms;     /* what the timer is set for; 0: not set */
	struct append *stuck; /* the log took no more; nothing else is sent before it */
};

/* Takes copies of the pointers of the template (all but the private part). */
struct presence_desk *presence_desk_new(const struct presence_desk *parts);
/* What is on its way to the log must have come back, or been dropped. NULL is fine. */
void presence_desk_free(struct presence_desk *d);

void presence_desk_join(struct presence_desk *d, const struct presence_place *at,
			const struct attendee *who);
void presence_desk_leave(struct presence_desk *d, const struct presence_place *at,
			 const struct session_id *id, bool at_once);

#endif
