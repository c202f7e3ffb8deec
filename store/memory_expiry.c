/* SPDX-License-Identifier: MIT */
/*
 * memory_expiry: a binary heap by time. DESIGN: places are counted from 1, so that a zeroed entry
 * is in no heap, and the parent of i is i / 2.
 */
#include "store/memory_expiry.h"

#include <stdlib.h>

#include "base/xalloc.h"

static void put(struct expiry *e, size_t place, struct expiry_entry *entry)
{
	e->heap[place - 1] = entry;
	entry->place = place;
}

static struct expiry_entry *at(const struct expiry *e, size_t place)
{
	return e->heap[place - 1];
}

static void rise(struct expiry *e, size_t place, struct expiry_entry *entry)
{
	while (place > 1 && at(e, place / 2)->at_ms > entry->at_ms) {
		put(e, place, at(e, place / 2));
		place /= 2;
	}
	put(e, place, entry);
}

static void sink(struct expiry *e, size_t place, struct expiry_entry *entry)
{
	size_t child;

	while ((child = place * 2) <= e->n) {
		if (child < e->n && at(e, child + 1)->at_ms < at(e, child)->at_ms)
			child++;
		if (at(e, child)->at_ms >= entry->at_ms)
			break;
		put(e, place, at(e, child));
		place = child;
	}
	put(e, place, entry);
}

void expiry_fini(struct expiry *e)
{
	free(e->heap);
	*e = (struct expiry){0};
}

void expiry_add(struct expiry *e, struct expiry_entry *entry, int64_t at_ms)
{
	if (e->n == e->room) {
		e->room = e->room ? e->room * 2 : 64;
		e->heap = xrealloc(e->heap, e->room * sizeof(struct expiry_entry *));
	}
	entry->at_ms = at_ms;
	rise(e, ++e->n, entry);
}

void expiry_remove(struct expiry *e, struct expiry_entry *entry)
{
	size_t place = entry->place;

	if (place == 0)
		return;
	entry->place = 0;
	struct expiry_entry *last = at(e, e->n--);
	if (last == entry)
		return;
	if (place > 1 && at(e, place / 2)->at_ms > last->at_ms)
		rise(e, place, last);
	else
		sink(e, place, last);
}

struct expiry_entry *expiry_first(const struct expiry *e)
{
	return e->n > 0 ? at(e, 1) : NULL;
}
