/* SPDX-License-Identifier: MIT */
/*
 * recovery: the splice of history and live. One step feeds a subscriber from memory or asks the
 * log, until it is full, waits for an answer, or is live.
 * Thread: the hub's. Inside broker/ only.
 */
#ifndef BROKER_RECOVERY_H
#define BROKER_RECOVERY_H

#include "broker/catch_up.h"

struct subscription;

/* Go on feeding a CATCHING_UP subscriber, now or when its turn has come. Does nothing while it is
 * full or waits. */
void recovery_step(struct subscriber *s);
/* A live subscriber could not take the message (its seq; it was not queued): what becomes of it is
 * the strictest of what the namespaces of its channels say. */
void recovery_fall_behind(struct subscriber *s, uint64_t seq);
/* Catch up again from this position on, because of a subscription that is about to be added. When
 * it is older than where the subscriber stands, the others keep their positions as starts of their
 * own; for that the queue is taken back, so that what is queued is always in log order, and one
 * number says what a later rewind dropped. */
void recovery_restart(struct subscriber *s, uint64_t from);
/* A message that a live subscriber would get has expired: its channels are looked at again at the
 * end of this delivery, where runs of such messages are told as one gap. */
void recovery_detour(struct subscriber *s, uint64_t seq);
/* Tell the client of a gap of this subscription, and count it. */
void recovery_tell_gap(struct subscription *sub, const struct gap *g);
/* Forget what is under way: the subscriptions changed. */
void recovery_cancel(struct subscriber *s);
/* It goes, or is live. */
void recovery_end(struct subscriber *s);
/* Step everybody on the list; they may come to stand on it again. */
void recovery_wake(struct catch_up_list *list);

#endif
