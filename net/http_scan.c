/* SPDX-License-Identifier: MIT */
/*
 * http_scan: two strict scanners, which look at every byte of a request's head and of a chunked
 * body's framing before anybody else does.
 *
 * DESIGN. Requests are smuggled through the gap between two parsers that are both "tolerant in what
 * they accept". llhttp tolerates bare LF, folded lines, white space and odd chunk sizes, in ways
 * that differ by release. So the grammar of RFC 9112 is enforced here, without any leniency, by two
 * byte-wise state machines; what they let through can only be read one way.
 *
 *   METHOD ─SP→ TARGET ─SP→ VERSION ─CR→ LINE_LF ─LF→ LINE ─→ NAME ─:→ VALUE ─CR→ LINE_LF
 *                                                     └─CR→ END_LF ─LF→ done
 *
 *   SIZE ─;→ EXT ─CR→ SIZE_LF ─→ DATA ─→ DATA_CR ─→ DATA_LF ─→ SIZE …
 *                        └─size 0→ TRAILER lines ─→ done
 *
 * Both work on pieces of any size and keep no bytes. They judge form only; what the header fields
 * mean together (Host, lengths) is http_parse.c's part.
 */
#include <string.h>

#include "net/http_private.h"

#define METHOD_MAX   32
#define CHUNK_DIGITS 15 /* 60 bits: sums cannot overflow */

enum head_state {
	AT_METHOD,
	AT_TARGET,
	AT_VERSION,
	AT_VERSION_CR,
	AT_LINE_LF,
	AT_LINE,
	AT_NAME,
	AT_VALUE,
	AT_END_LF,
};

enum chunk_state {
	AT_SIZE,
	AT_EXT,
	AT_SIZE_LF,
	AT_DATA,
	AT_DATA_CR,
	AT_DATA_LF,
	AT_TRAILER,
	AT_TRAILER_NAME,
	AT_TRAILER_VALUE,
	AT_TRAILER_LF,
	AT_LAST_LF,
};

/* Where a byte may stand without meaning anything by itself. */
enum byte_kind {
	IN_NAME = 1,   /* RFC 9110 5.6.2: of a token */
	IN_VALUE = 2,  /* HTAB, visible ASCII, space and obs-text; no control character */
	IN_TARGET = 4, /* visible ASCII, but for '#' and what separates parameters */
};

#define TEXT  (IN_VALUE | IN_TARGET)
#define TOKEN (IN_NAME | IN_VALUE | IN_TARGET)

static const uint8_t byte_kinds[256] = {
	['\t'] = IN_VALUE,
	[' '] = IN_VALUE,
	['!'] = TOKEN,
	['"'] = TEXT,
	['#'] = IN_NAME | IN_VALUE,
	['$'] = TOKEN,
	['%'] = TOKEN,
	['&'] = IN_NAME | IN_VALUE,
	['\''] = TOKEN,
	['('] = TEXT,
	[')'] = TEXT,
	['*'] = TOKEN,
	['+'] = TOKEN,
	[','] = TEXT,
	['-'] = TOKEN,
	['.'] = TOKEN,
	['/'] = TEXT,
	['0' ... '9'] = TOKEN,
	[':' ... '@'] = TEXT,
	['A' ... 'Z'] = TOKEN,
	['[' ... ']'] = TEXT,
	['^' ... 'z'] = TOKEN,
	['{'] = TEXT,
	['|'] = TOKEN,
	['}'] = TEXT,
	['~'] = TOKEN,
	[0x80 ... 0xff] = IN_VALUE,
};

bool http_is_token_char(unsigned char c)
{
	return byte_kinds[c] & IN_NAME;
}

static bool is_value_char(unsigned char c)
{
	return byte_kinds[c] & IN_VALUE;
}

static enum scan_verdict head_bad(struct http_scan *s, enum fault_id fault, const char *why)
{
	s->fault = fault;
	s->why = why;
	return SCAN_BAD;
}

static enum scan_verdict scan_method(struct http_scan *s, unsigned char c)
{
	if (c == ' ' && s->at > 0) {
		s->state = AT_TARGET;
		s->at = 0;
		return SCAN_MORE;
	}
	if (!http_is_token_char(c) || s->at++ >= METHOD_MAX)
		return head_bad(
			s, FAULT_BAD_REQUEST,
			"the request does not begin with a method; send METHOD SP target SP "
			"HTTP/1.1 CRLF");
	return SCAN_MORE;
}

static enum scan_verdict scan_target(struct http_scan *s, unsigned char c, size_t target_max)
{
	if (c == ' ') {
		if (s->target_n == 0)
			return head_bad(s, FAULT_BAD_REQUEST,
					"there is more than one space after the method; use one");
		s->state = AT_VERSION;
		return SCAN_MORE;
	}
	if (c == '#')
		return head_bad(
			s, FAULT_BAD_REQUEST,
			"the request target has a fragment; leave out '#' and what follows");
	if (c <= ' ' || c >= 0x7f)
		return head_bad(
			s, FAULT_BAD_REQUEST,
			"the request target has a byte outside of printable ASCII, or no HTTP "
			"version follows; percent-encode it");
	if (++s->target_n > target_max)
		return head_bad(
			s, FAULT_URI_TOO_LONG,
			"the request target is longer than this server takes; shorten it, for "
			"instance by naming fewer channels");
	if (c == '&')
		s->pairs++;
	return SCAN_MORE;
}

static enum scan_verdict scan_version(struct http_scan *s, unsigned char c)
{
	static const char form[] = "HTTP/d.d";
	unsigned char want = (unsigned char)form[s->at];

	if (want == 'd' ? c < '0' || c > '9' : c != want)
		return head_bad(
			s, FAULT_BAD_REQUEST,
			"the request line does not end with an HTTP version; send HTTP/1.1");
	if (s->at == 5 && c != '1')
		return head_bad(s, FAULT_VERSION, "this server speaks HTTP/1.1; use it");
	if (s->at == 7) {
		if (c > '1')
			return head_bad(s, FAULT_VERSION, "this server speaks HTTP/1.1; use it");
		s->minor = (uint8_t)(c - '0');
		s->state = AT_VERSION_CR;
	}
	s->at++;
	return SCAN_MORE;
}

/* Behind CRLF: a field, the empty line, or something forbidden. */
static enum scan_verdict scan_line_start(struct http_scan *s, unsigned char c)
{
	if (c == '\r') {
		s->state = AT_END_LF;
		return SCAN_MORE;
	}
	if (c == ' ' || c == '\t')
		return head_bad(
			s, FAULT_BAD_REQUEST,
			"a header line begins with white space (obsolete folding); send each "
			"header in one line");
	if (!http_is_token_char(c))
		return head_bad(s, FAULT_BAD_REQUEST, "a header line does not begin with a name");
	if (++s->lines > HTTP_HEADERS_MAX)
		return head_bad(s, FAULT_HEADERS_TOO_LARGE,
				"the request has more than 100 headers; send fewer");
	s->state = AT_NAME;
	return SCAN_MORE;
}

static enum scan_verdict scan_head_byte(struct http_scan *s, unsigned char c, size_t target_max)
{
	switch ((enum head_state)s->state) {
	case AT_METHOD:
		return scan_method(s, c);
	case AT_TARGET:
		return scan_target(s, c, target_max);
	case AT_VERSION:
		return scan_version(s, c);
	case AT_VERSION_CR:
		if (c != '\r')
			return head_bad(s, FAULT_BAD_REQUEST,
					"the request line does not end in CRLF behind the version");
		s->state = AT_LINE_LF;
		return SCAN_MORE;
	case AT_LINE:
		return scan_line_start(s, c);
	case AT_NAME:
		if (c == ':')
			s->state = AT_VALUE;
		else if (!http_is_token_char(c))
			return head_bad(s, FAULT_BAD_REQUEST,
					"a header name has a forbidden character or white space "
					"before the colon");
		return SCAN_MORE;
	case AT_VALUE:
		if (c == '\r')
			s->state = AT_LINE_LF;
		else if (!is_value_char(c))
			return head_bad(s, FAULT_BAD_REQUEST,
					"a header value has a control character, or its line does "
					"not end in CRLF");
		return SCAN_MORE;
	case AT_LINE_LF:
	case AT_END_LF:
		if (c != '\n')
			return head_bad(s, FAULT_BAD_REQUEST,
					"a carriage return stands without a line feed; end lines "
					"in CRLF");
		if (s->state == AT_END_LF)
			return SCAN_DONE;
		s->state = AT_LINE;
		return SCAN_MORE;
	}
	return SCAN_BAD;
}

/* How many bytes at p, eight at a time, are surely inside of a value: most of a head is. (Hacker's
 * Delight, 6-1: is there a zero byte; here: one below a space, or DEL.) */
static size_t long_run(const char *p, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
	size_t i = 0;

	for (uint64_t w; n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		uint64_t del = w ^ ones * 0x7f;
		if ((((w - ones * ' ') & ~w) | ((del - ones) & ~del)) & highs)
			break;
	}
	return i;
}

/* How many bytes at p change nothing but counts: the inside of a target, a name or a value. And the
 * version that all send. */
static size_t plain_run(struct http_scan *s, const char *p, size_t n, size_t target_max)
{
	static const char usual[] = "HTTP/1.1\r\n";
	unsigned kind = 0;
	size_t i = 0;

	switch ((enum head_state)s->state) {
	case AT_TARGET:
		kind = IN_TARGET;
		if (n > target_max - s->target_n)
			n = target_max - s->target_n;
		break;
	case AT_NAME:
		kind = IN_NAME;
		break;
	case AT_VALUE:
		kind = IN_VALUE;
		i = long_run(p, n);
		break;
	case AT_VERSION:
		if (s->at > 0 || n < sizeof(usual) - 1 || memcmp(p, usual, sizeof(usual) - 1) != 0)
			return 0;
		s->minor = 1;
		s->state = AT_LINE;
		return sizeof(usual) - 1;
	default:
		return 0;
	}
	while (i < n && (byte_kinds[(unsigned char)p[i]] & kind))
		i++;
	if (s->state == AT_TARGET)
		s->target_n += (uint32_t)i;
	return i;
}

enum scan_verdict http_scan_head(struct http_scan *s, const char *p, size_t n, size_t head_max,
				 size_t target_max, size_t *ret_used)
{
	for (size_t i = 0; i < n; i++) {
		enum scan_verdict v = SCAN_MORE;
		size_t left = head_max > s->bytes ? head_max - s->bytes : 0;
		size_t run = plain_run(s, p + i, n - i < left ? n - i : left, target_max);
		s->bytes += run;
		i += run;
		if (i == n)
			break;
		if (++s->bytes > head_max)
			v = head_bad(s,
				     s->state == AT_TARGET ? FAULT_URI_TOO_LONG
							   : FAULT_HEADERS_TOO_LARGE,
				     "the request line and headers together are larger than this "
				     "server takes; send fewer or shorter ones");
		else
			v = scan_head_byte(s, (unsigned char)p[i], target_max);
		if (v != SCAN_MORE) {
			*ret_used = i + 1;
			return v;
		}
	}
	*ret_used = n;
	return SCAN_MORE;
}

/* --- chunks ---------------------------------------------------------------------------------- */

static enum scan_verdict chunk_bad(struct http_chunk_scan *s, enum fault_id fault, const char *why)
{
	s->fault = fault;
	s->why = why;
	return SCAN_BAD;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum scan_verdict scan_chunk_size(struct http_chunk_scan *s, unsigned char c,
					 size_t body_max)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		if (++s->digits > CHUNK_DIGITS)
			return chunk_bad(s, FAULT_BAD_REQUEST, "a chunk size has too many digits");
		s->left = s->left * 16 + (unsigned)digit;
		return SCAN_MORE;
	}
	if (s->digits == 0 || (c != ';' && c != '\r'))
		return chunk_bad(s, FAULT_BAD_REQUEST,
				 "a chunk does not begin with its size in hexadecimal digits and "
				 "CRLF");
	if (s->left > body_max || s->total + s->left > body_max)
		return chunk_bad(s, FAULT_TOO_LARGE,
				 "the request body is larger than this server takes; send less");
	s->total += s->left;
	s->state = c == ';' ? AT_EXT : AT_SIZE_LF;
	return SCAN_MORE;
}

static enum scan_verdict scan_trailer(struct http_chunk_scan *s, unsigned char c)
{
	switch ((enum chunk_state)s->state) {
	case AT_TRAILER:
		if (c == '\r') {
			s->state = AT_LAST_LF;
			return SCAN_MORE;
		}
		s->state = AT_TRAILER_NAME;
		if (http_is_token_char(c))
			return SCAN_MORE;
		break;
	case AT_TRAILER_NAME:
		if (c == ':')
			s->state = AT_TRAILER_VALUE;
		if (c == ':' || http_is_token_char(c))
			return SCAN_MORE;
		break;
	case AT_TRAILER_VALUE:
		if (c == '\r')
			s->state = AT_TRAILER_LF;
		if (c == '\r' || is_value_char(c))
			return SCAN_MORE;
		break;
	case AT_TRAILER_LF:
		s->state = AT_TRAILER;
		if (c == '\n')
			return SCAN_MORE;
		break;
	case AT_LAST_LF:
		if (c == '\n')
			return SCAN_DONE;
		break;
	default:
		break;
	}
	return chunk_bad(s, FAULT_BAD_REQUEST, "the trailer of the chunked body is malformed");
}

/* Any byte but those of chunk data, which are taken in runs. */
static enum scan_verdict scan_chunk_byte(struct http_chunk_scan *s, unsigned char c,
					 size_t body_max)
{
	switch ((enum chunk_state)s->state) {
	case AT_SIZE:
		return scan_chunk_size(s, c, body_max);
	case AT_EXT:
		if (c == '\r')
			s->state = AT_SIZE_LF;
		else if (!is_value_char(c))
			return chunk_bad(s, FAULT_BAD_REQUEST,
					 "a chunk extension has a control character, or its line "
					 "does not end in CRLF");
		return SCAN_MORE;
	case AT_SIZE_LF:
		if (c != '\n')
			return chunk_bad(s, FAULT_BAD_REQUEST,
					 "a chunk size is not followed by CRLF");
		s->state = s->left > 0 ? AT_DATA : AT_TRAILER;
		s->digits = 0;
		return SCAN_MORE;
	case AT_DATA_CR:
		s->state = AT_DATA_LF;
		if (c == '\r')
			return SCAN_MORE;
		break;
	case AT_DATA_LF:
		s->state = AT_SIZE;
		if (c == '\n')
			return SCAN_MORE;
		break;
	default:
		return scan_trailer(s, c);
	}
	return chunk_bad(s, FAULT_BAD_REQUEST, "a chunk's data is not followed by CRLF");
}

enum scan_verdict http_scan_chunks(struct http_chunk_scan *s, struct slice in, size_t body_max,
				   size_t extra_max, size_t *ret_used, struct slice *ret_data)
{
	*ret_used = in.n;
	*ret_data = slice_make(in.p, 0);
	for (size_t i = 0; i < in.n; i++) {
		if (s->state == AT_DATA) {
			size_t run = s->left < in.n - i ? (size_t)s->left : in.n - i;
			s->left -= run;
			if (s->left == 0)
				s->state = AT_DATA_CR;
			*ret_data = slice_make(in.p + i, run);
			*ret_used = i + run;
			return SCAN_MORE;
		}
		if ((s->state == AT_EXT || s->state >= AT_TRAILER) && ++s->extra > extra_max)
			return chunk_bad(s, FAULT_HEADERS_TOO_LARGE,
					 "the chunk extensions and trailers are larger than this "
					 "server takes; leave them out");
		enum scan_verdict v = scan_chunk_byte(s, (unsigned char)in.p[i], body_max);
		if (v != SCAN_MORE) {
			*ret_used = i + 1;
			return v;
		}
	}
	return SCAN_MORE;
}
