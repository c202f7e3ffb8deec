/* SPDX-License-Identifier: MIT */
/*
 * ws_deflate: permessage-deflate (RFC 7692), the server's side: which offer is taken, and frames
 * that are ready for sharing. What comes in is inflated by ws.c.
 * Thread: the owner loop's.
 */
#ifndef NET_WS_DEFLATE_H
#define NET_WS_DEFLATE_H

#include "base/frame.h"
#include "net/deflate.h"
#include "net/http.h"

#define WS_RSV1 4 /* in ws_head.rsv: a compressed message begins */

#define WS_DEFLATE_ANSWER_MAX 128

/* Take the first offer in the Sec-WebSocket-Extensions headers that can be kept with messages
 * deflated in a window of so many bits; ret: the value of that header in the answer. False: there
 * is none, and the connection goes without. */
bool ws_deflate_negotiate(const struct http_request *r, unsigned window_bits,
			  char ret[WS_DEFLATE_ANSWER_MAX]);

/* subscriber_ops.pack; packer is the worker's deflater. Takes a frame that holds a whole unmasked
 * WebSocket frame. Gives the same message deflated, or, where that is not worth it, the frame. */
struct frame *ws_deflate_pack(void *packer, struct frame *f);

/* The payload of a compressed message whose content is so long is at most this, whoever deflates
 * it. */
size_t ws_deflate_payload_max(size_t message_max);

#endif
