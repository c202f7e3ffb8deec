/* SPDX-License-Identifier: MIT */
/*
 * acks: GET /v1/acks: how durable subscribers stand, by channel or by subscriber; on the admin
 * socket also all of them. DELETE /v1/acks forgets them, on the admin socket only.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "transports/encode.h"
#include "transports/params.h"
#include "transports/transport.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

/* Between posting and the answer. */
struct pending {
	struct gateway *gateway;
	struct http_exchange *exchange;
	struct store_task *task;
	size_t limit;
	bool is_admin;
};

static void on_abort(struct http_exchange *x)
{
	struct pending *p = http_exchange_owner(x);

	p->task->owner = NULL;
	free(p);
}

/* --- answers --------------------------------------------------------------------------------- */

static void add_row(struct buf *b, const struct pending *p, const struct ack_row *row,
		    size_t lag_max)
{
	bool is_least = row->lag >= lag_max;

	buf_add_str(b, "{\"subscriber\":");
	json_add_string(b, slice_str(row->subscriber));
	buf_add_str(b, ",\"channel\":");
	json_add_string(b, slice_str(row->channel));
	buf_add_str(b, ",\"id\":");
	json_add_id(b, &p->gateway->hub->epoch, row->seq);
	buf_addf(b, ",\"%s\":%llu,\"updated_ts\":%lld}", is_least ? "lag_at_least" : "lag",
		 (unsigned long long)row->lag, (long long)row->ts_ms);
}

/* One row more than the limit was asked for: it tells that there is more, and is not shown. */
static void add_rows(struct buf *b, const struct pending *p, const struct store_task *t)
{
	const struct namespace_table *namespaces = p->gateway->hub->namespaces;
	size_t n = t->row_n < p->limit ? t->row_n : p->limit, shown = 0;

	buf_add_str(b, "{\"acks\":[");
	for (size_t i = 0; i < n; i++) {
		const struct ack_row *row = &t->acks[i];

		if (!p->is_admin &&
		    namespace_find(namespaces, slice_str(row->channel))->subscribe != ACCESS_ANYONE)
			continue;
		if (shown++)
			buf_add_char(b, ',');
		add_row(b, p, row, t->lag_max);
	}
	buf_addf(b, "],\"more\":%s", t->row_n > n ? "true" : "false");
	if (t->row_n > n) {
		struct buf next = {.cap = 1024};

		buf_addf(&next, "%s %s", t->acks[n - 1].subscriber, t->acks[n - 1].channel);
		buf_add_str(b, ",\"next\":");
		json_add_string(b, buf_slice(&next));
		buf_fini(&next);
	}
	buf_add_char(b, '}');
}

static void on_task(struct store_task *t)
{
	struct pending *p = t->owner;
	struct buf b = {0};

	if (p) {
		http_exchange_set(p->exchange, NULL, NULL);
		if (t->error) {
			http_respond_fault(p->exchange, FAULT_STORE_UNAVAILABLE,
					   "Retry-After: 1\r\n",
					   "the message store can not be used now; try again");
		} else {
			if (t->kind == TASK_FORGET)
				buf_addf(&b, "{\"forgotten\":%llu}",
					 (unsigned long long)t->removed);
			else
				add_rows(&b, p, t);
			http_respond(p->exchange, 200, "application/json",
				     "Cache-Control: no-store\r\n", buf_slice(&b));
		}
		buf_fini(&b);
		free(p);
	}
	store_task_free(t);
}

/* --- requests -------------------------------------------------------------------------------- */

static int check_names(const struct gateway *g, const struct http_request *r,
		       struct slice subscriber, struct slice channel, struct fault *fault)
{
	const char *wrong = subscriber.p ? channel_name_problem(subscriber) : NULL;

	if (wrong)
		return fault_set(fault, FAULT_BAD_PARAMETER, "subscriber: %s", wrong);
	if (!channel.p)
		return 0;
	int rc = durable_check_channel(channel, fault);
	return rc ? rc : subscriber_check(g->hub, NULL, &channel, 1, r->is_admin, fault);
}

/* `after` is the `next` of the page before: "SUBSCRIBER CHANNEL". */
static void set_after(struct store_task *t, struct slice after)
{
	const char *space = after.n ? memchr(after.p, ' ', after.n) : NULL;

	if (!space)
		return;
	size_t n = (size_t)(space - after.p);
	t->after = xstrndup(after.p, n);
	t->after_channel = xstrndup(space + 1, after.n - n - 1);
}

static int parse_list(const struct gateway *g, const struct http_request *r, uint64_t *ret_limit,
		      struct store_task **ret, struct fault *fault)
{
	struct slice subscriber = http_param_get(r, "subscriber");
	struct slice channel = http_param_get(r, "channel");

	*ret_limit = LIMIT_DEFAULT;
	int rc = check_names(g, r, subscriber, channel, fault);
	if (rc == 0)
		rc = param_u64(r, "limit", LIMIT_MAX, ret_limit, fault);
	if (rc)
		return rc;
	if (*ret_limit == 0)
		return fault_set(fault, FAULT_BAD_PARAMETER, "limit: at least 1");
	if (subscriber.p && channel.p)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "give channel or subscriber, not both");
	if (!subscriber.p && !channel.p && !r->is_admin)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "name one of channel=NAME and subscriber=NAME");
	struct store_task *t = store_task_new(TASK_ACKS, subscriber);
	t->channel = channel.p ? xstrndup(channel.p, channel.n) : NULL;
	set_after(t, http_param_get(r, "after"));
	t->max = *ret_limit + 1;
	t->lag_max = g->config->lag_max;
	*ret = t;
	return 0;
}

static int parse_forget(const struct gateway *g, const struct http_request *r,
			struct store_task **ret, struct fault *fault)
{
	struct slice subscriber = http_param_get(r, "subscriber");
	struct slice channel = http_param_get(r, "channel");

	if (!r->is_admin)
		return fault_set(fault, FAULT_FORBIDDEN,
				 "positions are forgotten on the admin socket only");
	int rc = check_names(g, r, subscriber, channel, fault);
	if (rc)
		return rc;
	if (!subscriber.p)
		return fault_set(fault, FAULT_BAD_PARAMETER, "name the subscriber=NAME");
	struct store_task *t = store_task_new(TASK_FORGET, subscriber);
	t->channel = channel.p ? xstrndup(channel.p, channel.n) : NULL;
	*ret = t;
	return 0;
}

static void acks_open(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct store_task *t = NULL;
	struct fault fault;
	uint64_t limit = 0;

	int rc = r->method == HTTP_DELETE_ ? parse_forget(g, r, &t, &fault)
					   : parse_list(g, r, &limit, &t, &fault);
	if (rc) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	struct pending *p = xcalloc(1, sizeof(*p));
	*p = (struct pending){g, x, t, limit, r->is_admin};
	t->reply_to = g->hub->mailbox;
	t->done = on_task;
	t->owner = p;
	if (history_task(g->hub->history, t) == 0) {
		http_exchange_set(x, p, on_abort);
		return;
	}
	store_task_free(t);
	free(p);
	http_respond_fault(x, FAULT_OVERLOADED, "Retry-After: 1\r\n",
			   "too much is waiting for the message store; try again");
}

static bool acks_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/acks");
}

const struct transport_ops acks_transport = {
	.name = "acks",
	.methods = METHODS_GET | METHOD_BIT(HTTP_DELETE_),
	.match = acks_match,
	.open = acks_open,
};
