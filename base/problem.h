/* SPDX-License-Identifier: MIT */
/*
 * problem: why something failed, in words for the person who can mend it. Filled by functions that
 * open, parse or check; printed by daemon and cli. The text says what was wrong and what to do.
 * Thread: any.
 */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include "base/obj.h"

struct problem {
	char text[768];
};

/* Write the text (cut at the size of the struct) and return code, so that a failing function can
 * end with `return problem_set(p, -EINVAL, "…");`. p may be NULL. */
int problem_set(struct problem *p, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
