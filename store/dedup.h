/* SPDX-License-Identifier: MIT */
/*
 * dedup: which publishes were there before. Asked while a round is numbered; what it learns is
 * written by the engines in the transaction of the messages.
 * Thread: log.
 */
#ifndef STORE_DEDUP_H
#define STORE_DEDUP_H

#include "store/store.h"

struct append;
struct dedup_pending;
struct history;

/* The two places where messages are kept. */
enum place {
	PLACE_MAIN, /* the configured engine */
	PLACE_SIDE, /* memory, for namespaces with durability memory; absent when the main one is
		       memory */
	PLACE_COUNT
};

struct dedup {
	struct dedup_pending *pending; /* map: what this round is about to remember */
	struct dedup_record *records[PLACE_COUNT];
	size_t record_n[PLACE_COUNT];
	size_t record_room[PLACE_COUNT];
};

/* A round is numbered from its start: what was pending is void. */
void dedup_reset(struct dedup *d);
void dedup_fini(struct dedup *d);
/* Set a->outcome, and what belongs to it, by its key or producer; APPEND_STORED: it may go on.
 * Return 0 or negative errno of a store. */
int dedup_judge(struct history *h, struct append *a);
/* It was numbered: remember it with the commit. */
void dedup_note(struct history *h, const struct append *a);
/* Hand what is to be remembered there to the engine; its append must follow. */
void dedup_stage(struct history *h, enum place place);

#endif
