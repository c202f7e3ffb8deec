/* SPDX-License-Identifier: MIT */
/*
 * stop: SIGINT, SIGTERM and SIGHUP as a file descriptor to wait on. The first one asks for a clean
 * end; from then on they kill, as always.
 * Thread: main.
 */
#ifndef CLI_STOP_H
#define CLI_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* Begin to catch them. The descriptor is readable when one came. Call once, before other threads.
 */
int stop_open(void);
/* Has one come? Always true afterwards. */
bool stop_asked(void);
/* Wait ms or until one comes. Return stop_asked(). */
bool stop_wait(uint64_t ms);

#endif
