/* SPDX-License-Identifier: MIT */
/* incarnation: a database that is not the one that ran here last gets a new epoch, and no other
 * does. */
#include "tests/unit/store/store_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "store/sqlite_engine.h"
#include "tests/fault/vfs_shim.h"

struct fixture {
	const struct store_engine *e;
	char folder[64];
	char path[96];
	char side[128];
	struct namespace_table *namespaces;
	struct store *s;
	struct problem problem;
	struct epoch epoch;
	enum lineage lineage;
	bool adopt;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->e = store_engine_find("sqlite");
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	snprintf(f->side, sizeof(f->side), "%s.incarnation", f->path);
	f->namespaces = test_namespaces();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->e->ops.close(f->s);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

static int try_open(struct fixture *f)
{
	struct store_config cfg = {.path = f->path,
				   .namespaces = f->namespaces,
				   .first_seq = 1,
				   .create = true,
				   .adopt = f->adopt};

	return f->e->ops.open(&cfg, &f->s, &f->problem);
}

/* Open; note epoch and lineage. */
static void start(struct fixture *f)
{
	struct store_origin o;

	if (try_open(f) != 0)
		fail_msg("%s", f->problem.text);
	assert_int_equal(f->e->origin(f->s, &o), 0);
	f->epoch = o.epoch;
	f->lineage = o.lineage;
}

static void stop(struct fixture *f)
{
	f->e->ops.close(f->s);
	f->s = NULL;
}

static void copy_file(const char *from, const char *to)
{
	static char bytes[4 << 20];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = read(in, bytes, sizeof(bytes));

	assert_true(in >= 0 && out >= 0 && n >= 0 && n < (ssize_t)sizeof(bytes));
	assert_int_equal(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

/* Put the files aside under a name, and back. The log must be closed. */
static void keep(struct fixture *f, const char *name)
{
	char to[160];

	snprintf(to, sizeof(to), "%s/%s", f->folder, name);
	copy_file(f->path, to);
	snprintf(to, sizeof(to), "%s/%s.side", f->folder, name);
	copy_file(f->side, to);
}

static void put_back(struct fixture *f, const char *name, bool side_too)
{
	char from[160];

	snprintf(from, sizeof(from), "%s/%s%s", f->folder, name, side_too ? ".side" : "");
	copy_file(from, side_too ? f->side : f->path);
}

#define ASSERT_SAME(f, before)                                     \
	do {                                                       \
		assert_int_equal((f)->lineage, LINEAGE_SAME);      \
		assert_string_equal((f)->epoch.text, before.text); \
	} while (0)
#define ASSERT_BROKEN(f, before, why)                                  \
	do {                                                           \
		assert_int_equal((f)->lineage, why);                   \
		assert_string_not_equal((f)->epoch.text, before.text); \
	} while (0)

static void test_restarts_keep_the_epoch(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(f->lineage, LINEAGE_NEW);
	struct epoch first = f->epoch;
	for (uint64_t i = 1; i <= 5; i++) {
		test_append(f->e, f->s, "a", i, 1, "x");
		stop(f);
		start(f);
		ASSERT_SAME(f, first);
	}
	/* what the oldest message was is of no matter */
	uint64_t n;
	assert_int_equal(f->e->admin.purge(f->s, slice_str("a"), 5, 100, &n), 0);
	stop(f);
	start(f);
	ASSERT_SAME(f, first);
}

static void test_an_older_copy_gets_a_new_epoch(void **state)
{
	struct fixture *f = *state;

	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	keep(f, "old");
	start(f);
	stop(f);
	put_back(f, "old", false);
	start(f);
	ASSERT_BROKEN(f, first, LINEAGE_REPLACED);
	/* from here on it is the one that ran last */
	struct epoch second = f->epoch;
	stop(f);
	start(f);
	ASSERT_SAME(f, second);
	/* and again: never the epoch that it had before */
	stop(f);
	put_back(f, "old", false);
	start(f);
	ASSERT_BROKEN(f, second, LINEAGE_REPLACED);
	assert_string_not_equal(f->epoch.text, first.text);
}

/* All that is committed into the database's file. */
static void move_all(struct fixture *f)
{
	uint64_t db, wal;

	/* as each second; then the connection holds nothing */
	assert_int_equal(f->e->admin.sizes(f->s, &db, &wal), 0);
	assert_int_equal(connection_exec(&f->s->c, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
}

/* A copy that was made since the last start has the right word, but lacks what came after it. */
static void test_a_copy_of_the_same_run_gets_a_new_epoch(void **state)
{
	struct fixture *f = *state;
	char copy[160];

	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	move_all(f);
	snprintf(copy, sizeof(copy), "%s/copy", f->folder);
	copy_file(f->path, copy);
	test_append(f->e, f->s, "a", 2, 1, "x");
	stop(f);
	put_back(f, "copy", false);
	start(f);
	ASSERT_BROKEN(f, first, LINEAGE_OLDER);
	struct epoch second = f->epoch;
	stop(f);
	start(f);
	ASSERT_SAME(f, second);
}

/* After the machine went down the newest messages may be gone, and nobody put anything back. */
static void test_the_mark_is_of_one_boot_only(void **state)
{
	struct fixture *f = *state;
	char text[256], copy[160];

	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	move_all(f);
	snprintf(copy, sizeof(copy), "%s/copy", f->folder);
	copy_file(f->path, copy);
	test_append(f->e, f->s, "a", 2, 1, "x");
	stop(f);
	put_back(f, "copy", false);
	int fd = open(f->side, O_RDWR);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	char *boot = strstr(text, "\nboot ");
	assert_non_null(boot);
	boot[6] = boot[6] == '0' ? '1' : '0';
	assert_int_equal(pwrite(fd, text, (size_t)n, 0), n);
	close(fd);
	start(f);
	ASSERT_SAME(f, first);
}

static void test_without_the_file_it_was_restored_unless_adopted(void **state)
{
	struct fixture *f = *state;

	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	unlink(f->side);
	f->adopt = true;
	start(f);
	assert_int_equal(f->lineage, LINEAGE_ADOPTED);
	assert_string_equal(f->epoch.text, first.text);
	f->adopt = false;
	stop(f);
	start(f);
	ASSERT_SAME(f, first);
	stop(f);
	unlink(f->side);
	start(f);
	ASSERT_BROKEN(f, first, LINEAGE_ALONE);
	/* adopting is for a file that is missing, not for one that says no */
	stop(f);
	keep(f, "old");
	start(f);
	struct epoch second = f->epoch;
	stop(f);
	put_back(f, "old", false);
	f->adopt = true;
	start(f);
	ASSERT_BROKEN(f, second, LINEAGE_REPLACED);
}

static void test_a_file_of_nonsense_is_no_file(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {"", "\n", "holdfast", "\377\376\0",
					    "accepts a b boot c"};

	start(f);
	test_append(f->e, f->s, "a", 1, 1, "x");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct epoch before = f->epoch;
		stop(f);
		int fd = open(f->side, O_WRONLY | O_TRUNC);
		assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
		close(fd);
		start(f);
		ASSERT_BROKEN(f, before, LINEAGE_ALONE);
	}
}

/* Moved with both its files, a log is what it was. */
static void test_moving_both_files_keeps_the_epoch(void **state)
{
	struct fixture *f = *state;
	char path[96], side[128];

	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	snprintf(path, sizeof(path), "%s/moved.db", f->folder);
	snprintf(side, sizeof(side), "%s.incarnation", path);
	assert_int_equal(rename(f->path, path), 0);
	assert_int_equal(rename(f->side, side), 0);
	strcpy(f->path, path);
	start(f);
	ASSERT_SAME(f, first);
}

static void test_each_restore_of_a_backup_is_a_log_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct store_reader *r;
	char copy[160];

	start(f);
	struct epoch before = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	snprintf(copy, sizeof(copy), "%s/copy", f->folder);
	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	assert_int_equal(f->e->admin.backup(r, copy, &f->problem), 0);
	f->e->ops.reader_close(r);
	for (int i = 0; i < 3; i++) {
		stop(f);
		put_back(f, "copy", false);
		start(f);
		ASSERT_BROKEN(f, before, LINEAGE_BACKUP);
		before = f->epoch;
	}
}

/* A new database that was never served is not restored, whatever lies beside it. */
static void test_a_new_database_is_new(void **state)
{
	struct fixture *f = *state;

	start(f);
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	unlink(f->path);
	start(f);
	assert_int_equal(f->lineage, LINEAGE_NEW);
	stop(f);
	start(f);
	assert_int_equal(f->lineage, LINEAGE_SAME);
}

/* The file is written, the database is not. (Kills between all writes: tests/fault/restore.js.) */
static void test_a_start_cut_short_changes_nothing(void **state)
{
	struct fixture *f = *state;

	vfs_shim_install();
	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	for (int i = 0; i < 3; i++) {
		vfs_shim_fail(VFS_SHIM_SYNC, 1, -1, SQLITE_IOERR_FSYNC);
		start(f);
		ASSERT_SAME(f, first);
		vfs_shim_heal();
		stop(f);
	}
	start(f);
	ASSERT_SAME(f, first);
	stop(f);
	vfs_shim_uninstall();
}

/* The same of a start that gives a new epoch: it is found out again. */
static void test_a_restore_cut_short_is_found_out_again(void **state)
{
	struct fixture *f = *state;

	vfs_shim_install();
	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	keep(f, "old");
	start(f);
	stop(f);
	put_back(f, "old", false);
	vfs_shim_fail(VFS_SHIM_SYNC, 1, -1, SQLITE_IOERR_FSYNC);
	assert_true(try_open(f) < 0);
	vfs_shim_heal();
	start(f);
	ASSERT_BROKEN(f, first, LINEAGE_REPLACED);
	stop(f);
	vfs_shim_uninstall();
}

/* A new epoch that can not be recorded is a reason not to start; an old one that stays is not. */
static void test_a_folder_that_can_not_be_written(void **state)
{
	struct fixture *f = *state;
	char blocked[160];

	start(f);
	struct epoch first = f->epoch;
	test_append(f->e, f->s, "a", 1, 1, "x");
	stop(f);
	snprintf(blocked, sizeof(blocked), "%s.new", f->side);
	assert_int_equal(mkdir(blocked, 0700), 0); /* in the way of the new file */
	start(f);
	ASSERT_SAME(f, first);
	stop(f);
	unlink(f->side);
	assert_int_equal(try_open(f), -EISDIR);
	assert_non_null(strstr(f->problem.text, "log.db"));
	rmdir(blocked);
	start(f);
	ASSERT_BROKEN(f, first, LINEAGE_ALONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_restarts_keep_the_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_older_copy_gets_a_new_epoch, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_copy_of_the_same_run_gets_a_new_epoch, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_mark_is_of_one_boot_only, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_without_the_file_it_was_restored_unless_adopted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_of_nonsense_is_no_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_moving_both_files_keeps_the_epoch, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_each_restore_of_a_backup_is_a_log_of_its_own,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_new_database_is_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_start_cut_short_changes_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_restore_cut_short_is_found_out_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_folder_that_can_not_be_written, setup,
						teardown),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
