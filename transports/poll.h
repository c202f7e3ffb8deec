/* SPDX-License-Identifier: MIT */
/*
 * poll: the common part of long and short polling: one request, one reply, whose cursor begins the
 * next.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_POLL_H
#define TRANSPORTS_POLL_H

#include "transports/session.h"

/* Is this request a poll, and if so, does it ask to wait? A `wait` that makes no sense counts as
 * waiting: the long poll refuses it. */
bool poll_match(const struct http_request *r, bool *ret_waits);
/* wait_ms 0: answer at once. ops: of the kind that the poll is counted as (encode and kind are
 * used). */
void poll_open(struct gateway *g, struct http_exchange *x, bool waits);

#endif
