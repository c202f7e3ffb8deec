/* SPDX-License-Identifier: MIT */
/*
 * json: one strict scanner (RFC 8259, UTF-8 only, no byte order mark, depth-limited), because
 * payloads are embedded as the very bytes they were sent as and must be strictly valid where they
 * are embedded. It validates, walks one level of an object or array, unescapes a string, and writes
 * strings; it builds no tree. All slices point into the text.
 * Thread: any (pure).
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define JSON_DEPTH_MAX 128

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Is text exactly one JSON value, with white space around it at most? When not, and ret_offset is
 * not NULL, it is set to the offset of the first byte that is wrong (text.n when the text ends
 * early). */
bool json_is_valid(struct slice text, size_t *ret_offset);

/* The text without the white space around it. */
struct slice json_trim(struct slice text);
/* Type of a valid value (first byte after white space decides). */
enum json_type json_type_of(struct slice value);

/* Walk the members of a valid object, or the elements of a valid array. `*pos` starts at 0.
 * Each call gives the next pair and returns true, or returns false at the end. key is the raw
 * string between its quotes (escapes untouched); value is trimmed. A text that is not of the type:
 * false. */
bool json_object_next(struct slice object, size_t *pos, struct slice *ret_key,
		      struct slice *ret_value);
bool json_array_next(struct slice array, size_t *pos, struct slice *ret_value);
/* The value of the last member with this name (RFC 8259 section 4); false when absent. Names are
 * compared after unescaping. */
bool json_object_get(struct slice object, const char *name, struct slice *ret_value);

/* Append the unescaped content of a valid string value (with its quotes) to out, as UTF-8.
 * Return 0; -ENOBUFS past out's cap; -EINVAL for a lone surrogate escape or a value that is no
 * string. */
int json_unescape(struct slice value, struct buf *out);
/* A whole number without fraction or exponent, 0 ≤ n ≤ 2^63-1: true and *ret. */
bool json_get_u64(struct slice value, uint64_t *ret);

/* Append text as a JSON string with quotes. text must be valid UTF-8. Escapes only what RFC 8259
 * requires (quote, backslash, U+0000–U+001F). Return 0 or -ENOBUFS. */
int json_add_string(struct buf *out, struct slice text);
/* Bytes json_add_string() would append. */
size_t json_string_size(struct slice text);
/* Write them at out (room for json_string_size()); return the end. */
char *json_write_string(char *out, struct slice text);

#endif
