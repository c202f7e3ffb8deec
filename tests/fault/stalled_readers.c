/* SPDX-License-Identifier: MIT */
/*
 * stalled_readers: many clients that subscribe and then read nothing, until they are told to. A
 * helper of stalled.js, in C because it has gigabytes to look at.
 *
 *   stalled_readers PORT N CHANNELS        reader i: channel s<i/2 % CHANNELS>; even ones over
 * WebSocket, odd ones over SSE stdin:  "read COUNT\n"                 read until each has COUNT
 * messages stdout: "stalled\n", then "done BYTES\n", or "wrong: …\n" and exit code 1
 *
 * Payloads are texts "#0000000042#xxx…", numbered per channel from 0. Nothing is parsed: in each
 * stream the numbers behind '#' must be 0, 1, 2 …, which no loss, repetition or disorder survives,
 * and a gap event neither.
 *
 * The receive buffers and the segments are made small before connecting, so that a stalled reader
 * soon stalls the server, and not the kernel's buffers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NUMBER 10 /* digits */

struct reader {
	int fd;
	unsigned next; /* number of the message that is due */
	unsigned char held[NUMBER + 2];
	unsigned held_n; /* bytes of a mark that is not complete yet */
};

static struct reader *readers;
static unsigned reader_n;

static void wrong(unsigned i, const char *what)
{
	printf("wrong: reader %u: %s (%u messages so far; %s)\n", i, what, readers[i].next,
	       errno ? strerror(errno) : "no errno");
	exit(1);
}

static void open_reader(unsigned i, unsigned port, unsigned channels)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int small = 4096, segment = 1400;
	char request[512];

	readers[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (readers[i].fd < 0)
		wrong(i, "no socket");
	setsockopt(readers[i].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(readers[i].fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(readers[i].fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		wrong(i, "can not connect");
	int n = snprintf(request, sizeof(request),
			 i % 2 ? "GET /v1/sse?channel=s%u HTTP/1.1\r\nHost: h\r\n\r\n"
			       : "GET /v1/ws?channel=s%u HTTP/1.1\r\nHost: h\r\n"
				 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				 "Sec-WebSocket-Version: 13\r\n"
				 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			 i / 2 % channels);
	if (write(readers[i].fd, request, (size_t)n) != n)
		wrong(i, "can not ask");
}

/* Up to and with hello; nothing was published yet. */
static void await_hello(unsigned i)
{
	char text[8192];
	size_t n = 0;

	while (memmem(text, n, "\"heartbeat\"", 11) == NULL) {
		ssize_t got = read(readers[i].fd, text + n, sizeof(text) - n);
		if (got <= 0)
			wrong(i, "no hello");
		n += (size_t)got;
	}
	fcntl(readers[i].fd, F_SETFL, O_NONBLOCK);
}

/* A mark is complete: "#", NUMBER digits, "#". */
static void take_mark(unsigned i)
{
	struct reader *r = &readers[i];
	char due[NUMBER + 3];

	snprintf(due, sizeof(due), "#%0*u#", NUMBER, r->next);
	errno = 0;
	if (memcmp(r->held, due, NUMBER + 2) != 0)
		wrong(i, "another message than the one that is due");
	r->next++;
	r->held_n = 0;
}

static void look(unsigned i, const unsigned char *p, size_t n)
{
	struct reader *r = &readers[i];
	const unsigned char *end = p + n;

	while (p < end) {
		if (r->held_n == 0) {
			p = memchr(p, '#', (size_t)(end - p));
			if (p == NULL)
				return;
		}
		size_t take = NUMBER + 2 - r->held_n;
		if (take > (size_t)(end - p))
			take = (size_t)(end - p);
		memcpy(r->held + r->held_n, p, take);
		r->held_n += (unsigned)take;
		p += take;
		if (r->held_n == NUMBER + 2)
			take_mark(i);
	}
}

/* True: it has all. */
static bool read_some(unsigned i, unsigned count, unsigned long long *bytes)
{
	static unsigned char buffer[1 << 18];
	ssize_t n = read(readers[i].fd, buffer, sizeof(buffer));

	if (n < 0 && errno == EAGAIN)
		return false;
	errno = n < 0 ? errno : 0;
	if (n <= 0)
		wrong(i, "the stream ended");
	*bytes += (unsigned long long)n;
	look(i, buffer, (size_t)n);
	return readers[i].next >= count;
}

static unsigned long long read_all(unsigned count)
{
	struct epoll_event events[256];
	unsigned long long bytes = 0;
	unsigned left = reader_n;
	int ep = epoll_create1(EPOLL_CLOEXEC), large = 1 << 20;

	for (unsigned i = 0; i < reader_n; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
		setsockopt(readers[i].fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
		if (epoll_ctl(ep, EPOLL_CTL_ADD, readers[i].fd, &e) != 0)
			wrong(i, "can not be waited for");
	}
	while (left > 0) {
		int n = epoll_wait(ep, events, 256, 60000);
		if (n == 0)
			wrong(0, "nothing comes to anybody for a minute");
		for (int k = 0; k < n; k++) {
			unsigned i = events[k].data.u32;
			if (!read_some(i, count, &bytes))
				continue;
			epoll_ctl(ep, EPOLL_CTL_DEL, readers[i].fd, NULL);
			left--;
		}
	}
	close(ep);
	return bytes;
}

int main(int argc, char **argv)
{
	unsigned count;

	if (argc != 4)
		return 2;
	reader_n = (unsigned)atoi(argv[2]);
	struct rlimit files = {reader_n + 100, reader_n + 100};
	setrlimit(RLIMIT_NOFILE, &files);
	readers = calloc(reader_n, sizeof(*readers));
	if (readers == NULL)
		return 2;
	for (unsigned i = 0; i < reader_n; i++)
		open_reader(i, (unsigned)atoi(argv[1]), (unsigned)atoi(argv[3]));
	for (unsigned i = 0; i < reader_n; i++)
		await_hello(i);
	printf("stalled\n");
	fflush(stdout);
	if (scanf("read %u", &count) != 1)
		return 2;
	printf("done %llu\n", read_all(count));
	return 0;
}
