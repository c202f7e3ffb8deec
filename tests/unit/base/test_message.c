/* SPDX-License-Identifier: MIT */
/* message: copies what it is given, refuses what does not fit, and threads may share it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/message.h"
#include "base/obj.h"

static struct message_spec spec_of(const char *payload)
{
	return (struct message_spec){
		.channel = SLICE("news"),
		.payload = slice_str(payload),
		.kind = MESSAGE_TEXT,
		.durability = DURABILITY_COMMIT,
	};
}

static void test_holds_copies(void **state)
{
	char payload[] = "hello";
	struct message_spec spec = spec_of(payload);
	struct message *m;

	clock_fake_set(123456, 0);
	spec.type = SLICE("text/markdown");
	m = message_new(&spec);
	clock_fake_off();
	memset(payload, 'x', 5);
	assert_non_null(m);
	assert_true(slice_eq_str(message_channel(m), "news"));
	assert_true(slice_eq_str(message_type(m), "text/markdown"));
	assert_true(slice_eq_str(message_payload(m), "hello"));
	/* Each part is a string, too. */
	assert_int_equal(strlen(m->bytes), 4);
	assert_int_equal(strlen(message_payload(m).p), 5);
	assert_int_equal(m->kind, MESSAGE_TEXT);
	assert_int_equal(m->durability, DURABILITY_COMMIT);
	assert_int_equal(m->seq, 0);
	assert_int_equal(m->prev, 0);
	assert_int_equal(m->ts_ms, 0);
	assert_int_equal(m->born_us, 123456);
	assert_int_equal(message_size(m), sizeof(*m) + 4 + 13 + 5 + 3);
	message_unref(m);
}

static void test_default_types(void **state)
{
	static const char *const types[] = {
		[MESSAGE_JSON] = "application/json",
		[MESSAGE_TEXT] = "text/plain",
		[MESSAGE_BINARY] = "application/octet-stream",
	};

	for (int kind = MESSAGE_JSON; kind <= MESSAGE_BINARY; kind++) {
		struct message_spec spec = spec_of("");
		struct message *m;
		spec.kind = (enum message_kind)kind;
		m = message_new(&spec);
		assert_true(slice_eq_str(message_type(m), types[kind]));
		assert_int_equal(message_payload(m).n, 0);
		message_unref(m);
	}
}

static void test_lengths_that_do_not_fit(void **state)
{
	static char big[UINT16_MAX + 1];
	struct message_spec spec = spec_of("x");
	struct message *m;

	spec.channel = slice_make(big, 255);
	spec.type = slice_make(big, UINT16_MAX);
	m = message_new(&spec);
	assert_non_null(m);
	assert_int_equal(message_channel(m).n, 255);
	assert_int_equal(message_type(m).n, UINT16_MAX);
	assert_true(slice_eq_str(message_payload(m), "x"));
	message_unref(m);

	spec.channel = slice_make(big, 256);
	assert_null(message_new(&spec));
	spec.channel = slice_make(big, 0);
	assert_null(message_new(&spec));
	spec = spec_of("x");
	spec.type = slice_make(big, UINT16_MAX + 1);
	assert_null(message_new(&spec));
	spec = spec_of("x");
	spec.payload = slice_make(big, (size_t)UINT32_MAX + 1); /* refused before it is read */
	assert_null(message_new(&spec));
}

#define ROUNDS 20000

static void *ref_and_unref(void *arg)
{
	struct message *m = arg;

	for (int i = 0; i < ROUNDS; i++) {
		message_ref(m);
		assert(message_payload(m).n == 6);
		message_unref(m);
	}
	message_unref(m); /* the reference that came with arg */
	return NULL;
}

static void test_threads_share_one_message(void **state)
{
	struct message_spec spec = spec_of("shared");
	struct message *m = message_new(&spec);
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, message_ref(m)),
				 0);
	assert_null(message_unref(m)); /* whoever is last frees: the sanitizers watch */
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_null(message_unref(NULL));
}

static void test_durability_names(void **state)
{
	assert_string_equal(durability_name(DURABILITY_EPHEMERAL), "ephemeral");
	assert_string_equal(durability_name(DURABILITY_MEMORY), "memory");
	assert_string_equal(durability_name(DURABILITY_COMMIT), "commit");
	assert_string_equal(durability_name(DURABILITY_SYNC), "sync");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds_copies),
		cmocka_unit_test(test_default_types),
		cmocka_unit_test(test_lengths_that_do_not_fit),
		cmocka_unit_test(test_threads_share_one_message),
		cmocka_unit_test(test_durability_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
