/* SPDX-License-Identifier: MIT */
/*
 * worker: wiring of one I/O thread. Everything that reaches it from outside is a letter in its
 * mailbox (on_letter) or a byte on a socket (accept_connection). It must never block.
 */
#include "daemon/worker.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/frame.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "broker/presence_desk.h"
#include "daemon/admin.h"
#include "daemon/demo_stats.h"
#include "net/conn_batch.h"
#include "net/deflate.h"
#include "transports/transport.h"

#define DRAIN_LOOK_MS 50
/* What a crowd's handshakes took is free again soon, but under what else was allocated meanwhile,
 * where malloc leaves it: when so many came it is given back, but so long after the last of them,
 * as that takes milliseconds. */
#define TRIM_CONNECTIONS 64
#define TRIM_MS          500

/* --- options into the parts ------------------------------------------------------------------ */

static struct hub_limits hub_limits_of(const struct config *c)
{
	return (struct hub_limits){
		.channels_per_subscriber = c->channels_per_subscription,
		.patterns_per_subscriber = c->patterns_per_subscription,
		.patterns = c->patterns,
		.pattern_any = c->pattern_any,
		.page_scan = c->pattern_scan,
		.message_bytes = c->message_bytes,
		.last_max = (uint32_t)c->last_limit,
		.recent_count = c->recent_count,
		.recent_bytes = c->recent_bytes,
		.recent_total_bytes = c->recent_total_bytes,
		.page_rows = 1000,
		/* A page fills half the window, so that what was read is also taken. */
		.page_bytes = c->replay_window_bytes / 2,
		/* More keep the readers busy no better, and all answers may come in one turn. */
		.pages = 32,
		/* A few milliseconds with the writes to sockets, whatever comes back at once. */
		.replay_turn_bytes = 128 << 10,
		/* A client between two polls finds its channel's history still in memory. */
		.idle_channel_ms = 30000,
		.idle_channels = 10000,
		.ack_expiry_ms = c->ack_expiry_ms,
	};
}

static struct gateway_config gateway_config_of(const struct config *c)
{
	return (struct gateway_config){
		.out_queue_bytes = c->out_queue_bytes,
		.replay_window_bytes = c->replay_window_bytes,
		.heartbeat_ms = c->heartbeat_ms,
		.sse_retry_ms = c->sse_retry_ms,
		.poll_wait_max_ms = c->poll_wait_max_ms,
		.poll_batch_ms = c->poll_batch_ms,
		.poll_messages = c->poll_messages,
		.poll_bytes = c->poll_bytes,
		.history_limit = c->history_limit,
		.channels_per_subscription = c->channels_per_subscription,
		.patterns_per_subscription = c->patterns_per_subscription,
		.pattern_any = c->pattern_any,
		.message_bytes = c->message_bytes,
		.request_bytes = c->body_bytes,
		.batch_bytes = c->batch_bytes,
		.last_limit = (uint32_t)c->last_limit,
		.pending_publishes = c->pending_publishes,
		.presence_members = c->presence_members,
		.info_bytes = c->presence_info_bytes,
		.in_flight = (uint32_t)c->in_flight,
		.in_flight_max = (uint32_t)c->in_flight_max,
		.ack_wait_ms = c->ack_wait_ms,
		.ack_wait_min_ms = c->ack_wait_min_ms,
		.lag_max = c->lag_count,
		.key_window_ms = c->key_window_ms,
		.ws_origins = c->ws_origins,
		.log_sessions = c->log_sessions,
		.ws =
			{
				.message_max = c->ws_message_bytes,
				.fragments_max = (unsigned)c->ws_fragments,
				.heartbeat_ms = c->heartbeat_ms,
				.pong_timeout_ms = c->pong_timeout_ms,
				.close_timeout_ms = c->ws_close_timeout_ms,
			},
	};
}

static struct http_config http_config_of(const struct config *c, struct gateway *g)
{
	return (struct http_config){
		.head_max = c->head_bytes,
		.target_max = c->target_bytes,
		.body_max = c->body_bytes,
		.head_timeout_ms = c->head_timeout_ms,
		.body_timeout_ms = c->body_timeout_ms,
		.idle_timeout_ms = c->idle_timeout_ms,
		.pipeline_max = (unsigned)c->pipeline,
		.server = "holdfast",
		.cors_origins = c->cors_origins,
		.on_request = gateway_on_request,
		.body_limit = gateway_body_limit,
		.arg = g,
	};
}

static struct deflate_config deflate_config_of(const struct config *c)
{
	return (struct deflate_config){
		.level = (int)c->ws_deflate_level,
		.window_bits = (unsigned)c->ws_deflate_window_bits,
		.min_bytes = c->ws_deflate_min_bytes,
		.max_bytes = c->ws_deflate_max_bytes,
		.gzip_level = (int)c->gzip_level,
		.gzip_min_bytes = c->gzip_min_bytes,
		.gzip_max_bytes = c->gzip_max_bytes,
	};
}

/* Before the first connection. */
static void set_up_deflate(struct worker *w, const struct config *c)
{
	struct deflate_config cfg = deflate_config_of(c);

	w->deflater = deflater_new(&cfg, w->counters);
	w->hub->packer = w->deflater;
	w->gateway_config.ws.deflater = c->ws_deflate ? w->deflater : NULL;
	w->http.deflater = c->gzip ? w->deflater : NULL;
}

static void set_up_connections(struct worker *w, const struct config *c)
{
	w->conns.loop = w->loop;
	w->conns.counters = w->counters;
	w->conns.write_timeout_ms = c->write_timeout_ms;
	w->conns.linger_ms = c->linger_ms;
	w->conns.tcp_user_timeout_ms = (unsigned)c->tcp_user_timeout_ms;
	w->conns.in_max = c->head_bytes + 64 * 1024;
	w->conns.max = (c->max_connections + w->server->worker_n - 1) / w->server->worker_n;
	LIST_INIT(&w->conns.all);
}

/* --- connections ----------------------------------------------------------------------------- */

static void on_trim(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, trim_timer);

	w->accepted_n = 0;
	frames_trim();
	xtrim();
}

static void accept_connection(void *arg, int fd, bool is_admin)
{
	struct worker *w = arg;
	struct conn *c = conn_new(&w->conns, fd, &conn_io_plain, NULL, NULL);

	c->is_admin = is_admin;
	http_serve(c, &w->http);
	if (++w->accepted_n >= TRIM_CONNECTIONS)
		loop_timer_set(w->loop, &w->trim_timer, TRIM_MS);
}

void worker_listen(struct worker *w, int fd, bool is_admin)
{
	assert(w->listener_n < ARRAY_LEN(w->listeners));
	w->listeners[w->listener_n++] = listener_new(&w->conns, fd, is_admin, accept_connection, w);
}

static void stop_listening(struct worker *w)
{
	while (w->listener_n)
		listener_free(w->listeners[--w->listener_n]);
}

/* --- draining and stopping ------------------------------------------------------------------- */

static void close_idle_connections(struct worker *w)
{
	struct conn *c, *next;

	LIST_FOREACH_SAFE (c, &w->conns.all, link, next)
		http_close_if_idle(c);
}

static void on_drain_look(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, drain_timer);

	close_idle_connections(w);
	if (w->conns.n == 0)
		sem_post(&w->server->idle);
	else
		loop_timer_set(w->loop, t, DRAIN_LOOK_MS);
}

/* New connections are still accepted: whoever comes is told, by /readyz or a refusal, instead of
 * running into a closed port. */
static void drain(struct worker *w)
{
	w->http.is_draining = true;
	gateway_drain(&w->gateway, atomic_load(&w->server->newest)->drain_spread_ms);
	on_drain_look(&w->drain_timer);
}

static void stop(struct worker *w)
{
	struct conn *c;

	stop_listening(w);
	loop_timer_clear(w->loop, &w->drain_timer);
	loop_timer_clear(w->loop, &w->trim_timer);
	demo_stats_stop(w->demo_stats);
	while ((c = LIST_FIRST(&w->conns.all)) != NULL)
		conn_close(c, CLOSE_DRAIN);
	loop_stop(w->loop);
}

/* --- letters --------------------------------------------------------------------------------- */

/* Receipts first: a publisher does not wait behind the writes to all subscribers. */
static void on_batch(struct worker *w, struct batch_letter *l)
{
	struct append *a;

	while ((a = STAILQ_FIRST(&l->receipts)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->receipts, receipt);
		outbox_note_back(&w->hub->outbox, a);
		a->done(a);
	}
	hub_deliver(w->hub, l->batch);
	batch_letter_free(l);
}

static void on_errand(struct worker *w, struct errand *e)
{
	struct server *s = w->server;

	if (e->visited == s->worker_n) {
		e->done(e);
		return;
	}
	e->visit(w, e);
	e->visited++;
	mailbox_post(&s->workers[(e->home + e->visited) % s->worker_n]->mailbox, &e->letter);
}

void errand_send(struct worker *home, struct errand *e)
{
	e->letter.kind = LETTER_ERRAND;
	e->home = home->index;
	e->visited = 0;
	mailbox_post(&home->mailbox, &e->letter);
}

static void on_config(struct worker *w, struct config_letter *l)
{
	hub_set_namespaces(w->hub, l->namespaces);
	w->gateway_config.log_sessions = l->log_sessions;
	namespace_table_unref(l->namespaces);
	free(l);
}

static void on_letter(struct letter *l, void *arg)
{
	struct worker *w = arg;

	CHECK_OBJ(w, WORKER_MAGIC);
	switch (l->kind) {
	case LETTER_BATCH:
		on_batch(w, container_of(l, struct batch_letter, letter));
		break;
	case LETTER_QUERY: {
		struct query *q = container_of(l, struct query, letter);
		q->done(q);
		break;
	}
	case LETTER_TASK: {
		struct store_task *t = container_of(l, struct store_task, letter);
		t->done(t);
		break;
	}
	case LETTER_ACK: {
		struct ack_letter *a = container_of(l, struct ack_letter, letter);
		a->done(a);
		break;
	}
	case LETTER_ERRAND:
		on_errand(w, container_of(l, struct errand, letter));
		break;
	case LETTER_CONFIG:
		on_config(w, container_of(l, struct config_letter, letter));
		break;
	case LETTER_DRAIN:
		free(l);
		drain(w);
		break;
	case LETTER_STOP:
		free(l);
		stop(w);
		break;
	case LETTER_APPEND:
		assert(!"an append comes back inside a batch");
	}
}

void worker_post(struct worker *w, enum letter_kind kind)
{
	struct letter *l = xcalloc(1, sizeof(*l));

	l->kind = kind;
	mailbox_post(&w->mailbox, l);
}

/* What came after the worker had stopped: nobody waits for it any more. */
static void drop_letters(struct worker *w)
{
	struct letter_list list = STAILQ_HEAD_INITIALIZER(list);
	struct letter *l;

	mailbox_take(&w->mailbox, &list);
	while ((l = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, link);
		switch (l->kind) {
		case LETTER_BATCH: {
			struct batch_letter *b = container_of(l, struct batch_letter, letter);
			struct append *a;

			while ((a = STAILQ_FIRST(&b->receipts)) != NULL) {
				STAILQ_REMOVE_HEAD(&b->receipts, receipt);
				append_free(a);
			}
			batch_letter_free(b);
			break;
		}
		case LETTER_QUERY:
			query_free(container_of(l, struct query, letter));
			break;
		case LETTER_ACK:
			ack_letter_free(container_of(l, struct ack_letter, letter));
			break;
		case LETTER_TASK:
			store_task_free(container_of(l, struct store_task, letter));
			break;
		case LETTER_CONFIG:
			namespace_table_unref(
				container_of(l, struct config_letter, letter)->namespaces);
			free(l);
			break;
		case LETTER_ERRAND:
		case LETTER_DRAIN:
		case LETTER_STOP:
		case LETTER_APPEND:
			free(l);
			break;
		}
	}
}

/* --- life ------------------------------------------------------------------------------------ */

struct worker *worker_new(struct server *s, unsigned index)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	const struct config *c = s->config;
	struct hub_limits limits = hub_limits_of(c);
	char name[32];

	w->magic = WORKER_MAGIC;
	w->index = index;
	w->server = s;
	snprintf(name, sizeof(name), "worker%u", index);
	w->loop = loop_new(name);
	w->counters = counters_new();
	mailbox_init(&w->mailbox);
	w->hub = hub_new(w->loop, s->history, &w->mailbox, s->census, c->namespaces, w->counters,
			 &limits);
	w->desk = w->hub->desk = presence_desk_new(&(struct presence_desk){
		.loop = w->loop,
		.history = s->history,
		.mailbox = &w->mailbox,
		.counters = w->counters,
		.presence = s->presence,
	});
	set_up_connections(w, c);
	w->gateway_config = gateway_config_of(c);
	w->gateway = (struct gateway){
		.loop = w->loop,
		.hub = w->hub,
		.counters = w->counters,
		.config = &w->gateway_config,
		.session_key = &s->session_key,
		.extra = admin_registry,
		.extra_arg = w,
	};
	LIST_INIT(&w->gateway.sessions);
	w->http = http_config_of(c, &w->gateway);
	set_up_deflate(w, c);
	loop_timer_init(&w->drain_timer, on_drain_look);
	loop_timer_init(&w->trim_timer, on_trim);
	mailbox_attach(&w->mailbox, w->loop, on_letter, w);
	history_add_worker(s->history, &w->mailbox);
	if (index == 0 && c->demo)
		w->demo_stats = demo_stats_new(w);
	return w;
}

/* In the worker's own thread, as the kernel's ring wants it. */
static void batch_writes(struct worker *w)
{
	const char *why = "server.io_uring = no";
	bool is_on = w->server->config->io_uring && conn_batch_start(&w->conns, &why);

	if (w->index == 0 && !is_on)
		log_info("no-write-batches", "reason=%s", log_value(why));
}

static void *run(void *arg)
{
	struct worker *w = arg;

	batch_writes(w);
	loop_run(w->loop);
	return NULL;
}

int worker_start(struct worker *w)
{
	char name[16];

	int rc = pthread_create(&w->thread, NULL, run, w);
	if (rc == 0) {
		snprintf(name, sizeof(name), "hf-worker%u", w->index);
		pthread_setname_np(w->thread, name);
	}
	return -rc;
}

void worker_settle(struct worker *w)
{
	CHECK_OBJ(w, WORKER_MAGIC);
	stop_listening(w);
	demo_stats_stop(w->demo_stats);
	mailbox_detach(&w->mailbox);
	loop_turn(w->loop, false); /* what was deferred */
}

/* No turn of the loop in here: a timer that is due meanwhile would call upon the log. */
void worker_free(struct worker *w)
{
	CHECK_OBJ(w, WORKER_MAGIC);
	drop_letters(w);
	demo_stats_free(w->demo_stats);
	hub_free(w->hub);
	presence_desk_free(w->desk);
	deflater_free(w->deflater);
	conn_batch_free(w->conns.batch);
	loop_free(w->loop);
	gateway_fini(&w->gateway);
	conn_env_fini(&w->conns);
	mailbox_fini(&w->mailbox);
	counters_free(w->counters);
	w->magic = 0;
	free(w);
}
