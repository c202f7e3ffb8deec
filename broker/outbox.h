/* SPDX-License-Identifier: MIT */
/*
 * outbox: what a worker publishes in one stage of its loop's turn. It leaves together when the
 * stage is over, so that a burst of publishes wakes the log thread once, and is committed as one.
 *
 * Two ways lead out: that to the log thread, and a short one past it for ephemeral messages. What
 * one worker publishes keeps its order on both: the short way is open only while nothing of this
 * worker is on the long one. Thread: the worker's.
 */
#ifndef BROKER_OUTBOX_H
#define BROKER_OUTBOX_H

#include "base/counters.h"
#include "base/loop.h"
#include "store/history.h"

struct outbox {
	struct loop *loop;
	struct history *history;
	struct counters *counters;
	struct letter_list stored; /* admitted, for the log thread */
	size_t stored_n;
	size_t under_way;          /* put here for the log thread and not yet back */
	struct append **ephemeral; /* for the short way */
	size_t ephemeral_n;
	size_t ephemeral_room;
	struct loop_task post;
};

void outbox_init(struct outbox *o, struct loop *l, struct history *h, struct counters *counters);
/* Nothing may be in it. */
void outbox_fini(struct outbox *o);
/* Takes the append on 0; -EAGAIN: the log's queue is full (it stays the caller's). */
MUST_CHECK int outbox_put(struct outbox *o, struct append *a);
/* Post what is in it, as the end of the stage does. */
void outbox_post(struct outbox *o);
/* An append came back to this worker, before it is answered. */
void outbox_note_back(struct outbox *o, struct append *a);

#endif
