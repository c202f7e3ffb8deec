/* SPDX-License-Identifier: MIT */
/*
 * publish: POST /v1/publish. One message, or a batch: lines, NDJSON, a JSON array, or messages for
 * several channels. The answer is sent when the log has taken it. If the client goes meanwhile the
 * message is published all the same; nobody reads the receipt.
 */
#include "broker/publish.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "transports/publication.h"
#include "transports/receipt.h"
#include "transports/transport.h"

/* Each message of a batch counts as at least so many bytes of batch_bytes: empty ones take memory
 * too, and their ids are told. */
#define MESSAGE_COST_MIN 64

#define RECEIPT_USUAL 512 /* receipts up to here are made without an allocation */

enum batch_kind { BATCH_NONE, BATCH_LINES, BATCH_NDJSON, BATCH_ARRAY, BATCH_MESSAGES };

/* Between posting and the receipt. */
struct pending {
	struct gateway *gateway;
	struct http_exchange *exchange;
	struct append *append;
	enum receipt_kind kind;
};

static int split_lines(struct publication *p, struct slice type, struct slice body, bool skip_empty,
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
		if (publication_add(p, type, line, &why) != 0)
			return fault_set(fault, why.id, "message %zu: %.200s", p->n + 1,
					 why.message);
	}
	return 0;
}

static int split_array(struct publication *p, struct slice body, bool is_scattered,
		       struct fault *fault)
{
	struct slice value;
	size_t at, pos = 0;

	if (!json_is_valid(body, &at))
		return fault_set(fault, FAULT_BAD_JSON,
				 "the batch is not valid JSON: byte %zu of %zu is wrong", at,
				 body.n);
	if (json_type_of(body) != JSON_ARRAY)
		return fault_set(fault, FAULT_BAD_JSON, "a JSON array is expected");
	if (is_scattered)
		return publication_add_array(p, body, fault);
	while (json_array_next(body, &pos, &value))
		if (publication_add(p, SLICE("application/json"), value, fault) != 0)
			return -EINVAL;
	return 0;
}

static int batch_kind(const struct http_request *r, enum batch_kind *ret, struct fault *fault)
{
	struct slice v = http_param_get(r, "batch");
	bool is_ndjson = slice_starts(http_header_get(r, "Content-Type"), "application/x-ndjson");

	if (slice_eq_str(v, "messages"))
		*ret = BATCH_MESSAGES;
	else if (is_ndjson)
		*ret = BATCH_NDJSON;
	else if (!v.p)
		*ret = BATCH_NONE;
	else if (slice_eq_str(v, "lines"))
		*ret = BATCH_LINES;
	else if (slice_eq_str(v, "array"))
		*ret = BATCH_ARRAY;
	else
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "batch: lines, array or messages is expected");
	return 0;
}

static int split_body(const struct http_request *r, enum batch_kind kind, struct publication *p,
		      struct fault *fault)
{
	struct slice type = http_header_get(r, "Content-Type");
	int rc = 0;

	p->is_batch = kind != BATCH_NONE;
	switch (kind) {
	case BATCH_NONE:
		return publication_add(p, type, r->body, fault);
	case BATCH_LINES:
		rc = split_lines(p, type, r->body, false, fault);
		break;
	case BATCH_NDJSON:
		rc = split_lines(p, SLICE("application/json"), r->body, true, fault);
		break;
	case BATCH_ARRAY:
	case BATCH_MESSAGES:
		rc = split_array(p, r->body, kind == BATCH_MESSAGES, fault);
		break;
	}
	if (rc == 0 && p->n == 0)
		rc = fault_set(fault, FAULT_BAD_REQUEST, "the batch holds no message");
	return rc;
}

/* --- the receipt ----------------------------------------------------------------------------- */

static void respond(struct pending *p, struct append *a)
{
	static _Thread_local char usual[RECEIPT_USUAL];
	struct gateway *g = p->gateway;
	enum fault_id refusal = publish_fault_of(a);
	struct buf b;

	buf_init_lent(&b, SIZE_MAX, usual, sizeof(usual)); /* the batch was limited */
	if (refusal == FAULT_NONE) {
		buf_add_char(&b, '{');
		receipt_add(&b, g->hub, a, p->kind);
		buf_add_char(&b, '}');
		http_respond(p->exchange, 200, "application/json", "Cache-Control: no-store\r\n",
			     buf_slice(&b));
	} else {
		count_inc(g->counters, COUNTER_PUBLISH_REFUSED);
		buf_add_str(&b, "{\"error\":{");
		receipt_add_error(&b, g->hub, a);
		buf_add_str(&b, "}}\n");
		http_respond(p->exchange, fault_status(refusal), "application/json",
			     fault_status(refusal) == 503
				     ? "Cache-Control: no-store\r\nRetry-After: 1\r\n"
				     : "Cache-Control: no-store\r\n",
			     buf_slice(&b));
	}
	buf_fini(&b);
}

static void on_receipt(struct append *a)
{
	struct pending *p = a->owner;

	if (p) {
		histogram_add(p->gateway->counters, HISTOGRAM_ACK, clock_mono_us() - a->born_us);
		http_exchange_set(p->exchange, NULL, NULL);
		respond(p, a);
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

static int parse_channel(const struct http_request *r, bool is_scattered, struct slice *ret,
			 struct fault *fault)
{
	size_t channels = 0;

	for (size_t i = 0; i < r->param_n; i++)
		channels += slice_eq_str(r->params[i].name, "channel");
	if (channels > 0 && is_scattered)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "batch=messages: each message names its channel, the URL none");
	if (channels > 1)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "a publish goes to one channel, %zu were named", channels);
	if (channels == 0 && !is_scattered)
		return fault_set(fault, FAULT_NO_CHANNEL, "name the channel: ?channel=NAME");
	*ret = http_param_get(r, "channel");
	return 0;
}

static int parse(const struct http_request *r, struct publication *p, struct fault *fault)
{
	enum batch_kind kind = BATCH_NONE;

	int rc = publication_read_request(p, r, fault);
	if (rc == 0)
		rc = batch_kind(r, &kind, fault);
	if (rc == 0)
		rc = parse_channel(r, kind == BATCH_MESSAGES, &p->request.channel, fault);
	if (rc == 0)
		rc = split_body(r, kind, p, fault);
	publication_finish(p);
	return rc;
}

static void publish_open(struct gateway *g, struct http_exchange *x)
{
	struct publication publication = {.max = 1 + g->config->batch_bytes / MESSAGE_COST_MIN};
	struct pending *p = NULL;
	struct fault fault;

	int rc = parse(http_exchange_request(x), &publication, &fault);
	if (rc) {
		count_inc(g->counters, COUNTER_PUBLISH_REFUSED);
	} else {
		p = xcalloc(1, sizeof(*p));
		*p = (struct pending){.gateway = g, .exchange = x};
		p->kind = publication.is_scattered ? RECEIPT_SCATTERED
			  : publication.is_batch   ? RECEIPT_BATCH
						   : RECEIPT_ONE;
		p->append = publish_post(g->hub, &publication.request, on_receipt, p, &fault);
		rc = p->append ? 0 : -EINVAL;
	}
	if (rc == 0) {
		http_exchange_set(x, p, on_abort);
	} else {
		free(p);
		p = NULL;
		http_respond_fault(x, fault.id,
				   fault_status(fault.id) == 503 ? "Retry-After: 1\r\n" : "", "%s",
				   fault.message);
	}
	publication_fini(&publication);
	if (p)
		http_exchange_forget(x); /* many may be under way */
}

static bool publish_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/publish");
}

const struct transport_ops publish_transport = {
	.name = "publish", .methods = METHODS_POST, .match = publish_match, .open = publish_open};
