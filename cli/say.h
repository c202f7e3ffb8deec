/* SPDX-License-Identifier: MIT */
/*
 * say: sentences for the user on stderr, each line begun with the program's name.
 * Thread: main.
 */
#ifndef CLI_SAY_H
#define CLI_SAY_H

#include <stdbool.h>

#include "base/obj.h"

/* One line, prefixed with "holdfast: ". Clears a progress line that stands there. */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A second line that belongs to the one before: what to do. */
void say_more(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A line that the next one overwrites; only on a terminal. */
void say_progress(const char *fmt, ...) PRINTF_LIKE(1, 2);
bool say_is_terminal(void);

#endif
