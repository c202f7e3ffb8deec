/* SPDX-License-Identifier: MIT */
/*
 * raw: see raw.h. With `keep` it removes in the same transaction what an append makes too many. A
 * channel's rows stand channel_n numbers apart here, which makes removing them cheap to aim.
 */
#include "bench/store/raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/common.h"
#include "store/sqlite_connection.h"

static const char *const texts[RAW_SQL_COUNT] = {
	[RAW_BEGIN] = "BEGIN IMMEDIATE",
	[RAW_COMMIT] = "COMMIT",
	[RAW_CHANNEL] = "INSERT INTO channel(id, name, head, floor, oldest, count, bytes, head_ts,"
			" oldest_ts) VALUES(?1, 'bench' || ?1, 0, 0, 0, 0, 0, 0, 0)",
	[RAW_INSERT] = "INSERT INTO message(seq, channel, prev, ts, kind, type, payload, expires)"
		       " VALUES(?1, ?2, ?3, ?4, 1, NULL, ?5, NULL)",
	[RAW_UPDATE] = "UPDATE channel SET head = ?2, floor = ?3, count = ?4, head_ts = ?5"
		       " WHERE id = ?1",
	[RAW_DELETE] = "DELETE FROM message WHERE channel = ?1 AND seq <= ?2",
	[RAW_READ] = "SELECT seq, channel, prev, ts, kind, type, payload, expires FROM message"
		     " WHERE channel = 1 AND seq > ?1 ORDER BY seq LIMIT ?2",
};

__attribute__((noreturn)) static void raw_die(const struct raw *r, const char *what)
{
	die("raw SQLite: %s: %s", what, sqlite3_errmsg(r->db));
}

static void run(struct raw *r, enum raw_sql id)
{
	if (sqlite3_step(r->stmts[id]) != SQLITE_DONE || sqlite3_reset(r->stmts[id]) != SQLITE_OK)
		raw_die(r, texts[id]);
}

static void exec(struct raw *r, const char *sql)
{
	if (sqlite3_exec(r->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		raw_die(r, sql);
}

void raw_open(struct raw *r, const char *folder, bool sync, size_t channel_n, uint64_t keep)
{
	struct problem problem = {""};
	char path[512];

	*r = (struct raw){.channel_n = channel_n, .keep = keep};
	snprintf(path, sizeof(path), "%s/raw.db", folder);
	if (schema_create(path, schema_steps, schema_version, &problem) != 0)
		die("%s", problem.text);
	if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		raw_die(r, path);
	exec(r, "PRAGMA journal_mode = WAL; PRAGMA cache_size = -16384; PRAGMA mmap_size = 0");
	exec(r, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	for (size_t i = 0; i < RAW_SQL_COUNT; i++) {
		if (sqlite3_prepare_v3(r->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &r->stmts[i],
				       NULL) != SQLITE_OK)
			raw_die(r, texts[i]);
	}
	r->heads = must_alloc(channel_n, sizeof(*r->heads));
	r->floors = must_alloc(channel_n, sizeof(*r->floors));
	r->counts = must_alloc(channel_n, sizeof(*r->counts));
	run(r, RAW_BEGIN);
	for (size_t i = 1; i <= channel_n; i++) {
		sqlite3_bind_int64(r->stmts[RAW_CHANNEL], 1, (sqlite3_int64)i);
		run(r, RAW_CHANNEL);
	}
	run(r, RAW_COMMIT);
}

void raw_close(struct raw *r)
{
	for (size_t i = 0; i < RAW_SQL_COUNT; i++)
		sqlite3_finalize(r->stmts[i]);
	if (sqlite3_close(r->db) != SQLITE_OK)
		raw_die(r, "close");
	free(r->heads);
	free(r->floors);
	free(r->counts);
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void insert(struct raw *r, size_t channel, int64_t ts, const char *payload, size_t n)
{
	sqlite3_stmt *stmt = r->stmts[RAW_INSERT];

	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)++r->seq);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)channel + 1);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)r->heads[channel]);
	sqlite3_bind_int64(stmt, 4, ts);
	sqlite3_bind_blob64(stmt, 5, payload, n, SQLITE_STATIC);
	run(r, RAW_INSERT);
	r->heads[channel] = r->seq;
	r->counts[channel]++;
}

static void remove_oldest(struct raw *r, size_t channel, uint64_t n)
{
	uint64_t oldest = r->floors[channel] ? r->floors[channel] + r->channel_n : channel + 1;

	r->floors[channel] = oldest + (n - 1) * r->channel_n;
	r->counts[channel] -= n;
	sqlite3_bind_int64(r->stmts[RAW_DELETE], 1, (sqlite3_int64)channel + 1);
	sqlite3_bind_int64(r->stmts[RAW_DELETE], 2, (sqlite3_int64)r->floors[channel]);
	run(r, RAW_DELETE);
	if ((uint64_t)sqlite3_changes64(r->db) != n)
		die("raw SQLite: %lld rows went instead of %llu",
		    (long long)sqlite3_changes64(r->db), (unsigned long long)n);
}

static void update(struct raw *r, size_t channel, int64_t ts)
{
	sqlite3_stmt *stmt = r->stmts[RAW_UPDATE];

	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)channel + 1);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)r->heads[channel]);
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)r->floors[channel]);
	sqlite3_bind_int64(stmt, 4, (sqlite3_int64)r->counts[channel]);
	sqlite3_bind_int64(stmt, 5, ts);
	run(r, RAW_UPDATE);
}

void raw_append(struct raw *r, size_t n, const char *payload, size_t payload_n)
{
	size_t first = (size_t)(r->seq % r->channel_n);
	int64_t ts = wall_ms();

	run(r, RAW_BEGIN);
	for (size_t i = 0; i < n; i++)
		insert(r, (size_t)(r->seq % r->channel_n), ts, payload, payload_n);
	for (size_t i = 0; i < n && i < r->channel_n; i++) {
		size_t channel = (first + i) % r->channel_n;
		if (r->keep != 0 && r->counts[channel] > r->keep)
			remove_oldest(r, channel, r->counts[channel] - r->keep);
		update(r, channel, ts);
	}
	run(r, RAW_COMMIT);
}

size_t raw_read(struct raw *r, uint64_t *after, size_t n)
{
	sqlite3_stmt *stmt = r->stmts[RAW_READ];
	size_t rows = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)*after);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)n);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		*after = (uint64_t)sqlite3_column_int64(stmt, 0);
		for (int i = 1; i < 5; i++)
			sqlite3_column_int64(stmt, i);
		if (sqlite3_column_blob(stmt, 6) == NULL)
			die("raw SQLite: a row without payload");
		rows++;
	}
	if (rc != SQLITE_DONE || sqlite3_reset(stmt) != SQLITE_OK)
		raw_die(r, texts[RAW_READ]);
	return rows;
}

void raw_trim(struct raw *r, size_t n)
{
	run(r, RAW_BEGIN);
	remove_oldest(r, 0, n);
	update(r, 0, wall_ms());
	run(r, RAW_COMMIT);
}
