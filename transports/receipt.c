/* SPDX-License-Identifier: MIT */
/* receipt: the acknowledgement of a publish, the same on HTTP and WebSocket. */
#include "transports/receipt.h"

#include "base/json.h"
#include "broker/publish.h"
#include "transports/encode.h"

static void add_ids(struct buf *out, const struct hub *h, const struct append *a)
{
	buf_add_str(out, "\"ids\":[");
	for (uint64_t i = 0; i < a->stored_n; i++) {
		if (i)
			buf_add_char(out, ',');
		json_add_id_or_null(out, &h->epoch, a->first ? a->first + i : 0);
	}
	buf_add_str(out, "],");
}

void receipt_add(struct buf *out, struct hub *h, const struct append *a, enum receipt_kind kind)
{
	struct slice channel = message_channel(a->messages[a->n - 1]);
	uint64_t last = a->first ? a->first + a->stored_n - 1 : 0;

	if (kind != RECEIPT_ONE)
		add_ids(out, h, a);
	if (kind == RECEIPT_SCATTERED) {
		buf_addf(out, "\"count\":%llu,", (unsigned long long)a->stored_n);
	} else {
		buf_add_str(out, "\"id\":");
		json_add_id_or_null(out, &h->epoch, last);
		buf_add_str(out, ",\"channel\":");
		json_add_string(out, channel);
		buf_add_char(out, ',');
	}
	/* one for each publish: without printf */
	buf_add_str(out, "\"durability\":\"");
	buf_add_str(out, durability_name(a->durability));
	buf_add_str(out, a->outcome == APPEND_DUPLICATE ? "\",\"duplicate\":true"
							: "\",\"duplicate\":false");
	if (kind != RECEIPT_SCATTERED) {
		buf_add_str(out, ",\"subscribers\":");
		buf_add_u64(out, census_total(h->census, channel));
	}
}

void receipt_add_error(struct buf *out, const struct hub *h, const struct append *a)
{
	buf_addf(out, "\"code\":\"%s\",\"message\":", fault_code(publish_fault_of(a)));
	json_add_string(out, slice_str(publish_fault_text(a)));
	if (a->error != 0)
		return;
	if (a->outcome == APPEND_CONFLICT) {
		buf_add_str(out, ",\"head\":");
		json_add_id_or_null(out, &h->epoch, a->told);
	} else if (a->outcome == APPEND_PRODUCER_GAP) {
		buf_addf(out, ",\"expected\":%llu", (unsigned long long)a->told);
	}
}
