/* SPDX-License-Identifier: MIT */
/*
 * expired: what a subscriber is told of messages that expired (ttl) before it could have them.
 * They stand in the row like all others, are not sent, and are gathered per channel into runs; a
 * run is told as one gap, just before the next message of any channel is sent, or when there is
 * none. A pattern whose runs belong to many channels is told one gap for all of them.
 * Thread: the hub's. Inside broker/ only.
 */
#ifndef BROKER_EXPIRED_H
#define BROKER_EXPIRED_H

#include "broker/channel.h"

/* Instead of being sent for this subscription, this message is told of later. oldest: of its
 * channel; 0: not known. The subscriber's position is still before it. */
void expired_note(struct subscription *sub, const struct message *m, uint64_t oldest);
/* Tell what is due, before `next` is sent (NULL: nothing is). */
void expired_tell(struct subscriber *s, const struct message *next);
/* The subscriber's position went back: what was not told yet is found again; only of a run that
 * began before is the beginning kept. */
void expired_take_back(struct subscriber *s);
void expired_free(struct subscription *sub);

#endif
