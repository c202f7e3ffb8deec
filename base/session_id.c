/* SPDX-License-Identifier: MIT */
/*
 * session_id: making and reading ids. DESIGN: nothing of an id is derived from anything, so that it
 * tells nothing; only what was written by session_id_format() is read: lower case, all digits.
 */
#include "base/session_id.h"

#include <sodium.h>
#include <string.h>

#define STOCK 64 /* made at a time, per thread */

void session_id_make(struct session_id *ret)
{
	/* asking the kernel for each is what a poll would cost most */
	static _Thread_local struct session_id ready[STOCK];
	static _Thread_local size_t n;

	if (n == 0) {
		randombytes_buf(ready, sizeof(ready));
		n = STOCK;
	}
	*ret = ready[--n];
	sodium_memzero(&ready[n], sizeof(ready[n])); /* given away: ours to forget */
}

static bool parse(struct slice text, uint8_t *out, size_t n)
{
	size_t got;

	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 'A' && text.p[i] <= 'F')
			return false;
	return sodium_hex2bin(out, n, text.p, text.n, NULL, &got, NULL) == 0 && got == n;
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

uint64_t session_id_secret(const struct session_id *id)
{
	uint64_t value;

	memcpy(&value, id->bytes + SESSION_NAME_BYTES, sizeof(value));
	return value;
}

struct session_id session_id_join(uint64_t name, uint64_t secret)
{
	struct session_id id;

	memcpy(id.bytes, &name, SESSION_NAME_BYTES);
	memcpy(id.bytes + SESSION_NAME_BYTES, &secret, sizeof(secret));
	return id;
}

void session_id_format(char out[SESSION_ID_TEXT + 1], const struct session_id *id)
{
	sodium_bin2hex(out, SESSION_ID_TEXT + 1, id->bytes, SESSION_ID_BYTES);
}

void session_name_format(char out[SESSION_NAME_TEXT + 1], const struct session_id *id)
{
	sodium_bin2hex(out, SESSION_NAME_TEXT + 1, id->bytes, SESSION_NAME_BYTES);
}
