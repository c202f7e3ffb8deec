/* SPDX-License-Identifier: MIT */
/*
 * ws_frame: WebSocket frames (RFC 6455 section 5): heads decoded and encoded, payloads unmasked.
 * Pure functions.
 * Thread: any.
 */
#ifndef NET_WS_FRAME_H
#define NET_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa,
};

#define WS_HEAD_MAX 14 /* bytes of the longest head */

struct ws_head {
	bool fin;
	uint8_t rsv; /* the three reserved bits, as 0..7 */
	uint8_t opcode;
	bool masked;
	uint8_t mask[4];
	uint64_t payload_n;
	size_t head_n; /* bytes of the head itself */
};

enum ws_verdict { WS_OK, WS_MORE, WS_BAD };

/* Decode a head. WS_MORE: not all bytes are there yet. WS_BAD: a length with its highest bit set or
 * not in its shortest form (RFC 6455 5.2). Opcodes, reserved bits and masking are judged by the
 * caller. */
enum ws_verdict ws_head_decode(struct slice in, struct ws_head *ret);

/* Write an unmasked head for payload_n bytes; return its length. */
size_t ws_head_encode(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin,
		      uint64_t payload_n);
/* The same with a mask (a client's frame). */
size_t ws_head_encode_masked(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin,
			     uint64_t payload_n, const uint8_t mask[4]);
/* Mask or unmask n bytes in place; offset: position of p[0] in the payload. */
void ws_mask(void *p, size_t n, const uint8_t mask[4], uint64_t offset);

/* May a peer send this close code (RFC 6455 7.4; 3000–4999 are free; 1005, 1006, 1015 never)? */
bool ws_close_code_is_valid(uint16_t code);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (28 characters and NUL). */
void ws_accept_key(struct slice key, char out[29]);
/* Is this the base64 of exactly 16 bytes? */
bool ws_key_is_valid(struct slice key);

#endif
