/* SPDX-License-Identifier: MIT */
/*
 * publish: the gate on the way into the log. DESIGN: everything that can be refused is refused
 * here, before a letter is posted; what comes back later is a receipt or a fault of the store.
 */
#include "broker/publish.h"

#include <errno.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#define TYPE_MAX 255

/* The media type without parameters and white space around it. */
static struct slice essence(struct slice type)
{
	const char *end = memchr(type.p, ';', type.n);

	if (end)
		type.n = (size_t)(end - type.p);
	while (type.n && (type.p[type.n - 1] == ' ' || type.p[type.n - 1] == '\t'))
		type.n--;
	while (type.n && (type.p[0] == ' ' || type.p[0] == '\t'))
		type = slice_skip(type, 1);
	return type;
}

static bool is_json_type(struct slice e)
{
	static const char suffix[] = "+json";
	size_t n = sizeof(suffix) - 1;

	return slice_eq_nocase(e, "application/json") ||
	       (e.n > n && slice_eq_nocase(slice_make(e.p + e.n - n, n), suffix));
}

static bool is_text_type(struct slice e)
{
	static const char prefix[] = "text/";
	size_t n = sizeof(prefix) - 1;

	return e.n >= n && slice_eq_nocase(slice_make(e.p, n), prefix);
}

/* Nobody said what it is: an object or array is taken for JSON, so that plain curl does the
 * expected thing; numbers and bare words are text, so that lines of text do not change their kind.
 */
static enum message_kind sniff(struct slice payload)
{
	struct slice t = json_trim(payload);

	if (t.n && (t.p[0] == '{' || t.p[0] == '[') && json_is_valid(payload, NULL))
		return MESSAGE_JSON;
	return utf8_is_valid(payload.p, payload.n) ? MESSAGE_TEXT : MESSAGE_BINARY;
}

static int check_type(struct slice type, struct fault *fault)
{
	if (type.n > TYPE_MAX)
		return fault_set(fault, FAULT_BAD_PARAMETER, "content type longer than %d bytes",
				 TYPE_MAX);
	for (size_t i = 0; i < type.n; i++)
		if ((unsigned char)type.p[i] < 0x20 || (unsigned char)type.p[i] > 0x7e)
			return fault_set(fault, FAULT_BAD_PARAMETER,
					 "content type with a byte that is not printable ASCII");
	return 0;
}

int payload_shape(struct slice content_type, struct slice payload, struct payload_shape *ret,
		  struct fault *fault)
{
	struct slice type = content_type.p ? content_type : slice_str("");
	struct slice e = essence(type);
	size_t at;

	int rc = check_type(type, fault);
	if (rc)
		return rc;
	if (e.n == 0 || slice_eq_nocase(e, "application/x-www-form-urlencoded")) {
		*ret = (struct payload_shape){.kind = sniff(payload)};
	} else if (is_json_type(e)) {
		if (!json_is_valid(payload, &at))
			return fault_set(fault, FAULT_BAD_JSON,
					 "the payload is not valid JSON: byte %zu of %zu is wrong",
					 at, payload.n);
		*ret = (struct payload_shape){.kind = MESSAGE_JSON};
		if (!slice_eq_nocase(e, "application/json"))
			ret->type = type;
	} else if (is_text_type(e) && utf8_is_valid(payload.p, payload.n)) {
		*ret = (struct payload_shape){.kind = MESSAGE_TEXT};
		if (!slice_eq_nocase(e, "text/plain"))
			ret->type = type;
	} else {
		*ret = (struct payload_shape){.kind = MESSAGE_BINARY};
		if (!slice_eq_nocase(type, "application/octet-stream") &&
		    !slice_eq_nocase(type, "text/plain"))
			ret->type = type;
	}
	return 0;
}

static int check(const struct hub *h, const struct publish_request *r, const struct namespace *ns,
		 struct fault *fault)
{
	const char *wrong = channel_name_problem(r->channel);

	if (wrong)
		return fault_set(fault, FAULT_BAD_CHANNEL, "channel name: %s", wrong);
	if (!r->is_admin && ns->publish != ACCESS_ANYONE)
		return fault_set(fault, FAULT_FORBIDDEN,
				 "publishing to %.*s is not open to everyone here",
				 SLICE_ARG(r->channel));
	for (size_t i = 0; i < r->n; i++)
		if (r->payloads[i].n > h->limits.message_bytes)
			return fault_set(fault, FAULT_TOO_LARGE,
					 "message of %zu bytes; at most %zu are taken "
					 "(limits.message_bytes)",
					 r->payloads[i].n, h->limits.message_bytes);
	return 0;
}

static struct append *draft(const struct publish_request *r, enum durability d)
{
	struct append *a = append_new(r->n);

	for (size_t i = 0; i < r->n; i++) {
		struct message_spec spec = {
			.channel = r->channel,
			.type = r->shapes[i].type,
			.payload = r->payloads[i],
			.kind = r->shapes[i].kind,
			.durability = d,
		};
		a->messages[i] = message_new(&spec);
		if (!a->messages[i]) {
			append_free(a);
			return NULL;
		}
	}
	return a;
}

struct append *publish_post(struct hub *h, const struct publish_request *r,
			    void (*done)(struct append *), void *owner, struct fault *fault)
{
	assert(r->n >= 1);
	if (check(h, r, namespace_find(h->namespaces, r->channel), fault) != 0)
		goto refused;
	enum durability d = r->is_ephemeral ? DURABILITY_EPHEMERAL
					    : namespace_find(h->namespaces, r->channel)->durability;
	struct append *a = draft(r, d);
	if (!a) {
		fault_set(fault, FAULT_OVERLOADED, "no memory for this message now; try again");
		goto refused;
	}
	a->reply_to = h->mailbox;
	a->done = done;
	a->owner = owner;
	a->born_us = clock_mono_us();
	int rc = history_append(h->history, a);
	if (rc == 0)
		return a;
	append_free(a);
	if (rc == -EAGAIN)
		fault_set(fault, FAULT_OVERLOADED, "the publish queue is full; try again");
	else
		fault_set(fault, publish_fault_of(rc), "%s", publish_fault_text(rc));
refused:
	count_inc(h->counters, COUNTER_PUBLISH_REFUSED);
	return NULL;
}

enum fault_id publish_fault_of(int error)
{
	return error == -ENOMEM || error == -EAGAIN ? FAULT_OVERLOADED : FAULT_STORE_UNAVAILABLE;
}

const char *publish_fault_text(int error)
{
	switch (error) {
	case -ENOSPC:
		return "the disk of the message store is full; nothing was published";
	case -EBUSY:
		return "the message store is locked by another program; nothing was published";
	case -EUCLEAN:
		return "the message store is damaged; nothing was published";
	case -ENOMEM:
	case -EAGAIN:
		return "the server is out of memory; nothing was published, try again";
	default:
		return "the message store can not be written; nothing was published";
	}
}
