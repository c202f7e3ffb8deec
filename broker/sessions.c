/* SPDX-License-Identifier: MIT */
/*
 * sessions: a sharded table of ids. DESIGN: an id that nobody holds stands on one of two lists of
 * its shard, in the order in which their time is over (the grace is the same for all, so that the
 * end of a list is the latest): `present`, those that were in a channel, and `idle`, those that
 * only polls know of. Sweeping looks at the heads. When the table is full the head of `idle` makes
 * room: it loses nothing but its name.
 *
 *   held ──last release──▶ present | idle ──recalled──▶ held
 *                    noted ──────────┘  └──time over, or (idle) room is wanted──▶ gone
 *
 * Every reply to a poll may name a new one, so entries are small and need no allocation of their
 * own: they stand in blocks that stay where they are, and name each other by number. Freed ones are
 * used again first; the blocks stay, of which there are never more than `max` needs. An id that is
 * in the table was drawn at random here, so a piece of it is its hash.
 */
#include "broker/sessions.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/xalloc.h"

#define SHARDS      16
#define BLOCK       64 /* entries */
#define BUCKETS_MIN 16
#define NONE        UINT32_MAX

struct known {
	struct session_id id;
	uint64_t due_ms; /* while nobody holds it */
	uint32_t holds : 31;
	bool was_present : 1;
	uint32_t next;          /* in its bucket, or among the free ones */
	uint32_t before, after; /* on its list */
};

struct known_list {
	uint32_t first, last;
};

struct shard {
	pthread_mutex_t lock;
	struct known **blocks;
	uint32_t made;     /* entries that were ever in use */
	uint32_t free;     /* the first that is not any more */
	uint32_t n;        /* in use */
	uint32_t bucket_n; /* a power of two */
	uint32_t *buckets;
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

	assert(max < NONE);
	s->max = max;
	s->grace_ms = grace_ms;
	atomic_init(&s->n, 0);
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *sh = &s->shards[i];

		pthread_mutex_init(&sh->lock, NULL);
		sh->free = NONE;
		sh->present = sh->idle = (struct known_list){NONE, NONE};
	}
	return s;
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *sh = &s->shards[i];

		for (uint32_t b = 0; b * BLOCK < sh->made; b++)
			free(sh->blocks[b]);
		free(sh->blocks);
		free(sh->buckets);
		pthread_mutex_destroy(&sh->lock);
	}
	free(s);
}

size_t sessions_count(const struct sessions *s)
{
	return atomic_load(&s->n);
}

/* --- a shard, locked ------------------------------------------------------------------------- */

static uint32_t hash_of(const struct session_id *id)
{
	uint32_t hash;

	memcpy(&hash, id->bytes + SESSION_ID_BYTES - sizeof(hash), sizeof(hash));
	return hash;
}

static struct shard *shard_of(struct sessions *s, const struct session_id *id)
{
	return &s->shards[hash_of(id) % SHARDS];
}

static uint32_t *bucket_of(struct shard *sh, const struct session_id *id)
{
	return &sh->buckets[hash_of(id) / SHARDS & (sh->bucket_n - 1)];
}

static struct known *at(struct shard *sh, uint32_t i)
{
	return i == NONE ? NULL : &sh->blocks[i / BLOCK][i % BLOCK];
}

static uint32_t find(struct shard *sh, const struct session_id *id)
{
	uint32_t i = sh->bucket_n ? *bucket_of(sh, id) : NONE;

	while (i != NONE && memcmp(&at(sh, i)->id, id, sizeof(*id)) != 0)
		i = at(sh, i)->next;
	return i;
}

static void grow(struct shard *sh)
{
	uint32_t before = sh->bucket_n;
	uint32_t *old = sh->buckets;

	sh->bucket_n = before ? before * 2 : BUCKETS_MIN;
	sh->buckets = xmalloc(sh->bucket_n * sizeof(*sh->buckets));
	for (uint32_t b = 0; b < sh->bucket_n; b++)
		sh->buckets[b] = NONE;
	for (uint32_t b = 0; b < before; b++)
		for (uint32_t i = old[b], next; i != NONE; i = next) {
			uint32_t *bucket = bucket_of(sh, &at(sh, i)->id);

			next = at(sh, i)->next;
			at(sh, i)->next = *bucket;
			*bucket = i;
		}
	free(old);
}

static uint32_t take_entry(struct shard *sh)
{
	uint32_t i = sh->free;

	if (i != NONE) {
		sh->free = at(sh, i)->next;
		return i;
	}
	if (sh->made % BLOCK == 0) {
		uint32_t b = sh->made / BLOCK;

		sh->blocks = xrealloc(sh->blocks, (b + 1) * sizeof(*sh->blocks));
		sh->blocks[b] = xmalloc(BLOCK * sizeof(struct known));
	}
	return sh->made++;
}

static uint32_t insert(struct shard *sh, const struct session_id *id)
{
	if (sh->n == sh->bucket_n)
		grow(sh);
	assert(find(sh, id) == NONE); /* 128 random bits */
	uint32_t i = take_entry(sh), *bucket = bucket_of(sh, id);

	*at(sh, i) = (struct known){.id = *id, .next = *bucket};
	*bucket = i;
	sh->n++;
	return i;
}

static struct known_list *list_of(struct shard *sh, const struct known *k)
{
	return k->was_present ? &sh->present : &sh->idle;
}

static void list_add(struct shard *sh, uint32_t i)
{
	struct known_list *list = list_of(sh, at(sh, i));

	at(sh, i)->before = list->last;
	at(sh, i)->after = NONE;
	if (list->last != NONE)
		at(sh, list->last)->after = i;
	else
		list->first = i;
	list->last = i;
}

static void list_remove(struct shard *sh, uint32_t i)
{
	struct known *k = at(sh, i);
	struct known_list *list = list_of(sh, k);

	*(k->before == NONE ? &list->first : &at(sh, k->before)->after) = k->after;
	*(k->after == NONE ? &list->last : &at(sh, k->after)->before) = k->before;
}

/* One that nobody holds. */
static void forget(struct sessions *s, struct counters *c, struct shard *sh, uint32_t i)
{
	uint32_t *from = bucket_of(sh, &at(sh, i)->id);

	list_remove(sh, i);
	while (*from != i)
		from = &at(sh, *from)->next;
	*from = at(sh, i)->next;
	at(sh, i)->next = sh->free;
	sh->free = i;
	sh->n--;
	atomic_fetch_sub(&s->n, 1);
	count_add(c, COUNTER_SESSIONS_KNOWN, -1);
}

/* --- calls ----------------------------------------------------------------------------------- */

bool sessions_recall(struct sessions *s, const struct session_id *id)
{
	struct shard *sh = shard_of(s, id);

	pthread_mutex_lock(&sh->lock);
	uint32_t i = find(sh, id);
	if (i != NONE && at(sh, i)->holds++ == 0)
		list_remove(sh, i);
	pthread_mutex_unlock(&sh->lock);
	return i != NONE;
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
		uint32_t idle = sh->idle.first;
		if (idle != NONE)
			forget(s, c, sh, idle);
		pthread_mutex_unlock(&sh->lock);
		if (idle != NONE)
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
	pthread_mutex_lock(&sh->lock);
	at(sh, insert(sh, id))->holds = 1;
	pthread_mutex_unlock(&sh->lock);
	count_inc(c, COUNTER_SESSIONS_KNOWN);
	return 0;
}

uint64_t sessions_note(struct sessions *s, struct counters *c, const struct session_id *id)
{
	struct shard *sh = shard_of(s, id);

	if (!take_place(s, c, id))
		return 0;
	uint64_t due = clock_mono_ms() + s->grace_ms;
	pthread_mutex_lock(&sh->lock);
	uint32_t i = insert(sh, id);
	at(sh, i)->due_ms = due;
	list_add(sh, i);
	pthread_mutex_unlock(&sh->lock);
	count_inc(c, COUNTER_SESSIONS_KNOWN);
	return due;
}

uint64_t sessions_release(struct sessions *s, const struct session_id *id, bool is_present)
{
	struct shard *sh = shard_of(s, id);
	uint64_t due = 0;

	pthread_mutex_lock(&sh->lock);
	uint32_t i = find(sh, id);
	struct known *k = at(sh, i);
	assert(k && k->holds > 0);
	k->was_present |= is_present;
	if (--k->holds == 0) {
		due = k->due_ms = clock_mono_ms() + s->grace_ms;
		list_add(sh, i);
	}
	pthread_mutex_unlock(&sh->lock);
	return due;
}

static size_t sweep_list(struct sessions *s, struct counters *c, struct shard *sh,
			 const struct known_list *list, uint64_t now_ms, size_t max)
{
	size_t n = 0;

	while (n < max && list->first != NONE && at(sh, list->first)->due_ms <= now_ms) {
		forget(s, c, sh, list->first);
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
		due = earlier(due, at(sh, sh->present.first));
		due = earlier(due, at(sh, sh->idle.first));
		pthread_mutex_unlock(&sh->lock);
	}
	return due;
}
