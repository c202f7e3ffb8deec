/* SPDX-License-Identifier: MIT */
/* sqlite: what is refused at open, and what is left untouched; versions; damage; power cuts;
 * backups. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"
#include "store/sqlite_engine.h"
#include "tests/fault/vfs_shim.h"
#include "tests/unit/store/sqlite_rig.h"

static int setup_shim(void **state)
{
	vfs_shim_install();
	return sqlite_rig_set_up(state);
}

static int teardown_shim(void **state)
{
	vfs_shim_heal();
	int rc = sqlite_rig_tear_down(state);
	vfs_shim_uninstall();
	return rc;
}

/* --- refusals
 * ------------------------------------------------------------------------------------------ */

struct snapshot {
	struct stat st;
	unsigned char *bytes;
	size_t entries;
};

static void snapshot_take(const struct sqlite_rig *f, struct snapshot *ret)
{
	int fd = open(f->path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &ret->st), 0);
	ret->bytes = malloc((size_t)ret->st.st_size + 1);
	assert_int_equal(read(fd, ret->bytes, (size_t)ret->st.st_size), ret->st.st_size);
	ret->entries = test_folder_count(f->folder);
	close(fd);
}

/* Opening must fail, say `words`, and change nothing. */
static void check_refused(struct sqlite_rig *f, int error, const char *words)
{
	struct snapshot before, after;

	snapshot_take(f, &before);
	assert_int_equal(rig_try_open(f, f->path), error);
	if (strstr(f->problem.text, words) == NULL)
		fail_msg("'%s' does not say '%s'", f->problem.text, words);
	assert_non_null(strstr(f->problem.text, f->path));
	snapshot_take(f, &after);
	assert_int_equal(before.st.st_size, after.st.st_size);
	assert_memory_equal(before.bytes, after.bytes, (size_t)before.st.st_size);
	assert_memory_equal(&before.st.st_mtim, &after.st.st_mtim, sizeof(before.st.st_mtim));
	assert_int_equal(before.entries, after.entries);
	free(before.bytes);
	free(after.bytes);
}

static void poke(const char *path, off_t at, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;
	char *error = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	sqlite3_close(db);
}

static void test_foreign_files(void **state)
{
	struct sqlite_rig *f = *state;

	poke(f->path, 0, "hello, world\n", 13);
	check_refused(f, -EINVAL, "not a SQLite database");
	unlink(f->path);
	poke(f->path, 0, "", 0);
	check_refused(f, -EUCLEAN, "empty");
	unlink(f->path);
	sql(f->path, "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
	check_refused(f, -EINVAL, "another application");
	unlink(f->path);
	sql(f->path, "PRAGMA journal_mode = WAL; CREATE TABLE t(x); PRAGMA application_id = 7");
	check_refused(f, -EINVAL, "another application");
	/* ours by its mark, but with other tables */
	unlink(f->path);
	char text[200];
	snprintf(text, sizeof(text),
		 "PRAGMA application_id = %d; PRAGMA user_version = 1; CREATE TABLE message(x)",
		 SQLITE_APPLICATION_ID);
	sql(f->path, text);
	check_refused(f, -EUCLEAN, "corrupt");
}

static void test_newer_file(void **state)
{
	struct sqlite_rig *f = *state;

	rig_open(f);
	rig_fill(f, 1, 3);
	rig_close(f);
	sql(f->path, "PRAGMA user_version = 99");
	check_refused(f, -ENOTSUP, "newer version");
}

/* The newer program died before its last commit was moved into the file: only the -wal knows. */
static void test_newer_write_ahead_log(void **state)
{
	struct sqlite_rig *f = *state;
	char name[128];
	struct stat before, after;
	int status;

	rig_open(f);
	rig_fill(f, 1, 3);
	rig_close(f);
	pid_t pid = fork();
	if (pid == 0) {
		sqlite3 *db;
		if (sqlite3_open(f->path, &db) != SQLITE_OK)
			_exit(1);
		_exit(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	snprintf(name, sizeof(name), "%s-wal", f->path);
	assert_int_equal(stat(name, &before), 0);
	assert_true(before.st_size > 0);
	check_refused(f, -ENOTSUP, "newer version");
	snprintf(name, sizeof(name), "%s-shm", f->path);
	unlink(name);
	check_refused(f, -ENOTSUP, "newer version");
	snprintf(name, sizeof(name), "%s-wal", f->path);
	assert_int_equal(stat(name, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
}

static void test_places_that_cannot_be(void **state)
{
	struct sqlite_rig *f = *state;
	char path[160];

	snprintf(path, sizeof(path), "%s/none/log.db", f->folder);
	assert_int_equal(rig_try_open(f, path), -ENOENT);
	assert_non_null(strstr(f->problem.text, "folder"));
	assert_int_equal(rig_try_open(f, f->folder), -EISDIR);
	assert_non_null(strstr(f->problem.text, "is a folder"));
	assert_int_equal(rig_try_open(f, "/proc/log.db"), -ENOENT);
	assert_int_equal(rig_try_open(f, "/dev/null"), -EINVAL);
	assert_non_null(strstr(f->problem.text, "regular file"));
	poke(f->path, 0, "x", 1);
	snprintf(path, sizeof(path), "%s/log.db/x", f->folder);
	assert_int_equal(rig_try_open(f, path), -ENOTDIR);
	struct store_config cfg = {.path = "", .namespaces = f->namespaces};
	assert_int_equal(f->e->ops.open(&cfg, &f->s, &f->problem), -EINVAL);
	snprintf(path, sizeof(path), "%s/other.db", f->folder);
	cfg.path = path;
	assert_int_equal(f->e->ops.open(&cfg, &f->s, &f->problem), -ENOENT);
	assert_non_null(strstr(f->problem.text, "no such file"));
	assert_int_equal(test_folder_count(f->folder), 1);
}

/* Run fn in a child as nobody; its return value is the result. */
static int as_nobody(struct sqlite_rig *f, int (*fn)(struct sqlite_rig *))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
			_exit(100);
		_exit(fn(f));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int open_is_denied(struct sqlite_rig *f)
{
	return rig_try_open(f, f->path) == -EACCES && strstr(f->problem.text, "user") != NULL ? 0
											      : 1;
}

static void test_no_permission(void **state)
{
	struct sqlite_rig *f = *state;

	if (geteuid() != 0)
		skip();
	chmod(f->folder, 0755); /* may look, may not write */
	assert_int_equal(as_nobody(f, open_is_denied), 0);
	chmod(f->folder, 0777);
	rig_open(f);
	rig_close(f);
	chmod(f->path, 0600); /* may write beside it, not it */
	assert_int_equal(as_nobody(f, open_is_denied), 0);
	assert_int_equal(test_folder_count(f->folder), 2); /* and log.db.incarnation */
}

static void test_two_daemons(void **state)
{
	struct sqlite_rig *f = *state;
	int status, ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		rig_open(f);
		rig_fill(f, 1, 1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	check_refused(f, -EBUSY, "another process");
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);
	/* the lock died with it, and what it committed is there */
	rig_open(f);
	assert_int_equal(rig_count_rows(f), 1);
}

/* A shell that looks at the log is no reason not to start. */
static void test_shell_beside(void **state)
{
	struct sqlite_rig *f = *state;
	sqlite3 *db;

	rig_open(f);
	rig_fill(f, 1, 3);
	rig_close(f);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT * FROM log", NULL, NULL, NULL), SQLITE_OK);
	rig_open(f);
	rig_fill(f, 4, 3);
	rig_close(f);
	assert_int_equal(sqlite3_exec(db, "SELECT * FROM log", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	rig_open(f);
	assert_int_equal(rig_count_rows(f), 6);
}

/* --- damage
 * -------------------------------------------------------------------------------------------- */

static void test_cut_short(void **state)
{
	struct sqlite_rig *f = *state;
	struct stat st;

	rig_open(f);
	rig_fill(f, 1, 500);
	rig_close(f);
	assert_int_equal(stat(f->path, &st), 0);
	const off_t sizes[] = {st.st_size - 1, st.st_size / 2, 4096, 1000, 99, 1};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(truncate(f->path, sizes[i]), 0);
		check_refused(f, sizes[i] >= 100 ? -EUCLEAN : -EINVAL,
			      sizes[i] >= 100 ? "cut short" : "not a SQLite");
	}
}

static void test_flipped_header(void **state)
{
	struct sqlite_rig *f = *state;
	unsigned char page[4096];

	rig_open(f);
	rig_fill(f, 1, 50);
	rig_close(f);
	int fd = open(f->path, O_RDONLY);
	assert_int_equal(read(fd, page, sizeof(page)), sizeof(page));
	close(fd);
	/* page size, versions, schema format, encoding, type of the root page, and cells of the
	 * schema */
	const size_t at[] = {16, 18, 21, 44, 56, 60, 68, 100, 103};
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		unsigned char flipped = page[at[i]] ^ 0x55;
		poke(f->path, (off_t)at[i], &flipped, 1);
		assert_true(rig_try_open(f, f->path) < 0);
		assert_int_equal(test_folder_count(f->folder), 2);
		poke(f->path, (off_t)at[i], &page[at[i]], 1);
	}
	rig_open(f);
	assert_int_equal(rig_count_rows(f), 50);
}

/* Damage that comes while it is open is an error of the read, not of the process. */
static void test_damage_found_later(void **state)
{
	struct sqlite_rig *f = *state;
	char noise[4096];
	struct store_reader *r;
	struct store_range range = {.channel = SLICE("a")};
	struct store_read read = {.ranges = &range,
				  .range_n = 1,
				  .upto = 9999,
				  .row_max = 4096,
				  .byte_max = SIZE_MAX};
	struct stat st;

	rig_open(f);
	rig_fill(f, 1, 2000);
	rig_close(f);
	rig_open(f);
	assert_int_equal(stat(f->path, &st), 0);
	memset(noise, 0x5a, sizeof(noise));
	for (off_t at = 24 * 4096; at + 4096 <= st.st_size; at += 4096) /* behind the schema */
		poke(f->path, at, noise, sizeof(noise));
	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	assert_int_equal(f->e->ops.read(r, &read, test_row, &f->rows), -EUCLEAN);
	test_rows_clear(&f->rows);
	/* and again: the reader is in order */
	assert_int_equal(f->e->ops.read(r, &read, test_row, &f->rows), -EUCLEAN);
	f->e->ops.reader_close(r);
}

static void test_stale_wal_beside_a_backup(void **state)
{
	struct sqlite_rig *f = *state;
	char name[128];

	rig_open(f);
	rig_close(f);
	sql(f->path, "PRAGMA journal_mode = DELETE");
	snprintf(name, sizeof(name), "%s-wal", f->path);
	poke(name, 0, "somebody else's", 15);
	check_refused(f, -EUCLEAN, "belongs to another");
}

/* --- versions
 * ------------------------------------------------------------------------------------------ */

static const struct schema_step steps[] = {
	{"CREATE TABLE a(x)"},
	{"ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES(1, 2)"},
	{"CREATE TABLE b(x); INSERT INTO nowhere VALUES(1)"},
};

static void test_migration(void **state)
{
	struct sqlite_rig *f = *state;
	struct connection c;
	int64_t n;

	sql(f->path, "CREATE TABLE a(x); PRAGMA user_version = 1");
	assert_int_equal(connection_open(&c, f->path, SQLITE_OPEN_READWRITE), 0);
	assert_int_equal(schema_verify(&c, steps, 1), 0);
	assert_int_equal(schema_migrate(&c, steps, 2), 0);
	assert_int_equal(connection_number(&c, "PRAGMA user_version", &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(connection_number(&c, "SELECT y FROM a", &n), 0);
	assert_int_equal(schema_verify(&c, steps, 2), 0);
	/* the same again does nothing */
	assert_int_equal(schema_migrate(&c, steps, 2), 0);
	assert_int_equal(connection_number(&c, "SELECT count(*) FROM a", &n), 0);
	assert_int_equal(n, 1);
	/* a step that fails leaves nothing of it */
	assert_int_equal(schema_migrate(&c, steps, 3), -EUCLEAN);
	assert_int_equal(connection_number(&c, "PRAGMA user_version", &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(schema_verify(&c, steps, 2), 0);
	assert_int_equal(schema_verify(&c, steps, 1), -EUCLEAN);
	connection_close(&c);
}

/* --- a failing disk
 * ------------------------------------------------------------------------------------ */

static void test_append_is_all_or_none(void **state)
{
	struct sqlite_rig *f = *state;
	struct message *batch[50];

	rig_open(f);
	rig_fill(f, 1, 10);
	for (uint64_t i = 0; i < 50; i++)
		batch[i] = test_message(i % 2 ? "a" : "b", 11 + i, 0, 1, "payload");
	/* every write of an append fails once; nothing of it is ever seen */
	int n = 1, rc;
	do {
		vfs_shim_heal();
		vfs_shim_fail(n % 2 ? VFS_SHIM_WRITE : VFS_SHIM_SYNC, (n + 1) / 2, 1,
			      n % 2 ? SQLITE_FULL : SQLITE_IOERR_FSYNC);
		rc = f->e->ops.append(f->s, batch, 50, true);
		assert_true(rc == 0 || rc == -ENOSPC || rc == -EIO);
		uint64_t head;
		assert_int_equal(f->e->ops.head(f->s, SLICE("b"), &head), 0);
		assert_int_equal(head, rc == 0 ? 59 : 0);
		assert_int_equal(rig_count_rows(f), rc == 0 ? 35 : 10);
		n++;
	} while (rc != 0);
	assert_true(n > 3);
	vfs_shim_heal();
	for (uint64_t i = 0; i < 50; i++)
		message_unref(batch[i]);
	rig_fill(f, 61, 1);
	rig_close(f);
	rig_open(f);
	assert_int_equal(rig_count_rows(f), 36);
}

/* A transaction's frames go in one write, however many; what a synced commit makes the file longer
 * by is there for the next ones. */
static void test_few_writes(void **state)
{
	struct sqlite_rig *f = *state;
	struct message *batch[100];
	uint64_t db, wal, before;

	rig_open(f);
	test_append(f->e, f->s, "a", 1, 1, "x");
	for (uint64_t i = 0; i < 100; i++)
		batch[i] =
			test_message("a", 2 + i, 0, 1, "a payload of some length, for some pages");
	vfs_shim_heal();
	assert_int_equal(f->e->ops.append(f->s, batch, 100, false), 0);
	assert_int_equal(vfs_shim_count(VFS_SHIM_WRITE), 1);
	for (uint64_t i = 0; i < 100; i++)
		message_unref(batch[i]);
	assert_int_equal(f->e->reserve(f->s, 1000), 0); /* synced */
	assert_int_equal(f->e->admin.sizes(f->s, &db, &before), 0);
	for (uint64_t i = 0; i < 20; i++) {
		test_append(f->e, f->s, "a", 200 + i, 1, "x");
		assert_int_equal(f->e->reserve(f->s, 1000), 0);
	}
	assert_int_equal(f->e->admin.sizes(f->s, &db, &wal), 0);
	assert_int_equal(wal, before);
	assert_int_equal(rig_count_rows(f), 121);
}

/* Reserving what is reserved already is how a failed disk is probed: it must touch the disk. */
static void test_reserve_always_writes(void **state)
{
	struct sqlite_rig *f = *state;

	rig_open(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->e->reserve(f->s, 1000), 0);
	vfs_shim_fail(VFS_SHIM_WRITE, 1, -1, SQLITE_FULL);
	assert_int_equal(f->e->reserve(f->s, 1000), -ENOSPC);
	vfs_shim_heal();
	vfs_shim_fail(VFS_SHIM_SYNC, 1, -1, SQLITE_IOERR_FSYNC);
	assert_int_equal(f->e->reserve(f->s, 1000), -EIO);
	vfs_shim_heal();
	assert_int_equal(f->e->reserve(f->s, 1000), 0);
}

static void test_trim_is_all_or_none(void **state)
{
	struct sqlite_rig *f = *state;
	size_t n;

	rig_open(f);
	for (uint64_t i = 1; i <= 100; i++)
		test_append(f->e, f->s, "few:a", i, 1, "x");
	vfs_shim_fail(VFS_SHIM_WRITE, 1, 1, SQLITE_IOERR_WRITE);
	assert_int_equal(f->e->ops.trim(f->s, 5, 50, &n), -EIO);
	vfs_shim_heal();
	/* what it knew is lost and found again */
	assert_int_equal(test_trim(f->e, f->s, 5, 50), 97);
}

/* What sync has acknowledged survives; what was only committed goes whole or stays whole; no
 * damage. */
static void test_power_cut(void **state)
{
	struct sqlite_rig *f = *state;
	char cut[128], wal[128];
	struct message *batch[5];

	snprintf(cut, sizeof(cut), "%s/cut.db", f->folder);
	snprintf(wal, sizeof(wal), "%s/cut.db-wal", f->folder);
	for (unsigned seed = 1; seed <= 20; seed++) {
		uint64_t seq = 0, synced = 0;
		unlink(f->path);
		vfs_shim_uninstall();
		vfs_shim_install();
		rig_open(f);
		for (unsigned i = 0; i < 30; i++) {
			bool sync = (i * 7 + seed) % 11 == 0;
			for (size_t k = 0; k < 5; k++, seq++)
				batch[k] = test_message("a", seq + 1, seq, 1, "a payload");
			assert_int_equal(f->e->ops.append(f->s, batch, 5, sync), 0);
			for (size_t k = 0; k < 5; k++)
				message_unref(batch[k]);
			if (sync)
				synced = seq;
			if (i == 20 && seed % 2)
				assert_int_equal(f->e->reserve(f->s, 1000 + seq), 0);
		}
		if (seed % 2 && synced < 105)
			synced = 105; /* the reservation synced everything before it */
		vfs_shim_power_cut(f->path, cut, seed);
		rig_close(f);
		int rc = rig_try_open(f, cut);
		if (rc != 0)
			fail_msg("seed %u: %s", seed, f->problem.text);
		size_t n = rig_count_rows(f);
		struct store_origin origin;
		assert_int_equal(f->e->origin(f->s, &origin), 0);
		assert_true(n >= synced && n <= seq);
		assert_int_equal(n % 5, 0);
		assert_int_equal(origin.top, n);
		assert_true(seed % 2 == 0 || origin.reserved == 1105);
		rig_close(f);
		unlink(cut);
		unlink(wal);
	}
}

/* A file system that is really full. */
static void test_full_file_system(void **state)
{
	struct sqlite_rig *f = *state;
	char mounted[96], path[128];
	uint64_t seq = 1;
	int rc = 0;

	snprintf(mounted, sizeof(mounted), "%s/disk", f->folder);
	assert_int_equal(mkdir(mounted, 0700), 0);
	if (mount("none", mounted, "tmpfs", 0, "size=2m") != 0)
		skip();
	snprintf(path, sizeof(path), "%s/log.db", mounted);
	assert_int_equal(rig_try_open(f, path), 0);
	char payload[10001];
	memset(payload, 'x', 10000);
	payload[10000] = '\0';
	for (; rc == 0; seq++) {
		struct message *m = test_message("a", seq, 0, 1, payload);
		rc = f->e->ops.append(f->s, &m, 1, false);
		message_unref(m);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(rig_count_rows(f), seq - 2);
	/* the disk grows, and life goes on */
	assert_int_equal(mount("none", mounted, "tmpfs", MS_REMOUNT, "size=8m"), 0);
	test_append(f->e, f->s, "a", seq, 1, payload);
	assert_int_equal(rig_count_rows(f), seq - 1);
	rig_close(f);
	assert_int_equal(umount(mounted), 0);
}

/* --- backup
 * -------------------------------------------------------------------------------------------- */

static void test_backup(void **state)
{
	struct sqlite_rig *f = *state;
	struct store_reader *r;
	struct store_origin here, there;
	char copy[128], text[160];
	int64_t n;

	rig_open(f);
	rig_fill(f, 1, 200);
	assert_int_equal(f->e->reserve(f->s, 5000), 0);
	assert_int_equal(f->e->origin(f->s, &here), 0);
	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	snprintf(copy, sizeof(copy), "%s/copy.db", f->folder);
	if (f->e->admin.backup(r, copy, &f->problem) != 0)
		fail_msg("%s", f->problem.text);
	assert_int_equal(f->e->admin.backup(r, copy, &f->problem), -EEXIST);
	snprintf(text, sizeof(text), "%s/none/copy.db", f->folder);
	assert_int_equal(f->e->admin.backup(r, text, &f->problem), -ENOENT);
	f->e->ops.reader_close(r);
	rig_fill(f, 201, 10);
	rig_close(f);
	assert_int_equal(test_folder_count(f->folder), 3); /* log.db, its .incarnation, copy.db */
	/* the copy is a log of its own, with the same content */
	assert_int_equal(rig_try_open(f, copy), 0);
	assert_int_equal(f->e->origin(f->s, &there), 0);
	assert_string_not_equal(here.epoch.text, there.epoch.text);
	assert_int_equal(there.reserved, 5000);
	assert_int_equal(there.top, 200);
	assert_int_equal(rig_count_rows(f), 200);
	assert_int_equal(connection_number(&f->s->c, "SELECT count(*) FROM log", &n), 0);
	assert_int_equal(n, 200);
}

/* Names that mean something to SQLite are names of files here. */
static void test_odd_names(void **state)
{
	struct sqlite_rig *f = *state;
	struct store_reader *r;
	char *here = getcwd(NULL, 0);

	assert_int_equal(chdir(f->folder), 0);
	assert_int_equal(rig_try_open(f, ":memory:"), 0);
	rig_fill(f, 1, 1);
	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	assert_int_equal(f->e->admin.backup(r, "file:copy?mode=memory", &f->problem), 0);
	f->e->ops.reader_close(r);
	rig_close(f);
	assert_int_equal(access(":memory:", R_OK), 0);
	assert_int_equal(access("file:copy?mode=memory", R_OK), 0);
	assert_int_equal(test_folder_count("."), 3); /* and an .incarnation */
	assert_int_equal(chdir(here), 0);
	free(here);
}

static void test_backup_given_up(void **state)
{
	struct sqlite_rig *f = *state;
	struct store_reader *r;
	atomic_bool cancel = true;
	char copy[128];

	rig_open(f);
	rig_fill(f, 1, 2000);
	f->s->cancel = &cancel;
	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	snprintf(copy, sizeof(copy), "%s/copy.db", f->folder);
	assert_int_equal(f->e->admin.backup(r, copy, &f->problem), -ECANCELED);
	assert_int_not_equal(access(copy, F_OK), 0);
	f->e->ops.reader_close(r);
}

static void test_wal_stays_short(void **state)
{
	struct sqlite_rig *f = *state;
	char payload[4001];
	struct message *batch[20];
	uint64_t db, wal, seq = 0;

	memset(payload, 'x', 4000);
	payload[4000] = '\0';
	rig_open(f);
	for (int i = 0; i < 1500; i++) { /* 120 MB */
		for (size_t k = 0; k < 20; k++)
			batch[k] = test_message("few:a", ++seq, 0, 1, payload);
		assert_int_equal(f->e->ops.append(f->s, batch, 20, false), 0);
		for (size_t k = 0; k < 20; k++)
			message_unref(batch[k]);
		size_t n;
		assert_true(f->e->ops.trim(f->s, 5, 300, &n) >= 0);
	}
	assert_int_equal(f->e->admin.sizes(f->s, &db, &wal), 0);
	assert_true(wal < 100u << 20);
	assert_true(db < 20u << 20); /* what was removed is used again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_foreign_files, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_newer_file, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_newer_write_ahead_log, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_places_that_cannot_be, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_no_permission, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_two_daemons, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_shell_beside, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_cut_short, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_flipped_header, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_damage_found_later, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_stale_wal_beside_a_backup, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_migration, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_append_is_all_or_none, setup_shim,
						teardown_shim),
		cmocka_unit_test_setup_teardown(test_few_writes, setup_shim, teardown_shim),
		cmocka_unit_test_setup_teardown(test_reserve_always_writes, setup_shim,
						teardown_shim),
		cmocka_unit_test_setup_teardown(test_trim_is_all_or_none, setup_shim,
						teardown_shim),
		cmocka_unit_test_setup_teardown(test_power_cut, setup_shim, teardown_shim),
		cmocka_unit_test_setup_teardown(test_full_file_system, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_backup, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_odd_names, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_backup_given_up, sqlite_rig_set_up,
						sqlite_rig_tear_down),
		cmocka_unit_test_setup_teardown(test_wal_stays_short, sqlite_rig_set_up,
						sqlite_rig_tear_down),
	};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
