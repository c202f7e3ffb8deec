/* SPDX-License-Identifier: MIT */
/*
 * problem: why something failed, in words.
 *
 * DESIGN. A fixed struct on the caller's stack: reporting that something went wrong must not be
 * able to go wrong itself. The text is made aside and then copied, so that a function may wrap the
 * text of the one below it: problem_set(p, rc, "opening %s: %s", path, p->text).
 */
#include "base/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int problem_set(struct problem *p, int code, const char *fmt, ...)
{
	struct problem made;
	va_list ap;

	if (p == NULL)
		return code;
	va_start(ap, fmt);
	vsnprintf(made.text, sizeof(made.text), fmt, ap);
	va_end(ap);
	memcpy(p->text, made.text, strlen(made.text) + 1);
	return code;
}
