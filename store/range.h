/* SPDX-License-Identifier: MIT */
/*
 * range: what is asked of the log and what it answers: channels or prefixes, from where to where,
 * with bounds. Part of the engine's contract (store/store.h) and of the queries of store/history.h.
 * Thread: that of the reader that is asked.
 */
#ifndef STORE_RANGE_H
#define STORE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* A channel that has lost messages, to retention or a purge. */
struct store_loss {
	uint64_t floor; /* as in store_range */
	uint64_t oldest;
	uint8_t name_n;
	char name[UINT8_MAX];
};

#define STORE_LOSS_MAX 16

/* What the channels of a prefix have lost. */
struct store_losses {
	bool more; /* others have too, or it would take too long to find out */
	size_t n;
	struct store_loss each[STORE_LOSS_MAX]; /* in no order */
};

/* One channel of a range read, or all whose names begin with a prefix. The engine fills head, floor
 * and oldest. */
struct store_range {
	struct slice channel;
	bool is_prefix; /* `channel` is the prefix, and may be empty */
	uint64_t after; /* rows with seq > after */
	uint32_t last;  /* when not 0: ignore after and start so that the newest `last` messages ≤
			   upto that have not expired follow; the engine writes the resulting start
			   into after */
	/* of a prefix */
	uint64_t before;     /* with last: count only messages ≤ before; 0: ≤ upto */
	uint64_t lost_after; /* losses with a floor up to here are known to the asker */
	/* answers */
	uint64_t head;   /* newest seq of the channel ever given out; 0: none. Not of a prefix */
	uint64_t floor;  /* highest seq of the channel that is no longer there; 0: nothing was
			    removed. Of a prefix: the highest of its losses, or higher */
	uint64_t oldest; /* oldest seq still there; 0: the channel holds nothing. Not of a prefix */
	/* of a prefix */
	struct store_losses *losses; /* those beyond lost_after and after (0 with last); NULL:
					none. The asker frees it */
	bool is_partial; /* with last: it was too far to find them all within scan_max: `last` more
			    ≤ `before` are wanted. No rows were given at all, and of ranges that are
			    not partial only `after` is good: ask again */
};

struct store_read {
	struct store_range *ranges; /* different channels; prefixes may overlap them and each
				       other: a row is given once */
	size_t range_n;
	uint64_t upto;   /* rows with seq ≤ upto */
	size_t row_max;  /* stop after so many rows … */
	size_t byte_max; /* … or once their payloads passed so many bytes (at least one row is
			    given) */
	size_t scan_max; /* … or once so many rows of other channels were looked at for a prefix */
	/* answers */
	uint64_t reached; /* every row of the ranges with seq ≤ reached has been given; == upto when
			     complete. Beyond the smallest `after`, unless a range is partial */
	size_t scanned;   /* rows looked at for prefixes */
};

#endif
