/* SPDX-License-Identifier: MIT */
/*
 * memory_engine: what the files of the memory engine share.
 *
 *   memory.c         the table of functions: append, retention, range reads, listing
 *   memory_ack.c     positions of durable subscribers
 *   memory_dedup.c   remembered publishes
 *   memory_expiry.c  which message expires next
 *   memory_prefix.c  the log of all messages, and reads of all channels with a prefix
 *
 * Thread: under struct store.lock, as memory.c says.
 */
#ifndef STORE_MEMORY_ENGINE_H
#define STORE_MEMORY_ENGINE_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "store/memory_ack.h"
#include "store/memory_dedup.h"
#include "store/memory_expiry.h"
#include "store/merge.h"
#include "store/store.h"

#define STORE_MAGIC  0x4d454d31u
#define READER_MAGIC 0x4d454d32u

struct mem_channel;

struct item {
	TAILQ_ENTRY(item) in_ns;
	struct mem_channel *channel;
	struct message *m;
	struct expiry_entry expiry;
};
TAILQ_HEAD(item_list, item);

struct mem_channel {
	UT_hash_handle hh;
	TAILQ_ENTRY(mem_channel) in_over;  /* holds more than its namespace allows */
	TAILQ_ENTRY(mem_channel) in_empty; /* holds nothing; longest first */
	TAILQ_ENTRY(mem_channel) in_cut;   /* has lost messages; the latest first */
	struct item *
		*ring; /* room is a power of two; slot of the i-th oldest: (first + i) % room */
	size_t room;
	size_t first;
	size_t n;
	uint64_t bytes;
	uint64_t head;
	uint64_t floor;
	uint64_t cut_top; /* the log's newest seq when a message was last removed; 0: never */
	int64_t head_ts_ms;
	size_t ns; /* index into the namespace table */
	bool is_over;
	uint8_t name_n;
	char name[];
};
TAILQ_HEAD(mem_channel_list, mem_channel);

struct mem_namespace {
	struct item_list items; /* rising seq */
	uint64_t bytes;
};

struct mem_entry {
	uint64_t seq;
	struct item *item; /* NULL: removed */
};

/* All messages in rising seq: a ring as in mem_channel, with holes where messages were removed. */
struct mem_log {
	struct mem_entry *entries;
	size_t room;
	size_t first;
	size_t n;    /* entries, holes included; the first is none */
	size_t live; /* without holes */
};

struct store {
	unsigned magic;
	pthread_rwlock_t lock; /* guards everything below */
	const struct namespace_table *namespaces;
	struct mem_namespace *ns;     /* one per entry of namespaces */
	struct mem_channel *channels; /* map by name */
	struct mem_channel_list over;
	struct mem_channel_list empty;
	struct mem_channel_list cut;
	struct mem_log log;
	size_t empty_n;
	uint64_t unknown_floor; /* floor of channels that are not in the map */
	uint64_t top;
	int64_t top_ts_ms;
	struct mem_acks acks;
	struct store_ack *const *staged; /* the log thread's: for the next append */
	size_t staged_n;
	struct epoch epoch;
	struct expiry expiry;
	struct mem_dedup dedup; /* the log thread's, without the lock */
};

struct mem_cursor {
	struct merge_cursor at;
	const struct mem_channel *channel;
	size_t i; /* i-th oldest */
	const struct item *item;
};

struct store_reader {
	unsigned magic;
	struct store *s;
	struct mem_cursor *cursors;
	size_t room;
	struct merge merge;
};

static inline struct item *channel_item(const struct mem_channel *c, size_t i)
{
	return c->ring[(c->first + i) & (c->room - 1)];
}

/* --- memory_prefix.c ------------------------------------------------------------------------- */

void mem_log_append(struct store *s, struct item *it);
void mem_log_remove(struct store *s, const struct item *it);
/* A message of the channel was removed. */
void mem_note_cut(struct store *s, struct mem_channel *c);

/* The walk over the log that serves all prefixes of one read. */
struct mem_scan {
	struct mem_cursor cursor;
	const struct store *s;
	bool has_prefix;
	size_t next;    /* entry of the log to look at */
	size_t looked;  /* entries looked at */
	uint64_t limit; /* rows beyond this were not looked for */
};

/* Answer the questions of all prefixes. False: one is partial, no rows shall be given. */
bool mem_scan_start(const struct store *s, struct store_read *q, struct mem_scan *scan);
/* Move the cursor to the next row of any prefix; false when there is none up to scan->limit. */
bool mem_scan_next(struct mem_scan *scan, const struct store_read *q);

#endif
