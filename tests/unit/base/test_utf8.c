/* SPDX-License-Identifier: MIT */
/* utf8: all code points pass, everything else is refused at its first bad byte, however it is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/obj.h"
#include "base/utf8.h"

/* A second opinion, by arithmetic: decode by the bit patterns alone, then ask whether the code
 * point is allowed and whether it was written in its shortest form. */
static bool is_one_character(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c;

	if (n == 1)
		return p[0] < 0x80;
	if (n == 2 && (p[0] & 0xe0) == 0xc0)
		c = p[0] & 0x1f;
	else if (n == 3 && (p[0] & 0xf0) == 0xe0)
		c = p[0] & 0x0f;
	else if (n == 4 && (p[0] & 0xf8) == 0xf0)
		c = p[0] & 0x07;
	else
		return false;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return false;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

static void every_sequence_is_judged_like_the_definition(void **state)
{
	static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xff};
	uint8_t p[4];

	for (unsigned two = 0; two < 0x10000; two++) {
		p[0] = (uint8_t)(two >> 8);
		p[1] = (uint8_t)two;
		assert_int_equal(utf8_is_valid(p, 1), is_one_character(p, 1));
		if (p[0] < 0x80)
			continue;
		assert_int_equal(utf8_is_valid(p, 2), is_one_character(p, 2));
		for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
			p[2] = tails[i];
			/* p[0] and p[1] may be a character of two, and p[2] one of its own */
			assert_int_equal(utf8_is_valid(p, 3),
					 is_one_character(p, 3) ||
						 (is_one_character(p, 2) && p[2] < 0x80));
			for (size_t k = 2; k < 5; k++) {
				p[3] = tails[k];
				assert_int_equal(utf8_is_valid(p, 4),
						 is_one_character(p, 4) ||
							 (is_one_character(p, 2) &&
							  is_one_character(p + 2, 2)) ||
							 (is_one_character(p, 3) && p[3] < 0x80));
			}
		}
	}
}

static void the_first_bad_byte_is_the_one_reported(void **state)
{
	static const struct {
		const char *text;
		size_t good;
	} cases[] = {
		{"\x80", 0},
		{"abcdefgh\xff", 8},
		{"abcdefghi\xc0\x80", 9},
		{"a\xc3(", 2},
		{"\xe0\x80\x80", 1},
		{"\xe0\xa0\x7f", 2},
		{"\xed\xa0\x80", 1},
		{"\xee\x80\xc0", 2},
		{"\xf0\x8f\xbf\xbf", 1},
		{"\xf4\x90\x80\x80", 1},
		{"\xf1\x80\x80 ", 3},
		{"\xf5", 0},
		{"\xe2\x82\xac\xe2\x82\xe2", 5},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		for (size_t cut = 0; cut <= n; cut++) {
			struct utf8_state s = UTF8_START;
			size_t got = utf8_scan(&s, cases[i].text, cut);
			if (got == cut)
				got += utf8_scan(&s, cases[i].text + cut, n - cut);
			assert_int_equal(got, cases[i].good);
		}
		assert_false(utf8_is_valid(cases[i].text, n));
	}
}

static void text_may_come_in_any_pieces(void **state)
{
	static const char text[] =
		"ascii and more ascii, κόσμε, 漢字, \xf0\x9d\x84\x9e\xf4\x8f\xbf\xbf end";
	size_t n = sizeof(text) - 1;

	for (size_t a = 0; a <= n; a++) {
		for (size_t b = a; b <= n; b++) {
			struct utf8_state s = UTF8_START;
			assert_true(utf8_feed(&s, text, a));
			assert_true(utf8_feed(&s, text + a, b - a));
			/* unfinished exactly when the cut is before a continuation byte */
			assert_int_equal(utf8_is_complete(&s), (text[b] & 0xc0) != 0x80);
			assert_true(utf8_feed(&s, text + b, n - b));
			assert_true(utf8_is_complete(&s));
		}
	}
}

static void unfinished_text_is_not_valid(void **state)
{
	assert_true(utf8_is_valid("", 0));
	assert_true(utf8_is_valid(NULL, 0));
	assert_true(utf8_is_valid("\0", 1));
	assert_false(utf8_is_valid("\xc3", 1));
	assert_false(utf8_is_valid("\xe2\x82", 2));
	assert_false(utf8_is_valid("text\xf0\x9d\x84", 7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sequence_is_judged_like_the_definition),
		cmocka_unit_test(the_first_bad_byte_is_the_one_reported),
		cmocka_unit_test(text_may_come_in_any_pieces),
		cmocka_unit_test(unfinished_text_is_not_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
