/* SPDX-License-Identifier: MIT */
/* receipt: what a publisher is told when the log has taken its messages. Thread: the worker's. */
#ifndef TRANSPORTS_RECEIPT_H
#define TRANSPORTS_RECEIPT_H

#include "base/buf.h"
#include "broker/hub.h"

/* The members of the receipt, without braces:
 * `"id":…,"channel":…,"durability":…,"duplicate":false,"subscribers":N`; for a batch `"ids":[…],`
 * comes first. */
void receipt_add(struct buf *out, struct hub *h, const struct append *a, bool is_batch);

#endif
