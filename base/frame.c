/* SPDX-License-Identifier: MIT */
/*
 * frame: bytes made once and shared by reference.
 *
 * DESIGN. One allocation per frame: head and bytes together. The count is a plain int, because a
 * frame lives and dies in one worker; this is what makes a fan-out to ten thousand connections free
 * of atomic operations. A frame must never be put into a letter.
 *
 * A thousand answers to a thousand polls are made together and gone together, again and again: what
 * the C library does then (join neighbours, and cut them up anew) is dear. So small frames that are
 * freed are kept, a list per size and thread, for the next ones. They are malloc's as before: where
 * one is freed does not matter.
 */
#include "base/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "base/xalloc.h"

#define STEP      64                /* bytes between sizes */
#define SIZES     32                /* of which are kept */
#define SPARE_MAX ((size_t)1 << 20) /* bytes of a thread */

struct spare {
	struct spare *next;
};

static _Thread_local struct spare *spares[SIZES];
static _Thread_local size_t spare_bytes;

/* In steps. */
static size_t size_of(size_t n)
{
	return (sizeof(struct frame) + n + STEP - 1) / STEP;
}

static struct frame *take(size_t size)
{
	struct spare *s = size < SIZES ? spares[size] : NULL;

	if (s == NULL)
		return xmalloc(size * STEP);
	spares[size] = s->next;
	spare_bytes -= size * STEP;
	return (struct frame *)s;
}

static void give(struct frame *f)
{
	size_t size = size_of(f->n);
	struct spare *s = (struct spare *)f;

	if (XALLOC_IS_CHECKED || size >= SIZES || spare_bytes + size * STEP > SPARE_MAX) {
		free(f);
		return;
	}
	s->next = spares[size];
	spares[size] = s;
	spare_bytes += size * STEP;
}

void frames_trim(void)
{
	for (size_t size = 0; size < SIZES; size++)
		while (spares[size] != NULL)
			free(take(size));
}

struct frame *frame_new(size_t n)
{
	struct frame *f;

	assert(n <= UINT32_MAX);
	f = take(size_of(n));
	f->refs = 1;
	f->n = (uint32_t)n;
	f->seq = 0;
	f->is_secret = false;
	f->is_message = false;
	return f;
}

struct frame *frame_copy(struct slice bytes)
{
	struct frame *f = frame_new(bytes.n);

	if (bytes.n > 0)
		memcpy(f->bytes, bytes.p, bytes.n);
	return f;
}

struct frame *frame_unref(struct frame *f)
{
	if (f == NULL)
		return NULL;
	assert(f->refs > 0);
	if (--f->refs == 0)
		give(f);
	return NULL;
}
