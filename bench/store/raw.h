/* SPDX-License-Identifier: MIT */
/*
 * raw: SQLite by itself, as a yardstick: the log's own schema and page cache, prepared statements,
 * WAL, one thread that calls it directly, SQLite's own checkpoints. Nothing is asked of it but to
 * write and read the same rows. What goes wrong ends the program. Thread: one.
 */
#ifndef BENCH_STORE_RAW_H
#define BENCH_STORE_RAW_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum raw_sql {
	RAW_BEGIN,
	RAW_COMMIT,
	RAW_CHANNEL,
	RAW_INSERT,
	RAW_UPDATE,
	RAW_DELETE,
	RAW_READ,
	RAW_SQL_COUNT
};

struct raw {
	sqlite3 *db;
	sqlite3_stmt *stmts[RAW_SQL_COUNT];
	uint64_t seq;
	uint64_t keep; /* rows kept per channel; 0: all */
	size_t channel_n;
	uint64_t *heads;  /* of each channel */
	uint64_t *floors; /* … and what was removed */
	uint64_t *counts;
};

/* A new database in this folder. */
void raw_open(struct raw *r, const char *folder, bool sync, size_t channel_n, uint64_t keep);
void raw_close(struct raw *r);
/* One transaction of n rows, over the channels in turn. */
void raw_append(struct raw *r, size_t n, const char *payload, size_t payload_n);
/* Read up to n rows of channel 0 after *after, all columns; moves *after. Return how many. */
size_t raw_read(struct raw *r, uint64_t *after, size_t n);
/* One transaction: remove the n oldest rows of channel 0. */
void raw_trim(struct raw *r, size_t n);

#endif
