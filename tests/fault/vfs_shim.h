/* SPDX-License-Identifier: MIT */
/*
 * vfs_shim: a disk that fails on demand. A SQLite VFS over the real one, for the database and the
 * write-ahead log: it makes writes and syncs fail, and it remembers which bytes were synced, so
 * that a test can look at the disk as a power cut would leave it. Thread: any, after
 * vfs_shim_install().
 */
#ifndef TESTS_FAULT_VFS_SHIM_H
#define TESTS_FAULT_VFS_SHIM_H

#include <stdbool.h>

enum vfs_shim_kind {
	VFS_SHIM_WRITE, /* and growing the index of the write-ahead log */
	VFS_SHIM_SYNC,
	VFS_SHIM_KIND_COUNT
};

/* Make it the default VFS of the process. */
void vfs_shim_install(void);
void vfs_shim_uninstall(void);
/* From the n-th call of the kind on (1: the next one), `times` calls fail with this SQLite code;
 * times -1: until vfs_shim_heal(). */
void vfs_shim_fail(enum vfs_shim_kind kind, int n, int times, int code);
void vfs_shim_heal(void);
/* Calls of the kind since the last vfs_shim_heal(). */
int vfs_shim_count(enum vfs_shim_kind kind);
/* Write path and path-wal as a power cut would leave them into to and to-wal: what was synced, and
 * of each write since then, by seed, all, nothing, or its first sectors. Nothing may use the
 * database meanwhile. */
void vfs_shim_power_cut(const char *path, const char *to, unsigned seed);

#endif
