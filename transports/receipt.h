/* SPDX-License-Identifier: MIT */
/* receipt: what a publisher is told when the log has taken its messages. Thread: the worker's. */
#ifndef TRANSPORTS_RECEIPT_H
#define TRANSPORTS_RECEIPT_H

#include "base/buf.h"
#include "broker/hub.h"

enum receipt_kind {
	RECEIPT_ONE,       /* "id","channel","durability","duplicate","subscribers" */
	RECEIPT_BATCH,     /* "ids" before it; id is the last one */
	RECEIPT_SCATTERED, /* a batch over several channels: "ids","count","durability","duplicate"
			    */
};

/* The members of the receipt, without braces. */
void receipt_add(struct buf *out, struct hub *h, const struct append *a, enum receipt_kind kind);
/* The members of the error, without braces: "code", "message", and what the publisher needs to know
 * besides: "head" of a conflict, "expected" of a producer's gap. */
void receipt_add_error(struct buf *out, const struct hub *h, const struct append *a);

#endif
