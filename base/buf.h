/* SPDX-License-Identifier: MIT */
/*
 * buf: growable bytes with a hard cap. A zeroed struct with a cap is an empty buf that owns
 * nothing. Once an append would pass the cap the buf is `failed`, keeps what it had, and every
 * later append fails too: build the whole text, then check once. Without memory, one of more than
 * 64 KiB with a cap of its own (not 0, not SIZE_MAX) fails in the same way; any other ends the
 * process.
 * Thread: one at a time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/obj.h"
#include "base/slice.h"

struct buf {
	char *p;      /* not NUL-terminated; NULL while empty */
	size_t n;     /* bytes used */
	size_t room;  /* bytes allocated */
	size_t cap;   /* hard limit for n; 0 means BUF_CAP_DEFAULT */
	bool failed;  /* an append did not fit */
	bool is_lent; /* p is somebody else's: never freed */
};

#define BUF_CAP_DEFAULT ((size_t)64 << 20)

void buf_init(struct buf *b, size_t cap);
/* An empty one that begins in `room` bytes of the caller's, and has its own only if these are not
 * enough: for texts that are short as a rule. */
void buf_init_lent(struct buf *b, size_t cap, char *p, size_t room);
/* Free the bytes; the buf is empty and usable again, with the same cap. */
void buf_fini(struct buf *b);
/* Forget the bytes, keep the memory. Clears failed. */
void buf_clear(struct buf *b);
/* Make room for n more bytes. Return 0, or -ENOBUFS beyond the cap. */
int buf_reserve(struct buf *b, size_t n);
/* Append. Return 0, or -ENOBUFS (then nothing was appended and failed is set). */
static inline int buf_add(struct buf *b, const void *p, size_t n);
static inline int buf_add_slice(struct buf *b, struct slice s);
static inline int buf_add_str(struct buf *b, const char *s);
static inline int buf_add_char(struct buf *b, char c);
int buf_add_u64(struct buf *b, uint64_t v);
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Drop n bytes from the front. */
void buf_consume(struct buf *b, size_t n);
static inline struct slice buf_slice(const struct buf *b)
{
	return slice_make(b->p ? b->p : "", b->n);
}

/* --- here, because texts are made of many short pieces, of known length for the most part --- */

/* buf_add() where there is no room yet. */
int buf_add_grow(struct buf *b, const void *p, size_t n);

static inline int buf_add(struct buf *b, const void *p, size_t n)
{
	size_t cap = b->cap ? b->cap : BUF_CAP_DEFAULT;
	size_t room = b->room < cap ? b->room : cap;

	if (b->failed || b->n > room || n > room - b->n)
		return buf_add_grow(b, p, n);
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

static inline int buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}

static inline int buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

static inline int buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

#endif
