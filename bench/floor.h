/* SPDX-License-Identifier: MIT */
/*
 * floor: the least that a server can do to fan messages out, as a yardstick: frames of the same
 * size as the broker's, one send() per subscriber and turn of the loop, and nothing else: no log,
 * no history, no limits, hardly a parser. Thread: any one.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bench/common.h"

struct floor {
	pid_t pid;
	char address[32];
};

/* Start it as a child process, on this processor; it dies with the program. */
void floor_start(struct floor *ret, enum wire wire, int cpu);
void floor_stop(struct floor *f);

#endif
