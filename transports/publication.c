/* SPDX-License-Identifier: MIT */
/*
 * publication: the messages of a publish. DESIGN: payloads that stand in the request as they are to
 * be stored are slices of it; base64 and JSON strings are decoded into memory of their own, which
 * lives until the publication is posted (the draft copies everything). Terms are read in
 * publication_terms.c.
 */
#include "transports/publication.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "transports/publication_terms.h"

#define WORD_MAX 4096

void publication_fini(struct publication *p)
{
	for (size_t i = 0; i < p->owned_n; i++)
		free(p->owned[i]);
	free(p->owned);
	if (p->room > 1) {
		free(p->payloads);
		free(p->channels);
		free(p->shapes);
	}
	*p = (struct publication){0};
}

struct slice publication_own(struct publication *p, struct buf *b)
{
	struct slice s = buf_slice(b);

	if (b->p == NULL)
		return s;
	if (p->owned_n == p->owned_room) {
		p->owned_room = p->owned_room ? p->owned_room * 2 : 4;
		p->owned = xrealloc(p->owned, p->owned_room * sizeof(char *));
	}
	p->owned[p->owned_n++] = b->p;
	*b = (struct buf){.cap = b->cap};
	return s;
}

/* Twice as much room; the first is in the publication itself. */
static void *grown(void *old, size_t room, size_t size)
{
	void *p = xrealloc(room > 1 ? old : NULL, 2 * room * size);

	if (room == 1)
		memcpy(p, old, size);
	return p;
}

static void make_room(struct publication *p)
{
	if (p->room == 0) {
		p->payloads = &p->one_payload;
		p->channels = &p->one_channel;
		p->shapes = &p->one_shape;
		p->room = 1;
		return;
	}
	p->payloads = grown(p->payloads, p->room, sizeof(*p->payloads));
	p->channels = grown(p->channels, p->room, sizeof(*p->channels));
	p->shapes = grown(p->shapes, p->room, sizeof(*p->shapes));
	p->room *= 2;
}

static int add(struct publication *p, struct slice channel, struct slice payload,
	       const struct payload_shape *shape, struct fault *fault)
{
	if (p->max && p->n == p->max)
		return fault_set(fault, FAULT_TOO_LARGE, "a batch holds at most %zu messages",
				 p->max);
	if (p->n == p->room)
		make_room(p);
	p->channels[p->n] = channel;
	p->payloads[p->n] = payload;
	p->shapes[p->n++] = *shape;
	return 0;
}

int publication_add(struct publication *p, struct slice type, struct slice payload,
		    struct fault *fault)
{
	struct payload_shape shape;
	int rc = payload_shape(type, payload, &shape, fault);

	return rc ? rc : add(p, slice_str(""), payload, &shape, fault);
}

void publication_finish(struct publication *p)
{
	p->request.n = p->n;
	p->request.payloads = p->payloads;
	p->request.shapes = p->shapes;
	p->request.channels = p->is_scattered ? p->channels : NULL;
}

/* --- messages as JSON ------------------------------------------------------------------------ */

int publication_string(struct publication *p, struct slice object, const char *name,
		       struct slice *ret, struct fault *fault)
{
	struct buf text = {.cap = WORD_MAX};
	struct slice v;

	*ret = (struct slice){0};
	if (!json_object_get(object, name, &v) || json_type_of(v) == JSON_NULL)
		return 0;
	if (json_type_of(v) != JSON_STRING || json_unescape(v, &text) != 0) {
		buf_fini(&text);
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"%s\" must be a string", name);
	}
	*ret = publication_own(p, &text);
	return 0;
}

static int add_base64(struct publication *p, struct slice data, struct slice *ret,
		      struct fault *fault)
{
	struct buf text = {0}, bytes = {0};
	size_t n = 0;
	int rc = 0;

	if (json_type_of(data) != JSON_STRING || json_unescape(data, &text) != 0 ||
	    buf_reserve(&bytes, text.n + 1) != 0 ||
	    sodium_base642bin((unsigned char *)bytes.p, text.n + 1, text.p ? text.p : "", text.n,
			      NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		rc = fault_set(fault, FAULT_BAD_PARAMETER, "\"data\" must be a base64 string");
	buf_fini(&text);
	bytes.n = n;
	if (rc == 0)
		*ret = publication_own(p, &bytes);
	else
		buf_fini(&bytes);
	return rc;
}

/* A string of a named type is that text; other values are their JSON. */
static int add_typed(struct publication *p, struct slice type, struct slice data, struct slice *ret,
		     struct fault *fault)
{
	struct buf bytes = {0};

	*ret = data;
	if (json_type_of(data) != JSON_STRING || slice_starts(type, "application/json"))
		return 0;
	if (json_unescape(data, &bytes) != 0) {
		buf_fini(&bytes);
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"data\" holds a lone surrogate");
	}
	*ret = publication_own(p, &bytes);
	return 0;
}

int publication_add_object(struct publication *p, struct slice object, struct fault *fault)
{
	struct payload_shape shape = {.kind = MESSAGE_JSON};
	struct slice data, type, encoding, channel = slice_str(""), payload;

	if (!json_object_get(object, "data", &data))
		return fault_set(fault, FAULT_BAD_REQUEST, "a publish needs \"data\"");
	int rc = publication_string(p, object, "encoding", &encoding, fault);
	if (rc == 0)
		rc = publication_string(p, object, "content_type", &type, fault);
	if (rc == 0 && p->is_scattered)
		rc = publication_string(p, object, "channel", &channel, fault);
	if (rc)
		return rc;
	if (p->is_scattered && !channel.p)
		return fault_set(fault, FAULT_NO_CHANNEL,
				 "each message names its channel: \"channel\":\"NAME\"");
	if (encoding.p && !slice_eq_str(encoding, "base64"))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "\"encoding\" must be \"base64\" or absent");
	if (encoding.p)
		rc = add_base64(p, data, &payload, fault);
	else
		rc = add_typed(p, type.p ? type : SLICE("application/json"), data, &payload, fault);
	if (rc == 0 && (encoding.p || type.p))
		rc = payload_shape(type.p ? type : SLICE("application/octet-stream"), payload,
				   &shape, fault);
	return rc ? rc : add(p, channel, payload, &shape, fault);
}

int publication_add_array(struct publication *p, struct slice array, struct fault *fault)
{
	struct slice object;
	size_t pos = 0;

	p->is_batch = p->is_scattered = true;
	if (json_type_of(array) != JSON_ARRAY)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "messages: an array of objects is expected");
	while (json_array_next(array, &pos, &object)) {
		struct fault why = {.id = FAULT_BAD_PARAMETER, .message = "an object is expected"};
		if (json_type_of(object) != JSON_OBJECT ||
		    publication_add_object(p, object, &why) != 0)
			return fault_set(fault, why.id, "message %zu: %.200s", p->n + 1,
					 why.message);
	}
	if (p->n == 0)
		return fault_set(fault, FAULT_BAD_REQUEST, "the batch holds no message");
	return 0;
}
