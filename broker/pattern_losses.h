/* SPDX-License-Identifier: MIT */
/*
 * pattern_losses: the retention gaps of a subscription to a pattern: told per channel as long as
 * they are few, else for the pattern as a whole; each once.
 * Thread: the hub's. Inside broker/ only.
 */
#ifndef BROKER_PATTERN_LOSSES_H
#define BROKER_PATTERN_LOSSES_H

#include "broker/channel.h"

/* For store_range.lost_after of a read from the subscription's cursor. */
uint64_t pattern_losses_known(const struct subscription *sub);
/* The log's answer to a read from the subscription's cursor: tell what is new. */
void pattern_losses_tell(struct subscription *sub, const struct store_range *r, uint64_t upto);
/* The same at a start that has no cursor: what is lost by then is none of the client's. */
void pattern_losses_note(struct subscription *sub, const struct store_range *r, uint64_t upto);
/* The highest position up to which something is known to be lost; 0: nothing is. */
uint64_t pattern_losses_end(const struct subscription *sub);

#endif
