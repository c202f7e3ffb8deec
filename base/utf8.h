/* SPDX-License-Identifier: MIT */
/*
 * utf8: incremental validation (RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF), which says no at the first bad byte.
 * Thread: any (pure).
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct utf8_state {
	uint8_t need; /* continuation bytes still to come */
	uint8_t low;  /* allowed range of the next byte */
	uint8_t high;
};

#define UTF8_START ((struct utf8_state){0, 0x80, 0xbf})

/* Feed n bytes. Return how many were good: n, or the offset of the first byte that cannot be part
 * of valid UTF-8 (then s is of no use any more). */
size_t utf8_scan(struct utf8_state *s, const void *p, size_t n);
/* The same as a predicate. False at the first byte that cannot be part of valid UTF-8. */
bool utf8_feed(struct utf8_state *s, const void *p, size_t n);
/* True when no character is left unfinished. */
static inline bool utf8_is_complete(const struct utf8_state *s)
{
	return s->need == 0;
}
bool utf8_is_valid(const void *p, size_t n);

#endif
