/* SPDX-License-Identifier: MIT */
/*
 * sub_ack.c: see the header. DESIGN: acknowledgements are cumulative, so only the newest id per
 * channel is kept, and a request that fails is simply made again with what is newest then.
 */
#include "cli/sub_ack.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "cli/say.h"

#define RETRY_MS 1000

void sub_acks_init(struct sub_acks *a, const struct target *target, const char *subscriber)
{
	*a = (struct sub_acks){.subscriber = subscriber};
	if (subscriber)
		http_init(&a->http, target);
}

static void forget(struct sub_acks *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->rows[i].channel);
	a->n = 0;
}

void sub_acks_fini(struct sub_acks *a)
{
	forget(a);
	free(a->rows);
	if (a->subscriber)
		http_fini(&a->http);
}

void sub_acks_note(struct sub_acks *a, struct slice channel, struct slice id)
{
	size_t i = 0;

	if (!a->subscriber || id.n > TRACK_ID_MAX)
		return;
	while (i < a->n && !slice_eq_str(channel, a->rows[i].channel))
		i++;
	if (i == a->n) {
		if (a->n == a->room) {
			a->room = a->room ? a->room * 2 : 4;
			a->rows = xrealloc(a->rows, a->room * sizeof(*a->rows));
		}
		a->rows[a->n++].channel = xstrndup(channel.p, channel.n);
	}
	memcpy(a->rows[i].id, id.p, id.n);
	a->rows[i].id[id.n] = '\0';
}

static void write_body(const struct sub_acks *a, struct buf *b)
{
	buf_add_str(b, "{\"subscriber\":");
	json_add_string(b, slice_str(a->subscriber));
	buf_add_str(b, ",\"acks\":[");
	for (size_t i = 0; i < a->n; i++)
		buf_addf(b, "%s{\"channel\":%s,\"id\":\"%s\"}", i ? "," : "", a->rows[i].channel,
			 a->rows[i].id);
	buf_add_str(b, "]}");
}

int sub_acks_send(struct sub_acks *a, bool is_last)
{
	struct buf body = {0}, text = {0};
	struct http_reply reply;
	int rc = 0;

	if (a->n == 0)
		return 0;
	if (!is_last && a->retry_ms && clock_mono_ms() < a->retry_ms)
		return -1;
	write_body(a, &body);
	http_perform(&a->http,
		     &(struct http_request){.method = "POST",
					    .path = SLICE("/v1/ack"),
					    .body = buf_slice(&body),
					    .content_type = "application/json"},
		     &reply);
	if (reply.result == HTTP_ANSWERED && reply.status == 200) {
		forget(a);
		a->retry_ms = 0;
	} else {
		if (reply.result == HTTP_ANSWERED)
			http_refusal(&reply, &text);
		else
			buf_add_str(&text, reply.reason);
		if (is_last || a->retry_ms == 0)
			say("can not acknowledge: %.*s", SLICE_ARG(buf_slice(&text)));
		a->retry_ms = clock_mono_ms() + RETRY_MS;
		rc = -1;
	}
	http_reply_fini(&reply);
	buf_fini(&body);
	buf_fini(&text);
	return rc;
}
