/* SPDX-License-Identifier: MIT */
/*
 * xalloc: allocations that can not fail.
 *
 * DESIGN. A broker that has no memory for a 100-byte struct can not keep any promise, and code that
 * tries to go on is never tested. So small, fixed-size allocations end the process, which the
 * supervisor starts again; the log on disk loses nothing.
 *
 * Never use these for a size that a peer chooses: buf.c and message_new() can say no.
 */
#include "base/xalloc.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's calloc() does not look at what the thread has just freed; malloc() does. */
#define SMALL 1024

static void *or_die(void *p)
{
	static const char text[] = "holdfast: out of memory\n";

	if (p == NULL) {
		/* log.c and stdio may want memory themselves. */
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)ignored;
		abort();
	}
	return p;
}

/* The kernel aligns to pages only: of twice as much, what is around the aligned part goes back. */
void *xpages(size_t size)
{
	char *p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	or_die(p == MAP_FAILED ? NULL : p);
	size_t before = -(uintptr_t)p & (size - 1);
	if (before > 0)
		munmap(p, before);
	munmap(p + before + size, size - before);
	return p + before;
}

void xtrim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif /* others do so unasked, or can not */
}

void *xcalloc(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SMALL)
		return or_die(calloc(n ? n : 1, size ? size : 1));
	void *p = xmalloc(bytes);
	return memset(p, 0, bytes);
}

void *xmalloc(size_t size)
{
	return or_die(malloc(size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return or_die(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
	char *copy = xmalloc(n + 1);

	if (n > 0)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}
