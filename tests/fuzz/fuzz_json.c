/* SPDX-License-Identifier: MIT */
/*
 * fuzz_json: the scanner against the grammar and against itself.
 *
 *  - It says what a naive reading of RFC 8259 says: a function per rule, a byte at a time,
 * recursive.
 *  - A text that is refused at some byte is good up to there: cut before it, it is valid, or its
 * end is what is wrong with it.
 *  - In a valid text the walker finds valid values only, and strings survive unescaping and
 * writing.
 *  - On any text at all the walker stays inside it (seen by ASan) and comes to an end.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- RFC 8259, rule by rule: each returns what is left behind the rule, or NULL --------------- */

/* Ends in NUL, so that a rule may look at the byte behind its own; a NUL inside matches no rule. */
static const char *rule_value(const char *p, int depth);

static const char *rule_ws(const char *p) /* section 2 */
{
	return p + strspn(p, " \t\n\r");
}

static const char *rule_digits(const char *p)
{
	size_t n = strspn(p, "0123456789");

	return n ? p + n : NULL;
}

static const char *rule_number(const char *p) /* section 6 */
{
	p += *p == '-';
	p = *p == '0' ? p + 1 : rule_digits(p);
	if (p && *p == '.')
		p = rule_digits(p + 1);
	if (p && (*p == 'e' || *p == 'E')) {
		p++;
		p = rule_digits(p + (*p == '+' || *p == '-'));
	}
	return p;
}

static const char *rule_string(const char *p) /* section 7; UTF-8 is checked for the whole text */
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u') {
			if (strspn(p + 1, "0123456789abcdefABCDEF") < 4)
				return NULL;
			p += 4;
		} else if (*p == '\0' || !strchr("\"\\/bfnrt", *p)) {
			return NULL;
		}
	}
	return p + 1;
}

static const char *rule_name(const char *p)
{
	p = rule_string(rule_ws(p));
	if (!p)
		return NULL;
	p = rule_ws(p);
	return *p == ':' ? p + 1 : NULL;
}

static const char *rule_items(const char *p, char close, int depth) /* sections 4 and 5 */
{
	if (depth > JSON_DEPTH_MAX)
		return NULL;
	p = rule_ws(p + 1);
	if (*p == close)
		return p + 1;
	for (;; p++) {
		if (close == '}')
			p = rule_name(p);
		if (p)
			p = rule_value(p, depth);
		if (!p || *p == close)
			return p ? p + 1 : NULL;
		if (*p != ',')
			return NULL;
	}
}

static const char *rule_value(const char *p, int depth) /* section 3, with the space around it */
{
	static const char *const words[] = {"true", "false", "null"};

	p = rule_ws(p);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strncmp(p, words[i], strlen(words[i])) == 0)
			return rule_ws(p + strlen(words[i]));
	}
	if (*p == '{')
		p = rule_items(p, '}', depth + 1);
	else if (*p == '[')
		p = rule_items(p, ']', depth + 1);
	else
		p = *p == '"' ? rule_string(p) : rule_number(p);
	return p ? rule_ws(p) : NULL;
}

static bool grammar_says(struct slice text)
{
	struct buf b;
	const char *end;
	bool valid;

	buf_init(&b, 0);
	buf_add_slice(&b, text);
	buf_add_char(&b, '\0');
	end = rule_value(b.p, 0);
	valid = end == b.p + text.n && utf8_is_valid(text.p, text.n);
	buf_fini(&b);
	return valid;
}

/* --- the checks ------------------------------------------------------------------------------ */

static void check_string(struct slice value)
{
	struct buf plain, json;

	buf_init(&plain, 0);
	buf_init(&json, 0);
	if (json_unescape(value, &plain) == 0) {
		struct buf again;
		assert(utf8_is_valid(buf_slice(&plain).p, plain.n));
		assert(json_add_string(&json, buf_slice(&plain)) == 0);
		assert(json.n == json_string_size(buf_slice(&plain)));
		assert(json_is_valid(buf_slice(&json), NULL));
		buf_init(&again, 0);
		assert(json_unescape(buf_slice(&json), &again) == 0);
		assert(slice_eq(buf_slice(&again), buf_slice(&plain)));
		buf_fini(&again);
	} else {
		assert(plain.n == 0);
	}
	buf_fini(&plain);
	buf_fini(&json);
}

/* Recursion is fine here: the text was found valid, so it is at most JSON_DEPTH_MAX deep. */
static void walk(struct slice value)
{
	struct slice key, item, found;
	uint64_t number;
	size_t pos = 0;

	assert(json_is_valid(value, NULL));
	switch (json_type_of(value)) {
	case JSON_OBJECT:
		while (json_object_next(value, &pos, &key, &item)) {
			check_string(slice_make(key.p - 1, key.n + 2));
			walk(item);
		}
		json_object_get(value, "a", &found);
		break;
	case JSON_ARRAY:
		while (json_array_next(value, &pos, &item))
			walk(item);
		break;
	case JSON_STRING:
		check_string(value);
		break;
	case JSON_NUMBER:
		json_get_u64(value, &number);
		break;
	default:
		break;
	}
}

static void walk_whatever_it_is(struct slice text)
{
	struct slice key, item;
	size_t pos = 0, before;
	struct buf out;

	do {
		before = pos;
	} while (json_object_next(text, &pos, &key, &item) && (assert(pos > before), true));
	pos = 0;
	do {
		before = pos;
	} while (json_array_next(text, &pos, &item) && (assert(pos > before), true));
	json_object_get(text, "a\"b", &item);
	buf_init(&out, 0);
	assert(json_add_string(&out, text) == 0);
	json_unescape(text, &out);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size);
	size_t offset = 0, end = 0;
	bool valid;

	if (size > 16384) /* walk() looks at each value once per level */
		return 0;
	valid = json_is_valid(text, &offset);
	assert(valid == grammar_says(text));
	if (valid) {
		walk(json_trim(text));
	} else {
		assert(offset <= size);
		if (!json_is_valid(slice_make(text.p, offset), &end))
			assert(end == offset);
	}
	walk_whatever_it_is(text);
	return 0;
}
