/* SPDX-License-Identifier: MIT */
/*
 * common: what both sides of a benchmark need. It shares no code with the broker: a mistake there
 * must not be able to hide itself here. What goes wrong ends the program. Thread: any.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum wire { WIRE_WS, WIRE_SSE };

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
void *must_alloc(size_t n, size_t size); /* zeroed */

uint64_t now_ns(void); /* monotonic */

/* User and system time of a process, all its threads together. Grain: a clock tick, mostly 10 ms.
 */
double process_cpu_s(pid_t pid);
size_t process_rss(pid_t pid); /* bytes */

/* A connected, non-blocking TCP socket without delay; address is HOST:PORT, numeric. */
int dial(const char *address);
void set_nonblocking(int fd);
/* Run on this processor only; negative: anywhere. */
void pin(int cpu);

#endif
