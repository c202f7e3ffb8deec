/* SPDX-License-Identifier: MIT */
/*
 * hub_rig: hubs over a fake log, on a fake clock, and short words for what tests of broker/ do with
 * them.
 *
 * Namespaces: the default one, "few" (3 messages per channel), "brief" (1000 ms), "ram" (durability
 * memory), "closed" (only the admin may publish and subscribe). Thread: one.
 */
#ifndef TESTS_UNIT_BROKER_HUB_RIG_H
#define TESTS_UNIT_BROKER_HUB_RIG_H

#include "tests/unit/broker/fake_history.h"
#include "tests/unit/broker/fake_subscriber.h"

#define RIG_WALL_MS 1700000000000

struct hub_rig {
	struct history *history;
	struct namespace_table *namespaces;
	struct census *census;
	struct counters *counters;
	struct loop *loops[FAKE_WORKERS];
	struct hub *hubs[FAKE_WORKERS];
	struct hub *hub; /* the first */
};

extern const struct hub_limits rig_limits;

struct namespace_table *rig_namespaces(void);
/* The clock is faked from here to hub_rig_fini. */
void hub_rig_init(struct hub_rig *r, const struct hub_limits *limits, uint64_t head,
		  size_t workers);
void hub_rig_fini(struct hub_rig *r);

/* Commit one message and deliver everything that waits. */
uint64_t rig_publish(struct hub_rig *r, const char *channel);
/* Commit n messages, without delivering. */
void rig_commit(struct hub_rig *r, const char *channel, size_t n);
void rig_ephemeral(struct hub_rig *r, const char *channel);
/* Post a message to the first hub that is good for ttl_ms (0: for ever), not for the session
 * `except`. */
void rig_post(struct hub_rig *r, const char *channel, uint64_t ttl_ms, uint64_t except);
/* Number what was posted, and let time pass before anybody hears of it. */
void rig_commit_and_wait(struct hub_rig *r, uint64_t ms);
/* Deliver what waits in all workers' mailboxes. */
void rig_deliver(struct hub_rig *r);
/* Let time pass; timers run. */
void rig_advance(struct hub_rig *r, uint64_t ms);
int64_t rig_count(const struct hub_rig *r, enum counter_id id);

/* Subscribe to channels separated by spaces. since: as a client gives it; NULL: from now. Return
 * subscriber_add()'s. */
int rig_subscribe(struct fake_subscriber *f, const char *channels, const char *since);
int rig_subscribe_last(struct fake_subscriber *f, const char *channels, uint32_t last);
int rig_subscribe_from(struct fake_subscriber *f, const char *channels, const struct start *start);

#endif
