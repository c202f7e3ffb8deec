/* SPDX-License-Identifier: MIT */
/*
 * clock: the only source of time. Tests replace both hands (clock_fake_*) and move them.
 * Thread: any; faking is for single-threaded tests.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Monotonic time, for deadlines and durations. */
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
/* Wall clock, milliseconds since 1970, for time stamps that people and clients see. */
int64_t clock_wall_ms(void);
/* The same in seconds, some milliseconds late now and then: a fraction of the cost. */
int64_t clock_wall_s(void);

/* From now on time stands still at these values. */
void clock_fake_set(uint64_t mono_us, int64_t wall_ms);
void clock_fake_advance(uint64_t us);
void clock_fake_off(void);

#endif
