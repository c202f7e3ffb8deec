/* SPDX-License-Identifier: MIT */
/* hub_cases: the fan-out to subscribers that only count, and the way to a channel. */
#include <assert.h>
#include <stdio.h>

#include "bench/micro/micro.h"
#include "broker/channel.h"
#include "tests/unit/broker/hub_rig.h"
#include "transports/encode.h"

#define SUBSCRIBERS 1000
#define CHANNELS    10000

static const struct hub_limits limits = {
	.channels_per_subscriber = 8,
	.message_bytes = 65536,
	.last_max = 1000,
	.recent_count = 256,
	.recent_bytes = 1 << 20,
	.recent_total_bytes = 64 << 20,
	.page_rows = 1000,
	.page_bytes = 32768,
	.pages = 32,
	.replay_turn_bytes = 512 << 10,
	.idle_channel_ms = 30000,
	.idle_channels = CHANNELS,
};

static struct hub_rig rig;
static struct subscriber *subscribers;
static size_t sent;
static char payload[128];

/* --- fan-out --------------------------------------------------------------------------------- */

static int on_send(struct subscriber *s, struct frame *f)
{
	micro_use(s);
	micro_use(f);
	sent++;
	return 0;
}

static uint64_t on_rewind(struct subscriber *s)
{
	micro_use(s);
	return 0;
}

static void on_gap(struct subscriber *s, const struct gap *g)
{
	micro_use(s);
	assert(g == NULL);
}

static void on_failed(struct subscriber *s, enum fault_id why)
{
	micro_use(s);
	assert(why == FAULT_NONE);
}

static const struct subscriber_ops ops = {
	.kind = KIND_WEBSOCKET,
	.format = FORMAT_WS_JSON,
	.encode = encode_ws_json,
	.send = on_send,
	.rewind = on_rewind,
	.gap = on_gap,
	.failed = on_failed,
};

static void fan_out_set_up(void)
{
	struct slice name = SLICE("room:1234");
	struct start start = {.kind = START_NOW};
	struct fault fault;

	hub_rig_init(&rig, &limits, 0, 1);
	subscribers = xcalloc(SUBSCRIBERS, sizeof(*subscribers));
	for (size_t i = 0; i < SUBSCRIBERS; i++) {
		subscriber_init(&subscribers[i], rig.hub, &ops);
		int rc = subscriber_add(&subscribers[i], &name, 1, &start, false, &fault);
		assert(rc == 0 && subscribers[i].state == SUB_LIVE);
	}
}

static void fan_out_tear_down(void)
{
	for (size_t i = 0; i < SUBSCRIBERS; i++)
		subscriber_fini(&subscribers[i]);
	free(subscribers);
	hub_rig_fini(&rig);
}

/* A batch of one message, as the log thread makes it. */
static void deliver_one(void)
{
	struct batch *b = xcalloc(1, sizeof(*b) + sizeof(b->messages[0]));
	struct message *m = message_new(&(struct message_spec){
		.channel = SLICE("room:1234"),
		.payload = slice_make(payload, sizeof(payload)),
		.kind = MESSAGE_BINARY,
		.durability = DURABILITY_COMMIT,
	});

	assert(m != NULL);
	m->prev = rig.hub->head;
	m->seq = m->prev + 1;
	m->ts_ms = 1790000000123;
	atomic_init(&b->refs, 1);
	b->head = m->seq;
	b->messages[b->n++] = m;
	hub_deliver(rig.hub, b);
	batch_unref(b);
}

static void run_fan_out(size_t n)
{
	size_t before = sent;

	for (size_t i = 0; i < n; i++)
		deliver_one();
	assert(sent == before + n * SUBSCRIBERS);
}

/* --- channels -------------------------------------------------------------------------------- */

static char names[CHANNELS][24];

static void channels_set_up(void)
{
	hub_rig_init(&rig, &limits, 0, 1);
	for (size_t i = 0; i < CHANNELS; i++) {
		snprintf(names[i], sizeof(names[i]), "room:%zu", i * 7919);
		channel_get(rig.hub, slice_str(names[i]));
	}
}

static void channels_tear_down(void)
{
	hub_rig_fini(&rig);
}

static void run_channels(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct channel *ch = channel_find(rig.hub, slice_str(names[i * 13 % CHANNELS]));
		assert(ch != NULL);
	}
}

const struct micro_case hub_cases[] = {
	{"hub-fan-out", "a message of 128 bytes delivered to 1,000 subscribers", 300,
	 fan_out_set_up, run_fan_out, fan_out_tear_down},
	{"channel-find", "one of 10,000 channels found by its name", 1000, channels_set_up,
	 run_channels, channels_tear_down},
	{NULL},
};
