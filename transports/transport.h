/* SPDX-License-Identifier: MIT */
/*
 * transport: one way to talk to the broker over HTTP: which requests are its own, and what it does
 * with them. One file each, one `const struct transport_ops`, one line in registry.c. Subscribing
 * transports (websocket, sse, longpoll, shortpoll) build on session.h; the others (publish,
 * history, info) answer and are done.
 * Thread: the worker's.
 */
#ifndef TRANSPORTS_TRANSPORT_H
#define TRANSPORTS_TRANSPORT_H

#include "net/http.h"
#include "transports/gateway.h"

#define METHOD_BIT(m) (1u << (m))
#define METHODS_GET   (METHOD_BIT(HTTP_GET_) | METHOD_BIT(HTTP_HEAD_))
#define METHODS_POST  (METHOD_BIT(HTTP_POST_) | METHOD_BIT(HTTP_PUT_))

struct transport_ops {
	const char *name;
	unsigned methods;    /* METHOD_BITs it answers; others are refused with 405 */
	bool is_subscribing; /* refused while the node drains */
	/* Is this request mine? Path and headers only, not the method. */
	bool (*match)(const struct http_request *r);
	/* Take it: answer x now or later. */
	void (*open)(struct gateway *g, struct http_exchange *x);
};

/* In the order in which they are asked; NULL-terminated. */
extern const struct transport_ops *const transport_registry[];

extern const struct transport_ops websocket_transport, sse_transport, longpoll_transport,
	shortpoll_transport, publish_transport, history_transport, presence_transport,
	info_transport, ack_transport, acks_transport;

#endif
