/* SPDX-License-Identifier: MIT */
/*
 * json: what the grammar of RFC 8259 accepts and refuses, in the spirit of JSONTestSuite (its y_,
 * n_ and i_ groups), with the offset of the first wrong byte for everything refused; then walking,
 * unescaping, numbers and writing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"

#define T(literal) literal, sizeof(literal) - 1

struct yes_case {
	const char *text;
	size_t n;
};

struct no_case {
	const char *text;
	size_t n;
	size_t offset;
};

static const struct yes_case yes_cases[] = {
	/* scalars and the space around them */
	{T("true")},
	{T("false")},
	{T("null")},
	{T("0")},
	{T("42")},
	{T("\"\"")},
	{T("\"a\"")},
	{T("[]")},
	{T("{}")},
	{T(" true ")},
	{T("\ttrue\n")},
	{T("\r\n null \t")},
	{T(" [] ")},
	{T("[ ]")},
	{T("{ }")},
	{T("\n{\r}\t")},
	/* numbers */
	{T("-0")},
	{T("-1")},
	{T("-123")},
	{T("[0e+1]")},
	{T("[0e1]")},
	{T("[0E0]")},
	{T("[ 4]")},
	{T("[-0.000000000000000000000000000000000000000000000000000000000000001]")},
	{T("[20e1]")},
	{T("[123e65]")},
	{T("[1E22]")},
	{T("[1E-2]")},
	{T("[1E+2]")},
	{T("[123e45]")},
	{T("[123.456e78]")},
	{T("[1e-2]")},
	{T("[1e+2]")},
	{T("[123.456789]")},
	{T("0.5")},
	{T("10")},
	{T("100200300")},
	{T("123456789012345678901234567890")},
	{T("[1.0,2.50,-3.125e-9]")},
	/* arrays */
	{T("[[]   ]")},
	{T("[\"\"]")},
	{T("[\"a\"]")},
	{T("[false]")},
	{T("[null, 1, \"1\", {}]")},
	{T("[null]")},
	{T("[1\n]")},
	{T(" [1]")},
	{T("[1,null,null,null,2]")},
	{T("[2] ")},
	{T("[[[[[[]]]]]]")},
	{T("[[1,2],[3,[4]],{}]")},
	/* objects */
	{T("{\"asd\":\"sdf\", \"dfg\":\"fgh\"}")},
	{T("{\"asd\":\"sdf\"}")},
	{T("{\"a\":\"b\",\"a\":\"c\"}")},
	{T("{\"a\":\"b\",\"a\":\"b\"}")},
	{T("{\"\":0}")},
	{T("{\"foo\\u0000bar\": 42}")},
	{T("{\"min\": -1.0e+28, \"max\": 1.0e+28}")},
	{T("{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": \"x\"}")},
	{T("{\"a\":[]}")},
	{T("{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\"}")},
	{T("{\n\"a\": \"b\"\n}")},
	{T("{\"a\" :1}")},
	{T("{\"a\":{\"b\":{\"c\":{}}}}")},
	/* strings */
	{T("[\"\\u0060\\u012a\\u12AB\"]")},
	{T("[\"\\uD801\\udc37\"]")},
	{T("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]")},
	{T("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]")},
	{T("[\"\\\\u0000\"]")},
	{T("[\"\\\"\"]")},
	{T("[\"a/*b*/c/*d//e\"]")},
	{T("[\"\\\\a\"]")},
	{T("[\"\\\\n\"]")},
	{T("[\"\\u0012\"]")},
	{T("[\"\\uFFFF\"]")},
	{T("[\"asd\"]")},
	{T("[ \"asd\"]")},
	{T("[\"\\uDBFF\\uDFFF\"]")},
	{T("[\"new\\u00A0line\"]")},
	{T("[\"\xf4\x8f\xbf\xbf\"]")},
	{T("[\"\xef\xbf\xbf\"]")},
	{T("[\"\\u0000\"]")},
	{T("[\"\\u002c\"]")},
	{T("[\"\xcf\x80\"]")},
	{T("[\"\xf0\x9b\xbf\xbf\"]")},
	{T("\" \"")},
	{T("[\"\\uD834\\uDd1e\"]")},
	{T("[\"\\u0821\"]")},
	{T("[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]")},
	{T("[\"\xe2\x80\xa8\"]")},
	{T("[\"\xe2\x80\xa9\"]")},
	{T("[\"aa\x7f\"]")},
	{T("[\"\xc2\x80\"]")},
	{T("[\"\xed\x9f\xbf\xee\x80\x80\"]")},
	{T("\"0123456\"")},
	{T("\"01234567\"")},
	{T("\"012345678\"")},
	{T("\"0123456789abcdef\"")},
	{T("\"0123456789abcdef\\n0123456789abcdef\"")},
	{T("\"0123456\xc3\xa9\"")},
	{T("\"01234567\xc3\xa9 0123456789\"")},
	{T("\"' ,:[]{}\"")},
	/* JSONTestSuite i_: left to the parser there, valid by the grammar here */
	{T("[0.4e00669999999999999999999999999999999999999999999999999999999999999]")},
	{T("[-1e+9999]")},
	{T("[1.5e+9999]")},
	{T("[-123123123123123123123123123123]")},
	{T("[\"\\uDADA\"]")},
	{T("{\"\\uDFAA\":0}")},
	{T("[\"\\uD888\\u1234\"]")},
	{T("[\"\\uD800\\n\"]")},
	{T("[\"\\uDd1ea\"]")},
	{T("[\"\\uD800\\uD800\\n\"]")},
	{T("[\"\\ud800\"]")},
	{T("[\"\\ud800abc\"]")},
	{T("[\"\\uDd1e\\uD834\"]")},
	{T("[\"\\uDFAA\"]")},
};

static const struct no_case no_cases[] = {
	/* nothing, too little, too much */
	{T(""), 0},
	{T(" "), 1},
	{T("\n\t"), 2},
	{T("[] []"), 3},
	{T("1 1"), 2},
	{T("[1]x"), 3},
	{T("{}}"), 2},
	{T("{} #"), 3},
	{T("[]]"), 2},
	{T("\"a\"b"), 3},
	{T("null,"), 4},
	{T("true\0"), 4},
	{T("\0"), 0},
	{T("[\0]"), 1},
	{T("1\f"), 1},
	{T("\v1"), 0},
	{T("1\xc2\xa0"), 1},
	{T("\xe2\x81\xa0[]"), 0},
	/* byte order marks and other encodings */
	{T("\xef\xbb\xbf{}"), 0},
	{T("\xef\xbb\xbf"), 0},
	{T("\xff\xfe[\0]\0"), 0},
	{T("\0[\0]"), 0},
	{T("[\0\"\0\"\0]\0"), 1},
	/* words */
	{T("nul"), 3},
	{T("nulx"), 3},
	{T("tru"), 3},
	{T("fals"), 4},
	{T("truee"), 4},
	{T("True"), 0},
	{T("TRUE"), 0},
	{T("[True]"), 1},
	{T("[NaN]"), 1},
	{T("[nan]"), 2},
	{T("[Infinity]"), 1},
	{T("[-Infinity]"), 2},
	{T("[-NaN]"), 2},
	{T("undefined"), 0},
	{T("[a"), 1},
	{T("abc"), 0},
	{T("[fals,1]"), 5},
	/* numbers */
	{T("-"), 1},
	{T("+1"), 0},
	{T("[+1]"), 1},
	{T("[-]"), 2},
	{T("[--1]"), 2},
	{T("[- 1]"), 2},
	{T("[-a]"), 2},
	{T("00"), 1},
	{T("01"), 1},
	{T("[012]"), 2},
	{T("[-012]"), 3},
	{T("[-01]"), 3},
	{T("[.1]"), 1},
	{T("[.-1]"), 1},
	{T("[1.]"), 3},
	{T("1."), 2},
	{T("[1.a]"), 3},
	{T("[-2.]"), 4},
	{T("[2.e3]"), 3},
	{T("[2.e+3]"), 3},
	{T("[0.e1]"), 3},
	{T("[0.1.2]"), 4},
	{T("[0e]"), 3},
	{T("[0e+]"), 4},
	{T("[0E]"), 3},
	{T("[0E+]"), 4},
	{T("[1.0e]"), 5},
	{T("[1.0e+]"), 6},
	{T("[1.0e-"), 6},
	{T("[1eE2]"), 3},
	{T("[1e+-2]"), 4},
	{T("[0x1]"), 2},
	{T("[0x42]"), 2},
	{T("[1 000.0]"), 3},
	{T("[1_000]"), 2},
	{T("[1+2]"), 2},
	{T("[9.3e+]"), 6},
	{T("[1,5e]"), 5},
	{T("[1.2a-3]"), 4},
	{T("[1ea]"), 3},
	{T("[-1x]"), 3},
	{T("[\xef\xbc\x91]"), 1},
	{T("1e"), 2},
	{T("123\xe5"), 3},
	/* arrays */
	{T("["), 1},
	{T("]"), 0},
	{T("[1"), 2},
	{T("[1,"), 3},
	{T("[1,]"), 3},
	{T("[,]"), 1},
	{T("[,1]"), 1},
	{T("[1,,2]"), 3},
	{T("[1,,]"), 3},
	{T("[\"\",]"), 4},
	{T("[\"a\",,]"), 5},
	{T("[1 true]"), 3},
	{T("[\"a\" \"b\"]"), 5},
	{T("[3[4]]"), 2},
	{T("[1:2]"), 2},
	{T("[\"a\":1]"), 4},
	{T("[1}"), 2},
	{T("[1]]"), 3},
	{T("[{}"), 3},
	{T("[\"x\""), 4},
	{T("[\"x\"]]"), 5},
	{T("[*]"), 1},
	{T("[\\n]"), 1},
	{T("[\v]"), 1},
	{T("[x"), 1},
	{T("[<null>]"), 1},
	{T("[][]"), 2},
	/* objects */
	{T("{"), 1},
	{T("}"), 0},
	{T("{]"), 1},
	{T("{,"), 1},
	{T("{1:1}"), 1},
	{T("{a:1}"), 1},
	{T("{null:1}"), 1},
	{T("{'a':0}"), 1},
	{T("{[:1}"), 1},
	{T("{\"a\""), 4},
	{T("{\"a\" b}"), 5},
	{T("{\"a\"}"), 4},
	{T("{\"a\":"), 5},
	{T("{\"a\":}"), 5},
	{T("{\"a\"::1}"), 5},
	{T("{\"a\":1"), 6},
	{T("{\"a\":1,"), 7},
	{T("{\"a\":1,}"), 7},
	{T("{\"a\":1,,\"b\":2}"), 7},
	{T("{\"a\":1 \"b\":2}"), 7},
	{T("{\"a\",1}"), 4},
	{T("{\"a\":\"b\"]"), 8},
	{T("{\"a\":1]"), 6},
	{T("{\"a\":\"a"), 7},
	{T("{\"a\":/*x*/\"b\"}"), 5},
	{T("{\"a\":\"b\"}/**/"), 9},
	{T("{\"a\":\"b\"}//"), 9},
	{T("{\"a\":\"b\"}#{}"), 9},
	{T("{\"id\":0,,,,,}"), 8},
	{T("{\"a\":true} \"x\""), 11},
	{T("{\"a\" \"b\"}"), 5},
	{T("{\"a\":[}"), 6},
	{T("[{\"a\":1]"), 7},
	{T("{\"a\":[1}"), 7},
	/* strings: quotes, escapes, control characters */
	{T("\""), 1},
	{T("\"a"), 2},
	{T("'a'"), 0},
	{T("['a']"), 1},
	{T("[\"a]"), 4},
	{T("[\"\\"), 3},
	{T("[\"\\\"]"), 5},
	{T("[\"\\x00\"]"), 3},
	{T("[\"\\a\"]"), 3},
	{T("[\"\\'\"]"), 3},
	{T("[\"\\ \"]"), 3},
	{T("[\"\\\0\"]"), 3},
	{T("[\"\\v\"]"), 3},
	{T("[\"\\N\"]"), 3},
	{T("[\"\\U0041\"]"), 3},
	{T("[\"\\\\\\\"]"), 7},
	{T("[\"\\\xf0\x9f\x8c\x80\"]"), 3},
	{T("[\"\\u\"]"), 4},
	{T("[\"\\u00A\"]"), 7},
	{T("[\"\\u00G0\"]"), 6},
	{T("[\"\\uqqqq\"]"), 4},
	{T("[\"\\u 041\"]"), 4},
	{T("[\"\\u12"), 6},
	{T("[\"\\uD834\\uDd\"]"), 12},
	{T("[\"\\uD800\\u\"]"), 10},
	{T("[\"\\uD800\\\"]"), 11},
	{T("[\"\\u\xe5\"]"), 4},
	{T("[\"a\0a\"]"), 3},
	{T("[\"new\nline\"]"), 5},
	{T("[\"\t\"]"), 2},
	{T("[\"\x1f\"]"), 2},
	{T("\"0123456789\r\""), 11},
	{T("\"01234567\001 \""), 9},
	{T("\"01234567\""
	   "\""),
	 10},
	{T("[\"a\\\ta\"]"), 4},
	{T("\\u0020\"a\""), 0},
	{T("[\xc3\xa9]"), 1},
	{T("\xc3\xa9"), 0},
	/* strings: UTF-8 (RFC 3629) */
	{T("[\"\xff\"]"), 2},
	{T("[\"\x80\"]"), 2},
	{T("[\"\xbf\"]"), 2},
	{T("[\"\xc0\xaf\"]"), 2},
	{T("[\"\xc1\xbf\"]"), 2},
	{T("[\"\xc3\"]"), 3},
	{T("[\"\xc3"), 3},
	{T("[\"\xe0\x80\xaf\"]"), 3},
	{T("[\"\xe0\xff\"]"), 3},
	{T("[\"\xe2\x82\"]"), 4},
	{T("[\"\xed\xa0\x80\"]"), 3},
	{T("[\"\xed\xbf\xbf\"]"), 3},
	{T("[\"\xf0\x80\x80\xaf\"]"), 3},
	{T("[\"\xf0\x8f\xbf\xbf\"]"), 3},
	{T("[\"\xf0\x9f\x8c\"]"), 5},
	{T("[\"\xf4\x90\x80\x80\"]"), 3},
	{T("[\"\xf5\x80\x80\x80\"]"), 2},
	{T("[\"\xf8\x88\x80\x80\x80\"]"), 2},
	{T("[\"\xfc\x84\x80\x80\x80\x80\"]"), 2},
	{T("[\"\xe9\"]"), 3},
	{T("[\"\x81\"]"), 2},
	{T("[\"01234567\xc3\xa9\xc3\"]"), 13},
	{T("{\"\xb9\":\"0\"}"), 2},
};

/* The text in a block of exactly its size, so that a sanitizer sees a read beyond it. */
static bool valid_alone(const char *text, size_t n, size_t *ret_offset)
{
	char *copy = malloc(n);
	bool ok;

	if (n > 0)
		memcpy(copy, text, n);
	ok = json_is_valid(slice_make(copy, n), ret_offset);
	free(copy);
	return ok;
}

static void accepts_what_the_grammar_accepts(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(yes_cases); i++) {
		size_t offset = 7777;
		if (!valid_alone(yes_cases[i].text, yes_cases[i].n, &offset))
			fail_msg("refused at %zu: %s", offset, yes_cases[i].text);
		assert_int_equal(offset, 7777);
	}
}

static void refuses_the_rest_and_says_where(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(no_cases); i++) {
		const struct no_case *c = &no_cases[i];
		size_t offset = 7777;
		if (valid_alone(c->text, c->n, &offset))
			fail_msg("accepted: %s", c->text);
		if (offset != c->offset)
			fail_msg("offset %zu, not %zu: %s", offset, c->offset, c->text);
		assert_false(valid_alone(c->text, c->n, NULL));
	}
	assert_false(json_is_valid(slice_make(NULL, 0), NULL));
}

/* Every true prefix of a valid text that is no number is refused at its end: the scanner never
 * looks ahead. */
static void a_text_cut_short_is_refused_at_its_end(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(yes_cases); i++) {
		struct slice whole = json_trim(slice_make(yes_cases[i].text, yes_cases[i].n));
		if (json_type_of(whole) == JSON_NUMBER)
			continue;
		for (size_t n = 0; n < whole.n; n++) {
			size_t offset = 7777;
			assert_false(valid_alone(whole.p, n, &offset));
			assert_int_equal(offset, n);
		}
	}
}

static void nesting_is_limited(void **state)
{
	static char text[2 * 100000];
	size_t offset = 0;

	for (unsigned kind = 0; kind < 3; kind++) {
		struct buf b;
		buf_init(&b, 0);
		for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
			buf_add_str(&b, kind == 0 || (kind == 2 && i % 3) ? "[" : "{\"a\":");
		buf_add_str(&b, "1");
		for (unsigned i = JSON_DEPTH_MAX; i-- > 0;)
			buf_add_str(&b, kind == 0 || (kind == 2 && i % 3) ? "]" : "}");
		assert_true(json_is_valid(buf_slice(&b), NULL));
		buf_fini(&b);
	}
	memset(text, '[', sizeof(text) / 2);
	memset(text + sizeof(text) / 2, ']', sizeof(text) / 2);
	assert_false(json_is_valid(slice_make(text, sizeof(text)), &offset));
	assert_int_equal(offset, JSON_DEPTH_MAX);
	/* closed brackets are forgotten */
	for (size_t i = 0; i < sizeof(text); i += 4)
		memcpy(text + i, "[],\n", 4);
	text[0] = '[';
	memcpy(text + 1, "0,\n", 3);
	memcpy(text + sizeof(text) - 4, "0]  ", 4);
	assert_true(json_is_valid(slice_make(text, sizeof(text)), NULL));
}

static void types_are_told_by_the_first_byte(void **state)
{
	assert_int_equal(json_type_of(SLICE(" null")), JSON_NULL);
	assert_int_equal(json_type_of(SLICE("true")), JSON_BOOL);
	assert_int_equal(json_type_of(SLICE("\tfalse")), JSON_BOOL);
	assert_int_equal(json_type_of(SLICE("-1")), JSON_NUMBER);
	assert_int_equal(json_type_of(SLICE("0")), JSON_NUMBER);
	assert_int_equal(json_type_of(SLICE("\"\"")), JSON_STRING);
	assert_int_equal(json_type_of(SLICE("\n[]")), JSON_ARRAY);
	assert_int_equal(json_type_of(SLICE("{}")), JSON_OBJECT);
	assert_int_equal(json_type_of(slice_make(NULL, 0)), JSON_NULL);
}

static void assert_slice(struct slice s, const char *want)
{
	if (!slice_eq_str(s, want))
		fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), want);
}

static void objects_are_walked(void **state)
{
	struct slice text =
		SLICE(" { \"a\" : 1 ,\"b\\\"\\\\\":[1,{\"x\":\"]}\\\"\"},[]] , \"\": \"}\\\\\","
		      "\"c\":{\"a\":2},\n\"d\":null\t} ");
	static const char *const want[][2] = {
		{"a", "1"},        {"b\\\"\\\\", "[1,{\"x\":\"]}\\\"\"},[]]"},
		{"", "\"}\\\\\""}, {"c", "{\"a\":2}"},
		{"d", "null"},
	};
	struct slice key, value;
	size_t pos = 0;

	assert_true(json_is_valid(text, NULL));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(json_object_next(text, &pos, &key, &value));
		assert_slice(key, want[i][0]);
		assert_slice(value, want[i][1]);
	}
	assert_false(json_object_next(text, &pos, &key, &value));
	assert_false(json_object_next(text, &pos, &key, &value));
}

static void arrays_are_walked(void **state)
{
	struct slice text = SLICE(" [ 1 , \"a,]\" ,[2,[3]],{\"x\":[]}, true,-1.5e3 ] ");
	static const char *const want[] = {"1",          "\"a,]\"", "[2,[3]]",
					   "{\"x\":[]}", "true",    "-1.5e3"};
	struct slice value;
	size_t pos = 0;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(json_array_next(text, &pos, &value));
		assert_slice(value, want[i]);
	}
	assert_false(json_array_next(text, &pos, &value));
	assert_false(json_array_next(text, &pos, &value));
}

static void empty_and_other_values_have_no_members(void **state)
{
	static const char *const objects[] = {"{}", " { } ", "[]", "[1]", "\"{\"", "1", ""};
	static const char *const arrays[] = {"[]", " [ ] ", "{}", "{\"a\":1}", "\"[\"", "1", ""};
	struct slice key, value;

	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		size_t pos = 0;
		assert_false(json_object_next(slice_str(objects[i]), &pos, &key, &value));
		assert_false(json_object_get(slice_str(objects[i]), "a", &value));
	}
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
		size_t pos = 0;
		assert_false(json_array_next(slice_str(arrays[i]), &pos, &value));
	}
}

static void members_are_found_by_name(void **state)
{
	struct slice text =
		SLICE("{\"type\":\"a\",\"ref\":1,\"t\\u0079pe\":\"b\",\"\\ud83d\\ude00\":3,"
		      "\"\\ud83d\":4,\"x\":{\"type\":\"c\",\"in\":5},\"a\\nb\":6}");
	struct slice value = SLICE("untouched");

	assert_true(json_object_get(text, "type", &value)); /* the last one counts */
	assert_slice(value, "\"b\"");
	assert_true(json_object_get(text, "ref", &value));
	assert_slice(value, "1");
	assert_true(json_object_get(text, "\xf0\x9f\x98\x80", &value));
	assert_slice(value, "3");
	assert_true(json_object_get(text, "a\nb", &value));
	assert_slice(value, "6");
	value = SLICE("untouched");
	assert_false(json_object_get(text, "in", &value));
	assert_false(json_object_get(text, "typ", &value));
	assert_false(json_object_get(text, "types", &value));
	assert_false(json_object_get(text, "", &value));
	assert_false(json_object_get(text, "\xed\xa0\xbd", &value));
	assert_slice(value, "untouched");
}

/* Whatever text: the walker stays inside and ends. (ASan sees the first, the test the second.) */
static void the_walker_survives_invalid_text(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(no_cases); i++) {
		char *copy = malloc(no_cases[i].n);
		struct slice text = slice_make(copy, no_cases[i].n), key, value;
		size_t pos = 0;
		if (text.n > 0)
			memcpy(copy, no_cases[i].text, text.n);
		while (json_object_next(text, &pos, &key, &value))
			json_object_get(text, "a", &value);
		pos = 0;
		while (json_array_next(text, &pos, &value))
			json_type_of(value);
		free(copy);
	}
}

static void strings_are_unescaped(void **state)
{
	static const struct {
		const char *value, *want;
		size_t want_n;
	} cases[] = {
		{"\"\"", T("")},
		{"\"abc\"", T("abc")},
		{" \"abc\" ", T("abc")},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", T("\"\\/\b\f\n\r\t")},
		{"\"a\\u0000b\"", T("a\0b")},
		{"\"\\u0041\\u00e9\\u20AC\"", T("A\xc3\xa9\xe2\x82\xac")},
		{"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
		 T("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
		{"\"\\ud834\\udd1e\"", T("\xf0\x9d\x84\x9e")},
		{"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", T("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
		{"\"\xc3\xa9\\n\xc3\xa9\"", T("\xc3\xa9\n\xc3\xa9")},
		{"\"\\\\u0041\"", T("\\u0041")},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		buf_init(&out, 0);
		assert_int_equal(json_unescape(slice_str(cases[i].value), &out), 0);
		assert_int_equal(out.n, cases[i].want_n);
		assert_memory_equal(buf_slice(&out).p, cases[i].want, out.n);
		buf_fini(&out);
	}
}

static void half_a_surrogate_pair_is_not_unescaped(void **state)
{
	static const char *const cases[] = {
		"\"x\\ud800\"",
		"\"x\\udc00\"",
		"\"\\ud800\\ud800\"",
		"\"\\udc00\\ud800\"",
		"\"\\ud800\\u0041\"",
		"\"\\ud800x\\udc00\"",
		"\"\\ud800\\n\"",
		"1",
		"{}",
		"null",
		"\"",
		"",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		buf_init(&out, 0);
		buf_add_str(&out, "before");
		assert_int_equal(json_unescape(slice_str(cases[i]), &out), -EINVAL);
		assert_slice(buf_slice(&out), "before");
		buf_fini(&out);
	}
}

static void unescaping_stops_at_the_cap(void **state)
{
	struct buf out;

	buf_init(&out, 4);
	assert_int_equal(json_unescape(SLICE("\"ab\\ncd\""), &out), -ENOBUFS);
	assert_int_equal(out.n, 0);
	assert_true(out.failed);
	buf_clear(&out);
	assert_int_equal(json_unescape(SLICE("\"\\u0061b\\nc\""), &out), 0);
	assert_slice(buf_slice(&out), "ab\nc");
	buf_fini(&out);
}

static void whole_numbers_are_read(void **state)
{
	static const char *const bad[] = {
		"-1",
		"-0",
		"1.0",
		"1e3",
		"9223372036854775808",
		"10000000000000000000",
		"123456789012345678901234567890",
		"\"1\"",
		"null",
		"",
		"true",
	};
	uint64_t v = 5;

	assert_true(json_get_u64(SLICE("0"), &v));
	assert_int_equal(v, 0);
	assert_true(json_get_u64(SLICE(" 42 "), &v));
	assert_int_equal(v, 42);
	assert_true(json_get_u64(SLICE("9223372036854775807"), &v));
	assert_true(v == INT64_MAX);
	v = 5;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(json_get_u64(slice_str(bad[i]), &v));
	assert_int_equal(v, 5);
}

static void strings_are_written_with_the_escapes_they_need(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want;
	} cases[] = {
		{T(""), "\"\""},
		{T("plain text, / and \x7f"), "\"plain text, / and \x7f\""},
		{T("\"\\"), "\"\\\"\\\\\""},
		{T("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\""},
		{T("\0\001\x1f\v"), "\"\\u0000\\u0001\\u001f\\u000b\""},
		{T("\xc3\xa9\xe2\x80\xa8\xf0\x9d\x84\x9e"),
		 "\"\xc3\xa9\xe2\x80\xa8\xf0\x9d\x84\x9e\""},
		{T("0123456789\n0123456789\""), "\"0123456789\\n0123456789\\\"\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		buf_init(&out, 0);
		assert_int_equal(json_add_string(&out, slice_make(cases[i].text, cases[i].n)), 0);
		assert_slice(buf_slice(&out), cases[i].want);
		assert_int_equal(json_string_size(slice_make(cases[i].text, cases[i].n)), out.n);
		buf_fini(&out);
	}
	assert_int_equal(json_string_size(slice_make(NULL, 0)), 2);
}

static void writing_stops_at_the_cap(void **state)
{
	struct buf out;

	buf_init(&out, 6);
	assert_int_equal(json_add_string(&out, SLICE("abc\n")), -ENOBUFS);
	assert_int_equal(out.n, 0);
	assert_int_equal(json_add_string(&out, SLICE("a")), -ENOBUFS); /* failed stays */
	buf_clear(&out);
	assert_int_equal(json_add_string(&out, SLICE("ab\n")), 0);
	assert_slice(buf_slice(&out), "\"ab\\n\"");
	buf_fini(&out);
}

/* Every character through writer, scanner and reader. */
static void what_is_written_reads_back(void **state)
{
	struct buf text, json, back;

	buf_init(&text, 0);
	buf_init(&json, 0);
	buf_init(&back, 0);
	for (unsigned c = 0; c < 0x80; c++)
		buf_add_char(&text, (char)c);
	buf_add_str(&text, "\xc2\x80\xdf\xbf\xe0\xa0\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	for (size_t n = 0; n <= text.n; n++) {
		struct slice s = slice_make(text.p, n);
		buf_clear(&json);
		buf_clear(&back);
		assert_int_equal(json_add_string(&json, s), 0);
		if (n <= 0x80 || n == text.n) /* whole characters */
			assert_true(json_is_valid(buf_slice(&json), NULL));
		assert_int_equal(json_unescape(buf_slice(&json), &back), 0);
		assert_true(slice_eq(buf_slice(&back), s));
	}
	buf_fini(&text);
	buf_fini(&json);
	buf_fini(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_what_the_grammar_accepts),
		cmocka_unit_test(refuses_the_rest_and_says_where),
		cmocka_unit_test(a_text_cut_short_is_refused_at_its_end),
		cmocka_unit_test(nesting_is_limited),
		cmocka_unit_test(types_are_told_by_the_first_byte),
		cmocka_unit_test(objects_are_walked),
		cmocka_unit_test(arrays_are_walked),
		cmocka_unit_test(empty_and_other_values_have_no_members),
		cmocka_unit_test(members_are_found_by_name),
		cmocka_unit_test(the_walker_survives_invalid_text),
		cmocka_unit_test(strings_are_unescaped),
		cmocka_unit_test(half_a_surrogate_pair_is_not_unescaped),
		cmocka_unit_test(unescaping_stops_at_the_cap),
		cmocka_unit_test(whole_numbers_are_read),
		cmocka_unit_test(strings_are_written_with_the_escapes_they_need),
		cmocka_unit_test(writing_stops_at_the_cap),
		cmocka_unit_test(what_is_written_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
