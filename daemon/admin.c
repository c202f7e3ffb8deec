/* SPDX-License-Identifier: MIT */
/*
 * admin: /v1/admin/: a table of calls. What a call needs of the log goes there as a task and comes
 * back; what it needs of other workers goes round as an errand. Nothing here is on the way of a
 * message.
 */
#include "daemon/admin.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "daemon/admin_internal.h"

/* --- a call that waits ----------------------------------------------------------------------- */

static void on_abort(struct http_exchange *x)
{
	struct admin_call *c = http_exchange_owner(x);

	c->exchange = NULL;
}

struct admin_call *admin_call_new(struct worker *w, struct http_exchange *x)
{
	struct admin_call *c = xcalloc(1, sizeof(*c));

	c->worker = w;
	c->exchange = x;
	http_exchange_set(x, c, on_abort);
	return c;
}

void admin_call_answer(struct admin_call *c, struct slice json)
{
	if (c->exchange) {
		http_exchange_set(c->exchange, NULL, NULL);
		http_respond(c->exchange, 200, "application/json", "Cache-Control: no-store\r\n",
			     json);
	}
	free(c);
}

void admin_call_refuse(struct admin_call *c, enum fault_id id, const char *text)
{
	if (c->exchange) {
		http_exchange_set(c->exchange, NULL, NULL);
		http_respond_fault(c->exchange, id, "", "%s", text);
	}
	free(c);
}

/* --- calls that are answered at once --------------------------------------------------------- */

static void admin_stats(struct worker *w, struct http_exchange *x)
{
	struct buf b = {0};

	UNUSED(w);
	counters_json(&b);
	http_respond(x, 200, "application/json", "Cache-Control: no-store\r\n", buf_slice(&b));
	buf_fini(&b);
}

static void admin_config(struct worker *w, struct http_exchange *x)
{
	struct buf b = {0};

	config_to_json(atomic_load(&w->server->newest), &b);
	http_respond(x, 200, "application/json", "Cache-Control: no-store\r\n", buf_slice(&b));
	buf_fini(&b);
}

/* --- routing --------------------------------------------------------------------------------- */

static const struct {
	const char *path;
	bool is_post;
	void (*run)(struct worker *w, struct http_exchange *x);
} calls[] = {
	{"/v1/admin/channels", false, admin_channels},
	{"/v1/admin/channel", false, admin_channel},
	{"/v1/admin/purge", true, admin_purge},
	{"/v1/admin/connections", false, admin_connections},
	{"/v1/admin/kick", true, admin_kick},
	{"/v1/admin/stats", false, admin_stats},
	{"/v1/admin/backup", true, admin_backup},
	{"/v1/admin/config", false, admin_config},
};

static bool is_allowed(bool is_post, enum http_method m)
{
	return is_post ? m == HTTP_POST_ : m == HTTP_GET_ || m == HTTP_HEAD_;
}

static void admin_open(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);

	if (!r->is_admin) {
		http_respond_fault(x, FAULT_FORBIDDEN, "",
				   "the admin API answers on the admin socket only");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (!slice_eq_str(r->path, calls[i].path))
			continue;
		if (is_allowed(calls[i].is_post, r->method))
			calls[i].run(g->extra_arg, x);
		else
			http_respond_fault(
				x, FAULT_METHOD_NOT_ALLOWED,
				calls[i].is_post ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n",
				"this path answers %s only", calls[i].is_post ? "POST" : "GET");
		return;
	}
	http_respond_fault(x, FAULT_NOT_FOUND, "", "there is no such admin call");
}

static bool admin_match(const struct http_request *r)
{
	return slice_starts(r->path, "/v1/admin/");
}

const struct transport_ops admin_transport = {
	.name = "admin",
	.methods = METHODS_GET | METHODS_POST | METHOD_BIT(HTTP_DELETE_),
	.match = admin_match,
	.open = admin_open,
};
