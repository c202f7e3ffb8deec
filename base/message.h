/* SPDX-License-Identifier: MIT */
/*
 * message: THE noun. An immutable publication: channel, payload bytes, content type, server time,
 * id.
 *
 *   phase    who may touch it                     what happens
 *   draft    the worker that made it              message_new
 *   given    the log thread                       numbered: seq, prev, ts_ms are set
 *   sealed   everybody, read only                 message_ref / message_unref from any thread
 *
 * A message read back from the log is sealed from birth. The reference count is the only one that
 * threads share.
 */
#ifndef BASE_MESSAGE_H
#define BASE_MESSAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/slice.h"

#define MESSAGE_MAGIC 0x4d534721u

/* How the payload is shown inside JSON. Stored in the log: do not renumber. */
enum message_kind {
	MESSAGE_JSON = 0,   /* strictly valid JSON: embedded as the very bytes */
	MESSAGE_TEXT = 1,   /* valid UTF-8: embedded as a JSON string */
	MESSAGE_BINARY = 2, /* anything else: embedded as base64 */
	/* Not stored: an event about the channel that the broker tells its subscribers itself, in
	 * the order of the log. The payload is the whole JSON object, the type its name. */
	MESSAGE_EVENT = 3,
};

/* What an acknowledgement promises (docs/guarantees.md). */
enum durability {
	DURABILITY_EPHEMERAL, /* fanned out, never stored, no id */
	DURABILITY_MEMORY,    /* numbered, kept in memory only */
	DURABILITY_COMMIT,    /* survives the process */
	DURABILITY_SYNC,      /* survives the machine: fsync before the acknowledgement */
};

struct message {
	unsigned magic;
	atomic_uint refs;
	uint64_t seq;       /* position in the log; 0: not numbered (draft or ephemeral) */
	uint64_t prev;      /* seq of the message before this one in the channel; 0: none */
	int64_t ts_ms;      /* wall clock when numbered */
	int64_t expires_ms; /* wall clock: not to be delivered from then on; 0: never */
	uint64_t except;    /* the session that does not get it live; 0: none. Not stored */
	uint64_t born_us;   /* monotonic clock when drafted; 0 when read back: for latency only */
	uint8_t kind;       /* enum message_kind */
	uint8_t durability; /* enum durability */
	uint8_t channel_n;  /* 1..255 */
	uint16_t type_n;    /* bytes of the content type; 0: the default of the kind */
	uint32_t payload_n;
	char bytes[]; /* channel NUL type NUL payload NUL */
};

struct message_spec {
	struct slice channel; /* 1..255 bytes */
	struct slice type;    /* content type; empty: the default of the kind */
	struct slice payload;
	enum message_kind kind;
	enum durability durability;
	uint64_t except;
};

/* expires_ms of a message that expired and whose content is gone already: what is read is the place
 * where it stood. Its prev may go back over others before it that expired, too. */
#define MESSAGE_MARKER 1

/* A draft with one reference; copies everything. NULL when memory is gone (the payload's size is
 * the peer's choice) or a length does not fit. */
struct message *message_new(const struct message_spec *spec);
struct message *message_ref(struct message *m);
/* Drop one reference, free at the last. NULL is fine. Returns NULL. */
struct message *message_unref(struct message *m);

static inline struct slice message_channel(const struct message *m)
{
	return slice_make(m->bytes, m->channel_n);
}

/* The content type as published, or the default of the kind (application/json, text/plain,
 * application/octet-stream). */
struct slice message_type(const struct message *m);

static inline struct slice message_payload(const struct message *m)
{
	return slice_make(m->bytes + m->channel_n + 1 + m->type_n + 1, m->payload_n);
}

/* May it not be delivered any more? */
static inline bool message_is_expired(const struct message *m)
{
	return m->expires_ms != 0 && m->expires_ms <= clock_wall_ms();
}

/* Bytes of memory one message takes. */
static inline size_t message_size(const struct message *m)
{
	return sizeof(*m) + m->channel_n + m->type_n + m->payload_n + 3u;
}

const char *durability_name(enum durability d);

#endif
