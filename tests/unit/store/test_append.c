/* SPDX-License-Identifier: MIT */
/* append: what the writer keeps between its transactions: the rows of channels, and the place where
 * the last one ended. */
#include <errno.h>

#include "base/map.h"
#include "store/sqlite_engine.h"
#include "tests/unit/store/sqlite_rig.h"

/* A seq that is there already, somewhere in a batch: nothing of the batch is stored, and what is
 * counted for its channels is what is there. */
static void test_batch_with_a_row_that_is_there(void **state)
{
	struct sqlite_rig *f = *state;

	rig_open(f);
	rig_fill(f, 1000, 1);
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
	assert_int_equal(rig_count_rows(f), 1);
	rig_fill(f, 2000, 3);
	assert_int_equal(rig_count_rows(f), 4);
	rig_close(f);
	rig_open(f);
	assert_int_equal(rig_count_rows(f), 4);
}

/* More channels than the writer keeps rows of: those that went come back from disk as they were. */
static void test_more_channels_than_are_cached(void **state)
{
	enum { CHANNELS = 105000, BATCH = 5000 };
	struct sqlite_rig *f = *state;
	struct message **batch = calloc(BATCH, sizeof(*batch));
	char name[32];
	uint64_t head;

	rig_open(f);
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
	struct sqlite_rig *f = *state;
	struct connection shell;
	uint64_t db, wal;
	int64_t value;

	rig_open(f);
	rig_fill(f, 1, 10);
	assert_int_equal(connection_open(&shell, f->path, SQLITE_OPEN_READWRITE), 0);
	for (uint64_t seq = 11; seq <= 40; seq++) {
		assert_int_equal(meta_count(&shell, "shell"), 0);
		rig_fill(f, seq, 1);
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
	rig_fill(f, 41, 10);
	assert_int_equal(rig_count_rows(f), 50);
	connection_close(&shell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batch_with_a_row_that_is_there,
						sqlite_rig_set_up, sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_more_channels_than_are_cached,
						sqlite_rig_set_up, sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_somebody_else_writes, sqlite_rig_set_up,
						sqlite_rig_tear_down),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
