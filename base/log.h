/* SPDX-License-Identifier: MIT */
/*
 * log: lines for operators on stderr, `ts=… level=… event=… key=value …`. One write(2) per line, so
 * that lines of several threads do not mix. Low layers return errors and log at debug only;
 * transports and daemon log. Values with spaces or quotes are quoted by log_value().
 * Thread: any.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/obj.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

/* Lines below this level are not written. Default: info. Any thread, any time. */
void log_set_level(enum log_level level);
bool log_level_parse(const char *name, enum log_level *ret);
bool log_enabled(enum log_level level);

/* event: one word, e.g. "listening". fmt: `key=%s …`, may be "". */
void log_line(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_debug(event, ...) log_line(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_line(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_line(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_LEVEL_ERROR, event, __VA_ARGS__)

/* Quote value for a log line into one of a few rotating thread-local buffers (valid until the 8th
 * next call of the thread): plain words stay plain, others become "…" with \" \\ \n \xNN escapes,
 * cut at 200 bytes. */
const char *log_value(const char *value);
const char *log_value_n(const char *value, size_t n);

#endif
