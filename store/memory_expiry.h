/* SPDX-License-Identifier: MIT */
/*
 * memory_expiry: which item of the memory engine expires next: a heap whose entries know their
 * place, so that retention can take any of them out. Inside the memory engine only.
 * Thread: log (under the engine's lock).
 */
#ifndef STORE_MEMORY_EXPIRY_H
#define STORE_MEMORY_EXPIRY_H

#include <stddef.h>
#include <stdint.h>

struct expiry_entry {
	int64_t at_ms;
	size_t place; /* in the heap, from 1 on; 0: not in it */
};

struct expiry {
	struct expiry_entry **heap;
	size_t n;
	size_t room;
};

void expiry_fini(struct expiry *e);
void expiry_add(struct expiry *e, struct expiry_entry *entry, int64_t at_ms);
/* Fine for one that is not in it. */
void expiry_remove(struct expiry *e, struct expiry_entry *entry);
/* The one that expires first; NULL when there is none. */
struct expiry_entry *expiry_first(const struct expiry *e);

#endif
