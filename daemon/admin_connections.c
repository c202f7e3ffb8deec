/* SPDX-License-Identifier: MIT */
/* admin_connections: who is connected, on all workers, and showing somebody the door. */
#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "daemon/admin_internal.h"
#include "transports/params.h"
#include "transports/session.h"

#define LIMIT_DEFAULT  1000
#define LIMIT_MAX      100000
#define CHANNELS_SHOWN 16

/* --- list ------------------------------------------------------------------------------------ */

struct listing {
	struct errand errand;
	struct admin_call *call;
	struct buf json; /* rows, separated by commas; made on each worker in turn */
	size_t n;
	bool more;
};

struct shown {
	struct buf *out;
	size_t n;
};

static void add_channel_name(void *arg, struct slice name)
{
	struct shown *list = arg;

	if (list->n++ >= CHANNELS_SHOWN)
		return;
	if (list->n > 1)
		buf_add_char(list->out, ',');
	json_add_string(list->out, name);
}

static const char *state_name(const struct session *s)
{
	return s->subscriber.state == SUB_LIVE          ? "live"
	       : s->subscriber.state == SUB_CATCHING_UP ? "catching-up"
							: "new";
}

static void add_session(struct buf *b, const struct session *s)
{
	struct shown list = {.out = b};
	char peer[64];

	buf_addf(b, "{\"id\":%llu,\"transport\":\"%s\",\"peer\":", (unsigned long long)s->conn->id,
		 subscriber_kind_name(s->subscriber.ops->kind));
	json_add_string(b, slice_str(conn_peer_text(s->conn, peer)));
	buf_add_str(b, ",\"channels\":[");
	subscriber_each_channel(&s->subscriber, add_channel_name, &list);
	buf_addf(b,
		 "],\"channel_count\":%u,\"age_ms\":%llu,\"in_bytes\":%llu,\"out_bytes\":%llu,"
		 "\"queued_bytes\":%zu,"
		 "\"sent\":%llu,\"state\":\"%s\"}",
		 s->subscriber.channel_n,
		 (unsigned long long)(loop_now_ms(s->gateway->loop) - s->opened_ms),
		 (unsigned long long)s->conn->in_total, (unsigned long long)s->conn->out_total,
		 conn_out_bytes(s->conn), (unsigned long long)s->sent, state_name(s));
}

static void list_on(struct worker *w, struct errand *e)
{
	struct listing *l = container_of(e, struct listing, errand);
	struct session *s;

	LIST_FOREACH (s, &w->gateway.sessions, link) {
		if (!s->conn)
			continue;
		if (l->n == l->call->limit) {
			l->more = true;
			return;
		}
		if (l->n++)
			buf_add_char(&l->json, ',');
		add_session(&l->json, s);
	}
}

static void on_listed(struct errand *e)
{
	struct listing *l = container_of(e, struct listing, errand);
	struct buf b = {0};

	buf_add_str(&b, "{\"connections\":[");
	buf_add_slice(&b, buf_slice(&l->json));
	buf_addf(&b, "],\"more\":%s}", l->more ? "true" : "false");
	admin_call_answer(l->call, buf_slice(&b));
	buf_fini(&b);
	buf_fini(&l->json);
	free(l);
}

void admin_connections(struct worker *w, struct http_exchange *x)
{
	uint64_t limit = LIMIT_DEFAULT;
	struct fault fault;

	if (param_u64(http_exchange_request(x), "limit", LIMIT_MAX, &limit, &fault) != 0) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	struct listing *l = xcalloc(1, sizeof(*l));
	l->call = admin_call_new(w, x);
	l->call->limit = limit;
	l->errand.visit = list_on;
	l->errand.done = on_listed;
	errand_send(w, &l->errand);
}

/* --- kick ------------------------------------------------------------------------------------ */

struct kick {
	struct errand errand;
	struct admin_call *call;
	uint64_t id;
	char *channel;
	size_t n;
};

static void kick_on(struct worker *w, struct errand *e)
{
	struct kick *k = container_of(e, struct kick, errand);

	k->n += gateway_kick(&w->gateway, k->id, slice_str(k->channel));
}

static void on_kicked(struct errand *e)
{
	struct kick *k = container_of(e, struct kick, errand);
	struct buf b = {0};

	buf_addf(&b, "{\"kicked\":%zu}", k->n);
	admin_call_answer(k->call, buf_slice(&b));
	buf_fini(&b);
	free(k->channel);
	free(k);
}

void admin_kick(struct worker *w, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct slice channel = http_param_get(r, "channel");
	struct fault fault;
	uint64_t id = 0;

	int rc = param_u64(r, "id", UINT64_MAX / 2, &id, &fault);
	if (rc == 0 && id == 0 && !channel.n)
		rc = fault_set(&fault, FAULT_BAD_PARAMETER,
			       "say whom: ?id=N (see connections) or ?channel=NAME");
	if (rc) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	struct kick *k = xcalloc(1, sizeof(*k));
	k->call = admin_call_new(w, x);
	k->id = id;
	k->channel = xstrndup(channel.p ? channel.p : "", channel.n);
	k->errand.visit = kick_on;
	k->errand.done = on_kicked;
	errand_send(w, &k->errand);
}
