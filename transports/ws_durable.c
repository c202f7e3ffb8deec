/* SPDX-License-Identifier: MIT */
/*
 * ws_durable: durable subscribers over WebSocket: the members `subscriber`, `max_in_flight` and
 * `ack_wait` of a subscribe frame, and the ack frame. Both are answered when the log has kept what
 * they say; until then they count as pending commands of the connection.
 */
#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "transports/ack.h"
#include "transports/encode.h"
#include "transports/websocket.h"

#define NAME_CAP 1024 /* longer than any name that will do */

static int get_name(struct slice frame, const char *name, struct buf *out, bool *ret_present,
		    struct fault *fault)
{
	struct slice v;

	*ret_present = json_object_get(frame, name, &v) && json_type_of(v) != JSON_NULL;
	if (!*ret_present)
		return 0;
	if (json_type_of(v) != JSON_STRING || json_unescape(v, out) != 0)
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"%s\" must be a string", name);
	return 0;
}

int ws_durable_get(struct websocket *w, struct slice frame, struct buf *text,
		   struct durable_want *ret, struct fault *fault)
{
	const struct gateway_config *cfg = w->session.gateway->config;
	uint64_t max = cfg->in_flight;
	bool has_name;
	struct slice v;

	*ret = (struct durable_want){.ack_wait_ms = cfg->ack_wait_ms};
	int rc = get_name(frame, "subscriber", text, &has_name, fault);
	if (rc)
		return rc;
	if (json_object_get(frame, "max_in_flight", &v) &&
	    (!json_get_u64(v, &max) || max > UINT32_MAX))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "\"max_in_flight\" must be a whole number");
	if (json_object_get(frame, "ack_wait", &v) && seconds_parse(v, &ret->ack_wait_ms) != 0)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "\"ack_wait\": seconds are expected, such as 30 or 0.5");
	ret->max_in_flight = (uint32_t)max;
	if (has_name)
		ret->name = buf_slice(text);
	return durable_want_check(ret, cfg, fault);
}

/* --- subscribe ------------------------------------------------------------------------------- */

static void on_joined(struct subscriber *sub, void *arg, const struct fault *fault, uint64_t from)
{
	struct ws_pending *p = arg;
	struct websocket *w = p->socket;
	struct slice ref = slice_make(p->ref, p->ref_n);
	struct buf b = {0};

	if (fault) {
		websocket_send_fault(w, ref, fault->id, fault->message);
	} else {
		buf_add_str(&b, p->text);
		if (p->is_cursor_open)
			buf_add_str(&b, "null}");
		else {
			json_add_id(&b, &sub->hub->epoch, from);
			buf_add_char(&b, '}');
		}
		websocket_send_json(w, buf_slice(&b));
		buf_fini(&b);
	}
	/* other subscribe frames may have come meanwhile */
	if (w->session.subscriber.attendee)
		w->session.subscriber.attendee->wants_members = p->wants_members;
	ws_pending_free(p);
	websocket_resume_if_ready(w);
}

/* The answer up to its cursor, which is not known yet. */
static char *make_answer(const struct durable_request *r, struct slice ref)
{
	struct buf b = {0};

	buf_add_str(&b, "{\"type\":\"ok\"");
	if (ref.n) {
		buf_add_str(&b, ",\"ref\":");
		buf_add_slice(&b, ref);
	}
	buf_add_str(&b, ",\"channels\":[");
	for (size_t i = 0; i < r->n; i++) {
		if (i)
			buf_add_char(&b, ',');
		json_add_string(&b, r->channels[i]);
	}
	buf_add_str(&b, "],\"subscriber\":");
	json_add_string(&b, r->want->name);
	buf_add_str(&b, ",\"cursor\":");
	char *text = xstrndup(b.p, b.n);
	buf_fini(&b);
	return text;
}

int ws_durable_subscribe(struct websocket *w, struct slice ref, struct durable_request *r,
			 struct fault *fault)
{
	struct ws_pending *p = ws_pending_new(w, ref);

	const struct attendee *a = w->session.subscriber.attendee;

	p->text = make_answer(r, ref);
	p->wants_members = a && a->wants_members;
	p->is_cursor_open = r->start->kind == START_LAST && r->start->last > 0;
	r->ops = websocket_durable(w);
	r->joined = on_joined;
	r->arg = p;
	int rc = durable_subscribe(&w->session.subscriber, r, fault);
	if (rc)
		ws_pending_free(p);
	return rc;
}

/* --- ack ------------------------------------------------------------------------------------- */

static void on_kept(struct ack_letter *l)
{
	struct ws_pending *p = l->owner;
	struct fault fault;
	struct buf b = {0};

	if (p) {
		struct websocket *w = p->socket;
		struct slice ref = slice_make(p->ref, p->ref_n);

		if (durable_letter_fault(l, &fault) != 0) {
			websocket_send_fault(w, ref, fault.id, fault.message);
		} else {
			buf_add_str(&b, "{\"type\":\"ok\"");
			if (ref.n) {
				buf_add_str(&b, ",\"ref\":");
				buf_add_slice(&b, ref);
			}
			buf_add_char(&b, ',');
			ack_add_answer(&b, &w->session.gateway->hub->epoch, l, false);
			buf_add_char(&b, '}');
			websocket_send_json(w, buf_slice(&b));
			buf_fini(&b);
		}
		ws_pending_free(p);
		websocket_resume_if_ready(w);
	}
	ack_letter_free(l);
}

void ws_ack(struct websocket *w, struct slice frame, struct slice ref)
{
	struct hub *h = w->session.gateway->hub;
	struct buf name = {.cap = NAME_CAP}, channel = {.cap = NAME_CAP}, id = {.cap = NAME_CAP};
	bool has_name, has_channel, has_id;
	struct fault fault;

	int rc = get_name(frame, "subscriber", &name, &has_name, &fault);
	if (rc == 0)
		rc = get_name(frame, "channel", &channel, &has_channel, &fault);
	if (rc == 0)
		rc = get_name(frame, "id", &id, &has_id, &fault);
	struct slice subscriber =
		rc == 0 && !has_name ? durable_name(&w->session.subscriber) : buf_slice(&name);
	if (rc == 0 && !has_channel)
		rc = fault_set(&fault, FAULT_NO_CHANNEL, "name a channel: \"channel\":\"NAME\"");
	if (rc == 0 && (!subscriber.p || !has_id))
		rc = fault_set(&fault, FAULT_BAD_PARAMETER,
			       subscriber.p ? "an ack needs an \"id\""
					    : "an ack needs a \"subscriber\": this connection has "
					      "none");
	if (rc == 0) {
		struct ack_item_request item = {buf_slice(&channel), buf_slice(&id)};
		struct ws_pending *p = ws_pending_new(w, ref);

		p->ack = ack_post(h, subscriber, &item, 1, w->is_admin, on_kept, p, &fault);
		if (!p->ack) {
			ws_pending_free(p);
			rc = -1;
		}
	}
	if (rc)
		websocket_send_fault(w, ref, fault.id, fault.message);
	buf_fini(&name);
	buf_fini(&channel);
	buf_fini(&id);
}
