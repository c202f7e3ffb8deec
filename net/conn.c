/* SPDX-License-Identifier: MIT */
/*
 * conn: the life of one socket and its input; conn_out.c has the out queue.
 *
 * DESIGN
 *
 * The socket is watched for reading and hang-up all its life, edge-triggered. Pausing is a flag and
 * costs no system call, and a paused connection still hears of FIN and RST, which a level-triggered
 * one could not without spinning on unread bytes. What an edge has told and nobody has read yet:
 * c->readable. For writing it is watched only while the socket is full.
 *
 * All reads go into one buffer per thread. Only what the owner leaves unconsumed is copied to
 * c->rest, so an idle connection owns nothing but its struct.
 *
 * Output, kept input, end of file and drains are dealt with in one task at the end of the turn. So
 * conn_send never calls anybody back, and everything of a turn leaves in one writev.
 *
 * LIFE CYCLE (c->state)
 *
 *   OPEN       conn_new     events run, the owner is called
 *   FINISHING  conn_finish  the queue leaves, then FIN; input is discarded until the peer's FIN,
 *                           linger_ms or DISCARD_MAX bytes
 *   CLOSED     conn_over    fd closed, on_closed called; memory goes at the end of the turn
 *
 * It must never call the owner from inside conn_send, touch a connection after an owner's call
 * without looking at its state, or keep an event on a closed fd.
 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/obj.h"
#include "base/xalloc.h"
#include "net/conn_batch.h"
#include "net/conn_private.h"

#define READ_BUFFER 65536
#define READ_TURN_MAX \
	(4 * READ_BUFFER)       /* per connection and turn, so that one flood starves nobody */
#define DISCARD_MAX (16u << 20) /* a client that still sends after its refusal */

static _Thread_local char read_buffer[READ_BUFFER];
static atomic_uint_fast64_t last_id;

static void conn_over(struct conn *c, enum close_reason reason);

/* --- the plain socket ------------------------------------------------------------------------ */

static ssize_t plain_read(struct conn *c, void *p, size_t n)
{
	ssize_t got;
	do
		got = recv(c->fd, p, n, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static ssize_t plain_writev(struct conn *c, const struct iovec *iov, int n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	ssize_t put;
	do /* one frame is the usual case, and cheaper without a message header */
		put = n == 1 ? send(c->fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
			     : sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	return put < 0 ? -errno : put;
}

static void plain_shutdown(struct conn *c)
{
	shutdown(c->fd, SHUT_WR);
}

const struct conn_io conn_io_plain = {
	.name = "plain",
	.read = plain_read,
	.writev = plain_writev,
	.shutdown = plain_shutdown,
};

static enum close_reason reason_of_errno(int err)
{
	return err == ETIMEDOUT ? CLOSE_TIMED_OUT : CLOSE_RESET;
}

/* --- what few connections have --------------------------------------------------------------- */

static void on_timer(struct loop_timer *t);

/* To write to; made when there is none. */
static struct conn_rest *rest_of(struct conn *c)
{
	if (!c->rest) {
		c->rest = xcalloc(1, sizeof(*c->rest));
		c->rest->conn = c;
		loop_timer_init(&c->rest->timer, on_timer);
	}
	return c->rest;
}

/* If nothing is in it any more. */
static void drop_rest(struct conn *c)
{
	struct conn_rest *r = c->rest;

	if (r->in.n > 0 || r->discarded > 0 || loop_timer_is_set(&r->timer))
		return;
	free(r);
	c->rest = NULL;
}

/* --- input ----------------------------------------------------------------------------------- */

static size_t kept_n(const struct conn *c)
{
	return c->rest ? c->rest->in.n : 0;
}

static void drop_kept(struct conn *c)
{
	if (!c->rest)
		return;
	buf_fini(&c->rest->in);
	drop_rest(c);
}

static size_t in_max(const struct conn *c)
{
	return c->env->in_max ? c->env->in_max : CONN_IN_MAX;
}

static bool can_read(const struct conn *c)
{
	if (c->got_eof)
		return false;
	if (c->state == CONN_OPEN)
		return c->reading && kept_n(c) < in_max(c);
	return c->state == CONN_FINISHING;
}

static unsigned wanted(const struct conn *c)
{
	return WATCH_READ | WATCH_HANGUP | (c->watches_write ? WATCH_WRITE : 0) |
	       (c->is_fresh ? WATCH_FRESH : 0);
}

/* Its first request or handshake is done: it is served like all others from now on. When that
 * fails, it goes on as one of those who came last. */
static void settle(struct conn *c)
{
	c->is_fresh = false;
	if (watch_settle(c->env->loop, &c->watch, c->fd, wanted(c)) != 0)
		c->is_fresh = true;
}

/* Give bytes to the owner; return how many it took. */
static size_t offer(struct conn *c, struct slice bytes)
{
	c->offering = true;
	size_t used = c->ops->on_input(c, bytes);
	c->offering = false;
	assert(used <= bytes.n);
	if (c->is_fresh && used > 0 && c->state != CONN_CLOSED)
		settle(c);
	return used;
}

static void offer_kept(struct conn *c)
{
	c->offer_due = false;
	if (kept_n(c) == 0)
		return;
	size_t used = offer(c, buf_slice(&c->rest->in));
	if (c->state != CONN_OPEN || used == kept_n(c))
		drop_kept(c);
	else
		buf_consume(&c->rest->in, used);
}

/* can_read() keeps in.n below in_max, and n ≤ READ_BUFFER: this fits, if there is memory. */
static int keep(struct conn *c, const char *p, size_t n)
{
	struct buf *in = &rest_of(c)->in;

	if (in->n == 0)
		buf_init(in, in_max(c) + READ_BUFFER);
	return buf_add(in, p, n);
}

static void take_input(struct conn *c, const char *p, size_t n)
{
	c->in_total += n;
	count_add(c->env->counters, COUNTER_BYTES_IN, (int64_t)n);
	if (c->state == CONN_FINISHING) {
		rest_of(c)->discarded += (uint32_t)n;
		if (c->rest->discarded > DISCARD_MAX)
			conn_over(c, CLOSE_NORMAL);
		return;
	}
	if (kept_n(c) > 0) {
		if (keep(c, p, n) < 0)
			conn_over(c, CLOSE_TOO_BIG);
		else
			offer_kept(c);
		return;
	}
	size_t used = offer(c, slice_make(p, n));
	if (c->state == CONN_OPEN && used < n && keep(c, p + used, n - used) < 0)
		conn_over(c, CLOSE_TOO_BIG);
}

static void take_eof(struct conn *c)
{
	c->got_eof = true;
	if (c->state == CONN_OPEN)
		c->ops->on_eof(c);
	else if (c->state == CONN_FINISHING && c->fin_sent)
		conn_over(c, CLOSE_NORMAL);
}

static void read_some(struct conn *c)
{
	size_t budget = READ_TURN_MAX;

	/* Until it would block, or has given less than it was asked for; but a hang-up that came
	 * with the last bytes makes no edge of its own. */
	c->readable = true;
	while (budget > 0 && can_read(c)) {
		ssize_t n = c->io->read(c, read_buffer, sizeof(read_buffer));
		if (n == -EAGAIN || n == -EWOULDBLOCK) {
			c->readable = false;
			return;
		}
		if (n < 0) {
			conn_over(c, reason_of_errno((int)-n));
			return;
		}
		if (n == 0) {
			c->readable = false;
			take_eof(c);
			return;
		}
		c->readable = c->io != &conn_io_plain || c->fin_seen || n == READ_BUFFER;
		budget -= (size_t)n < budget ? (size_t)n : budget;
		take_input(c, read_buffer, (size_t)n);
		if (!c->readable)
			return;
	}
	if (c->state != CONN_CLOSED)
		loop_at_end(c->env->loop, &c->flush); /* which arms the edge again */
}

/* Something happened that nobody wants to read now: is it the end? */
static void look_for_hangup(struct conn *c)
{
	int err = 0;
	socklen_t n = sizeof(err);

	c->readable = true;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err != 0) {
		conn_over(c, reason_of_errno(err));
		return;
	}
	if (c->fin_seen && c->watch_hangup && !c->got_eof) {
		c->eof_due = true;
		loop_at_end(c->env->loop, &c->flush);
	}
}

static void on_writable(struct conn *c);

static void on_socket_event(struct watch *w, unsigned what)
{
	struct conn *c = container_of(w, struct conn, watch);
	CHECK_OBJ(c, CONN_MAGIC);
	if ((what & WATCH_WRITE) && c->watches_write)
		on_writable(c);
	if (!(what & (WATCH_READ | WATCH_HANGUP)))
		return;
	if (what & WATCH_HANGUP)
		c->fin_seen = true;
	if (!can_read(c))
		look_for_hangup(c);
	else if (c->offer_due && kept_n(c) > 0)
		c->readable = true; /* what was kept comes first, at the end of the turn */
	else
		read_some(c);
}

static int watch_for(struct conn *c)
{
	return watch_change(c->env->loop, &c->watch, c->fd, wanted(c));
}

/* An edge that was told already is told again in the next turn. */
static void rearm_read(struct conn *c)
{
	c->readable = false;
	if (watch_for(c) != 0)
		conn_over(c, CLOSE_OVERLOAD);
}

/* --- output ---------------------------------------------------------------------------------- */

static void on_writable(struct conn *c)
{
	c->writing_blocked = false;
	c->drain_later = false;
	loop_at_end(c->env->loop, &c->flush);
}

static void watch_writable(struct conn *c)
{
	if (c->watches_write)
		return;
	c->watches_write = true;
	if (watch_for(c) != 0) {
		c->broken = CLOSE_OVERLOAD + 1;
		loop_at_end(c->env->loop, &c->flush);
	}
}

static void unwatch_writable(struct conn *c)
{
	if (!c->watches_write)
		return;
	c->watches_write = false;
	if (watch_for(c) != 0) {
		c->broken = CLOSE_OVERLOAD + 1;
		loop_at_end(c->env->loop, &c->flush);
	}
}

static void set_timer(struct conn *c, uint64_t ms)
{
	loop_timer_set(c->env->loop, &rest_of(c)->timer, ms);
}

static void clear_timer(struct conn *c)
{
	if (!c->rest)
		return;
	loop_timer_clear(c->env->loop, &c->rest->timer);
	drop_rest(c);
}

static void send_fin(struct conn *c)
{
	c->fin_sent = true;
	c->io->shutdown(c);
	if (c->got_eof || c->env->linger_ms == 0)
		conn_over(c, CLOSE_NORMAL);
	else
		set_timer(c, c->env->linger_ms);
}

/* Bytes that the kernel holds and the peer has not taken. */
static uint32_t kernel_queue(const struct conn *c)
{
	int n = 0;
	return ioctl(c->fd, SIOCOUTQ, &n) == 0 ? (uint32_t)n : 0;
}

static void expect_progress(struct conn *c)
{
	if (c->env->write_timeout_ms == 0)
		return;
	set_timer(c, c->env->write_timeout_ms);
	c->rest->kernel_queue = kernel_queue(c);
}

/* What a write came to; when the socket is full, the poller says when to go on. */
static int note_write(struct conn *c, int r, uint64_t before)
{
	if (r != -EAGAIN && r != -EWOULDBLOCK)
		return r;
	c->writing_blocked = true;
	watch_writable(c);
	if (c->out_total != before || !c->rest || !loop_timer_is_set(&c->rest->timer))
		expect_progress(c);
	return -EAGAIN;
}

static int write_or_wait(struct conn *c)
{
	uint64_t before = c->out_total;

	return note_write(c, conn_out_write(c), before);
}

static void after_write(struct conn *c, int r)
{
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		conn_over(c, reason_of_errno(-r));
		return;
	}
	clear_timer(c);
	if (!c->drain_later)
		unwatch_writable(c);
	if (c->state == CONN_FINISHING)
		send_fin(c);
}

static void tell_drain(struct conn *c)
{
	if (c->state != CONN_OPEN || !c->want_drain || c->drain_later ||
	    c->out_bytes > c->drain_mark)
		return;
	c->want_drain = false;
	if (!c->ops->on_drain)
		return;
	c->draining = true;
	c->ops->on_drain(c);
	c->draining = false;
}

static void on_timer(struct loop_timer *t)
{
	struct conn *c = container_of(t, struct conn_rest, timer)->conn;
	CHECK_OBJ(c, CONN_MAGIC);
	/* The socket is writable only when a good part of a large buffer is free: a slow reader may
	 * have taken much and still not have caused an event. */
	if (!c->fin_sent && kernel_queue(c) < c->rest->kernel_queue)
		expect_progress(c);
	else
		conn_over(c, CLOSE_WRITE_TIMEOUT); /* or lingering ends: then the reason is set */
}

static void end_turn(struct conn *c)
{
	tell_drain(c);
	if (c->readable && can_read(c))
		rearm_read(c);
}

static void on_end_of_turn(struct loop_task *t)
{
	struct conn *c = container_of(t, struct conn, flush);
	CHECK_OBJ(c, CONN_MAGIC);
	if (c->broken)
		conn_over(c, (enum close_reason)(c->broken - 1));
	if (c->offer_due && c->state == CONN_OPEN && c->reading)
		offer_kept(c);
	if (c->eof_due && c->state == CONN_OPEN) {
		c->eof_due = false;
		take_eof(c);
	}
	if (c->state != CONN_CLOSED && !c->writing_blocked && !c->fin_sent) {
		if (c->out_first && conn_batch_add(c))
			return; /* conn_flushed() goes on */
		after_write(c, write_or_wait(c));
	}
	end_turn(c);
}

void conn_flushed(struct conn *c, int r, uint64_t before)
{
	CHECK_OBJ(c, CONN_MAGIC);
	if (c->state != CONN_CLOSED && !c->writing_blocked && !c->fin_sent)
		after_write(c, note_write(c, r, before));
	end_turn(c);
}

/* --- life ------------------------------------------------------------------------------------ */

static void read_peer(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	c->is_unix = true; /* also for what cannot be asked any more */
	if (getpeername(c->fd, (struct sockaddr *)&ss, &n) != 0)
		return;
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
		c->peer.addr[10] = c->peer.addr[11] = 0xff;
		memcpy(c->peer.addr + 12, &in->sin_addr, 4);
		c->peer.port = ntohs(in->sin_port);
		c->is_unix = false;
	} else if (ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
		memcpy(c->peer.addr, &in6->sin6_addr, 16);
		c->peer.port = ntohs(in6->sin6_port);
		c->is_unix = false;
	}
}

static void set_options(const struct conn *c)
{
	if (c->is_unix)
		return;
	/* A refused option costs speed, not correctness. */
	int one = 1;
	unsigned ms = c->env->tcp_user_timeout_ms;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (ms)
		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

struct conn *conn_new(struct conn_env *env, int fd, const struct conn_io *io,
		      const struct conn_ops *ops, void *owner)
{
	loop_assert(env->loop);
	struct conn *c = pool_take(&env->conns, sizeof(*c));
	c->magic = CONN_MAGIC;
	c->fd = fd;
	c->env = env;
	c->io = io;
	c->ops = ops;
	c->owner = owner;
	c->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	c->opened_ms = (uint32_t)loop_now_ms(env->loop);
	c->reading = true;
	read_peer(c);
	set_options(c);
	loop_task_init(&c->flush, on_end_of_turn);
	LIST_INSERT_HEAD(&env->all, c, link);
	env->n++;
	count_inc(env->counters, COUNTER_CONNECTIONS);
	c->watch.fn = on_socket_event;
	c->is_fresh = true;
	if (watch_add(env->loop, &c->watch, fd, wanted(c)) != 0) {
		c->broken = CLOSE_OVERLOAD + 1; /* the kernel's limit of watched descriptors */
		loop_at_end(env->loop, &c->flush);
	}
	return c;
}

void conn_env_fini(struct conn_env *env)
{
	assert(env->n == 0);
	pool_fini(&env->conns);
	pool_fini(&env->chunks);
}

void conn_set_owner(struct conn *c, const struct conn_ops *ops, void *owner)
{
	CHECK_OBJ(c, CONN_MAGIC);
	c->ops = ops;
	c->owner = owner;
	if (c->state != CONN_OPEN)
		return;
	c->want_drain = false; /* that was the old owner's wish */
	c->offer_due = true;
	c->eof_due = c->got_eof;
	loop_at_end(c->env->loop, &c->flush);
}

static void conn_free(void *p)
{
	struct conn *c = p;
	CHECK_OBJ(c, CONN_MAGIC);
	drop_kept(c);
	free(c->rest);
	c->magic = 0;
	pool_give(&c->env->conns, c);
}

/* The only way to CLOSED. A reason that conn_finish has given stands. */
static void conn_over(struct conn *c, enum close_reason reason)
{
	struct conn_env *env = c->env;

	if (c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_OPEN)
		c->close_reason = reason;
	c->state = CONN_CLOSED;
	watch_remove(env->loop, &c->watch, c->fd);
	clear_timer(c);
	loop_at_end_cancel(env->loop, &c->flush);
	conn_out_clear(c);
	close(c->fd);
	c->fd = -1;
	LIST_REMOVE(c, link);
	env->n--;
	if (env->n == 0)
		conn_out_chunks_clear(env);
	count_add(env->counters, COUNTER_CONNECTIONS, -1);
	count_inc(env->counters, close_reason_info((enum close_reason)c->close_reason)->counter);
	if (c->ops) /* or it never had an owner */
		c->ops->on_closed(c, (enum close_reason)c->close_reason);
	loop_free_later(env->loop, c, conn_free);
	if (env->on_room)
		env->on_room(env);
}

void conn_send(struct conn *c, struct frame *f)
{
	CHECK_OBJ(c, CONN_MAGIC);
	if (c->state != CONN_OPEN)
		return;
	conn_out_push(c, f);
	if (!c->writing_blocked)
		loop_at_end(c->env->loop, &c->flush);
}

void conn_write_now(struct conn *c)
{
	if (c->state != CONN_OPEN || c->writing_blocked || c->broken)
		return;
	int r = write_or_wait(c);
	if (r < 0 && r != -EAGAIN) {
		c->broken = reason_of_errno(-r) + 1u;
		loop_at_end(c->env->loop, &c->flush);
	}
}

void conn_send_bytes(struct conn *c, struct slice bytes)
{
	if (c->state != CONN_OPEN || bytes.n == 0)
		return;
	struct frame *f = frame_copy(bytes);
	conn_send(c, f);
	frame_unref(f);
}

void conn_call_on_drain(struct conn *c, size_t mark)
{
	if (c->state != CONN_OPEN)
		return;
	c->want_drain = true;
	c->drain_mark = mark < UINT32_MAX ? (uint32_t)mark : UINT32_MAX;
	if (c->draining) {
		/* A peer that takes everything at once must not keep this turn from ending: the
		 * writable event of the next one goes on. */
		c->drain_later = true;
		watch_writable(c);
		return;
	}
	loop_at_end(c->env->loop, &c->flush);
}

void conn_pause(struct conn *c, bool watch_hangup)
{
	c->reading = false;
	c->watch_hangup = watch_hangup;
	if (watch_hangup && c->state == CONN_OPEN && (c->fin_seen || c->got_eof)) {
		c->eof_due = true;
		loop_at_end(c->env->loop, &c->flush);
	}
}

void conn_resume(struct conn *c)
{
	if (c->reading || c->state != CONN_OPEN)
		return;
	c->reading = true;
	c->watch_hangup = false;
	c->eof_due = c->eof_due && c->got_eof;
	c->offer_due = true;
	loop_at_end(c->env->loop, &c->flush);
}

void conn_finish(struct conn *c, enum close_reason reason)
{
	CHECK_OBJ(c, CONN_MAGIC);
	if (c->state != CONN_OPEN)
		return;
	c->state = CONN_FINISHING;
	c->close_reason = reason;
	c->want_drain = false;
	if (!c->offering)
		drop_kept(c); /* inside on_input the owner still looks at it */
	loop_at_end(c->env->loop, &c->flush);
}

void conn_close(struct conn *c, enum close_reason reason)
{
	CHECK_OBJ(c, CONN_MAGIC);
	conn_over(c, reason);
}

bool conn_is_open(const struct conn *c)
{
	return c->state == CONN_OPEN;
}

const char *conn_peer_text(const struct conn *c, char out[64])
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
	char host[INET6_ADDRSTRLEN] = "";

	if (c->is_unix) {
		snprintf(out, 64, "unix");
	} else if (memcmp(c->peer.addr, v4_mapped, sizeof(v4_mapped)) == 0) {
		inet_ntop(AF_INET, c->peer.addr + 12, host, sizeof(host));
		snprintf(out, 64, "%s:%u", host, c->peer.port);
	} else {
		inet_ntop(AF_INET6, c->peer.addr, host, sizeof(host));
		snprintf(out, 64, "[%s]:%u", host, c->peer.port);
	}
	return out;
}
