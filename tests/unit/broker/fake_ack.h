/* SPDX-License-Identifier: MIT */
/*
 * fake_ack: the positions of durable subscribers, as the broker knows them (store/ack.h), moved by
 * hand: letters wait until the test lets the log answer them. Linked beside fake_history. Thread:
 * one.
 */
#ifndef TESTS_UNIT_BROKER_FAKE_ACK_H
#define TESTS_UNIT_BROKER_FAKE_ACK_H

#include "broker/hub.h"

struct fake_position {
	char subscriber[64];
	char channel[64];
	uint64_t seq;
};

struct fake_acks {
	struct ack_letter *waiting[64];
	size_t n;
	struct fake_position positions[64];
	size_t position_n;
	int refuse; /* history_ack answers this */
	int error;  /* the log fails with this */
};
extern struct fake_acks fake_acks;

/* Forget everything; call it at the beginning and at the end. */
void fake_acks_reset(void);
/* The log answers what waits, and tells the hub of what moved. */
void fake_acks_answer(struct hub *h);
/* The log takes the n oldest letters as one round: keeps what they ask for, or fails; tells all
 * workers, and posts the letters back. */
void fake_acks_commit(struct history *h, size_t n);
/* Somebody else acknowledges. */
void fake_ack(struct hub *h, const char *subscriber, const char *channel, uint64_t seq);
/* UINT64_MAX when there is none. */
uint64_t fake_position(const char *subscriber, const char *channel);

#endif
