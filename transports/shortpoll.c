/* SPDX-License-Identifier: MIT */
/* shortpoll: a poll that is answered at once; cheap to repeat with If-None-Match, and cacheable. */
#include "transports/poll.h"
#include "transports/transport.h"

static bool shortpoll_match(const struct http_request *r)
{
	bool waits;

	return poll_match(r, &waits) && !waits;
}

static void shortpoll_open(struct gateway *g, struct http_exchange *x)
{
	poll_open(g, x, false);
}

const struct transport_ops shortpoll_transport = {
	.name = "shortpoll",
	.methods = METHODS_GET,
	.is_subscribing = true,
	.match = shortpoll_match,
	.open = shortpoll_open,
};
