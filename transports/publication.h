/* SPDX-License-Identifier: MIT */
/*
 * publication: what one publish asks for, as read from an HTTP request or a WebSocket frame:
 * messages and terms. Everything that had to be decoded is owned; the rest points into the request
 * or frame.
 * It stays where it is: it may point into itself. Thread: the worker's.
 */
#ifndef TRANSPORTS_PUBLICATION_H
#define TRANSPORTS_PUBLICATION_H

#include "base/buf.h"
#include "broker/publish.h"
#include "net/http.h"

struct publication {
	struct publish_request request; /* complete after publication_finish() */
	bool is_batch;
	bool is_scattered; /* each message names its channel */
	size_t max;        /* messages at most; 0: what fits the request */
	/* private */
	size_t n, room;
	struct slice *payloads;
	struct slice *channels;
	struct payload_shape *shapes;
	/* most are of one message: room for it, so that it needs no memory */
	struct slice one_payload, one_channel;
	struct payload_shape one_shape;
	char **owned;
	size_t owned_n, owned_room;
};

void publication_fini(struct publication *p);

/* One message of the request's channel, with the Content-Type as HTTP gives it. */
int publication_add(struct publication *p, struct slice type, struct slice payload,
		    struct fault *fault);
/* One message as a JSON object: "data", "encoding", "content_type"; and "channel" when the
 * publication is scattered. */
int publication_add_object(struct publication *p, struct slice object, struct fault *fault);
/* An array of such objects: the publication is scattered. */
int publication_add_array(struct publication *p, struct slice array, struct fault *fault);

/* The terms: key, producer, expect, ttl, ephemeral, and exclude. session: the name of the frame's
 * own session. */
int publication_read_request(struct publication *p, const struct http_request *r,
			     struct fault *fault);
int publication_read_frame(struct publication *p, struct slice frame, uint64_t session,
			   struct fault *fault);

/* All messages are there: the request points to them. */
void publication_finish(struct publication *p);

#endif
