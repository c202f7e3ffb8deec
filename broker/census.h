/* SPDX-License-Identifier: MIT */
/*
 * census: how many subscribers a channel has on this node, by transport: what receipts and
 * operators are told. The only state that workers share besides messages; touched when somebody
 * subscribes or leaves, never on the fan-out path. A channel without subscribers has no entry. A
 * pattern has one under its own text, and counts for every channel that it stands for.
 * Thread: any (leaf locks inside, one per shard).
 */
#ifndef BROKER_CENSUS_H
#define BROKER_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum subscriber_kind { KIND_WEBSOCKET, KIND_SSE, KIND_LONGPOLL, KIND_SHORTPOLL, KIND_COUNT };

/* "websocket", "sse", "longpoll", "shortpoll" */
const char *subscriber_kind_name(enum subscriber_kind k);

struct census_row {
	uint32_t by_kind[KIND_COUNT];
};

struct census;
struct census *census_new(void);
void census_free(struct census *c);

void census_enter(struct census *c, struct slice channel, enum subscriber_kind k);
void census_leave(struct census *c, struct slice channel, enum subscriber_kind k);

/* Subscriptions to the channel and to patterns that stand for it (a subscriber with both counts
 * twice). Zeroes when there are none. */
struct census_row census_get(struct census *c, struct slice channel);
uint32_t census_total(struct census *c, struct slice channel);
/* Does anybody subscribe to the channel or pattern by this very name? */
bool census_has(struct census *c, struct slice name);
/* Call row for every channel with subscribers of its own whose name has the prefix, not for
 * patterns; in no order; row must not call the census. */
void census_each(struct census *c, struct slice prefix,
		 void (*row)(void *arg, struct slice channel, const struct census_row *),
		 void *arg);

#endif
