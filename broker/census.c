/* SPDX-License-Identifier: MIT */
/*
 * census: a sharded table of subscriber counts. DESIGN: entries exist only while somebody
 * subscribes, so the table is bounded by the subscriptions themselves. The shard is chosen by other
 * bits of the hash than uthash goes by, so that the tables inside the shards stay evenly filled. No
 * call leaves this file under a lock, census_each excepted.
 *
 * Which patterns stand for a channel: for each length of prefix in use one more look-up. How many
 * patterns have which length are atomics beside the locks; nobody rests anything but a number that
 * is shown on them.
 */
#include "broker/census.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/obj.h"
#include "base/pattern.h"
#include "base/xalloc.h"

#define SHARDS 16

struct entry {
	struct census_row row;
	UT_hash_handle hh;
	uint8_t name_n;
	char name[];
};

struct shard {
	pthread_mutex_t lock;
	struct entry *entries;
};

struct census {
	struct shard shards[SHARDS];
	atomic_uint patterns;             /* entries that are patterns … */
	atomic_uint by_length[UINT8_MAX]; /* … by bytes before the `*` */
};

const char *subscriber_kind_name(enum subscriber_kind k)
{
	static const char *const names[KIND_COUNT] = {"websocket", "sse", "longpoll", "shortpoll"};

	assert(k < KIND_COUNT);
	return names[k];
}

struct census *census_new(void)
{
	struct census *c = xcalloc(1, sizeof(*c));

	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&c->shards[i].lock, NULL);
	return c;
}

void census_free(struct census *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		struct entry *e, *next;

		HASH_ITER (hh, c->shards[i].entries, e, next) {
			HASH_DEL(c->shards[i].entries, e);
			free(e);
		}
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	free(c);
}

static struct shard *shard_of(struct census *c, unsigned hash)
{
	return &c->shards[(hash >> 24) % SHARDS];
}

static struct entry *find_locked(struct shard *s, struct slice name, unsigned hash)
{
	struct entry *e = NULL;

	HASH_FIND_BYHASHVALUE(hh, s->entries, name.p, name.n, hash, e);
	return e;
}

static void count_pattern(struct census *c, struct slice name, bool is_new)
{
	if (!pattern_is(name))
		return;
	/* unsigned: adding the largest takes one away */
	atomic_fetch_add(&c->by_length[name.n - 1], is_new ? 1 : UINT_MAX);
	atomic_fetch_add(&c->patterns, is_new ? 1 : UINT_MAX);
}

void census_enter(struct census *c, struct slice name, enum subscriber_kind k)
{
	unsigned hash = map_hash(name.p, name.n);
	struct shard *s = shard_of(c, hash);

	pthread_mutex_lock(&s->lock);
	struct entry *e = find_locked(s, name, hash);
	if (!e) {
		e = xcalloc(1, sizeof(*e) + name.n);
		e->name_n = (uint8_t)name.n;
		memcpy(e->name, name.p, name.n);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->entries, e->name, e->name_n, hash, e);
		count_pattern(c, name, true);
	}
	e->row.by_kind[k]++;
	pthread_mutex_unlock(&s->lock);
}

static bool is_empty(const struct census_row *r)
{
	for (size_t k = 0; k < KIND_COUNT; k++)
		if (r->by_kind[k])
			return false;
	return true;
}

void census_leave(struct census *c, struct slice name, enum subscriber_kind k)
{
	unsigned hash = map_hash(name.p, name.n);
	struct shard *s = shard_of(c, hash);

	pthread_mutex_lock(&s->lock);
	struct entry *e = find_locked(s, name, hash);
	assert(e && e->row.by_kind[k] > 0);
	e->row.by_kind[k]--;
	if (is_empty(&e->row)) {
		HASH_DEL(s->entries, e);
		free(e);
		count_pattern(c, name, false);
	}
	pthread_mutex_unlock(&s->lock);
}

static bool add_row(struct census *c, struct slice name, struct census_row *sum)
{
	unsigned hash = map_hash(name.p, name.n);
	struct shard *s = shard_of(c, hash);

	pthread_mutex_lock(&s->lock);
	const struct entry *e = find_locked(s, name, hash);
	for (size_t k = 0; e && k < KIND_COUNT; k++)
		sum->by_kind[k] += e->row.by_kind[k];
	pthread_mutex_unlock(&s->lock);
	return e != NULL;
}

bool census_has(struct census *c, struct slice name)
{
	struct census_row row = {0};

	return add_row(c, name, &row);
}

struct census_row census_get(struct census *c, struct slice name)
{
	struct census_row row = {0};
	char text[UINT8_MAX + 1];

	add_row(c, name, &row);
	if (atomic_load(&c->patterns) == 0 || pattern_is(name))
		return row;
	memcpy(text, name.p, name.n);
	text[name.n] = '*';
	/* from `name*` down to `*` */
	for (size_t n = name.n < UINT8_MAX ? name.n : UINT8_MAX - 1; n < UINT8_MAX; n--) {
		text[n] = '*';
		if (atomic_load(&c->by_length[n]))
			add_row(c, slice_make(text, n + 1), &row);
	}
	return row;
}

uint32_t census_total(struct census *c, struct slice name)
{
	struct census_row row = census_get(c, name);
	uint32_t n = 0;

	for (size_t k = 0; k < KIND_COUNT; k++)
		n += row.by_kind[k];
	return n;
}

void census_each(struct census *c, struct slice prefix,
		 void (*row)(void *arg, struct slice channel, const struct census_row *), void *arg)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];
		struct entry *e, *next;

		pthread_mutex_lock(&s->lock);
		HASH_ITER (hh, s->entries, e, next) {
			struct slice name = slice_make(e->name, e->name_n);

			if (!pattern_is(name) && slice_has_prefix(name, prefix))
				row(arg, name, &e->row);
		}
		pthread_mutex_unlock(&s->lock);
	}
}
