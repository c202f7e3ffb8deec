/* SPDX-License-Identifier: MIT */
/*
 * sqlite_check: is this file ours, whole and free? Every question is asked without changing a byte
 * on disk, so that a file that is refused can be repaired, restored or handed to its real owner as
 * it was.
 *
 * DESIGN, in the order of the questions
 *  1. The file system: a regular file that we may write, in a folder that we may write.
 *  2. flock() on the file itself: two daemons on one log would give out the same numbers. It does
 * not meet SQLite's own locks (fcntl), so the sqlite3 shell can still read the log, and it leaves
 * no lock file behind.
 *  3. The first 100 bytes, read plainly: a SQLite file, ours (application_id), no newer than we
 * are, as long as it says it is.
 *  4. With SQLite, but in exclusive locking mode: then the index of the write-ahead log lives in
 *     memory instead of a -shm file, and with NO_CKPT_ON_CLOSE the -wal file stays as it is. Tables
 * as we make them, pages sound. The check of all pages reads the whole file, so files over
 * QUICK_MAX get samples instead: both ends of the log, through table and index. Damage that lies
 * deeper is found by whoever reads it (-EUCLEAN).
 *
 * It must never create, extend or delete a file, but for the empty -wal that SQLite itself left.
 */
#include "store/sqlite_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"

#define HEADER_BYTES 100
#define QUICK_MAX    ((off_t)64 << 20)

#define RESTORE_HINT \
	"Restore a backup, or move the file (with its -wal) away to start a new, empty log."

static uint32_t get_u16(const unsigned char *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get_u32(const unsigned char *p)
{
	return get_u16(p) << 16 | get_u16(p + 2);
}

static off_t wal_size(const char *path)
{
	char name[4096];
	struct stat st;

	snprintf(name, sizeof(name), "%s-wal", path);
	return stat(name, &st) == 0 ? st.st_size : -1;
}

/* --- 1, 2: the file system ------------------------------------------------------------------- */

static int check_folder(const char *path, struct problem *problem)
{
	char *copy = xstrdup(path);
	char *folder = dirname(copy);
	struct stat st;
	int rc = 0;

	if (stat(folder, &st) != 0)
		rc = problem_set(problem, -errno,
				 "%s: the folder %s cannot be used: %s. Create it.", path, folder,
				 strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		rc = problem_set(problem, -ENOTDIR, "%s: %s is not a folder.", path, folder);
	else if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
		rc = problem_set(
			problem, -errno,
			"%s: this user may not write to the folder %s (%s); SQLite keeps two "
			"more files beside the database. Give the daemon's user the folder.",
			path, folder, strerror(errno));
	free(copy);
	return rc;
}

static int open_file(const char *path, int *ret_fd, struct stat *ret_st, struct problem *problem)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 && errno == EISDIR)
		return problem_set(problem, -EISDIR,
				   "%s is a folder; give the path of a file in it.", path);
	if (fd < 0)
		return problem_set(
			problem, -errno,
			"%s: cannot be opened for writing: %s. The daemon's user needs read "
			"and write permission on it, on a file system mounted read-write.",
			path, strerror(errno));
	if (fstat(fd, ret_st) != 0 || !S_ISREG(ret_st->st_mode)) {
		close(fd);
		return problem_set(problem, -EINVAL, "%s is not a regular file.", path);
	}
	*ret_fd = fd;
	return 0;
}

static int lock_file(const char *path, int fd, struct problem *problem)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return problem_set(
			problem, -EBUSY,
			"%s: another process has this log open (is a broker running on it "
			"already?). Stop it, or use another file.",
			path);
	return problem_set(problem, -errno, "%s: cannot be locked: %s.", path, strerror(errno));
}

/* --- 3: the header --------------------------------------------------------------------------- */

/* https://www.sqlite.org/fileformat.html section 1.3 */
static bool header_is_sound(const unsigned char *h)
{
	uint32_t page = get_u16(h + 16);

	if (page != 1 && (page < 512 || (page & (page - 1)) != 0))
		return false;
	if (h[18] < 1 || h[18] > 2 || h[18] != h[19])
		return false;
	return h[21] == 64 && h[22] == 32 && h[23] == 32 && get_u32(h + 44) == 4 &&
	       get_u32(h + 56) == 1; /* text in UTF-8 */
}

static int check_length(const char *path, const unsigned char *h, off_t size,
			struct problem *problem)
{
	off_t page = get_u16(h + 16) == 1 ? 65536 : (off_t)get_u16(h + 16);
	off_t want = page * (off_t)get_u32(h + 28);

	/* With a write-ahead log beside it, a crash may have interrupted the copying of pages. */
	if (wal_size(path) > 0 || size >= want)
		return 0;
	return problem_set(
		problem, -EUCLEAN,
		"%s: the file is cut short (%lld bytes of %lld): it is corrupt. " RESTORE_HINT,
		path, (long long)size, (long long)want);
}

static int refuse_newer(const char *path, struct problem *problem)
{
	return problem_set(
		problem, -ENOTSUP,
		"%s: made by a newer version of this program (this one knows schemas up to "
		"%d). Install that version, or use another file.",
		path, schema_version);
}

static int check_owner(const char *path, const unsigned char *h, struct problem *problem)
{
	uint32_t version = get_u32(h + 60);

	if (get_u32(h + 68) != SQLITE_APPLICATION_ID)
		return problem_set(problem, -EINVAL,
				   "%s: a SQLite database, but of another application. Use another "
				   "path for the log.",
				   path);
	if (version > (uint32_t)schema_version)
		return refuse_newer(path, problem);
	if (version == 0)
		return problem_set(problem, -EUCLEAN,
				   "%s: corrupt: schema version 0. " RESTORE_HINT, path);
	if (h[18] == 1 && wal_size(path) > 0)
		return problem_set(
			problem, -EUCLEAN,
			"%s: a restored backup, but the file %s-wal beside it belongs to "
			"another database and would damage it. Remove the -wal and -shm files.",
			path, path);
	return 0;
}

static int check_header(const char *path, int fd, off_t size, struct problem *problem)
{
	unsigned char h[HEADER_BYTES];

	if (size == 0)
		return problem_set(
			problem, -EUCLEAN,
			"%s: the file is empty: something cut it short, or made it beforehand. "
			"Restore a backup, or remove the file to start a new log.",
			path);
	ssize_t n = pread(fd, h, sizeof(h), 0);
	if (n < 0)
		return problem_set(problem, -errno, "%s: cannot be read: %s.", path,
				   strerror(errno));
	if (n < HEADER_BYTES || memcmp(h, "SQLite format 3", 16) != 0)
		return problem_set(
			problem, -EINVAL,
			"%s: not a SQLite database. Use another path for the log, or restore "
			"a backup when this used to be one.",
			path);
	if (!header_is_sound(h))
		return problem_set(problem, -EUCLEAN,
				   "%s: corrupt: the header makes no sense. " RESTORE_HINT, path);
	int rc = check_owner(path, h, problem);
	return rc != 0 ? rc : check_length(path, h, size, problem);
}

/* --- 4: the structure ------------------------------------------------------------------------ */

#define ROW_IS_LOST                                                                        \
	" WHERE NOT EXISTS (SELECT 1 FROM channel c WHERE c.id = m.channel) OR NOT EXISTS" \
	" (SELECT 1 FROM message i INDEXED BY message_by_channel"                          \
	"  WHERE i.channel = m.channel AND i.seq = m.seq)"

/* Both ends of the log: every row must be found by table, by index and by channel. */
static int check_samples(struct connection *c)
{
	static const char *const sql[] = {
		"SELECT count(*) FROM (SELECT seq, channel FROM message ORDER BY seq LIMIT 200) "
		"m" ROW_IS_LOST,
		"SELECT count(*) FROM (SELECT seq, channel FROM message ORDER BY seq DESC LIMIT "
		"200) m" ROW_IS_LOST,
		"SELECT sum(length(payload)) * 0 FROM"
		" (SELECT payload FROM message ORDER BY seq DESC LIMIT 200)",
		"SELECT count(*) FROM (SELECT name FROM channel ORDER BY id DESC LIMIT 200) c"
		" WHERE NOT EXISTS (SELECT 1 FROM channel n WHERE n.name = c.name)",
	};

	for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
		int64_t bad;
		int rc = connection_number(c, sql[i], &bad);
		if (rc != 0)
			return rc;
		if (bad != 0)
			return -EUCLEAN;
	}
	return 0;
}

static int check_all_pages(struct connection *c)
{
	sqlite3_stmt *stmt = NULL;
	int error = 0;

	if (sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK)
		return connection_error(c);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		error = connection_error(c);
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		error = -EUCLEAN;
	sqlite3_finalize(stmt);
	return error;
}

static int check_content(struct connection *c, off_t size)
{
	int64_t version, meta;

	int rc = connection_number(c, "PRAGMA user_version", &version);
	/* again, because the write-ahead log may know better than the header */
	if (rc == 0 && version > schema_version)
		return -ENOTSUP;
	if (rc == 0)
		rc = schema_verify(c, schema_steps, (int)version);
	if (rc == 0)
		rc = size <= QUICK_MAX ? check_all_pages(c) : check_samples(c);
	if (rc == 0)
		rc = connection_number(c,
				       "SELECT count(*) FROM meta WHERE (key = 'epoch' AND "
				       "length(value) BETWEEN 1 AND 15) OR (key = 'reserved' AND "
				       "typeof(value) = 'integer')",
				       &meta);
	if (rc == 0 && meta != 2)
		rc = -EUCLEAN;
	return rc;
}

/* The exclusive lock is not to be had while a shell has the database open: then its -shm is there
 * already, and an ordinary connection leaves nothing behind that was not there. */
static int open_for_check(const char *path, bool exclusive, struct connection *c)
{
	int rc = connection_open(c, path, SQLITE_OPEN_READWRITE);

	if (rc != 0)
		return rc;
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (exclusive)
		rc = connection_exec(c, "PRAGMA locking_mode = EXCLUSIVE");
	else
		sqlite3_busy_timeout(c->db, 1000);
	if (rc != 0)
		connection_close(c);
	return rc;
}

static int check_structure(const char *path, off_t size, struct problem *problem)
{
	struct connection c;
	off_t wal_before = wal_size(path);
	int rc = -EBUSY;

	for (int exclusive = 1; exclusive >= 0 && rc == -EBUSY; exclusive--) {
		rc = open_for_check(path, exclusive, &c);
		if (rc != 0)
			break;
		rc = check_content(&c, size);
		connection_close(&c);
	}
	if (wal_before < 0 && wal_size(path) == 0) {
		char name[4096];
		snprintf(name, sizeof(name), "%s-wal", path);
		unlink(name);
	}
	if (rc == -EUCLEAN)
		return problem_set(problem, rc, "%s: the database is corrupt. " RESTORE_HINT, path);
	if (rc == -ENOTSUP)
		return refuse_newer(path, problem);
	if (rc == -EBUSY)
		return problem_set(problem, rc,
				   "%s: another program holds the database locked. Close it.",
				   path);
	if (rc != 0)
		return problem_set(problem, rc, "%s: cannot be read: %s.", path, strerror(-rc));
	return 0;
}

int check_file(const char *path, int *ret_fd, struct problem *problem)
{
	struct stat st;
	int fd = -1;

	if (strlen(path) > 4000)
		return problem_set(problem, -ENAMETOOLONG, "The path of the database is too long.");
	int rc = check_folder(path, problem);
	if (rc == 0)
		rc = open_file(path, &fd, &st, problem);
	if (rc != 0)
		return rc;
	rc = lock_file(path, fd, problem);
	if (rc == 0)
		rc = check_header(path, fd, st.st_size, problem);
	if (rc == 0)
		rc = check_structure(path, st.st_size, problem);
	if (rc != 0)
		close(fd);
	else
		*ret_fd = fd;
	return rc;
}
