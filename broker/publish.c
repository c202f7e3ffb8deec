/* SPDX-License-Identifier: MIT */
/*
 * publish: the gate on the way into the log. DESIGN: everything that can be refused is refused
 * here, before a letter is posted; what comes back later is a receipt or a fault of the store.
 */
#include "broker/publish.h"

#include <errno.h>

#include "base/json.h"
#include "base/utf8.h"

#define TYPE_MAX   255
#define KEY_MAX    255
#define TTL_MAX_MS (UINT64_C(36500) * 86400 * 1000)

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

/* --- terms ----------------------------------------------------------------------------------- */

static int check_names(const struct publish_request *r, struct fault *fault)
{
	if (r->key.p && (r->key.n < 1 || r->key.n > KEY_MAX))
		return fault_set(fault, FAULT_BAD_PARAMETER, "a key has 1 to %d bytes", KEY_MAX);
	if (!r->producer.p != !r->producer_seq)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "a producer and its number (1 or more) belong together");
	if (!r->producer.p)
		return 0;
	if (r->producer.n < 1 || r->producer.n > KEY_MAX)
		return fault_set(fault, FAULT_BAD_PARAMETER, "a producer's name has 1 to %d bytes",
				 KEY_MAX);
	for (size_t i = 0; i < r->producer.n; i++)
		if ((unsigned char)r->producer.p[i] < 0x20 ||
		    (unsigned char)r->producer.p[i] > 0x7e)
			return fault_set(fault, FAULT_BAD_PARAMETER,
					 "a producer's name is printable ASCII");
	if (r->key.p)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "a key or a producer, not both: each says when a publish is a "
				 "repetition");
	return 0;
}

static int check_terms(const struct publish_request *r, struct fault *fault)
{
	bool is_kept = r->key.p || r->producer.p || r->producer_seq || r->expect.p || r->has_ttl;

	if (r->is_ephemeral && is_kept)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "an ephemeral message is not stored: it takes no key, producer, "
				 "expect or ttl");
	if (r->expect.p && r->channels)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "expect is about one channel, this is a batch over several");
	if (r->has_ttl && (r->ttl_ms == 0 || r->ttl_ms > TTL_MAX_MS))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "ttl: more than 0 seconds and at most 100 years");
	return check_names(r, fault);
}

/* What the log thread is to look at; false when there is nothing. */
static int terms_make(const struct hub *h, const struct publish_request *r,
		      struct append_terms *ret, bool *ret_any, struct fault *fault)
{
	*ret = (struct append_terms){
		.key = r->key,
		.producer = r->producer,
		.producer_seq = r->producer_seq,
		.ttl_ms = r->ttl_ms,
		.is_scattered = r->channels != NULL,
	};
	*ret_any = r->key.p || r->producer.p || r->expect.p || r->has_ttl;
	if (!r->expect.p)
		return 0;
	if (slice_eq_str(r->expect, "none")) {
		ret->expect = EXPECT_NOTHING;
		return 0;
	}
	ret->expect = EXPECT_HEAD;
	switch (id_parse(r->expect, &h->epoch, &ret->expect_seq)) {
	case ID_VALID:
		/* 0 is nobody's number, and no channel's head is the number after all */
		if (ret->expect_seq != 0)
			return 0;
		/* fall through */
	case ID_FOREIGN_EPOCH:
		ret->expect_seq = UINT64_MAX;
		return 0;
	case ID_MALFORMED:
		break;
	}
	return fault_set(fault, FAULT_BAD_PARAMETER, "expect: an id, or none");
}

/* --- messages -------------------------------------------------------------------------------- */

static struct slice channel_of(const struct publish_request *r, size_t i)
{
	return r->channels ? r->channels[i] : r->channel;
}

static int check_channel(const struct hub *h, const struct publish_request *r, struct slice channel,
			 struct fault *fault)
{
	const char *wrong = channel_name_problem(channel);

	if (wrong)
		return fault_set(fault, FAULT_BAD_CHANNEL, "channel name: %s", wrong);
	if (!r->is_admin && namespace_find(h->namespaces, channel)->publish != ACCESS_ANYONE)
		return fault_set(fault, FAULT_FORBIDDEN,
				 "publishing to %.*s is not open to everyone here",
				 SLICE_ARG(channel));
	return 0;
}

static int check(const struct hub *h, const struct publish_request *r, struct fault *fault)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < (r->channels ? r->n : 1); i++)
		rc = check_channel(h, r, channel_of(r, i), fault);
	if (rc)
		return rc;
	for (size_t i = 0; i < r->n; i++)
		if (r->payloads[i].n > h->limits.message_bytes)
			return fault_set(fault, FAULT_TOO_LARGE,
					 "message of %zu bytes; at most %zu are taken "
					 "(limits.message_bytes)",
					 r->payloads[i].n, h->limits.message_bytes);
	return check_terms(r, fault);
}

static struct append *draft(const struct hub *h, const struct publish_request *r)
{
	struct append *a = append_new(r->n);

	for (size_t i = 0; i < r->n; i++) {
		struct slice channel = channel_of(r, i);
		struct message_spec spec = {
			.channel = channel,
			.type = r->shapes[i].type,
			.payload = r->payloads[i],
			.kind = r->shapes[i].kind,
			.durability = r->is_ephemeral
					      ? DURABILITY_EPHEMERAL
					      : namespace_find(h->namespaces, channel)->durability,
			.except = r->except,
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
	struct append_terms terms;
	bool has_terms;

	assert(r->n >= 1);
	if (check(h, r, fault) != 0 || terms_make(h, r, &terms, &has_terms, fault) != 0)
		goto refused;
	struct append *a = draft(h, r);
	if (!a) {
		fault_set(fault, FAULT_OVERLOADED, "no memory for this message now; try again");
		goto refused;
	}
	if (has_terms)
		append_set_terms(a, &terms);
	a->reply_to = h->mailbox;
	a->done = done;
	a->owner = owner;
	a->born_us = a->messages[0]->born_us;
	int rc = outbox_put(&h->outbox, a);
	if (rc == 0)
		return a;
	a->error = rc;
	if (rc == -EAGAIN)
		fault_set(fault, FAULT_OVERLOADED, "the publish queue is full; try again");
	else
		fault_set(fault, publish_fault_of(a), "%s", publish_fault_text(a));
	append_free(a);
refused:
	count_inc(h->counters, COUNTER_PUBLISH_REFUSED);
	return NULL;
}

enum fault_id publish_fault_of(const struct append *a)
{
	if (a->error != 0)
		return a->error == -ENOMEM || a->error == -EAGAIN ? FAULT_OVERLOADED
								  : FAULT_STORE_UNAVAILABLE;
	switch (a->outcome) {
	case APPEND_STORED:
	case APPEND_DUPLICATE:
		break;
	case APPEND_PRODUCER_GAP:
		return FAULT_PRODUCER_GAP;
	case APPEND_CONFLICT:
		return FAULT_CONFLICT;
	}
	return FAULT_NONE;
}

static const char *outcome_text(const struct append *a)
{
	if (a->outcome == APPEND_PRODUCER_GAP)
		return "a number of this producer was left out; nothing was published";
	return "the channel's newest message is another one; nothing was published";
}

const char *publish_fault_text(const struct append *a)
{
	switch (a->error) {
	case 0:
		return outcome_text(a);
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
