/* SPDX-License-Identifier: MIT */
/* seeds: see the header. The generator is splitmix64. */
#include "tests/replay/seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t seeds_roll(uint64_t *state, uint64_t n)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

int seeds_main(int argc, char **argv, unsigned long long to,
	       bool (*run)(uint64_t seed, bool is_loud))
{
	bool is_loud = argc == 3 && strcmp(argv[1], "--seed") == 0;
	unsigned long long from = 1;
	unsigned bad = 0;

	if (is_loud) {
		from = to = strtoull(argv[2], NULL, 10);
	} else if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		if (sscanf(argv[2], "%llu-%llu", &from, &to) != 2)
			return 2;
	} else if (argc != 1) {
		fprintf(stderr, "usage: %s [--seed N | --seeds A-B]\n", argv[0]);
		return 2;
	}
	for (unsigned long long seed = from; seed <= to && bad < 10; seed++)
		bad += !run(seed, is_loud);
	printf("seeds %llu-%llu: %s\n", from, to, bad ? "FAILED" : "good");
	return bad ? 1 : 0;
}
