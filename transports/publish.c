/* SPDX-License-Identifier: MIT */
/*
 * publish: POST /v1/publish. One message, or a batch: lines, NDJSON, or a JSON array. The answer is
 * sent when the log has taken it. If the client goes meanwhile the message is published all the
 * same; nobody reads the receipt.
 */
#include "broker/publish.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "transports/encode.h"
#include "transports/params.h"
#include "transports/receipt.h"
#include "transports/transport.h"

/* Each message of a batch counts as at least so many bytes of batch_bytes: empty ones take memory
 * too, and their ids are told. */
#define MESSAGE_COST_MIN 64

enum batch_kind { BATCH_NONE, BATCH_LINES, BATCH_NDJSON, BATCH_ARRAY };

/* The messages of one request, as slices of its body. */
struct split {
	size_t n, room, max;
	struct slice *payloads;
	struct payload_shape *shapes;
};

/* Between posting and the receipt. */
struct pending {
	struct gateway *gateway;
	struct http_exchange *exchange;
	struct append *append;
	bool is_batch;
};

static void split_fini(struct split *s)
{
	free(s->payloads);
	free(s->shapes);
}

static int split_add(struct split *s, struct slice type, struct slice payload, struct fault *fault)
{
	if (s->n == s->max)
		return fault_set(fault, FAULT_TOO_LARGE, "a batch holds at most %zu messages",
				 s->max);
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 1;
		s->payloads = xrealloc(s->payloads, s->room * sizeof(*s->payloads));
		s->shapes = xrealloc(s->shapes, s->room * sizeof(*s->shapes));
	}
	s->payloads[s->n] = payload;
	int rc = payload_shape(type, payload, &s->shapes[s->n], fault);
	s->n++;
	return rc;
}

static int split_lines(struct split *s, struct slice type, struct slice body, bool skip_empty,
		       struct fault *fault)
{
	while (body.n) {
		const char *lf = memchr(body.p, '\n', body.n);
		struct slice line = slice_make(body.p, lf ? (size_t)(lf - body.p) : body.n);

		body = slice_skip(body, line.n + 1);
		if (lf && line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0 && skip_empty)
			continue;
		struct fault why;
		if (split_add(s, type, line, &why) != 0)
			return fault_set(fault, why.id, "message %zu: %.200s", s->n, why.message);
	}
	return 0;
}

static int split_array(struct split *s, struct slice body, struct fault *fault)
{
	struct slice value;
	size_t at, pos = 0;

	if (!json_is_valid(body, &at))
		return fault_set(fault, FAULT_BAD_JSON,
				 "the batch is not valid JSON: byte %zu of %zu is wrong", at,
				 body.n);
	if (json_type_of(body) != JSON_ARRAY)
		return fault_set(fault, FAULT_BAD_JSON, "batch=array: a JSON array is expected");
	while (json_array_next(body, &pos, &value))
		if (split_add(s, SLICE("application/json"), value, fault) != 0)
			return -EINVAL;
	return 0;
}

static int batch_kind(const struct http_request *r, enum batch_kind *ret, struct fault *fault)
{
	struct slice v = http_param_get(r, "batch");
	bool is_ndjson = slice_starts(http_header_get(r, "Content-Type"), "application/x-ndjson");

	if (is_ndjson)
		*ret = BATCH_NDJSON;
	else if (!v.p)
		*ret = BATCH_NONE;
	else if (slice_eq_str(v, "lines"))
		*ret = BATCH_LINES;
	else if (slice_eq_str(v, "array"))
		*ret = BATCH_ARRAY;
	else
		return fault_set(fault, FAULT_BAD_PARAMETER, "batch: lines or array is expected");
	return 0;
}

static int split_body(const struct http_request *r, enum batch_kind kind, struct split *s,
		      struct fault *fault)
{
	struct slice type = http_header_get(r, "Content-Type");
	int rc = 0;

	switch (kind) {
	case BATCH_NONE:
		return split_add(s, type, r->body, fault);
	case BATCH_LINES:
		rc = split_lines(s, type, r->body, false, fault);
		break;
	case BATCH_NDJSON:
		rc = split_lines(s, SLICE("application/json"), r->body, true, fault);
		break;
	case BATCH_ARRAY:
		rc = split_array(s, r->body, fault);
		break;
	}
	if (rc == 0 && s->n == 0)
		rc = fault_set(fault, FAULT_BAD_REQUEST, "the batch holds no message");
	return rc;
}

/* --- the receipt ----------------------------------------------------------------------------- */

static void on_receipt(struct append *a)
{
	struct pending *p = a->owner;

	if (p) {
		struct gateway *g = p->gateway;
		struct buf b = {.cap = SIZE_MAX}; /* the batch was limited */

		histogram_add(g->counters, HISTOGRAM_ACK, clock_mono_us() - a->born_us);
		http_exchange_set(p->exchange, NULL, NULL);
		if (a->error) {
			count_inc(g->counters, COUNTER_PUBLISH_REFUSED);
			http_respond_fault(p->exchange, publish_fault_of(a->error),
					   "Retry-After: 1\r\n", "%s",
					   publish_fault_text(a->error));
		} else {
			buf_add_char(&b, '{');
			receipt_add(&b, g->hub, a, p->is_batch);
			buf_add_char(&b, '}');
			http_respond(p->exchange, 200, "application/json",
				     "Cache-Control: no-store\r\n", buf_slice(&b));
		}
		buf_fini(&b);
		free(p);
	}
	append_free(a);
}

static void on_abort(struct http_exchange *x)
{
	struct pending *p = http_exchange_owner(x);

	p->append->owner = NULL;
	free(p);
}

/* --- the request ----------------------------------------------------------------------------- */

/* What the contract names and this version does not keep is refused, not ignored. */
static int check_supported(const struct http_request *r, struct fault *fault)
{
	if (http_header_get(r, "Idempotency-Key").p)
		return fault_set(fault, FAULT_NOT_SUPPORTED,
				 "Idempotency-Key is not kept by this version; leave it out");
	if (http_param_get(r, "ttl").p)
		return fault_set(fault, FAULT_NOT_SUPPORTED,
				 "ttl is not kept by this version; leave it out");
	return 0;
}

static int parse(const struct http_request *r, struct publish_request *ret,
		 enum batch_kind *ret_kind, struct split *split, struct fault *fault)
{
	int rc = check_supported(r, fault);

	if (rc == 0)
		rc = param_bool(r, "ephemeral", &ret->is_ephemeral, fault);
	if (rc == 0)
		rc = batch_kind(r, ret_kind, fault);
	if (rc)
		return rc;
	ret->channel = http_param_get(r, "channel");
	if (!ret->channel.p)
		return fault_set(fault, FAULT_NO_CHANNEL, "name the channel: ?channel=NAME");
	size_t channels = 0;
	for (size_t i = 0; i < r->param_n; i++)
		channels += slice_eq_str(r->params[i].name, "channel");
	if (channels > 1)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "a publish goes to one channel, %zu were named", channels);
	ret->is_admin = r->is_admin;
	return split_body(r, *ret_kind, split, fault);
}

static void publish_open(struct gateway *g, struct http_exchange *x)
{
	struct publish_request request = {0};
	enum batch_kind kind = BATCH_NONE;
	struct split split = {.max = 1 + g->config->batch_bytes / MESSAGE_COST_MIN};
	struct pending *p = NULL;
	struct fault fault;

	int rc = parse(http_exchange_request(x), &request, &kind, &split, &fault);
	if (rc) {
		count_inc(g->counters, COUNTER_PUBLISH_REFUSED);
	} else {
		request.n = split.n;
		request.payloads = split.payloads;
		request.shapes = split.shapes;
		p = xcalloc(1, sizeof(*p));
		*p = (struct pending){.gateway = g, .exchange = x, .is_batch = kind != BATCH_NONE};
		p->append = publish_post(g->hub, &request, on_receipt, p, &fault);
		rc = p->append ? 0 : -EINVAL;
	}
	if (rc == 0) {
		http_exchange_set(x, p, on_abort);
	} else {
		free(p);
		http_respond_fault(x, fault.id,
				   fault_status(fault.id) == 503 ? "Retry-After: 1\r\n" : "", "%s",
				   fault.message);
	}
	split_fini(&split);
}

static bool publish_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/publish");
}

const struct transport_ops publish_transport = {
	.name = "publish", .methods = METHODS_POST, .match = publish_match, .open = publish_open};
