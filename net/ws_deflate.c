/* SPDX-License-Identifier: MIT */
/*
 * ws_deflate.c: the header of RFC 7692 section 7.1, and compressed frames.
 *
 * DESIGN. Nobody keeps a window from one message to the next: the server says so for itself, so
 * that one deflated frame is good for everybody, and demands it of the client, so that an idle
 * connection keeps none. What a client may choose is then only the window inside one message:
 *
 *   server_max_window_bits=N   taken when N is no less than the window all frames are made with
 *   client_max_window_bits[=N] a promise, or the leave to ask for one; nothing needs to be asked
 *
 * An offer that says anything else, says something twice or with a value out of its range is
 * declined, and the next one looked at. A header that is not well-formed holds no offers from there
 * on. To be declined is no failure: the connection goes without (RFC 7692 5.1).
 */
#include "net/ws_deflate.h"

#include <stdio.h>

#include "base/obj.h"
#include "net/http_private.h"
#include "net/ws_frame.h"

#define WINDOW_BITS_MIN 8 /* RFC 7692 7.1.2 */
#define WINDOW_BITS_MAX 15

/* --- offers ---------------------------------------------------------------------------------- */

enum parameter { SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER, SERVER_BITS, CLIENT_BITS, PARAMETER_N };

static const struct {
	const char *name;
	bool may_have_value, must_have_value;
} parameters[PARAMETER_N] = {
	[SERVER_NO_TAKEOVER] = {"server_no_context_takeover", false, false},
	[CLIENT_NO_TAKEOVER] = {"client_no_context_takeover", false, false},
	[SERVER_BITS] = {"server_max_window_bits", true, true},
	[CLIENT_BITS] = {"client_max_window_bits", true, false},
};

struct offer {
	bool is_good;
	bool seen[PARAMETER_N];
	unsigned server_bits;
};

static void skip_space(struct slice *in)
{
	while (in->n > 0 && (*in->p == ' ' || *in->p == '\t'))
		*in = slice_skip(*in, 1);
}

/* The separator, if it is next. */
static bool take(struct slice *in, char separator)
{
	skip_space(in);
	if (in->n == 0 || *in->p != separator)
		return false;
	*in = slice_skip(*in, 1);
	skip_space(in);
	return true;
}

static bool take_token(struct slice *in, struct slice *ret)
{
	size_t n = 0;

	while (n < in->n && http_is_token_char((unsigned char)in->p[n]))
		n++;
	*ret = slice_make(in->p, n);
	*in = slice_skip(*in, n);
	return n > 0;
}

/* A token, or one in quotes (RFC 6455 9.1); escapes in it are not undone, no value of ours needs
 * them. */
static bool take_value(struct slice *in, struct slice *ret)
{
	size_t n = 1;

	if (in->n == 0 || *in->p != '"')
		return take_token(in, ret);
	while (n < in->n && in->p[n] != '"')
		n += in->p[n] == '\\' ? 2 : 1;
	if (n >= in->n)
		return false;
	*ret = slice_make(in->p + 1, n - 1);
	*in = slice_skip(*in, n + 1);
	return true;
}

/* 8..15, without a leading zero; 0: something else. */
static unsigned bits_of(struct slice v)
{
	for (unsigned bits = WINDOW_BITS_MIN; bits <= WINDOW_BITS_MAX; bits++) {
		char text[4];

		snprintf(text, sizeof(text), "%u", bits);
		if (slice_eq_str(v, text))
			return bits;
	}
	return 0;
}

static void take_parameter(struct offer *o, struct slice name, bool has_value, struct slice value)
{
	size_t i = 0;
	unsigned bits = has_value ? bits_of(value) : 0;

	while (i < PARAMETER_N && !slice_eq_nocase(name, parameters[i].name))
		i++;
	if (i == PARAMETER_N || o->seen[i] || (has_value && !parameters[i].may_have_value) ||
	    (!has_value && parameters[i].must_have_value) || (has_value && !bits)) {
		o->is_good = false;
		return;
	}
	o->seen[i] = true;
	if (i == SERVER_BITS)
		o->server_bits = bits;
}

/* One extension with its parameters. False: this is no list of extensions. */
static bool take_offer(struct slice *in, struct offer *ret)
{
	struct slice name, value = SLICE("");

	*ret = (struct offer){.server_bits = WINDOW_BITS_MAX};
	if (!take_token(in, &name))
		return false;
	ret->is_good = slice_eq_nocase(name, "permessage-deflate");
	while (take(in, ';')) {
		if (!take_token(in, &name))
			return false;
		bool has_value = take(in, '=');
		if (has_value && !take_value(in, &value))
			return false;
		take_parameter(ret, name, has_value, value);
	}
	skip_space(in);
	return in->n == 0 || *in->p == ',';
}

static bool find_offer(struct slice list, unsigned window_bits, struct offer *ret)
{
	for (;;) {
		while (take(&list, ',')) {
		}
		if (list.n == 0 || !take_offer(&list, ret))
			return false;
		if (ret->is_good && ret->server_bits >= window_bits)
			return true;
	}
}

bool ws_deflate_negotiate(const struct http_request *r, unsigned window_bits,
			  char ret[WS_DEFLATE_ANSWER_MAX])
{
	struct offer o;

	for (size_t i = 0; i < r->header_n; i++) {
		if (!slice_eq_nocase(r->headers[i].name, "Sec-WebSocket-Extensions") ||
		    !find_offer(r->headers[i].value, window_bits, &o))
			continue;
		int n = snprintf(ret, WS_DEFLATE_ANSWER_MAX,
				 "permessage-deflate; server_no_context_takeover; "
				 "client_no_context_takeover");
		if (o.seen[SERVER_BITS])
			snprintf(ret + n, WS_DEFLATE_ANSWER_MAX - (size_t)n,
				 "; server_max_window_bits=%u", window_bits);
		return true;
	}
	return false;
}

/* --- frames ---------------------------------------------------------------------------------- */

struct frame *ws_deflate_pack(void *packer, struct frame *plain)
{
	struct slice bytes = slice_make(plain->bytes, plain->n), deflated;
	uint8_t head[WS_HEAD_MAX];
	struct ws_head h;

	enum ws_verdict v = ws_head_decode(bytes, &h);
	assert(v == WS_OK && h.fin && !h.masked && !h.rsv);
	if (deflater_deflate(packer, slice_skip(bytes, h.head_n), &deflated) != 0)
		return plain;
	size_t head_n = ws_head_encode(head, h.opcode, true, deflated.n);
	head[0] |= WS_RSV1 << 4;
	struct frame *f = frame_new(head_n + deflated.n);
	memcpy(f->bytes, head, head_n);
	memcpy(f->bytes + head_n, deflated.p, deflated.n);
	f->seq = plain->seq;
	f->is_message = plain->is_message;
	frame_unref(plain);
	return f;
}

/* What zlib names as the worst for any of its settings (deflateBound). */
size_t ws_deflate_payload_max(size_t message_max)
{
	return message_max + message_max / 8 + message_max / 64 + 64;
}
