/* SPDX-License-Identifier: MIT */
/*
 * histogram: how often which value came, in buckets that are a 64th of their value wide, so that a
 * quantile is right to 1.6 %; the largest value is kept as it is. All zero is empty. Thread: any
 * one.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 64

struct histogram {
	uint64_t n, max;
	uint64_t buckets[HISTOGRAM_STEPS * 60];
};

void histogram_add(struct histogram *h, uint64_t value);
/* The value below which this part (0 to 1) of all lies: the middle of its bucket. */
double histogram_quantile(const struct histogram *h, double part);

#endif
