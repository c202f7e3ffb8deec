/* SPDX-License-Identifier: MIT */
/* hub_rig: see the header. since=0 is START_ALL here as in the front-ends; every other text is a
 * cursor. */
#include "tests/unit/broker/hub_rig.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/publish.h"

const struct hub_limits rig_limits = {
	.channels_per_subscriber = 8,
	.patterns_per_subscriber = 3,
	.patterns = 1000,
	.message_bytes = 1000,
	.last_max = 100,
	.recent_count = 8,
	.recent_bytes = 100000,
	.recent_total_bytes = 1000000,
	.page_rows = 4,
	.page_bytes = 100000,
	.page_scan = 1000,
	.pages = 32,
	.replay_turn_bytes = 1 << 20,
	.idle_channel_ms = 30000,
	.idle_channels = 100,
};

struct namespace_table *rig_namespaces(void)
{
	struct namespace_table *t = namespace_table_new(5);

	for (size_t i = 0; i < t->n; i++)
		t->ns[i].durability = DURABILITY_COMMIT;
	strcpy(t->ns[1].name, "few");
	t->ns[1].history_count = 3;
	strcpy(t->ns[2].name, "brief");
	t->ns[2].history_age_ms = 1000;
	strcpy(t->ns[3].name, "ram");
	t->ns[3].durability = DURABILITY_MEMORY;
	strcpy(t->ns[4].name, "closed");
	t->ns[4].publish = t->ns[4].subscribe = ACCESS_ADMIN;
	return t;
}

void hub_rig_init(struct hub_rig *r, const struct hub_limits *limits, uint64_t head, size_t workers)
{
	memset(r, 0, sizeof(*r));
	clock_fake_set(1000000, RIG_WALL_MS);
	r->history = fake_history_new(head, workers);
	r->namespaces = rig_namespaces();
	r->census = census_new();
	r->counters = counters_new();
	for (size_t i = 0; i < workers; i++) {
		struct fake_worker *w = &r->history->workers[i];

		r->loops[i] = loop_new("fake");
		r->hubs[i] = w->hub = hub_new(r->loops[i], r->history, &w->mailbox, r->census,
					      r->namespaces, r->counters, limits);
	}
	r->hub = r->hubs[0];
}

void hub_rig_fini(struct hub_rig *r)
{
	for (size_t i = 0; i < r->history->worker_n; i++) {
		outbox_post(&r->hubs[i]->outbox);
		hub_free(r->hubs[i]);
		loop_free(r->loops[i]);
	}
	fake_history_free(r->history);
	counters_free(r->counters);
	census_free(r->census);
	namespace_table_unref(r->namespaces);
	clock_fake_off();
}

void rig_deliver(struct hub_rig *r)
{
	for (size_t i = 0; i < r->history->worker_n; i++)
		while (fake_deliver(&r->history->workers[i]))
			;
}

uint64_t rig_publish(struct hub_rig *r, const char *channel)
{
	uint64_t seq = fake_publish(r->history, channel, DURABILITY_COMMIT, "x");

	rig_deliver(r);
	return seq;
}

void rig_commit(struct hub_rig *r, const char *channel, size_t n)
{
	while (n--)
		fake_publish(r->history, channel, DURABILITY_COMMIT, "x");
}

void rig_ephemeral(struct hub_rig *r, const char *channel)
{
	fake_publish(r->history, channel, DURABILITY_EPHEMERAL, "x");
	rig_deliver(r);
}

void rig_advance(struct hub_rig *r, uint64_t ms)
{
	clock_fake_advance(ms * 1000);
	for (size_t i = 0; i < r->history->worker_n; i++)
		loop_turn(r->loops[i], false);
}

int64_t rig_count(const struct hub_rig *r, enum counter_id id)
{
	return atomic_load(&r->counters->v[id]);
}

int rig_subscribe_from(struct fake_subscriber *f, const char *channels, const struct start *start)
{
	struct slice names[16];
	struct fault fault;
	size_t n = 0;

	while (*channels) {
		size_t length = strcspn(channels, " ");

		assert(n < ARRAY_LEN(names));
		names[n++] = slice_make(channels, length);
		channels += length + (channels[length] == ' ');
	}
	return subscriber_add(&f->subscriber, names, n, start, false, &fault);
}

int rig_subscribe(struct fake_subscriber *f, const char *channels, const char *since)
{
	struct start start = {.kind = START_AFTER, .since = slice_str(since)};

	if (!since)
		start.kind = START_NOW;
	else if (strcmp(since, "0") == 0)
		start.kind = START_ALL;
	return rig_subscribe_from(f, channels, &start);
}

int rig_subscribe_last(struct fake_subscriber *f, const char *channels, uint32_t last)
{
	return rig_subscribe_from(f, channels, &(struct start){.kind = START_LAST, .last = last});
}

void rig_post(struct hub_rig *r, const char *channel, uint64_t ttl_ms, uint64_t except)
{
	struct slice payload = slice_str("x");
	struct payload_shape shape = {.kind = MESSAGE_TEXT};
	struct publish_request request = {
		.channel = slice_str(channel),
		.n = 1,
		.payloads = &payload,
		.shapes = &shape,
		.has_ttl = ttl_ms != 0,
		.ttl_ms = ttl_ms,
		.except = except,
	};
	struct fault fault;
	struct append *a = publish_post(r->hub, &request, append_free, NULL, &fault);

	assert(a != NULL);
}

void rig_commit_and_wait(struct hub_rig *r, uint64_t ms)
{
	fake_commit(r->history, fake_waiting(r->history), 0);
	rig_advance(r, ms);
}
