/* SPDX-License-Identifier: MIT */
/*
 * sessions: a sharded table of ids. DESIGN: an id that nobody holds stands on one of two lists of
 * its shard, in the order in which their time is over (the grace is the same for all, so that the
 * end of a list is the latest): `present`, those that were in a channel, and `idle`, those that
 * only polls know of. Sweeping looks at the heads. When the table is full the head of `idle` makes
 * room: it loses nothing but its name.
 *
 *   held ──last release──▶ present | idle ──recalled──▶ held
 *                              └──time over, or (idle) room is wanted──▶ gone
 */
#include "broker/sessions.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "base/xalloc.h"

#define SHARDS 16

struct known {
	UT_hash_handle hh;
	struct session_id id;
	bool was_present;
	uint32_t holds;
	uint64_t due_ms; /* while nobody holds it */
	TAILQ_ENTRY(known) link;
};
TAILQ_HEAD(known_list, known);

struct shard {
	pthread_mutex_t lock;
	struct known *all;
	struct known_list present, idle; /* held by nobody; first to be forgotten first */
};

struct sessions {
	size_t max;
	uint64_t grace_ms;
	atomic_size_t n;
	struct shard shards[SHARDS];
};

struct sessions *sessions_new(size_t max, uint64_t grace_ms)
{
	struct sessions *s = xcalloc(1, sizeof(*s));

	s->max = max;
	s->grace_ms = grace_ms;
	atomic_init(&s->n, 0);
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&s->shards[i].lock, NULL);
		TAILQ_INIT(&s->shards[i].present);
		TAILQ_INIT(&s->shards[i].idle);
	}
	return s;
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		struct known *k, *next;

		HASH_ITER (hh, s->shards[i].all, k, next) {
			HASH_DEL(s->shards[i].all, k);
			free(k);
		}
		pthread_mutex_destroy(&s->shards[i].lock);
	}
	free(s);
}

size_t sessions_count(const struct sessions *s)
{
	return atomic_load(&s->n);
}

static struct shard *shard_of(struct sessions *s, const struct session_id *id)
{
	return &s->shards[(map_hash(id->bytes, sizeof(id->bytes)) >> 24) % SHARDS];
}

static struct known *find_locked(struct shard *sh, const struct session_id *id)
{
	struct known *k = NULL;

	HASH_FIND(hh, sh->all, id->bytes, sizeof(id->bytes), k);
	return k;
}

static struct known_list *list_of(struct shard *sh, const struct known *k)
{
	return k->was_present ? &sh->present : &sh->idle;
}

/* One that nobody holds. */
static void forget_locked(struct sessions *s, struct counters *c, struct shard *sh, struct known *k)
{
	TAILQ_REMOVE(list_of(sh, k), k, link);
	HASH_DEL(sh->all, k);
	free(k);
	atomic_fetch_sub(&s->n, 1);
	count_add(c, COUNTER_SESSIONS_KNOWN, -1);
}

bool sessions_recall(struct sessions *s, const struct session_id *id)
{
	struct shard *sh = shard_of(s, id);

	pthread_mutex_lock(&sh->lock);
	struct known *k = find_locked(sh, id);
	if (k && k->holds++ == 0)
		TAILQ_REMOVE(list_of(sh, k), k, link);
	pthread_mutex_unlock(&sh->lock);
	return k != NULL;
}

/* A place for one more: a free one, or that of the one in this shard or the next that was idle for
 * longest. */
static bool take_place(struct sessions *s, struct counters *c, const struct session_id *id)
{
	size_t first = (size_t)(shard_of(s, id) - s->shards);

	if (atomic_fetch_add(&s->n, 1) < s->max)
		return true;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *sh = &s->shards[(first + i) % SHARDS];

		pthread_mutex_lock(&sh->lock);
		struct known *k = TAILQ_FIRST(&sh->idle);
		if (k)
			forget_locked(s, c, sh, k);
		pthread_mutex_unlock(&sh->lock);
		if (k)
			return true;
	}
	atomic_fetch_sub(&s->n, 1);
	return false;
}

int sessions_remember(struct sessions *s, struct counters *c, const struct session_id *id)
{
	struct shard *sh = shard_of(s, id);

	if (!take_place(s, c, id))
		return -ENOBUFS;
	struct known *k = xcalloc(1, sizeof(*k));
	k->id = *id;
	k->holds = 1;
	pthread_mutex_lock(&sh->lock);
	assert(!find_locked(sh, id)); /* 128 random bits */
	HASH_ADD(hh, sh->all, id, sizeof(k->id), k);
	pthread_mutex_unlock(&sh->lock);
	count_inc(c, COUNTER_SESSIONS_KNOWN);
	return 0;
}

uint64_t sessions_release(struct sessions *s, const struct session_id *id, bool is_present)
{
	struct shard *sh = shard_of(s, id);
	uint64_t due = 0;

	pthread_mutex_lock(&sh->lock);
	struct known *k = find_locked(sh, id);
	assert(k && k->holds > 0);
	k->was_present |= is_present;
	if (--k->holds == 0) {
		due = k->due_ms = clock_mono_ms() + s->grace_ms;
		TAILQ_INSERT_TAIL(list_of(sh, k), k, link);
	}
	pthread_mutex_unlock(&sh->lock);
	return due;
}

static size_t sweep_list(struct sessions *s, struct counters *c, struct shard *sh,
			 struct known_list *list, uint64_t now_ms, size_t max)
{
	struct known *k;
	size_t n = 0;

	while (n < max && (k = TAILQ_FIRST(list)) != NULL && k->due_ms <= now_ms) {
		forget_locked(s, c, sh, k);
		n++;
	}
	return n;
}

size_t sessions_sweep(struct sessions *s, struct counters *c, uint64_t now_ms, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < SHARDS && n < max; i++) {
		struct shard *sh = &s->shards[i];

		pthread_mutex_lock(&sh->lock);
		n += sweep_list(s, c, sh, &sh->present, now_ms, max - n);
		n += sweep_list(s, c, sh, &sh->idle, now_ms, max - n);
		pthread_mutex_unlock(&sh->lock);
	}
	return n;
}

static uint64_t earlier(uint64_t a, const struct known *k)
{
	return k && (a == 0 || k->due_ms < a) ? k->due_ms : a;
}

uint64_t sessions_next_due(struct sessions *s)
{
	uint64_t due = 0;

	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *sh = &s->shards[i];

		pthread_mutex_lock(&sh->lock);
		due = earlier(due, TAILQ_FIRST(&sh->present));
		due = earlier(due, TAILQ_FIRST(&sh->idle));
		pthread_mutex_unlock(&sh->lock);
	}
	return due;
}
