/* SPDX-License-Identifier: MIT */
/*
 * map: the keyed hash behind uthash.
 *
 * DESIGN. Channel names come from strangers. With a hash that anybody can compute, a stranger makes
 * a thousand names fall into one bucket and a lookup walks them all. SipHash with a key drawn at
 * start takes that away. uthash wants 32 bits: both halves of the 64 are folded together.
 *
 * The key must never change while a map has entries, hence: once, before any thread starts.
 */
#include "base/map.h"

#include <sodium.h>
#include <string.h>

static unsigned char map_key[crypto_shorthash_KEYBYTES];

unsigned map_hash(const void *key, size_t n)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint32_t half[2];

	crypto_shorthash(out, key, n, map_key);
	memcpy(half, out, sizeof(half));
	return half[0] ^ half[1];
}

void map_seed(void)
{
	if (sodium_init() < 0)
		abort();
	crypto_shorthash_keygen(map_key);
}
