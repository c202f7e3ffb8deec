/* SPDX-License-Identifier: MIT */
/*
 * http_gzip: whether an answer goes in gzip (RFC 9110 12.5.3, 8.4).
 *
 * DESIGN. Nobody who answers needs to know: what a GET brought with 200 and is text goes in gzip
 * when the client takes it, when it is not shorter than it is worth, and not longer than a worker
 * may be busy with. Each such answer, compressed or not, says that it depends on Accept-Encoding,
 * or a shared cache would give the one to those who take only the other.
 *
 * A client that takes neither gzip nor the bytes as they are gets the latter: Accept-Encoding may
 * be disregarded, and an answer helps more than a 406.
 */
#include "net/http_private.h"

#include <limits.h>

#include "base/obj.h"
#include "net/deflate.h"

#define Q_ONE  1000
#define Q_NONE UINT_MAX /* not said */

static struct slice trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Up to the separator, which is skipped. */
static struct slice cut(struct slice *in, char separator)
{
	const char *end = in->n ? memchr(in->p, separator, in->n) : NULL;
	struct slice head = slice_make(in->p, end ? (size_t)(end - in->p) : in->n);

	*in = slice_skip(*in, head.n + (end ? 1 : 0));
	return trim(head);
}

/* "0.5" in thousandths (RFC 9110 12.4.2); what is none counts as 0: better not compressed. */
static unsigned parse_quality(struct slice v)
{
	unsigned q, unit = Q_ONE;

	if (v.n == 0 || (v.p[0] != '0' && v.p[0] != '1') || v.n > 5 || (v.n > 1 && v.p[1] != '.'))
		return 0;
	q = v.p[0] == '1' ? Q_ONE : 0;
	for (size_t i = 2; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return 0;
		unit /= 10;
		q += (unsigned)(v.p[i] - '0') * unit;
	}
	return q > Q_ONE ? 0 : q;
}

static unsigned quality(struct slice parameters)
{
	while (parameters.n > 0) {
		struct slice p = cut(&parameters, ';');
		struct slice name = cut(&p, '=');

		if (slice_eq_nocase(name, "q"))
			return parse_quality(trim(p));
	}
	return Q_ONE;
}

struct http_codings http_codings_wanted(const struct http_request *r)
{
	unsigned gzip = Q_NONE, identity = Q_NONE, rest = Q_NONE;
	bool is_said = false;

	for (size_t i = 0; i < r->header_n; i++) {
		struct slice list = r->headers[i].value;

		if (!slice_eq_nocase(r->headers[i].name, "Accept-Encoding"))
			continue;
		is_said = true;
		while (list.n > 0) {
			struct slice item = cut(&list, ',');
			struct slice name = cut(&item, ';');

			if (slice_eq_nocase(name, "gzip") || slice_eq_nocase(name, "x-gzip"))
				gzip = quality(item);
			else if (slice_eq_nocase(name, "identity"))
				identity = quality(item);
			else if (slice_eq_str(name, "*"))
				rest = quality(item);
		}
	}
	if (!is_said)
		return (struct http_codings){.identity = Q_ONE};
	if (gzip == Q_NONE)
		gzip = rest == Q_NONE ? 0 : rest;
	/* Not named at all, it is taken, but after what is named. */
	if (identity == Q_NONE)
		identity = rest == Q_NONE ? 1 : rest;
	return (struct http_codings){.gzip = gzip, .identity = identity};
}

bool http_codings_gzip(struct http_codings q)
{
	return q.gzip > 0 && q.gzip >= q.identity;
}

bool http_codings_no_plain(struct http_codings q)
{
	return q.identity == 0;
}

static bool is_get(const struct http_exchange *x)
{
	return x->method == HTTP_GET_ || x->method == HTTP_HEAD_;
}

void http_keep_codings(struct http_exchange *x)
{
	if (!is_get(x))
		return;
	struct http_codings q = http_codings_wanted(&x->message->req);

	x->wants_gzip = http_codings_gzip(q);
	x->forbids_plain = http_codings_no_plain(q);
}

static bool is_text(const char *type)
{
	struct slice t = slice_str(type);

	return slice_starts(t, "text/") || slice_starts(t, "application/json") ||
	       slice_starts(t, "application/javascript");
}

bool http_varies(const struct http_exchange *x, int status, const char *type)
{
	/* A 304 has what the 200 would have had (RFC 9110 15.4.5). */
	return x->http && x->http->cfg->deflater && is_get(x) &&
	       (status == 304 || (status == 200 && is_text(type)));
}

bool http_wants_gzip(const struct http_exchange *x, int status, const char *type, size_t body_n)
{
	if (status == 304 || !http_varies(x, status, type))
		return false;
	const struct deflate_config *cfg = deflater_config(x->http->cfg->deflater);
	bool wants_gzip = x->wants_gzip, forbids_plain = x->forbids_plain;

	if (body_n == 0 || body_n > cfg->gzip_max_bytes)
		return false;
	if (x->message) {
		struct http_codings q = http_codings_wanted(&x->message->req);

		wants_gzip = http_codings_gzip(q);
		forbids_plain = http_codings_no_plain(q);
	}
	/* Who forbids the bytes as they are gets gzip for short answers too. */
	return wants_gzip && (body_n >= cfg->gzip_min_bytes || forbids_plain);
}
