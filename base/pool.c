/* SPDX-License-Identifier: MIT */
/*
 * pool: see the header.
 *
 * DESIGN. Objects stand in blocks of BLOCK bytes, which are aligned to their size, so that an
 * object's block is found from its address. A block hands out what was given back to it first, then
 * what has never been used: pages that nobody needs are never touched. Blocks that are full are on
 * no list; those with room are on the pool's. One that is empty is kept for the next who come, if
 * there are not enough of those already, or goes back to the kernel: a thousand that come and go
 * together make no system calls.
 *
 * Under AddressSanitizer each object is an allocation of its own, or it would not see that one is
 * used after it was given back.
 */
#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/obj.h"
#include "base/xalloc.h"

#define BLOCK  ((size_t)64 << 10)
#define MAGIC  0x504f4f4cu
#define SPARES 4 /* blocks */

struct given {
	struct given *next;
};

struct pool_block {
	unsigned magic;
	uint16_t size;               /* of an object */
	uint16_t n;                  /* objects that are out */
	uint32_t fresh;              /* where what has never been used begins */
	struct given *given;         /* what was given back */
	LIST_ENTRY(pool_block) link; /* le_prev NULL: it is full, and on no list */
};

static struct pool_block *block_of(void *object)
{
	struct pool_block *b = (struct pool_block *)((uintptr_t)object & ~(uintptr_t)(BLOCK - 1));

	CHECK_OBJ(b, MAGIC);
	return b;
}

static bool has_room(const struct pool_block *b)
{
	return b->given || b->fresh + b->size <= BLOCK;
}

/* Keep it: with objects, or without. */
static void list_block(struct pool *p, struct pool_block *b)
{
	if (b->n > 0) {
		LIST_INSERT_HEAD(&p->roomy, b, link);
	} else {
		LIST_INSERT_HEAD(&p->spares, b, link);
		p->spare_n++;
	}
}

static void unlist_block(struct pool_block *b)
{
	LIST_REMOVE(b, link);
	b->link.le_prev = NULL;
}

static struct pool_block *take_spare(struct pool *p)
{
	struct pool_block *b = LIST_FIRST(&p->spares);

	if (b) {
		unlist_block(b);
		p->spare_n--;
	}
	return b;
}

static struct pool_block *block_new(size_t size)
{
	struct pool_block *b = xpages(BLOCK);

	assert(size >= sizeof(struct given) && size % 8 == 0 && size <= UINT16_MAX / 8);
	b->magic = MAGIC;
	b->size = (uint16_t)size;
	b->fresh = sizeof(*b);
	return b;
}

static void *take_from(struct pool_block *b)
{
	void *object = b->given;

	b->n++;
	if (object) {
		b->given = b->given->next;
		return memset(object, 0, b->size);
	}
	object = (char *)b + b->fresh;
	b->fresh += b->size;
	return object;
}

void *pool_take(struct pool *p, size_t size)
{
	if (XALLOC_IS_CHECKED)
		return xcalloc(1, size);
	struct pool_block *b = LIST_FIRST(&p->roomy);
	if (!b)
		b = take_spare(p);
	if (!b)
		b = block_new(size);
	assert(b->size == size);
	void *object = take_from(b);
	if (b->n == 1 && has_room(b))
		list_block(p, b);
	else if (b->n > 1 && !has_room(b))
		unlist_block(b);
	return object;
}

void pool_give(struct pool *p, void *object)
{
	if (XALLOC_IS_CHECKED || !object) {
		free(object);
		return;
	}
	struct pool_block *b = block_of(object);
	struct given *g = object;
	assert(b->n > 0);
	g->next = b->given;
	b->given = g;
	b->n--;
	if (b->n > 0 && b->link.le_prev)
		return;
	if (b->link.le_prev)
		unlist_block(b);
	if (b->n > 0 || p->spare_n < SPARES)
		list_block(p, b);
	else
		munmap(b, BLOCK);
}

void pool_fini(struct pool *p)
{
	struct pool_block *b;

	assert(LIST_EMPTY(&p->roomy));
	while ((b = take_spare(p)))
		munmap(b, BLOCK);
}
