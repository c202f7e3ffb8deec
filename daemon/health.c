/* SPDX-License-Identifier: MIT */
/* health: is the process alive, should it get traffic, and its numbers. */
#include "daemon/admin.h"
#include "daemon/worker.h"

const struct transport_ops *const admin_registry[] = {
	&health_transport,
	&ready_transport,
	&metrics_transport,
	&demo_transport,
	&client_transport,
	&admin_transport,
	NULL,
};

static void health_open(struct gateway *g, struct http_exchange *x)
{
	UNUSED(g);
	http_respond(x, 200, "application/json", "Cache-Control: no-store\r\n",
		     SLICE("{\"status\":\"ok\"}"));
}

static bool health_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/healthz");
}

static void ready_open(struct gateway *g, struct http_exchange *x)
{
	const struct worker *w = g->extra_arg;

	if (atomic_load(&w->server->is_draining))
		http_respond_fault(x, FAULT_DRAINING, "", "this node goes down");
	else if (history_health(w->server->history) != 0)
		http_respond_fault(x, FAULT_STORE_UNAVAILABLE, "Retry-After: 1\r\n",
				   "the message store can not be written: %s",
				   strerror(-history_health(w->server->history)));
	else
		http_respond(x, 200, "application/json", "Cache-Control: no-store\r\n",
			     SLICE("{\"status\":\"ready\"}"));
}

static bool ready_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/readyz");
}

static void metrics_open(struct gateway *g, struct http_exchange *x)
{
	struct buf b = {0};

	UNUSED(g);
	counters_prometheus(&b);
	http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8",
		     "Cache-Control: no-store\r\n", buf_slice(&b));
	buf_fini(&b);
}

static bool metrics_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/metrics");
}

const struct transport_ops health_transport = {
	.name = "health", .methods = METHODS_GET, .match = health_match, .open = health_open};
const struct transport_ops ready_transport = {
	.name = "ready", .methods = METHODS_GET, .match = ready_match, .open = ready_open};
const struct transport_ops metrics_transport = {
	.name = "metrics", .methods = METHODS_GET, .match = metrics_match, .open = metrics_open};
