/* SPDX-License-Identifier: MIT */
/*
 * conn_private: what conn.c (life and input) and conn_out.c (the out queue) share; nobody else
 * includes it.
 * Thread: the owner loop's.
 */
#ifndef NET_CONN_PRIVATE_H
#define NET_CONN_PRIVATE_H

#include "net/conn.h"

enum conn_state { CONN_OPEN, CONN_FINISHING, CONN_CLOSED };

/* What few connections have: it goes when nothing is in it. */
struct conn_rest {
	struct conn *conn;
	struct loop_timer timer; /* write timeout and linger */
	uint32_t kernel_queue;   /* SIOCOUTQ when the write timeout was set */
	uint32_t discarded;      /* bytes thrown away while FINISHING */
	struct buf in;           /* what the owner left */
};

/* Append a frame to the out queue; takes a reference of its own. */
void conn_out_push(struct conn *c, struct frame *f);
/* Write until the queue is empty (0), the socket is full (-EAGAIN) or broken (other -errno). */
int conn_out_write(struct conn *c);
/* What is to be written next, in at most max pieces, of which there is at least one. */
int conn_out_gather(const struct conn *c, struct iovec *iov, int max);
/* n bytes of it have left. */
void conn_out_advance(struct conn *c, size_t n);
/* conn_batch has written: r as conn_out_write says, before: out_total at that time. Goes on with
 * what comes after writing. */
void conn_flushed(struct conn *c, int r, uint64_t before);
/* Drop everything. */
void conn_out_clear(struct conn *c);
/* Free the spare chunks of an env that has no connection left. */
void conn_out_chunks_clear(struct conn_env *env);

#endif
