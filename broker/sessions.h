/* SPDX-License-Identifier: MIT */
/*
 * sessions: which session ids this node knows again, so that a client that comes back, over
 * whatever transport, is the one it was. Only sessions that are present somewhere, or that polls
 * were told of, are remembered; each is held by its connections and forgotten some time (grace)
 * after the last of them let go. Bounded in number.
 * Thread: any. Shared by all workers; its locks are leaves.
 */
#ifndef BROKER_SESSIONS_H
#define BROKER_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/session_id.h"

struct sessions;

struct sessions *sessions_new(size_t max, uint64_t grace_ms);
void sessions_free(struct sessions *s);

/* If the id is known: hold it once more and return true. */
bool sessions_recall(struct sessions *s, const struct session_id *id);
/* Remember an id that was just made, held once. Return 0, or -ENOBUFS when there are too many and
 * none of them can be forgotten. */
MUST_CHECK int sessions_remember(struct sessions *s, struct counters *c,
				 const struct session_id *id);
/* Remember an id that was just made and that nobody holds. Return as sessions_release() does; when
 * there are too many, it is not remembered. */
uint64_t sessions_note(struct sessions *s, struct counters *c, const struct session_id *id);
/* Let go. is_present: it was in some channel: it is not forgotten before its time, for want of
 * room. Return when it may have to be forgotten (clock_mono_ms), 0: not because of this. */
uint64_t sessions_release(struct sessions *s, const struct session_id *id, bool is_present);

/* Forget at most max of those whose time is over. Return how many. */
size_t sessions_sweep(struct sessions *s, struct counters *c, uint64_t now_ms, size_t max);
/* When the next one's time is over; 0: there is none. */
uint64_t sessions_next_due(struct sessions *s);
size_t sessions_count(const struct sessions *s);

#endif
