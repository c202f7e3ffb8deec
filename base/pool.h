/* SPDX-License-Identifier: MIT */
/*
 * pool: objects of one size that are many and live long (a connection, its session, its
 * subscriptions), packed: no header in front of each, no rounding up, and nothing else between
 * them. What malloc hands out for the short life of a request leaves holes among such objects that
 * hardly anything fits into later.
 *
 * A zeroed struct is an empty pool. The size is that of the first pool_take().
 * Thread: its owner's.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

#include "base/list.h"

struct pool_block;

struct pool {
	LIST_HEAD(, pool_block) roomy;  /* blocks with room and with objects */
	LIST_HEAD(, pool_block) spares; /* a few without */
	unsigned spare_n;
};

/* A zeroed object of this many bytes (a multiple of 8), the same for all of a pool. Never NULL. */
void *pool_take(struct pool *p, size_t size) __attribute__((returns_nonnull));
/* Back to the pool that it is from. NULL is fine. */
void pool_give(struct pool *p, void *object);
/* Everything has been given back. */
void pool_fini(struct pool *p);

#endif
