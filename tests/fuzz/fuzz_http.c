/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http: a client's bytes through conn.c and http.c, three times:
 *
 *   whole    in one piece, every request answered at once
 *   pieces   in pieces of the size that the first byte says
 *   late     in pieces, and requests answered as late as possible, the newest first
 *
 * The handler echoes what it understood, so all three must give the client the same bytes (but for
 * 100 Continue, which depends on when a body comes). What reaches the handler must keep the
 * promises of net/http.h; what leaves must be a row of answers and then FIN.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX    8192
#define PIPELINE_MAX 3

struct rig {
	struct conn_env env;
	struct conn *conn;
	int peer;
	bool is_late, got_eof;
	struct http_exchange *kept[PIPELINE_MAX];
	unsigned kept_n, requests;
	struct buf out;
};

static struct loop *loop;
static struct counters *counters;

/* --- the handler ----------------------------------------------------------------------------- */

static bool has_byte(struct slice s, const char *bytes, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (memchr(bytes, s.p[i], n))
			return true;
	return false;
}

static void check_request(const struct http_request *r)
{
	assert(r->method_text.n > 0 && r->path.n > 0 && r->path.p[0] == '/');
	assert(!memchr(r->path.p, '\0', r->path.n));
	assert(r->minor <= 1 && r->header_n <= HTTP_HEADERS_MAX && r->param_n <= HTTP_PARAMS_MAX);
	assert(r->minor == 0 || http_header_count(r, "host") == 1);
	for (size_t i = 0; i < r->header_n; i++) {
		assert(r->headers[i].name.n > 0);
		assert(!has_byte(r->headers[i].name, " \t\r\n:\0", 6));
		assert(!has_byte(r->headers[i].value, "\r\n\0", 3));
	}
	for (size_t i = 0; i < r->param_n; i++)
		assert(!has_byte(r->params[i].name, "", 1) && !has_byte(r->params[i].value, "", 1));
}

static void answer(struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	struct buf b = {0};

	buf_addf(&b, "%.*s|%.*s|%.*s|%d%d|", SLICE_ARG(r->method_text), SLICE_ARG(r->path),
		 SLICE_ARG(r->query), r->minor, r->wants_upgrade);
	for (size_t i = 0; i < r->header_n; i++)
		buf_addf(&b, "%.*s:%.*s|", SLICE_ARG(r->headers[i].name),
			 SLICE_ARG(r->headers[i].value));
	for (size_t i = 0; i < r->param_n; i++)
		buf_addf(&b, "%.*s=%.*s|", SLICE_ARG(r->params[i].name),
			 SLICE_ARG(r->params[i].value));
	buf_add_slice(&b, r->body);
	http_respond(x, 200, "text/plain", "", buf_slice(&b));
	buf_fini(&b);
}

static void on_abort(struct http_exchange *x)
{
	assert(!"nobody hangs up on a request here");
}

static void on_request(void *arg, struct http_exchange *x)
{
	struct rig *r = *(struct rig **)arg;

	check_request(http_exchange_request(x));
	r->requests++;
	if (!r->is_late) {
		answer(x);
		return;
	}
	assert(r->kept_n < PIPELINE_MAX);
	http_exchange_set(x, r, on_abort);
	r->kept[r->kept_n++] = x;
}

static size_t body_limit(void *arg, const struct http_request *r)
{
	return slice_eq_str(r->path, "/small") ? 3 : 2000;
}

static struct rig *current;
static const struct http_config cfg = {
	.head_max = 1000,
	.target_max = 300,
	.body_max = 2000,
	.pipeline_max = PIPELINE_MAX,
	.cors_origins = "https://a.example",
	.on_request = on_request,
	.body_limit = body_limit,
	.arg = &current,
};

/* --- one run --------------------------------------------------------------------------------- */

static void receive(struct rig *r)
{
	char bytes[65536];
	ssize_t n;

	while (!r->got_eof && (n = recv(r->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
		r->got_eof = n == 0;
		buf_add(&r->out, bytes, (size_t)n);
	}
}

/* Turn until nothing moves and nothing is to be answered. */
static void settle(struct rig *r)
{
	size_t before;
	do {
		before = r->out.n + r->requests;
		for (int i = 0; i < 4; i++)
			loop_turn(loop, false);
		receive(r);
	} while (r->out.n + r->requests != before);
	if (r->kept_n > 0) {
		while (r->kept_n > 0)
			answer(r->kept[--r->kept_n]);
		settle(r);
	}
}

static void run(struct rig *r, struct slice in, size_t piece, bool is_late)
{
	int fds[2], rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

	assert(rc == 0);
	*r = (struct rig){.peer = fds[1], .is_late = is_late};
	r->env = (struct conn_env){
		.loop = loop, .counters = counters, .linger_ms = 1000, .in_max = 4096};
	LIST_INIT(&r->env.all);
	current = r;
	r->conn = conn_new(&r->env, fds[0], &conn_io_plain, NULL, NULL);
	http_serve(r->conn, &cfg);
	while (in.n > 0) {
		size_t n = in.n < piece ? in.n : piece;
		if (send(r->peer, in.p, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
			break;
		in = slice_skip(in, n);
		for (int i = 0; i < 2; i++)
			loop_turn(loop, false);
		receive(r);
		if (r->kept_n == PIPELINE_MAX)
			settle(r);
	}
	settle(r);
	shutdown(r->peer, SHUT_WR);
	settle(r);
	assert(r->got_eof);
	assert(LIST_EMPTY(&r->env.all));
	conn_env_fini(&r->env);
	close(r->peer);
}

/* Take every 100 Continue out. */
static void drop_continues(struct buf *b)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const size_t n = sizeof(text) - 1;
	char *at;

	while (b->n >= n && (at = memmem(b->p, b->n, text, n))) {
		memmove(at, at + n, b->n - (size_t)(at + n - b->p));
		b->n -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig runs[3];

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (!loop) {
		clock_fake_set(1000000, 1000000);
		loop = loop_new("fuzz");
		counters = counters_new();
	}
	struct slice in = slice_make((const char *)data + 1, size - 1);
	size_t piece = data[0] % 64 + 1;
	run(&runs[0], in, INPUT_MAX, false);
	run(&runs[1], in, piece, false);
	run(&runs[2], in, piece, true);
	for (int i = 0; i < 3; i++) {
		drop_continues(&runs[i].out);
		assert(runs[i].out.n == 0 || slice_starts(buf_slice(&runs[i].out), "HTTP/1.1 "));
		assert(slice_eq(buf_slice(&runs[i].out), buf_slice(&runs[0].out)));
		assert(runs[i].requests == runs[0].requests);
	}
	for (int i = 0; i < 3; i++)
		buf_fini(&runs[i].out);
	return 0;
}
