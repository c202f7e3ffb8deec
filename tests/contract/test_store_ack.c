/* SPDX-License-Identifier: MIT */
/* The contract of store/ack_store.h, asked of every engine. */
#include "tests/unit/store/store_test.h"

#include <errno.h>

#include "base/map.h"
#include "base/obj.h"

static const char *const engines[] = {"memory", "sqlite"};

struct fixture {
	const struct store_engine *e;
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct store *s;
	struct store_reader *r;
	char rows[4096]; /* of the newest listing, as text */
};

static void open_store(struct fixture *f)
{
	struct problem problem = {""};
	struct store_config cfg = {.path = f->path,
				   .namespaces = f->namespaces,
				   .first_seq = 1,
				   .create = true,
				   .ack_max = 4};

	if (f->e->ops.open(&cfg, &f->s, &problem) != 0)
		fail_msg("%s", problem.text);
	assert_int_equal(f->e->ops.reader_open(f->s, &f->r), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->e = store_engine_find(*state);
	assert_non_null(f->e);
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	open_store(f);
	*state = f;
	return 0;
}

static void close_store(struct fixture *f)
{
	f->e->ops.reader_close(f->r);
	f->e->ops.close(f->s);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_store(f);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

static struct store_ack make(const char *subscriber, const char *channel, uint64_t begin,
			     uint64_t seq)
{
	return (struct store_ack){.subscriber = slice_str(subscriber),
				  .channel = slice_str(channel),
				  .begin = begin,
				  .seq = seq,
				  .ts_ms = 1000};
}

/* Make one change; return its position. */
static uint64_t put(struct fixture *f, struct store_ack a)
{
	struct store_ack *staged = &a;

	f->e->ack.stage(f->s, &staged, 1);
	assert_int_equal(f->e->ops.append(f->s, NULL, 0, false), 0);
	assert_int_equal(a.error, 0);
	return a.kept;
}

static void add_row(void *arg, const struct store_ack_row *row)
{
	struct fixture *f = arg;
	size_t n = strlen(f->rows);

	snprintf(f->rows + n, sizeof(f->rows) - n, "%s%.*s %.*s %llu%s", n ? "|" : "",
		 SLICE_ARG(row->subscriber), SLICE_ARG(row->channel), (unsigned long long)row->seq,
		 row->is_passed ? " passed" : "");
}

static const char *list(struct fixture *f, struct store_ack_range range)
{
	char by_reader[sizeof(f->rows)];

	if (range.max == 0)
		range.max = 100;
	f->rows[0] = '\0';
	assert_int_equal(f->e->ack.list(f->r, &range, add_row, f), 0);
	memcpy(by_reader, f->rows, sizeof(by_reader));
	f->rows[0] = '\0';
	assert_int_equal(f->e->ack.scan(f->s, &range, add_row, f), 0);
	assert_string_equal(f->rows, by_reader);
	return f->rows;
}

static void test_begin_then_forward_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, make("s", "a", 7, 0)), 7);
	assert_int_equal(put(f, make("s", "a", 9, 0)), 7);
	assert_int_equal(put(f, make("s", "a", 9, 9)), 9);
	assert_int_equal(put(f, make("s", "a", 8, 8)), 9);
	assert_int_equal(put(f, make("s", "b", 5, 5)), 5);
	assert_int_equal(put(f, make("s", "a", STORE_ACK_NO_BEGIN, 0)), 9);
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 9|s b 5");
}

static void test_no_begin_makes_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_ack a = make("s", "a", STORE_ACK_NO_BEGIN, 3), *staged = &a;

	f->e->ack.stage(f->s, &staged, 1);
	assert_int_equal(f->e->ops.append(f->s, NULL, 0, false), 0);
	assert_int_equal(a.error, -ENOENT);
	assert_string_equal(list(f, (struct store_ack_range){0}), "");
}

static void test_with_messages_in_one_transaction(void **state)
{
	struct fixture *f = *state;
	struct message *m = test_message("a", 1, 0, 1000, "x");
	struct store_ack a = make("s", "a", 1, 1), *staged = &a;

	f->e->ack.stage(f->s, &staged, 1);
	assert_int_equal(f->e->ops.append(f->s, &m, 1, true), 0);
	message_unref(m);
	assert_int_equal(a.kept, 1);
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 1");
	/* what was staged is not written again */
	test_append(f->e, f->s, "a", 2, 1000, "y");
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 1");
}

static void test_at_most(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	struct fixture *f = *state;
	struct store_ack acks[5], *staged[5];

	for (size_t i = 0; i < 5; i++) {
		acks[i] = make("s", names[i], 1, 1);
		staged[i] = &acks[i];
	}
	f->e->ack.stage(f->s, staged, 5);
	assert_int_equal(f->e->ops.append(f->s, NULL, 0, false), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(acks[i].error, 0);
	assert_int_equal(acks[4].error, -EDQUOT);
	assert_int_equal(put(f, make("s", "d", 2, 2)), 2);
	assert_int_equal(f->e->ack.forget(f->s, &acks[1], 1), 0);
	assert_int_equal(put(f, make("s", "e", 3, 3)), 3);
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 1|s c 1|s d 2|s e 3");
}

static void test_listing(void **state)
{
	struct fixture *f = *state;

	put(f, make("s", "b", 1, 1));
	put(f, make("r", "c", 2, 2));
	put(f, make("s", "a", 3, 3));
	put(f, make("r", "a", 4, 4));
	assert_string_equal(list(f, (struct store_ack_range){0}), "r a 4|r c 2|s a 3|s b 1");
	assert_string_equal(list(f, (struct store_ack_range){.subscriber = SLICE("s")}),
			    "s a 3|s b 1");
	assert_string_equal(list(f, (struct store_ack_range){.channel = SLICE("a")}),
			    "r a 4|s a 3");
	assert_string_equal(list(f, (struct store_ack_range){.max = 3}), "r a 4|r c 2|s a 3");
	assert_string_equal(list(f, (struct store_ack_range){.after_subscriber = SLICE("r"),
							     .after_channel = SLICE("b")}),
			    "r c 2|s a 3|s b 1");
	assert_string_equal(list(f, (struct store_ack_range){.subscriber = SLICE("s"),
							     .after_subscriber = SLICE("s"),
							     .after_channel = SLICE("a")}),
			    "s b 1");
	assert_string_equal(list(f, (struct store_ack_range){.channel = SLICE("a"),
							     .after_subscriber = SLICE("r"),
							     .after_channel = SLICE("a")}),
			    "s a 3");
	assert_string_equal(list(f, (struct store_ack_range){.subscriber = SLICE("q")}), "");
}

static void test_passed_until_it_advances(void **state)
{
	struct fixture *f = *state;
	struct store_ack passed = make("s", "a", STORE_ACK_NO_BEGIN, 0);

	passed.is_passed = true;
	put(f, make("s", "a", 1, 1));
	put(f, passed);
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 1 passed");
	put(f, make("s", "a", 1, 1));
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 1 passed");
	put(f, make("s", "a", 2, 2));
	assert_string_equal(list(f, (struct store_ack_range){0}), "s a 2");
}

static void test_behind_and_standing(void **state)
{
	struct fixture *f = *state;
	struct channel_info info;
	uint64_t n = 99;

	assert_int_equal(f->e->ack.behind(f->r, SLICE("few:a"), 0, 10, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(f->e->ack.standing(f->s, SLICE("few:a"), &info), 0);
	assert_int_equal(info.head, 0);
	for (uint64_t seq = 1; seq <= 5; seq++)
		test_append(f->e, f->s, "few:a", seq, 1000, "x");
	test_trim(f->e, f->s, 1000, 100);
	assert_int_equal(f->e->ack.behind(f->r, SLICE("few:a"), 4, 10, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(f->e->ack.behind(f->r, SLICE("few:a"), 0, 10, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(f->e->ack.behind(f->r, SLICE("few:a"), 0, 2, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(f->e->ack.standing(f->s, SLICE("few:a"), &info), 0);
	assert_int_equal(info.head, 5);
	assert_int_equal(info.floor, 2);
	assert_int_equal(info.count, 3);
}

static void test_survives_a_restart(void **state)
{
	struct fixture *f = *state;

	put(f, make("s", "a", 3, 3));
	put(f, make("s", "b", 4, 4));
	close_store(f);
	open_store(f);
	const char *want = strcmp(f->e->ops.name, "memory") == 0 ? "" : "s a 3|s b 4";
	assert_string_equal(list(f, (struct store_ack_range){0}), want);
}

static const struct {
	const char *name;
	CMUnitTestFunction fn;
} tests[] = {
#define TEST(fn)        \
	{               \
#fn, fn \
	}
	TEST(test_begin_then_forward_only),
	TEST(test_no_begin_makes_nothing),
	TEST(test_with_messages_in_one_transaction),
	TEST(test_at_most),
	TEST(test_listing),
	TEST(test_passed_until_it_advances),
	TEST(test_behind_and_standing),
	TEST(test_survives_a_restart),
};

int main(void)
{
	struct CMUnitTest all[ARRAY_LEN(tests) * ARRAY_LEN(engines)];
	char names[ARRAY_LEN(tests) * ARRAY_LEN(engines)][80];
	size_t n = 0;

	map_seed();
	for (size_t e = 0; e < ARRAY_LEN(engines); e++) {
		for (size_t t = 0; t < ARRAY_LEN(tests); t++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", engines[e], tests[t].name);
			all[n] = (struct CMUnitTest){names[n], tests[t].fn, setup, teardown,
						     (void *)engines[e]};
			n++;
		}
	}
	return cmocka_run_group_tests(all, NULL, NULL);
}
