/* SPDX-License-Identifier: MIT */
/*
 * backoff.c: full jitter. The server's own wish (Retry-After, the delay of a goodbye) is a floor:
 * the random part comes on top of it only when there was no wish, since a server that drains has
 * spread its clients already.
 */
#include "cli/backoff.h"

uint64_t backoff_next(struct backoff *b, uint64_t floor_ms, uint32_t random)
{
	uint64_t bound = b->base_ms ? b->base_ms : BACKOFF_BASE_MS;
	uint64_t wait;

	for (unsigned i = 0; i < b->tries && bound < BACKOFF_CAP_MS; i++)
		bound *= 2;
	if (bound > BACKOFF_CAP_MS)
		bound = BACKOFF_CAP_MS;
	b->tries++;
	wait = (bound * random) >> 32;
	return wait > floor_ms ? wait : floor_ms;
}

void backoff_reset(struct backoff *b)
{
	b->tries = 0;
}
