/* SPDX-License-Identifier: MIT */
/* sqlite_rig: the SQLite engine on a file of its own, opened when the test says so. Thread: the
 * test's. */
#ifndef TESTS_UNIT_STORE_SQLITE_RIG_H
#define TESTS_UNIT_STORE_SQLITE_RIG_H

#include "tests/unit/store/store_test.h"

struct sqlite_rig {
	const struct store_engine *e;
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct store *s;
	struct problem problem;
	struct test_rows rows;
};

/* Set-up and tear-down of cmocka: state is the rig, nothing is open. */
int sqlite_rig_set_up(void **state);
int sqlite_rig_tear_down(void **state);
/* Open the file; made when it is not there. Problems are in the rig's. */
int rig_try_open(struct sqlite_rig *f, const char *path);
void rig_open(struct sqlite_rig *f);
void rig_close(struct sqlite_rig *f);
/* Append n messages of 100 bytes to channel a, from seq `from` on. */
void rig_fill(struct sqlite_rig *f, uint64_t from, size_t n);
/* Messages that a reader finds in channel a. */
size_t rig_count_rows(struct sqlite_rig *f);

#endif
