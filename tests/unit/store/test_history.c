/* SPDX-License-Identifier: MIT */
/* history: the log with its threads, as a worker sees it. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/map.h"
#include "tests/fault/vfs_shim.h"
#include "tests/unit/store/history_rig.h"

static void test_queue_is_bounded(void **state)
{
	struct history_rig *f = *state;
	struct append *big = rig_append(&f->w[0], "a", DURABILITY_COMMIT, 1);
	char *payload = calloc(1, 2 << 20);

	f->w[0].is_forgetful = f->w[1].is_forgetful = true;
	/* larger than the queue: gets through when it is alone */
	memset(payload, 'x', (2 << 20) - 1);
	message_unref(big->messages[0]);
	big->messages[0] = rig_draft("a", payload, DURABILITY_COMMIT);
	free(payload);
	assert_int_equal(history_append(f->h, big), 0);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts == 1);
	assert_int_equal(f->w[0].error, 0);
	/* fill it faster than it can be emptied */
	int rc = 0;
	size_t given = 1;
	while (rc == 0) {
		struct append *a = rig_append(&f->w[0], "a", DURABILITY_SYNC, 50);
		rc = history_append(f->h, a);
		if (rc != 0)
			append_free(a);
		else
			given++;
	}
	assert_int_equal(rc, -EAGAIN);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts == given);
	assert_int_equal(f->w[0].refused, 0);
}

static void test_close_commits_what_waits(void **state)
{
	struct history_rig *f = *state;

	for (int i = 0; i < 50; i++)
		rig_publish_n(f, "a", DURABILITY_COMMIT, 7);
	rig_stop(f);
	assert_int_equal(f->w[0].receipts, 50);
	assert_int_equal(f->w[0].rows.n, 350);
	assert_int_equal(f->w[1].rows.n, 350);
	rig_start(f);
	assert_int_equal(history_start_head(f->h), 350);
	struct query *q = rig_ask(f, "a", NULL, 0, 350, 1000);
	assert_int_equal(q->row_n, 350);
	query_free(q);
	assert_int_equal(rig_publish(f, "a", DURABILITY_COMMIT), 351);
	assert_int_equal(f->w[0].answered->messages[0]->prev, 350);
}

/* --- reading
 * ---------------------------------------------------------------------------------------- */

static void test_both_stores_are_merged(void **state)
{
	struct history_rig *f = *state;
	uint64_t cursor = 0, seen = 0;

	for (int i = 0; i < 60; i++)
		rig_publish_n(f, i % 3 ? "a" : "ram:a",
			      i % 3 ? DURABILITY_COMMIT : DURABILITY_MEMORY, 1);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts == 60);
	while (cursor < 60) {
		struct query *q = rig_ask(f, "a", "ram:a", cursor, 60, 7);
		assert_int_equal(q->error, 0);
		for (size_t i = 0; i < q->row_n; i++)
			assert_int_equal(q->rows[i]->seq, ++seen);
		assert_true(q->reached >= seen);
		assert_int_equal(q->ranges[0].range.head, 60);
		assert_int_equal(q->ranges[1].range.head, 58);
		cursor = q->reached;
		assert_int_equal(cursor, seen);
		query_free(q);
	}
	assert_int_equal(seen, 60);
	struct query *q = rig_ask(f, "ram:a", NULL, 0, 60, 100);
	assert_int_equal(q->row_n, 20);
	assert_int_equal(q->reached, 60);
	query_free(q);
}

static void test_tasks(void **state)
{
	struct history_rig *f = *state;
	char copy[128];

	rig_publish(f, "b", DURABILITY_COMMIT);
	rig_publish(f, "ram:x", DURABILITY_MEMORY);
	rig_publish(f, "z", DURABILITY_COMMIT);
	rig_publish(f, "a", DURABILITY_COMMIT);
	struct store_task *t = rig_task(f, TASK_CHANNELS, "", NULL, 3);
	assert_int_equal(t->error, 0);
	assert_int_equal(t->row_n, 3);
	assert_string_equal(t->rows[0].name, "a");
	assert_string_equal(t->rows[1].name, "b");
	assert_string_equal(t->rows[2].name, "ram:x");
	assert_int_equal(t->rows[2].info.count, 1);
	store_task_free(t);
	t = rig_task(f, TASK_CHANNELS, "", "ram:x", 3);
	assert_int_equal(t->row_n, 1);
	store_task_free(t);
	t = rig_task(f, TASK_CHANNEL, "ram:x", NULL, 0);
	assert_int_equal(t->info.head, 2);
	store_task_free(t);
	for (int i = 0; i < 10; i++)
		rig_publish_n(f, "a", DURABILITY_COMMIT, 100);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts == 14);
	t = rig_task(f, TASK_PURGE, "a", NULL, 0);
	assert_int_equal(t->error, 0);
	assert_int_equal(t->removed, 1001);
	store_task_free(t);
	t = rig_task(f, TASK_PURGE, "ram:x", NULL, 0);
	assert_int_equal(t->removed, 1);
	store_task_free(t);
	t = rig_task(f, TASK_CHANNEL, "a", NULL, 0);
	assert_int_equal(t->info.head, 1004);
	assert_int_equal(t->info.floor, 1004);
	assert_int_equal(t->info.count, 0);
	store_task_free(t);
	snprintf(copy, sizeof(copy), "%s/copy.db", f->folder);
	t = rig_task(f, TASK_BACKUP, copy, NULL, 0);
	assert_int_equal(t->error, 0);
	store_task_free(t);
	t = rig_task(f, TASK_BACKUP, copy, NULL, 0);
	assert_int_equal(t->error, -EEXIST);
	assert_non_null(strstr(t->problem.text, "exists"));
	store_task_free(t);
}

static void test_retention_needs_no_publish(void **state)
{
	struct history_rig *f = *state;
	uint64_t count = 10;

	rig_publish_n(f, "few:a", DURABILITY_COMMIT, 10);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts == 1);
	/* asking is waiting: each answer comes when the log went on */
	while (count > 3) {
		struct store_task *t = rig_task(f, TASK_CHANNEL, "few:a", NULL, 0);
		count = t->info.count;
		store_task_free(t);
	}
	/* and with new options */
	struct namespace_table *t = test_namespaces();
	t->ns[1].history_count = 1;
	history_set_namespaces(f->h, t);
	while (count > 1) {
		struct store_task *task_now = rig_task(f, TASK_CHANNEL, "few:a", NULL, 0);
		count = task_now->info.count;
		store_task_free(task_now);
	}
	assert_int_equal(count, 1);
}

/* --- restarts
 * --------------------------------------------------------------------------------------- */

static void test_numbers_are_never_used_twice(void **state)
{
	struct history_rig *f = *state;
	struct epoch epoch = *history_epoch(f->h);

	assert_int_equal(rig_publish(f, "a", DURABILITY_COMMIT), 1);
	assert_int_equal(rig_publish(f, "ram:a", DURABILITY_MEMORY), 2);
	rig_stop(f);
	/* a clean end: goes on right behind */
	rig_start(f);
	assert_string_equal(history_epoch(f->h)->text, epoch.text);
	assert_int_equal(history_start_head(f->h), 2);
	assert_int_equal(rig_publish(f, "a", DURABILITY_COMMIT), 3);
	assert_int_equal(f->w[0].answered->messages[0]->prev, 1);
	/* a client of the memory-only channel is told that something is gone */
	struct query *q = rig_ask(f, "ram:a", NULL, 2, 3, 10);
	assert_int_equal(q->row_n, 0);
	assert_int_equal(q->ranges[0].range.head, 0);
	assert_int_equal(q->ranges[0].range.floor, 2);
	query_free(q);
	rig_stop(f);
	/* a crash after a memory-only message: beyond everything that may have been given out */
	uint64_t seq = 0;
	int pipe_fd[2];
	assert_int_equal(pipe(pipe_fd), 0);
	pid_t pid = fork();
	if (pid == 0) {
		rig_start(f);
		seq = rig_publish(f, "ram:a", DURABILITY_MEMORY);
		if (write(pipe_fd[1], &seq, sizeof(seq)) != sizeof(seq))
			_exit(1);
		pause();
	}
	assert_int_equal(read(pipe_fd[0], &seq, sizeof(seq)), sizeof(seq));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	rig_start(f);
	assert_int_equal(seq, 4);
	assert_true(history_start_head(f->h) >= seq);
	assert_true(rig_publish(f, "a", DURABILITY_COMMIT) > seq);
	assert_int_equal(f->w[0].answered->messages[0]->prev, 3);
}

static void test_memory_log_starts_anew(void **state)
{
	struct history_rig *f = *state;
	struct epoch epoch = *history_epoch(f->h);

	assert_int_equal(rig_publish(f, "a", DURABILITY_COMMIT), 1);
	assert_int_equal(rig_publish(f, "ram:a", DURABILITY_MEMORY), 2);
	struct query *q = rig_ask(f, "a", "ram:a", 0, 2, 10);
	assert_int_equal(q->row_n, 2);
	query_free(q);
	struct store_task *t = rig_task(f, TASK_BACKUP, "/nowhere/x", NULL, 0);
	assert_int_equal(t->error, -ENOTSUP);
	store_task_free(t);
	rig_stop(f);
	f->w[0].head = f->w[1].head = 0;
	rig_start(f);
	assert_string_not_equal(history_epoch(f->h)->text, epoch.text);
	assert_int_equal(history_start_head(f->h), 0);
	q = rig_ask(f, "a", NULL, 0, 100, 10);
	assert_int_equal(q->row_n, 0);
	assert_int_equal(q->ranges[0].range.floor, 0);
	query_free(q);
}

/* --- a failing disk
 * --------------------------------------------------------------------------------- */

/* Ephemeral messages go on whatever the disk does, so they serve as the clock of this wait. */
static void wait_for_health(struct history_rig *f)
{
	f->w[0].is_forgetful = f->w[1].is_forgetful = true;
	for (int i = 0; i < 1000000 && history_health(f->h) != 0; i++) {
		rig_publish(f, "typing", DURABILITY_EPHEMERAL);
		rig_take(&f->w[1]);
	}
	assert_int_equal(history_health(f->h), 0);
}

static void test_full_disk(void **state)
{
	struct history_rig *f = *state;

	uint64_t first = rig_publish(f, "a", DURABILITY_COMMIT);
	uint64_t ram = rig_publish(f, "ram:a", DURABILITY_MEMORY);
	vfs_shim_fail(VFS_SHIM_WRITE, 1, -1, SQLITE_FULL);
	rig_publish(f, "a", DURABILITY_COMMIT);
	assert_int_equal(f->w[0].error, -ENOSPC);
	assert_int_equal(history_health(f->h), -ENOSPC);
	assert_int_equal(counters_sum(COUNTER_STORE_UP), 0);
	assert_int_equal(f->w[0].rows.n, 2);
	/* the rest goes on, in order */
	uint64_t ram2 = rig_publish(f, "ram:a", DURABILITY_MEMORY);
	assert_int_equal(f->w[0].error, 0);
	assert_true(ram2 > ram);
	assert_int_equal(f->w[0].answered->messages[0]->prev, ram);
	rig_publish(f, "typing", DURABILITY_EPHEMERAL);
	assert_int_equal(f->w[0].error, 0);
	rig_publish(f, "a", DURABILITY_SYNC);
	assert_int_equal(f->w[0].error, -ENOSPC);
	/* reading, too */
	struct query *q = rig_ask(f, "a", "ram:a", 0, f->w[0].head, 10);
	assert_int_equal(q->row_n, 3);
	query_free(q);
	/* heals by itself */
	vfs_shim_heal();
	wait_for_health(f);
	assert_int_equal(counters_sum(COUNTER_STORE_UP), 1);
	uint64_t after = rig_publish(f, "a", DURABILITY_COMMIT);
	assert_int_equal(f->w[0].error, 0);
	assert_true(after > ram2);
	assert_int_equal(f->w[0].answered->messages[0]->prev, first);
	q = rig_ask(f, "a", NULL, 0, after, 10);
	assert_int_equal(q->row_n, 2);
	query_free(q);
}

static void test_failing_sync(void **state)
{
	struct history_rig *f = *state;

	uint64_t first = rig_publish(f, "a", DURABILITY_SYNC);
	vfs_shim_fail(VFS_SHIM_SYNC, 1, -1, SQLITE_IOERR_FSYNC);
	rig_publish(f, "a", DURABILITY_SYNC);
	assert_int_equal(f->w[0].error, -EIO);
	assert_true(history_health(f->h) < 0);
	/* nobody gets a cursor with the number of a message that is in no log */
	assert_int_equal(f->w[0].head, first);
	assert_int_equal(history_head(f->h), first);
	vfs_shim_heal();
	wait_for_health(f);
	uint64_t after = rig_publish(f, "a", DURABILITY_SYNC);
	assert_int_equal(f->w[0].error, 0);
	assert_int_equal(f->w[0].answered->messages[0]->prev, first);
	struct query *q = rig_ask(f, "a", NULL, 0, after, 10);
	assert_int_equal(q->row_n, 2);
	query_free(q);
}

/* One append that SQLite can never take must not take the others with it. */
static void test_one_bad_append(void **state)
{
	struct history_rig *f = *state;
	char payload[2000];

	rig_stop(f);
	f->length_limit = 1500;
	rig_start(f);
	memset(payload, 'x', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = '\0';
	struct append *bad = rig_append(&f->w[0], "a", DURABILITY_COMMIT, 1);
	message_unref(bad->messages[0]);
	bad->messages[0] = rig_draft("a", payload, DURABILITY_COMMIT);
	rig_publish_n(f, "a", DURABILITY_SYNC, 1);
	rig_publish_n(f, "b", DURABILITY_COMMIT, 1);
	assert_int_equal(history_append(f->h, bad), 0);
	rig_publish_n(f, "a", DURABILITY_COMMIT, 1);
	RIG_WAIT_FOR(&f->w[0], f->w[0].receipts == 4);
	assert_int_equal(f->w[0].refused, 1);
	assert_int_equal(f->w[0].rows.n, 3);
	assert_int_equal(history_health(f->h), 0);
	assert_int_equal(f->w[0].rows.m[2]->prev, f->w[0].rows.m[0]->seq);
	assert_true(f->w[0].rows.m[2]->seq > f->w[0].rows.m[1]->seq);
}

static int setup_shim(void **state)
{
	vfs_shim_install();
	return history_rig_set_up(state);
}

static int teardown_shim(void **state)
{
	vfs_shim_heal();
	int rc = history_rig_tear_down(state);
	vfs_shim_uninstall();
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_queue_is_bounded, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_close_commits_what_waits, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_both_stores_are_merged, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_tasks, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_retention_needs_no_publish, history_rig_set_up,
						history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_numbers_are_never_used_twice,
						history_rig_set_up, history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_memory_log_starts_anew,
						history_rig_set_up_memory, history_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk, setup_shim, teardown_shim),
		cmocka_unit_test_setup_teardown(test_failing_sync, setup_shim, teardown_shim),
		cmocka_unit_test_setup_teardown(test_one_bad_append, history_rig_set_up,
						history_rig_tear_down),
	};

	map_seed();
	log_set_level(LOG_LEVEL_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
