/* SPDX-License-Identifier: MIT */
/*
 * track: what a subscriber has seen: the cursor to resume from, and the last id of each channel, to
 * drop repeats and to prove by `prev` that nothing was lost.
 * Thread: one at a time (pure).
 */
#ifndef CLI_TRACK_H
#define CLI_TRACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define TRACK_ID_MAX 127 /* a server's id is shorter; a user's --since may be anything */

struct track_chain {
	char *channel;
	size_t channel_n;
	char last[TRACK_ID_MAX + 1]; /* "": not known, the next message is taken as it comes */
};

struct track {
	char cursor[TRACK_ID_MAX + 1]; /* "": none yet */
	struct track_chain *chains;    /* sorted by channel */
	size_t chains_n;
};

enum track_verdict {
	TRACK_NEW,       /* show it */
	TRACK_DUPLICATE, /* seen already: drop it */
	TRACK_BROKEN, /* new, but its prev is not the last one seen: the server lost one silently */
	TRACK_DISORDER, /* new, but older than what another channel had: not log order */
};

void track_init(struct track *t);
void track_fini(struct track *t);

/* A message with an id; prev empty for null. Moves cursor and chain unless it is a duplicate. */
enum track_verdict track_message(struct track *t, struct slice channel, struct slice id,
				 struct slice prev);
/* A gap was announced: the next message of the channel, or of each channel of the pattern, may have
 * any prev. */
void track_gap(struct track *t, struct slice channel);
/* The last id seen of a channel, "" when none. */
const char *track_last(const struct track *t, struct slice channel);
/* hello names where the subscription starts: our cursor when we have none, or one of another log.
 */
void track_hello(struct track *t, struct slice cursor);
/* A poll's reply names the next cursor. Longer than TRACK_ID_MAX: ignored. */
void track_set_cursor(struct track *t, struct slice cursor);

#endif
