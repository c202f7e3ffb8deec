/* SPDX-License-Identifier: MIT */
/*
 * seeds: what simulations share: numbers that look random and follow from a seed, and the command
 * line that chooses the seeds.
 * Thread: one.
 */
#ifndef TESTS_REPLAY_SEEDS_H
#define TESTS_REPLAY_SEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 ≤ number < n */
uint64_t seeds_roll(uint64_t *state, uint64_t n);
/* One of these numbers. */
#define SEEDS_PICK(state, ...) \
	((const size_t[]){     \
		__VA_ARGS__}[seeds_roll(state, sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t))])

/* Run the seeds that the arguments name (none: 1 to `to`), up to ten failures; returns what main
 * returns. run: false when it failed; is_loud: tell each step. */
int seeds_main(int argc, char **argv, unsigned long long to,
	       bool (*run)(uint64_t seed, bool is_loud));

#endif
