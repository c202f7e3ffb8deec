/* SPDX-License-Identifier: MIT */
/*
 * say.c: stderr. stdout belongs to data; everything that is about the data goes through here.
 */
#include "cli/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static bool progress_is_shown;

bool say_is_terminal(void)
{
	static int known = -1;

	if (known < 0)
		known = isatty(STDERR_FILENO) == 1;
	return known;
}

static void clear_progress(void)
{
	if (progress_is_shown)
		fputs("\r\033[K", stderr);
	progress_is_shown = false;
}

void say(const char *fmt, ...)
{
	va_list ap;

	clear_progress();
	va_start(ap, fmt);
	fputs("holdfast: ", stderr);
	vfprintf(stderr, fmt, ap);
	putc('\n', stderr);
	va_end(ap);
}

void say_more(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("  ", stderr);
	vfprintf(stderr, fmt, ap);
	putc('\n', stderr);
	va_end(ap);
}

void say_progress(const char *fmt, ...)
{
	va_list ap;

	if (!say_is_terminal())
		return;
	clear_progress();
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fflush(stderr);
	progress_is_shown = true;
}
