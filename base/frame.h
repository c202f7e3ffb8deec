/* SPDX-License-Identifier: MIT */
/*
 * frame: bytes made once for one wire format and shared by reference by every connection that sends
 * them. The reference count is plain: a frame never leaves the worker that made it.
 * Thread: the owner loop's.
 */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The wire formats of a message. Sessions of equal format share frames. */
enum frame_format {
	FORMAT_WS_JSON,         /* WebSocket text frame around the JSON envelope */
	FORMAT_WS_RAW,          /* WebSocket frame around the bare payload */
	FORMAT_WS_JSON_DEFLATE, /* the same two with compressed payload (RFC 7692) … */
	FORMAT_WS_RAW_DEFLATE,  /* … where that is worth it */
	FORMAT_SSE_JSON,        /* SSE event, data: JSON envelope */
	FORMAT_SSE_RAW,         /* SSE event, data: bare payload */
	FORMAT_JSON,            /* JSON envelope, an element of a poll reply */
	FORMAT_COUNT
};

/* WebSocket frames of payloads and nothing else. */
static inline bool frame_format_is_bare(enum frame_format f)
{
	return f == FORMAT_WS_RAW || f == FORMAT_WS_RAW_DEFLATE;
}

struct frame {
	unsigned refs;
	uint32_t n;      /* bytes, as it was made */
	uint64_t seq;    /* of the message; 0 for ephemeral messages and everything else */
	bool is_secret;  /* of an HTTP answer: not to be compressed together with the rest */
	bool is_message; /* may be dropped from a slow connection's queue: history has it */
	char bytes[];
};

/* A frame of n bytes to be filled by the caller, one reference. Aborts when memory is gone: the
 * caller has checked n against its limits. */
struct frame *frame_new(size_t n);
struct frame *frame_copy(struct slice bytes);
static inline struct frame *frame_ref(struct frame *f)
{
	f->refs++;
	return f;
}
/* NULL is fine. Returns NULL. */
struct frame *frame_unref(struct frame *f);
/* Give back what this thread keeps for frames to come: a MiB at most. */
void frames_trim(void);

#endif
