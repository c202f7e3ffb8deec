/* SPDX-License-Identifier: MIT */
/*
 * sqlite_wal: how the log thread's connection writes the write-ahead log.
 *
 * SQLite writes a transaction as frames, each a header of 24 bytes and a page, each with a write of
 * its own; and each synced commit that makes the file longer costs the file system a commit of its
 * journal. Here, a thin layer over SQLite's own ("unix") that changes neither what is in the file
 * nor the order of what is on the medium:
 *
 *  - Frames that follow each other are gathered, and written at once with the one that ends the
 * transaction (its header says so), or before anything else is done with the file.
 *  - When a sync finds that the file grew by little, it makes it AHEAD_BYTES longer with zeros, so
 * that the next commits write over what is there. SQLite takes zeros for the end of the log: a
 * frame counts only with the file's salt.
 *
 * Only this connection writes frames (sqlite_checkpoint.c reads them, readers too), and what it has
 * not committed is nobody else's: so nobody misses what is gathered. A write that fails, fails the
 * transaction that it belongs to.
 *
 * It must never keep anything back when a commit's last page was handed over.
 */
#include "store/sqlite_connection.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define GATHER_BYTES \
	((size_t)31 * (24 + 4096)) /* SQLite's own writes less than 128 KiB at a time */
#define AHEAD_BYTES ((sqlite3_int64)1 << 20)
#define ZERO_BYTES  ((size_t)64 << 10)

#define FRAME_HEADER   24
#define FRAME_COMMIT_0 4 /* big endian: the database's pages after the commit; 0: not the end */

struct wal_file {
	sqlite3_file base;
	sqlite3_file *real; /* of SQLite's own; stands behind this */
	unsigned char *gathered;
	size_t n;
	sqlite3_int64 at;    /* where the gathered bytes belong */
	sqlite3_int64 next;  /* where the next frame is expected */
	bool is_last;        /* the header of the transaction's last frame was seen */
	sqlite3_int64 end;   /* of the file, zeros included */
	sqlite3_int64 grown; /* by how much since the last sync */
};

static sqlite3_vfs wal_vfs;

static struct wal_file *wal_of(sqlite3_file *f)
{
	return (struct wal_file *)(void *)f;
}

static int put(struct wal_file *w, const void *p, size_t n, sqlite3_int64 at)
{
	int rc = w->real->pMethods->xWrite(w->real, p, (int)n, at);
	sqlite3_int64 end = at + (sqlite3_int64)n;

	if (rc == SQLITE_OK && end > w->end) {
		w->grown += end - w->end;
		w->end = end;
	}
	return rc;
}

static int flush(struct wal_file *w)
{
	size_t n = w->n;

	w->n = 0;
	return n > 0 ? put(w, w->gathered, n, w->at) : SQLITE_OK;
}

static bool is_frame_header(int n)
{
	return n == FRAME_HEADER; /* a page has 512 bytes at least, the file's header 32 */
}

static bool ends_transaction(const unsigned char *header)
{
	static const unsigned char none[4];

	return memcmp(header + FRAME_COMMIT_0, none, sizeof(none)) != 0;
}

/* The part of a frame that stands where the last one ended. */
static int gather(struct wal_file *w, const void *p, size_t n, sqlite3_int64 at)
{
	if (w->n + n > GATHER_BYTES) {
		int rc = flush(w);
		if (rc != SQLITE_OK)
			return rc;
	}
	if (w->n == 0)
		w->at = at;
	memcpy(w->gathered + w->n, p, n);
	w->n += n;
	if (is_frame_header((int)n)) {
		w->is_last = ends_transaction(p);
		return SQLITE_OK;
	}
	return w->is_last ? flush(w) : SQLITE_OK;
}

static int wal_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct wal_file *w = wal_of(f);
	bool is_next = at == w->next;

	w->next = at + n;
	if (is_next && (size_t)n <= GATHER_BYTES && (w->n > 0 || is_frame_header(n)))
		return gather(w, p, (size_t)n, at);
	/* the file's header, or a frame that is written over */
	int rc = flush(w);
	return rc == SQLITE_OK ? put(w, p, (size_t)n, at) : rc;
}

/* A failure is no news here: the commit itself is in the file, and the next one will tell. */
static void extend(struct wal_file *w)
{
	static const unsigned char zeros[ZERO_BYTES];

	for (sqlite3_int64 to = w->end + AHEAD_BYTES; w->end < to;)
		if (put(w, zeros, sizeof(zeros), w->end) != SQLITE_OK)
			return;
}

static int wal_sync(sqlite3_file *f, int flags)
{
	struct wal_file *w = wal_of(f);

	int rc = flush(w);
	if (rc != SQLITE_OK)
		return rc;
	if (w->grown > 0 && w->grown < AHEAD_BYTES)
		extend(w);
	w->grown = 0;
	return w->real->pMethods->xSync(w->real, flags);
}

static int wal_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	struct wal_file *w = wal_of(f);
	int rc = flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xRead(w->real, p, n, at) : rc;
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct wal_file *w = wal_of(f);
	int rc = flush(w);

	if (rc == SQLITE_OK)
		rc = w->real->pMethods->xTruncate(w->real, size);
	if (rc == SQLITE_OK)
		w->end = size;
	return rc;
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	struct wal_file *w = wal_of(f);
	int rc = flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xFileSize(w->real, ret) : rc;
}

static int wal_close(sqlite3_file *f)
{
	struct wal_file *w = wal_of(f);
	int flushed = flush(w);
	int rc = w->real->pMethods->xClose(w->real);

	free(w->gathered);
	w->gathered = NULL;
	return flushed == SQLITE_OK ? rc : flushed;
}

static int wal_lock(sqlite3_file *f, int level)
{
	return wal_of(f)->real->pMethods->xLock(wal_of(f)->real, level);
}

static int wal_unlock(sqlite3_file *f, int level)
{
	return wal_of(f)->real->pMethods->xUnlock(wal_of(f)->real, level);
}

static int wal_is_reserved(sqlite3_file *f, int *ret)
{
	return wal_of(f)->real->pMethods->xCheckReservedLock(wal_of(f)->real, ret);
}

static int wal_control(sqlite3_file *f, int op, void *arg)
{
	return wal_of(f)->real->pMethods->xFileControl(wal_of(f)->real, op, arg);
}

static int wal_sector_size(sqlite3_file *f)
{
	return wal_of(f)->real->pMethods->xSectorSize(wal_of(f)->real);
}

static int wal_characteristics(sqlite3_file *f)
{
	return wal_of(f)->real->pMethods->xDeviceCharacteristics(wal_of(f)->real);
}

static const sqlite3_io_methods wal_methods = {
	.iVersion = 1, /* shared memory and mapping are of the database's file */
	.xClose = wal_close,
	.xRead = wal_read,
	.xWrite = wal_write,
	.xTruncate = wal_truncate,
	.xSync = wal_sync,
	.xFileSize = wal_size,
	.xLock = wal_lock,
	.xUnlock = wal_unlock,
	.xCheckReservedLock = wal_is_reserved,
	.xFileControl = wal_control,
	.xSectorSize = wal_sector_size,
	.xDeviceCharacteristics = wal_characteristics,
};

static sqlite3_vfs *real_vfs; /* SQLite's default */

static int wal_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct wal_file *w = wal_of(f);

	UNUSED(vfs);
	if ((flags & SQLITE_OPEN_WAL) == 0)
		return real_vfs->xOpen(real_vfs, name, f, flags, ret_flags);
	*w = (struct wal_file){.real = (sqlite3_file *)(void *)(w + 1), .next = -1};
	int rc = real_vfs->xOpen(real_vfs, name, w->real, flags, ret_flags);
	if (rc == SQLITE_OK)
		rc = w->real->pMethods->xFileSize(w->real, &w->end);
	if (rc != SQLITE_OK) {
		if (w->real->pMethods != NULL)
			w->real->pMethods->xClose(w->real);
		return rc;
	}
	w->gathered = xmalloc(GATHER_BYTES);
	w->base.pMethods = &wal_methods;
	return SQLITE_OK;
}

/* Stand on SQLite's default as it is now (tests put one of theirs there). */
static void set_up(sqlite3_vfs *real)
{
	if (real_vfs != NULL)
		sqlite3_vfs_unregister(&wal_vfs);
	wal_vfs = *real;
	wal_vfs.zName = "holdfast";
	wal_vfs.pNext = NULL;
	wal_vfs.szOsFile = (int)sizeof(struct wal_file) + real->szOsFile;
	wal_vfs.xOpen = wal_open;
	real_vfs = sqlite3_vfs_register(&wal_vfs, 0) == SQLITE_OK ? real : NULL;
}

const char *wal_vfs_name(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	if (real != NULL && real != real_vfs)
		set_up(real);
	const char *name = real_vfs != NULL ? wal_vfs.zName : NULL;
	pthread_mutex_unlock(&lock);
	return name;
}
