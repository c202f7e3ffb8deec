/* SPDX-License-Identifier: MIT */
/*
 * subject: Holdfast's log as the daemon uses it, with all its threads and the daemon's defaults,
 * under the load of one publisher with a window. What goes wrong ends the program. Thread: one, it
 * is the worker.
 */
#ifndef BENCH_STORE_SUBJECT_H
#define BENCH_STORE_SUBJECT_H

#include "bench/store/meter.h"
#include "store/history.h"

struct subject_config {
	const char *folder;
	enum durability durability;
	size_t channels;       /* messages go to them in turn */
	size_t batch_messages; /* in one commit at most */
	uint64_t keep;         /* messages kept per channel; 0: all */
	size_t payload_n;
};

struct subject {
	struct subject_config cfg;
	char path[512];
	struct namespace_table *namespaces;
	struct history *history;
	struct mailbox box;
	uint64_t head;
	uint64_t sent;
	size_t in_flight;
	uint64_t answered;
	struct durations acks; /* from the append to its receipt */
	struct query *query;   /* answered */
	char *payload;
};

void subject_open(struct subject *s, const struct subject_config *cfg);
void subject_close(struct subject *s);
/* Keep `window` appends of one message under way for this long, then wait for the last. Return how
 * many were acknowledged. */
uint64_t subject_publish(struct subject *s, size_t window, double seconds);
/* The same for a number of messages. */
void subject_fill(struct subject *s, size_t window, uint64_t n);
/* Read n messages of the first channel from the oldest on, in pages as a returning client gets
 * them. */
void subject_replay(struct subject *s, size_t n);
/* How often the write-ahead log was started anew since the log was made; 0 without one. */
unsigned subject_wal_restarts(const struct subject *s);

#endif
