/* SPDX-License-Identifier: MIT */
/*
 * store_test: what the tests of store/ share: an own folder, namespaces, messages, and page reads.
 * Thread: any (nothing is shared).
 */
#ifndef TESTS_UNIT_STORE_STORE_TEST_H
#define TESTS_UNIT_STORE_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"

/* A fresh folder; the test's own. */
void test_folder_make(char folder[64]);
/* Remove it with the files in it. */
void test_folder_remove(const char *folder);
/* How many entries are in it. */
size_t test_folder_count(const char *folder);

/* [0] default, [1] "few": 3 per channel, [2] "young": 1000 ms, [3] "small": 100 bytes in all, [4]
 * "ram": durability memory, [5] "safe": durability sync. */
struct namespace_table *test_namespaces(void);

struct message *test_message(const char *channel, uint64_t seq, uint64_t prev, int64_t ts_ms,
			     const char *payload);
/* Append one message to the store, with the right prev. */
void test_append(const struct store_engine *e, struct store *s, const char *channel, uint64_t seq,
		 int64_t ts_ms, const char *payload);

/* Rows of a read. */
struct test_rows {
	size_t n;
	struct message *m[4096];
};
void test_row(void *arg, struct message *m);
void test_rows_clear(struct test_rows *r);
/* Everything of one channel after `after`. */
void test_read_channel(const struct store_engine *e, struct store_reader *r, const char *channel,
		       uint64_t after, struct test_rows *ret);
/* Trim until all is within its limits; return how many went. */
size_t test_trim(const struct store_engine *e, struct store *s, int64_t now_ms, size_t row_max);

#endif
