/* SPDX-License-Identifier: MIT */
/*
 * meter: time, and durations in buckets of 3 %, so that a run of any length takes the same memory.
 * The largest is kept exactly. Thread: one.
 */
#ifndef BENCH_STORE_METER_H
#define BENCH_STORE_METER_H

#include <stddef.h>
#include <stdint.h>

#define DURATION_BUCKETS 1024

uint64_t mono_ns(void); /* monotonic */

struct durations {
	uint64_t n;
	uint64_t max_ns;
	uint64_t buckets[DURATION_BUCKETS];
};

void durations_add(struct durations *d, uint64_t ns);
/* All that is in `from` is added to `to`. */
void durations_merge(struct durations *to, const struct durations *from);
/* The upper end of the bucket that the p-th part (0 … 1) falls into; at most the largest. */
uint64_t durations_at(const struct durations *d, double p);

#endif
