/* SPDX-License-Identifier: MIT */
/*
 * buf: growable bytes with a hard cap.
 *
 * DESIGN. Room doubles, so that appends are cheap on average, and stops at the cap, so that no peer
 * decides how much memory we use. A refused append sets `failed`, and from then on all appends are
 * refused: a text with a hole in the middle must never look whole to somebody who checks only the
 * last return value.
 *
 * When memory is gone, a large buf with a cap of its own gives the same answer as at the cap: such
 * bufs hold what peers send, and their owners look at it. All others hold what we write ourselves,
 * and nobody could make use of half an answer: as every small allocation (xalloc.h), they end the
 * process.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"
#include "base/xalloc.h"

#define ROOM_FIRST 64
#define SMALL      ((size_t)64 << 10)

static size_t cap_of(const struct buf *b)
{
	return b->cap ? b->cap : BUF_CAP_DEFAULT;
}

void buf_init(struct buf *b, size_t cap)
{
	*b = (struct buf){.cap = cap};
}

void buf_init_lent(struct buf *b, size_t cap, char *p, size_t room)
{
	*b = (struct buf){.p = p, .room = room, .cap = cap, .is_lent = true};
}

void buf_fini(struct buf *b)
{
	size_t cap = b->cap;

	if (!b->is_lent)
		free(b->p);
	buf_init(b, cap);
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

/* Move to so much room. */
static bool move(struct buf *b, size_t room)
{
	bool may_fail = room > SMALL && b->cap != 0 && b->cap != SIZE_MAX;
	char *old = b->is_lent ? NULL : b->p;
	char *p = may_fail ? realloc(old, room) : xrealloc(old, room);

	if (p == NULL)
		return false;
	if (b->is_lent)
		memcpy(p, b->p, b->n);
	b->is_lent = false;
	b->p = p;
	b->room = room;
	return true;
}

/* Make room for n more bytes within the cap, and for `extra` that are not counted against it. */
static int make_room(struct buf *b, size_t n, size_t extra)
{
	size_t cap = cap_of(b);
	size_t room, need;

	if (b->failed || n > cap || b->n > cap - n)
		return -ENOBUFS;
	need = b->n + n + extra;
	if (need <= b->room)
		return 0;
	room = b->room > cap / 2 ? cap : b->room * 2;
	if (room < ROOM_FIRST)
		room = ROOM_FIRST;
	if (room < need)
		room = need;
	return move(b, room) ? 0 : -ENOBUFS;
}

/* make_room() for an append, which leaves its mark when it fails. */
static int make_room_or_fail(struct buf *b, size_t n, size_t extra)
{
	int rc = make_room(b, n, extra);

	if (rc < 0)
		b->failed = true;
	return rc;
}

int buf_reserve(struct buf *b, size_t n)
{
	return make_room(b, n, 0);
}

int buf_add_grow(struct buf *b, const void *p, size_t n)
{
	int rc = make_room_or_fail(b, n, 0);

	if (rc < 0)
		return rc;
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

int buf_add_u64(struct buf *b, uint64_t v)
{
	char digits[DIGITS_U64];

	return buf_add(b, digits, digits_write(digits, v));
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t room = b->room - b->n;
	int n, rc;

	if (b->failed)
		return -ENOBUFS;
	/* Most texts fit into the room there is: then one pass is enough. */
	va_start(ap, fmt);
	n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	/* vsnprintf wants room for its NUL, which is not ours and so does not count. */
	rc = make_room_or_fail(b, (size_t)n, 1);
	if (rc < 0)
		return rc;
	if ((size_t)n >= room) {
		va_start(ap, fmt);
		vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
	return 0;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->n);
	b->n -= n;
	if (b->n > 0 && n > 0)
		memmove(b->p, b->p + n, b->n);
}
