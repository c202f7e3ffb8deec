/* SPDX-License-Identifier: MIT */
/*
 * members: the text of who is in a channel, shared by GET /v1/presence, the WebSocket `presence`
 * frame and the lists that subscribers get.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_MEMBERS_H
#define TRANSPORTS_MEMBERS_H

#include "base/buf.h"
#include "base/fault.h"
#include "base/session_id.h"
#include "transports/gateway.h"

/* What one reply holds at most, about. */
#define MEMBERS_BYTES ((size_t)256 << 10)

struct members_request {
	struct slice channel;
	struct session_id after; /* zero: from the first */
	uint64_t limit;
	size_t bytes;    /* no entry is begun beyond so many; `more` tells */
	bool count_only; /* no members */
	bool is_admin;
};

/* May it be asked? 0, or negative with fault: FAULT_BAD_CHANNEL, FAULT_FORBIDDEN,
 * FAULT_NOT_SUPPORTED; FAULT_BAD_PARAMETER for an `after` (NULL: none) that is no session's name.
 */
int members_check(const struct gateway *g, struct members_request *r, const struct slice *after,
		  struct fault *fault);
/* `"channel":…,"count":N,"members":[…],"more":false`, no braces. */
void json_add_members(struct buf *out, const struct gateway *g, const struct members_request *r);

#endif
