/* SPDX-License-Identifier: MIT */
/*
 * digits: numbers as text, without printf, for what every message or answer has.
 * Thread: any.
 */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGITS_U64 20 /* of the largest */

/* Decimal, without a NUL. Return how many. */
static inline size_t digits_write(char out[DIGITS_U64], uint64_t v)
{
	char digits[DIGITS_U64], *end = digits + sizeof(digits), *p = end;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	memcpy(out, p, (size_t)(end - p));
	return (size_t)(end - p);
}

#endif
