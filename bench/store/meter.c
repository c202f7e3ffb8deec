/* SPDX-License-Identifier: MIT */
/*
 * meter: a bucket is the position of the highest bit and the five bits below it, so that its
 * width is 1/32 of its value.
 */
#include "bench/store/meter.h"

#include <time.h>

#define STEPS 32u

uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t bucket_of(uint64_t ns)
{
	unsigned high = 63u - (unsigned)__builtin_clzll(ns | 1);

	if (high < 5)
		return (size_t)ns;
	size_t i = (high - 4) * STEPS + ((ns >> (high - 5)) & (STEPS - 1));
	return i < DURATION_BUCKETS ? i : DURATION_BUCKETS - 1;
}

/* The smallest value of the next bucket. */
static uint64_t bucket_end(size_t i)
{
	if (i < STEPS)
		return i + 1;
	uint64_t step = STEPS + i % STEPS;
	return (step + 1) << (i / STEPS - 1);
}

void durations_add(struct durations *d, uint64_t ns)
{
	d->n++;
	d->buckets[bucket_of(ns)]++;
	if (ns > d->max_ns)
		d->max_ns = ns;
}

void durations_merge(struct durations *to, const struct durations *from)
{
	to->n += from->n;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (size_t i = 0; i < DURATION_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

uint64_t durations_at(const struct durations *d, double p)
{
	uint64_t rank = (uint64_t)(p * (double)d->n), seen = 0;

	for (size_t i = 0; i < DURATION_BUCKETS; i++) {
		seen += d->buckets[i];
		if (seen > rank)
			return bucket_end(i) < d->max_ns ? bucket_end(i) : d->max_ns;
	}
	return d->max_ns;
}
