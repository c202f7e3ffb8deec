/* SPDX-License-Identifier: MIT */
/*
 * histogram: the first 64 buckets hold the values 0 to 63, then each power of two has 64 buckets:
 * bucket = 64 × (place of the highest bit − 5) + the six bits behind it.
 */
#include "bench/histogram.h"

void histogram_add(struct histogram *h, uint64_t value)
{
	unsigned shift = value < HISTOGRAM_STEPS ? 0 : 57 - (unsigned)__builtin_clzll(value);
	unsigned bucket = value < HISTOGRAM_STEPS
				  ? (unsigned)value
				  : (shift + 1) * HISTOGRAM_STEPS +
					    (unsigned)((value >> shift) & (HISTOGRAM_STEPS - 1));

	h->buckets[bucket]++;
	h->n++;
	if (value > h->max)
		h->max = value;
}

double histogram_quantile(const struct histogram *h, double part)
{
	uint64_t rank = (uint64_t)(part * (double)h->n), sum = 0;
	unsigned n = sizeof(h->buckets) / sizeof(h->buckets[0]);

	for (unsigned b = 0; b < n && h->n > 0; b++) {
		sum += h->buckets[b];
		if (sum <= rank && sum < h->n)
			continue;
		if (b < HISTOGRAM_STEPS)
			return b;
		double width = (double)(1ull << (b / HISTOGRAM_STEPS - 1));
		double middle = (HISTOGRAM_STEPS + b % HISTOGRAM_STEPS + 0.5) * width;
		return middle < (double)h->max ? middle : (double)h->max;
	}
	return 0;
}
