/* SPDX-License-Identifier: MIT */
/*
 * conn_out: the out queue of a connection: references to shared frames, and the writev that moves
 * them.
 *
 * DESIGN. A queue is a list of small chunks of frame pointers. Chunks come from a bounded freelist
 * in conn_env, so that fanning a message out to ten thousand connections takes no malloc in the
 * steady state, and an idle connection owns no chunk at all. Bytes are never copied: one writev
 * gathers up to IOV_BATCH frames as they are.
 *
 *   chunk:  [head … tail) are in use; head > 0 in the first chunk only, tail < SLOTS in the last
 *
 * The first frame may be partially written (offset); such a frame is never dropped, or the
 * peer's framing would break.
 *
 * It must never call the owner or close the connection: it only reports.
 */
#include <assert.h>
#include <errno.h>

#include "net/conn_private.h"

#define CHUNK_SLOTS 14 /* 128 bytes a chunk: most turns queue one frame or two per connection */
#define FREE_MAX    8192
#define IOV_BATCH   64

struct conn_chunk {
	struct conn_chunk *next;
	uint16_t head, tail;
	uint32_t offset; /* in the first chunk: bytes of its first frame already written */
	struct frame *slots[CHUNK_SLOTS];
};

static_assert(sizeof(struct conn) <= 184, "idle connections are many");

static struct conn_chunk *chunk_get(struct conn_env *env)
{
	struct conn_chunk *k = env->free_chunks;
	if (k) {
		env->free_chunks = k->next;
		env->free_chunk_n--;
	} else {
		k = pool_take(&env->chunks, sizeof(*k));
	}
	k->next = NULL;
	k->head = k->tail = 0;
	k->offset = 0;
	return k;
}

static void chunk_put(struct conn_env *env, struct conn_chunk *k)
{
	if (env->free_chunk_n >= FREE_MAX) {
		pool_give(&env->chunks, k);
		return;
	}
	k->next = env->free_chunks;
	env->free_chunks = k;
	env->free_chunk_n++;
}

void conn_out_chunks_clear(struct conn_env *env)
{
	while (env->free_chunks) {
		struct conn_chunk *k = env->free_chunks;
		env->free_chunks = k->next;
		pool_give(&env->chunks, k);
	}
	env->free_chunk_n = 0;
}

/* Append without touching the reference count or out_bytes. */
static void queue_append(struct conn *c, struct frame *f)
{
	struct conn_chunk *k = c->out_last;
	if (!c->out_first || k->tail == CHUNK_SLOTS) {
		k = chunk_get(c->env);
		if (c->out_first)
			c->out_last->next = k;
		else
			c->out_first = k;
		c->out_last = k;
	}
	k->slots[k->tail++] = f;
}

/* Unlink the first frame and give it, with its reference, to the caller; NULL when the queue is
 * empty. */
static struct frame *queue_shift(struct conn *c)
{
	struct conn_chunk *k = c->out_first;
	if (!k)
		return NULL;
	struct frame *f = k->slots[k->head++];
	if (k->head == k->tail) {
		c->out_first = k->next;
		chunk_put(c->env, k);
	} else {
		k->offset = 0;
	}
	return f;
}

void conn_out_push(struct conn *c, struct frame *f)
{
	if (f->n == 0)
		return; /* an empty iovec would look like a socket that takes nothing */
	queue_append(c, frame_ref(f));
	c->out_bytes += f->n;
}

void conn_out_clear(struct conn *c)
{
	struct frame *f;
	while ((f = queue_shift(c)))
		frame_unref(f);
	c->out_bytes = 0;
}

int conn_out_gather(const struct conn *c, struct iovec *iov, int max)
{
	size_t offset = c->out_first->offset;
	int n = 0;

	for (const struct conn_chunk *k = c->out_first; k && n < max; k = k->next) {
		for (unsigned i = k->head; i < k->tail && n < max; i++, n++) {
			iov[n].iov_base = k->slots[i]->bytes + offset;
			iov[n].iov_len = k->slots[i]->n - offset;
			offset = 0;
		}
	}
	return n;
}

/* Let go of the frames that are through. */
void conn_out_advance(struct conn *c, size_t n)
{
	assert(n <= c->out_bytes);
	c->out_bytes -= n;
	c->out_total += n;
	count_add(c->env->counters, COUNTER_BYTES_OUT, (int64_t)n);
	while (n > 0) {
		struct conn_chunk *k = c->out_first;
		size_t left = k->slots[k->head]->n - k->offset;
		if (n < left) {
			k->offset += (uint32_t)n;
			return;
		}
		n -= left;
		frame_unref(queue_shift(c));
	}
}

int conn_out_write(struct conn *c)
{
	while (c->out_first) {
		struct iovec iov[IOV_BATCH];
		int k = conn_out_gather(c, iov, IOV_BATCH);
		ssize_t n = c->io->writev(c, iov, k);
		count_inc(c->env->counters, COUNTER_WRITES);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EAGAIN;
		/* After a partial write the next one asks the kernel again: only its EAGAIN
		 * makes sure that an edge-triggered event will come. */
		conn_out_advance(c, (size_t)n);
	}
	return 0;
}

uint64_t conn_drop_messages(struct conn *c)
{
	struct conn_chunk *k = c->out_first;
	uint32_t offset = k ? k->offset : 0;
	bool keep_first = offset > 0; /* a frame that is partially written must go on */
	uint64_t lowest = 0;

	c->out_first = NULL;
	while (k) {
		for (unsigned i = k->head; i < k->tail; i++) {
			struct frame *f = k->slots[i];
			if (keep_first || !f->is_message) {
				keep_first = false;
				queue_append(c, f);
				continue;
			}
			if (f->seq && (lowest == 0 || f->seq < lowest))
				lowest = f->seq;
			c->out_bytes -= f->n;
			frame_unref(f);
		}
		struct conn_chunk *next = k->next;
		chunk_put(c->env, k);
		k = next;
	}
	if (offset > 0)
		c->out_first->offset = offset;
	if (c->want_drain)
		conn_call_on_drain(c, c->drain_mark);
	return lowest;
}
