/* SPDX-License-Identifier: MIT */
/*
 * memory_dedup: remembered publishes of the memory engine, bounded by time and by number. Inside
 * the memory engine only.
 * Thread: log.
 */
#ifndef STORE_MEMORY_DEDUP_H
#define STORE_MEMORY_DEDUP_H

#include "base/list.h"
#include "store/store.h"

struct mem_memo;
TAILQ_HEAD(mem_memo_list, mem_memo);

struct mem_dedup {
	struct mem_memo *memos; /* map by name */
	struct mem_memo_list order;
	size_t n;
	size_t max;       /* ≥ 1 */
	uint64_t dropped; /* forgotten before their time */
	const struct dedup_record *staged;
	size_t staged_n;
};

void mem_dedup_init(struct mem_dedup *d, size_t max);
void mem_dedup_fini(struct mem_dedup *d);
/* As in store_dedup_ops. */
int mem_dedup_find_key(const struct mem_dedup *d, struct slice channel, struct slice key,
		       struct dedup_row *ret);
int mem_dedup_find_producer(const struct mem_dedup *d, struct slice producer,
			    struct dedup_row *ret);
/* Remember what was staged. */
void mem_dedup_write(struct mem_dedup *d);
/* Forget at most max of those that have expired. True: there may be more. */
bool mem_dedup_forget(struct mem_dedup *d, int64_t now_ms, size_t max);

#endif
