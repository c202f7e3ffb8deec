/* SPDX-License-Identifier: MIT */
/*
 * The contract of store/store.h, asked of every engine. A new engine adds its name to `engines`
 * below and passes this file as it is.
 */
#include "tests/unit/store/store_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

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
	struct store_config cfg = {
		.path = f->path, .namespaces = f->namespaces, .first_seq = 1, .create = true};
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

/* --- reading and writing
 * -------------------------------------------------------------------------- */

static void test_empty_log(void **state)
{
	struct fixture *f = *state;
	struct store_range range = {.channel = SLICE("nobody"), .after = 7};
	struct store_origin origin;
	uint64_t head = 9, reached;

	assert_int_equal(f->e->origin(f->s, &origin), 0);
	assert_true(epoch_is_valid(slice_str(origin.epoch.text)));
	assert_int_equal(origin.top, 0);
	assert_int_equal(origin.reserved, 0);
	assert_int_equal(f->e->ops.head(f->s, SLICE("nobody"), &head), 0);
	assert_int_equal(head, 0);
	read_range(f, &range, 1, 100, 10, 1000, &reached);
	assert_int_equal(f->rows.n, 0);
	assert_int_equal(reached, 100);
	assert_int_equal(range.head, 0);
	assert_int_equal(range.floor, 0);
	assert_int_equal(range.oldest, 0);
	read_range(f, NULL, 0, 55, 10, 1000, &reached);
	assert_int_equal(reached, 55);
}

static void test_messages_come_back_whole(void **state)
{
	struct fixture *f = *state;
	static const char binary[] = "a\0b\377";
	struct message_spec specs[] = {
		{SLICE("c"),
		 SLICE("application/x-thing"),
		 {binary, 4},
		 MESSAGE_BINARY,
		 DURABILITY_COMMIT},
		{SLICE("c"), {"", 0}, SLICE("{\"a\":1}"), MESSAGE_JSON, DURABILITY_SYNC},
		{SLICE("c"), {"", 0}, {"", 0}, MESSAGE_TEXT, DURABILITY_COMMIT},
	};
	struct message *batch[3];

	for (size_t i = 0; i < 3; i++) {
		batch[i] = message_new(&specs[i]);
		batch[i]->seq = 10 + i;
		batch[i]->prev = i ? 9 + i : 0;
		batch[i]->ts_ms = 1700000000123 + (int64_t)i;
	}
	assert_int_equal(f->e->ops.append(f->s, batch, 3, true), 0);
	test_read_channel(f->e, f->r, "c", 0, &f->rows);
	assert_int_equal(f->rows.n, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct message *m = f->rows.m[i];
		assert_int_equal(m->seq, batch[i]->seq);
		assert_int_equal(m->prev, batch[i]->prev);
		assert_int_equal(m->ts_ms, batch[i]->ts_ms);
		assert_int_equal(m->kind, batch[i]->kind);
		assert_int_equal(m->type_n, batch[i]->type_n);
		assert_true(slice_eq(message_type(m), message_type(batch[i])));
		assert_true(slice_eq(message_payload(m), message_payload(batch[i])));
		assert_true(slice_eq(message_channel(m), SLICE("c")));
	}
	for (size_t i = 0; i < 3; i++)
		message_unref(batch[i]);
}

/* A long batch is written with other statements than a short one. */
static void test_batches_of_every_size(void **state)
{
	struct fixture *f = *state;
	static const char *const channels[] = {"c", "d", "e"};
	struct message *batch[70];
	uint64_t seq = 0, heads[3] = {0};

	for (size_t n = 1; n <= 70; n += n % 8 == 0 ? 9 : 1) {
		uint64_t before = seq, head = heads[0];
		for (size_t i = 0; i < n; i++) {
			char text[32];
			snprintf(text, sizeof(text), "%zu of %zu", i, n);
			seq++;
			batch[i] = test_message(channels[i % 3], seq, heads[i % 3],
						1000 + (int64_t)seq, text);
			batch[i]->expires_ms = i % 5 == 0 ? 0 : 1000000 + (int64_t)i;
			heads[i % 3] = seq;
		}
		assert_int_equal(f->e->ops.append(f->s, batch, n, false), 0);
		test_read_channel(f->e, f->r, "c", before, &f->rows);
		assert_int_equal(f->rows.n, (n + 2) / 3);
		for (size_t i = 0; i < n; i += 3) {
			const struct message *m = f->rows.m[i / 3];
			assert_int_equal(m->seq, batch[i]->seq);
			assert_int_equal(m->prev, i == 0 ? head : batch[i - 3]->seq);
			assert_int_equal(m->ts_ms, batch[i]->ts_ms);
			assert_int_equal(m->expires_ms, batch[i]->expires_ms);
			assert_true(slice_eq(message_payload(m), message_payload(batch[i])));
		}
		test_rows_clear(&f->rows);
		for (size_t i = 0; i < n; i++)
			message_unref(batch[i]);
		assert_int_equal(info_of(f, "c").head, heads[0]);
		assert_int_equal(info_of(f, "e").head, heads[2]);
	}
}

static void test_channels_are_merged_by_seq(void **state)
{
	struct fixture *f = *state;
	struct store_range ranges[3] = {{.channel = SLICE("a")},
					{.channel = SLICE("b"), .after = 6},
					{.channel = SLICE("none")}};
	const uint64_t want[] = {1, 3, 5, 7, 8, 9, 10, 11, 12};
	uint64_t reached;

	for (uint64_t seq = 1; seq <= 12; seq++)
		put(f, seq % 2 ? "a" : "b", seq, 1, "x");
	read_range(f, ranges, 3, 12, 100, 1000, &reached);
	assert_int_equal(f->rows.n, 9);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(f->rows.m[i]->seq, want[i]);
	assert_int_equal(reached, 12);
	assert_int_equal(ranges[0].head, 11);
	assert_int_equal(ranges[0].oldest, 1);
	assert_int_equal(ranges[1].head, 12);
	/* upto holds */
	read_range(f, ranges, 2, 8, 100, 1000, &reached);
	assert_int_equal(f->rows.n, 5);
	assert_int_equal(reached, 8);
}

static void test_pages_join_without_hole_or_repeat(void **state)
{
	struct fixture *f = *state;
	uint64_t cursor = 0, seen = 0;

	for (uint64_t seq = 1; seq <= 100; seq++)
		put(f, seq % 3 == 0 ? "a" : seq % 3 == 1 ? "b" : "c", seq * 10, 1, "xy");
	while (cursor < 1000) {
		struct store_range ranges[3] = {{.channel = SLICE("a"), .after = cursor},
						{.channel = SLICE("b"), .after = cursor},
						{.channel = SLICE("c"), .after = cursor}};
		uint64_t reached;
		read_range(f, ranges, 3, 1000, 7, 1000, &reached);
		for (size_t i = 0; i < f->rows.n; i++) {
			seen++;
			assert_int_equal(f->rows.m[i]->seq, seen * 10);
		}
		assert_true(reached >= cursor + 10);
		/* everything up to reached was given, nothing beyond */
		assert_int_equal(seen, reached / 10);
		cursor = reached;
	}
	assert_int_equal(seen, 100);
}

static void test_page_stops_at_bytes_but_gives_one_row(void **state)
{
	struct fixture *f = *state;
	struct store_range range = {.channel = SLICE("a")};
	uint64_t reached;

	for (uint64_t seq = 1; seq <= 5; seq++)
		put(f, "a", seq, 1, "0123456789");
	read_range(f, &range, 1, 5, 100, 1, &reached);
	assert_int_equal(f->rows.n, 1);
	assert_int_equal(reached, 1);
	read_range(f, &range, 1, 5, 100, 25, &reached);
	assert_int_equal(f->rows.n, 3);
	assert_int_equal(reached, 3);
	read_range(f, &range, 1, 5, 5, 1000, &reached);
	assert_int_equal(f->rows.n, 5);
	assert_int_equal(reached, 5);
}

static void check_last(struct fixture *f, uint32_t last, uint64_t upto, size_t want_n,
		       uint64_t want_after)
{
	struct store_range range = {.channel = SLICE("a"), .after = 999, .last = last};
	uint64_t reached;

	read_range(f, &range, 1, upto, 100, 1000, &reached);
	assert_int_equal(f->rows.n, want_n);
	assert_int_equal(range.after, want_after);
	assert_int_equal(reached, upto);
	if (want_n > 0)
		assert_int_equal(f->rows.m[0]->seq, want_after + 1);
}

static void test_newest_messages(void **state)
{
	struct fixture *f = *state;

	for (uint64_t seq = 1; seq <= 6; seq++)
		put(f, seq % 2 ? "b" : "a", seq * 10, 1, "x"); /* a: 20 40 60 */
	check_last(f, 1, 70, 1, 59);
	check_last(f, 2, 70, 2, 39);
	check_last(f, 3, 70, 3, 19);
	check_last(f, 99, 70, 3, 19);
	check_last(f, 2, 40, 2, 19);
	check_last(f, 1, 59, 1, 39);
	check_last(f, 5, 19, 0, 19);
	struct store_range none = {.channel = SLICE("none"), .after = 3, .last = 4};
	uint64_t reached;
	read_range(f, &none, 1, 60, 100, 1000, &reached);
	assert_int_equal(none.after, 60);
}

static void test_largest_numbers(void **state)
{
	struct fixture *f = *state;
	struct store_range range = {.channel = SLICE("a"), .after = 5};
	uint64_t reached;

	put(f, "a", INT64_MAX - 1, 1, "x");
	read_range(f, &range, 1, UINT64_MAX, 10, 10, &reached);
	assert_int_equal(f->rows.n, 1);
	assert_true(reached == UINT64_MAX);
}

/* --- retention
 * ------------------------------------------------------------------------------------ */

static void test_too_many(void **state)
{
	struct fixture *f = *state;
	struct store_range range = {.channel = SLICE("few:a"), .after = 1};
	uint64_t reached, head;

	for (uint64_t seq = 1; seq <= 10; seq++)
		put(f, "few:a", seq, 1, "abcd");
	put(f, "other", 11, 1, "abcd");
	assert_int_equal(test_trim(f->e, f->s, 5, 100), 7);
	assert_int_equal(test_trim(f->e, f->s, 5, 100), 0);
	read_range(f, &range, 1, 10, 100, 1000, &reached);
	assert_int_equal(f->rows.n, 3);
	assert_int_equal(range.floor, 7);
	assert_int_equal(range.oldest, 8);
	assert_int_equal(range.head, 10);
	struct channel_info info = info_of(f, "few:a");
	assert_int_equal(info.count, 3);
	assert_int_equal(info.bytes, 12);
	assert_int_equal(info.floor, 7);
	assert_int_equal(info.oldest, 8);
	assert_int_equal(f->e->ops.head(f->s, SLICE("few:a"), &head), 0);
	assert_int_equal(head, 10);
	assert_int_equal(info_of(f, "other").count, 1);
}

static void test_too_old(void **state)
{
	struct fixture *f = *state;

	for (uint64_t seq = 1; seq <= 10; seq++)
		put(f, seq % 2 ? "young:a" : "young:b", seq, (int64_t)seq * 100, "x");
	put(f, "old", 11, 1100, "x");
	assert_int_equal(test_trim(f->e, f->s, 1099, 100), 0);
	assert_int_equal(test_trim(f->e, f->s, 1100, 100), 1);
	assert_int_equal(info_of(f, "young:a").oldest, 3);
	assert_int_equal(info_of(f, "young:a").oldest_ts_ms, 300);
	assert_int_equal(info_of(f, "young:a").head_ts_ms, 900);
	assert_int_equal(test_trim(f->e, f->s, 1500, 100), 4);
	assert_int_equal(test_trim(f->e, f->s, 9999, 100), 5);
	struct channel_info info = info_of(f, "young:a");
	assert_int_equal(info.count, 0);
	assert_int_equal(info.oldest, 0);
	assert_int_equal(info.bytes, 0);
	assert_int_equal(info.floor, 9);
	assert_int_equal(info.head, 9);
	assert_int_equal(info.head_ts_ms, 0);
	/* and life goes on */
	put(f, "young:a", 12, 10000, "x");
	assert_int_equal(test_trim(f->e, f->s, 10999, 100), 0);
	assert_int_equal(test_trim(f->e, f->s, 11000, 100), 1);
	assert_int_equal(info_of(f, "old").count, 1);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;

	/* 15 messages of 10 bytes in three channels, others in between: the oldest 5 go */
	for (uint64_t seq = 1; seq <= 15; seq++) {
		char name[16];
		snprintf(name, sizeof(name), "small:%d", (int)(seq % 3));
		put(f, name, seq * 2, 1, "0123456789");
		put(f, "big", seq * 2 + 1, 1, "0123456789");
	}
	assert_int_equal(test_trim(f->e, f->s, 5, 100), 5);
	assert_int_equal(info_of(f, "small:0").floor, 6);
	assert_int_equal(info_of(f, "small:1").floor, 8);
	assert_int_equal(info_of(f, "small:2").floor, 10);
	assert_int_equal(info_of(f, "small:0").bytes + info_of(f, "small:1").bytes +
				 info_of(f, "small:2").bytes,
			 100);
	assert_int_equal(info_of(f, "big").count, 15);
	/* one that is larger than all goes too, in the end */
	put(f, "small:9", 40, 1,
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789");
	assert_int_equal(test_trim(f->e, f->s, 5, 100), 11);
}

static void test_trim_goes_in_steps(void **state)
{
	struct fixture *f = *state;
	size_t n, total = 0;
	int rc, calls = 0;

	for (uint64_t seq = 1; seq <= 300; seq++) {
		put(f, "few:a", seq * 3, 1, "x");
		put(f, "young:a", seq * 3 + 1, 1, "x");
		put(f, "small:a", seq * 3 + 2, 1, "x");
	}
	do {
		n = 99;
		rc = f->e->ops.trim(f->s, 5000, 10, &n);
		assert_true(rc == 0 || rc == 1);
		assert_true(n <= 10);
		total += n;
		calls++;
	} while (rc == 1);
	assert_int_equal(total, 297 + 300 + 200);
	assert_true(calls >= 80);
}

static void test_new_options(void **state)
{
	struct fixture *f = *state;
	struct namespace_table *t = test_namespaces();

	for (uint64_t seq = 1; seq <= 20; seq++)
		put(f, seq % 2 ? "late:a" : "few:a", seq, (int64_t)seq, "0123456789");
	assert_int_equal(test_trim(f->e, f->s, 100, 100), 7);
	strcpy(t->ns[4].name, "late"); /* was the default's */
	t->ns[4].history_count = 4;
	t->ns[1].history_count = 2;
	assert_int_equal(f->e->admin.set_namespaces(f->s, t), 0);
	namespace_table_unref(f->namespaces);
	f->namespaces = t;
	assert_int_equal(test_trim(f->e, f->s, 100, 100), 6 + 1);
	/* age and bytes, too */
	t = test_namespaces();
	strcpy(t->ns[4].name, "late");
	t->ns[4].history_bytes = 20;
	t->ns[1].history_age_ms = 50;
	assert_int_equal(f->e->admin.set_namespaces(f->s, t), 0);
	namespace_table_unref(f->namespaces);
	f->namespaces = t;
	assert_int_equal(test_trim(f->e, f->s, 69, 100), 2 + 1);
	assert_int_equal(info_of(f, "few:a").oldest, 20);
	assert_int_equal(info_of(f, "late:a").bytes, 20);
}

static void test_purge(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;

	for (uint64_t seq = 1; seq <= 25; seq++)
		put(f, "a", seq, 1, "x");
	assert_int_equal(f->e->admin.purge(f->s, SLICE("a"), 20, 15, &n), 1);
	assert_int_equal(n, 15);
	assert_int_equal(f->e->admin.purge(f->s, SLICE("a"), 20, 15, &n), 0);
	assert_int_equal(n, 5);
	assert_int_equal(info_of(f, "a").oldest, 21);
	assert_int_equal(f->e->admin.purge(f->s, SLICE("a"), 100, 15, &n), 0);
	assert_int_equal(n, 5);
	struct channel_info info = info_of(f, "a");
	assert_int_equal(info.head, 25);
	assert_int_equal(info.floor, 25);
	assert_int_equal(info.count, 0);
	assert_int_equal(f->e->admin.purge(f->s, SLICE("a"), 100, 15, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(f->e->admin.purge(f->s, SLICE("none"), 100, 15, &n), 0);
	assert_int_equal(n, 0);
}

/* --- listing
 * --------------------------------------------------------------------------------------- */

static void add_name(void *arg, struct slice name, const struct channel_info *info)
{
	char *text = arg;

	assert_int_equal(info->count, 1);
	strncat(text, name.p, name.n);
	strcat(text, " ");
}

static void check_listing(struct fixture *f, const char *prefix, const char *after, size_t max,
			  const char *want)
{
	char text[256] = "";

	assert_int_equal(f->e->admin.channels(f->r, slice_str(prefix), slice_str(after), max,
					      add_name, text),
			 0);
	assert_string_equal(text, want);
}

static void test_listing(void **state)
{
	static const char *const names[] = {"b:2", "a", "b:10", "Z", "b:1", "ba", "b"};
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 7; i++)
		put(f, names[i], i + 1, 1, "x");
	check_listing(f, "", "", 100, "Z a b b:1 b:10 b:2 ba ");
	check_listing(f, "b:", "", 100, "b:1 b:10 b:2 ");
	check_listing(f, "b:", "b:1", 1, "b:10 ");
	check_listing(f, "", "b:2", 100, "ba ");
	check_listing(f, "c", "", 100, "");
	check_listing(f, "", "", 2, "Z a ");
	struct channel_info info = info_of(f, "none");
	assert_int_equal(info.head, 0);
	assert_int_equal(info.count, 0);
}

/* --- readers beside the writer
 * --------------------------------------------------------------------- */

#define BATCH_N   10
#define BATCHES_N 200

static void *append_batches(void *arg)
{
	struct fixture *f = arg;

	for (uint64_t b = 0; b < BATCHES_N; b++) {
		struct message *batch[BATCH_N];
		for (uint64_t i = 0; i < BATCH_N; i++) {
			uint64_t seq = b * BATCH_N + i + 1;
			batch[i] = test_message(i % 2 ? "x" : "few:x", seq, 0, 1, "payload");
		}
		assert_int_equal(f->e->ops.append(f->s, batch, BATCH_N, false), 0);
		size_t n;
		assert_true(f->e->ops.trim(f->s, 5, 50, &n) >= 0);
		for (uint64_t i = 0; i < BATCH_N; i++)
			message_unref(batch[i]);
	}
	return NULL;
}

static void test_readers_see_whole_batches(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	uint64_t head = 0;

	assert_int_equal(pthread_create(&thread, NULL, append_batches, f), 0);
	while (head < BATCHES_N * BATCH_N) {
		struct store_range ranges[2] = {{.channel = SLICE("x"), .after = head},
						{.channel = SLICE("few:x"), .after = head}};
		uint64_t reached;
		read_range(f, ranges, 2, INT64_MAX, 4000, SIZE_MAX, &reached);
		size_t x = 0;
		for (size_t i = 0; i < f->rows.n; i++)
			x += f->rows.m[i]->channel_n == 1;
		assert_int_equal(x % (BATCH_N / 2), 0);
		assert_true(ranges[1].floor < ranges[1].oldest || ranges[1].head == 0);
		if (ranges[0].head != 0)
			assert_int_equal(ranges[0].head, ranges[1].head + 1);
		head = ranges[0].head;
	}
	pthread_join(thread, NULL);
}

/* --- a model
 * --------------------------------------------------------------------------------------- */

#define MODEL_CHANNELS 5
#define MODEL_ROUNDS   600

static const char *const model_names[MODEL_CHANNELS] = {"few:a", "few:b", "p", "q", "r"};

/* The plainest possible store: an array, and a flag for what was removed. */
struct model {
	size_t n;
	struct {
		size_t channel;
		uint64_t seq;
		bool is_gone;
	} m[20000];
};

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void model_append(struct fixture *f, struct model *model, unsigned *seed)
{
	struct message *batch[16];
	size_t n = 1 + next_random(seed) % 16;

	for (size_t i = 0; i < n; i++) {
		size_t c = next_random(seed) % MODEL_CHANNELS;
		uint64_t seq =
			(model->n ? model->m[model->n - 1].seq : 0) + 1 + next_random(seed) % 3;
		batch[i] = test_message(model_names[c], seq, 0, 1, "x");
		model->m[model->n].channel = c;
		model->m[model->n].is_gone = false;
		model->m[model->n++].seq = seq;
	}
	assert_int_equal(f->e->ops.append(f->s, batch, n, next_random(seed) % 8 == 0), 0);
	for (size_t i = 0; i < n; i++)
		message_unref(batch[i]);
}

static void model_trim(struct fixture *f, struct model *model)
{
	size_t kept[MODEL_CHANNELS] = {0}, want = 0;

	for (size_t i = model->n; i-- > 0;) {
		size_t c = model->m[i].channel;
		if (c < 2 && !model->m[i].is_gone && kept[c]++ >= 3) {
			model->m[i].is_gone = true;
			want++;
		}
	}
	assert_int_equal(test_trim(f->e, f->s, 5, 64), want);
}

static void model_purge(struct fixture *f, struct model *model, size_t c)
{
	uint64_t n, want = 0;

	for (size_t i = 0; i < model->n; i++) {
		want += model->m[i].channel == c && !model->m[i].is_gone;
		model->m[i].is_gone |= model->m[i].channel == c;
	}
	assert_int_equal(f->e->admin.purge(f->s, slice_str(model_names[c]), INT64_MAX, 100000, &n),
			 0);
	assert_int_equal(n, want);
}

static void model_read(struct fixture *f, const struct model *model, unsigned *seed)
{
	uint64_t top = model->n ? model->m[model->n - 1].seq : 0;
	struct store_range ranges[MODEL_CHANNELS] = {{.after = 0}};
	uint64_t reached, upto = top ? next_random(seed) % (top + 5) : 0;
	size_t row_max = 1 + next_random(seed) % 40, at = 0;

	for (size_t c = 0; c < MODEL_CHANNELS; c++) {
		ranges[c].channel = slice_str(model_names[c]);
		ranges[c].after = upto > 60 ? upto - next_random(seed) % 60 : 0;
	}
	read_range(f, ranges, MODEL_CHANNELS, upto, row_max, 100000, &reached);
	for (size_t i = 0; i < model->n; i++) {
		if (model->m[i].is_gone || model->m[i].seq > reached ||
		    model->m[i].seq <= ranges[model->m[i].channel].after)
			continue;
		assert_true(at < f->rows.n);
		assert_int_equal(f->rows.m[at]->seq, model->m[i].seq);
		assert_true(slice_eq_str(message_channel(f->rows.m[at]),
					 model_names[model->m[i].channel]));
		at++;
	}
	assert_int_equal(at, f->rows.n);
	assert_true(reached == upto || f->rows.n == row_max);
}

static void test_against_a_model(void **state)
{
	struct fixture *f = *state;
	struct model *model = calloc(1, sizeof(*model));
	unsigned seed = (unsigned)time(NULL);

	print_message("# seed %u\n", seed);
	for (int i = 0; i < MODEL_ROUNDS; i++) {
		switch (next_random(&seed) % 8) {
		case 0:
			model_trim(f, model);
			break;
		case 1:
			if (next_random(&seed) % 8 == 0)
				model_purge(f, model, next_random(&seed) % MODEL_CHANNELS);
			break;
		case 2:
		case 3:
		case 4:
			model_append(f, model, &seed);
			break;
		default:
			model_read(f, model, &seed);
		}
	}
	free(model);
}

static const struct {
	const char *name;
	CMUnitTestFunction fn;
} tests[] = {
#define TEST(fn)        \
	{               \
#fn, fn \
	}
	TEST(test_empty_log),
	TEST(test_messages_come_back_whole),
	TEST(test_batches_of_every_size),
	TEST(test_channels_are_merged_by_seq),
	TEST(test_pages_join_without_hole_or_repeat),
	TEST(test_page_stops_at_bytes_but_gives_one_row),
	TEST(test_newest_messages),
	TEST(test_largest_numbers),
	TEST(test_too_many),
	TEST(test_too_old),
	TEST(test_too_large),
	TEST(test_trim_goes_in_steps),
	TEST(test_new_options),
	TEST(test_purge),
	TEST(test_listing),
	TEST(test_readers_see_whole_batches),
	TEST(test_against_a_model),
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
