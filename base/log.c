/* SPDX-License-Identifier: MIT */
/*
 * log: lines for operators on stderr.
 *
 * DESIGN. A line is made on the stack and leaves in one write(2). It is never longer than
 * LINE_BYTES, which is PIPE_BUF: up to that size the kernel does not mix the writes of several
 * threads into one pipe. A line that would be longer loses whole `key=value` pairs at its end and
 * says so with `cut=1`. Control bytes become '?', so that nothing a client sends can forge a line,
 * even where somebody forgot log_value().
 *
 * Logging must never fail, allocate, take a lock or change errno. A line that can not be written
 * (stderr is closed, or a full pipe that does not block) is lost.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES    4096 /* PIPE_BUF of Linux; with the line end */
#define VALUE_BYTES   200  /* of a value that are shown */
#define VALUE_BUFFERS 8

static const char *const level_names[] = {
	[LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_OFF] = "off",
};

static _Atomic int lowest = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&lowest, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return level < LOG_LEVEL_OFF &&
	       (int)level >= atomic_load_explicit(&lowest, memory_order_relaxed);
}

/* Where to cut line[0..n) so that only whole pairs stay: the last space at or after `from` that is
 * not inside quotes. */
static size_t cut_at_pair(const char *line, size_t from, size_t n)
{
	size_t cut = from;
	bool quoted = false;

	for (size_t i = from; i < n; i++) {
		if (quoted && line[i] == '\\' && i + 1 < n)
			i++;
		else if (line[i] == '"')
			quoted = !quoted;
		else if (line[i] == ' ' && !quoted)
			cut = i;
	}
	return cut;
}

static size_t put_head(char *line, size_t size, enum log_level level, const char *event)
{
	int64_t wall_ms = clock_wall_ms();
	time_t seconds = (time_t)(wall_ms / 1000);
	char day[32];
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, size, "ts=%s.%03dZ level=%s event=%.64s", day, (int)(wall_ms % 1000),
		     level_names[level], event);
	return (size_t)n;
}

static void write_line(const char *line, size_t n)
{
	ssize_t written;

	do {
		written = write(STDERR_FILENO, line, n);
	} while (written < 0 && errno == EINTR);
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
	static const char mark[] = " cut=1";
	const size_t room = LINE_BYTES - sizeof(mark); /* the mark without NUL, and the line end */
	char line[LINE_BYTES];
	int saved = errno;
	size_t head, n;
	va_list ap;

	if (!log_enabled(level))
		return;
	head = n = put_head(line, sizeof(line), level, event);
	if (fmt[0] != '\0') {
		line[n++] = ' ';
		errno = saved; /* for %m */
		va_start(ap, fmt);
		n += (size_t)vsnprintf(line + n, sizeof(line) - n, fmt, ap);
		va_end(ap);
	}
	if (n > room) {
		n = cut_at_pair(line, head, room + 1);
		memcpy(line + n, mark, sizeof(mark) - 1);
		n += sizeof(mark) - 1;
	}
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[n++] = '\n';
	write_line(line, n);
	errno = saved;
}

const char *log_value(const char *value)
{
	return value == NULL ? "-" : log_value_n(value, strlen(value));
}

static bool is_plain(const char *value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];
		if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return n > 0;
}

/* Write one byte as it stands inside quotes; return the end. Bytes beyond ASCII are escaped too:
 * the result is ASCII whatever the client sent, and can not play tricks on a terminal. */
static char *put_escaped(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c == '"' || c == '\\') {
		*out++ = '\\';
		*out++ = (char)c;
	} else if (c == '\n') {
		*out++ = '\\';
		*out++ = 'n';
	} else if (c >= ' ' && c <= '~') {
		*out++ = (char)c;
	} else {
		*out++ = '\\';
		*out++ = 'x';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	return out;
}

const char *log_value_n(const char *value, size_t n)
{
	static _Thread_local char buffers[VALUE_BUFFERS][VALUE_BYTES * 4 + sizeof("\"\"...")];
	static _Thread_local unsigned next;
	char *start = buffers[next++ % VALUE_BUFFERS];
	char *out = start;
	bool cut = n > VALUE_BYTES;

	if (cut)
		n = VALUE_BYTES;
	if (is_plain(value, n)) {
		memcpy(out, value, n);
		out += n;
	} else {
		*out++ = '"';
		for (size_t i = 0; i < n; i++)
			out = put_escaped(out, (unsigned char)value[i]);
		*out++ = '"';
	}
	if (cut)
		out = stpcpy(out, "...");
	*out = '\0';
	return start;
}
