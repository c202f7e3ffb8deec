/* SPDX-License-Identifier: MIT */
/*
 * floor: an epoll server of one thread. It answers just what the generator asks: a GET subscribes,
 * a POST is sent to all subscribers, and GET /metrics tells how many send() calls that took.
 *
 * DESIGN. What a turn of the loop received is made into frames in one buffer; at the end of the
 * turn each subscriber gets the buffer with one send(), then the publishers get their receipts. So
 * it coalesces just as the broker does, and a ratio to it says what the broker adds. Requests must
 * come whole in one read, which the generator's do.
 */
#include "bench/floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_MAX   (128 << 10)
#define EVENTS_MAX 256
#define HELLO      "{\"type\":\"hello\",\"epoch\":\"floor0\"}"

struct server {
	enum wire wire;
	int listener, epoll;
	int *subscribers;
	size_t subscriber_n, subscriber_room;
	uint64_t seq, sends;
	char *out; /* frames of this turn */
	size_t out_n, out_room;
	int receipts[EVENTS_MAX]; /* who published in this turn */
	uint64_t receipt_seqs[EVENTS_MAX];
	size_t receipt_n;
};

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		} else if (sent < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		} else if (sent < 0 && errno != EINTR) {
			return; /* gone; the generator will miss what it did not get */
		}
	}
}

static char *room_for(struct server *s, size_t n)
{
	if (s->out_n + n > s->out_room) {
		s->out_room = (s->out_n + n) * 2;
		s->out = realloc(s->out, s->out_room);
		if (!s->out)
			die("no memory");
	}
	return s->out + s->out_n;
}

/* A frame of the wire, behind what is in out. */
static void add_frame(struct server *s, const char *id_line, const char *text, size_t n)
{
	char *p = room_for(s, n + strlen(id_line) + 64);
	char *start = p;

	if (s->wire == WIRE_SSE) {
		p += sprintf(p, "%zx\r\n%sdata: ", n + strlen(id_line) + 8, id_line);
	} else {
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
	}
	memcpy(p, text, n);
	p += n;
	if (s->wire == WIRE_SSE) {
		memcpy(p, "\n\n\r\n", 4);
		p += 4;
	}
	s->out_n += (size_t)(p - start);
}

static void subscribe(struct server *s, int fd)
{
	static const char ws[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				 "Connection: Upgrade\r\n\r\n";
	static const char sse[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n";
	const char *head = s->wire == WIRE_WS ? ws : sse;
	size_t before = s->out_n;

	if (s->subscriber_n == s->subscriber_room) {
		s->subscriber_room = s->subscriber_room ? s->subscriber_room * 2 : 1024;
		s->subscribers = realloc(s->subscribers, s->subscriber_room * sizeof(int));
		if (!s->subscribers)
			die("no memory");
	}
	s->subscribers[s->subscriber_n++] = fd;
	send_all(fd, head, strlen(head));
	add_frame(s, "event: hello\n", HELLO, sizeof(HELLO) - 1);
	send_all(fd, s->out + before, s->out_n - before);
	s->out_n = before;
}

static void publish(struct server *s, int fd, const char *payload, size_t n)
{
	char *text = must_alloc(1, n + 256);
	char id_line[64];
	uint64_t seq = ++s->seq;

	int head = sprintf(text,
			   "{\"type\":\"message\",\"channel\":\"bench\",\"id\":\"floor0.%llu\","
			   "\"prev\":\"floor0.%llu\",\"ts\":1790000000123,\"data\":",
			   (unsigned long long)seq, (unsigned long long)seq - 1);
	memcpy(text + head, payload, n);
	text[(size_t)head + n] = '}';
	snprintf(id_line, sizeof(id_line), "id: floor0.%llu\n", (unsigned long long)seq);
	add_frame(s, id_line, text, (size_t)head + n + 1);
	free(text);
	s->receipt_seqs[s->receipt_n] = seq;
	s->receipts[s->receipt_n++] = fd;
}

static void answer(int fd, const char *body)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(body), body);

	send_all(fd, text, (size_t)n);
}

static void end_turn(struct server *s)
{
	char body[256];

	for (size_t i = 0; s->out_n > 0 && i < s->subscriber_n; i++, s->sends++)
		send_all(s->subscribers[i], s->out, s->out_n);
	s->out_n = 0;
	for (size_t i = 0; i < s->receipt_n; i++, s->sends++) {
		snprintf(body, sizeof(body),
			 "{\"id\":\"floor0.%llu\",\"channel\":\"bench\",\"durability\":\"none\","
			 "\"duplicate\":false,\"subscribers\":%zu}",
			 (unsigned long long)s->receipt_seqs[i], s->subscriber_n);
		answer(s->receipts[i], body);
	}
	s->receipt_n = 0;
}

static void on_request(struct server *s, int fd)
{
	static char text[READ_MAX + 1];
	ssize_t n = recv(fd, text, READ_MAX, 0);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
		return;
	}
	text[n] = '\0';
	const char *body = strstr(text, "\r\n\r\n");
	if (!body)
		die("floor: a request in pieces");
	body += 4;
	if (strncmp(text, "POST ", 5) == 0) {
		publish(s, fd, body, (size_t)(text + n - body));
	} else if (strncmp(text, "GET /metrics ", 13) == 0) {
		char figures[64];

		snprintf(figures, sizeof(figures), "holdfast_socket_writes_total %llu\n",
			 (unsigned long long)s->sends);
		answer(fd, figures);
	} else {
		subscribe(s, fd);
	}
}

static void accept_one(struct server *s)
{
	int fd = accept(s->listener, NULL, NULL);

	if (fd < 0)
		return;
	set_nonblocking(fd);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		die("floor: epoll: %s", strerror(errno));
}

static void serve(struct server *s)
{
	struct epoll_event events[EVENTS_MAX];
	struct epoll_event e = {.events = EPOLLIN, .data.fd = s->listener};

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &e) != 0)
		die("floor: epoll: %s", strerror(errno));
	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s->listener)
				accept_one(s);
			else
				on_request(s, events[i].data.fd);
		}
		end_turn(s);
	}
}

void floor_start(struct floor *ret, enum wire wire, int cpu)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	struct server s = {.wire = wire};

	s.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s.listener < 0 || bind(s.listener, (struct sockaddr *)&at, size) != 0 ||
	    listen(s.listener, 1024) != 0 ||
	    getsockname(s.listener, (struct sockaddr *)&at, &size) != 0)
		die("floor: %s", strerror(errno));
	snprintf(ret->address, sizeof(ret->address), "127.0.0.1:%d", ntohs(at.sin_port));
	fflush(stdout);
	ret->pid = fork();
	if (ret->pid < 0)
		die("fork: %s", strerror(errno));
	if (ret->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(cpu);
		serve(&s);
	}
	close(s.listener);
}

void floor_stop(struct floor *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
}
