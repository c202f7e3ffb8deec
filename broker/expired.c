/* SPDX-License-Identifier: MIT */
/* expired: see the header. The runs of a subscription are bounded: of a channel there is one, of a
 * pattern one per channel until they are too many, and then one for the pattern. */
#include "broker/expired.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "broker/recovery.h"

#define RUNS_MAX 16

/* Messages of one channel that expired, one after the other, and are not told yet. */
struct expired_run {
	STAILQ_ENTRY(expired_run) link;
	uint64_t from;   /* the message before the first */
	uint64_t to;     /* the last */
	uint64_t oldest; /* of the channel when they were found; 0: not known */
	uint8_t name_n;
	char name[];
};

struct expired_runs {
	STAILQ_HEAD(, expired_run) list; /* at most RUNS_MAX; none when is_whole */
	size_t n;
	uint64_t from; /* position before the first message of them all */
	uint64_t to;   /* the last */
	bool is_whole; /* they were too many: one for the whole pattern */
};

static void clear(struct expired_runs *runs)
{
	struct expired_run *run;

	while ((run = STAILQ_FIRST(&runs->list)) != NULL) {
		STAILQ_REMOVE_HEAD(&runs->list, link);
		free(run);
	}
	runs->n = 0;
}

static struct expired_runs *expired_of(const struct subscription *sub)
{
	return sub->rest ? sub->rest->expired : NULL;
}

void expired_free(struct subscription *sub)
{
	if (!expired_of(sub))
		return;
	clear(sub->rest->expired);
	free(sub->rest->expired);
	sub->rest->expired = NULL;
}

static struct expired_runs *runs_of(struct subscription *sub)
{
	struct expired_runs *runs = expired_of(sub);

	if (runs)
		return runs;
	runs = subscription_rest(sub)->expired = xcalloc(1, sizeof(*runs));
	runs->from = subscription_cursor(sub);
	STAILQ_INIT(&runs->list);
	return runs;
}

static struct expired_run *run_of(struct expired_runs *runs, struct slice name, uint64_t from)
{
	struct expired_run *run;

	STAILQ_FOREACH (run, &runs->list, link)
		if (slice_eq(slice_make(run->name, run->name_n), name))
			return run;
	if (runs->n == RUNS_MAX) {
		clear(runs);
		runs->is_whole = true;
		return NULL;
	}
	run = xcalloc(1, sizeof(*run) + name.n);
	run->from = from;
	run->name_n = (uint8_t)name.n;
	memcpy(run->name, name.p, name.n);
	STAILQ_INSERT_TAIL(&runs->list, run, link);
	runs->n++;
	return run;
}

void expired_note(struct subscription *sub, const struct message *m, uint64_t oldest)
{
	struct subscriber *s = sub->subscriber;
	struct expired_runs *runs = runs_of(sub);
	uint64_t from = m->prev > sub->from ? m->prev : sub->from;

	/* a marker may stand for messages that were sent while they could be */
	if (m->expires_ms == MESSAGE_MARKER && s->catch_up->base > from)
		from = s->catch_up->base;
	runs->to = m->seq;
	s->has_expired = true;
	if (runs->is_whole)
		return;
	struct expired_run *run = run_of(runs, message_channel(m), from);
	if (!run)
		return;
	run->to = m->seq;
	run->oldest = oldest;
}

static void tell(struct subscription *sub, struct slice name, uint64_t from, uint64_t to,
		 uint64_t oldest)
{
	char id[ID_TEXT_MAX];
	size_t n = id_format(id, &sub->subscriber->hub->epoch, from);

	recovery_tell_gap(sub, &(struct gap){name, slice_make(id, n), to, oldest, GAP_EXPIRED});
}

static void tell_run(struct subscription *sub, const struct expired_run *run,
		     const struct message *next)
{
	struct slice name = slice_make(run->name, run->name_n);
	uint64_t oldest = run->oldest;

	if (oldest > run->from && oldest <= run->to)
		oldest = next && slice_eq(message_channel(next), name) ? next->seq : 0;
	tell(sub, name, run->from, run->to, oldest);
}

void expired_tell(struct subscriber *s, const struct message *next)
{
	struct subscription *sub;
	struct expired_run *run;

	if (!s->has_expired)
		return;
	s->has_expired = false;
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		struct expired_runs *runs = expired_of(sub);

		if (!runs)
			continue;
		if (runs->is_whole)
			tell(sub, channel_name(sub->channel), runs->from, runs->to, 0);
		STAILQ_FOREACH (run, &runs->list, link)
			tell_run(sub, run, next);
		expired_free(sub);
	}
}

void expired_take_back(struct subscriber *s)
{
	struct expired_run *run, *next;
	struct subscription *sub;

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		struct expired_runs *runs = expired_of(sub);

		if (!runs)
			continue;
		STAILQ_FOREACH_SAFE (run, &runs->list, link, next) {
			if (s->pos > run->from)
				continue;
			STAILQ_REMOVE(&runs->list, run, expired_run, link);
			runs->n--;
			free(run);
		}
		if (runs->is_whole ? s->pos <= runs->from : runs->n == 0)
			expired_free(sub);
	}
}
