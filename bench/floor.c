/* SPDX-License-Identifier: MIT */
/*
 * floor: the least that a server can do to fan messages out, as a yardstick. One thread, one epoll.
 * It speaks what load needs of the broker's protocol (WebSocket and event streams, long and short
 * polls, publishing by POST, GET /metrics with the number of its send() calls), makes the same
 * bytes, and does nothing else: no log, no limits, hardly a parser. A frame is made once per
 * message and wire.
 *
 *   without --merge  one send() per subscriber and message, as soon as the message is read
 *   with --merge     what a turn of the loop received leaves at its end, with one send() per
 * subscriber
 *
 * A ratio to the first says what the broker adds when messages come one at a time; to the second,
 * what it adds when it, too, has several to write at a time.
 *
 * When a socket is full, the floor waits for it: the generator always reads. Only long polls need
 * to remember anything: a channel that is polled keeps its newest messages, for those who ask
 * again.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"

#define READ_SIZE    (256u << 10)
#define EVENTS_MAX   512
#define FDS_MAX      65536
#define CHANNELS_MAX (1u << 18)
#define KEPT         64 /* newest messages of a channel that is polled */
#define EPOCH        "floor0"
#define HELLO        "{\"type\":\"hello\",\"epoch\":\"" EPOCH "\"}"
#define ACCEPT       "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* to the key that load sends */

enum kind { PLAIN, WS, SSE, POLL, KINDS };

struct conn;

/* One subscription: where it stands in its channel's list. */
struct place {
	struct channel *channel;
	uint32_t at;
};

struct conn {
	int fd;
	uint8_t kind;
	uint16_t place_n;
	struct place *places;
	struct bytes in; /* a request that is not whole */
};

struct member {
	struct conn *conn;
	uint32_t which; /* of the connection's places */
};

struct list {
	struct member *members;
	uint32_t n, room;
};

struct channel {
	char *name;
	struct bytes prefix; /* of a message */
	uint64_t head;       /* its newest message */
	struct list lists[KINDS];
	struct bytes out[KINDS]; /* what is to be written in the end of the turn; POLL: messages */
	bool is_dirty, is_polled;
	struct bytes kept[KEPT]; /* by number of message in the channel */
	uint64_t kept_seq[KEPT];
	uint64_t published;
};

static struct {
	int listener, epoll;
	bool merges;
	struct conn *conns[FDS_MAX];
	struct hsearch_data names;
	uint64_t seq, sends;
	char *buffer;
	size_t buffer_room;
	struct channel *dirty[CHANNELS_MAX];
	uint32_t dirty_n;
	struct bytes receipts; /* of the connection that is read */
	struct bytes text, frame;
} s;

/* --- writing ------------------------------------------------------------------------------------
 */

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent > 0) {
			s.sends++;
			p += sent;
			n -= (size_t)sent;
		} else if (sent < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		} else if (sent < 0 && errno != EINTR) {
			return; /* gone; the generator misses what it did not get */
		}
	}
}

static void add_text(struct bytes *b, const char *text)
{
	bytes_add(b, text, strlen(text));
}

static void add_number(struct bytes *b, uint64_t value)
{
	char digits[20], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	bytes_add(b, p, (size_t)(digits + sizeof(digits) - p));
}

static void add_ws(struct bytes *b, const char *text, size_t n)
{
	char *p = bytes_room(b, n + 10), *start = p;

	*p++ = (char)0x81;
	if (n < 126) {
		*p++ = (char)n;
	} else if (n < 65536) {
		*p++ = 126;
		*p++ = (char)(n >> 8);
		*p++ = (char)n;
	} else {
		*p++ = 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			*p++ = (char)((uint64_t)n >> shift);
	}
	memcpy(p, text, n);
	b->n += (size_t)(p - start) + n;
}

/* One chunk: the lines of head, and text as data. */
static void add_sse(struct bytes *b, const char *head, const char *text, size_t n)
{
	char *p = bytes_room(b, n + 128);

	p += sprintf(p, "%zx\r\n%sdata: ", strlen(head) + n + 8, head);
	memcpy(p, text, n);
	memcpy(p + n, "\n\n\r\n", 4);
	b->n = (size_t)(p + n + 4 - b->p);
}

static void add_answer(struct bytes *b, const char *body, size_t n)
{
	add_text(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ");
	add_number(b, n);
	add_text(b, "\r\n\r\n");
	bytes_add(b, body, n);
}

/* The answer to a poll; messages are separated by commas, and may be none. */
static void add_poll_answer(struct bytes *b, const struct channel *ch, const struct bytes *messages)
{
	struct bytes body = {0};

	add_text(&body, "{\"cursor\":\"" EPOCH ".");
	add_number(&body, ch->head);
	add_text(&body, "\",\"messages\":[");
	bytes_add(&body, messages->p, messages->n);
	add_text(&body, "],\"more\":false}");
	add_answer(b, body.p, body.n);
	bytes_free(&body);
}

/* --- channels -----------------------------------------------------------------------------------
 */

static struct channel *channel_of(const char *name, size_t n)
{
	char key[256];
	ENTRY wanted = {.key = key}, *found;

	if (n >= sizeof(key))
		die("a long channel name");
	memcpy(key, name, n);
	key[n] = '\0';
	if (hsearch_r(wanted, FIND, &found, &s.names))
		return (struct channel *)found->data;
	struct channel *ch = must_alloc(1, sizeof(*ch));
	ch->name = strdup(key);
	bytes_printf(&ch->prefix, "{\"type\":\"message\",\"channel\":\"%s\",\"id\":\"" EPOCH ".",
		     key);
	if (!hsearch_r((ENTRY){.key = ch->name, .data = ch}, ENTER, &found, &s.names))
		die("more channels than %u", CHANNELS_MAX);
	return ch;
}

static void list_add(struct list *l, struct conn *c, uint32_t which)
{
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 1;
		l->members = realloc(l->members, l->room * sizeof(*l->members));
		if (!l->members)
			die("no memory");
	}
	c->places[which].at = l->n;
	l->members[l->n++] = (struct member){c, which};
}

static void list_remove(struct list *l, uint32_t at)
{
	l->members[at] = l->members[--l->n];
	struct member *moved = &l->members[at];
	moved->conn->places[moved->which].at = at;
}

static void leave(struct conn *c)
{
	for (uint32_t i = 0; i < c->place_n; i++)
		list_remove(&c->places[i].channel->lists[c->kind], c->places[i].at);
	free(c->places);
	c->places = NULL;
	c->place_n = 0;
}

/* The value of a parameter in a request line that ends with a blank; NULL: it is not there. */
static const char *parameter(const char *line, const char *name, size_t *ret_n)
{
	size_t n = strlen(name), line_n = strcspn(line, " \r");
	const char *at = line;

	while ((at = memmem(at, line_n - (size_t)(at - line), name, n))) {
		if (at > line && (at[-1] == '?' || at[-1] == '&') && at[n] == '=') {
			*ret_n = strcspn(at + n + 1, "& \r");
			return at + n + 1;
		}
		at += n;
	}
	return NULL;
}

static void join(struct conn *c, enum kind kind, const char *target)
{
	size_t n;

	c->kind = (uint8_t)kind;
	for (const char *name; (name = parameter(target, "channel", &n)); target = name + n) {
		c->places = realloc(c->places, (c->place_n + 1u) * sizeof(*c->places));
		if (!c->places)
			die("no memory");
		struct channel *ch = channel_of(name, n);
		c->places[c->place_n] = (struct place){.channel = ch};
		list_add(&ch->lists[kind], c, c->place_n++);
	}
}

/* --- messages -----------------------------------------------------------------------------------
 */

static void write_out(struct channel *ch)
{
	for (enum kind k = WS; k <= SSE; k++) {
		for (uint32_t i = 0; ch->out[k].n > 0 && i < ch->lists[k].n; i++)
			send_all(ch->lists[k].members[i].conn->fd, ch->out[k].p, ch->out[k].n);
		ch->out[k].n = 0;
	}
	struct list *polls = &ch->lists[POLL];
	s.frame.n = 0;
	if (polls->n > 0)
		add_poll_answer(&s.frame, ch, &ch->out[POLL]);
	while (polls->n > 0) {
		struct conn *c = polls->members[polls->n - 1].conn;

		leave(c);
		c->kind = PLAIN;
		send_all(c->fd, s.frame.p, s.frame.n);
	}
	ch->out[POLL].n = 0;
	ch->is_dirty = false;
}

static void keep(struct channel *ch, uint64_t seq)
{
	struct bytes *slot = &ch->kept[ch->published % KEPT];

	slot->n = 0;
	bytes_add(slot, s.text.p, s.text.n);
	ch->kept_seq[ch->published % KEPT] = seq;
}

static void add_frames(struct channel *ch, uint64_t seq)
{
	char line[48];

	if (ch->lists[WS].n > 0)
		add_ws(&ch->out[WS], s.text.p, s.text.n);
	if (ch->lists[SSE].n > 0) {
		snprintf(line, sizeof(line), "id: " EPOCH ".%llu\n", (unsigned long long)seq);
		add_sse(&ch->out[SSE], line, s.text.p, s.text.n);
	}
	if (ch->lists[POLL].n > 0) {
		if (ch->out[POLL].n > 0)
			bytes_add(&ch->out[POLL], ",", 1);
		bytes_add(&ch->out[POLL], s.text.p, s.text.n);
	}
	if (ch->is_polled)
		keep(ch, seq);
}

static void add_receipt(const struct channel *ch, uint64_t seq)
{
	struct bytes body = {0};
	uint32_t n = ch->lists[WS].n + ch->lists[SSE].n + ch->lists[POLL].n;

	add_text(&body, "{\"id\":\"" EPOCH ".");
	add_number(&body, seq);
	add_text(&body, "\",\"channel\":\"");
	add_text(&body, ch->name);
	add_text(&body, "\",\"durability\":\"none\",\"duplicate\":false,\"subscribers\":");
	add_number(&body, n);
	add_text(&body, "}");
	add_answer(&s.receipts, body.p, body.n);
	bytes_free(&body);
}

static void publish(const char *target, const char *payload, size_t n)
{
	size_t name_n;
	const char *name = parameter(target, "channel", &name_n);

	if (!name)
		die("a publish without a channel");
	struct channel *ch = channel_of(name, name_n);
	uint64_t seq = ++s.seq;
	s.text.n = 0;
	bytes_add(&s.text, ch->prefix.p, ch->prefix.n);
	add_number(&s.text, seq);
	add_text(&s.text, "\",\"prev\":\"" EPOCH ".");
	add_number(&s.text, ch->head);
	add_text(&s.text, "\",\"ts\":1790000000123,\"data\":");
	bytes_add(&s.text, payload, n);
	add_text(&s.text, "}");
	add_frames(ch, seq);
	ch->head = seq;
	ch->published++;
	add_receipt(ch, seq);
	if (!s.merges) {
		write_out(ch);
	} else if (!ch->is_dirty) {
		ch->is_dirty = true;
		s.dirty[s.dirty_n++] = ch;
	}
}

/* --- requests -----------------------------------------------------------------------------------
 */

static void begin_stream(struct conn *c, enum kind kind, const char *target)
{
	static const char ws[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				 "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n";
	static const char sse[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n";

	join(c, kind, target);
	s.frame.n = 0;
	add_text(&s.frame, kind == WS ? ws : sse);
	if (kind == WS)
		add_ws(&s.frame, HELLO, sizeof(HELLO) - 1);
	else
		add_sse(&s.frame, "event: hello\n", HELLO, sizeof(HELLO) - 1);
	send_all(c->fd, s.frame.p, s.frame.n);
}

/* Of one channel: at once when there is something after the cursor, or when nobody wants to wait.
 */
static void begin_poll(struct conn *c, const char *target)
{
	size_t n, name_n;
	const char *since = parameter(target, "since", &n);
	const char *name = parameter(target, "channel", &name_n);
	struct bytes messages = {0};

	if (!name)
		die("a poll without a channel");
	struct channel *ch = channel_of(name, name_n);
	const char *dot = since ? memchr(since, '.', n) : NULL;
	uint64_t seq = dot ? strtoull(dot + 1, NULL, 10) : ch->head;
	ch->is_polled = true;
	uint64_t from = ch->published > KEPT ? ch->published - KEPT : 0;
	for (uint64_t i = from; i < ch->published && seq < ch->head; i++) {
		if (ch->kept_seq[i % KEPT] <= seq)
			continue;
		if (messages.n > 0)
			bytes_add(&messages, ",", 1);
		bytes_add(&messages, ch->kept[i % KEPT].p, ch->kept[i % KEPT].n);
	}
	if (messages.n == 0 && parameter(target, "wait", &n)) {
		join(c, POLL, target);
		return;
	}
	s.frame.n = 0;
	add_poll_answer(&s.frame, ch, &messages);
	send_all(c->fd, s.frame.p, s.frame.n);
	bytes_free(&messages);
}

static void answer_metrics(struct conn *c)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "holdfast_socket_writes_total %llu\n",
			 (unsigned long long)s.sends);

	s.frame.n = 0;
	add_answer(&s.frame, text, (size_t)n);
	send_all(c->fd, s.frame.p, s.frame.n);
}

/* One request; its size, 0: not whole yet. A NUL stands behind it. */
static size_t take_request(struct conn *c, char *p, size_t n)
{
	char *body = memmem(p, n, "\r\n\r\n", 4);

	if (!body)
		return 0;
	body += 4;
	size_t size = (size_t)(body - p);
	if (strncmp(p, "POST ", 5) == 0) {
		const char *length = memmem(p, size, "Content-Length: ", 16);
		size_t body_n = length ? strtoul(length + 16, NULL, 10) : 0;

		if (n - size < body_n)
			return 0;
		publish(p + 5, body, body_n);
		return size + body_n;
	}
	if (strncmp(p, "GET /v1/ws?", 11) == 0)
		begin_stream(c, WS, p + 4);
	else if (strncmp(p, "GET /v1/sse?", 12) == 0)
		begin_stream(c, SSE, p + 4);
	else if (strncmp(p, "GET /v1/poll?", 13) == 0)
		begin_poll(c, p + 4);
	else if (strncmp(p, "GET /metrics ", 13) == 0)
		answer_metrics(c);
	else
		die("a request that it does not know: %.*s", (int)size, p);
	return size;
}

static void close_conn(struct conn *c)
{
	leave(c);
	close(c->fd);
	s.conns[c->fd] = NULL;
	bytes_free(&c->in);
	free(c);
}

static void on_readable(struct conn *c)
{
	size_t n = c->in.n, at = 0, taken;

	if (s.buffer_room < n + READ_SIZE + 1) {
		s.buffer_room = (n + READ_SIZE + 1) * 2;
		free(s.buffer);
		s.buffer = must_alloc(1, s.buffer_room);
	}
	if (n > 0)
		memcpy(s.buffer, c->in.p, n);
	ssize_t got = recv(c->fd, s.buffer + n, s.buffer_room - 1 - n, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		close_conn(c);
		return;
	}
	n += (size_t)got;
	s.buffer[n] = '\0';
	s.receipts.n = 0;
	while (c->kind == PLAIN && at < n && (taken = take_request(c, s.buffer + at, n - at)) > 0)
		at += taken;
	if (s.receipts.n > 0)
		send_all(c->fd, s.receipts.p, s.receipts.n);
	bytes_free(&c->in);
	if (c->kind == PLAIN || c->kind == POLL) /* what streams send (pongs) is of no interest */
		bytes_add(&c->in, s.buffer + at, n - at);
}

static void accept_all(void)
{
	for (int fd; (fd = accept4(s.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		if (fd >= FDS_MAX)
			die("too many connections");
		set_nonblocking(fd);
		struct conn *c = must_alloc(1, sizeof(*c));
		c->fd = fd;
		s.conns[fd] = c;
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
		if (epoll_ctl(s.epoll, EPOLL_CTL_ADD, fd, &e) != 0)
			die("epoll: %s", strerror(errno));
	}
}

static void serve(void)
{
	struct epoll_event events[EVENTS_MAX], e = {.events = EPOLLIN, .data.fd = s.listener};

	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s.epoll < 0 || epoll_ctl(s.epoll, EPOLL_CTL_ADD, s.listener, &e) != 0)
		die("epoll: %s", strerror(errno));
	for (;;) {
		int n = epoll_wait(s.epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s.listener)
				accept_all();
			else if (s.conns[events[i].data.fd])
				on_readable(s.conns[events[i].data.fd]);
		}
		while (s.dirty_n > 0)
			write_out(s.dirty[--s.dirty_n]);
	}
}

/* Whole or not at all: who waits for the file may read it as soon as it is there. */
static void write_port_file(const char *path, const char *address)
{
	char draft[512];

	snprintf(draft, sizeof(draft), "%s.new", path);
	FILE *f = fopen(draft, "w");
	if (!f || fprintf(f, "%s\n", address) < 0 || fclose(f) != 0 || rename(draft, path) != 0)
		die("%s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	static const struct option table[] = {{"listen", 1, NULL, 'l'},
					      {"port-file", 1, NULL, 'f'},
					      {"merge", 0, NULL, 'm'},
					      {NULL, 0, NULL, 0}};
	const char *listen_on = "127.0.0.1:0", *file = NULL;
	char address[64];
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 'l')
			listen_on = optarg;
		else if (option == 'f')
			file = optarg;
		else if (option == 'm')
			s.merges = true;
		else
			die("usage: floor [--listen HOST:PORT] [--port-file FILE] [--merge]");
	}
	if (!hcreate_r(CHANNELS_MAX + CHANNELS_MAX / 4, &s.names))
		die("no memory");
	s.listener = listen_at(listen_on, address, sizeof(address));
	if (file)
		write_port_file(file, address);
	serve();
}
