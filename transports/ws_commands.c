/* SPDX-License-Identifier: MIT */
/*
 * ws_commands: what a client can ask over an open WebSocket: one JSON object per frame, `type`
 * names the command, `ref` comes back in the reply. A command is a row of the table below.
 * Everything a command can be refused for is answered with an `error` frame; the connection stays
 * open.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "net/ws.h"
#include "transports/encode.h"
#include "transports/members.h"
#include "transports/publication.h"
#include "transports/receipt.h"
#include "transports/websocket.h"

#define REF_MAX 64

struct command {
	struct websocket *socket;
	struct slice frame; /* a valid JSON object */
	struct slice ref;   /* raw JSON, or empty */
};

static void refuse(const struct command *c, const struct fault *f)
{
	websocket_send_fault(c->socket, c->ref, f->id, f->message);
}

static void begin_reply(struct buf *b, const char *type, struct slice ref)
{
	buf_addf(b, "{\"type\":\"%s\"", type);
	if (ref.n) {
		buf_add_str(b, ",\"ref\":");
		buf_add_slice(b, ref);
	}
}

static void send_reply(struct websocket *w, struct buf *b)
{
	buf_add_char(b, '}');
	websocket_send_json(w, buf_slice(b));
	buf_fini(b);
}

/* --- members of a frame ---------------------------------------------------------------------- */

/* A member that must be a string, unescaped into out. False when it is absent or null. */
static int get_string(const struct command *c, const char *name, struct buf *out, bool *ret_present,
		      struct fault *fault)
{
	struct slice v;

	*ret_present = json_object_get(c->frame, name, &v) && json_type_of(v) != JSON_NULL;
	if (!*ret_present)
		return 0;
	if (json_type_of(v) != JSON_STRING || json_unescape(v, out) != 0)
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"%s\" must be a string", name);
	return 0;
}

static int get_u64(const struct command *c, const char *name, uint64_t *ret, bool *ret_present,
		   struct fault *fault)
{
	struct slice v;

	*ret_present = json_object_get(c->frame, name, &v) && json_type_of(v) != JSON_NULL;
	if (*ret_present && !json_get_u64(v, ret))
		return fault_set(fault, FAULT_BAD_PARAMETER, "\"%s\" must be a whole number", name);
	return 0;
}

/* `channel` and `channels`, unescaped into one buf. */
struct names {
	struct buf text;
	size_t n;
	size_t said;          /* repetitions */
	struct slice *slices; /* into text, set once it is complete */
	size_t *ends;
};

static void names_fini(struct names *names)
{
	buf_fini(&names->text);
	free(names->slices);
	free(names->ends);
}

static int too_many(size_t max, struct fault *fault)
{
	return fault_set(fault, FAULT_TOO_MANY_CHANNELS,
			 "at most %zu channels for one subscription", max);
}

static int names_add(struct names *names, size_t max, struct slice value, struct fault *fault)
{
	size_t from = names->text.n, begin = 0;

	if (json_type_of(value) != JSON_STRING || json_unescape(value, &names->text) != 0)
		return fault_set(fault, FAULT_BAD_CHANNEL, "channel names must be strings");
	struct slice name = slice_skip(buf_slice(&names->text), from);
	for (size_t i = 0; i < names->n; begin = names->ends[i++]) {
		if (slice_eq(slice_make(names->text.p + begin, names->ends[i] - begin), name)) {
			names->text.n = from; /* said before: counts once */
			return names->said++ < HTTP_PARAMS_MAX ? 0 : too_many(max, fault);
		}
	}
	if (names->n == max)
		return too_many(max, fault);
	names->ends[names->n++] = names->text.n;
	return 0;
}

static int names_get(const struct command *c, struct names *names, struct fault *fault)
{
	size_t max = c->socket->session.gateway->config->channels_per_subscription;
	size_t pos = 0, from = 0;
	struct slice v, list;
	int rc = 0;

	*names = (struct names){0};
	names->slices = xcalloc(max + 1, sizeof(*names->slices));
	names->ends = xcalloc(max + 1, sizeof(*names->ends));
	if (json_object_get(c->frame, "channel", &v))
		rc = names_add(names, max, v, fault);
	if (rc == 0 && json_object_get(c->frame, "channels", &list)) {
		if (json_type_of(list) != JSON_ARRAY)
			rc = fault_set(fault, FAULT_BAD_PARAMETER,
				       "\"channels\" must be an array of strings");
		while (rc == 0 && json_array_next(list, &pos, &v))
			rc = names_add(names, max, v, fault);
	}
	if (rc == 0 && names->n == 0)
		rc = fault_set(fault, FAULT_NO_CHANNEL, "name a channel: \"channel\":\"NAME\"");
	for (size_t i = 0; i < names->n; i++) {
		names->slices[i] = slice_skip(buf_slice(&names->text), from);
		names->slices[i].n = names->ends[i] - from;
		from = names->ends[i];
	}
	return rc;
}

/* A cursor is never refused: one that is no text at all, or longer than any id, is a bad one. */
static int get_since(const struct command *c, struct buf *text, bool *ret_present,
		     struct fault *fault)
{
	int rc = get_string(c, "since", text, ret_present, fault);
	struct slice v;

	if (rc && json_object_get(c->frame, "since", &v) && json_type_of(v) == JSON_STRING) {
		buf_clear(text);
		return 0;
	}
	*ret_present = *ret_present && text->n > 0; /* an empty one counts as not given */
	return rc;
}

/* since or last. text holds the cursor. */
static int start_get(const struct command *c, struct buf *text, struct start *ret,
		     struct fault *fault)
{
	bool has_since, has_last;
	uint64_t last = 0;
	struct slice v;

	*ret = (struct start){.kind = START_NOW};
	/* since:0 as a number is what people write. */
	if (json_object_get(c->frame, "since", &v) && slice_eq_str(v, "0")) {
		ret->kind = START_ALL;
		return 0;
	}
	int rc = get_since(c, text, &has_since, fault);
	if (rc == 0)
		rc = get_u64(c, "last", &last, &has_last, fault);
	if (rc)
		return rc;
	uint64_t last_max = c->socket->session.gateway->config->last_limit;
	if (last > last_max)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "\"last\": at most %llu (limits.last_limit)",
				 (unsigned long long)last_max);
	if (has_since)
		*ret = slice_eq_str(buf_slice(text), "0")
			       ? (struct start){.kind = START_ALL}
			       : (struct start){START_AFTER, buf_slice(text), 0};
	else if (has_last)
		*ret = (struct start){.kind = START_LAST, .last = (uint32_t)last};
	return 0;
}

static void add_channels(struct buf *b, const struct names *names)
{
	buf_add_str(b, ",\"channels\":[");
	for (size_t i = 0; i < names->n; i++) {
		if (i)
			buf_add_char(b, ',');
		json_add_string(b, names->slices[i]);
	}
	buf_add_char(b, ']');
}

/* --- subscribe, unsubscribe ------------------------------------------------------------------ */

static int check_subscribe(const struct command *c, const struct names *names, struct fault *fault)
{
	const struct websocket *w = c->socket;

	return subscriber_check(w->session.gateway->hub, &w->session.subscriber, names->slices,
				names->n, w->is_admin, fault);
}

/* `info` and `presence`, and what the session needs to be in these channels. */
static int attend(const struct command *c, const struct names *names, struct fault *fault)
{
	struct session *s = &c->socket->session;
	struct slice info = slice_str(""), wants = slice_str("");
	int rc = 0;

	if (json_object_get(c->frame, "info", &info))
		rc = info_check(info, s->gateway->config, fault);
	if (rc == 0 && json_object_get(c->frame, "presence", &wants) &&
	    json_type_of(wants) != JSON_BOOL)
		rc = fault_set(fault, FAULT_BAD_PARAMETER, "\"presence\" must be true or false");
	if (rc)
		return rc;
	session_introduce(s, info, slice_eq_str(wants, "true"));
	return session_attend(s, names->slices, names->n, fault);
}

/* Answer, and subscribe: the messages come after the answer. */
static int subscribe_plainly(const struct command *c, const struct names *names, struct start start,
			     struct fault *fault)
{
	struct websocket *w = c->socket;
	const struct hub *h = w->session.gateway->hub;
	struct start_point point = start_resolve(h, &start);
	char id[ID_TEXT_MAX];
	struct buf b = {0};

	/* The log goes on meanwhile: what is told here is where it starts. */
	if (start.kind == START_NOW || (start.kind == START_LAST && !point.last))
		start = (struct start){START_AFTER,
				       slice_make(id, id_format(id, &h->epoch, point.from)), 0};

	begin_reply(&b, "ok", c->ref);
	add_channels(&b, names);
	buf_add_str(&b, ",\"cursor\":");
	if (point.last)
		buf_add_str(&b, "null");
	else
		json_add_id(&b, &h->epoch, point.from);
	send_reply(w, &b);
	return subscriber_add(&w->session.subscriber, names->slices, names->n, &start, w->is_admin,
			      fault);
}

static void subscribe(const struct command *c)
{
	struct websocket *w = c->socket;
	struct buf since = {.cap = 4096}, name = {.cap = 4096};
	struct durable_want want;
	struct names names;
	struct start start;
	struct fault fault;

	int rc = names_get(c, &names, &fault);
	if (rc == 0)
		rc = start_get(c, &since, &start, &fault);
	if (rc == 0)
		rc = ws_durable_get(w, c->frame, &name, &want, &fault);
	if (rc == 0)
		rc = check_subscribe(c, &names, &fault);
	if (rc == 0)
		rc = attend(c, &names, &fault);
	if (rc == 0 && want.name.p) {
		struct durable_request r = {.channels = names.slices,
					    .n = names.n,
					    .start = &start,
					    .is_admin = w->is_admin,
					    .want = &want};

		rc = ws_durable_subscribe(w, c->ref, &r, &fault);
	} else if (rc == 0) {
		rc = subscribe_plainly(c, &names, start, &fault);
	}
	if (rc == 0)
		websocket_tell_members(w);
	if (rc)
		refuse(c, &fault);
	buf_fini(&since);
	buf_fini(&name);
	names_fini(&names);
}

static void ack(const struct command *c)
{
	ws_ack(c->socket, c->frame, c->ref);
}

static void unsubscribe(const struct command *c)
{
	struct websocket *w = c->socket;
	struct names names;
	struct fault fault;
	struct buf b = {0};

	int rc = names_get(c, &names, &fault);
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		if (!subscriber_has(&w->session.subscriber, names.slices[i]))
			rc = fault_set(&fault, FAULT_NOT_SUBSCRIBED, "not subscribed to %s",
				       log_value_n(names.slices[i].p, names.slices[i].n));
	if (rc) {
		refuse(c, &fault);
	} else {
		for (size_t i = 0; i < names.n; i++)
			subscriber_remove(&w->session.subscriber, names.slices[i]);
		begin_reply(&b, "ok", c->ref);
		add_channels(&b, &names);
		send_reply(w, &b);
	}
	names_fini(&names);
}

/* --- publish --------------------------------------------------------------------------------- */

static void on_receipt(struct append *a)
{
	struct ws_pending *p = a->owner;
	struct buf b = {0};

	if (p) {
		struct websocket *w = p->socket;
		const struct gateway *g = w->session.gateway;
		bool is_refused = publish_fault_of(a) != FAULT_NONE;

		histogram_add(g->counters, HISTOGRAM_ACK, clock_mono_us() - a->born_us);
		begin_reply(&b, is_refused ? "error" : "ok", slice_make(p->ref, p->ref_n));
		buf_add_char(&b, ',');
		if (is_refused) {
			count_inc(g->counters, COUNTER_PUBLISH_REFUSED);
			receipt_add_error(&b, g->hub, a);
		} else {
			receipt_add(&b, g->hub, a, p->is_batch ? RECEIPT_SCATTERED : RECEIPT_ONE);
		}
		send_reply(w, &b);
		ws_pending_free(p);
		websocket_resume_if_ready(w);
	}
	append_free(a);
}

/* `channel` and `data`, or `messages`; and the terms. */
static int publish_get(const struct command *c, struct names *names, struct publication *p,
		       struct fault *fault)
{
	struct slice messages, v;
	int rc;

	p->request.is_admin = c->socket->is_admin;
	if (json_object_get(c->frame, "messages", &messages)) {
		if (json_object_get(c->frame, "channel", &v) ||
		    json_object_get(c->frame, "channels", &v))
			return fault_set(fault, FAULT_BAD_PARAMETER,
					 "of \"messages\" each names its channel, the frame none");
		rc = publication_add_array(p, messages, fault);
	} else {
		rc = names_get(c, names, fault);
		if (rc == 0 && names->n != 1)
			rc = fault_set(fault, FAULT_BAD_PARAMETER, "a publish goes to one channel");
		if (rc == 0)
			rc = publication_add_object(p, c->frame, fault);
		p->request.channel = names->n ? names->slices[0] : slice_str("");
	}
	if (rc == 0)
		rc = publication_read_frame(p, c->frame, c->socket->session.subscriber.name, fault);
	publication_finish(p);
	return rc;
}

static void publish(const struct command *c)
{
	struct websocket *w = c->socket;
	struct publication publication = {0};
	struct names names = {0};
	struct fault fault;

	int rc = publish_get(c, &names, &publication, &fault);
	if (rc == 0) {
		struct ws_pending *p = ws_pending_new(w, c->ref);

		p->is_batch = publication.is_batch;
		p->append = publish_post(w->session.gateway->hub, &publication.request, on_receipt,
					 p, &fault);
		if (!p->append) {
			ws_pending_free(p);
			rc = -1;
		}
	} else {
		count_inc(w->session.gateway->counters, COUNTER_PUBLISH_REFUSED);
	}
	if (rc)
		refuse(c, &fault);
	names_fini(&names);
	publication_fini(&publication);
}

static void on_raw_receipt(struct append *a)
{
	struct ws_pending *p = a->owner;

	if (p) {
		struct websocket *w = p->socket;

		histogram_add(w->session.gateway->counters, HISTOGRAM_ACK,
			      clock_mono_us() - a->born_us);
		if (a->error) {
			count_inc(w->session.gateway->counters, COUNTER_PUBLISH_REFUSED);
			websocket_close(w, CLOSE_OVERLOAD, 1013, publish_fault_text(a));
		}
		ws_pending_free(p);
		websocket_resume_if_ready(w);
	}
	append_free(a);
}

/* The only one of a raw client. */
static void take_channel(void *arg, struct slice channel)
{
	*(struct slice *)arg = channel;
}

void ws_raw_publish(struct websocket *w, bool is_binary, struct slice payload)
{
	struct payload_shape shape = {.kind = MESSAGE_BINARY};
	struct fault fault;

	/* Nobody said what a text frame is: as for a POST without a type. The opcode it came with
	 * stays either way. */
	if (!is_binary)
		payload_shape(slice_str(""), payload, &shape, NULL);
	struct publish_request r = {
		.is_ephemeral = w->is_ephemeral,
		.is_admin = w->is_admin,
		.n = 1,
		.payloads = &payload,
		.shapes = &shape,
	};
	subscriber_each_channel(&w->session.subscriber, take_channel, &r.channel);
	struct ws_pending *p = ws_pending_new(w, slice_str(""));
	p->append = publish_post(w->session.gateway->hub, &r, on_raw_receipt, p, &fault);
	if (p->append)
		return;
	ws_pending_free(p);
	bool is_ours = fault_status(fault.id) >= 500;
	websocket_close(w, is_ours ? CLOSE_OVERLOAD : CLOSE_REFUSED, is_ours ? 1013 : 1008,
			fault.message);
}

/* --- history, ping --------------------------------------------------------------------------- */

static void on_fetched(struct fetch *f, struct slice members, enum fault_id fault, const char *text)
{
	struct ws_pending *p = f->owner;
	struct websocket *w = p->socket;
	struct slice ref = slice_make(p->ref, p->ref_n);
	struct buf b = {.cap = SIZE_MAX}; /* the page was limited when it was read */

	if (fault) {
		websocket_send_fault(w, ref, fault, text);
	} else {
		begin_reply(&b, "ok", ref);
		buf_add_char(&b, ',');
		buf_add_slice(&b, members);
		send_reply(w, &b);
	}
	ws_pending_free(p);
	websocket_resume_if_ready(w);
}

static void history(const struct command *c)
{
	struct websocket *w = c->socket;
	struct fetch_request r = {.is_admin = w->is_admin};
	struct buf since = {.cap = 4096};
	struct names names;
	struct fault fault;
	uint64_t limit = 0;
	bool has_limit;

	int rc = names_get(c, &names, &fault);
	if (rc == 0 && names.n != 1)
		rc = fault_set(&fault, FAULT_BAD_PARAMETER,
			       "history is read of one channel at a time");
	if (rc == 0)
		rc = start_get(c, &since, &r.start, &fault);
	if (rc == 0)
		rc = get_u64(c, "limit", &limit, &has_limit, &fault);
	if (rc == 0) {
		struct ws_pending *p = ws_pending_new(w, c->ref);

		r.channel = names.slices[0];
		r.limit = limit;
		p->fetch = fetch_start(w->session.gateway, &r, on_fetched, p, &fault);
		if (p->fetch) {
			w->fetching++;
		} else {
			ws_pending_free(p);
			rc = -1;
		}
	}
	if (rc)
		refuse(c, &fault);
	names_fini(&names);
	buf_fini(&since);
}

static int presence_get(const struct command *c, const struct names *names,
			struct members_request *r, struct fault *fault)
{
	const struct gateway *g = c->socket->session.gateway;
	struct buf text = {.cap = 256};
	struct slice after, count;
	bool has_limit, has_after;

	*r = (struct members_request){.channel = names->slices[0],
				      .limit = g->config->presence_members,
				      .bytes = MEMBERS_BYTES,
				      .is_admin = c->socket->is_admin};
	int rc = get_u64(c, "limit", &r->limit, &has_limit, fault);
	if (rc == 0)
		rc = get_string(c, "after", &text, &has_after, fault);
	if (rc == 0 && json_object_get(c->frame, "count", &count)) {
		r->count_only = slice_eq_str(count, "true");
		if (json_type_of(count) != JSON_BOOL)
			rc = fault_set(fault, FAULT_BAD_PARAMETER,
				       "\"count\" must be true or false");
	}
	after = buf_slice(&text);
	if (rc == 0)
		rc = members_check(g, r, after.n ? &after : NULL, fault);
	buf_fini(&text);
	return rc;
}

static void presence(const struct command *c)
{
	struct members_request r;
	struct names names;
	struct fault fault;
	struct buf b = {0};

	int rc = names_get(c, &names, &fault);
	if (rc == 0 && names.n != 1)
		rc = fault_set(&fault, FAULT_BAD_PARAMETER,
			       "presence is asked of one channel at a time");
	if (rc == 0)
		rc = presence_get(c, &names, &r, &fault);
	if (rc) {
		refuse(c, &fault);
	} else {
		begin_reply(&b, "ok", c->ref);
		buf_add_char(&b, ',');
		json_add_members(&b, c->socket->session.gateway, &r);
		send_reply(c->socket, &b);
	}
	names_fini(&names);
}

static void ping(const struct command *c)
{
	struct buf b = {0};

	begin_reply(&b, "pong", c->ref);
	buf_addf(&b, ",\"ts\":%lld", (long long)clock_wall_ms());
	send_reply(c->socket, &b);
}

/* --- dispatch -------------------------------------------------------------------------------- */

static const struct {
	const char *type;
	void (*run)(const struct command *c);
} commands[] = {
	{"subscribe", subscribe}, {"unsubscribe", unsubscribe}, {"publish", publish}, {"ack", ack},
	{"history", history},     {"presence", presence},       {"ping", ping},
};

static int take_ref(struct command *c, struct fault *fault)
{
	struct slice ref;

	if (!json_object_get(c->frame, "ref", &ref))
		return 0;
	if (ref.n > REF_MAX ||
	    (json_type_of(ref) != JSON_STRING && json_type_of(ref) != JSON_NUMBER))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "\"ref\" must be a string or number of at most %d bytes", REF_MAX);
	c->ref = ref;
	return 0;
}

static int parse(struct command *c, struct slice text, struct buf *type, struct fault *fault)
{
	bool has_type;
	size_t at;

	if (!json_is_valid(text, &at))
		return fault_set(fault, FAULT_BAD_JSON,
				 "the frame is not valid JSON: byte %zu of %zu is wrong", at,
				 text.n);
	if (json_type_of(text) != JSON_OBJECT)
		return fault_set(fault, FAULT_BAD_JSON, "the frame must be a JSON object");
	c->frame = text;
	int rc = take_ref(c, fault);
	if (rc == 0 && (get_string(c, "type", type, &has_type, fault) != 0 || !has_type))
		rc = fault_set(fault, FAULT_UNKNOWN_TYPE,
			       "the frame needs a \"type\" that is a string");
	return rc;
}

void ws_command(struct websocket *w, struct slice text)
{
	struct command c = {.socket = w, .ref = slice_str("")};
	struct buf type = {.cap = 256};
	struct fault fault;

	if (parse(&c, text, &type, &fault) != 0) {
		refuse(&c, &fault);
		buf_fini(&type);
		return;
	}
	size_t i = 0;
	while (i < ARRAY_LEN(commands) && !slice_eq_str(buf_slice(&type), commands[i].type))
		i++;
	if (i < ARRAY_LEN(commands)) {
		commands[i].run(&c);
	} else {
		fault_set(
			&fault, FAULT_UNKNOWN_TYPE,
			"unknown type %s; subscribe, unsubscribe, publish, ack, history, presence "
			"and ping are known",
			log_value_n(type.p, type.n));
		refuse(&c, &fault);
	}
	buf_fini(&type);
}
