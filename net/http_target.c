/* SPDX-License-Identifier: MIT */
/*
 * http_target: the request target taken apart: path, query, parameters (RFC 9112 3.2, RFC 3986).
 *
 * DESIGN. Three forms are understood: "/path?query"; "http://host/path?query", whose authority must
 * be that of the Host header, so that nobody downstream can be told another host than we were; and
 * "*", for OPTIONS only. Everything is decoded once, into room the caller has set aside: decoding
 * never makes text longer. Malformed escapes and %00 are refused rather than passed on, because the
 * next reader might understand them differently.
 *
 * Pure: no state, no allocation.
 */
#include <errno.h>

#include "net/http_private.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t http_percent_decode(struct slice text, bool plus_is_space, char *out)
{
	char *o = out;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '%') {
			if (text.n - i < 3)
				return -EINVAL;
			int high = hex_digit(text.p[i + 1]);
			int low = hex_digit(text.p[i + 2]);
			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return -EINVAL;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		*o++ = c;
	}
	return o - out;
}

/* RFC 3986 3.2.2: reg-name */
static bool is_host_char(char c)
{
	static const bool allowed[256] = {
		['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['.'] = 1,
		['_'] = 1,         ['~'] = 1,         ['!'] = 1,         ['$'] = 1, ['&'] = 1,
		['\''] = 1,        ['('] = 1,         [')'] = 1,         ['*'] = 1, ['+'] = 1,
		[','] = 1,         [';'] = 1,         ['='] = 1,         ['%'] = 1,
	};
	return allowed[(unsigned char)c];
}

static bool port_is_valid(struct slice port)
{
	unsigned long v = 0;
	for (size_t i = 0; i < port.n; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(port.p[i] - '0');
		if (v > 65535)
			return false;
	}
	return true;
}

bool http_host_is_valid(struct slice host)
{
	size_t i = 0;

	if (host.n > 0 && host.p[0] == '[') {
		for (i = 1; i < host.n && host.p[i] != ']'; i++)
			if (hex_digit(host.p[i]) < 0 && host.p[i] != ':' && host.p[i] != '.')
				return false;
		if (i >= host.n || i == 1)
			return false;
		i++;
	} else {
		while (i < host.n && is_host_char(host.p[i]))
			i++;
	}
	if (i == 0)
		return false;
	if (i == host.n)
		return true;
	return host.p[i] == ':' && port_is_valid(slice_skip(host, i + 1));
}

static struct slice cut_at(struct slice *text, char separator)
{
	const char *at = text->n ? memchr(text->p, separator, text->n) : NULL;
	struct slice first = at ? slice_make(text->p, (size_t)(at - text->p)) : *text;
	*text = slice_skip(*text, first.n + (at != NULL));
	return first;
}

/* One decoded piece; *out moves behind it. */
static bool decode_piece(struct slice text, bool plus_is_space, char **out, struct slice *ret)
{
	ssize_t n = http_percent_decode(text, plus_is_space, *out);
	if (n < 0)
		return false;
	*ret = slice_make(*out, (size_t)n);
	*out += n;
	return true;
}

static const char *parse_query(struct http_request *r, char *out)
{
	struct slice rest = r->query;

	while (rest.n > 0) {
		struct slice value = cut_at(&rest, '&');
		if (value.n == 0)
			continue;
		if (r->param_n == HTTP_PARAMS_MAX)
			return "the query has too many parameters; send fewer";
		struct http_header *param = &r->params[r->param_n];
		struct slice name = cut_at(&value, '=');
		if (!decode_piece(name, true, &out, &param->name) ||
		    !decode_piece(value, true, &out, &param->value))
			return "the query has a malformed percent escape or %00; encode it as %XX";
		r->param_n++;
	}
	return NULL;
}

/* "http://authority/path" → "/path" */
static const char *strip_absolute(struct slice *target, struct slice host)
{
	size_t scheme =
		strncasecmp(target->p, "http://", target->n < 7 ? target->n : 7) == 0 ? 7 : 8;
	if (scheme == 8 && (target->n < 8 || strncasecmp(target->p, "https://", 8) != 0))
		return "the request target is no path; begin it with '/'";
	if (target->n < scheme)
		return "the request target is no path; begin it with '/'";
	struct slice rest = slice_skip(*target, scheme);
	size_t n = 0;
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	struct slice authority = slice_make(rest.p, n);
	if (!http_host_is_valid(authority))
		return "the host in the request target is malformed";
	if (host.p && (host.n != n || strncasecmp(host.p, authority.p, n) != 0))
		return "the host in the request target is not that of the Host header; send one of "
		       "them, or both alike";
	*target = slice_skip(rest, n);
	return NULL;
}

const char *http_target_parse(struct http_request *r, struct slice target, struct slice host,
			      char *out)
{
	if (slice_eq_str(target, "*")) {
		r->path = target;
		return r->method == HTTP_OPTIONS_ ? NULL : "the target '*' is for OPTIONS only";
	}
	if (target.p[0] != '/') {
		const char *why = strip_absolute(&target, host);
		if (why)
			return why;
	}
	r->query = target;
	struct slice path = cut_at(&r->query, '?');
	if (path.n == 0)
		path = SLICE("/"); /* RFC 9112 3.2.2: "http://host" and "http://host?query" */
	if (!decode_piece(path, false, &out, &r->path))
		return "the path has a malformed percent escape or %00; encode it as %XX";
	return parse_query(r, out);
}
