/* SPDX-License-Identifier: MIT */
/*
 * sub_ack: acknowledges what `sub --ack` has printed, over whatever transport it came: the newest
 * id of each channel, in one request of its own, once the output is written. Thread: main.
 */
#ifndef CLI_SUB_ACK_H
#define CLI_SUB_ACK_H

#include "cli/http.h"
#include "cli/track.h"

struct sub_ack_row {
	char *channel; /* a JSON string */
	char id[TRACK_ID_MAX + 1];
};

struct sub_acks {
	struct http http;
	const char *subscriber; /* NULL: nothing is acknowledged */
	struct sub_ack_row *rows;
	size_t n;
	size_t room;
	uint64_t retry_ms; /* not before this time; 0: at once */
};

void sub_acks_init(struct sub_acks *a, const struct target *target, const char *subscriber);
void sub_acks_fini(struct sub_acks *a);
/* This was shown; channel: as it stands in the JSON text. */
void sub_acks_note(struct sub_acks *a, struct slice channel, struct slice id);
/* Acknowledge what was noted, unless that failed a moment ago and it is not the last chance. Return
 * 0, or negative when something is left. */
int sub_acks_send(struct sub_acks *a, bool is_last);

#endif
