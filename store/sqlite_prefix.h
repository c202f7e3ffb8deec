/* SPDX-License-Identifier: MIT */
/*
 * sqlite_prefix: range reads over all channels whose names begin with a prefix; the part of a read
 * that sqlite_read.c leaves to it. Inside the SQLite engine only.
 * Thread: the reader's.
 */
#ifndef STORE_SQLITE_PREFIX_H
#define STORE_SQLITE_PREFIX_H

#include "store/sqlite_engine.h"

/* A prefix with at most so many channels is read channel by channel, others by a walk over the log.
 */
#define PREFIX_CHANNELS_MAX 256

/* Answer the questions of all prefixes and put cursors on the heap for their rows. Return 0, 1 when
 * one is partial and no rows shall be given, or negative errno. */
int prefixes_start(struct store_reader *r, struct store_read *q);
/* Does the cursor walk over the log for all prefixes? Then it is moved by prefixes_step(): 1 when
 * it stands on a message, 0 when there is none up to r->limit, or negative errno. */
bool prefixes_own(const struct store_reader *r, const struct sql_cursor *cur);
int prefixes_step(struct store_reader *r, struct store_read *q);
/* Rows looked at by this read. */
size_t prefixes_scanned(const struct store_reader *r);
void prefixes_free(struct sql_prefixes *p);

#endif
