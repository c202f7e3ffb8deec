/* SPDX-License-Identifier: MIT */
/* id: one spelling per position; another log's id is told from nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/id.h"

static const struct epoch ours = {"k3v9q2"};

static enum id_verdict parse(const char *text, uint64_t *ret_seq)
{
	return id_parse(slice_str(text), &ours, ret_seq);
}

static void test_valid(void **state)
{
	uint64_t seq = 99;

	assert_int_equal(parse("k3v9q2.0", &seq), ID_VALID);
	assert_int_equal(seq, 0);
	assert_int_equal(parse("k3v9q2.42", &seq), ID_VALID);
	assert_int_equal(seq, 42);
	assert_int_equal(parse("k3v9q2.9223372036854775807", &seq), ID_VALID);
	assert_int_equal(seq, INT64_MAX);
	/* A slice need not end where a string does. */
	assert_int_equal(id_parse(slice_make("k3v9q2.123456", 9), &ours, &seq), ID_VALID);
	assert_int_equal(seq, 12);
}

static void test_foreign_epoch(void **state)
{
	static const char *const ids[] = {
		"a.1", "k3v9q.42", "k3v9q22.42", "abcdefghijklmno.0", "123456.9223372036854775807",
	};
	uint64_t seq = 99;

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(parse(ids[i], &seq), ID_FOREIGN_EPOCH);
	assert_int_equal(seq, 99);
}

static void test_malformed(void **state)
{
	static const char *const ids[] = {
		"",
		".",
		"0",
		"42",
		"k3v9q2",
		"k3v9q2.",
		".42",
		"k3v9q2.042",
		"k3v9q2.00",
		"k3v9q2.-1",
		"k3v9q2.+1",
		"k3v9q2. 1",
		"k3v9q2.1 ",
		" k3v9q2.1",
		"k3v9q2.1.2",
		"k3v9q2.0x1",
		"K3V9Q2.1",
		"k3_9q2.1",
		"abcdefghijklmnop.1",
		"k3v9q2.9223372036854775808",
		"k3v9q2.18446744073709551616",
		"k3v9q2.99999999999999999999",
		"a.01",
		"é.1",
	};
	uint64_t seq = 99;

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(parse(ids[i], &seq), ID_MALFORMED);
	assert_int_equal(id_parse(slice_make("k3v9q2.1\0", 9), &ours, &seq), ID_MALFORMED);
	assert_int_equal(id_parse(slice_make(NULL, 0), &ours, &seq), ID_MALFORMED);
	assert_int_equal(seq, 99);
}

static void test_format_and_back(void **state)
{
	static const uint64_t seqs[] = {0, 1, 9, 10, 4294967296, INT64_MAX};
	static const struct epoch longest = {"abcdefghijklmno"};
	char text[ID_TEXT_MAX];
	uint64_t seq;

	for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
		size_t n = id_format(text, &longest, seqs[i]);
		assert_int_equal(n, strlen(text));
		assert_int_equal(id_parse(slice_str(text), &longest, &seq), ID_VALID);
		assert_int_equal(seq, seqs[i]);
	}
	assert_int_equal(id_format(text, &longest, UINT64_MAX), ID_TEXT_MAX - 1);
}

static void test_made_epochs(void **state)
{
	struct epoch first, e;
	int same = 0;

	epoch_make(&first);
	for (int i = 0; i < 1000; i++) {
		epoch_make(&e);
		assert_int_equal(strlen(e.text), 6);
		assert_in_range(e.text[0], 'a', 'z');
		assert_true(epoch_is_valid(slice_str(e.text)));
		same += strcmp(first.text, e.text) == 0;
	}
	assert_in_range(same, 0, 1);
}

static void test_epoch_syntax(void **state)
{
	assert_true(epoch_is_valid(SLICE("a")));
	assert_true(epoch_is_valid(SLICE("0")));
	assert_true(epoch_is_valid(SLICE("abcdefghijklmno")));
	assert_false(epoch_is_valid(SLICE("")));
	assert_false(epoch_is_valid(SLICE("abcdefghijklmnop")));
	assert_false(epoch_is_valid(SLICE("A")));
	assert_false(epoch_is_valid(SLICE("a.b")));
	assert_false(epoch_is_valid(SLICE("a\0")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),       cmocka_unit_test(test_foreign_epoch),
		cmocka_unit_test(test_malformed),   cmocka_unit_test(test_format_and_back),
		cmocka_unit_test(test_made_epochs), cmocka_unit_test(test_epoch_syntax),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
