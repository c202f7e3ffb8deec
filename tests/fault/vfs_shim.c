/* SPDX-License-Identifier: MIT */
/*
 * vfs_shim: see vfs_shim.h.
 *
 * DESIGN: each opened file is the real file behind ours. For every path there is one `struct disk`:
 * the image of what is surely on the medium, and the list of writes and truncations since the last
 * sync. A sync replays the list into the image. A power cut replays a random part of it into a
 * copy.
 */
#include "tests/fault/vfs_shim.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define SECTOR 512

struct change {
	STAILQ_ENTRY(change) link;
	sqlite3_int64 at;
	int n; /* -1: cut the file at `at` */
	unsigned char bytes[];
};

struct disk {
	LIST_ENTRY(disk) link;
	char *path;
	unsigned char *image;
	size_t n;
	size_t room;
	STAILQ_HEAD(, change) changes;
};

struct shim_file {
	sqlite3_file base;
	struct disk *disk;
	sqlite3_file *real; /* right behind this struct */
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	pthread_mutex_t lock; /* guards all below */
	LIST_HEAD(, disk) disks;
	int count[VFS_SHIM_KIND_COUNT];
	int fail_from[VFS_SHIM_KIND_COUNT];
	int fail_times[VFS_SHIM_KIND_COUNT];
	int fail_code[VFS_SHIM_KIND_COUNT];
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- failing
 * ---------------------------------------------------------------------------------------- */

static int verdict_locked(enum vfs_shim_kind kind)
{
	int n = ++shim.count[kind];

	if (shim.fail_from[kind] == 0 || n < shim.fail_from[kind] || shim.fail_times[kind] == 0)
		return SQLITE_OK;
	if (shim.fail_times[kind] > 0)
		shim.fail_times[kind]--;
	return shim.fail_code[kind];
}

void vfs_shim_fail(enum vfs_shim_kind kind, int n, int times, int code)
{
	pthread_mutex_lock(&shim.lock);
	shim.fail_from[kind] = shim.count[kind] + n;
	shim.fail_times[kind] = times;
	shim.fail_code[kind] = code;
	pthread_mutex_unlock(&shim.lock);
}

void vfs_shim_heal(void)
{
	pthread_mutex_lock(&shim.lock);
	for (int i = 0; i < VFS_SHIM_KIND_COUNT; i++)
		shim.count[i] = shim.fail_from[i] = 0;
	pthread_mutex_unlock(&shim.lock);
}

int vfs_shim_count(enum vfs_shim_kind kind)
{
	pthread_mutex_lock(&shim.lock);
	int n = shim.count[kind];
	pthread_mutex_unlock(&shim.lock);
	return n;
}

/* --- images
 * ----------------------------------------------------------------------------------------- */

static void image_write(struct disk *d, sqlite3_int64 at, const void *p, size_t n)
{
	size_t end = (size_t)at + n;

	if (end > d->room) {
		d->room = end * 2;
		d->image = realloc(d->image, d->room);
		assert(d->image != NULL);
	}
	if (end > d->n) {
		memset(d->image + d->n, 0, end - d->n);
		d->n = end;
	}
	memcpy(d->image + at, p, n);
}

static void image_apply(struct disk *d, const struct change *c, size_t n)
{
	if (c->n >= 0)
		image_write(d, c->at, c->bytes, n);
	else if ((size_t)c->at < d->n)
		d->n = (size_t)c->at;
}

static void disk_forget_changes(struct disk *d, bool apply)
{
	struct change *c;

	while ((c = STAILQ_FIRST(&d->changes)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->changes, link);
		if (apply)
			image_apply(d, c, c->n > 0 ? (size_t)c->n : 0);
		free(c);
	}
}

static void disk_change(struct disk *d, sqlite3_int64 at, const void *p, int n)
{
	struct change *c = malloc(sizeof(*c) + (n > 0 ? (size_t)n : 0));

	assert(c != NULL);
	c->at = at;
	c->n = n;
	if (n > 0)
		memcpy(c->bytes, p, (size_t)n);
	STAILQ_INSERT_TAIL(&d->changes, c, link);
}

/* What is in the file when it is met first counts as synced. */
static void image_load(struct disk *d)
{
	unsigned char block[4096];
	FILE *in = fopen(d->path, "rb");
	size_t n;

	if (in == NULL)
		return;
	while ((n = fread(block, 1, sizeof(block), in)) > 0)
		image_write(d, (sqlite3_int64)d->n, block, n);
	fclose(in);
}

static struct disk *disk_find_locked(const char *path)
{
	struct disk *d;

	LIST_FOREACH (d, &shim.disks, link) {
		if (strcmp(d->path, path) == 0)
			return d;
	}
	return NULL;
}

static struct disk *disk_get(const char *path)
{
	pthread_mutex_lock(&shim.lock);
	struct disk *d = disk_find_locked(path);
	if (d == NULL) {
		d = calloc(1, sizeof(*d));
		assert(d != NULL);
		d->path = strdup(path);
		STAILQ_INIT(&d->changes);
		image_load(d);
		LIST_INSERT_HEAD(&shim.disks, d, link);
	}
	pthread_mutex_unlock(&shim.lock);
	return d;
}

static void disk_free(struct disk *d)
{
	disk_forget_changes(d, false);
	free(d->image);
	free(d->path);
	free(d);
}

static void write_image(const struct disk *d, const char *to)
{
	FILE *out = fopen(to, "wb");

	assert(out != NULL);
	size_t n = d->n > 0 ? fwrite(d->image, 1, d->n, out) : 0;
	assert(n == d->n);
	int rc = fclose(out);
	assert(rc == 0);
}

static void cut_one(const char *path, const char *to, unsigned *seed)
{
	struct disk *d = disk_find_locked(path);
	struct disk copy = {0};
	const struct change *c;

	if (d == NULL)
		return;
	if (d->n > 0)
		image_write(&copy, 0, d->image, d->n);
	STAILQ_FOREACH (c, &d->changes, link) {
		*seed = *seed * 1664525u + 1013904223u;
		unsigned dice = *seed >> 16;
		size_t n = c->n > 0 ? (size_t)c->n : 0;
		if (dice % 3 == 0)
			continue;
		if (dice % 3 == 1 && n > SECTOR)
			n = n / SECTOR * (dice / 3 % SECTOR) / SECTOR * SECTOR;
		image_apply(&copy, c, n);
	}
	write_image(&copy, to);
	free(copy.image);
}

void vfs_shim_power_cut(const char *path, const char *to, unsigned seed)
{
	char from_wal[512], to_wal[512];

	snprintf(from_wal, sizeof(from_wal), "%s-wal", path);
	snprintf(to_wal, sizeof(to_wal), "%s-wal", to);
	pthread_mutex_lock(&shim.lock);
	cut_one(path, to, &seed);
	cut_one(from_wal, to_wal, &seed);
	pthread_mutex_unlock(&shim.lock);
}

/* --- files
 * ------------------------------------------------------------------------------------------ */

static struct shim_file *shim_of(sqlite3_file *f)
{
	return (struct shim_file *)f;
}

#define REAL(f) (shim_of(f)->real)

static int on_close(sqlite3_file *f)
{
	return REAL(f)->pMethods->xClose(REAL(f));
}

static int on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return REAL(f)->pMethods->xRead(REAL(f), p, n, at);
}

static int on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	pthread_mutex_lock(&shim.lock);
	int rc = verdict_locked(VFS_SHIM_WRITE);
	if (rc == SQLITE_OK && shim_of(f)->disk != NULL)
		disk_change(shim_of(f)->disk, at, p, n);
	pthread_mutex_unlock(&shim.lock);
	return rc != SQLITE_OK ? rc : REAL(f)->pMethods->xWrite(REAL(f), p, n, at);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	pthread_mutex_lock(&shim.lock);
	if (shim_of(f)->disk != NULL)
		disk_change(shim_of(f)->disk, size, NULL, -1);
	pthread_mutex_unlock(&shim.lock);
	return REAL(f)->pMethods->xTruncate(REAL(f), size);
}

/* The real sync is left out: the medium is our image. */
static int on_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	pthread_mutex_lock(&shim.lock);
	int rc = verdict_locked(VFS_SHIM_SYNC);
	if (rc == SQLITE_OK && shim_of(f)->disk != NULL)
		disk_forget_changes(shim_of(f)->disk, true);
	pthread_mutex_unlock(&shim.lock);
	return rc;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), ret);
}

static int on_lock(sqlite3_file *f, int level)
{
	return REAL(f)->pMethods->xLock(REAL(f), level);
}

static int on_unlock(sqlite3_file *f, int level)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), level);
}

static int on_reserved(sqlite3_file *f, int *ret)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int on_sector(sqlite3_file *f)
{
	(void)f;
	return SECTOR;
}

/* No promise that a page written is a page whole. */
static int on_traits(sqlite3_file *f)
{
	(void)f;
	return 0;
}

static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, ret);
}

static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
	REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int on_shm_unmap(sqlite3_file *f, int remove)
{
	return REAL(f)->pMethods->xShmUnmap(REAL(f), remove);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_reserved,
	.xFileControl = on_control,
	.xSectorSize = on_sector,
	.xDeviceCharacteristics = on_traits,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
	struct shim_file *sf = shim_of(f);

	(void)vfs;
	sf->real = (sqlite3_file *)(sf + 1);
	sf->disk =
		path && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) ? disk_get(path) : NULL;
	int rc = shim.real->xOpen(shim.real, path, sf->real, flags, ret_flags);
	sf->base.pMethods = sf->real->pMethods ? &methods : NULL;
	return rc;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	(void)vfs;
	pthread_mutex_lock(&shim.lock);
	struct disk *d = disk_find_locked(path);
	if (d != NULL) {
		disk_forget_changes(d, false);
		d->n = 0;
	}
	pthread_mutex_unlock(&shim.lock);
	return shim.real->xDelete(shim.real, path, sync_folder);
}

void vfs_shim_install(void)
{
	shim.real = sqlite3_vfs_find(NULL);
	shim.vfs = *shim.real;
	shim.vfs.zName = "shim";
	shim.vfs.szOsFile = (int)sizeof(struct shim_file) + shim.real->szOsFile;
	shim.vfs.xOpen = on_open;
	shim.vfs.xDelete = on_delete;
	sqlite3_vfs_register(&shim.vfs, 1);
}

void vfs_shim_uninstall(void)
{
	struct disk *d;

	sqlite3_vfs_register(shim.real, 1);
	sqlite3_vfs_unregister(&shim.vfs);
	while ((d = LIST_FIRST(&shim.disks)) != NULL) {
		LIST_REMOVE(d, link);
		disk_free(d);
	}
	vfs_shim_heal();
}
