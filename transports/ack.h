/* SPDX-License-Identifier: MIT */
/*
 * ack: acknowledgements, the same on HTTP and WebSocket: checked, posted, answered.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_ACK_H
#define TRANSPORTS_ACK_H

#include "base/buf.h"
#include "broker/durable.h"
#include "broker/hub.h"

struct ack_item_request {
	struct slice channel;
	struct slice id;
};

/* Check all of them and post them to the log. done(letter) is called on this worker later and owns
 * the letter. Return the letter, borrowed (to clear its owner), or NULL with fault filled. */
struct ack_letter *ack_post(struct hub *h, struct slice subscriber,
			    const struct ack_item_request *items, size_t n, bool is_admin,
			    void (*done)(struct ack_letter *), void *owner, struct fault *fault);
/* Members of the answer, without braces: `"subscriber":…,"channel":…,"id":…`, or with as_list
 * `"subscriber":…,"acks":[{"channel":…,"id":…}…]`. */
void ack_add_answer(struct buf *out, const struct epoch *e, const struct ack_letter *l,
		    bool as_list);

#endif
