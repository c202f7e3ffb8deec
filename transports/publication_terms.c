/* SPDX-License-Identifier: MIT */
/*
 * publication_terms: what a publish asks for besides being stored. DESIGN: this file only knows how
 * each term is written in a request and in a frame; what is allowed, and together with what, is
 * said once, in broker/publish.c.
 */
#include "transports/publication_terms.h"

#include "base/json.h"
#include "base/session_id.h"
#include "transports/params.h"

/* Seconds with an optional fraction, as milliseconds; "1e3" is no such number. */
static int read_ttl(struct publication *p, struct slice text, struct fault *fault)
{
	p->request.has_ttl = true;
	if (seconds_parse(text, &p->request.ttl_ms) != 0)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "ttl: seconds are expected, such as 60 or 0.5");
	return 0;
}

/* --- HTTP ------------------------------------------------------------------------------------ */

/* The id that hello gave, or the name that others see. */
static int read_session(struct slice text, uint64_t *ret, struct fault *fault)
{
	struct session_id id;

	if (!session_id_parse(text, &id) && !session_name_parse(text, &id))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "exclude: the session of hello is expected, or its name");
	*ret = session_name_value(&id);
	return 0;
}

static int read_producer(struct publication *p, const struct http_request *r, struct fault *fault)
{
	struct slice seq = http_header_get(r, "Producer-Seq");

	p->request.producer = http_header_get(r, "Producer-Id");
	if (seq.p && (!json_get_u64(seq, &p->request.producer_seq) || p->request.producer_seq == 0))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "Producer-Seq: a whole number from 1 on is expected");
	return 0;
}

int publication_read_request(struct publication *p, const struct http_request *r,
			     struct fault *fault)
{
	struct slice ttl = http_param_get(r, "ttl"), exclude = http_param_get(r, "exclude");

	p->request.is_admin = r->is_admin;
	p->request.key = http_header_get(r, "Idempotency-Key");
	p->request.expect = http_param_get(r, "expect");
	int rc = param_bool(r, "ephemeral", &p->request.is_ephemeral, fault);
	if (rc == 0)
		rc = read_producer(p, r, fault);
	if (rc == 0 && ttl.p)
		rc = read_ttl(p, ttl, fault);
	if (rc == 0 && exclude.p)
		rc = read_session(exclude, &p->request.except, fault);
	return rc;
}

/* --- WebSocket ------------------------------------------------------------------------------- */

static int get_flag(struct slice frame, const char *name, bool *ret, struct fault *fault)
{
	struct slice v;

	if (!json_object_get(frame, name, &v))
		return 0;
	if (json_type_of(v) != JSON_BOOL)
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"%s\" must be true or false", name);
	*ret = slice_eq_str(v, "true");
	return 0;
}

static int get_numbers(struct publication *p, struct slice frame, struct fault *fault)
{
	struct slice v;

	if (json_object_get(frame, "producer_seq", &v) && json_type_of(v) != JSON_NULL &&
	    (!json_get_u64(v, &p->request.producer_seq) || p->request.producer_seq == 0))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "\"producer_seq\" must be a whole number from 1 on");
	if (json_object_get(frame, "ttl", &v) && json_type_of(v) != JSON_NULL)
		return read_ttl(p, v, fault);
	return 0;
}

int publication_read_frame(struct publication *p, struct slice frame, uint64_t session,
			   struct fault *fault)
{
	bool is_excluded = false;

	int rc = publication_string(p, frame, "key", &p->request.key, fault);
	if (rc == 0)
		rc = publication_string(p, frame, "producer", &p->request.producer, fault);
	if (rc == 0)
		rc = publication_string(p, frame, "expect", &p->request.expect, fault);
	if (rc == 0)
		rc = get_flag(frame, "ephemeral", &p->request.is_ephemeral, fault);
	if (rc == 0)
		rc = get_flag(frame, "exclude", &is_excluded, fault);
	if (rc == 0)
		rc = get_numbers(p, frame, fault);
	if (is_excluded)
		p->request.except = session;
	return rc;
}
