/* SPDX-License-Identifier: MIT */
/*
 * track.c: the client's half of "nothing is lost silently".
 *
 * DESIGN. Ids are opaque but for one rule: within one epoch a larger seq is later. Repeats are
 * judged per channel, never by the cursor alone: should a server ever break log order between
 * channels, a message would be reported, not swallowed.
 */
#include "cli/track.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"

struct position {
	struct slice epoch;
	uint64_t seq;
};

/* `<epoch>.<digits>`, else false. */
static bool split(struct slice id, struct position *ret)
{
	const char *dot = id.n ? memrchr(id.p, '.', id.n) : NULL;
	const char *end = id.p + id.n;
	uint64_t seq = 0;

	if (!dot || dot + 1 == end || end - dot > 20)
		return false;
	for (const char *p = dot + 1; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		seq = 10 * seq + (uint64_t)(*p - '0');
	}
	*ret = (struct position){slice_make(id.p, (size_t)(dot - id.p)), seq};
	return true;
}

/* Is a before b, or (or_same) at it, in the same log? False when they can not be compared. */
static bool is_before(struct slice a, struct slice b, bool or_same)
{
	struct position x, y;

	if (!split(a, &x) || !split(b, &y) || !slice_eq(x.epoch, y.epoch))
		return false;
	return x.seq < y.seq || (or_same && x.seq == y.seq);
}

static bool set_id(char out[TRACK_ID_MAX + 1], struct slice id)
{
	if (id.n > TRACK_ID_MAX || (id.n && memchr(id.p, '\0', id.n)))
		return false;
	memcpy(out, id.p, id.n);
	out[id.n] = '\0';
	return true;
}

void track_init(struct track *t)
{
	memset(t, 0, sizeof(*t));
}

void track_fini(struct track *t)
{
	for (size_t i = 0; i < t->chains_n; i++)
		free(t->chains[i].channel);
	free(t->chains);
	track_init(t);
}

static int compare(const struct track_chain *c, struct slice channel)
{
	size_t n = c->channel_n < channel.n ? c->channel_n : channel.n;
	int d = n ? memcmp(c->channel, channel.p, n) : 0;

	if (d)
		return d;
	return c->channel_n < channel.n ? -1 : c->channel_n > channel.n;
}

/* Index of the channel's chain, or of the place where it belongs. */
static size_t place_of(const struct track *t, struct slice channel, bool *ret_found)
{
	size_t low = 0, high = t->chains_n;

	*ret_found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int d = compare(&t->chains[mid], channel);
		if (d == 0) {
			*ret_found = true;
			return mid;
		}
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct track_chain *chain_of(struct track *t, struct slice channel)
{
	bool found;
	size_t at = place_of(t, channel, &found);

	if (!found) {
		t->chains = xrealloc(t->chains, (t->chains_n + 1) * sizeof(*t->chains));
		memmove(t->chains + at + 1, t->chains + at,
			(t->chains_n - at) * sizeof(*t->chains));
		t->chains[at] = (struct track_chain){
			.channel = xstrndup(channel.p, channel.n),
			.channel_n = channel.n,
		};
		t->chains_n++;
	}
	return &t->chains[at];
}

enum track_verdict track_message(struct track *t, struct slice channel, struct slice id,
				 struct slice prev)
{
	struct track_chain *chain = chain_of(t, channel);
	struct slice last = slice_str(chain->last);
	bool is_older = is_before(id, slice_str(t->cursor), false);
	bool is_broken = last.n && !slice_eq(prev, last);

	if (last.n && is_before(id, last, true))
		return TRACK_DUPLICATE;
	set_id(chain->last, id);
	/* Never back: what another channel had is not to be delivered again. */
	if (!is_older)
		track_set_cursor(t, id);
	return is_broken ? TRACK_BROKEN : is_older ? TRACK_DISORDER : TRACK_NEW;
}

void track_gap(struct track *t, struct slice channel)
{
	if (!pattern_is(channel)) {
		chain_of(t, channel)->last[0] = '\0';
		return;
	}
	for (size_t i = 0; i < t->chains_n; i++) {
		struct track_chain *c = &t->chains[i];

		if (pattern_matches(channel, slice_make(c->channel, c->channel_n)))
			c->last[0] = '\0';
	}
}

const char *track_last(const struct track *t, struct slice channel)
{
	bool found;
	size_t at = place_of(t, channel, &found);

	return found ? t->chains[at].last : "";
}

void track_hello(struct track *t, struct slice cursor)
{
	struct position ours, theirs;

	if (t->cursor[0] == '\0') {
		track_set_cursor(t, cursor);
		return;
	}
	/* Of a log that is no more, or no id at all: with it every reconnect would tell the same
	 * gap again. */
	if (split(cursor, &theirs) &&
	    (!split(slice_str(t->cursor), &ours) || !slice_eq(ours.epoch, theirs.epoch)))
		track_set_cursor(t, cursor);
}

void track_set_cursor(struct track *t, struct slice cursor)
{
	if (cursor.n)
		set_id(t->cursor, cursor);
}
