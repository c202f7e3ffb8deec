/* SPDX-License-Identifier: MIT */
/*
 * ws_client.c: WebSocket (RFC 6455) for one subscriber.
 *
 * DESIGN. curl makes the connection (sockets, TLS, proxies) and moves bytes; the handshake is one
 * request and one response head; frames are net/ws_frame.h's. Everything waits in wait_socket(),
 * together with what the http's watch waits for. Reading goes on until the socket is dry before
 * anybody sleeps: with TLS, bytes may wait inside the library where poll() does not see them.
 */
#include "cli/ws_client.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/ws_frame.h"

#define READ_SIZE    ((size_t)64 << 10)
#define HANDSHAKE_MS 10000
#define SEND_MS      5000
#define HEAD_MAX     ((size_t)64 << 10)
#define WAIT_MAX_MS  1000

void ws_client_init(struct ws_client *w, struct http *http)
{
	*w = (struct ws_client){.http = http};
	buf_init(&w->in, WS_MESSAGE_MAX + READ_SIZE);
	buf_init(&w->message, WS_MESSAGE_MAX);
}

void ws_client_fini(struct ws_client *w)
{
	buf_fini(&w->in);
	buf_fini(&w->message);
}

/* --- bytes --------------------------------------------------------------------------------- */

/* Sleep until the socket has bytes (or room, with POLLOUT), the watch has something, or until_ms.
 */
static void wait_socket(struct ws_client *w, short events, uint64_t until_ms)
{
	struct http_watch *watch = &w->http->watch;
	struct curl_waitfd fds[HTTP_WATCH_MAX] = {0};
	struct pollfd p[HTTP_WATCH_MAX + 1];
	curl_socket_t fd = CURL_SOCKET_BAD;
	uint64_t now = clock_mono_ms();
	unsigned n = watch->fds ? watch->fds(watch->arg, fds) : 0;

	curl_easy_getinfo(w->http->easy, CURLINFO_ACTIVESOCKET, &fd);
	p[0] = (struct pollfd){.fd = fd, .events = events};
	for (unsigned i = 0; i < n; i++)
		p[i + 1] = (struct pollfd){.fd = fds[i].fd, .events = POLLIN};
	if (watch->wake_ms && watch->wake_ms < until_ms)
		until_ms = watch->wake_ms;
	if (until_ms > now + WAIT_MAX_MS)
		until_ms = now + WAIT_MAX_MS;
	poll(p, n + 1, until_ms > now ? (int)(until_ms - now) : 0);
}

/* Read what is there. Return bytes read, 0: dry, -errno: gone (why is set). */
static int read_some(struct ws_client *w)
{
	CURLcode code;
	size_t n = 0;

	if (buf_reserve(&w->in, READ_SIZE))
		return problem_set(&w->why, -ENOBUFS, "a message is too large");
	code = curl_easy_recv(w->http->easy, w->in.p + w->in.n, READ_SIZE, &n);
	if (code == CURLE_AGAIN)
		return 0;
	if (code != CURLE_OK)
		return problem_set(&w->why, -EIO, "the connection broke: %s",
				   curl_easy_strerror(code));
	if (n == 0)
		return problem_set(&w->why, -ECONNRESET, "the server closed the connection");
	w->in.n += n;
	w->heard_ms = clock_mono_ms();
	return (int)n;
}

static int send_all(struct ws_client *w, const void *bytes, size_t n)
{
	uint64_t until = clock_mono_ms() + SEND_MS;

	while (n) {
		size_t sent = 0;
		CURLcode code = curl_easy_send(w->http->easy, bytes, n, &sent);
		if (code == CURLE_AGAIN) {
			if (clock_mono_ms() >= until)
				return problem_set(&w->why, -ETIMEDOUT,
						   "the server takes no bytes");
			wait_socket(w, POLLOUT, until);
		} else if (code != CURLE_OK) {
			return problem_set(&w->why, -EIO, "the connection broke: %s",
					   curl_easy_strerror(code));
		}
		bytes = (const char *)bytes + sent;
		n -= sent;
	}
	return 0;
}

/* A control frame: at most 125 bytes. */
static int send_control(struct ws_client *w, enum ws_opcode opcode, struct slice payload)
{
	uint8_t frame[WS_HEAD_MAX + 125], mask[4];
	size_t n;

	assert(payload.n <= 125);
	randombytes_buf(mask, sizeof(mask));
	n = ws_head_encode_masked(frame, opcode, true, payload.n, mask);
	memcpy(frame + n, payload.p, payload.n);
	ws_mask(frame + n, payload.n, mask, 0);
	return send_all(w, frame, n + payload.n);
}

void ws_client_close(struct ws_client *w, uint16_t code)
{
	char payload[2] = {(char)(code >> 8), (char)(code & 0xff)};

	send_control(w, WS_CLOSE, slice_make(payload, 2));
}

/* --- handshake ----------------------------------------------------------------------------- */

/* Value of a header of the head, case-insensitive; empty when absent. */
static struct slice header_of(struct slice head, const char *name)
{
	size_t name_n = strlen(name);
	struct slice rest = head;

	while (rest.n) {
		const char *end = memmem(rest.p, rest.n, "\r\n", 2);
		struct slice line = slice_make(rest.p, end ? (size_t)(end - rest.p) : rest.n);

		rest = slice_skip(rest, line.n + 2);
		if (line.n <= name_n || line.p[name_n] != ':' ||
		    !slice_eq_nocase(slice_make(line.p, name_n), name))
			continue;
		line = slice_skip(line, name_n + 1);
		while (line.n && line.p[0] == ' ')
			line = slice_skip(line, 1);
		while (line.n && line.p[line.n - 1] == ' ')
			line.n--;
		return line;
	}
	return slice_make("", 0);
}

/* Path and host of the URL that was given, for the request line and Host. */
static void add_request(struct ws_client *w, struct slice path, const char *key, struct buf *out)
{
	const char *host = strstr(w->http->target->url, "://") + 3;
	const char *slash = strchr(host, '/');
	const char *at = strchr(host, '@');

	if (at && (!slash || at < slash))
		host = at + 1;
	buf_add_str(out, "GET ");
	if (slash)
		buf_add_str(out, slash);
	buf_add_slice(out, path);
	buf_addf(out,
		 " HTTP/1.1\r\n"
		 "Host: %.*s\r\n"
		 "Upgrade: websocket\r\n"
		 "Connection: Upgrade\r\n"
		 "Sec-WebSocket-Key: %s\r\n"
		 "Sec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Protocol: holdfast.v1.json\r\n"
		 "User-Agent: holdfast-cli/" HOLDFAST_VERSION "\r\n"
		 "\r\n",
		 slash ? (int)(slash - host) : (int)strlen(host), host, key);
}

/* Read until w->in holds n bytes, or, with n 0, a whole head. Return the head's size or n; -errno.
 */
static ssize_t read_until(struct ws_client *w, size_t n)
{
	uint64_t until = clock_mono_ms() + HANDSHAKE_MS;

	for (;;) {
		const char *end;
		int rc;

		if (n && w->in.n >= n)
			return (ssize_t)n;
		end = n || !w->in.n ? NULL : memmem(w->in.p, w->in.n, "\r\n\r\n", 4);
		if (end)
			return end + 4 - w->in.p;
		if (!n && w->in.n > HEAD_MAX)
			return problem_set(&w->why, -EPROTO, "the answer's head is too long");
		rc = read_some(w);
		if (rc < 0)
			return rc;
		if (rc > 0)
			continue;
		if (w->http->watch.turn && !w->http->watch.turn(w->http->watch.arg))
			return problem_set(&w->why, -ECANCELED, "stopped");
		if (clock_mono_ms() >= until)
			return problem_set(&w->why, -ETIMEDOUT, "no answer to the handshake");
		wait_socket(w, POLLIN, until);
	}
}

/* A refusal: its status, Retry-After and JSON body, as http_perform() would give them. */
static void take_refusal(struct ws_client *w, struct slice head, struct http_reply *reply)
{
	struct slice retry = header_of(head, "Retry-After");
	struct slice length = header_of(head, "Content-Length");
	size_t head_n = head.n, body_n = 0;

	for (size_t i = 0; i < retry.n && retry.p[i] >= '0' && retry.p[i] <= '9' && i < 6; i++)
		reply->retry_after_ms = 10 * reply->retry_after_ms + (uint64_t)(retry.p[i] - '0');
	reply->retry_after_ms *= 1000;
	for (size_t i = 0; i < length.n && length.p[i] >= '0' && length.p[i] <= '9' && i < 6; i++)
		body_n = 10 * body_n + (size_t)(length.p[i] - '0');
	/* The head's slice dies here: reading may move the buffer. */
	if (body_n && read_until(w, head_n + body_n) > 0)
		buf_add(&reply->body, w->in.p + head_n, body_n);
}

/* Judge the response head; 101 with the right key opens. */
static void take_head(struct ws_client *w, struct slice head, const char *key,
		      struct http_reply *reply)
{
	char expected[29];

	reply->status = 0;
	if (head.n > 12 && slice_starts(head, "HTTP/1.") && head.p[8] == ' ')
		reply->status = atoi(head.p + 9);
	reply->result = HTTP_ANSWERED;
	if (reply->status != 101) {
		take_refusal(w, head, reply);
		return;
	}
	ws_accept_key(slice_str(key), expected);
	if (!slice_eq_str(header_of(head, "Sec-WebSocket-Accept"), expected)) {
		reply->result = HTTP_LOST;
		snprintf(reply->reason, sizeof(reply->reason),
			 "the answer to the handshake has a wrong key: is there a cache on the "
			 "way?");
		return;
	}
	buf_consume(&w->in, head.n);
}

void ws_client_open(struct ws_client *w, struct slice path, struct http_reply *ret_reply)
{
	unsigned char nonce[16];
	char key[32];
	struct buf request;
	ssize_t n;

	http_connect(w->http, ret_reply);
	buf_init(&ret_reply->body, HEAD_MAX);
	if (ret_reply->result != HTTP_ANSWERED)
		return;
	randombytes_buf(nonce, sizeof(nonce));
	sodium_bin2base64(key, sizeof(key), nonce, sizeof(nonce), sodium_base64_VARIANT_ORIGINAL);
	buf_init(&request, (size_t)1 << 20);
	add_request(w, path, key, &request);
	w->heard_ms = clock_mono_ms();
	n = send_all(w, request.p, request.n);
	buf_fini(&request);
	if (n == 0)
		n = read_until(w, 0);
	if (n > 0) {
		take_head(w, slice_make(w->in.p, (size_t)n), key, ret_reply);
		return;
	}
	ret_reply->result = n == -ECANCELED ? HTTP_STOPPED : HTTP_LOST;
	snprintf(ret_reply->reason, sizeof(ret_reply->reason), "%.200s", w->why.text);
}

/* --- frames -------------------------------------------------------------------------------- */

enum frame_verdict { FRAME_NEXT, FRAME_MORE, FRAME_LOST, FRAME_CLOSED, FRAME_STOPPED };

static enum frame_verdict bad_frame(struct ws_client *w, const char *what)
{
	problem_set(&w->why, 0, "the server broke the WebSocket protocol: %s", what);
	ws_client_close(w, 1002);
	return FRAME_LOST;
}

static enum frame_verdict take_control(struct ws_client *w, const struct ws_head *head,
				       struct slice payload)
{
	if (!head->fin || payload.n > 125)
		return bad_frame(w, "a control frame that is too long or cut");
	switch (head->opcode) {
	case WS_PING:
		return send_control(w, WS_PONG, payload) ? FRAME_LOST : FRAME_NEXT;
	case WS_PONG:
		return FRAME_NEXT;
	case WS_CLOSE:
		if (payload.n >= 2) {
			w->close_code =
				(uint16_t)((uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1]);
			snprintf(w->close_reason, sizeof(w->close_reason), "%.*s",
				 SLICE_ARG(slice_skip(payload, 2)));
		}
		/* The echo that RFC 6455 5.5.1 asks for. */
		send_control(w, WS_CLOSE, slice_make(payload.p, payload.n >= 2 ? 2 : 0));
		return FRAME_CLOSED;
	default:
		return bad_frame(w, "an unknown opcode");
	}
}

static enum frame_verdict take_data(struct ws_client *w, const struct ws_head *head,
				    struct slice payload, ws_text_fn *on_text, void *arg)
{
	bool ok;

	if ((head->opcode == WS_CONTINUATION) != w->in_message)
		return bad_frame(w, "fragments out of order");
	if (head->opcode != WS_CONTINUATION && head->opcode != WS_TEXT)
		return bad_frame(w, "a binary frame");
	if (head->fin && !w->in_message)
		return on_text(arg, payload) ? FRAME_NEXT : FRAME_STOPPED;
	w->in_message = !head->fin;
	if (buf_add_slice(&w->message, payload))
		return bad_frame(w, "a message that is too large");
	if (!head->fin)
		return FRAME_NEXT;
	ok = on_text(arg, buf_slice(&w->message));
	buf_clear(&w->message);
	return ok ? FRAME_NEXT : FRAME_STOPPED;
}

/* The frame at the front of bytes; *ret_n: its size. */
static enum frame_verdict take_frame(struct ws_client *w, struct slice bytes, size_t *ret_n,
				     ws_text_fn *on_text, void *arg)
{
	struct ws_head head;
	struct slice payload;

	switch (ws_head_decode(bytes, &head)) {
	case WS_MORE:
		return FRAME_MORE;
	case WS_BAD:
		return bad_frame(w, "a bad length");
	case WS_OK:
		break;
	}
	if (head.rsv || head.masked)
		return bad_frame(w, "a reserved bit or a mask");
	if (head.payload_n > WS_MESSAGE_MAX)
		return bad_frame(w, "a message that is too large");
	if (bytes.n - head.head_n < head.payload_n)
		return FRAME_MORE;
	payload = slice_make(bytes.p + head.head_n, head.payload_n);
	*ret_n = head.head_n + head.payload_n;
	if (head.opcode >= WS_CLOSE)
		return take_control(w, &head, payload);
	return take_data(w, &head, payload, on_text, arg);
}

/* All whole frames that have come. FRAME_MORE: all taken. */
static enum frame_verdict take_frames(struct ws_client *w, ws_text_fn *on_text, void *arg)
{
	enum frame_verdict verdict = FRAME_NEXT;
	size_t done = 0;

	while (verdict == FRAME_NEXT) {
		size_t n = 0;
		verdict = take_frame(w, slice_skip(buf_slice(&w->in), done), &n, on_text, arg);
		done += n;
	}
	buf_consume(&w->in, done);
	return verdict;
}

enum ws_end ws_client_run(struct ws_client *w, ws_text_fn *on_text, void *arg)
{
	struct http_watch *watch = &w->http->watch;

	for (;;) {
		enum frame_verdict verdict = take_frames(w, on_text, arg);
		int rc;

		if (verdict == FRAME_STOPPED)
			return WS_END_STOPPED;
		if (verdict == FRAME_CLOSED)
			return WS_END_CLOSED;
		if (verdict == FRAME_LOST)
			return WS_END_LOST;
		/* Every time, not only when dry: a stream that never pauses must not deafen us. */
		if (watch->turn && !watch->turn(watch->arg))
			return WS_END_STOPPED;
		rc = read_some(w);
		if (rc < 0)
			return WS_END_LOST;
		if (rc > 0)
			continue;
		if (clock_mono_ms() >= w->heard_ms + w->http->stall_ms) {
			problem_set(&w->why, 0, "nothing came for %u seconds",
				    (unsigned)(w->http->stall_ms / 1000));
			return WS_END_LOST;
		}
		wait_socket(w, POLLIN, w->heard_ms + w->http->stall_ms);
	}
}
