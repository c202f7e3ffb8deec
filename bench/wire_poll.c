/* SPDX-License-Identifier: MIT */
/*
 * wire_poll: long and short polling. A subscriber asks, scans the answer, takes the cursors from
 * it, and asks again: at once (the server waits), or after --poll-ms. It keeps its cursors over a
 * new connection. Answers without news (204, 304, 408) are as good as empty ones.
 *
 *   step 0 nothing has been answered on this connection yet   step 1 something has
 */
#include <stdlib.h>
#include <string.h>

#include "bench/load.h"

static void ask(struct load *l, struct conn *c)
{
	bool is_first = !c->cursors[0] && *l->o.first_path;

	conn_request(l, c, "GET", is_first ? l->o.first_path : l->o.subscribe_path);
	conn_send(l, c, "\r\n", 2);
	if (!is_first)
		conn_ready(l, c);
}

static void take_cursors(struct load *l, struct conn *c, struct span all)
{
	for (unsigned i = 0; i < l->o.cursor_n; i++) {
		const char *name = l->o.cursors[i];
		const char *at = memmem(all.p, all.n, name, strlen(name));

		if (!at)
			continue;
		at += strlen(name);
		free(c->cursors[i]);
		c->cursors[i] = strndup(at, strcspn(at, "\",\r\n"));
	}
}

/* The head and the body, without what stands between the chunks; of use until the next answer. */
static struct span without_framing(struct load *l, struct span all)
{
	struct http_reply reply = {0};
	struct span piece;
	size_t used;
	enum http_event event;

	l->scratch.n = 0;
	do {
		event = http_take(&reply, all, &piece, &used);
		if (event == HTTP_GOT_HEAD || event == HTTP_GOT_BODY)
			bytes_add(&l->scratch, piece.p, piece.n);
		all = (struct span){all.p + used, all.n - used};
	} while (event != HTTP_GOT_END);
	bytes_add(&l->scratch, "", 1);
	return (struct span){l->scratch.p, l->scratch.n - 1};
}

static size_t poll_input(struct load *l, struct conn *c, struct span bytes, bool is_long)
{
	struct http_reply reply;
	long size = http_whole(bytes, &reply);

	if (size == 0)
		return 0;
	if (size < 0 || (reply.status != 200 && reply.status != 204 && reply.status != 304 &&
			 reply.status != 408))
		die("a poll was refused: %.*s", (int)(bytes.n < 1000 ? bytes.n : 1000), bytes.p);
	struct span all = without_framing(l, (struct span){bytes.p, (size_t)size});
	take_cursors(l, c, all);
	if (!c->cursors[0] && *l->o.first_path)
		die("there is no cursor in: %.*s", (int)(all.n < 1000 ? all.n : 1000), all.p);
	track_scan(l, c, all);
	c->carry_n = 0;
	conn_ready(l, c);
	if (!reply.keeps)
		conn_close(l, c, "the server keeps no connections");
	else if (is_long)
		ask(l, c);
	else
		conn_poll_later(l, c);
	return (size_t)size;
}

static size_t longpoll_input(struct load *l, struct conn *c, struct span bytes)
{
	return poll_input(l, c, bytes, true);
}

static size_t shortpoll_input(struct load *l, struct conn *c, struct span bytes)
{
	return poll_input(l, c, bytes, false);
}

const struct wire wire_longpoll = {
	.name = "longpoll",
	.subscribe_path = "/v1/poll?%q&since=%1&wait=25",
	.comes_back = true,
	.open_subscriber = ask,
	.input = longpoll_input,
};

const struct wire wire_shortpoll = {
	.name = "shortpoll",
	.subscribe_path = "/v1/poll?%q&since=%1",
	.comes_back = true,
	.open_subscriber = ask,
	.input = shortpoll_input,
};
