/* SPDX-License-Identifier: MIT */
/*
 * micro: runs the cases. By itself it tells nanoseconds per operation, the least of some runs: what
 * is slower was disturbed. With --once each case is run once after a warm-up, inside
 * micro_measured(), for callgrind to count the instructions there (tests/perf/instructions).
 */
#include "bench/micro/micro.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define RUN_NS (200 * 1000000ull) /* of one case, in all */

static const struct micro_case *const lists[] = {base_cases, codec_cases, net_cases, hub_cases};
#define LIST_N (sizeof(lists) / sizeof(lists[0]))

void micro_measured(const struct micro_case *c);

/* Callgrind is told this name. */
__attribute__((noinline)) void micro_measured(const struct micro_case *c)
{
	c->run(c->n);
}

static uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double least_ns(const struct micro_case *c)
{
	uint64_t end = mono_ns() + RUN_NS, least = UINT64_MAX, now = mono_ns();

	while (now < end) {
		uint64_t start = now;
		c->run(c->n);
		now = mono_ns();
		if (now - start < least)
			least = now - start;
	}
	return (double)least / (double)c->n;
}

static void run_case(const struct micro_case *c, bool once)
{
	c->set_up();
	c->run(c->n < 300 ? c->n : 300); /* pools, rings and tables have their size now */
	if (once) {
		micro_measured(c);
		printf("%s %zu\n", c->name, c->n);
	} else {
		printf("%-20s %10.1f ns  %s\n", c->name, least_ns(c), c->what);
	}
	fflush(stdout);
	c->tear_down();
}

static bool is_wanted(const char *name, char *const *wanted)
{
	for (size_t i = 0; wanted[i] != NULL; i++) {
		if (strcmp(wanted[i], name) == 0)
			return true;
	}
	return wanted[0] == NULL;
}

/* Each name is one of ours. */
static bool are_known(char *const *wanted)
{
	for (; *wanted != NULL; wanted++) {
		bool is_known = false;
		for (size_t i = 0; i < LIST_N; i++) {
			for (const struct micro_case *c = lists[i]; c->name != NULL; c++)
				is_known |= strcmp(c->name, *wanted) == 0;
		}
		if (!is_known) {
			fprintf(stderr, "micro: no case %s\n", *wanted);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	bool once = argc > 1 && strcmp(argv[1], "--once") == 0;
	char *const *wanted = argv + 1 + once;

	if (!are_known(wanted)) {
		fputs("usage: micro [--once] [CASE...]\n", stderr);
		return 2;
	}
	/* time stands still: no timer fires, and no date line is made anew */
	clock_fake_set(3600 * 1000000ull, 1790000000123);
	for (size_t i = 0; i < LIST_N; i++) {
		for (const struct micro_case *c = lists[i]; c->name != NULL; c++) {
			if (is_wanted(c->name, wanted))
				run_case(c, once);
		}
	}
	return 0;
}
