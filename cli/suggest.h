/* SPDX-License-Identifier: MIT */
/*
 * suggest: the known name nearest to one that was mistyped.
 * Thread: main.
 */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

#include "base/slice.h"

struct suggest {
	struct slice typed;
	const char *best; /* nearest name so far */
	unsigned distance;
};

/* Edits (insert, delete, replace, swap of neighbours) between a and b. Words above 31 bytes count
 * as far. */
unsigned suggest_distance(struct slice a, struct slice b);

void suggest_start(struct suggest *s, struct slice typed);
void suggest_offer(struct suggest *s, const char *name);
/* NULL when nothing is near enough to be worth saying. */
const char *suggest_best(const struct suggest *s);

#endif
