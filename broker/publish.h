/* SPDX-License-Identifier: MIT */
/*
 * publish: checks a publication against the rules of its channel and the limits, decides how its
 * payload is shown, and sends it to the log.
 * Thread: the hub's.
 */
#ifndef BROKER_PUBLISH_H
#define BROKER_PUBLISH_H

#include "broker/hub.h"

/* How the payload's content type is treated (docs/protocol.md, Publishing). */
struct payload_shape {
	enum message_kind kind;
	struct slice type; /* to be kept with the message; empty: the default of the kind */
};

/* Decide from the Content-Type ("" or p == NULL when none was given) and the bytes. Return 0, or
 * negative with fault FAULT_BAD_JSON when the type promises JSON and the payload is not. */
int payload_shape(struct slice content_type, struct slice payload, struct payload_shape *ret,
		  struct fault *fault);

struct publish_request {
	struct slice channel;         /* of all messages; or */
	const struct slice *channels; /* one for each */
	bool is_ephemeral;
	bool is_admin;
	/* terms; a slice whose p is NULL was not given */
	struct slice key;
	struct slice producer;
	uint64_t producer_seq; /* 0: not given */
	struct slice expect;   /* an id, or "none" */
	bool has_ttl;
	uint64_t ttl_ms;
	uint64_t except; /* a session's name as a number; 0: none */
	size_t n;        /* ≥ 1 */
	const struct slice *payloads;
	const struct payload_shape *shapes;
};

/* Post the publication to the log. done(append) is called on this worker later, with the receipts
 * or the error, and owns the append. Return the append, borrowed (to clear its owner when that
 * dies), or NULL with fault filled. */
struct append *publish_post(struct hub *h, const struct publish_request *r,
			    void (*done)(struct append *), void *owner, struct fault *fault);

/* Why an append that came back was not stored; FAULT_NONE when it was, now or before. */
enum fault_id publish_fault_of(const struct append *a);
const char *publish_fault_text(const struct append *a);

#endif
