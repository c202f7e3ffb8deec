/* SPDX-License-Identifier: MIT */
/* info: GET /v1/info, and the hello that streams begin with: what this server is and what it
 * allows. */
#include "transports/encode.h"
#include "transports/hello.h"
#include "transports/transport.h"

void json_add_limits(struct buf *out, const struct gateway_config *cfg)
{
	buf_addf(out,
		 "{\"channel_bytes\":255,\"message_bytes\":%zu,\"channels\":%zu,\"request_bytes\":%"
		 "zu,"
		 "\"poll_wait\":%llu,\"history_limit\":%zu,\"last\":%u,"
		 "\"patterns\":%zu,\"pattern_any\":%s,\"info_bytes\":%zu,\"members\":%zu,"
		 "\"max_in_flight\":%u,\"key_window\":%.15g}",
		 cfg->message_bytes, cfg->channels_per_subscription, cfg->request_bytes,
		 (unsigned long long)(cfg->poll_wait_max_ms / 1000), cfg->history_limit,
		 cfg->last_limit, cfg->patterns_per_subscription,
		 cfg->pattern_any ? "true" : "false", cfg->info_bytes, cfg->presence_members,
		 cfg->in_flight_max, (double)cfg->key_window_ms / 1000);
}

void json_add_hello(struct buf *out, const struct session *s, uint64_t cursor)
{
	const struct gateway *g = s->gateway;
	char name[SESSION_ID_TEXT + 1];

	struct session_id id = session_id(s);
	session_id_format(name, &id);
	buf_addf(out, "{\"type\":\"hello\",\"session\":\"%s\",\"epoch\":\"%s\",\"cursor\":", name,
		 g->hub->epoch.text);
	json_add_id(out, &g->hub->epoch, cursor);
	buf_addf(out, ",\"heartbeat\":%g,\"limits\":", (double)g->config->heartbeat_ms / 1000);
	json_add_limits(out, g->config);
	buf_add_char(out, '}');
}

static bool info_match(const struct http_request *r)
{
	return slice_eq_str(r->path, "/v1/info");
}

static void info_open(struct gateway *g, struct http_exchange *x)
{
	struct buf b = {0};

	buf_addf(&b,
		 "{\"name\":\"holdfast\",\"version\":\"" HOLDFAST_VERSION
		 "\",\"protocol\":1,\"epoch\":\"%s\","
		 "\"transports\":[\"websocket\",\"sse\",\"longpoll\",\"shortpoll\"],\"limits\":",
		 g->hub->epoch.text);
	json_add_limits(&b, g->config);
	buf_add_char(&b, '}');
	http_respond(x, 200, "application/json", "Cache-Control: no-cache\r\n", buf_slice(&b));
	buf_fini(&b);
}

const struct transport_ops info_transport = {
	.name = "info", .methods = METHODS_GET, .match = info_match, .open = info_open};
