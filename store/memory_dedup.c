/* SPDX-License-Identifier: MIT */
/*
 * memory_dedup: remembered publishes in memory.
 *
 * DESIGN: one map for keys and producers, and one list in the order in which they were written
 * last. The window is the same for all, so that is the order in which they expire, too: both bounds
 * are kept by taking from the front. Only the log thread comes here, so there is no lock.
 */
#include "store/memory_dedup.h"

#include <stdlib.h>

#include "base/counters.h"
#include "base/map.h"
#include "base/xalloc.h"

#define NAME_MAX_BYTES (1 + 255 + 1 + 255)

struct mem_memo {
	UT_hash_handle hh;
	TAILQ_ENTRY(mem_memo) in_order;
	struct dedup_row row;
	size_t name_n;
	char name[];
};

struct name {
	size_t n;
	char bytes[NAME_MAX_BYTES];
};

static void name_add(struct name *to, struct slice s)
{
	assert(to->n + s.n <= sizeof(to->bytes));
	if (s.n > 0)
		memcpy(to->bytes + to->n, s.p, s.n);
	to->n += s.n;
}

/* Channel names hold no NUL, so channel and key are told apart. */
static struct name name_of_key(struct slice channel, struct slice key)
{
	struct name name = {0};

	name_add(&name, SLICE("k"));
	name_add(&name, channel);
	name_add(&name, slice_make("", 1));
	name_add(&name, key);
	return name;
}

static struct name name_of_producer(struct slice producer)
{
	struct name name = {0};

	name_add(&name, SLICE("p"));
	name_add(&name, producer);
	return name;
}

void mem_dedup_init(struct mem_dedup *d, size_t max)
{
	*d = (struct mem_dedup){.max = max > 0 ? max : 1};
	TAILQ_INIT(&d->order);
}

static void forget_first(struct mem_dedup *d)
{
	struct mem_memo *memo = TAILQ_FIRST(&d->order);

	TAILQ_REMOVE(&d->order, memo, in_order);
	HASH_DEL(d->memos, memo);
	free(memo);
	d->n--;
}

void mem_dedup_fini(struct mem_dedup *d)
{
	while (d->n > 0)
		forget_first(d);
}

static struct mem_memo *find(const struct mem_dedup *d, const struct name *name)
{
	struct mem_memo *memo;

	HASH_FIND(hh, d->memos, name->bytes, name->n, memo);
	return memo;
}

static int find_row(const struct mem_dedup *d, const struct name *name, struct dedup_row *ret)
{
	const struct mem_memo *memo = find(d, name);

	if (memo == NULL)
		return 0;
	*ret = memo->row;
	return 1;
}

int mem_dedup_find_key(const struct mem_dedup *d, struct slice channel, struct slice key,
		       struct dedup_row *ret)
{
	struct name name = name_of_key(channel, key);

	return find_row(d, &name, ret);
}

int mem_dedup_find_producer(const struct mem_dedup *d, struct slice producer, struct dedup_row *ret)
{
	struct name name = name_of_producer(producer);

	return find_row(d, &name, ret);
}

static void write_record(struct mem_dedup *d, const struct dedup_record *r)
{
	struct name name =
		r->producer.n > 0 ? name_of_producer(r->producer) : name_of_key(r->channel, r->key);
	struct mem_memo *memo = find(d, &name);

	if (memo != NULL) {
		TAILQ_REMOVE(&d->order, memo, in_order);
	} else {
		memo = xcalloc(1, sizeof(*memo) + name.n);
		memo->name_n = name.n;
		memcpy(memo->name, name.bytes, name.n);
		HASH_ADD_KEYPTR(hh, d->memos, memo->name, memo->name_n, memo);
		d->n++;
	}
	memo->row = r->row;
	TAILQ_INSERT_TAIL(&d->order, memo, in_order);
	if (d->n <= d->max)
		return;
	forget_first(d);
	counters_set_global(COUNTER_KEYS_DROPPED, (int64_t)++d->dropped);
}

void mem_dedup_write(struct mem_dedup *d)
{
	for (size_t i = 0; i < d->staged_n; i++)
		write_record(d, &d->staged[i]);
	d->staged_n = 0;
}

bool mem_dedup_forget(struct mem_dedup *d, int64_t now_ms, size_t max)
{
	size_t n = 0;

	while (n < max && d->n > 0 && TAILQ_FIRST(&d->order)->row.expires_ms <= now_ms) {
		forget_first(d);
		n++;
	}
	return n == max;
}
