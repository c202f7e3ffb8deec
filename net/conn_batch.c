/* SPDX-License-Identifier: MIT */
/*
 * conn_batch: see the header.
 *
 * DESIGN. Connections with something to send stand in a list until all end-of-turn tasks that are
 * queued now have run. Then their sends go into the ring, one submission runs them all, and because
 * each is told not to wait (MSG_DONTWAIT) all results are there when it returns: from outside it is
 * a loop of send() calls, no more. Nothing of the ring outlives the call, so a connection may close
 * at any moment but inside it.
 *
 *   tasks: conn_batch_add, … ─▶ run: fill the ring │ submit │ results: queues advance │
 * conn_flushed
 *
 * Queues advance for all before anybody is called back: a callback may drop what another connection
 * has queued, and must not find frames there that the kernel has taken.
 *
 * Once the ring fails it is given up, and everybody writes for himself.
 */
#include "net/conn_batch.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/obj.h"
#include "base/xalloc.h"
#include "net/conn_private.h"

#define BATCH_MAX    256
#define BATCH_MIN    4 /* fewer are cheaper one by one */
#define IOV_MAX_EACH 24

struct entry {
	struct conn *conn;
	uint64_t before; /* conn's out_total */
	int result;      /* of the send, then of the flush */
	bool is_sent;    /* it was in the ring, and has no result yet */
	struct msghdr msg;
	struct iovec iov[IOV_MAX_EACH];
};

struct conn_batch {
	struct conn_env *env;
	struct loop_task run;
	struct io_uring ring;
	bool is_broken;
	size_t n;
	struct entry entries[BATCH_MAX];
};

/* --- the ring -------------------------------------------------------------------------------- */

static void prepare(struct conn_batch *b, struct entry *e)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);
	int n = conn_out_gather(e->conn, e->iov, IOV_MAX_EACH);

	assert(sqe); /* the ring has BATCH_MAX of them */
	if (n == 1) {
		io_uring_prep_send(sqe, e->conn->fd, e->iov->iov_base, e->iov->iov_len,
				   MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		e->msg = (struct msghdr){.msg_iov = e->iov, .msg_iovlen = (size_t)n};
		io_uring_prep_sendmsg(sqe, e->conn->fd, &e->msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	io_uring_sqe_set_data(sqe, e);
	e->is_sent = true;
}

/* Take the results that are there. */
static size_t reap(struct conn_batch *b)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&b->ring, head, cqe)
	{
		struct entry *e = io_uring_cqe_get_data(cqe);

		e->result = cqe->res;
		e->is_sent = false;
		n++;
	}
	io_uring_cq_advance(&b->ring, n);
	return n;
}

/* All that was prepared gets its result, or the ring is broken. */
static void submit(struct conn_batch *b, size_t prepared)
{
	size_t done = 0;

	while (done < prepared) {
		int rc = io_uring_submit_and_wait(&b->ring, (unsigned)(prepared - done));
		size_t n = reap(b);

		done += n;
		/* want of memory in the kernel, too: an I/O thread does not wait for it to pass */
		if (rc < 0 && rc != -EINTR && n == 0) {
			b->is_broken = true;
			return;
		}
	}
}

/* --- running --------------------------------------------------------------------------------- */

static bool is_wanted(const struct conn *c)
{
	return c->state <= CONN_FINISHING && !c->writing_blocked && c->out_first;
}

static void write_by_itself(struct entry *e)
{
	e->result = is_wanted(e->conn) ? conn_out_write(e->conn) : 0;
}

static void send_together(struct conn_batch *b)
{
	size_t prepared = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct entry *e = &b->entries[i];

		e->is_sent = false;
		e->result = 0;
		if (!is_wanted(e->conn))
			continue;
		prepare(b, e);
		prepared++;
	}
	submit(b, prepared);
	count_inc(b->env->counters, COUNTER_WRITE_BATCHES);
	count_add(b->env->counters, COUNTER_WRITES, (int64_t)prepared);
}

/* What is left after one send, or was not sent at all. */
static void write_rest(struct entry *e)
{
	if (e->is_sent) {
		write_by_itself(e); /* the ring is broken: nobody has taken it */
	} else if (e->result > 0) {
		conn_out_advance(e->conn, (size_t)e->result);
		write_by_itself(e);
	}
}

static void run(struct loop_task *t)
{
	struct conn_batch *b = container_of(t, struct conn_batch, run);
	size_t n = b->n;

	for (size_t i = 0; i < n; i++)
		b->entries[i].conn->in_batch = false;
	if (n >= BATCH_MIN && !b->is_broken) {
		send_together(b);
		for (size_t i = 0; i < n; i++)
			write_rest(&b->entries[i]);
	} else {
		for (size_t i = 0; i < n; i++)
			write_by_itself(&b->entries[i]);
	}
	/* Those that are called back close connections, but add none: tasks do. */
	for (size_t i = 0; i < n; i++)
		conn_flushed(b->entries[i].conn, b->entries[i].result, b->entries[i].before);
	assert(b->n == n);
	b->n = 0;
}

bool conn_batch_add(struct conn *c)
{
	struct conn_batch *b = c->env->batch;

	if (!b || b->is_broken || c->io != &conn_io_plain)
		return false;
	if (c->in_batch)
		return true; /* what was added since goes with the rest */
	c->in_batch = true;
	struct entry *e = &b->entries[b->n++];
	e->conn = c;
	e->before = c->out_total;
	loop_at_end(c->env->loop, &b->run);
	if (b->n == BATCH_MAX) {
		loop_at_end_cancel(c->env->loop, &b->run);
		run(&b->run);
	}
	return true;
}

/* --- life ------------------------------------------------------------------------------------ */

/* Newer kernels save work when told that one thread does everything; older ones do not know it. */
static int open_ring(struct io_uring *ring)
{
	int rc = io_uring_queue_init(BATCH_MAX, ring,
				     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

	return rc == -EINVAL ? io_uring_queue_init(BATCH_MAX, ring, 0) : rc;
}

bool conn_batch_start(struct conn_env *env, const char **ret_why)
{
	struct conn_batch *b = xcalloc(1, sizeof(*b));
	int rc = open_ring(&b->ring);

	if (rc != 0) {
		free(b);
		*ret_why = strerror(-rc);
		return false;
	}
	b->env = env;
	loop_task_init(&b->run, run);
	env->batch = b;
	return true;
}

void conn_batch_free(struct conn_batch *b)
{
	if (!b)
		return;
	assert(b->n == 0);
	io_uring_queue_exit(&b->ring);
	free(b);
}
