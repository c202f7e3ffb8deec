/* SPDX-License-Identifier: MIT */
/*
 * subscriber: joining and leaving channels. DESIGN: a subscriber has one position for all its
 * channels. When a channel with an older start is added to a live subscriber, the others are pinned
 * where they are (`from`) and the subscriber goes back to catching up from the start of the new
 * one; messages keep log order from there on, and the last id the client has seen resumes
 * everything without loss. Delivery itself is in recovery.c and hub.c.
 */
#include "broker/subscriber.h"

#include <stdlib.h>

#include "base/pattern.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "broker/channel.h"
#include "broker/durable.h"
#include "broker/expired.h"
#include "broker/presence.h"
#include "broker/recovery.h"

/* A cursor that is no good is repeated to the client up to this length. */
#define GAP_FROM_MAX 128

const char *gap_reason_name(enum gap_reason r)
{
	static const char *const names[] = {"epoch", "retention", "invalid", "skipped", "expired"};

	assert(r < ARRAY_LEN(names));
	return names[r];
}

void subscriber_init(struct subscriber *s, struct hub *hub, const struct subscriber_ops *ops)
{
	*s = (struct subscriber){.magic = SUBSCRIBER_MAGIC, .hub = hub, .ops = ops};
	STAILQ_INIT(&s->subscriptions);
}

static void subscription_free(struct subscription *sub)
{
	channel_detach(sub);
	expired_free(sub);
	if (sub->rest) {
		free(sub->rest->losses);
		free(sub->rest->gap_from);
	}
	free(sub->rest);
	pool_give(&sub->subscriber->hub->subscriptions, sub);
}

void subscriber_fini(struct subscriber *s)
{
	struct subscription *sub;

	if (s->magic == 0)
		return;
	CHECK_OBJ(s, SUBSCRIBER_MAGIC);
	recovery_end(s);
	durable_fini(s);
	while ((sub = STAILQ_FIRST(&s->subscriptions)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->subscriptions, link);
		subscription_free(sub);
	}
	s->magic = 0;
}

static struct subscription *find(const struct subscriber *s, struct slice name)
{
	struct subscription *sub;

	STAILQ_FOREACH (sub, &s->subscriptions, link)
		if (slice_eq(channel_name(sub->channel), name))
			return sub;
	return NULL;
}

bool subscriber_has(const struct subscriber *s, struct slice name)
{
	return find(s, name) != NULL;
}

struct start_point start_resolve(const struct hub *h, const struct start *start)
{
	uint64_t seq;

	switch (start->kind) {
	case START_NOW:
		break;
	case START_ALL:
		return (struct start_point){.from_oldest = true};
	case START_LAST:
		if (start->last == 0)
			break;
		return (struct start_point){.last = start->last < h->limits.last_max
							    ? start->last
							    : h->limits.last_max};
	case START_AFTER:
		switch (id_parse(start->since, &h->epoch, &seq)) {
		case ID_VALID:
			/* Another worker may be a batch ahead of this one: only what nobody gave
			 * out is invalid. */
			if (seq <= history_head(h->history))
				return (struct start_point){.from = seq};
			return (struct start_point){
				.from_oldest = true, .is_bad = true, .reason = GAP_INVALID};
		case ID_FOREIGN_EPOCH:
			return (struct start_point){
				.from_oldest = true, .is_bad = true, .reason = GAP_EPOCH};
		case ID_MALFORMED:
			return (struct start_point){
				.from_oldest = true, .is_bad = true, .reason = GAP_INVALID};
		}
	}
	return (struct start_point){.from = history_head(h->history)};
}

static void subscribe(struct subscriber *s, struct slice name, const struct start_point *r,
		      struct slice since)
{
	struct subscription *sub = pool_take(&s->hub->subscriptions, sizeof(*sub));

	sub->subscriber = s;
	sub->from = sub->start = r->from;
	sub->last = r->last;
	sub->from_oldest = r->from_oldest;
	sub->has_cursor = !r->last && !r->from_oldest;
	if (r->is_bad) {
		bool can_repeat = since.n <= GAP_FROM_MAX && utf8_is_valid(since.p, since.n);

		subscription_rest(sub)->gap_reason = (uint8_t)r->reason;
		sub->rest->gap_from = can_repeat ? xstrndup(since.p, since.n) : xstrdup("");
	}
	channel_attach(channel_get(s->hub, name), sub);
	STAILQ_INSERT_TAIL(&s->subscriptions, sub, link);
	s->channel_n++;
	s->pattern_n += sub->channel->is_pattern;
}

static int check_access(const struct hub *h, struct slice name, struct fault *fault)
{
	for (size_t i = 0; i < h->namespaces->n; i++) {
		if (h->namespaces->ns[i].subscribe == ACCESS_ANYONE ||
		    !pattern_meets_namespace(h->namespaces, i, name))
			continue;
		return fault_set(fault, FAULT_FORBIDDEN,
				 "subscribing to %.*s is not open to everyone here",
				 SLICE_ARG(name));
	}
	return 0;
}

static int check_name(const struct hub *h, struct slice name, bool is_admin, struct fault *fault)
{
	bool is_pattern = pattern_is(name);
	const char *wrong = is_pattern ? pattern_problem(name, is_admin || h->limits.pattern_any)
				       : channel_name_problem(name);

	if (wrong)
		return fault_set(fault, FAULT_BAD_CHANNEL, "%s: %s",
				 is_pattern ? "pattern" : "channel name", wrong);
	return is_admin ? 0 : check_access(h, name, fault);
}

static int check_patterns(const struct hub *h, size_t n, size_t fresh, struct fault *fault)
{
	const struct hub_limits *l = &h->limits;

	if (n > l->patterns_per_subscriber) {
		count_inc(h->counters, COUNTER_PATTERNS_REFUSED);
		return fault_set(fault, FAULT_TOO_MANY_PATTERNS,
				 "at most %zu patterns for one subscription",
				 l->patterns_per_subscriber);
	}
	if (fresh && h->patterns.n - h->idle_pattern_n + fresh > l->patterns) {
		count_inc(h->counters, COUNTER_PATTERNS_REFUSED);
		return fault_set(fault, FAULT_OVERLOADED,
				 "too many patterns are subscribed to now (limits.patterns); "
				 "try again or name the channels");
	}
	return 0;
}

int subscriber_check(const struct hub *h, const struct subscriber *s, const struct slice *names,
		     size_t n, bool is_admin, struct fault *fault)
{
	size_t channels = s ? s->channel_n : 0, patterns = s ? s->pattern_n : 0, fresh = 0;

	for (size_t i = 0; i < n; i++) {
		int rc = check_name(h, names[i], is_admin, fault);

		if (rc)
			return rc;
		if (s && find(s, names[i]))
			continue;
		channels++;
		if (!pattern_is(names[i]))
			continue;
		if (s && s->durable)
			return durable_check_channel(names[i], fault);
		const struct channel *there = pattern_index_find(&h->patterns, names[i]);
		patterns++;
		fresh += !there || there->subscription_n == 0;
	}
	if (channels > h->limits.channels_per_subscriber)
		return fault_set(fault, FAULT_TOO_MANY_CHANNELS,
				 "at most %zu channels for one subscription",
				 h->limits.channels_per_subscriber);
	return patterns ? check_patterns(h, patterns, fresh, fault) : 0;
}

static void open_now(struct subscriber *s)
{
	s->state = SUB_LIVE;
	if (!s->is_opened) {
		s->is_opened = true;
		if (s->ops->opened)
			s->ops->opened(s, s->hub->head);
	}
	if (s->ops->live)
		s->ops->live(s);
}

/* starts: of each name, or, with step 0, of all. */
static int add(struct subscriber *s, const struct slice *names, size_t n,
	       const struct start *starts, size_t step, bool is_admin, struct fault *fault)
{
	CHECK_OBJ(s, SUBSCRIBER_MAGIC);
	loop_assert(s->hub->loop);
	size_t fresh = 0;
	for (size_t i = 0; i < n; i++)
		fresh += !find(s, names[i]);
	int rc = subscriber_check(s->hub, s, names, n, is_admin, fault);
	if (rc)
		return rc;
	if (!fresh && s->state != SUB_NEW)
		return 0;
	/* Somebody may have been told of a message that this worker has not got yet: it counts as
	 * past here too. */
	uint64_t not_before = history_head(s->hub->history);
	bool needs_history = not_before > s->hub->head;
	uint64_t from = UINT64_MAX;
	/* once: "now" does not stand still */
	struct start_point *points = xcalloc(n + 1, sizeof(*points));
	for (size_t i = 0; i < n; i++) {
		struct start_point *p = &points[i];

		*p = i == 0 || step != 0 ? start_resolve(s->hub, &starts[i * step]) : points[0];
		needs_history |= p->last || p->from_oldest || p->from != s->hub->head;
		if (p->from < from)
			from = p->from;
		/* the log goes on meanwhile: nothing up to a start may come live */
		if (p->from > not_before)
			not_before = p->from;
	}
	if (needs_history || s->state == SUB_CATCHING_UP) {
		recovery_restart(s, from);
		s->catch_up->not_before = not_before;
	}
	if (starts->kind != START_NOW)
		s->asked = not_before;
	for (size_t i = 0; i < n; i++)
		if (!find(s, names[i]))
			subscribe(s, names[i], &points[i], starts[i * step].since);
	free(points);
	if (s->state == SUB_NEW)
		open_now(s);
	else
		recovery_step(s);
	return 0;
}

int subscriber_add(struct subscriber *s, const struct slice *names, size_t n,
		   const struct start *start, bool is_admin, struct fault *fault)
{
	return add(s, names, n, start, 0, is_admin, fault);
}

int subscriber_add_each(struct subscriber *s, const struct slice *names, const struct start *starts,
			size_t n, bool is_admin, struct fault *fault)
{
	return add(s, names, n, starts, 1, is_admin, fault);
}

/* Who unsubscribes says so: there is no grace. */
static void leave_at_once(struct subscriber *s, struct subscription *sub)
{
	bool before = s->attendee && s->attendee->leaves_at_once;

	if (s->attendee)
		s->attendee->leaves_at_once = true;
	subscription_free(sub);
	if (s->attendee)
		s->attendee->leaves_at_once = before;
}

bool subscriber_remove(struct subscriber *s, struct slice name)
{
	struct subscription *sub = find(s, name);

	if (!sub)
		return false;
	recovery_cancel(s);
	durable_leave(s, name);
	STAILQ_REMOVE(&s->subscriptions, sub, subscription, link);
	s->channel_n--;
	s->pattern_n -= sub->channel->is_pattern;
	leave_at_once(s, sub);
	recovery_step(s);
	return true;
}

bool subscriber_take_owed(struct subscriber *s, struct slice *ret_channel)
{
	struct subscription *sub;

	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		if (!sub->owes_members)
			continue;
		sub->owes_members = false;
		*ret_channel = channel_name(sub->channel);
		return true;
	}
	return false;
}

void subscriber_drained(struct subscriber *s)
{
	CHECK_OBJ(s, SUBSCRIBER_MAGIC);
	s->is_full = false;
	recovery_step(s);
}

void subscriber_settle(struct subscriber *s)
{
	CHECK_OBJ(s, SUBSCRIBER_MAGIC);
	expired_tell(s, NULL);
}

uint64_t subscriber_position(const struct subscriber *s)
{
	const struct subscription *sub;
	uint64_t lowest = UINT64_MAX;

	if (s->state == SUB_LIVE)
		return s->hub->head;
	STAILQ_FOREACH (sub, &s->subscriptions, link) {
		uint64_t at = subscription_cursor(sub);

		if (at < lowest)
			lowest = at;
	}
	return lowest == UINT64_MAX ? s->hub->head : lowest;
}

void subscriber_each_channel(const struct subscriber *s,
			     void (*fn)(void *arg, struct slice channel), void *arg)
{
	const struct subscription *sub;

	STAILQ_FOREACH (sub, &s->subscriptions, link)
		fn(arg, channel_name(sub->channel));
}
