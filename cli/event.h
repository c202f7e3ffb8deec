/* SPDX-License-Identifier: MIT */
/*
 * event: one JSON object from the server (message, gap, hello, goodbye …) taken apart in one walk,
 * and shown: a line for people, the payload's bytes, or the object itself. Thread: any (pure).
 */
#ifndef CLI_EVENT_H
#define CLI_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Values as they stand in the JSON text, empty when absent. Strings that the protocol gives without
 * escapes (type, id, prev, cursor …) are without their quotes and empty for null. */
struct event {
	struct slice type;
	struct slice channel; /* with quotes and escapes: see event_text() */
	struct slice id;
	struct slice prev;
	struct slice content_type; /* with quotes */
	struct slice encoding;
	struct slice data; /* raw value */
	struct slice from; /* with quotes: it is what a client gave */
	struct slice to;
	struct slice oldest;
	struct slice reason;
	struct slice cursor;
	struct slice heartbeat; /* raw value */
	struct slice reconnect; /* raw value */
	struct slice delay_ms;  /* raw value */
	struct slice code;
	struct slice message; /* with quotes */
	struct slice session;
	struct slice count;   /* raw value */
	struct slice members; /* raw array */
};

enum event_style {
	EVENT_HUMAN, /* `id channel data`, nothing in it that drives a terminal */
	EVENT_RAW,   /* the payload's bytes and LF */
	EVENT_JSON,  /* the object as received, on one line */
};

/* Take json apart. Return 0, or -EINVAL when it is no JSON object with a type. */
int event_parse(struct slice json, struct event *ret);
/* Append a string value's text, made safe for a terminal. A value that is no string: as it stands.
 */
void event_text(struct slice value, struct buf *out);
/* Append the payload of a message as it was published. Return 0, -EINVAL or -ENOBUFS. */
int event_payload(const struct event *e, struct buf *out);
/* Append a message in a style, with its line end. Return 0 or -ENOBUFS. */
int event_show(const struct event *e, struct slice json, enum event_style style, struct buf *out);
/* Append json without line ends (which are white space in valid JSON), and LF. */
int event_show_json(struct slice json, struct buf *out);
/* Append a line for each member of a join (+), leave (-) or presence (=, after a line with the
 * count) event: sign, channel, session, info. */
void event_show_members(const struct event *e, struct buf *out);
/* Append one sentence about a gap, with no line end. */
void event_show_gap(const struct event *e, struct buf *out);

#endif
