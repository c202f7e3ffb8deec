/* SPDX-License-Identifier: MIT */
/* gateway: routing of requests, and what is done to all sessions of a worker at once. */
#include "transports/gateway.h"

#include <sodium.h>
#include <stdio.h>

#include "transports/session.h"
#include "transports/transport.h"

void gateway_fini(struct gateway *g)
{
	assert(LIST_EMPTY(&g->sessions));
	pool_fini(&g->websockets);
	pool_fini(&g->streams);
	pool_fini(&g->polls);
	pool_fini(&g->hauls);
}

/* --- routing --------------------------------------------------------------------------------- */

static const struct transport_ops *match_in(const struct transport_ops *const *table,
					    const struct http_request *r)
{
	for (; table && *table; table++)
		if ((*table)->match(r))
			return *table;
	return NULL;
}

static void refuse_method(struct http_exchange *x, unsigned methods)
{
	static const char *const names[] = {
		[HTTP_GET_] = "GET", [HTTP_HEAD_] = "HEAD",     [HTTP_POST_] = "POST",
		[HTTP_PUT_] = "PUT", [HTTP_DELETE_] = "DELETE",
	};
	char allow[96] = "Allow: ";
	size_t n = strlen(allow);
	bool is_first = true;

	for (size_t m = 0; m < ARRAY_LEN(names); m++) {
		if (!(methods & METHOD_BIT(m)))
			continue;
		n += (size_t)snprintf(allow + n, sizeof(allow) - n, "%s%s", is_first ? "" : ", ",
				      names[m]);
		is_first = false;
	}
	snprintf(allow + n, sizeof(allow) - n, "\r\n");
	http_respond_fault(x, FAULT_METHOD_NOT_ALLOWED, allow, "this path answers %.*s only",
			   (int)(n - strlen("Allow: ")), allow + strlen("Allow: "));
}

void gateway_on_request(void *arg, struct http_exchange *x)
{
	struct gateway *g = arg;
	const struct http_request *r = http_exchange_request(x);
	const struct transport_ops *t = match_in(g->extra, r);

	if (!t)
		t = match_in(transport_registry, r);
	if (!t)
		http_respond_fault(x, FAULT_NOT_FOUND, "", "there is nothing at this path");
	else if (!(t->methods & METHOD_BIT(r->method)))
		refuse_method(x, t->methods);
	else if (t->is_subscribing && g->is_draining)
		http_respond_fault(x, FAULT_DRAINING, "Retry-After: 1\r\n",
				   "this node goes down; try again");
	else
		t->open(g, x);
}

size_t gateway_body_limit(void *arg, const struct http_request *r)
{
	struct gateway *g = arg;

	if (http_param_get(r, "batch").p ||
	    slice_starts(http_header_get(r, "Content-Type"), "application/x-ndjson"))
		return g->config->batch_bytes;
	return g->config->request_bytes;
}

/* --- all sessions at once -------------------------------------------------------------------- */

void gateway_drain(struct gateway *g, uint64_t spread_ms)
{
	struct session *s, *next;

	g->is_draining = true;
	LIST_FOREACH_SAFE (s, &g->sessions, link, next) {
		uint64_t delay = spread_ms ? randombytes_uniform((uint32_t)spread_ms) : 0;

		session_ops(s)->goodbye(s, CLOSE_DRAIN, delay);
	}
}

size_t gateway_kick(struct gateway *g, uint64_t conn_id, struct slice channel)
{
	struct session *s, *next;
	size_t n = 0;

	LIST_FOREACH_SAFE (s, &g->sessions, link, next) {
		if (conn_id && (!s->conn || s->conn->id != conn_id))
			continue;
		if (channel.n && !subscriber_has(&s->subscriber, channel))
			continue;
		session_leave_at_once(s);
		session_ops(s)->goodbye(s, CLOSE_KICKED, 0);
		n++;
	}
	return n;
}
