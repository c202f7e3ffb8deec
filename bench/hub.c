/* SPDX-License-Identifier: MIT */
/*
 * hub: what does a published message cost a worker, by the number of channels and patterns that are
 * subscribed to?
 *
 * DESIGN. The hub alone, in this process: its subscribers take a frame and forget it, its log is
 * never asked. A row is the processor time of hub_deliver() per message, over messages to all
 * channels in turn; the best of several rounds, because everything else on the machine only adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/obj.h"
#include "broker/channel.h"
#include "tests/unit/broker/hub_rig.h"

#define MESSAGES 200000
#define ROUNDS   5

static int take(struct subscriber *s, struct frame *f)
{
	UNUSED(s);
	UNUSED(f);
	return 0;
}

static uint64_t nothing_to_take_back(struct subscriber *s)
{
	UNUSED(s);
	return 0;
}

static void no_gap(struct subscriber *s, const struct gap *g)
{
	UNUSED(s);
	UNUSED(g);
}

static struct frame *encode(const struct message *m, const struct epoch *epoch)
{
	UNUSED(epoch);
	return frame_copy(message_payload(m));
}

static const struct subscriber_ops ops = {
	.kind = KIND_WEBSOCKET,
	.format = FORMAT_WS_JSON,
	.encode = encode,
	.send = take,
	.rewind = nothing_to_take_back,
	.gap = no_gap,
};

static void join(struct subscriber *s, struct hub *h, const char *name)
{
	const struct start now = {.kind = START_NOW};
	struct slice one = slice_str(name);
	struct fault fault;

	subscriber_init(s, h, &ops);
	if (subscriber_add(s, &one, 1, &now, true, &fault) != 0) {
		fprintf(stderr, "%s: %s\n", name, fault.message);
		exit(1);
	}
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Messages to all channels in turn; ns per message. */
static double deliver(struct hub *h, struct message **messages, size_t n)
{
	struct batch *b = calloc(1, sizeof(*b) + sizeof(b->messages[0]));
	double start = cpu_ns();

	b->n = 1;
	for (size_t i = 0; i < MESSAGES; i++) {
		b->messages[0] = messages[i % n];
		b->messages[0]->seq = h->head + 1;
		hub_deliver(h, b);
	}
	double spent = cpu_ns() - start;
	free(b);
	return spent / MESSAGES;
}

enum shape { SAME_LENGTH, MANY_LENGTHS, MATCHING };

static void pattern_name(char *out, size_t room, enum shape shape, size_t i)
{
	static const char tail[] = "0123456789012345678901234567890123456789";

	if (shape == MATCHING && i == 0)
		snprintf(out, room, "room:*");
	else if (shape == MANY_LENGTHS)
		snprintf(out, room, "none:%04zu%.*s*", i, (int)(i % 30), tail);
	else
		snprintf(out, room, "none:%04zu*", i);
}

static void measure(size_t channels, size_t patterns, enum shape shape, const char *what)
{
	struct subscriber *subs = calloc(channels + patterns, sizeof(*subs));
	struct message **messages = calloc(channels, sizeof(*messages));
	struct hub_limits limits = rig_limits;
	struct hub_rig rig;
	double best = 1e18;
	char name[64];

	limits.recent_count = 1;
	limits.patterns = SIZE_MAX;
	hub_rig_init(&rig, &limits, 0, 1);
	for (size_t i = 0; i < channels; i++) {
		snprintf(name, sizeof(name), "room:%zu:with-a-name-of-common-length", i);
		join(&subs[i], rig.hub, name);
		messages[i] =
			message_new(&(struct message_spec){.channel = slice_str(name),
							   .payload = SLICE("{\"some\":\"json\"}"),
							   .kind = MESSAGE_JSON,
							   .durability = DURABILITY_COMMIT});
	}
	for (size_t i = 0; i < patterns; i++) {
		pattern_name(name, sizeof(name), shape, i);
		join(&subs[channels + i], rig.hub, name);
	}
	for (int round = 0; round < ROUNDS; round++) {
		double ns = deliver(rig.hub, messages, channels);
		best = ns < best ? ns : best;
	}
	printf("%8zu  %8zu  %-24s %8.0f\n", channels, patterns, what, best);
	for (size_t i = 0; i < channels + patterns; i++)
		subscriber_fini(&subs[i]);
	hub_rig_fini(&rig);
	for (size_t i = 0; i < channels; i++)
		message_unref(messages[i]);
	free(messages);
	free(subs);
}

int main(void)
{
	static const size_t channels[] = {10, 10000};

	printf("channels  patterns  %-24s ns/message\n", "");
	for (size_t i = 0; i < ARRAY_LEN(channels); i++) {
		measure(channels[i], 0, SAME_LENGTH, "");
		measure(channels[i], 1, SAME_LENGTH, "none matches");
		measure(channels[i], 1, MATCHING, "one matches");
		measure(channels[i], 1000, SAME_LENGTH, "none matches");
		measure(channels[i], 1000, MATCHING, "one matches");
		measure(channels[i], 1000, MANY_LENGTHS, "none, of 30 lengths");
	}
	return 0;
}
