/* SPDX-License-Identifier: MIT */
/* sim_check: what hubs remember, held against the log; and that nothing is left at the end. */
#include "broker/channel.h"
#include "tests/replay/sim.h"

/* Bytes that the channel should have accounted for. */
static size_t check_ring(const struct hub *h, struct channel *ch, size_t w)
{
	char name[32] = "";

	memcpy(name, ch->name, ch->name_n);
	size_t k = channel_index(name), bytes = 0;
	const struct fake_channel *log = fake_channel_find(sim.rig.history, name);
	size_t at = log ? fake_channel_after(log, ch->covers_after) : 0;
	size_t end = log ? fake_channel_after(log, h->head) : 0;
	if (ch->covers_after > h->head)
		fail("%s covers after %llu, the head is %llu", name,
		     (unsigned long long)ch->covers_after, (unsigned long long)h->head);
	if (end < at || ch->recent_n != end - at) {
		fail("%s remembers %u messages after %llu, not %zu", name, ch->recent_n,
		     (unsigned long long)ch->covers_after, end - at);
		return 0;
	}
	for (uint32_t i = 0; i < ch->recent_n; i++) {
		const struct recent *r = channel_recent(ch, i);

		if (r->message != log->rows[at + i] || r->message->seq <= sim.forgotten[w][k])
			fail("%s remembers %llu wrongly", name,
			     (unsigned long long)r->message->seq);
		bytes += message_size(r->message);
		for (size_t f = 0; f < FORMAT_COUNT; f++)
			bytes += r->frames[f] ? sizeof(struct frame) + r->frames[f]->n : 0;
	}
	/* what expired before the first that it holds does not count */
	for (size_t i = log ? log->gone : 0; ch->is_whole && i < at; i++)
		if (!message_is_expired(log->rows[i]))
			fail("%s is not whole: %llu is in the log", name,
			     (unsigned long long)log->rows[i]->seq);
	if (bytes != ch->recent_bytes)
		fail("%s: %zu bytes, accounted %zu", name, bytes, ch->recent_bytes);
	return bytes;
}

void check_hub(size_t w)
{
	/* the newest message gets its frames after the limits were looked at */
	const size_t grace = FORMAT_COUNT * (sizeof(struct frame) + 48 + 64);
	struct hub *h = sim.rig.hubs[w];
	struct channel *ch, *next;
	size_t bytes = 0;

	HASH_ITER (hh, h->channels, ch, next) {
		size_t n = check_ring(h, ch, w);

		bytes += n;
		if (ch->recent_n > 1 && ch->recent_n > sim.limits.recent_count)
			fail("%.*s remembers %u messages", ch->name_n, ch->name, ch->recent_n);
		if (ch->recent_n > 1 && n > sim.limits.recent_bytes + grace)
			fail("%.*s remembers %zu bytes", ch->name_n, ch->name, n);
	}
	if (bytes != h->recent_bytes)
		fail("hub: %zu bytes, accounted %zu", bytes, h->recent_bytes);
	if (bytes > sim.limits.recent_total_bytes + grace)
		fail("hub: %zu bytes remembered, the limit is %zu", bytes,
		     sim.limits.recent_total_bytes);
	if (h->idle_n > sim.limits.idle_channels && h->idle_n > 1)
		fail("hub: %zu idle channels", h->idle_n);
}

void check_nothing_is_left(void)
{
	static const enum counter_id gauges[] = {COUNTER_SUBSCRIPTIONS, COUNTER_CATCHING_UP,
						 COUNTER_CHANNELS_ACTIVE, COUNTER_RECENT_BYTES,
						 COUNTER_DURABLE_SESSIONS};

	for (size_t w = 0; w < sim.rig.history->worker_n; w++)
		channel_expire_idle(sim.rig.hubs[w], true);
	for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
		if (rig_count(&sim.rig, gauges[i]) != 0)
			fail("gauge %d is %lld at the end", gauges[i],
			     (long long)rig_count(&sim.rig, gauges[i]));
	for (size_t i = 0; i < CHANNELS; i++)
		if (census_total(sim.rig.census, slice_str(channel_names[i])) != 0)
			fail("the census still has %s", channel_names[i]);
	if (sim.answered != sim.posted)
		fail("%u of %u publishes were answered", sim.answered, sim.posted);
}
