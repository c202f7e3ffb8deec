/* SPDX-License-Identifier: MIT */
/*
 * The contract of store/store.h, asked of every engine: what is remembered of publishes, and
 * messages that expire. A new engine adds its name to `engines` below and passes this file as it
 * is.
 */
#include "tests/unit/store/store_test.h"

#include "base/map.h"

static const char *const engines[] = {"memory", "sqlite"};

struct fixture {
	const struct store_engine *e;
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct store *s;
	struct store_reader *r;
	struct test_rows rows;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct problem problem = {""};

	f->e = store_engine_find(*state);
	assert_non_null(f->e);
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	struct store_config cfg = {.path = f->path,
				   .namespaces = f->namespaces,
				   .first_seq = 1,
				   .create = true,
				   .dedup_max = 1000};
	if (f->e->ops.open(&cfg, &f->s, &problem) != 0)
		fail_msg("%s", problem.text);
	assert_int_equal(f->e->ops.reader_open(f->s, &f->r), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	test_rows_clear(&f->rows);
	f->e->ops.reader_close(f->r);
	f->e->ops.close(f->s);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

static void put(struct fixture *f, const char *channel, uint64_t seq, int64_t ts,
		const char *payload)
{
	test_append(f->e, f->s, channel, seq, ts, payload);
}

static struct channel_info info_of(struct fixture *f, const char *channel)
{
	struct channel_info info;

	assert_int_equal(f->e->admin.channel(f->r, slice_str(channel), &info), 0);
	return info;
}

static void read_range(struct fixture *f, struct store_range *ranges, size_t n, uint64_t upto,
		       size_t row_max, size_t byte_max, uint64_t *ret_reached)
{
	struct store_read read = {.ranges = ranges,
				  .range_n = n,
				  .upto = upto,
				  .row_max = row_max,
				  .byte_max = byte_max};

	test_rows_clear(&f->rows);
	assert_int_equal(f->e->ops.read(f->r, &read, test_row, &f->rows), 0);
	assert_true(read.upto == upto);
	*ret_reached = read.reached;
}

/* --- what is remembered of publishes --------------------------------------------------------- */

static struct dedup_row row_of(uint64_t first, uint64_t n, uint64_t producer_seq, int64_t expires)
{
	return (struct dedup_row){first, n, producer_seq, expires, DURABILITY_SYNC};
}

static void put_with(struct fixture *f, const char *channel, uint64_t seq,
		     const struct dedup_record *records, size_t n)
{
	f->e->dedup.stage(f->s, records, n);
	put(f, channel, seq, 1000, "x");
}

static void assert_row(const struct dedup_row *a, const struct dedup_row *b)
{
	assert_int_equal(a->first, b->first);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->producer_seq, b->producer_seq);
	assert_int_equal(a->expires_ms, b->expires_ms);
	assert_int_equal(a->durability, b->durability);
}

static void test_keys(void **state)
{
	struct fixture *f = *state;
	struct slice a = SLICE("a"), none = SLICE(""), key = slice_make("k\0\xff", 3);
	struct dedup_row row, first = row_of(1, 1, 0, 5000), batch = row_of(2, 3, 0, 6000);

	assert_int_equal(f->e->dedup.find_key(f->s, a, key, &row), 0);
	struct dedup_record one = {.channel = a, .key = key, .row = first};
	put_with(f, "a", 1, &one, 1);
	struct dedup_record two = {.channel = none, .key = key, .row = batch};
	put_with(f, "b", 2, &two, 1);
	put(f, "a", 9, 1000, "x"); /* what was staged is written once */
	assert_int_equal(f->e->dedup.find_key(f->s, a, key, &row), 1);
	assert_row(&row, &first);
	assert_int_equal(f->e->dedup.find_key(f->s, none, key, &row), 1);
	assert_row(&row, &batch);
	assert_int_equal(f->e->dedup.find_key(f->s, SLICE("b"), key, &row), 0);
	assert_int_equal(f->e->dedup.find_key(f->s, a, slice_make("k", 1), &row), 0);
	assert_int_equal(f->e->dedup.find_producer(f->s, SLICE("k"), &row), 0);
	/* replaced, then forgotten in its time */
	one.row = row_of(10, 1, 0, 7000);
	put_with(f, "a", 10, &one, 1);
	assert_int_equal(f->e->dedup.find_key(f->s, a, key, &row), 1);
	assert_row(&row, &one.row);
	test_trim(f->e, f->s, 6000, 10);
	assert_int_equal(f->e->dedup.find_key(f->s, none, key, &row), 0);
	assert_int_equal(f->e->dedup.find_key(f->s, a, key, &row), 1);
	test_trim(f->e, f->s, 7000, 10);
	assert_int_equal(f->e->dedup.find_key(f->s, a, key, &row), 0);
}

static void test_producers(void **state)
{
	struct fixture *f = *state;
	struct dedup_record r = {.producer = SLICE("p"), .row = row_of(1, 2, 41, 5000)};
	struct dedup_record other = {.producer = SLICE("q"), .row = row_of(4, 1, 1, 5000)};
	struct dedup_row row;

	assert_int_equal(f->e->dedup.find_producer(f->s, r.producer, &row), 0);
	put_with(f, "a", 1, &r, 1);
	r.row = row_of(3, 1, 42, 6000);
	put_with(f, "a", 3, (struct dedup_record[]){other, r}, 2);
	assert_int_equal(f->e->dedup.find_producer(f->s, r.producer, &row), 1);
	assert_row(&row, &r.row);
	assert_int_equal(f->e->dedup.find_producer(f->s, other.producer, &row), 1);
	test_trim(f->e, f->s, 5000, 10);
	assert_int_equal(f->e->dedup.find_producer(f->s, other.producer, &row), 0);
	assert_int_equal(f->e->dedup.find_producer(f->s, r.producer, &row), 1);
	test_trim(f->e, f->s, 6000, 10);
	assert_int_equal(f->e->dedup.find_producer(f->s, r.producer, &row), 0);
}

static void test_forgetting_goes_in_steps(void **state)
{
	struct fixture *f = *state;
	struct dedup_record records[25];
	struct dedup_row row;
	char keys[25][4];
	size_t n = 0;

	for (int i = 0; i < 25; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%d", i);
		records[i] = (struct dedup_record){.channel = SLICE("a"),
						   .key = slice_str(keys[i]),
						   .row = row_of(1, 1, 0, 5000)};
	}
	put_with(f, "a", 1, records, 25);
	assert_int_equal(f->e->ops.trim(f->s, 4999, 10, &n), 0);
	assert_int_equal(f->e->ops.trim(f->s, 5000, 10, &n), 1);
	assert_int_equal(f->e->ops.trim(f->s, 5000, 10, &n), 1);
	assert_int_equal(f->e->ops.trim(f->s, 5000, 10, &n), 0);
	assert_int_equal(n, 0); /* of messages */
	for (int i = 0; i < 25; i++)
		assert_int_equal(f->e->dedup.find_key(f->s, SLICE("a"), slice_str(keys[i]), &row),
				 0);
}

/* --- messages that expire -------------------------------------------------------------------- */

static void put_until(struct fixture *f, const char *channel, uint64_t seq, int64_t expires)
{
	uint64_t head;

	assert_int_equal(f->e->ops.head(f->s, slice_str(channel), &head), 0);
	struct message *m = test_message(channel, seq, head, 1000, "12345");
	m->expires_ms = expires;
	assert_int_equal(f->e->ops.append(f->s, &m, 1, false), 0);
	message_unref(m);
}

/* The chain from message to message, where a marker may stand for several. */
static void assert_chain(struct fixture *f, const char *channel, uint64_t after,
			 uint64_t expired_upto)
{
	uint64_t before = after;

	test_rows_clear(&f->rows);
	test_read_channel(f->e, f->r, channel, after, &f->rows);
	for (size_t i = 0; i < f->rows.n; i++) {
		struct message *m = f->rows.m[i];
		assert_true(m->prev <= before);
		before = m->seq;
		if (m->expires_ms != MESSAGE_MARKER)
			continue;
		assert_int_equal(m->payload_n, 0);
		assert_true(message_is_expired(m));
		assert_true(m->seq <= expired_upto);
	}
	assert_int_equal(before, info_of(f, channel).head);
}

static void test_expired_messages_leave_markers(void **state)
{
	struct fixture *f = *state;

	put(f, "a", 1, 1000, "12345");
	put_until(f, "a", 2, 5000);
	put_until(f, "a", 3, 4000);
	put_until(f, "a", 4, 5000);
	put(f, "a", 5, 1000, "12345");
	put_until(f, "a", 6, 9000);
	assert_int_equal(test_trim(f->e, f->s, 3999, 10), 0);
	assert_int_equal(info_of(f, "a").bytes, 30);
	assert_int_equal(test_trim(f->e, f->s, 4000, 10), 1);
	assert_chain(f, "a", 1, 3);
	assert_int_equal(f->rows.n, 5);
	assert_int_equal(f->rows.m[1]->expires_ms, MESSAGE_MARKER);
	assert_int_equal(f->rows.m[1]->prev, 2);
	assert_int_equal(f->rows.m[4]->expires_ms, 9000);
	assert_int_equal(test_trim(f->e, f->s, 5000, 10), 2);
	assert_chain(f, "a", 1, 4);
	/* the last of the run is where it was */
	assert_int_equal(f->rows.m[f->rows.n - 3]->seq, 4);
	struct channel_info info = info_of(f, "a");
	assert_int_equal(info.floor, 0);
	assert_int_equal(info.oldest, 1);
	assert_int_equal(info.bytes, 15);
	assert_int_equal(info.count, f->rows.n + 1);
	assert_int_equal(test_trim(f->e, f->s, 9000, 10), 1);
	assert_chain(f, "a", 0, 6);
	assert_int_equal(f->rows.m[f->rows.n - 1]->seq, 6);
}

/* What is stored after a look that found nothing may be due before all that it saw. */
static void test_a_later_message_expires_first(void **state)
{
	struct fixture *f = *state;

	put_until(f, "a", 1, 9000);
	assert_int_equal(test_trim(f->e, f->s, 1000, 10), 0);
	put_until(f, "b", 2, 2000);
	assert_int_equal(test_trim(f->e, f->s, 1999, 10), 0);
	assert_int_equal(test_trim(f->e, f->s, 2000, 10), 1);
	put(f, "young:a", 3, 2000, "x"); /* kept for a second */
	assert_int_equal(test_trim(f->e, f->s, 2999, 10), 0);
	assert_int_equal(test_trim(f->e, f->s, 3000, 10), 1);
	assert_int_equal(info_of(f, "young:a").count, 0);
	assert_int_equal(test_trim(f->e, f->s, 9000, 10), 1);
	assert_int_equal(info_of(f, "a").bytes, 0);
}

static void test_a_channel_of_markers(void **state)
{
	struct fixture *f = *state;

	for (uint64_t seq = 1; seq <= 9; seq++)
		put_until(f, "few:a", seq, 5000);
	test_trim(f->e, f->s, 1000, 10); /* three are kept */
	assert_int_equal(info_of(f, "few:a").floor, 6);
	test_trim(f->e, f->s, 5000, 10);
	struct channel_info info = info_of(f, "few:a");
	assert_int_equal(info.floor, 6); /* still */
	assert_int_equal(info.head, 9);
	assert_int_equal(info.bytes, 0);
	assert_chain(f, "few:a", 6, 9);
	/* as the oldest they go, and then the floor moves */
	put(f, "few:a", 10, 1000, "x");
	put(f, "few:a", 11, 1000, "x");
	put(f, "few:a", 12, 1000, "x");
	test_trim(f->e, f->s, 5000, 10);
	info = info_of(f, "few:a");
	assert_int_equal(info.floor, 9);
	assert_int_equal(info.oldest, 10);
	assert_int_equal(info.count, 3);
	assert_chain(f, "few:a", 9, 0);
}

static void test_expiry_goes_with_age_bytes_and_purge(void **state)
{
	struct fixture *f = *state;
	uint64_t n;

	for (uint64_t seq = 1; seq <= 4; seq++) {
		put_until(f, "young:a", 3 * seq, 1500);
		put_until(f, "small:a", 3 * seq + 1, 1500);
		put_until(f, "a", 3 * seq + 2, seq == 2 ? 0 : 1500);
	}
	test_trim(f->e, f->s, 1500, 100);
	assert_int_equal(info_of(f, "small:a").bytes, 0);
	for (uint64_t seq = 20; seq < 45; seq++)
		put(f, "small:a", seq, 1500, "12345");
	test_trim(f->e, f->s, 1500, 100);
	struct channel_info info = info_of(f, "small:a");
	assert_int_equal(info.bytes, 100);
	assert_int_equal(info.count, 20);
	assert_int_equal(info.floor, 24);
	test_trim(f->e, f->s, 2000, 100);
	assert_int_equal(info_of(f, "young:a").count, 0);
	assert_int_equal(info_of(f, "young:a").floor, 12);
	assert_int_equal(f->e->admin.purge(f->s, SLICE("a"), 100, 100, &n), 0);
	assert_int_equal(info_of(f, "a").count, 0);
	assert_int_equal(info_of(f, "a").bytes, 0);
	assert_int_equal(test_trim(f->e, f->s, 2000, 100), 0);
}

static void test_newest_are_counted_without_expired(void **state)
{
	struct fixture *f = *state;
	struct store_range range = {.channel = SLICE("a"), .last = 2};
	uint64_t reached;

	put(f, "a", 1, 1000, "x");
	put(f, "a", 2, 1000, "x");
	put_until(f, "a", 3, 1500); /* long ago, by the clock of this machine */
	put(f, "a", 4, 1000, "x");
	put_until(f, "a", 5, 1500);
	for (int trimmed = 0; trimmed < 2; trimmed++) {
		range.last = 2;
		read_range(f, &range, 1, 100, 10, 1000, &reached);
		assert_int_equal(range.after, 1);
		assert_int_equal(f->rows.n, 4);
		test_trim(f->e, f->s, 1500, 10);
	}
	range.last = 1;
	read_range(f, &range, 1, 100, 10, 1000, &reached);
	assert_int_equal(range.after, 3);
}

static const struct {
	const char *name;
	CMUnitTestFunction fn;
} tests[] = {
#define TEST(fn)        \
	{               \
#fn, fn \
	}
	TEST(test_keys),
	TEST(test_producers),
	TEST(test_forgetting_goes_in_steps),
	TEST(test_expired_messages_leave_markers),
	TEST(test_a_later_message_expires_first),
	TEST(test_a_channel_of_markers),
	TEST(test_expiry_goes_with_age_bytes_and_purge),
	TEST(test_newest_are_counted_without_expired),
};

#define TESTS_N   (sizeof(tests) / sizeof(tests[0]))
#define ENGINES_N (sizeof(engines) / sizeof(engines[0]))

int main(void)
{
	struct CMUnitTest all[TESTS_N * ENGINES_N];
	char names[TESTS_N * ENGINES_N][80];
	size_t n = 0;

	map_seed();
	for (size_t e = 0; e < ENGINES_N; e++) {
		for (size_t t = 0; t < TESTS_N; t++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", engines[e], tests[t].name);
			all[n] = (struct CMUnitTest){names[n], tests[t].fn, setup, teardown,
						     (void *)engines[e]};
			n++;
		}
	}
	return cmocka_run_group_tests(all, NULL, NULL);
}
