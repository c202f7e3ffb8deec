/* SPDX-License-Identifier: MIT */
/* receipt: the acknowledgement of a publish, the same on HTTP and WebSocket. */
#include "transports/receipt.h"

#include "base/json.h"
#include "transports/encode.h"

void receipt_add(struct buf *out, struct hub *h, const struct append *a, bool is_batch)
{
	const struct message *last = a->messages[a->n - 1];

	if (is_batch) {
		buf_add_str(out, "\"ids\":[");
		for (size_t i = 0; i < a->n; i++) {
			if (i)
				buf_add_char(out, ',');
			json_add_id_or_null(out, &h->epoch, a->messages[i]->seq);
		}
		buf_add_str(out, "],");
	}
	buf_add_str(out, "\"id\":");
	json_add_id_or_null(out, &h->epoch, last->seq);
	buf_add_str(out, ",\"channel\":");
	json_add_string(out, message_channel(last));
	buf_addf(out, ",\"durability\":\"%s\",\"duplicate\":false,\"subscribers\":%u",
		 durability_name(last->durability), census_total(h->census, message_channel(last)));
}
