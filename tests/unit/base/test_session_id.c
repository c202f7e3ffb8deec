/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/session_id.h"

static struct session_key key;

static struct session_id make(void)
{
	return session_id_of(&key, session_name_make());
}

static void an_id_reads_back_what_was_written(void **state)
{
	char text[SESSION_ID_TEXT + 1], name[SESSION_NAME_TEXT + 1];
	struct session_id a = make(), b;

	(void)state;
	session_id_format(text, &a);
	assert_int_equal(strlen(text), 32);
	assert_true(session_id_parse(slice_str(text), &b));
	assert_memory_equal(&a, &b, sizeof(a));
	session_name_format(name, &a);
	assert_int_equal(strlen(name), 16);
	assert_memory_equal(name, text, 16);
}

static void two_ids_differ_in_both_halves(void **state)
{
	struct session_id a = make(), b = make();

	(void)state;
	assert_memory_not_equal(a.bytes, b.bytes, 8);
	assert_memory_not_equal(a.bytes + 8, b.bytes + 8, 8);
}

static void what_is_no_id_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"0123456789abcdef0123456789abcde",
		"0123456789abcdef0123456789abcdef0",
		"0123456789ABCDEF0123456789abcdef",
		"0123456789abcdeg0123456789abcdef",
		"0123456789abcdef 123456789abcdef",
		"0123456789abcde/0123456789abcdef",
		"0123456789abcdef0123456789abcde:",
		"`123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcde\xe1",
		"0123456789abcdef",
	};
	struct session_id id;

	(void)state;
	memset(&id, 7, sizeof(id));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(session_id_parse(slice_str(bad[i]), &id));
		assert_int_equal(id.bytes[0], 7);
	}
	assert_false(session_id_parse((struct slice){NULL, 0}, &id));
	assert_false(session_name_parse(slice_str("0123456789abcde"), &id));
	assert_int_equal(id.bytes[15], 7);
}

static void a_name_is_the_lowest_id_of_it(void **state)
{
	struct session_id id;

	(void)state;
	assert_true(session_name_parse(SLICE("00ff000000000001"), &id));
	assert_int_equal(id.bytes[1], 0xff);
	assert_int_equal(id.bytes[7], 1);
	for (size_t i = 8; i < 16; i++)
		assert_int_equal(id.bytes[i], 0);
}

static void an_id_of_this_key_is_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		uint64_t name = session_name_make();
		struct session_id id = session_id_of(&key, name);
		assert_true(session_name_value(&id) == name);
		assert_true(session_id_is_ours(&key, &id));
	}
}

static void no_bit_of_it_can_be_another(void **state)
{
	struct session_id id = make();

	(void)state;
	for (size_t bit = 0; bit < 8 * SESSION_ID_BYTES; bit++) {
		struct session_id other = id;
		other.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(session_id_is_ours(&key, &other));
	}
}

static void an_id_of_another_key_is_not_ours(void **state)
{
	struct session_id id = make(), none = {{0}};
	struct session_key other;

	(void)state;
	session_key_make(&other);
	assert_memory_not_equal(&other, &key, sizeof(key));
	assert_false(session_id_is_ours(&other, &id));
	assert_false(session_id_is_ours(&key, &none));
	for (size_t bit = 0; bit < 8 * SESSION_KEY_BYTES; bit++) {
		other = key;
		other.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(session_id_is_ours(&other, &id));
	}
}

/* The example of the paper that SipHash comes from has 15 bytes; the reference implementation tells
 * of 8 bytes 00 … 07 under the key 00 … 0f. */
static void the_second_half_is_siphash(void **state)
{
	static const uint8_t secret[] = {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93};
	struct session_key count;
	struct session_id id;

	(void)state;
	for (uint8_t i = 0; i < SESSION_KEY_BYTES; i++)
		count.bytes[i] = i;
	assert_true(session_name_parse(SLICE("0001020304050607"), &id));
	id = session_id_of(&count, session_name_value(&id));
	assert_memory_equal(id.bytes + SESSION_NAME_BYTES, secret, sizeof(secret));
}

/* --- a random source that often gives zeros ----------------------------------------------------
 */

static size_t drawn; /* bytes */

static const char *zeros_name(void)
{
	return "zeros";
}

static uint32_t zeros_random(void)
{
	return 0;
}

static void zeros_buf(void *buf, size_t n)
{
	memset(buf, 0, n);
	if (drawn) /* the first time nothing but zeros */
		for (size_t i = 0; i + 8 <= n; i += 64)
			memset((uint8_t *)buf + i, 7, 8);
	drawn += n;
}

static void nobody_gets_the_name_zero(void **state)
{
	static struct randombytes_implementation zeros = {
		.implementation_name = zeros_name, .random = zeros_random, .buf = zeros_buf};

	(void)state;
	randombytes_set_implementation(&zeros);
	while (!drawn) /* what is left of a better one */
		assert_true(session_name_make() != 0);
	for (size_t i = 0; i < 100; i++)
		assert_true(session_name_make() == 0x0707070707070707);
	randombytes_set_implementation(&randombytes_sysrandom_implementation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_reads_back_what_was_written),
		cmocka_unit_test(two_ids_differ_in_both_halves),
		cmocka_unit_test(what_is_no_id_changes_nothing),
		cmocka_unit_test(a_name_is_the_lowest_id_of_it),
		cmocka_unit_test(an_id_of_this_key_is_ours),
		cmocka_unit_test(no_bit_of_it_can_be_another),
		cmocka_unit_test(an_id_of_another_key_is_not_ours),
		cmocka_unit_test(the_second_half_is_siphash),
		cmocka_unit_test(nobody_gets_the_name_zero),
	};

	session_key_make(&key);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
