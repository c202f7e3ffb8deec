/* SPDX-License-Identifier: MIT */
/* history: GET /v1/history, a page of stored messages of one channel. */
#include "transports/fetch.h"
#include "transports/params.h"
#include "transports/transport.h"

static void on_fetched(struct fetch *f, struct slice members, enum fault_id fault, const char *text)
{
	struct http_exchange *x = f->owner;
	struct buf b = {.cap = SIZE_MAX};

	http_exchange_set(x, NULL, NULL);
	if (fault) {
		http_respond_fault(x, fault, "Retry-After: 1\r\n", "%s", text);
		return;
	}
	buf_add_char(&b, '{');
	buf_add_slice(&b, members);
	buf_add_char(&b, '}');
	http_respond(x, 200, "application/json", "Cache-Control: private, no-cache\r\n",
		     buf_slice(&b));
	buf_fini(&b);
}

static void on_abort(struct http_exchange *x)
{
	fetch_cancel(http_exchange_owner(x));
}

static int parse(struct gateway *g, const struct http_request *r, struct subscribe_params *params,
		 uint64_t *ret_limit, struct fault *fault)
{
	int rc = param_u64(r, "limit", UINT32_MAX, ret_limit, fault);

	if (rc == 0)
		rc = subscribe_params_parse(r, g->config, false, params, fault);
	if (rc)
		return rc;
	if (params->channel_n == 1)
		return 0;
	rc = fault_set(fault, params->channel_n ? FAULT_BAD_PARAMETER : FAULT_NO_CHANNEL,
		       "name one channel: ?channel=NAME");
	subscribe_params_fini(params);
	return rc;
}

static void open_history(struct gateway *g, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct subscribe_params params;
	struct fetch *f = NULL;
	struct fault fault;
	uint64_t limit = 0;

	if (parse(g, r, &params, &limit, &fault) == 0) {
		struct fetch_request request = {.channel = params.channels[0],
						.start = params.start,
						.limit = limit,
						.is_admin = r->is_admin};

		f = fetch_start(g, &request, on_fetched, x, &fault);
		subscribe_params_fini(&params);
	}
	if (f)
		http_exchange_set(x, f, on_abort);
	else
		http_respond_fault(x, fault.id, "", "%s", fault.message);
}

static bool history_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/history");
}

const struct transport_ops history_transport = {
	.name = "history", .methods = METHODS_GET, .match = history_match, .open = open_history};
