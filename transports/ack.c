/* SPDX-License-Identifier: MIT */
/*
 * ack: POST /v1/ack: acknowledgements of one durable subscriber. Answered when the log has kept
 * them; if the client goes meanwhile they are kept all the same.
 */
#include "transports/ack.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "transports/encode.h"
#include "transports/transport.h"

#define NAME_CAP 1024 /* longer than any name that will do */

/* --- shared with WebSocket ------------------------------------------------------------------- */

struct ack_letter *ack_post(struct hub *h, struct slice subscriber,
			    const struct ack_item_request *items, size_t n, bool is_admin,
			    void (*done)(struct ack_letter *), void *owner, struct fault *fault)
{
	uint64_t *seqs = xcalloc(n, sizeof(*seqs));
	struct ack_letter *l = NULL;

	for (size_t i = 0; i < n; i++) {
		if (durable_check_ack(h, subscriber, items[i].channel, items[i].id, is_admin,
				      &seqs[i], fault) != 0) {
			free(seqs);
			return NULL;
		}
	}
	l = ack_letter_new(subscriber, n);
	for (size_t i = 0; i < n; i++)
		ack_letter_set(l, i, items[i].channel, seqs[i], seqs[i]);
	free(seqs);
	l->reply_to = h->mailbox;
	l->done = done;
	l->owner = owner;
	if (history_ack(h->history, l) == 0)
		return l;
	ack_letter_free(l);
	fault_set(fault, FAULT_OVERLOADED, "too much waits for the log; try again");
	return NULL;
}

void ack_add_answer(struct buf *out, const struct epoch *e, const struct ack_letter *l,
		    bool as_list)
{
	buf_add_str(out, "\"subscriber\":");
	json_add_string(out, ack_letter_subscriber(l));
	buf_add_str(out, as_list ? ",\"acks\":[" : ",");
	for (size_t i = 0; i < l->n; i++) {
		buf_add_str(out, !as_list ? "" : i ? ",{" : "{");
		buf_add_str(out, "\"channel\":");
		json_add_string(out, ack_item_channel(&l->items[i]));
		buf_add_str(out, ",\"id\":");
		json_add_id(out, e, l->items[i].kept);
		buf_add_str(out, as_list ? "}" : "");
	}
	buf_add_str(out, as_list ? "]" : "");
}

/* --- the request ----------------------------------------------------------------------------- */

/* Between posting and the answer. */
struct pending {
	struct gateway *gateway;
	struct http_exchange *exchange;
	struct ack_letter *letter;
	bool as_list;
};

/* What a body says; the slices point into text. */
struct body {
	struct buf text;
	struct slice subscriber;
	struct ack_item_request *items;
	size_t n;
	bool as_list;
};

static void body_fini(struct body *b)
{
	buf_fini(&b->text);
	free(b->items);
}

/* A string member, unescaped to the end of text (which has room for it: it never moves). */
static int get_string(struct slice object, const char *name, struct buf *text, struct slice *ret,
		      struct fault *fault)
{
	size_t from = text->n;
	struct slice v;

	if (!json_object_get(object, name, &v) || json_type_of(v) != JSON_STRING ||
	    v.n > NAME_CAP || json_unescape(v, text) != 0)
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"%s\": a string is needed", name);
	*ret = slice_skip(buf_slice(text), from);
	return 0;
}

static int get_item(struct body *b, struct slice object, struct fault *fault)
{
	struct ack_item_request *item = &b->items[b->n++];
	int rc = get_string(object, "channel", &b->text, &item->channel, fault);

	return rc ? rc : get_string(object, "id", &b->text, &item->id, fault);
}

static int get_list(struct body *b, struct slice list, size_t max, struct fault *fault)
{
	struct slice each;
	size_t pos = 0;
	int rc = 0;

	while (rc == 0 && json_array_next(list, &pos, &each)) {
		if (b->n == max)
			return fault_set(fault, FAULT_TOO_MANY_CHANNELS,
					 "at most %zu acknowledgements at once", max);
		if (json_type_of(each) != JSON_OBJECT)
			return fault_set(fault, FAULT_BAD_PARAMETER,
					 "\"acks\": objects with channel and id are needed");
		rc = get_item(b, each, fault);
	}
	if (rc == 0 && b->n == 0)
		rc = fault_set(fault, FAULT_BAD_PARAMETER, "\"acks\" holds nothing");
	return rc;
}

static int parse(struct slice json, size_t max, struct body *b, struct fault *fault)
{
	struct slice list;
	size_t at;

	*b = (struct body){.items = xcalloc(max, sizeof(*b->items))};
	if (!json_is_valid(json, &at) || json_type_of(json) != JSON_OBJECT)
		return fault_set(fault, FAULT_BAD_JSON, "the body must be a JSON object");
	/* unescaped text is never longer: the slices stay good */
	if (buf_reserve(&b->text, json.n + 1) != 0)
		return fault_set(fault, FAULT_TOO_LARGE, "the body is too large");
	int rc = get_string(json, "subscriber", &b->text, &b->subscriber, fault);
	if (rc)
		return rc;
	b->as_list = json_object_get(json, "acks", &list);
	if (!b->as_list)
		return get_item(b, json, fault);
	if (json_type_of(list) != JSON_ARRAY)
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"acks\" must be an array");
	return get_list(b, list, max, fault);
}

static void on_kept(struct ack_letter *l)
{
	struct pending *p = l->owner;
	struct fault fault;
	struct buf b = {0};

	if (p) {
		http_exchange_set(p->exchange, NULL, NULL);
		if (durable_letter_fault(l, &fault) != 0) {
			http_respond_fault(p->exchange, fault.id, "Retry-After: 1\r\n", "%s",
					   fault.message);
		} else {
			buf_add_char(&b, '{');
			ack_add_answer(&b, &p->gateway->hub->epoch, l, p->as_list);
			buf_add_char(&b, '}');
			http_respond(p->exchange, 200, "application/json",
				     "Cache-Control: no-store\r\n", buf_slice(&b));
		}
		buf_fini(&b);
		free(p);
	}
	ack_letter_free(l);
}

static void on_abort(struct http_exchange *x)
{
	struct pending *p = http_exchange_owner(x);

	p->letter->owner = NULL;
	free(p);
}

static void ack_open(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct pending *p = NULL;
	struct fault fault;
	struct body b;

	if (parse(r->body, g->config->channels_per_subscription, &b, &fault) == 0) {
		p = xcalloc(1, sizeof(*p));
		*p = (struct pending){.gateway = g, .exchange = x, .as_list = b.as_list};
		p->letter = ack_post(g->hub, b.subscriber, b.items, b.n, r->is_admin, on_kept, p,
				     &fault);
	}
	body_fini(&b);
	if (p && p->letter) {
		http_exchange_set(x, p, on_abort);
		return;
	}
	free(p);
	http_respond_fault(x, fault.id, fault_status(fault.id) == 503 ? "Retry-After: 1\r\n" : "",
			   "%s", fault.message);
}

static bool ack_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/ack");
}

const struct transport_ops ack_transport = {
	.name = "ack", .methods = METHOD_BIT(HTTP_POST_), .match = ack_match, .open = ack_open};
