/* SPDX-License-Identifier: MIT */
/*
 * pattern_losses: see the header.
 *
 * DESIGN: a page of the log comes with the channels of the pattern whose floor is beyond the
 * position. The gap of a channel is told with the first page that shows it, before the messages,
 * up to its floor, however many pages away that is: whoever is cut after this page must have been
 * told. So the next pages show the same channel again, and what was told has to be remembered: the
 * floors of the channels of the last page (16 at most, as the store tells no more), or, when there
 * were more, one position up to which a gap of the whole pattern was told.
 *
 * Each of them is good for positions from where the gap began: when the queue is taken back and the
 * subscriber goes back behind it, the gap is told again.
 */
#include "broker/pattern_losses.h"

#include <stdlib.h>

#include "base/pattern.h"
#include "base/xalloc.h"
#include "broker/recovery.h"

/* A channel whose loss up to the floor is known to the client from the position `from` on. */
struct known_loss {
	uint64_t floor;
	uint64_t from;
	uint8_t name_n;
	char name[UINT8_MAX];
};

struct pattern_losses {
	uint64_t upto; /* all losses up to here … */
	uint64_t from; /* … are known to the client from this position on */
	size_t n;
	struct known_loss each[STORE_LOSS_MAX];
};

static struct pattern_losses *losses_of(const struct subscription *sub)
{
	return sub->rest ? sub->rest->losses : NULL;
}

uint64_t pattern_losses_known(const struct subscription *sub)
{
	const struct pattern_losses *k = losses_of(sub);

	return k && subscription_cursor(sub) >= k->from ? k->upto : 0;
}

static const struct known_loss *find(const struct pattern_losses *k, struct slice name)
{
	for (size_t i = 0; k && i < k->n; i++)
		if (slice_eq(slice_make(k->each[i].name, k->each[i].name_n), name))
			return &k->each[i];
	return NULL;
}

/* Is there another subscription of the client that tells the losses of the channel after `at`? Not
 * a pattern that began without a cursor: it keeps to itself what was lost by then. */
static bool is_anothers(const struct subscription *sub, struct slice name, uint64_t at)
{
	const struct subscription *other;
	bool is_before = true;

	STAILQ_FOREACH (other, &sub->subscriber->subscriptions, link) {
		if (other == sub)
			is_before = false;
		else if (other->channel->is_pattern ? is_before && other->has_cursor
						    : !other->last && !other->from_oldest)
			if (other->start <= at &&
			    pattern_matches(channel_name(other->channel), name))
				return true;
	}
	return false;
}

static void tell(struct subscription *sub, struct slice name, uint64_t from, uint64_t to,
		 uint64_t oldest)
{
	char id[ID_TEXT_MAX];
	size_t n = id_format(id, &sub->subscriber->hub->epoch, from);

	recovery_tell_gap(sub, &(struct gap){name, slice_make(id, n), to, oldest, GAP_RETENTION});
}

/* Tell the loss of one channel, unless it is known, and remember it. */
static void tell_one(struct subscription *sub, const struct store_loss *l, uint64_t upto,
		     struct pattern_losses *next)
{
	struct slice name = slice_make(l->name, l->name_n);
	const struct known_loss *known = find(losses_of(sub), name);
	uint64_t at = subscription_cursor(sub), from = at;
	struct known_loss now = {.floor = l->floor < upto ? l->floor : upto, .from = at};

	/* What lies between an older loss and this position was handed over. */
	if (known && at >= known->from && at <= known->floor) {
		now.from = known->from;
		from = known->floor;
	}
	if (now.floor > from && !is_anothers(sub, name, at))
		tell(sub, name, from, now.floor, l->oldest);
	now.name_n = l->name_n;
	memcpy(now.name, l->name, l->name_n);
	next->each[next->n++] = now;
}

static void remember(struct subscription *sub, const struct pattern_losses *next)
{
	struct subscription_rest *rest = subscription_rest(sub);

	if (!rest->losses)
		rest->losses = xmalloc(sizeof(*next));
	*rest->losses = *next;
}

void pattern_losses_tell(struct subscription *sub, const struct store_range *r, uint64_t upto)
{
	uint64_t at = subscription_cursor(sub);
	struct pattern_losses next = {0};

	if (!r->losses)
		return;
	if (losses_of(sub)) {
		next.upto = losses_of(sub)->upto;
		next.from = losses_of(sub)->from;
	}
	for (size_t i = 0; i < r->losses->n; i++)
		tell_one(sub, &r->losses->each[i], upto, &next);
	if (r->losses->more) {
		next = (struct pattern_losses){.upto = r->floor < upto ? r->floor : upto,
					       .from = at};
		if (next.upto > at)
			tell(sub, channel_name(sub->channel), at, next.upto, 0);
	}
	remember(sub, &next);
}

void pattern_losses_note(struct subscription *sub, const struct store_range *r, uint64_t upto)
{
	struct pattern_losses next = {0};

	if (!r->losses)
		return;
	if (r->losses->more)
		next.upto = r->floor < upto ? r->floor : upto;
	for (size_t i = 0; i < r->losses->n && !r->losses->more; i++) {
		const struct store_loss *l = &r->losses->each[i];
		struct known_loss *k = &next.each[next.n++];

		k->floor = l->floor < upto ? l->floor : upto;
		k->name_n = l->name_n;
		memcpy(k->name, l->name, l->name_n);
	}
	remember(sub, &next);
}

uint64_t pattern_losses_end(const struct subscription *sub)
{
	const struct pattern_losses *k = losses_of(sub);
	uint64_t end = k ? k->upto : 0;

	for (size_t i = 0; k && i < k->n; i++)
		end = k->each[i].floor > end ? k->each[i].floor : end;
	return end;
}
