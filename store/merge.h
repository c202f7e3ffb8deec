/* SPDX-License-Identifier: MIT */
/*
 * merge: which of k cursors stands on the smallest seq? A binary heap of borrowed cursors, for
 * range reads over many channels: a page of N rows from k channels costs k + N steps and log k
 * compares each.
 * Thread: one at a time.
 */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include <stddef.h>
#include <stdint.h>

/* Embedded in the engine's cursor. */
struct merge_cursor {
	uint64_t seq;
};

struct merge {
	struct merge_cursor **heap;
	size_t n;
	size_t room;
};

/* Forget the cursors and make room for n. The memory is kept for the next read. */
void merge_reset(struct merge *m, size_t n);
void merge_fini(struct merge *m);
/* Within the room given to merge_reset. */
void merge_push(struct merge *m, struct merge_cursor *c);
/* The cursor with the smallest seq; NULL when none is left. */
struct merge_cursor *merge_top(const struct merge *m);
/* The top's seq grew: put it where it belongs now. */
void merge_sink(struct merge *m);
/* The top is exhausted: drop it. */
void merge_pop(struct merge *m);

#endif
