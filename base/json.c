/* SPDX-License-Identifier: MIT */
/*
 * json.c: the strict scanner, the lenient walker, the writer.
 *
 * DESIGN. Strangers' text meets scan_value() once. It is a loop, not a recursion: what is open is a
 * stack of bits (object or array), JSON_DEPTH_MAX deep, so a text of a million brackets costs
 * nothing. A scan never looks ahead: when it fails, its position is the byte that was wrong, which
 * is what json_is_valid() reports. Every byte is judged once; plain string bytes eight at a time.
 *
 * The walker (json_object_next and what builds on it) is given text that has been validated. It
 * finds the end of a value by counting brackets outside strings and lets memchr do the rest, so
 * that walking an envelope around a large payload costs little. On text that was not validated it
 * may give nonsense, but it stays inside the text and comes to an end.
 *
 * Never here: a tree, a number as floating point, an allocation besides the caller's buf.
 */
#include "base/json.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

#define ONES      0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* An empty slice may be NULL, to which C does not allow to add even nothing. */
static const char *end_of(struct slice s)
{
	return s.n > 0 ? s.p + s.n : s.p;
}

/* Marks (high bit set) the bytes of x that cannot stand for themselves in a string: quote,
 * backslash, control character; and with also_high any byte that is not ASCII. Borrows in the
 * subtractions can raise a false alarm only above a true one, so "none" and the lowest mark are
 * exact. */
static inline uint64_t special_bytes(uint64_t x, bool also_high)
{
	uint64_t quote = x ^ (ONES * '"'), backslash = x ^ (ONES * '\\');
	uint64_t marks = ((x - ONES * 0x20) & ~x) | ((quote - ONES) & ~quote) |
			 ((backslash - ONES) & ~backslash) | (also_high ? x : 0);

	return marks & HIGH_BITS;
}

/* The first such byte at or after p. */
static inline const char *skip_plain(const char *p, const char *end, bool also_high)
{
	while ((size_t)(end - p) >= 8) {
		uint64_t x, marks;
		memcpy(&x, p, 8);
		marks = special_bytes(x, also_high);
		if (marks && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			return p + __builtin_ctzll(marks) / 8;
		if (marks)
			break;
		p += 8;
	}
	for (; p < end; p++) {
		uint8_t c = (uint8_t)*p;
		if (c < 0x20 || c == '"' || c == '\\' || (also_high && c >= 0x80))
			break;
	}
	return p;
}

/* --- the scanner ----------------------------------------------------------------------------- */

struct scan {
	const char *p; /* next byte; after a failure the wrong one */
	const char *end;
	unsigned depth;
	uint64_t is_object[JSON_DEPTH_MAX / 64]; /* one bit per open bracket */
};

/* The next byte, or -1 at the end. */
static inline int peek(const struct scan *s)
{
	return s->p < s->end ? (uint8_t)*s->p : -1;
}

static inline int peek_past_space(struct scan *s)
{
	while (s->p < s->end && is_space((uint8_t)*s->p))
		s->p++;
	return peek(s);
}

static bool scan_byte(struct scan *s, char c)
{
	if (peek(s) != (uint8_t)c)
		return false;
	s->p++;
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	while (*word && scan_byte(s, *word))
		word++;
	return *word == '\0';
}

/* At a backslash. */
static bool scan_escape(struct scan *s)
{
	int c;

	s->p++;
	c = peek(s);
	if (c == 'u') {
		for (int i = 0; i < 4; i++) {
			s->p++;
			c = peek(s);
			if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
				return false;
		}
	} else if (c <= 0 || !strchr("\"\\/bfnrt", c)) {
		return false;
	}
	s->p++;
	return true;
}

/* At a byte that is not ASCII: check the characters up to the next ASCII byte. */
static bool scan_high(struct scan *s)
{
	struct utf8_state utf8 = UTF8_START;
	const char *p = s->p;
	size_t n;

	while (p < s->end && (uint8_t)*p >= 0x80)
		p++;
	n = (size_t)(p - s->p);
	s->p += utf8_scan(&utf8, s->p, n);
	return s->p == p && utf8_is_complete(&utf8);
}

static bool scan_string(struct scan *s)
{
	if (!scan_byte(s, '"'))
		return false;
	for (;;) {
		int c;
		s->p = skip_plain(s->p, s->end, true);
		c = peek(s);
		if (c == '"') {
			s->p++;
			return true;
		}
		if (c == '\\') {
			if (!scan_escape(s))
				return false;
		} else if (c < 0x80 || !scan_high(s)) {
			return false;
		}
	}
}

static bool scan_digits(struct scan *s)
{
	if (!is_digit(peek(s)))
		return false;
	while (is_digit(peek(s)))
		s->p++;
	return true;
}

static bool scan_number(struct scan *s)
{
	if (peek(s) == '-')
		s->p++;
	if (peek(s) == '0') /* a digit behind it is then out of place for whoever comes next */
		s->p++;
	else if (!scan_digits(s))
		return false;
	if (peek(s) == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->p++;
		if (peek(s) == '+' || peek(s) == '-')
			s->p++;
		return scan_digits(s);
	}
	return true;
}

/* A member's name and colon, with space around both. */
static bool scan_name(struct scan *s)
{
	peek_past_space(s);
	if (!scan_string(s))
		return false;
	peek_past_space(s);
	return scan_byte(s, ':');
}

static bool in_object(const struct scan *s)
{
	unsigned top = s->depth - 1;

	return s->is_object[top / 64] >> (top % 64) & 1;
}

/* At an opening bracket: go in, up to where its first value begins, or past its end if it is empty
 * (*ret_empty). */
static bool scan_open(struct scan *s, bool object, bool *ret_empty)
{
	uint64_t bit = (uint64_t)1 << (s->depth % 64), *word = &s->is_object[s->depth / 64];

	if (s->depth == JSON_DEPTH_MAX)
		return false;
	*word = object ? *word | bit : *word & ~bit;
	s->depth++;
	s->p++;
	*ret_empty = peek_past_space(s) == (object ? '}' : ']');
	if (*ret_empty) {
		s->p++;
		s->depth--;
		return true;
	}
	return !object || scan_name(s);
}

/* Behind a value: leave the brackets that close here, up to the comma and name before the next
 * value. depth is 0 when the outermost value has ended. */
static bool scan_behind(struct scan *s)
{
	while (s->depth > 0) {
		int c = peek_past_space(s);
		if (c == ',') {
			s->p++;
			return !in_object(s) || scan_name(s);
		}
		if (c != (in_object(s) ? '}' : ']'))
			return false;
		s->p++;
		s->depth--;
	}
	return true;
}

static bool scan_scalar(struct scan *s, int first)
{
	switch (first) {
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s);
	}
}

static bool scan_value(struct scan *s)
{
	do {
		int c = peek_past_space(s);
		if (c == '{' || c == '[') {
			bool empty = false;
			if (!scan_open(s, c == '{', &empty))
				return false;
			if (!empty)
				continue;
		} else if (!scan_scalar(s, c)) {
			return false;
		}
		if (!scan_behind(s))
			return false;
	} while (s->depth > 0);
	return true;
}

bool json_is_valid(struct slice text, size_t *ret_offset)
{
	struct scan s = {.p = text.p, .end = end_of(text)};

	if (scan_value(&s)) {
		peek_past_space(&s);
		if (s.p == s.end)
			return true;
	}
	if (ret_offset)
		*ret_offset = (size_t)(s.p - text.p);
	return false;
}

/* --- the walker: text is valid --------------------------------------------------------------- */

struct slice json_trim(struct slice text)
{
	while (text.n > 0 && is_space((uint8_t)text.p[0]))
		text = slice_skip(text, 1);
	while (text.n > 0 && is_space((uint8_t)text.p[text.n - 1]))
		text.n--;
	return text;
}

enum json_type json_type_of(struct slice value)
{
	value = json_trim(value);
	switch (value.n ? value.p[0] : 'n') {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space((uint8_t)*p))
		p++;
	return p;
}

/* At an opening quote; return what is behind the closing one. A quote ends the string when an even
 * number of backslashes stands before it. */
static const char *skip_string(const char *p, const char *end)
{
	const char *content = ++p;

	for (;;) {
		const char *quote = memchr(p, '"', (size_t)(end - p)), *q;
		if (!quote)
			return end;
		for (q = quote; q > content && q[-1] == '\\';)
			q--;
		if ((quote - q) % 2 == 0)
			return quote + 1;
		p = quote + 1;
	}
}

/* At an opening bracket; return what is behind the one that closes it. */
static const char *skip_brackets(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		char c = *p;
		if (c == '"') {
			p = skip_string(p, end);
			continue;
		}
		p++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			break;
	}
	return p;
}

static const char *skip_value(const char *p, const char *end)
{
	if (p == end)
		return end;
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_brackets(p, end);
	while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_space((uint8_t)*p))
		p++;
	return p;
}

/* To where the next member or element begins, from behind the one before (or from the start, at 0).
 * NULL when there is none. */
static const char *next_item(struct slice text, size_t pos, char open)
{
	const char *end = end_of(text), *p = pos < text.n ? skip_space(text.p + pos, end) : end;

	if (p == end || *p != (pos == 0 ? open : ','))
		return NULL;
	p = skip_space(p + 1, end);
	return p == end || *p == '}' || *p == ']' ? NULL : p;
}

bool json_object_next(struct slice object, size_t *pos, struct slice *ret_key,
		      struct slice *ret_value)
{
	const char *end = end_of(object), *p = next_item(object, *pos, '{'), *key;
	struct slice name;

	if (!p || *p != '"')
		return false;
	key = p + 1;
	p = skip_string(p, end);
	name = slice_make(key, (size_t)(p - key) - (p > key));
	p = skip_space(p, end);
	if (p == end || *p != ':')
		return false;
	key = skip_space(p + 1, end);
	p = skip_value(key, end);
	*ret_key = name;
	*ret_value = slice_make(key, (size_t)(p - key));
	*pos = (size_t)(p - object.p);
	return true;
}

bool json_array_next(struct slice array, size_t *pos, struct slice *ret_value)
{
	const char *p = next_item(array, *pos, '['), *start = p;

	if (!p)
		return false;
	p = skip_value(p, end_of(array));
	*ret_value = slice_make(start, (size_t)(p - start));
	*pos = (size_t)(p - array.p);
	return true;
}

/* --- escapes --------------------------------------------------------------------------------- */

static uint32_t hex4(const char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t c = (uint8_t)p[i];
		v = v << 4 | (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v;
}

static size_t utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* At a backslash: write the character it stands for, move *p behind it, return its bytes; 0 for
 * half a surrogate pair (and for text cut short). */
static size_t unescape(const char **p, const char *end, char out[4])
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *e = *p + 1, *name;
	uint32_t c, low;

	if (e < end && *e == 'u') {
		if (end - e < 5)
			return 0;
		c = hex4(e + 1);
		e += 5;
		if (c >= 0xd800 && c <= 0xdbff) {
			if (end - e < 6 || e[0] != '\\' || e[1] != 'u')
				return 0;
			low = hex4(e + 2);
			if (low < 0xdc00 || low > 0xdfff)
				return 0;
			e += 6;
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		} else if (c >= 0xdc00 && c <= 0xdfff) {
			return 0;
		}
		*p = e;
		return utf8_encode(c, out);
	}
	name = e < end && *e ? strchr(names, *e) : NULL;
	if (!name)
		return 0;
	out[0] = bytes[name - names];
	*p = e + 1;
	return 1;
}

/* Is a raw name (without quotes) this one, after unescaping? */
static bool name_is(struct slice raw, struct slice name)
{
	const char *p = raw.p, *end = p + raw.n;

	if (!memchr(raw.p, '\\', raw.n))
		return slice_eq(raw, name);
	while (p < end) {
		char c[4];
		size_t n = 1;
		if (*p == '\\')
			n = unescape(&p, end, c);
		else
			c[0] = *p++;
		if (n == 0 || name.n < n || memcmp(name.p, c, n) != 0)
			return false;
		name = slice_skip(name, n);
	}
	return name.n == 0;
}

bool json_object_get(struct slice object, const char *name, struct slice *ret_value)
{
	struct slice key, value, want = slice_str(name);
	size_t pos = 0;
	bool found = false;

	while (json_object_next(object, &pos, &key, &value)) {
		if (name_is(key, want)) {
			*ret_value = value;
			found = true;
		}
	}
	return found;
}

int json_unescape(struct slice value, struct buf *out)
{
	size_t n_before = out->n;
	const char *p, *end;

	value = json_trim(value);
	if (value.n < 2 || value.p[0] != '"')
		return -EINVAL;
	p = value.p + 1;
	end = value.p + value.n - 1;
	while (p < end) {
		const char *stop = memchr(p, '\\', (size_t)(end - p));
		struct slice plain = slice_make(p, (size_t)((stop ? stop : end) - p));
		char c[4];
		size_t n = 0;
		p += plain.n;
		if (stop) {
			n = unescape(&p, end, c);
			if (n == 0) {
				out->n = n_before;
				return -EINVAL;
			}
		}
		if (buf_add_slice(out, plain) < 0 || buf_add(out, c, n) < 0) {
			out->n = n_before;
			return -ENOBUFS;
		}
	}
	return 0;
}

bool json_get_u64(struct slice value, uint64_t *ret)
{
	uint64_t v = 0;

	value = json_trim(value);
	if (value.n == 0 || value.n > 19) /* 2^63-1 has 19 digits, and 19 digits fit 64 bits */
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (!is_digit((uint8_t)value.p[i]))
			return false;
		v = v * 10 + (uint64_t)(value.p[i] - '0');
	}
	if (v > INT64_MAX)
		return false;
	*ret = v;
	return true;
}

/* --- the writer ------------------------------------------------------------------------------ */

/* The letter behind the backslash, for control characters that have one (RFC 8259 section 7). */
static const char short_escape[0x20] = {
	['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
};

size_t json_string_size(struct slice text)
{
	const char *p = text.p, *end = end_of(text);
	size_t size = text.n + 2;

	while ((p = skip_plain(p, end, false)) < end) {
		uint8_t c = (uint8_t)*p++;
		size += c >= 0x20 || short_escape[c] ? 1 : 5;
	}
	return size;
}

char *json_write_string(char *out, struct slice text)
{
	static const char hex[] = "0123456789abcdef";
	const char *p = text.p, *end = end_of(text);

	*out++ = '"';
	while (p < end) {
		const char *plain = p;
		uint8_t c;
		p = skip_plain(p, end, false);
		memcpy(out, plain, (size_t)(p - plain));
		out += p - plain;
		if (p == end)
			break;
		c = (uint8_t)*p++;
		*out++ = '\\';
		if (c >= 0x20) {
			*out++ = (char)c;
		} else if (short_escape[c]) {
			*out++ = short_escape[c];
		} else {
			memcpy(out, "u00", 3);
			out[3] = hex[c >> 4];
			out[4] = hex[c & 15];
			out += 5;
		}
	}
	*out++ = '"';
	return out;
}

int json_add_string(struct buf *out, struct slice text)
{
	size_t size = json_string_size(text);

	if (out->failed || buf_reserve(out, size) < 0) {
		out->failed = true;
		return -ENOBUFS;
	}
	json_write_string(out->p + out->n, text);
	out->n += size;
	return 0;
}
