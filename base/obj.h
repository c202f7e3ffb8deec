/* SPDX-License-Identifier: MIT */
/*
 * obj: the habits every struct and function here shares. Heap objects begin with a magic number
 * that is checked wherever a void pointer becomes a typed one; asserts stay on in release builds.
 * Assertions are for bugs, never for input.
 */
#ifndef BASE_OBJ_H
#define BASE_OBJ_H

#include <assert.h>
#include <stddef.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))
#define UNUSED(x)         ((void)(x))

/* The object that holds this member. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define CHECK_OBJ(o, MAGIC)                    \
	do {                                   \
		assert((o) != NULL);           \
		assert((o)->magic == (MAGIC)); \
	} while (0)

#endif
