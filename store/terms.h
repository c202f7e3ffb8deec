/* SPDX-License-Identifier: MIT */
/*
 * terms: what a publish asks for besides being stored, and how that ends. Part of store/history.h,
 * which is what others include.
 * Thread: any (plain values).
 */
#ifndef STORE_TERMS_H
#define STORE_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum expect_kind {
	EXPECT_ANYTHING,
	EXPECT_NOTHING, /* the channel never had a message */
	EXPECT_HEAD,    /* its newest message ever is this one */
};

/* What a publish asks for besides being stored; decided by the log thread when it is its turn. */
struct append_terms {
	struct slice key;      /* empty: none. Not together with producer */
	struct slice producer; /* empty: none */
	uint64_t producer_seq;
	enum expect_kind expect; /* of the channel of the first message */
	uint64_t expect_seq;
	uint64_t ttl_ms;   /* 0: none */
	bool is_scattered; /* a batch over several channels: its key is of no one channel */
};

enum append_outcome {
	APPEND_STORED,
	APPEND_DUPLICATE,    /* was stored before: first, stored_n and durability tell what */
	APPEND_PRODUCER_GAP, /* a number of its producer was left out; told: the one expected */
	APPEND_CONFLICT,     /* the head is not what was expected; told: the head, 0: none */
};

#endif
