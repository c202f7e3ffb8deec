/* SPDX-License-Identifier: MIT */
/*
 * sse_parse: bytes of a text/event-stream → events (WHATWG HTML 9.2.6). Input may be cut anywhere.
 * Thread: one at a time; no I/O.
 */
#ifndef CLI_SSE_PARSE_H
#define CLI_SSE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct sse_event {
	struct slice type; /* empty: "message" */
	struct slice data; /* lines joined by LF */
	struct slice id;   /* the last event id so far, this event's or an earlier one's */
};

/* The slices are valid during the call. Return 0 to go on; anything else ends sse_parse() with it.
 */
typedef int sse_event_fn(void *arg, const struct sse_event *event);

struct sse_parser {
	sse_event_fn *on_event;
	void *arg;
	uint64_t retry_ms; /* of the last `retry:` line; set by the owner to its default */
	/* private */
	struct buf line; /* a line whose end has not come yet */
	struct buf data;
	struct buf type;
	struct buf id;
	uint8_t bom_n; /* bytes of a byte order mark seen; BOM_DONE later */
	bool skip_lf;  /* the last byte was CR: an LF now belongs to it */
	bool is_over;  /* on_event said so */
};

/* event_max: limit for one line and for one event's data. */
void sse_parser_init(struct sse_parser *p, size_t event_max, sse_event_fn *on_event, void *arg);
void sse_parser_fini(struct sse_parser *p);
/* Feed n bytes. Return 0, -ENOBUFS when an event is above event_max, or what on_event returned.
 * After anything but 0 the parser takes no more input. */
int sse_parse(struct sse_parser *p, const void *bytes, size_t n);

#endif
