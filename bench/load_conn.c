/* SPDX-License-Identifier: MIT */
/*
 * load_conn: sockets, and the loop that serves them.
 *
 * A turn: write what has been said since the last one (all that a connection has to say leaves in
 * one send()), ask again for those whose short poll is due, wait, read whoever has something. A
 * read goes into one large buffer behind what the connection had kept of a piece that was not
 * whole; the wire takes pieces from its front.
 *
 *   conn   connecting ──EPOLLOUT──▶ connected ──wire says──▶ ready ──▶ closed, or opened again
 *
 * A connection that ends is a fault, counted as closed, unless its wire comes back by itself: then
 * what it had asked and not got is refused, and it is opened anew. Before everybody is ready it
 * ends the program: there is nothing to measure.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/template.h"

#define READ_SIZE  (256u << 10)
#define PIECE_MAX  (64u << 20)
#define EVENTS_MAX 512

/* --- opening ------------------------------------------------------------------------------------
 */

/* Loopback has 250 addresses for each of which there are 28,000 ports. */
static void bind_source(struct load *l, struct conn *c, const struct sockaddr_in *to)
{
	int on = 1;

	if (l->o.sources < 2 || (ntohl(to->sin_addr.s_addr) >> 24) != 127)
		return;
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f000001 + c->index % l->o.sources)};
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0)
		die("bind: %s", strerror(errno));
}

static void watch(struct load *l, struct conn *c, int operation)
{
	bool writes = !c->is_connected || c->waits_for_room;
	struct epoll_event e = {.events = EPOLLIN | (writes ? (uint32_t)EPOLLOUT : 0),
				.data.ptr = c};

	if (epoll_ctl(l->epoll, operation, c->fd, &e) != 0)
		die("epoll: %s", strerror(errno));
}

void conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in to = parse_address(c->is_publisher ? l->o.publish_server : l->o.server);

	c->is_connected = c->waits_for_room = false;
	c->step = c->carry_n = 0;
	c->reply = (struct http_reply){0};
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	set_nonblocking(c->fd);
	bind_source(l, c, &to);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
		die("connect: %s", strerror(errno));
	watch(l, c, EPOLL_CTL_ADD);
}

static void open_wire(struct load *l, struct conn *c)
{
	if (c->is_publisher)
		c->wire->open_publisher(l, c);
	else
		c->wire->open_subscriber(l, c);
}

static void on_connected(struct load *l, struct conn *c)
{
	int err = 0;
	socklen_t size = sizeof(err);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &size);
	if (err) {
		conn_close(l, c, strerror(err));
		return;
	}
	c->is_connected = true;
	watch(l, c, EPOLL_CTL_MOD);
	open_wire(l, c);
	conn_sent(l, c); /* what was published while it was opened again */
}

void conn_ready(struct load *l, struct conn *c)
{
	if (c->is_ready)
		return;
	c->is_ready = true;
	if (c->is_publisher)
		return;
	l->ready++;
	track_ready(l, c, true);
}

/* --- closing ------------------------------------------------------------------------------------
 */

static void release(struct load *l, struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	bytes_free(&c->in);
	bytes_free(&c->out);
	if (c->due_us) {
		TAILQ_REMOVE(&l->due, c, due);
		c->due_us = 0;
	}
}

void conn_close(struct load *l, struct conn *c, const char *why)
{
	static const struct span over = {"closed", 6};

	if (c->fd < 0)
		return;
	if (!c->is_ready && !c->wire->comes_back)
		die("a %s was not served: %s", c->is_publisher ? "publisher" : "subscriber", why);
	if (!c->is_connected)
		die("connect: %s", why);
	release(l, c);
	while (c->sent_n > 0)
		publish_refused(l, c, over);
	if (c->wire->comes_back) {
		l->counts.reopened++;
		conn_open(l, c);
		return;
	}
	l->counts.closed++;
	if (!c->is_publisher)
		track_ready(l, c, false);
}

/* --- writing ------------------------------------------------------------------------------------
 */

void conn_sent(struct load *l, struct conn *c)
{
	if (c->is_dirty || c->fd < 0)
		return;
	c->is_dirty = true;
	l->dirty[l->dirty_n++] = c;
}

void conn_send(struct load *l, struct conn *c, const char *p, size_t n)
{
	bytes_add(&c->out, p, n);
	conn_sent(l, c);
}

static void flush(struct load *l, struct conn *c)
{
	if (c->fd < 0 || !c->is_connected || c->out.n == 0)
		return;
	ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(l, c, strerror(errno));
		return;
	}
	bool before = c->waits_for_room;
	if (n > 0)
		bytes_take(&c->out, (size_t)n);
	c->waits_for_room = c->out.n > 0;
	if (c->waits_for_room != before)
		watch(l, c, EPOLL_CTL_MOD);
}

static void flush_all(struct load *l)
{
	for (uint32_t i = 0; i < l->dirty_n; i++) {
		l->dirty[i]->is_dirty = false;
		flush(l, l->dirty[i]);
	}
	l->dirty_n = 0;
}

struct fields conn_fields(struct load *l, struct conn *c, struct bytes *query)
{
	if (c->is_publisher)
		return (struct fields){.index = c->index};
	for (uint32_t i = 0; i < l->o.channels_each; i++)
		bytes_printf(query, "%schannel=%s", i ? "&" : "", track_channel(l, c, i));
	return (struct fields){.channel = track_channel(l, c, 0),
			       .query = query->p,
			       .index = c->index,
			       .cursors = {c->cursors[0], c->cursors[1]}};
}

void conn_request(struct load *l, struct conn *c, const char *method, const char *path)
{
	const struct load_options *o = &l->o;
	const char *const *headers = c->is_publisher ? o->publish_headers : o->headers;
	unsigned header_n = c->is_publisher ? o->publish_header_n : o->header_n;
	struct bytes query = {0};
	struct fields f = conn_fields(l, c, &query);

	bytes_printf(&c->out, "%s ", method);
	template_add(&c->out, path, &f);
	bytes_printf(&c->out, " HTTP/1.1\r\nHost: %s\r\n",
		     c->is_publisher ? o->publish_server : o->server);
	for (unsigned i = 0; i < header_n; i++) {
		template_add(&c->out, headers[i], &f);
		bytes_add(&c->out, "\r\n", 2);
	}
	bytes_free(&query);
	conn_sent(l, c);
}

void conn_poll_later(struct load *l, struct conn *c)
{
	c->due_us = l->now_us + l->o.poll_ms * 1000ull;
	TAILQ_INSERT_TAIL(&l->due, c, due);
}

static void ask_again(struct load *l)
{
	struct conn *c;
	uint64_t now = now_us();

	while ((c = TAILQ_FIRST(&l->due)) && c->due_us <= now) {
		TAILQ_REMOVE(&l->due, c, due);
		c->due_us = 0;
		c->wire->open_subscriber(l, c);
	}
}

/* --- reading ------------------------------------------------------------------------------------
 */

static void take_pieces(struct load *l, struct conn *c, size_t n)
{
	size_t at = 0, taken;
	int fd = c->fd;

	l->buffer[n] = '\0';
	while (at < n && c->fd == fd) {
		taken = c->wire->input(l, c, (struct span){l->buffer + at, n - at});
		if (taken == 0)
			break;
		at += taken;
	}
	if (c->fd != fd)
		return; /* closed meanwhile; what was kept went with it */
	if (n - at > PIECE_MAX)
		die("a piece of more than %u bytes", PIECE_MAX);
	c->in.n = 0;
	if (at < n)
		bytes_add(&c->in, l->buffer + at, n - at);
	else
		bytes_free(&c->in);
}

static void on_readable(struct load *l, struct conn *c)
{
	size_t n = c->in.n;

	if (l->buffer_room < n + READ_SIZE + 1) {
		l->buffer_room = (n + READ_SIZE + 1) * 2;
		free(l->buffer);
		l->buffer = must_alloc(1, l->buffer_room);
	}
	if (n > 0)
		memcpy(l->buffer, c->in.p, n);
	ssize_t got = recv(c->fd, l->buffer + n, l->buffer_room - 1 - n, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		conn_close(l, c, got ? strerror(errno) : "the server closed the connection");
		return;
	}
	l->now_us = now_us();
	take_pieces(l, c, n + (size_t)got);
}

bool conn_turn(struct load *l, uint64_t wait_us)
{
	struct epoll_event events[EVENTS_MAX];
	struct conn *next = TAILQ_FIRST(&l->due);
	uint64_t now;

	if (next) {
		ask_again(l);
		next = TAILQ_FIRST(&l->due);
		now = now_us();
		if (next && next->due_us < now + wait_us)
			wait_us = next->due_us > now ? next->due_us - now : 0;
	}
	flush_all(l);
	if (now_us() > l->deadline_us && !publish_is_stopped()) {
		l->counts.late = 1;
		publish_stop(0);
	}
	struct timespec wait = {(time_t)(wait_us / 1000000), (long)(wait_us % 1000000) * 1000};
	int n = epoll_pwait2(l->epoll, events, EVENTS_MAX, &wait, NULL);
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c->fd >= 0 && !c->is_connected && (events[i].events & ~(uint32_t)EPOLLIN))
			on_connected(l, c);
		else if (c->fd >= 0 && (events[i].events & EPOLLOUT))
			flush(l, c);
		if (c->fd >= 0 && c->is_connected && (events[i].events & ~(uint32_t)EPOLLOUT))
			on_readable(l, c);
	}
	return n > 0;
}
