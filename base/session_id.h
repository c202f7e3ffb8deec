/* SPDX-License-Identifier: MIT */
/*
 * session_id: 128 bits by which a client is known over its connections. The whole id is the
 * client's secret: who has it is the session. Its first half is the session's name, random, which
 * others may see: enough to know oneself by, not enough to be somebody else. The second half proves
 * the first: only who has the key can make it. So an id that comes back is known without a table.
 * Thread: any (pure, but for the random source).
 */
#ifndef BASE_SESSION_ID_H
#define BASE_SESSION_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SESSION_ID_BYTES   16
#define SESSION_NAME_BYTES 8
#define SESSION_KEY_BYTES  16
#define SESSION_ID_TEXT    (2 * SESSION_ID_BYTES)   /* hexadecimal digits */
#define SESSION_NAME_TEXT  (2 * SESSION_NAME_BYTES) /* the first of them */

struct session_id {
	uint8_t bytes[SESSION_ID_BYTES];
};

struct session_key {
	uint8_t bytes[SESSION_KEY_BYTES];
};

void session_key_make(struct session_key *ret);
/* A new name, as a number: random, never 0. */
uint64_t session_name_make(void);
/* The one id of this name. */
struct session_id session_id_of(const struct session_key *key, uint64_t name);
/* Whether it was made with this key. */
bool session_id_is_ours(const struct session_key *key, const struct session_id *id);
/* False, and *ret untouched, when the text is no id. */
bool session_id_parse(struct slice text, struct session_id *ret);
/* The lowest id of this name. False, and *ret untouched, when the text is no name. */
bool session_name_parse(struct slice text, struct session_id *ret);
/* The name as a number, to compare; 0 is nobody's. */
uint64_t session_name_value(const struct session_id *id);
/* With an ending NUL. */
void session_id_format(char out[SESSION_ID_TEXT + 1], const struct session_id *id);
void session_name_format(char out[SESSION_NAME_TEXT + 1], const struct session_id *id);

#endif
