/* SPDX-License-Identifier: MIT */
/*
 * map: uthash with a keyed hash, because keys come from strangers (SipHash-2-4 of libsodium, key
 * made at start by map_seed()). Out of memory ends the process as in xalloc.h; uthash by itself
 * would call exit(-1) without a word. Include this, never uthash.h. One map belongs to one thread.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdint.h>
#include <stdlib.h>

#include "base/xalloc.h"

unsigned map_hash(const void *key, size_t n);
/* Draw the key of the process. Call once, before any thread starts; without it the key is all zero.
 */
void map_seed(void);

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = map_hash((keyptr), (keylen)))
#define uthash_malloc(size)                  xmalloc(size)
#include <uthash.h>

#endif
