/* SPDX-License-Identifier: MIT */
/* append: what the writer keeps between its transactions: the rows of channels, and the place where
 * the last one ended. */
#include "tests/unit/store/store_test.h"

#include <errno.h>

#include "base/map.h"
#include "store/sqlite_engine.h"

struct fixture {
	const struct store_engine *e;
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct store *s;
	struct problem problem;
	struct test_rows rows;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->e = store_engine_find("sqlite");
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->e->ops.close(f->s);
	test_rows_clear(&f->rows);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

static int try_open(struct fixture *f, const char *path)
{
	struct store_config cfg = {
		.path = path, .namespaces = f->namespaces, .first_seq = 1, .create = true};

	f->problem.text[0] = '\0';
	return f->e->ops.open(&cfg, &f->s, &f->problem);
}

static void must_open(struct fixture *f)
{
	if (try_open(f, f->path) != 0)
		fail_msg("%s", f->problem.text);
}

static void must_close(struct fixture *f)
{
	f->e->ops.close(f->s);
	f->s = NULL;
}

/* Append n messages of 100 bytes to channel a, from seq `from` on. */
static void fill(struct fixture *f, uint64_t from, size_t n)
{
	char payload[101];

	memset(payload, 'p', 100);
	payload[100] = '\0';
	for (size_t i = 0; i < n; i++)
		test_append(f->e, f->s, "a", from + i, 1, payload);
}

static size_t count_rows(struct fixture *f)
{
	struct store_reader *r;

	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	test_read_channel(f->e, r, "a", 0, &f->rows);
	size_t n = f->rows.n;
	test_rows_clear(&f->rows);
	f->e->ops.reader_close(r);
	return n;
}

/* A seq that is there already, somewhere in a batch: nothing of the batch is stored, and what is
 * counted for its channels is what is there. */
static void test_batch_with_a_row_that_is_there(void **state)
{
	struct fixture *f = *state;

	must_open(f);
	fill(f, 1000, 1);
	for (size_t n = 1; n <= 40; n += 3) {
		for (size_t bad = 0; bad < n; bad += 5) {
			struct message *batch[40];
			for (size_t i = 0; i < n; i++)
				batch[i] = test_message("a", i == bad ? 1000 : 2000 + i, 0, 1, "x");
			assert_int_equal(f->e->ops.append(f->s, batch, n, false), -EUCLEAN);
			for (size_t i = 0; i < n; i++)
				message_unref(batch[i]);
		}
	}
	assert_int_equal(count_rows(f), 1);
	fill(f, 2000, 3);
	assert_int_equal(count_rows(f), 4);
	must_close(f);
	must_open(f);
	assert_int_equal(count_rows(f), 4);
}

/* More channels than the writer keeps rows of: those that went come back from disk as they were. */
static void test_more_channels_than_are_cached(void **state)
{
	enum { CHANNELS = 105000, BATCH = 5000 };
	struct fixture *f = *state;
	struct message **batch = calloc(BATCH, sizeof(*batch));
	char name[32];
	uint64_t head;

	must_open(f);
	for (uint64_t seq = 1; seq <= CHANNELS;) {
		for (size_t i = 0; i < BATCH; i++, seq++) {
			snprintf(name, sizeof(name), "c%llu", (unsigned long long)seq);
			batch[i] = test_message(name, seq, 0, 1, "x");
		}
		assert_int_equal(f->e->ops.append(f->s, batch, BATCH, false), 0);
		for (size_t i = 0; i < BATCH; i++)
			message_unref(batch[i]);
		/* one that is used all the time */
		assert_int_equal(f->e->ops.head(f->s, SLICE("c1"), &head), 0);
		assert_int_equal(head, 1);
	}
	free(batch);
	assert_true(f->s->channel_n <= 100000);
	for (uint64_t seq = 1; seq <= CHANNELS; seq += 997) {
		snprintf(name, sizeof(name), "c%llu", (unsigned long long)seq);
		assert_int_equal(f->e->ops.head(f->s, slice_str(name), &head), 0);
		assert_int_equal(head, seq);
	}
}

/* Somebody's shell: it writes between two appends, and has the write-ahead log cut. */
static void test_somebody_else_writes(void **state)
{
	struct fixture *f = *state;
	struct connection shell;
	uint64_t db, wal;
	int64_t value;

	must_open(f);
	fill(f, 1, 10);
	assert_int_equal(connection_open(&shell, f->path, SQLITE_OPEN_READWRITE), 0);
	for (uint64_t seq = 11; seq <= 40; seq++) {
		assert_int_equal(meta_count(&shell, "shell"), 0);
		fill(f, seq, 1);
	}
	assert_int_equal(
		connection_number(&shell, "SELECT value FROM meta WHERE key = 'shell'", &value), 0);
	assert_int_equal(value, 30);
	assert_int_equal(connection_number(&shell, "SELECT count(*) FROM message", &value), 0);
	assert_int_equal(value, 40);
	/* at most a second later nothing is held any more */
	assert_int_equal(f->e->admin.sizes(f->s, &db, &wal), 0);
	assert_int_equal(connection_number(&shell, "PRAGMA wal_checkpoint(TRUNCATE)", &value), 0);
	assert_int_equal(value, 0); /* not busy */
	assert_int_equal(f->e->admin.sizes(f->s, &db, &wal), 0);
	assert_int_equal(wal, 0);
	fill(f, 41, 10);
	assert_int_equal(count_rows(f), 50);
	connection_close(&shell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batch_with_a_row_that_is_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_more_channels_than_are_cached, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_somebody_else_writes, setup, teardown),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
