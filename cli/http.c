/* SPDX-License-Identifier: MIT */
/*
 * http.c: libcurl's multi interface with one transfer, so that every wait is ours.
 *
 * DESIGN. curl_easy_perform() would do for admin commands, but `pub -` reads on while a batch is
 * under way and `sub` must hear signals; one loop serves all. Two settings are about promises:
 *
 *  - A request body is given through a read function that can not rewind. When a kept connection
 *    breaks under a POST, curl would send it again; it may have been stored the first time, and a
 *    message would be in the log twice. Without rewind curl fails instead, and the user is told.
 *  - Proxies of the environment are for hosts far away: never for sockets and loopback.
 */
#include "cli/http.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/event.h"
#include "cli/field.h"
#include "cli/human.h"

#define CONNECT_TIMEOUT_MS 10000
#define BODY_MAX           ((size_t)256 << 20)
#define WAIT_MAX_MS        1000

struct transfer {
	struct http *http;
	const struct http_request *request;
	struct http_reply *reply;
	size_t sent;      /* of the body */
	uint64_t last_ms; /* when bytes came last */
	bool is_ended;    /* on_body said so */
};

void http_init(struct http *h, const struct target *target)
{
	*h = (struct http){.target = target, .stall_ms = HTTP_STALL_MS};
	h->easy = curl_easy_init();
	h->multi = curl_multi_init();
	assert(h->easy && h->multi);
}

void http_fini(struct http *h)
{
	curl_multi_remove_handle(h->multi, h->easy);
	curl_easy_cleanup(h->easy);
	curl_multi_cleanup(h->multi);
}

static size_t on_write(char *bytes, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct slice chunk = slice_make(bytes, one * n);
	long status = 0;

	t->last_ms = clock_mono_ms();
	curl_easy_getinfo(t->http->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200 && t->request->on_body) {
		if (t->request->on_body(t->request->arg, chunk))
			return chunk.n;
		t->is_ended = true;
		return 0;
	}
	return buf_add_slice(&t->reply->body, chunk) ? 0 : chunk.n;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *arg)
{
	((struct transfer *)arg)->last_ms = clock_mono_ms();
	return one * n;
}

static size_t on_read(char *out, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct slice rest = slice_skip(t->request->body, t->sent);
	size_t take = rest.n < one * n ? rest.n : one * n;

	memcpy(out, rest.p, take);
	t->sent += take;
	t->last_ms = clock_mono_ms();
	return take;
}

static bool is_loopback(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
	       strncmp(host, "[::1]", 5) == 0;
}

static void set_common(struct http *h, const char *url, char error[CURL_ERROR_SIZE])
{
	curl_easy_reset(h->easy);
	curl_easy_setopt(h->easy, CURLOPT_URL, url);
	curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(h->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h->easy, CURLOPT_USERAGENT, "holdfast-cli/" HOLDFAST_VERSION);
	if (h->target->socket)
		curl_easy_setopt(h->easy, CURLOPT_UNIX_SOCKET_PATH, h->target->socket);
	if (h->target->socket || is_loopback(h->target->url))
		curl_easy_setopt(h->easy, CURLOPT_PROXY, "");
}

static struct curl_slist *header_list(const struct http_request *r)
{
	/* Waiting for a 100 costs a round trip and wins nothing on requests of this size. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	struct buf line;

	buf_init(&line, 1024);
	if (r->content_type && buf_addf(&line, "Content-Type: %s", r->content_type) == 0 &&
	    buf_add_char(&line, '\0') == 0)
		list = curl_slist_append(list, line.p);
	else
		list = curl_slist_append(list, "Content-Type:");
	buf_fini(&line);
	for (size_t i = 0; i < ARRAY_LEN(r->headers) && r->headers[i]; i++)
		list = curl_slist_append(list, r->headers[i]);
	return list;
}

static void set_request(struct transfer *t, const struct curl_slist *headers)
{
	const struct http_request *r = t->request;
	CURL *easy = t->http->easy;

	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	if (strcmp(r->method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(easy, CURLOPT_READDATA, t);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
	}
}

/* Wait for the socket, the caller's descriptors, or a deadline. */
static void wait_turn(struct http *h, uint64_t now_ms, uint64_t stall_at_ms)
{
	struct curl_waitfd fds[HTTP_WATCH_MAX] = {0};
	uint64_t until = now_ms + WAIT_MAX_MS;
	unsigned n = h->watch.fds ? h->watch.fds(h->watch.arg, fds) : 0;

	if (stall_at_ms < until)
		until = stall_at_ms;
	if (h->watch.wake_ms && h->watch.wake_ms < until)
		until = h->watch.wake_ms;
	curl_multi_poll(h->multi, n ? fds : NULL, n, until > now_ms ? (int)(until - now_ms) : 0,
			NULL);
}

/* Turn until the transfer ends. CURLE_OK, or curl's error; *ret_result says when it was us. */
static CURLcode drive(struct transfer *t, enum http_result *ret_result)
{
	struct http *h = t->http;
	int running = 1, left;
	CURLMsg *message;

	for (;;) {
		uint64_t now;
		curl_multi_perform(h->multi, &running);
		now = clock_mono_ms();
		if (h->watch.turn && !h->watch.turn(h->watch.arg)) {
			*ret_result = HTTP_STOPPED;
			return CURLE_ABORTED_BY_CALLBACK;
		}
		if (!running)
			break;
		if (now >= t->last_ms + h->stall_ms) {
			*ret_result = HTTP_STALLED;
			return CURLE_OPERATION_TIMEDOUT;
		}
		wait_turn(h, now, t->last_ms + h->stall_ms);
	}
	message = curl_multi_info_read(h->multi, &left);
	return message && message->msg == CURLMSG_DONE ? message->data.result : CURLE_FAILED_INIT;
}

static void judge(struct transfer *t, CURLcode code, enum http_result ours, const char *error)
{
	struct http_reply *reply = t->reply;
	curl_off_t retry_after = 0;
	long status = 0, request_size = 0, os_error = 0;

	curl_easy_getinfo(t->http->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->http->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(t->http->easy, CURLINFO_RETRY_AFTER, &retry_after);
	reply->status = (int)status;
	reply->retry_after_ms = retry_after > 0 ? (uint64_t)retry_after * 1000 : 0;
	if (code == CURLE_OK) {
		reply->result = HTTP_ANSWERED;
		return;
	}
	reply->result = ours;
	if (t->is_ended)
		reply->result = HTTP_STOPPED;
	else if (ours == HTTP_ANSWERED)
		reply->result = request_size ? HTTP_LOST : HTTP_UNREACHABLE;
	curl_easy_getinfo(t->http->easy, CURLINFO_OS_ERRNO, &os_error);
	if (ours == HTTP_STALLED)
		snprintf(reply->reason, sizeof(reply->reason), "nothing came for %u seconds",
			 (unsigned)(t->http->stall_ms / 1000));
	else if (reply->result == HTTP_UNREACHABLE && os_error)
		snprintf(reply->reason, sizeof(reply->reason), "%s", strerror((int)os_error));
	else if (reply->result == HTTP_UNREACHABLE && t->http->target->socket)
		snprintf(reply->reason, sizeof(reply->reason), "no connection");
	else if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING ||
		 code == CURLE_SEND_FAIL_REWIND)
		snprintf(reply->reason, sizeof(reply->reason), "the server closed the connection");
	else
		snprintf(reply->reason, sizeof(reply->reason), "%s",
			 *error ? error : curl_easy_strerror(code));
}

static void full_url(const struct http *h, struct slice path, struct buf *out)
{
	buf_init(out, (size_t)1 << 20);
	buf_add_str(out, h->target->url);
	buf_add_slice(out, path);
	buf_add_char(out, '\0');
}

void http_perform(struct http *h, const struct http_request *request, struct http_reply *ret_reply)
{
	struct transfer t = {.http = h, .request = request, .reply = ret_reply};
	enum http_result ours = HTTP_ANSWERED;
	char error[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = header_list(request);
	struct buf url;
	CURLcode code;

	memset(ret_reply, 0, sizeof(*ret_reply));
	buf_init(&ret_reply->body, BODY_MAX);
	full_url(h, request->path, &url);
	if (url.failed)
		code = CURLE_URL_MALFORMAT;
	else {
		t.last_ms = clock_mono_ms();
		set_common(h, url.p, error);
		set_request(&t, headers);
		curl_multi_add_handle(h->multi, h->easy);
		code = drive(&t, &ours);
	}
	judge(&t, code, ours, error);
	/* curl keeps a pointer to it until the next reset. */
	curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, NULL);
	curl_multi_remove_handle(h->multi, h->easy);
	curl_slist_free_all(headers);
	buf_fini(&url);
}

void http_connect(struct http *h, struct http_reply *ret_reply)
{
	struct transfer t = {.http = h, .reply = ret_reply};
	enum http_result ours = HTTP_ANSWERED;
	char error[CURL_ERROR_SIZE] = "";
	CURLcode code;

	memset(ret_reply, 0, sizeof(*ret_reply));
	/* A connection of before goes with its handle. */
	curl_multi_remove_handle(h->multi, h->easy);
	set_common(h, h->target->url, error);
	curl_easy_setopt(h->easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(h->easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	t.last_ms = clock_mono_ms();
	curl_multi_add_handle(h->multi, h->easy);
	code = drive(&t, &ours);
	judge(&t, code, ours, error);
	curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, NULL);
}

void http_reply_fini(struct http_reply *reply)
{
	buf_fini(&reply->body);
}

void http_refusal(const struct http_reply *reply, struct buf *out)
{
	struct slice json = buf_slice(&reply->body), error, message;

	if (json_is_valid(json, NULL) && json_object_get(json, "error", &error) &&
	    json_object_get(error, "message", &message)) {
		struct slice code = field_bare(error, "code");
		human_add_safe(out, code);
		buf_addf(out, " (%d): ", reply->status);
		event_text(message, out);
	} else {
		buf_addf(out, "the server answered %d", reply->status);
	}
}

bool http_is_temporary(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
	       status == 504;
}
