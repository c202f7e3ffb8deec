/* SPDX-License-Identifier: MIT */
/*
 * xalloc: small fixed-size allocations, which abort the process when memory is gone.
 * Anything whose size a peer chooses goes through buf.h (capped, can fail) or checks its limit
 * first.
 * Thread: any.
 */
#ifndef BASE_XALLOC_H
#define BASE_XALLOC_H

#include <stddef.h>

/* Under AddressSanitizer who keeps freed memory for the next one must not: it would not see that
 * something is used after it was freed. */
#if defined(__SANITIZE_ADDRESS__)
#define XALLOC_IS_CHECKED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define XALLOC_IS_CHECKED true
#endif
#endif
#ifndef XALLOC_IS_CHECKED
#define XALLOC_IS_CHECKED false
#endif

/* Zeroed memory. Never NULL. Free with free(). */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* Zeroed pages from the kernel, a power of two of bytes and aligned to it. Free with munmap(). */
void *xpages(size_t size) __attribute__((returns_nonnull));
/* What was freed goes back to the kernel, as far as whole pages are free. Milliseconds at most, in
 * which other threads may wait for memory: not for every turn. */
void xtrim(void);
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
/* A NUL-terminated copy of n bytes. */
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));

#endif
