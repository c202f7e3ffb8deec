/* SPDX-License-Identifier: MIT */
/*
 * memory_ack: positions of durable subscribers in the memory engine, in two orders: by subscriber
 * and by channel.
 * Thread: any, under the engine's lock.
 */
#ifndef STORE_MEMORY_ACK_H
#define STORE_MEMORY_ACK_H

#include "base/tree.h"
#include "store/ack_store.h"

struct mem_ack;
RB_HEAD(acks_by_subscriber, mem_ack);
RB_HEAD(acks_by_channel, mem_ack);

struct mem_acks {
	struct acks_by_subscriber by_subscriber;
	struct acks_by_channel by_channel;
	uint64_t n;
	uint64_t max;
};

void mem_acks_init(struct mem_acks *t, uint64_t max);
void mem_acks_fini(struct mem_acks *t);
/* Make the change and fill its answers. */
void mem_acks_put(struct mem_acks *t, struct store_ack *a);
void mem_acks_forget(struct mem_acks *t, const struct store_ack *acks, size_t n);
void mem_acks_list(struct mem_acks *t, const struct store_ack_range *range, store_ack_fn *row,
		   void *arg);

#endif
