/* SPDX-License-Identifier: MIT */
/*
 * map: uthash with a keyed hash, because keys come from strangers (SipHash-2-4 of libsodium, key
 * made at start by map_seed()). Include this, never uthash.h. One map belongs to one thread.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdint.h>
#include <stdlib.h>

unsigned map_hash(const void *key, size_t n);
/* Draw the key of the process. Call once, before any thread starts; without it the key is all zero.
 */
void map_seed(void);

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = map_hash((keyptr), (keylen)))
#include <uthash.h>

#endif
