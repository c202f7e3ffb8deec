/* SPDX-License-Identifier: MIT */
/*
 * session_id: making and reading ids. DESIGN: the second half is a MAC of the first, SipHash-2-4
 * under the key: short enough for an id that is in every URL, and cheaper than to look one up. 64
 * bits of it are enough because they can only be guessed at this server, one request per guess.
 * Only what was written by session_id_format() is read: lower case, all digits.
 */
#include "base/session_id.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define STOCK 64 /* made at a time, per thread */

static_assert(SESSION_KEY_BYTES == crypto_shorthash_KEYBYTES, "a key of SipHash");
static_assert(SESSION_ID_BYTES == SESSION_NAME_BYTES + crypto_shorthash_BYTES, "a name, its MAC");

void session_key_make(struct session_key *ret)
{
	if (sodium_init() < 0)
		abort();
	randombytes_buf(ret->bytes, sizeof(ret->bytes));
}

uint64_t session_name_make(void)
{
	/* asking the kernel for each is what a poll would cost most */
	static _Thread_local uint64_t ready[STOCK];
	static _Thread_local size_t n;
	uint64_t name;

	do {
		if (n == 0) {
			randombytes_buf(ready, sizeof(ready));
			n = STOCK;
		}
		name = ready[--n];
	} while (name == 0);
	return name;
}

struct session_id session_id_of(const struct session_key *key, uint64_t name)
{
	struct session_id id;

	memcpy(id.bytes, &name, SESSION_NAME_BYTES);
	crypto_shorthash(id.bytes + SESSION_NAME_BYTES, id.bytes, SESSION_NAME_BYTES, key->bytes);
	return id;
}

bool session_id_is_ours(const struct session_key *key, const struct session_id *id)
{
	struct session_id ours = session_id_of(key, session_name_value(id));

	return sodium_memcmp(ours.bytes + SESSION_NAME_BYTES, id->bytes + SESSION_NAME_BYTES,
			     SESSION_ID_BYTES - SESSION_NAME_BYTES) == 0;
}

/* -1: none. */
static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In no constant time, as libsodium would at some cost: it is what a client sent. */
static bool parse(struct slice text, uint8_t *out, size_t n)
{
	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = digit_value(text.p[2 * i]), low = digit_value(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool session_id_parse(struct slice text, struct session_id *ret)
{
	struct session_id id;

	if (!parse(text, id.bytes, SESSION_ID_BYTES))
		return false;
	*ret = id;
	return true;
}

bool session_name_parse(struct slice text, struct session_id *ret)
{
	struct session_id id = {{0}};

	if (!parse(text, id.bytes, SESSION_NAME_BYTES))
		return false;
	*ret = id;
	return true;
}

uint64_t session_name_value(const struct session_id *id)
{
	uint64_t value;

	memcpy(&value, id->bytes, SESSION_NAME_BYTES);
	return value;
}

void session_id_format(char out[SESSION_ID_TEXT + 1], const struct session_id *id)
{
	sodium_bin2hex(out, SESSION_ID_TEXT + 1, id->bytes, SESSION_ID_BYTES);
}

void session_name_format(char out[SESSION_NAME_TEXT + 1], const struct session_id *id)
{
	sodium_bin2hex(out, SESSION_NAME_TEXT + 1, id->bytes, SESSION_NAME_BYTES);
}
