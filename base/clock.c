/* SPDX-License-Identifier: MIT */
/*
 * clock: the only source of time.
 *
 * DESIGN. Two hands: a monotonic one for everything that is compared or subtracted, and the wall
 * clock for what people read. Tests take both in hand; a fake wall clock keeps microseconds so that
 * many small steps add up. The fake's variables are relaxed atomics, which cost nothing to read and
 * let a test that has helper threads stay free of data races.
 *
 * It must never give wall time to code that measures: the wall clock jumps.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static atomic_bool fake;
static _Atomic uint64_t fake_mono_us;
static _Atomic int64_t fake_wall_us;

uint64_t clock_mono_us(void)
{
	struct timespec ts;

	if (atomic_load_explicit(&fake, memory_order_relaxed))
		return atomic_load_explicit(&fake_mono_us, memory_order_relaxed);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
	struct timespec ts;

	if (atomic_load_explicit(&fake, memory_order_relaxed))
		return atomic_load_explicit(&fake_wall_us, memory_order_relaxed) / 1000;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_s(void)
{
	struct timespec ts;

	if (atomic_load_explicit(&fake, memory_order_relaxed))
		return clock_wall_ms() / 1000;
	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return (int64_t)ts.tv_sec;
}

void clock_fake_set(uint64_t mono_us, int64_t wall_ms)
{
	atomic_store_explicit(&fake_mono_us, mono_us, memory_order_relaxed);
	atomic_store_explicit(&fake_wall_us, wall_ms * 1000, memory_order_relaxed);
	atomic_store_explicit(&fake, true, memory_order_relaxed);
}

void clock_fake_advance(uint64_t us)
{
	atomic_fetch_add_explicit(&fake_mono_us, us, memory_order_relaxed);
	atomic_fetch_add_explicit(&fake_wall_us, (int64_t)us, memory_order_relaxed);
}

void clock_fake_off(void)
{
	atomic_store_explicit(&fake, false, memory_order_relaxed);
}
