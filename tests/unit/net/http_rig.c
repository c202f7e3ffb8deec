/* SPDX-License-Identifier: MIT */
/* http_rig: see http_rig.h. */
#include "tests/unit/net/http_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/obj.h"

static struct rig *rig; /* callbacks of exchanges carry no argument of ours */

/* --- the handler ----------------------------------------------------------------------------- */

static void describe(struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct buf b = {0};
	buf_addf(&b, "%.*s %.*s?%.*s 1.%d", SLICE_ARG(r->method_text), SLICE_ARG(r->path),
		 SLICE_ARG(r->query), r->minor);
	for (size_t i = 0; i < r->param_n; i++)
		buf_addf(&b, " {%.*s=%.*s}", SLICE_ARG(r->params[i].name),
			 SLICE_ARG(r->params[i].value));
	struct slice mark = http_header_get(r, "x-mark");
	if (mark.p)
		buf_addf(&b, " mark=<%.*s>", SLICE_ARG(mark));
	buf_addf(&b, " body=<");
	buf_add_slice(&b, r->body);
	buf_addf(&b, ">%s", r->wants_upgrade ? " upgrade" : "");
	http_respond(x, 200, "text/plain", "", buf_slice(&b));
	buf_fini(&b);
}

static void on_abort(struct http_exchange *x)
{
	struct rig *r = http_exchange_owner(x);
	assert_null(http_exchange_conn(x));
	r->aborted++;
	for (size_t i = 0; i < r->kept_n; i++)
		if (r->kept[i] == x)
			r->kept[i] = NULL;
}

static size_t taken_input(struct conn *c, struct slice bytes)
{
	struct rig *r = c->owner;
	buf_add_slice(&r->taken_input, bytes);
	return bytes.n;
}

static void taken_eof(struct conn *c)
{
	conn_finish(c, CLOSE_CLIENT_GONE);
}

static void taken_closed(struct conn *c, enum close_reason reason)
{
	struct rig *r = c->owner;
	r->taken_gone = true;
}

static const struct conn_ops taken_ops = {
	.on_input = taken_input,
	.on_eof = taken_eof,
	.on_closed = taken_closed,
};

void rig_on_ready(struct http_exchange *x)
{
	struct rig *r = http_exchange_owner(x);
	struct buf head = {0};
	http_head_begin(&head, x, 200, "close");
	buf_add_str(&head, "\r\nstream:");
	r->taken = http_detach(x, buf_slice(&head));
	conn_set_owner(r->taken, &taken_ops, r);
	buf_fini(&head);
}

void rig_on_time(struct http_exchange *x)
{
	struct rig *r = http_exchange_owner(x);
	r->waited++;
}

static void on_request(void *arg, struct http_exchange *x)
{
	struct rig *r = arg;
	const struct http_request *q = http_exchange_request(x);

	r->requests++;
	assert_non_null(http_exchange_conn(x));
	if (slice_starts(q->path, "/later") || slice_starts(q->path, "/wait") ||
	    slice_starts(q->path, "/orphan")) {
		r->kept[r->kept_n++] = x;
		if (!slice_starts(q->path, "/orphan"))
			http_exchange_set(x, r, on_abort);
		if (slice_starts(q->path, "/wait"))
			http_exchange_wait(x, RIG_WAIT_MS, rig_on_time);
		else if (slice_starts(q->path, "/later/forgotten"))
			http_exchange_forget(x);
	} else if (slice_starts(q->path, "/take")) {
		http_exchange_set(x, r, on_abort);
		http_take_over(x, rig_on_ready);
	} else if (slice_starts(q->path, "/close")) {
		conn_close(http_exchange_conn(x), CLOSE_KICKED);
		http_respond(x, 200, NULL, "", SLICE("")); /* into the void, but it must be */
	} else if (slice_starts(q->path, "/empty")) {
		http_respond(x, 304, NULL, "ETag: \"1\"\r\n", SLICE(""));
	} else if (slice_starts(q->path, "/missing")) {
		http_respond_fault(x, FAULT_NOT_FOUND, "X-Extra: 1\r\n", "no \"%s\" here\n", "x");
	} else {
		describe(x);
	}
}

size_t rig_limit_of(void *arg, const struct http_request *q)
{
	struct rig *r = arg;
	return slice_eq_str(q->path, "/small") ? r->small_limit : r->cfg.body_max;
}

/* --- the rig --------------------------------------------------------------------------------- */

int rig_setup(void **state)
{
	rig = calloc(1, sizeof(*rig));
	wire_init(&rig->w);
	rig->cfg = (struct http_config){
		.head_max = 16384,
		.target_max = 9000,
		.body_max = 100000,
		.head_timeout_ms = 3000,
		.body_timeout_ms = 4000,
		.idle_timeout_ms = 10000,
		.pipeline_max = 4,
		.server = "holdfast",
		.cors_origins = "",
		.on_request = on_request,
		.arg = rig,
	};
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	wire_fini(&rig->w);
	buf_fini(&rig->taken_input);
	free(rig);
	return 0;
}

void rig_start(struct rig *r)
{
	wire_connect(&r->w, NULL, NULL);
	http_serve(r->w.conn, &r->cfg);
	loop_turn(r->w.loop, false);
}

void rig_ask(struct rig *r, const char *text)
{
	wire_send(&r->w, slice_str(text));
}

static void show_got(const struct rig *r)
{
	print_message("# received: %.*s\n", SLICE_ARG(buf_slice(&r->w.got)));
}

void rig_expect(const struct rig *r, const char *text)
{
	if (!wire_has(&r->w, text)) {
		show_got(r);
		fail_msg("not received: %s", text);
	}
}

void rig_expect_not(const struct rig *r, const char *text)
{
	if (wire_has(&r->w, text)) {
		show_got(r);
		fail_msg("received: %s", text);
	}
}

void rig_expect_begin(const struct rig *r, const char *text)
{
	if (!slice_starts(buf_slice(&r->w.got), text)) {
		show_got(r);
		fail_msg("does not begin with: %s", text);
	}
}

bool rig_is_over(const struct rig *r)
{
	return LIST_EMPTY(&r->w.env.all);
}

void rig_answer(struct rig *r, size_t i, const char *body)
{
	struct http_exchange *x = r->kept[i];
	r->kept[i] = NULL;
	http_respond(x, 200, "text/plain", "", slice_str(body));
	wire_settle(&r->w);
}

void rig_expect_refusal(struct rig *r, int status, const char *code)
{
	char line[64];
	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	rig_expect_begin(r, line);
	rig_expect(r, "\r\nConnection: close\r\n");
	rig_expect(r, "\r\nContent-Type: application/json\r\n");
	snprintf(line, sizeof(line), "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
	rig_expect(r, line);
	rig_expect(r, "\"}}\n");
	assert_int_equal(wire_count(&r->w, "\r\nDate: "), 1);
	assert_true(r->w.got_eof);
	assert_false(r->w.got_reset);
	assert_int_equal(r->requests, 0);
}

void rig_fill(struct buf *b, const char *before, size_t n, const char *after)
{
	buf_fini(b);
	buf_add_str(b, before);
	for (size_t i = 0; i < n; i++)
		buf_add_char(b, 'a');
	buf_add_str(b, after);
}
