/* SPDX-License-Identifier: MIT */
/* members: DESIGN: entries are written under the shard's lock, straight into the reply; both the
 * number of entries and their bytes are bounded, so the lock is held for a short and known time. */
#include "transports/members.h"

#include "base/json.h"
#include "base/log.h"
#include "base/pattern.h"
#include "broker/presence_desk.h"

int members_check(const struct gateway *g, struct members_request *r, const struct slice *after,
		  struct fault *fault)
{
	if (pattern_is(r->channel))
		return fault_set(fault, FAULT_BAD_CHANNEL,
				 "presence is asked of a channel, not of a pattern");
	int rc = subscriber_check(g->hub, NULL, &r->channel, 1, r->is_admin, fault);
	if (rc)
		return rc;
	if (!g->hub->desk || !namespace_find(g->hub->namespaces, r->channel)->has_presence)
		return fault_set(fault, FAULT_NOT_SUPPORTED, "presence is not kept for %.*s",
				 SLICE_ARG(r->channel));
	if (after && !session_name_parse(*after, &r->after))
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "after=%s: the \"session\" of a member is expected",
				 log_value_n(after->p, after->n));
	/* Behind every id that begins so. */
	if (after)
		memset(r->after.bytes + SESSION_NAME_BYTES, 0xff,
		       SESSION_ID_BYTES - SESSION_NAME_BYTES);
	return 0;
}

struct listing {
	struct buf *out;
	size_t end; /* of the buf: no entry begins beyond it */
	size_t n;
};

static bool add_row(void *arg, const struct presence_entry *e)
{
	struct listing *l = arg;

	if (l->out->n >= l->end)
		return false;
	if (l->n++)
		buf_add_char(l->out, ',');
	presence_add_entry(l->out, e);
	return true;
}

void json_add_members(struct buf *out, const struct gateway *g, const struct members_request *r)
{
	struct presence *p = g->hub->desk->presence;
	struct buf rows = {0};
	struct listing l = {.out = &rows, .end = r->bytes};
	struct presence_page page = {
		.after = r->after,
		.entry_max = r->limit,
		.row = add_row,
		.arg = &l,
	};
	bool more = false;

	if (r->limit > g->config->presence_members)
		page.entry_max = g->config->presence_members;
	size_t count = r->count_only ? presence_count(p, r->channel)
				     : presence_list(p, r->channel, &page, &more);
	buf_add_str(out, "\"channel\":");
	json_add_string(out, r->channel);
	buf_addf(out, ",\"count\":%zu", count);
	if (!r->count_only) {
		buf_add_str(out, ",\"members\":[");
		buf_add_slice(out, buf_slice(&rows));
		buf_addf(out, "],\"more\":%s", more ? "true" : "false");
	}
	buf_fini(&rows);
}
