/* SPDX-License-Identifier: MIT */
/*
 * fanout: N subscribers of one channel, M messages, W in flight; what does a delivery cost the
 * server?
 *
 * DESIGN. One thread, one epoll. A message is in flight from its publish until its receipt has come
 * and every subscriber has got it; the next one starts then. So nothing piles up anywhere, latency
 * is that of the broker and not of a queue, and the run ends after a known number of messages, or
 * at its deadline.
 *
 *   publisher   FREE ──POST──▶ BUSY ──receipt──▶ FREE          W connections
 *   subscriber  OPENING ──head──▶ OPEN ──hello──▶ READY         N connections; message frames are
 * judged at once
 *
 * What is verified: the seqs that subscribers see must be the same for all, rising, and in the end
 * just those of the receipts. A frame that is not the next of them was lost, repeated or out of
 * order, and the run fails.
 *
 * The payload is {"i":INDEX,"t":NANOSECONDS,"x":"…"}: which message it is, and when it was sent.
 *
 * The server is judged by what the kernel says of its process: user and system time, and resident
 * memory.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"
#include "bench/floor.h"

#define CONNECTIONS_MAX 15000
#define MESSAGES_MAX    200000
#define WINDOW_MAX      256
#define BYTES_MIN       64
#define BYTES_MAX       65000
#define LIMIT_MAX_S     600
#define READ_MAX        (256 << 10)
#define EVENTS_MAX      256
#define OPENING_MAX     100 /* connections that are being opened at a time */
#define QUIET_MS        100 /* in the end: time for what should not come */
#define BUCKETS         (64 * 32)

struct options {
	const char *name, *server;
	enum wire wire;
	unsigned subscribers, messages, warm_up, window, bytes, limit_s;
	pid_t pid;
	int server_cpu;
	bool with_floor;
};

enum state { OPENING, OPEN, READY, FREE, BUSY };

struct connection {
	int fd;
	enum state state;
	unsigned next;    /* subscriber: how many messages it has got, or given up */
	uint64_t last;    /* subscriber: the last seq */
	unsigned message; /* publisher: the one that it waits for */
	char *rest;       /* what has come of a frame that is not whole */
	size_t rest_n;
};

struct run {
	const struct options *o;
	int epoll;
	struct connection *all; /* subscribers, then publishers */
	unsigned ready;
	unsigned total; /* messages, warm-up included */
	unsigned started, completed, target;
	uint64_t *seen; /* the seq that came as the i-th, to whoever was first */
	unsigned seen_n;
	uint64_t *receipts;  /* seq of message i; 0: not acknowledged yet */
	unsigned *delivered; /* how many subscribers have message i */
	uint64_t lost, repeated, disordered;
	uint64_t latency[BUCKETS], latency_n;
	uint64_t deadline_ns;
};

struct result {
	double seconds, cpu_s, p50_ms, p99_ms, deliveries, writes;
	size_t rss;
	double idle_bytes;
	uint64_t faults;
};

/* --- latency: a histogram whose buckets are 1/32 of their value wide -----------------------------
 */

static void latency_add(struct run *r, uint64_t ns)
{
	unsigned log = ns < 32 ? 0 : 63 - 5 - (unsigned)__builtin_clzll(ns);
	unsigned bucket = ns < 32 ? (unsigned)ns : (log + 1) * 32 + (unsigned)((ns >> log) & 31);

	r->latency[bucket]++;
	r->latency_n++;
}

static double latency_ms(const struct run *r, double quantile)
{
	uint64_t rank = (uint64_t)(quantile * (double)r->latency_n), sum = 0;

	for (unsigned b = 0; b < BUCKETS; b++) {
		sum += r->latency[b];
		if (sum > rank)
			return (b < 32 ? b
				       : (double)(32 + b % 32) * (double)(1ull << (b / 32 - 1))) /
			       1e6;
	}
	return 0;
}

/* --- what is in a frame
 * ---------------------------------------------------------------------------- */

/* The number behind a word; the buffer ends with a NUL behind n. */
static uint64_t number_behind(const char *p, size_t n, const char *word)
{
	const char *at = memmem(p, n, word, strlen(word));
	char *end;

	if (!at)
		die("no %s in: %.*s", word, (int)n, p);
	at += strlen(word);
	uint64_t value = strtoull(at, &end, 10);
	if (end == at)
		die("no number behind %s in: %.*s", word, (int)n, p);
	return value;
}

/* The seq of "id":"EPOCH.SEQ" */
static uint64_t seq_of(const char *p, size_t n)
{
	const char *id = memmem(p, n, "\"id\":\"", 6);
	const char *dot = id ? memchr(id, '.', n - (size_t)(id - p)) : NULL;

	if (!dot)
		die("no id in: %.*s", (int)n, p);
	return strtoull(dot + 1, NULL, 10);
}

static void complete_if_done(struct run *r, unsigned i)
{
	if (r->receipts[i] && r->delivered[i] == r->o->subscribers)
		r->completed++;
}

static void judge(struct run *r, struct connection *c, uint64_t seq)
{
	if (c->next > 0 && seq <= c->last) {
		if (seq == c->last)
			r->repeated++;
		else
			r->disordered++;
		return;
	}
	c->last = seq;
	/* Others have got this far: skip what they got and this one did not. */
	while (c->next < r->seen_n && r->seen[c->next] < seq) {
		r->lost++;
		c->next++;
	}
	if (c->next < r->seen_n && r->seen[c->next] != seq)
		die("message %llu came to one subscriber and not to another before it",
		    (unsigned long long)seq);
	if (c->next == r->seen_n) {
		if (r->seen_n == r->total)
			die("more messages than were published");
		r->seen[r->seen_n++] = seq;
	}
	c->next++;
}

static void take_message(struct run *r, struct connection *c, const char *p, size_t n, uint64_t now)
{
	uint64_t i = number_behind(p, n, "\"data\":{\"i\":");

	if (i >= r->started)
		die("a message that was not published: %.*s", (int)n, p);
	judge(r, c, seq_of(p, n));
	latency_add(r, now - number_behind(p, n, ",\"t\":"));
	r->delivered[i]++;
	complete_if_done(r, (unsigned)i);
}

static void take_text(struct run *r, struct connection *c, const char *p, size_t n, uint64_t now)
{
	if (memmem(p, n, "{\"type\":\"message\"", 17)) {
		take_message(r, c, p, n, now);
	} else if (memmem(p, n, "{\"type\":\"hello\"", 15)) {
		c->state = READY;
		r->ready++;
	} else if (memmem(p, n, "{\"type\":", 8) && !memmem(p, n, "\"heartbeat\"", 11)) {
		die("the server says: %.*s", (int)n, p);
	}
}

/* --- frames out of bytes
 * ----------------------------------------------------------------------------- */

/* Ping is answered, close ends the run. */
static void take_control(struct connection *c, unsigned opcode, const char *p, size_t n)
{
	char pong[6 + 125] = {(char)0x8a, (char)(0x80 | n)}; /* masked with zeroes */

	if (opcode == 8)
		die("the server closed a WebSocket: %.*s", n > 2 ? (int)n - 2 : 0, p + 2);
	if (opcode != 9)
		return;
	memcpy(pong + 6, p, n);
	if (send(c->fd, pong, 6 + n, MSG_NOSIGNAL) < 0)
		die("pong: %s", strerror(errno));
}

/* One WebSocket frame. Return its size; 0: not whole yet. */
static size_t take_ws(struct run *r, struct connection *c, const char *p, size_t n, uint64_t now)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t head = 2, size;

	if (n < 2)
		return 0;
	size = u[1] & 127;
	if (size >= 126) {
		size_t more = size == 126 ? 2 : 8;

		head += more;
		if (n < head)
			return 0;
		size = 0;
		for (size_t i = 0; i < more; i++)
			size = size << 8 | u[2 + i];
	}
	if (size > READ_MAX / 2)
		die("a frame of %zu bytes", size);
	if (n < head + size)
		return 0;
	if (u[0] & 8)
		take_control(c, u[0] & 15, p + head, size);
	else if (u[0] == 0x81)
		take_text(r, c, p + head, size, now);
	else
		die("a frame that begins with 0x%02x", u[0]);
	return head + size;
}

/* One chunk, with whole events in it. */
static size_t take_chunk(struct run *r, struct connection *c, const char *p, size_t n, uint64_t now)
{
	const char *line = memmem(p, n, "\r\n", 2);
	char *end;

	if (!line)
		return 0;
	size_t size = strtoul(p, &end, 16);
	size_t head = (size_t)(line - p) + 2;
	if (end != line || size == 0 || size > READ_MAX / 2)
		die("a bad chunk, or the end of the stream: %.*s", (int)(line - p), p);
	if (n < head + size + 2)
		return 0;
	for (size_t at = 0; at < size;) {
		const char *event = p + head + at;
		const char *blank = memmem(event, size - at, "\n\n", 2);

		if (!blank)
			die("an event in pieces: %.*s", (int)(size - at), event);
		take_text(r, c, event, (size_t)(blank - event), now);
		at += (size_t)(blank - event) + 2;
	}
	return head + size + 2;
}

/* The head of the answer to a subscription. */
static size_t take_head(struct run *r, struct connection *c, const char *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	const char *want = r->o->wire == WIRE_WS ? "HTTP/1.1 101" : "HTTP/1.1 200";

	if (!end)
		return 0;
	if (strncmp(p, want, strlen(want)) != 0)
		die("a subscription was refused: %.*s", (int)n, p);
	c->state = OPEN;
	return (size_t)(end - p) + 4;
}

/* A whole HTTP answer: its body; NULL: not whole yet. */
static const char *whole_answer(const char *p, size_t n, size_t *ret_n)
{
	const char *body = memmem(p, n, "\r\n\r\n", 4);

	if (!body)
		return NULL;
	const char *length = strcasestr(p, "\r\nContent-Length:");
	if (strncmp(p, "HTTP/1.1 200", 12) != 0 || !length || length > body)
		die("an answer that is not as it should be: %.*s", (int)n, p);
	body += 4;
	*ret_n = strtoul(length + 17, NULL, 10);
	return (size_t)(p + n - body) >= *ret_n ? body : NULL;
}

static size_t take_receipt(struct run *r, struct connection *c, const char *p, size_t n)
{
	size_t body_n;
	const char *body = whole_answer(p, n, &body_n);

	if (!body)
		return 0;
	if (c->state != BUSY)
		die("a receipt that nobody waits for");
	c->state = FREE;
	r->receipts[c->message] = seq_of(body, body_n);
	complete_if_done(r, c->message);
	return (size_t)(body - p) + body_n;
}

static size_t take_one(struct run *r, struct connection *c, const char *p, size_t n, uint64_t now)
{
	if (c->state == FREE || c->state == BUSY)
		return take_receipt(r, c, p, n);
	if (c->state == OPENING)
		return take_head(r, c, p, n);
	return r->o->wire == WIRE_WS ? take_ws(r, c, p, n, now) : take_chunk(r, c, p, n, now);
}

static void on_readable(struct run *r, struct connection *c)
{
	static char bytes[READ_MAX + 1];
	size_t n = c->rest_n, at = 0, taken;

	if (n > 0)
		memcpy(bytes, c->rest, n);
	ssize_t got = recv(c->fd, bytes + n, READ_MAX - n, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		die("a connection was closed: %s", got ? strerror(errno) : "end of stream");
	n += (size_t)got;
	bytes[n] = '\0';
	uint64_t now = now_ns();
	while (at < n && (taken = take_one(r, c, bytes + at, n - at, now)) > 0)
		at += taken;
	free(c->rest);
	c->rest = NULL;
	c->rest_n = n - at;
	if (c->rest_n == READ_MAX)
		die("a frame without end");
	if (c->rest_n > 0) {
		c->rest = must_alloc(1, c->rest_n);
		memcpy(c->rest, bytes + at, c->rest_n);
	}
}

/* --- connections
 * --------------------------------------------------------------------------------------- */

/* One turn of the loop; false: nothing came for so long. */
static bool turn(struct run *r, int wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(r->epoll, events, EVENTS_MAX, wait_ms);

	for (int i = 0; i < n; i++)
		on_readable(r, events[i].data.ptr);
	return n > 0;
}

static bool is_late(const struct run *r)
{
	return now_ns() > r->deadline_ns;
}

static void open_connection(struct run *r, struct connection *c, const char *server, enum state s)
{
	*c = (struct connection){.fd = dial(server), .state = s};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
		die("epoll: %s", strerror(errno));
}

static void send_whole(struct connection *c, const char *p, size_t n)
{
	/* Requests are smaller than any socket buffer, and a connection has one at a time. */
	if (send(c->fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("a request did not leave: %s", strerror(errno));
}

static void open_subscribers(struct run *r, const char *server)
{
	static const char ws[] = "GET /v1/ws?channel=bench HTTP/1.1\r\nHost: bench\r\n"
				 "Connection: Upgrade\r\nUpgrade: websocket\r\n"
				 "Sec-WebSocket-Version: 13\r\n"
				 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	static const char sse[] = "GET /v1/sse?channel=bench HTTP/1.1\r\nHost: bench\r\n\r\n";
	const char *request = r->o->wire == WIRE_WS ? ws : sse;

	for (unsigned i = 0; i < r->o->subscribers; i++) {
		open_connection(r, &r->all[i], server, OPENING);
		send_whole(&r->all[i], request, strlen(request));
		while (i + 1 - r->ready >= OPENING_MAX ||
		       (i + 1 == r->o->subscribers && r->ready < r->o->subscribers)) {
			turn(r, 100);
			if (is_late(r))
				die("only %u subscribers were served in time", r->ready);
		}
	}
}

/* The figure of a counter, over a connection of its own. */
static double read_counter(const char *server, const char *name)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
	struct connection c = {.fd = dial(server)};
	char *text = must_alloc(1, READ_MAX + 1);
	size_t n = 0, body_n;
	const char *body = NULL;
	uint64_t deadline = now_ns() + 5000000000u;

	send_whole(&c, request, sizeof(request) - 1);
	while (!body && n < READ_MAX && now_ns() < deadline) {
		ssize_t got = recv(c.fd, text + n, READ_MAX - n, 0);

		if (got > 0) {
			n += (size_t)got;
			body = whole_answer(text, n, &body_n);
		}
	}
	close(c.fd);
	const char *line = body ? memmem(body, body_n, name, strlen(name)) : NULL;
	while (line && line != body && line[-1] != '\n')
		line = memmem(line + 1, body_n - (size_t)(line + 1 - body), name, strlen(name));
	double value = line ? strtod(line + strlen(name), NULL) : 0;
	free(text);
	return value;
}

/* --- publishing
 * ------------------------------------------------------------------------------------------ */

static void publish(struct run *r, struct connection *c, unsigned i)
{
	static char request[BYTES_MAX + 512];
	unsigned bytes = r->o->bytes;
	int head = sprintf(request,
			   "POST /v1/publish?channel=bench HTTP/1.1\r\nHost: bench\r\n"
			   "Content-Type: application/json\r\nContent-Length: %u\r\n\r\n",
			   bytes);
	char *payload = request + head;
	int n = sprintf(payload, "{\"i\":%u,\"t\":%llu,\"x\":\"", i, (unsigned long long)now_ns());

	memset(payload + n, 'x', bytes - (unsigned)n - 2);
	memcpy(payload + bytes - 2, "\"}", 2);
	c->state = BUSY;
	c->message = i;
	send_whole(c, request, (size_t)head + bytes);
}

static void publish_more(struct run *r)
{
	struct connection *publishers = r->all + r->o->subscribers;

	for (unsigned i = 0; i < r->o->window; i++) {
		if (r->started == r->target || r->started - r->completed >= r->o->window)
			return;
		if (publishers[i].state == FREE)
			publish(r, &publishers[i], r->started++);
	}
}

/* Publish until so many messages are through, or the deadline passes. */
static void publish_until(struct run *r, unsigned target)
{
	r->target = target;
	while (r->completed < target && !is_late(r)) {
		publish_more(r);
		turn(r, 100);
	}
}

/* --- one run
 * -----------------------------------------------------------------------------------------------
 */

static int compare_seqs(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* After everything has come: is it what the receipts promised? Return the number of faults. */
static uint64_t verify(struct run *r, const char *who)
{
	uint64_t strange = 0, missing = 0;

	while (turn(r, QUIET_MS))
		;
	for (unsigned i = 0; i < r->o->subscribers; i++)
		missing += r->started - r->all[i].next;
	qsort(r->receipts, r->started, sizeof(*r->receipts), compare_seqs);
	for (unsigned i = 0; i < r->seen_n; i++)
		strange += r->seen[i] != r->receipts[i];
	uint64_t faults = r->lost + missing + r->repeated + r->disordered + strange +
			  (r->started - r->seen_n) + (r->total - r->started);
	if (faults)
		fprintf(stderr,
			"fanout: %s: lost %llu, repeated %llu, out of order %llu, not as in the "
			"receipts %llu; %u of %u messages were published, %u are through\n",
			who, (unsigned long long)(r->lost + missing),
			(unsigned long long)r->repeated, (unsigned long long)r->disordered,
			(unsigned long long)strange, r->started, r->total, r->completed);
	return faults;
}

static struct run *run_new(const struct options *o)
{
	struct run *r = must_alloc(1, sizeof(*r));

	r->o = o;
	r->total = o->warm_up + o->messages;
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->all = must_alloc(o->subscribers + o->window, sizeof(*r->all));
	r->seen = must_alloc(r->total, sizeof(*r->seen));
	r->receipts = must_alloc(r->total, sizeof(*r->receipts));
	r->delivered = must_alloc(r->total, sizeof(*r->delivered));
	r->deadline_ns = now_ns() + o->limit_s * 1000000000ull;
	return r;
}

static void run_free(struct run *r)
{
	for (unsigned i = 0; i < r->o->subscribers + r->o->window; i++) {
		close(r->all[i].fd);
		free(r->all[i].rest);
	}
	close(r->epoll);
	free(r->all);
	free(r->seen);
	free(r->receipts);
	free(r->delivered);
	free(r);
}

static struct result measure(const struct options *o, const char *who, const char *server,
			     pid_t pid)
{
	static const char writes[] = "holdfast_socket_writes_total ";
	struct run *r = run_new(o);
	struct result result = {0};

	for (unsigned i = 0; i < o->window; i++)
		open_connection(r, &r->all[o->subscribers + i], server, FREE);
	size_t rss = process_rss(pid);
	open_subscribers(r, server);
	result.idle_bytes = ((double)process_rss(pid) - (double)rss) / o->subscribers;
	publish_until(r, o->warm_up);
	memset(r->latency, 0, sizeof(r->latency));
	r->latency_n = 0;
	double writes_before = read_counter(server, writes);
	double cpu_before = process_cpu_s(pid);
	uint64_t start = now_ns();
	publish_until(r, r->total);
	result.seconds = (double)(now_ns() - start) / 1e9;
	result.cpu_s = process_cpu_s(pid) - cpu_before;
	result.writes = read_counter(server, writes) - writes_before;
	result.rss = process_rss(pid);
	result.deliveries = (double)r->latency_n;
	result.p50_ms = latency_ms(r, 0.5);
	result.p99_ms = latency_ms(r, 0.99);
	result.faults = verify(r, who);
	run_free(r);
	return result;
}

/* --- what is printed
 * ------------------------------------------------------------------------------------------ */

static void print_title(const struct options *o)
{
	printf("%s: %u %s subscribers of one channel, %u messages of %u bytes, %u in flight\n",
	       o->name, o->subscribers, o->wire == WIRE_WS ? "WebSocket" : "SSE", o->messages,
	       o->bytes, o->window);
	printf("  %-10s%12s%14s%16s%12s%10s%10s%11s\n", "", "deliveries", "deliveries/s",
	       "CPU us/delivery", "writes each", "p50 ms", "p99 ms", "RSS MiB");
}

static void print_result(const char *who, const struct result *x)
{
	printf("  %-10s%12.0f%14.0f%16.3f%12.3f%10.3f%10.3f%11.1f\n", who, x->deliveries,
	       x->deliveries / x->seconds, x->cpu_s * 1e6 / x->deliveries,
	       x->writes / x->deliveries, x->p50_ms, x->p99_ms, (double)x->rss / (1 << 20));
	fflush(stdout);
}

static void print_ratio(const struct result *broker, const struct result *base)
{
	printf("  %-10s%12s%14.2f%16.2f\n", "ratio", "",
	       broker->deliveries / broker->seconds / (base->deliveries / base->seconds),
	       broker->cpu_s / broker->deliveries / (base->cpu_s / base->deliveries));
}

/* --- options
 * ----------------------------------------------------------------------------------------------------
 */

static const char usage_text[] =
	"usage: fanout --server HOST:PORT --pid PID [OPTION...]\n"
	"Measures a broker that runs already, whose channel \"bench\" is new. bench/run starts one "
	"and calls this.\n"
	"  --name NAME           what to call the case\n"
	"  --transport ws|sse    how subscribers connect (ws)\n"
	"  --subscribers N       1 to 15000 (1000)\n"
	"  --messages M          measured, 1 to 200000 (1000); a tenth more before them is not\n"
	"  --bytes S             size of a payload, 64 to 65000 (256)\n"
	"  --window W            messages in flight, 1 to 256 (1)\n"
	"  --limit SECONDS       give up then, 1 to 600 (60)\n"
	"  --floor               measure the smallest possible server, too, and print the ratio to "
	"it\n"
	"  --server-cpu CPU      the processor of that server\n";

static unsigned number_option(const char *name, const char *text, unsigned min, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < min || value > max)
		die("--%s is %u to %u, not %s", name, min, max, text);
	return (unsigned)value;
}

static void take_option(struct options *o, const char *name, const char *value)
{
	if (strcmp(name, "server") == 0)
		o->server = value;
	else if (strcmp(name, "pid") == 0)
		o->pid = (pid_t)number_option(name, value, 1, 1u << 30);
	else if (strcmp(name, "name") == 0)
		o->name = value;
	else if (strcmp(name, "transport") == 0 && strcmp(value, "sse") == 0)
		o->wire = WIRE_SSE;
	else if (strcmp(name, "transport") == 0 && strcmp(value, "ws") == 0)
		o->wire = WIRE_WS;
	else if (strcmp(name, "subscribers") == 0)
		o->subscribers = number_option(name, value, 1, CONNECTIONS_MAX);
	else if (strcmp(name, "messages") == 0)
		o->messages = number_option(name, value, 1, MESSAGES_MAX);
	else if (strcmp(name, "bytes") == 0)
		o->bytes = number_option(name, value, BYTES_MIN, BYTES_MAX);
	else if (strcmp(name, "window") == 0)
		o->window = number_option(name, value, 1, WINDOW_MAX);
	else if (strcmp(name, "limit") == 0)
		o->limit_s = number_option(name, value, 1, LIMIT_MAX_S);
	else if (strcmp(name, "server-cpu") == 0)
		o->server_cpu = (int)number_option(name, value, 0, 1023);
	else if (strcmp(name, "floor") == 0)
		o->with_floor = true;
	else
		die("--%s can not be %s", name, value);
}

static struct options read_options(int argc, char **argv)
{
	static const struct option table[] = {
		{"server", 1, NULL, 0},     {"pid", 1, NULL, 0},         {"name", 1, NULL, 0},
		{"transport", 1, NULL, 0},  {"subscribers", 1, NULL, 0}, {"messages", 1, NULL, 0},
		{"bytes", 1, NULL, 0},      {"window", 1, NULL, 0},      {"limit", 1, NULL, 0},
		{"server-cpu", 1, NULL, 0}, {"floor", 0, NULL, 0},       {NULL, 0, NULL, 0},
	};
	struct options o = {.name = "fanout",
			    .subscribers = 1000,
			    .messages = 1000,
			    .window = 1,
			    .bytes = 256,
			    .limit_s = 60,
			    .server_cpu = -1};
	int i;

	while (getopt_long(argc, argv, "", table, &i) == 0)
		take_option(&o, table[i].name, optarg);
	if (optind != argc || !o.server || !o.pid) {
		fputs(usage_text, stderr);
		exit(2);
	}
	o.warm_up = (o.messages + 9) / 10;
	return o;
}

int main(int argc, char **argv)
{
	struct options o = read_options(argc, argv);

	print_title(&o);
	struct result broker = measure(&o, "holdfast", o.server, o.pid);
	print_result("holdfast", &broker);
	uint64_t faults = broker.faults;
	if (o.with_floor) {
		struct floor f;

		floor_start(&f, o.wire, o.server_cpu);
		struct result base = measure(&o, "floor", f.address, f.pid);
		floor_stop(&f);
		print_result("floor", &base);
		print_ratio(&broker, &base);
		faults += base.faults;
	}
	printf("  idle: %.0f bytes of the broker's memory per connection. %s\n", broker.idle_bytes,
	       faults ? "FAILED: see above" : "Lost 0, repeated 0, out of order 0");
	return faults ? 1 : 0;
}
