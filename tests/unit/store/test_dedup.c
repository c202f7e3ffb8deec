/* SPDX-License-Identifier: MIT */
/* dedup: repetitions and conditions of publishes, with the log's thread and a disk that fails. */
#include "tests/unit/store/store_test.h"

#include <errno.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "store/history_internal.h"
#include "store/sqlite_engine.h"
#include "tests/fault/vfs_shim.h"

#define PATIENCE_MS 20000

/* A log, and one worker that remembers its receipts. */
struct fixture {
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct history *h;
	int length_limit; /* SQLite refuses longer values; 0: its own limit */
	struct {
		struct mailbox box;
		struct test_rows rows; /* everything announced */
		size_t receipts;
		size_t refused;          /* with an error */
		struct append *answered; /* the newest */
	} w;
};

static void on_append(struct append *a)
{
	struct fixture *f = a->owner;

	f->w.receipts++;
	f->w.refused += a->error != 0;
	append_free(f->w.answered);
	f->w.answered = a;
}

static void worker_take(struct fixture *f)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;
	struct append *a;

	mailbox_take(&f->w.box, &letters);
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		assert_int_equal(l->kind, LETTER_BATCH);
		struct batch_letter *b = container_of(l, struct batch_letter, letter);
		for (size_t i = 0; i < b->batch->n; i++)
			if (b->batch->messages[i]->seq != 0)
				test_row(&f->w.rows, message_ref(b->batch->messages[i]));
		while ((a = STAILQ_FIRST(&b->receipts)) != NULL) {
			STAILQ_REMOVE_HEAD(&b->receipts, receipt);
			a->done(a);
		}
		batch_letter_free(b);
	}
}

static void wait_for_receipts(struct fixture *f, size_t n)
{
	while (f->w.receipts < n) {
		mailbox_wait(&f->w.box, PATIENCE_MS);
		assert_true(mailbox_count(&f->w.box) > 0);
		worker_take(f);
	}
}

static struct message *draft(const char *channel, const char *payload)
{
	enum durability d = strncmp(channel, "ram:", 4) == 0      ? DURABILITY_MEMORY
			    : strncmp(channel, "typing:", 7) == 0 ? DURABILITY_EPHEMERAL
								  : DURABILITY_COMMIT;

	return message_new(&(struct message_spec){.channel = slice_str(channel),
						  .payload = slice_str(payload),
						  .kind = MESSAGE_TEXT,
						  .durability = d});
}

/* One message for each of the channels. */
static struct append *make(struct fixture *f, const char *channel, const char *second)
{
	struct append *a = append_new(second ? 2 : 1);

	a->reply_to = &f->w.box;
	a->owner = f;
	a->done = on_append;
	a->messages[0] = draft(channel, "payload");
	if (second)
		a->messages[1] = draft(second, "payload");
	return a;
}

static void send(struct fixture *f, struct append *a)
{
	assert_int_equal(history_append(f->h, a), 0);
}

/* Publish and wait; gives the receipt. */
static const struct append *post(struct fixture *f, struct append *a)
{
	size_t n = f->w.receipts;

	send(f, a);
	wait_for_receipts(f, n + 1);
	return f->w.answered;
}

static struct append *keyed(struct fixture *f, const char *channel, const char *key)
{
	struct append *a = make(f, channel, NULL);

	append_set_terms(a, &(struct append_terms){.key = slice_str(key)});
	return a;
}

static struct append *numbered(struct fixture *f, const char *channel, uint64_t seq)
{
	struct append *a = make(f, channel, NULL);

	append_set_terms(a, &(struct append_terms){.producer = SLICE("p"), .producer_seq = seq});
	return a;
}

static void start(struct fixture *f)
{
	struct problem problem = {""};
	struct history_config cfg = {
		.engine = "sqlite",
		.path = f->path,
		.namespaces = f->namespaces,
		.readers = 1,
		.append_queue_bytes = 1 << 20,
		.query_queue = 100,
		.batch_messages = 100,
		.key_window_ms = 3600000,
		.key_memory = 100,
		.worker_lag = 1000,
	};

	if (history_open(&cfg, &f->h, &problem) != 0)
		fail_msg("%s", problem.text);
	if (f->length_limit != 0)
		sqlite3_limit(f->h->shelves[PLACE_MAIN].store->c.db, SQLITE_LIMIT_LENGTH,
			      f->length_limit);
	history_add_worker(f->h, &f->w.box);
	assert_int_equal(history_start(f->h), 0);
}

static void stop(struct fixture *f)
{
	history_close(f->h);
	worker_take(f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	vfs_shim_install();
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	mailbox_init(&f->w.box);
	start(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vfs_shim_heal();
	stop(f);
	append_free(f->w.answered);
	test_rows_clear(&f->w.rows);
	mailbox_fini(&f->w.box);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	vfs_shim_uninstall();
	return 0;
}

/* Ephemeral messages go on whatever the disk does, so they serve as the clock of this wait. */
static void wait_for_health(struct fixture *f)
{
	vfs_shim_heal();
	for (int i = 0; i < 1000000 && history_health(f->h) != 0; i++)
		post(f, make(f, "typing:a", NULL));
	assert_int_equal(history_health(f->h), 0);
}

static void assert_outcome(const struct append *a, enum append_outcome outcome, uint64_t first)
{
	assert_int_equal(a->error, 0);
	assert_int_equal(a->outcome, outcome);
	if (first != 0)
		assert_int_equal(a->first, first);
	assert_int_equal(a->messages[0]->seq != 0, outcome == APPEND_STORED);
}

static void test_a_commit_that_fails_leaves_no_key(void **state)
{
	struct fixture *f = *state;

	post(f, make(f, "b", NULL)); /* numbers are reserved from here on */
	vfs_shim_fail(VFS_SHIM_WRITE, 1, -1, SQLITE_FULL);
	assert_int_equal(post(f, keyed(f, "a", "k"))->error, -ENOSPC);
	assert_int_equal(post(f, numbered(f, "a", 1))->error, -ENOSPC);
	/* neither does one that is repeated in the same round, nor is it a duplicate of what failed
	 */
	for (int i = 0; i < 50; i++)
		send(f, keyed(f, "a", "k"));
	wait_for_receipts(f, 53);
	assert_int_equal(f->w.refused, 52);
	/* keys of what is in memory do not depend on the disk */
	const struct append *a = post(f, keyed(f, "ram:a", "k"));
	assert_outcome(a, APPEND_STORED, 0);
	uint64_t ram = a->first;
	assert_outcome(post(f, keyed(f, "ram:a", "k")), APPEND_DUPLICATE, ram);
	wait_for_health(f);
	a = post(f, keyed(f, "a", "k"));
	assert_outcome(a, APPEND_STORED, 0);
	uint64_t first = a->first;
	assert_outcome(post(f, keyed(f, "a", "k")), APPEND_DUPLICATE, first);
	assert_outcome(post(f, numbered(f, "a", 5)), APPEND_STORED, 0);
}

/* What is known needs no disk to be known. */
static void test_a_full_disk_still_knows_repetitions(void **state)
{
	struct fixture *f = *state;

	uint64_t first = post(f, keyed(f, "a", "k"))->first;
	vfs_shim_fail(VFS_SHIM_WRITE, 1, -1, SQLITE_FULL);
	send(f, make(f, "a", NULL));
	assert_int_equal(post(f, make(f, "a", NULL))->error, -ENOSPC);
	wait_for_receipts(f, 3);
	assert_outcome(post(f, keyed(f, "a", "k")), APPEND_DUPLICATE, first);
}

/* Done again one by one, the second of two equal ones is still a duplicate of the first. */
static void test_repetitions_beside_a_bad_append(void **state)
{
	struct fixture *f = *state;
	char payload[2000];

	stop(f);
	f->length_limit = 1500;
	start(f);
	memset(payload, 'x', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = '\0';
	struct append *bad = keyed(f, "a", "bad");
	message_unref(bad->messages[0]);
	bad->messages[0] = draft("a", payload);
	send(f, keyed(f, "a", "k"));
	send(f, bad);
	send(f, keyed(f, "a", "k"));
	send(f, keyed(f, "a", "bad"));
	wait_for_receipts(f, 4);
	assert_int_equal(f->w.refused, 1);
	assert_int_equal(f->w.rows.n, 2);
	assert_outcome(f->w.answered, APPEND_STORED, f->w.rows.m[1]->seq);
	assert_int_equal(f->w.rows.m[1]->prev, f->w.rows.m[0]->seq);
}

/* It fails as a whole, and nothing rests on it. */
static void test_a_failed_batch_over_both_stores_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	uint64_t ram = post(f, make(f, "ram:a", NULL))->first;
	vfs_shim_fail(VFS_SHIM_WRITE, 1, -1, SQLITE_FULL);
	send(f, make(f, "ram:a", "a"));
	struct append *next = make(f, "ram:a", NULL);
	append_set_terms(next, &(struct append_terms){.expect = EXPECT_HEAD, .expect_seq = ram});
	send(f, next);
	wait_for_receipts(f, 3);
	assert_int_equal(f->w.refused, 1);
	assert_outcome(f->w.answered, APPEND_STORED, 0);
	assert_int_equal(f->w.answered->messages[0]->prev, ram);
}

/* The larger number of the two stores is the producer's. */
static void test_a_producer_of_both_stores(void **state)
{
	static const char *const channels[] = {"a", "ram:a", "ram:a", "a", "a"};
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 5; i++) {
		assert_outcome(post(f, numbered(f, channels[i], 7 + i)), APPEND_STORED, 0);
		assert_outcome(post(f, numbered(f, "a", 7 + i)), APPEND_DUPLICATE,
			       f->w.rows.m[i]->seq);
	}
	assert_outcome(post(f, numbered(f, "a", 7)), APPEND_DUPLICATE, 0);
	assert_int_equal(f->w.answered->first, 0);
	assert_outcome(post(f, numbered(f, "a", 13)), APPEND_PRODUCER_GAP, 0);
	assert_int_equal(f->w.answered->told, 12);
}

static void test_a_batch_over_both_stores(void **state)
{
	struct fixture *f = *state;
	struct append_terms terms = {.key = SLICE("k"), .is_scattered = true};

	for (int i = 0; i < 2; i++) {
		struct append *a = make(f, "a", "ram:a");
		append_set_terms(a, &terms);
		const struct append *back = post(f, a);
		assert_outcome(back, i == 0 ? APPEND_STORED : APPEND_DUPLICATE,
			       f->w.rows.m[0]->seq);
		assert_int_equal(back->stored_n, 2);
		assert_int_equal(back->durability, DURABILITY_MEMORY);
		assert_int_equal(f->w.rows.n, 2);
	}
}

/* The first went to both stores, its repetition has something for the memory only. */
static void test_a_batch_repeated_with_other_channels_is_known(void **state)
{
	struct append_terms terms = {.key = SLICE("k"), .is_scattered = true};
	struct append *a, *b;
	struct fixture *f = *state;

	a = make(f, "a", "ram:a");
	append_set_terms(a, &terms);
	uint64_t first = post(f, a)->first;
	b = make(f, "ram:a", "ram:b");
	append_set_terms(b, &terms);
	assert_outcome(post(f, b), APPEND_DUPLICATE, first);
}

static void test_an_expired_number_does_not_hide_a_newer_smaller_one(void **state)
{
	struct fixture *f = *state;

	stop(f);
	clock_fake_set(1000000, 1700000000000);
	start(f);
	assert_outcome(post(f, numbered(f, "a", 7)), APPEND_STORED, 0);
	clock_fake_advance(7200 * UINT64_C(1000000));
	assert_outcome(post(f, numbered(f, "ram:a", 1)), APPEND_STORED, 0);
	uint64_t first = f->w.answered->first;
	assert_outcome(post(f, numbered(f, "ram:a", 1)), APPEND_DUPLICATE, first);
	stop(f);
	clock_fake_off();
	start(f);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_commit_that_fails_leaves_no_key),
		TEST(test_a_full_disk_still_knows_repetitions),
		TEST(test_repetitions_beside_a_bad_append),
		TEST(test_a_failed_batch_over_both_stores_leaves_nothing),
		TEST(test_a_producer_of_both_stores),
		TEST(test_a_batch_over_both_stores),
		TEST(test_a_batch_repeated_with_other_channels_is_known),
		TEST(test_an_expired_number_does_not_hide_a_newer_smaller_one),
	};

	map_seed();
	log_set_level(LOG_LEVEL_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
