/* SPDX-License-Identifier: MIT */
/*
 * memory_ack: see the header. DESIGN: two red-black trees over the same nodes, so that every
 * listing is a walk from one place in the right order, and nothing is ever sorted under the
 * engine's lock.
 */
#include "store/memory_ack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"

struct mem_ack {
	RB_ENTRY(mem_ack) in_subscribers;
	RB_ENTRY(mem_ack) in_channels;
	struct store_ack_row row; /* its names are in bytes, or the asker's in a key */
	char bytes[];
};

static int compare(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int rc = n ? memcmp(a.p, b.p, n) : 0;

	return rc != 0 ? rc : (a.n > b.n) - (a.n < b.n);
}

static int by_subscriber(const struct mem_ack *a, const struct mem_ack *b)
{
	int rc = compare(a->row.subscriber, b->row.subscriber);

	return rc != 0 ? rc : compare(a->row.channel, b->row.channel);
}

static int by_channel(const struct mem_ack *a, const struct mem_ack *b)
{
	int rc = compare(a->row.channel, b->row.channel);

	return rc != 0 ? rc : compare(a->row.subscriber, b->row.subscriber);
}

/* The set of functions of a tree is made whole; not all of it is used. */
RB_GENERATE_INTERNAL(acks_by_subscriber, mem_ack, in_subscribers, by_subscriber,
		     __attribute__((unused)) static)
RB_GENERATE_INTERNAL(acks_by_channel, mem_ack, in_channels, by_channel,
		     __attribute__((unused)) static)

void mem_acks_init(struct mem_acks *t, uint64_t max)
{
	RB_INIT(&t->by_subscriber);
	RB_INIT(&t->by_channel);
	t->n = 0;
	t->max = max;
}

static void node_free(struct mem_acks *t, struct mem_ack *node)
{
	RB_REMOVE(acks_by_subscriber, &t->by_subscriber, node);
	RB_REMOVE(acks_by_channel, &t->by_channel, node);
	t->n--;
	free(node);
}

void mem_acks_fini(struct mem_acks *t)
{
	struct mem_ack *node;

	while ((node = RB_ROOT(&t->by_subscriber)) != NULL)
		node_free(t, node);
}

static struct mem_ack key_of(struct slice subscriber, struct slice channel)
{
	return (struct mem_ack){.row = {.subscriber = subscriber, .channel = channel}};
}

static struct mem_ack *find(struct mem_acks *t, const struct store_ack *a)
{
	struct mem_ack key = key_of(a->subscriber, a->channel);

	return RB_FIND(acks_by_subscriber, &t->by_subscriber, &key);
}

static void insert(struct mem_acks *t, const struct store_ack *a)
{
	struct mem_ack *node = xcalloc(1, sizeof(*node) + a->subscriber.n + a->channel.n);

	memcpy(node->bytes, a->subscriber.p, a->subscriber.n);
	memcpy(node->bytes + a->subscriber.n, a->channel.p, a->channel.n);
	node->row = (struct store_ack_row){
		.subscriber = slice_make(node->bytes, a->subscriber.n),
		.channel = slice_make(node->bytes + a->subscriber.n, a->channel.n),
		.seq = a->begin,
		.ts_ms = a->ts_ms,
	};
	RB_INSERT(acks_by_subscriber, &t->by_subscriber, node);
	RB_INSERT(acks_by_channel, &t->by_channel, node);
	t->n++;
}

void mem_acks_put(struct mem_acks *t, struct store_ack *a)
{
	struct mem_ack *node = find(t, a);

	a->error = 0;
	if (node == NULL) {
		a->kept = a->begin;
		if (a->begin == STORE_ACK_NO_BEGIN)
			a->error = -ENOENT;
		else if (t->n >= t->max)
			a->error = -EDQUOT;
		else
			insert(t, a);
		return;
	}
	if (a->seq > node->row.seq)
		node->row.is_passed = false;
	else
		node->row.is_passed |= a->is_passed;
	if (a->seq > node->row.seq)
		node->row.seq = a->seq;
	if (a->ts_ms > node->row.ts_ms)
		node->row.ts_ms = a->ts_ms;
	a->kept = node->row.seq;
}

void mem_acks_forget(struct mem_acks *t, const struct store_ack *acks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mem_ack *node = find(t, &acks[i]);
		if (node != NULL)
			node_free(t, node);
	}
}

/* The first node in the wanted order that is behind the place where the range goes on. */
static struct mem_ack *range_first(struct mem_acks *t, const struct store_ack_range *range)
{
	struct mem_ack *node;

	if (range->channel.p != NULL) {
		struct mem_ack key = key_of(range->after_subscriber, range->channel);
		node = RB_NFIND(acks_by_channel, &t->by_channel, &key);
		return node != NULL && by_channel(node, &key) == 0
			       ? RB_NEXT(acks_by_channel, &t->by_channel, node)
			       : node;
	}
	struct mem_ack key =
		key_of(range->subscriber.p ? range->subscriber : range->after_subscriber,
		       range->after_channel);
	node = RB_NFIND(acks_by_subscriber, &t->by_subscriber, &key);
	return node != NULL && by_subscriber(node, &key) == 0
		       ? RB_NEXT(acks_by_subscriber, &t->by_subscriber, node)
		       : node;
}

void mem_acks_list(struct mem_acks *t, const struct store_ack_range *range, store_ack_fn *row,
		   void *arg)
{
	struct mem_ack *node = range_first(t, range);

	for (size_t n = 0; n < range->max && node != NULL; n++) {
		if (range->subscriber.p != NULL &&
		    !slice_eq(node->row.subscriber, range->subscriber))
			break;
		if (range->channel.p != NULL && !slice_eq(node->row.channel, range->channel))
			break;
		row(arg, &node->row);
		node = range->channel.p ? RB_NEXT(acks_by_channel, &t->by_channel, node)
					: RB_NEXT(acks_by_subscriber, &t->by_subscriber, node);
	}
}
