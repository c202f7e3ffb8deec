/* SPDX-License-Identifier: MIT */
/* hello: what every client is told at the start: limits, and who it is. Thread: the worker's. */
#ifndef TRANSPORTS_HELLO_H
#define TRANSPORTS_HELLO_H

#include "base/buf.h"
#include "transports/session.h"

/* `{"channel_bytes":255,…}` */
void json_add_limits(struct buf *out, const struct gateway_config *cfg);
void json_add_hello(struct buf *out, const struct session *s, uint64_t cursor);

#endif
