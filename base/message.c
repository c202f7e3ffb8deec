/* SPDX-License-Identifier: MIT */
/*
 * message: THE noun.
 *
 * DESIGN. One allocation holds the head and all bytes, each part ended with a NUL that no length
 * counts: free for debuggers, and a string for SQLite. The phases are in the header; this file only
 * makes, shares and frees. The last unref may come from any thread, so the count is atomic, and the
 * drop is release for those who leave and acquire for the one who frees.
 *
 * message_new() must never abort: the payload's size is the peer's choice.
 */
#include "base/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/obj.h"

/* Copy s and a NUL to out; return the byte after it. */
static char *put(char *out, struct slice s)
{
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return out + s.n + 1;
}

struct message *message_new(const struct message_spec *spec)
{
	struct message *m;
	char *p;

	assert(spec->kind <= MESSAGE_EVENT && spec->durability <= DURABILITY_SYNC);
	if (spec->channel.n < 1 || spec->channel.n > UINT8_MAX || spec->type.n > UINT16_MAX ||
	    spec->payload.n > UINT32_MAX)
		return NULL;
	m = malloc(sizeof(*m) + spec->channel.n + spec->type.n + spec->payload.n + 3);
	if (m == NULL)
		return NULL;
	*m = (struct message){
		.magic = MESSAGE_MAGIC,
		.born_us = clock_mono_us(),
		.kind = (uint8_t)spec->kind,
		.durability = (uint8_t)spec->durability,
		.except = spec->except,
		.channel_n = (uint8_t)spec->channel.n,
		.type_n = (uint16_t)spec->type.n,
		.payload_n = (uint32_t)spec->payload.n,
	};
	atomic_init(&m->refs, 1);
	p = put(m->bytes, spec->channel);
	p = put(p, spec->type);
	put(p, spec->payload);
	return m;
}

struct message *message_ref(struct message *m)
{
	CHECK_OBJ(m, MESSAGE_MAGIC);
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

struct message *message_unref(struct message *m)
{
	unsigned before;

	if (m == NULL)
		return NULL;
	CHECK_OBJ(m, MESSAGE_MAGIC);
	before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1) {
		m->magic = 0;
		free(m);
	}
	return NULL;
}

struct slice message_type(const struct message *m)
{
	if (m->type_n > 0)
		return slice_make(m->bytes + m->channel_n + 1, m->type_n);
	switch ((enum message_kind)m->kind) {
	case MESSAGE_JSON:
		return SLICE("application/json");
	case MESSAGE_TEXT:
		return SLICE("text/plain");
	case MESSAGE_BINARY:
	case MESSAGE_EVENT:
		break;
	}
	return SLICE("application/octet-stream");
}

const char *durability_name(enum durability d)
{
	static const char *const names[] = {
		[DURABILITY_EPHEMERAL] = "ephemeral",
		[DURABILITY_MEMORY] = "memory",
		[DURABILITY_COMMIT] = "commit",
		[DURABILITY_SYNC] = "sync",
	};

	assert(d < ARRAY_LEN(names));
	return names[d];
}
