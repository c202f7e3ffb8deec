/* SPDX-License-Identifier: MIT */
/*
 * frame: bytes made once and shared by reference.
 *
 * DESIGN. One allocation per frame: head and bytes together. The count is a plain int, because a
 * frame lives and dies in one worker; this is what makes a fan-out to ten thousand connections free
 * of atomic operations. A frame must never be put into a letter.
 */
#include "base/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "base/xalloc.h"

struct frame *frame_new(size_t n)
{
	struct frame *f;

	assert(n <= UINT32_MAX);
	f = xmalloc(sizeof(*f) + n);
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
		free(f);
	return NULL;
}
