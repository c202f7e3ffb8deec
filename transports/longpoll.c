/* SPDX-License-Identifier: MIT */
/* longpoll: a poll that waits until there is something, or until `wait` seconds have passed. */
#include "transports/poll.h"
#include "transports/transport.h"

static bool longpoll_match(const struct http_request *r)
{
	bool waits;

	return poll_match(r, &waits) && waits;
}

static void longpoll_open(struct gateway *g, struct http_exchange *x)
{
	poll_open(g, x, true);
}

const struct transport_ops longpoll_transport = {
	.name = "longpoll",
	.methods = METHODS_GET,
	.is_subscribing = true,
	.match = longpoll_match,
	.open = longpoll_open,
};
