/* SPDX-License-Identifier: MIT */
/*
 * backoff: how long to wait before the next try: full jitter, a random time between zero and a
 * bound that doubles, so that ten thousand clients of one broken node do not come back together.
 * Thread: one at a time (pure but for the caller's random number).
 */
#ifndef CLI_BACKOFF_H
#define CLI_BACKOFF_H

#include <stdint.h>

#define BACKOFF_BASE_MS 500
#define BACKOFF_CAP_MS  20000

struct backoff {
	unsigned tries;   /* failures in a row */
	uint64_t base_ms; /* first bound; 0 means BACKOFF_BASE_MS */
};

/* The wait before the next try; random: any 32 random bits. Never less than floor_ms, which is what
 * the server asked for. */
uint64_t backoff_next(struct backoff *b, uint64_t floor_ms, uint32_t random);
/* It worked: the next failure is a first one. */
void backoff_reset(struct backoff *b);

#endif
