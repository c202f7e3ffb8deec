/* SPDX-License-Identifier: MIT */
/*
 * field: members of a reply's JSON objects.
 * Thread: main (field_show() returns rotating static buffers).
 */
#ifndef CLI_FIELD_H
#define CLI_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* A whole number; def when absent or something else. */
uint64_t field_u64(struct slice object, const char *name, uint64_t def);
/* A string without its quotes (escapes untouched: for ids and words), any other value as it stands;
 * empty for null and when absent. */
struct slice field_bare(struct slice object, const char *name);
bool field_is_true(struct slice object, const char *name);
/* An object or array; empty when absent or something else. */
struct slice field_tree(struct slice object, const char *name);
/* A value's text, unescaped, made safe for a terminal and cut at 300 bytes; "-" for null and when
 * absent. Valid until the 8th next call. */
const char *field_show(struct slice object, const char *name);
/* The same for a value. */
const char *field_show_value(struct slice value);
/* Append a string member unescaped, as it is. */
void field_text(struct slice object, const char *name, struct buf *out);

#endif
