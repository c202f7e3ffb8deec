/* SPDX-License-Identifier: MIT */
/*
 * encode: the bytes of messages and control events in each wire format. Pure: no session, no clock.
 * Thread: any; frames belong to the calling worker.
 */
#ifndef TRANSPORTS_ENCODE_H
#define TRANSPORTS_ENCODE_H

#include "base/buf.h"
#include "base/close_reason.h"
#include "base/fault.h"
#include "base/frame.h"
#include "base/id.h"
#include "base/message.h"
#include "broker/subscriber.h"

/* subscriber_ops.encode of the five formats. */
struct frame *encode_ws_json(const struct message *m, const struct epoch *e);
struct frame *encode_ws_raw(const struct message *m, const struct epoch *e);
struct frame *encode_sse_json(const struct message *m, const struct epoch *e);
struct frame *encode_sse_raw(const struct message *m, const struct epoch *e);
struct frame *encode_json(const struct message *m, const struct epoch *e);

/* durable_ops.encode_again: the same message, marked as sent for the n-th time again; what is raw
 * has no place for the mark. */
struct frame *encode_ws_json_again(const struct message *m, const struct epoch *e, unsigned n);
struct frame *encode_sse_json_again(const struct message *m, const struct epoch *e, unsigned n);
struct frame *encode_sse_raw_again(const struct message *m, const struct epoch *e, unsigned n);

/* An SSE frame is one chunk of HTTP/1.1's chunked coding. The bytes inside, for HTTP/1.0. */
struct slice sse_chunk_content(const struct frame *f);
/* A chunk holding text as it is. */
struct frame *sse_chunk(struct slice text);
/* A named SSE event with one line of JSON. */
struct frame *sse_event(const char *event, struct slice json);

/* JSON texts of control events, appended to out. ref: raw JSON of the client's ref, or empty. */
void json_add_message(struct buf *out, const struct message *m, const struct epoch *e);
void json_add_id(struct buf *out, const struct epoch *e,
		 uint64_t seq); /* "epoch.seq" with quotes */
void json_add_id_or_null(struct buf *out, const struct epoch *e, uint64_t seq); /* null for 0 */
void json_add_gap(struct buf *out, const struct gap *g, const struct epoch *e);
void json_add_fault(struct buf *out, struct slice ref, enum fault_id id, const char *message);
void json_add_goodbye(struct buf *out, enum close_reason reason, uint64_t delay_ms);

#endif
