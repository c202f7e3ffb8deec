/* SPDX-License-Identifier: MIT */
/* options: words, options between them, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cli/options.h"

struct values {
	bool flag;
	const char *text;
	uint64_t count;
	uint64_t wait_ms;
	uint64_t watch_ms;
};

static const struct option_def defs[] = {
	{.name = "flag", .kind = OPTION_FLAG, .offset = offsetof(struct values, flag)},
	{.name = "text", .kind = OPTION_TEXT, .offset = offsetof(struct values, text), .arg = "T"},
	{.name = "count",
	 .kind = OPTION_COUNT,
	 .offset = offsetof(struct values, count),
	 .arg = "N",
	 .def = OPTION_UNSET},
	{.name = "wait",
	 .kind = OPTION_SECONDS,
	 .offset = offsetof(struct values, wait_ms),
	 .arg = "S",
	 .def = 1000},
	{.name = "watch",
	 .kind = OPTION_SECONDS,
	 .offset = offsetof(struct values, watch_ms),
	 .arg = "S",
	 .def = OPTION_UNSET,
	 .is_optional = true,
	 .implied = 2000},
	{0},
};

struct run {
	struct values v;
	char words[256]; /* joined by '|' */
	struct problem problem;
	int rc;
};

/* Parse a command line given as words that end with NULL. */
static struct run parse(const char *const *words)
{
	struct run r = {.rc = 1};
	struct option_parser p = {.argv = (char **)words};
	char *word;

	while (words[p.argc])
		p.argc++;
	p.sets[1] = (struct option_set){defs, &r.v};
	options_defaults(&p.sets[1]);
	while ((r.rc = options_next_word(&p, &word, &r.problem)) == 1) {
		strcat(r.words, word);
		strcat(r.words, "|");
	}
	return r;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
	struct run r = PARSE("word");

	assert_int_equal(r.rc, 0);
	assert_string_equal(r.words, "word|");
	assert_false(r.v.flag);
	assert_null(r.v.text);
	assert_true(r.v.count == OPTION_UNSET);
	assert_int_equal(r.v.wait_ms, 1000);
}

static void test_words_and_options_mix(void **state)
{
	struct run r = PARSE("a", "--flag", "b", "--text", "t", "--count=7", "c", "--wait", "0.25");

	assert_int_equal(r.rc, 0);
	assert_string_equal(r.words, "a|b|c|");
	assert_true(r.v.flag);
	assert_string_equal(r.v.text, "t");
	assert_int_equal(r.v.count, 7);
	assert_int_equal(r.v.wait_ms, 250);
}

static void test_dashes(void **state)
{
	struct run r = PARSE("-", "--text", "-x", "--", "--flag", "-y");

	assert_int_equal(r.rc, 0);
	assert_string_equal(r.words, "-|--flag|-y|");
	assert_string_equal(r.v.text, "-x");
	assert_false(r.v.flag);
}

static void test_optional_value_stands_after_an_equals_sign_only(void **state)
{
	struct run r = PARSE("--watch", "5");

	assert_string_equal(r.words, "5|");
	assert_int_equal(r.v.watch_ms, 2000);
	r = PARSE("--watch=5");
	assert_int_equal(r.v.watch_ms, 5000);
}

static void test_bad_values(void **state)
{
	static const char *const counts[] = {"",   "-1",  "+1",  " 1",
					     "1x", "0x1", "1.5", "99999999999999999999"};
	static const char *const seconds[] = {"", "x", "1s", "-1", "nan", "inf", "1e99"};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		assert_int_equal(PARSE("--count", counts[i]).rc, -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++)
		assert_int_equal(PARSE("--wait", seconds[i]).rc, -EINVAL);
	assert_int_equal(PARSE("--flag=1").rc, -EINVAL);
	assert_int_equal(PARSE("--text").rc, -EINVAL);
}

static void test_unknown_option_names_the_nearest(void **state)
{
	struct run r = PARSE("--coutn", "3");

	assert_int_equal(r.rc, -EINVAL);
	assert_string_equal(r.problem.text, "unknown option --coutn; did you mean --count?");
	assert_string_equal(PARSE("--zzzzz").problem.text, "unknown option --zzzzz");
	assert_non_null(strstr(PARSE("-5").problem.text, "write -- before"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_words_and_options_mix),
		cmocka_unit_test(test_dashes),
		cmocka_unit_test(test_optional_value_stands_after_an_equals_sign_only),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_unknown_option_names_the_nearest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
