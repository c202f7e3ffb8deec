/* SPDX-License-Identifier: MIT */
/*
 * micro: small parts of the broker, one case each, in one thread and without a network. A case is
 * set up once; run() does the operation n times and leaves everything as it was. Thread: one.
 */
#ifndef BENCH_MICRO_MICRO_H
#define BENCH_MICRO_MICRO_H

#include <stddef.h>

struct micro_case {
	const char *name;
	const char *what; /* one operation is … */
	size_t n;         /* operations when instructions are counted */
	void (*set_up)(void);
	void (*run)(size_t n);
	void (*tear_down)(void);
};

/* Each ends with a case without a name. */
extern const struct micro_case base_cases[];
extern const struct micro_case codec_cases[];
extern const struct micro_case net_cases[];
extern const struct micro_case hub_cases[];

/* The compiler must not know what is done with it. */
static inline void micro_use(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

#endif
