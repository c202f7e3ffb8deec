/* SPDX-License-Identifier: MIT */
/* presence: GET /v1/presence, who is in one channel. Answered at once, from memory, by any worker.
 */
#include "transports/members.h"
#include "transports/params.h"
#include "transports/transport.h"

static int parse(struct gateway *g, const struct http_request *r, struct members_request *ret,
		 struct fault *fault)
{
	struct slice after = http_param_get(r, "after");
	size_t n = 0;

	*ret = (struct members_request){.limit = g->config->presence_members,
					.bytes = MEMBERS_BYTES,
					.is_admin = r->is_admin};
	for (size_t i = 0; i < r->param_n; i++)
		n += slice_eq_str(r->params[i].name, "channel");
	if (n != 1)
		return fault_set(fault, n ? FAULT_BAD_PARAMETER : FAULT_NO_CHANNEL,
				 "name one channel: ?channel=NAME");
	ret->channel = http_param_get(r, "channel");
	int rc = param_u64(r, "limit", UINT32_MAX, &ret->limit, fault);
	if (rc == 0)
		rc = param_bool(r, "count", &ret->count_only, fault);
	if (rc == 0)
		rc = members_check(g, ret, after.n ? &after : NULL, fault);
	return rc;
}

static void presence_open(struct gateway *g, struct http_exchange *x)
{
	struct members_request request;
	struct fault fault;
	struct buf b = {0};

	if (parse(g, http_exchange_request(x), &request, &fault) != 0) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	buf_add_char(&b, '{');
	json_add_members(&b, g, &request);
	buf_add_char(&b, '}');
	http_respond(x, 200, "application/json", "Cache-Control: no-store\r\n", buf_slice(&b));
	buf_fini(&b);
}

static bool presence_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/presence");
}

const struct transport_ops presence_transport = {
	.name = "presence", .methods = METHODS_GET, .match = presence_match, .open = presence_open};
