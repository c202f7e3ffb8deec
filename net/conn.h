/* SPDX-License-Identifier: MIT */
/*
 * conn: one socket. Bytes in are handed to whoever owns the connection now (an HTTP parser, then
 * perhaps a WebSocket); bytes out are frames in a queue, shared by reference, which leave in one
 * writev per loop turn.
 *
 *   OPEN ──conn_finish──▶ FINISHING: queue leaves, FIN, short wait for the peer's FIN ──▶ CLOSED
 *     └────conn_close, peer gone, error───────────────────────────────────────────────▶ CLOSED
 *
 * CLOSED: on_closed has been called once, the fd is closed, and the memory goes at the end of the
 * turn. Nothing is closed or called back inside conn_send: a failing write is seen at the end of
 * the turn. Idle connections own no input or output memory besides this struct.
 *
 * Thread: the owner loop's.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/close_reason.h"
#include "base/counters.h"
#include "base/frame.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/slice.h"
#include "base/watch.h"

#define CONN_MAGIC 0x434f4e4eu

struct conn;
struct conn_batch;
struct conn_chunk; /* some slots of the out queue; spare ones in conn_env */

/* How bytes meet the socket: a plain one here, TLS later. -EAGAIN when it would block; 0 from read:
 * end of stream. Other negative errno: the connection is broken. */
struct conn_io {
	const char *name;
	ssize_t (*read)(struct conn *c, void *p, size_t n);
	ssize_t (*writev)(struct conn *c, const struct iovec *iov, int n);
	void (*shutdown)(struct conn *c); /* no more bytes from us */
};
extern const struct conn_io conn_io_plain;

/* What the owner wants to know. */
struct conn_ops {
	/* Bytes came. Return how many were consumed; the rest is kept and given again, with more
	 * behind it. The owner may finish, close or hand over the connection inside; then the
	 * return value still counts. */
	size_t (*on_input)(struct conn *c, struct slice bytes);
	/* The peer sent FIN. The owner decides: finish, close, or go on writing. */
	void (*on_eof)(struct conn *c);
	/* The out queue has drained to the mark of conn_call_on_drain(). May be NULL. */
	void (*on_drain)(struct conn *c);
	/* The connection is over; called once, c is valid until the end of the turn. The owner lets
	 * go of it. */
	void (*on_closed)(struct conn *c, enum close_reason reason);
};

/* Per worker, shared by its connections; counts and limits. */
struct conn_env {
	struct loop *loop;
	struct counters *counters;
	uint64_t write_timeout_ms; /* the peer takes nothing for so long: closed, WRITE_TIMEOUT */
	uint64_t linger_ms;        /* FINISHING waits so long for the peer's FIN */
	unsigned tcp_user_timeout_ms;
	size_t in_max; /* unconsumed input kept per connection; more stops reading; 0: CONN_IN_MAX
			*/
	size_t n;      /* connections now */
	size_t max;    /* connections at most; 0: no limit but the descriptors */
	void (*on_room)(struct conn_env *env); /* a descriptor was freed (listener waits for it);
						  may be NULL */
	void *room_arg;
	LIST_HEAD(, conn) all;
	struct conn_batch *batch; /* conn_batch.h; NULL: each connection writes for itself */
	/* private */
	struct conn_chunk *free_chunks; /* go with the last connection */
	size_t free_chunk_n;
	struct pool conns, chunks;
};

#define CONN_IN_MAX ((size_t)256 << 10)

struct conn_peer {
	uint16_t port;
	uint8_t addr[16]; /* IPv6 or v4-mapped */
};

struct conn_rest;

/* In the order of use: what sending touches comes first, in two cache lines. Idle connections are
 * many: what few need is a pointer. */
struct conn {
	unsigned magic;
	int fd;
	struct conn_env *env;
	const struct conn_io *io;
	/* private but for is_admin */
	struct conn_chunk *out_first, *out_last; /* the last: while there is a first */
	size_t out_bytes;                        /* queued and not yet written */
	unsigned state : 2;
	unsigned close_reason : 6;
	unsigned broken : 6; /* close_reason + 1 of a failure to be told at the end of the turn */
	bool reading : 1, got_eof : 1, writing_blocked : 1, want_drain : 1;
	bool watches_write : 1; /* while the socket is full */
	bool watch_hangup : 1;  /* paused, and the peer's FIN matters */
	bool readable : 1;      /* the socket may hold bytes that no event will announce again */
	bool fin_seen : 1;      /* the poller saw FIN; bytes may be in front of it */
	bool eof_due : 1;       /* on_eof is to be called at the end of the turn */
	bool offer_due : 1;     /* c->in is to be offered at the end of the turn */
	bool offering : 1;      /* inside on_input */
	bool draining : 1;      /* inside on_drain */
	bool drain_later : 1;   /* on_drain not before the next turn */
	bool fin_sent : 1;
	bool in_batch : 1; /* waits in env->batch to be written */
	bool is_fresh : 1; /* nobody has taken any of its input yet */
	bool is_admin : 1; /* came in through the admin socket */
	bool is_unix : 1;  /* not peer: it has no address, or none that could be had */
	uint32_t drain_mark;
	struct conn_rest *rest; /* NULL: nothing of it */
	/* second line */
	struct loop_task flush;
	uint64_t out_total, in_total; /* bytes; may be read */
	const struct conn_ops *ops;
	void *owner;
	struct watch watch;
	/* third line */
	uint64_t id; /* unique in the process, for logs and `kick` */
	LIST_ENTRY(conn) link;
	uint32_t opened_ms; /* its low half; may be read */
	struct conn_peer peer;
};

/* All connections are gone, and so is what the loop was to free later. */
void conn_env_fini(struct conn_env *env);

/* Takes a connected non-blocking fd; starts reading at once. ops and owner may be set before the
 * loop turns. */
struct conn *conn_new(struct conn_env *env, int fd, const struct conn_io *io,
		      const struct conn_ops *ops, void *owner);
/* Hand the connection to another owner; unconsumed input is offered to it at the end of the turn.
 */
void conn_set_owner(struct conn *c, const struct conn_ops *ops, void *owner);

/* Queue a frame; takes a reference of its own. Ignored unless OPEN. */
void conn_send(struct conn *c, struct frame *f);
/* Queue a copy of bytes. */
void conn_send_bytes(struct conn *c, struct slice bytes);
/* Write what the socket takes now instead of at the end of the turn: a queue that is still long
 * afterwards is the peer's doing, not this turn's. Nothing is called back, a failure is told at the
 * end of the turn. */
void conn_write_now(struct conn *c);
static inline size_t conn_out_bytes(const struct conn *c)
{
	return c->out_bytes;
}
/* Drop every is_message frame of which nothing has been written yet; keep all others. Return the
 * lowest seq among the dropped (0: none had one). */
uint64_t conn_drop_messages(struct conn *c);
/* Call on_drain once, when out_bytes is ≤ mark; at the earliest at the end of this turn. */
void conn_call_on_drain(struct conn *c, size_t mark);

/* Stop reading (back-pressure) and go on. While stopped, a hang-up of the peer is still noticed:
 * RST at once; FIN when reading goes on or, if watch_hangup, at once (EPOLLRDHUP), as on_eof. After
 * conn_resume, input that was kept is offered again at the end of the turn. */
void conn_pause(struct conn *c, bool watch_hangup);
void conn_resume(struct conn *c);

/* Let the queue leave, send FIN, wait for the peer's, close. on_closed(reason) comes at the end,
 * whatever happens to the connection in between: the first reason stands. No more input: what comes
 * is read and thrown away. */
void conn_finish(struct conn *c, enum close_reason reason);
/* Close now, what is queued is lost. on_closed comes before this returns, unless it was called
 * already. */
void conn_close(struct conn *c, enum close_reason reason);
bool conn_is_open(const struct conn *c);

/* "1.2.3.4:567", "[::1]:80" or "unix". */
const char *conn_peer_text(const struct conn *c, char out[64]);

#endif
