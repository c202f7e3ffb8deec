/* SPDX-License-Identifier: MIT */
/*
 * count_shim: preloaded into the daemon (LD_PRELOAD), it counts allocations by thread.
 * allocations.js reads them while the daemon runs, from a file that both have open: COUNT_SHIM=FILE
 * with THREADS_MAX pairs of eight bytes, the thread's number and its allocations.
 *
 * It must never allocate.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX 64

struct tally {
	uint64_t tid; /* 0: free */
	_Atomic uint64_t n;
};

static struct tally *tallies;
static atomic_uint thread_n;
static __thread struct tally *mine __attribute__((tls_model("initial-exec")));

/* glibc's own names for what is replaced here; dlsym() would allocate. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("COUNT_SHIM");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0) {
		p = mmap(NULL, sizeof(struct tally) * THREADS_MAX, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
		close(fd);
	}
	if (p != MAP_FAILED)
		tallies = p;
}

static void add(void)
{
	if (mine == NULL && tallies != NULL) {
		unsigned i = atomic_fetch_add(&thread_n, 1);
		if (i >= THREADS_MAX)
			abort();
		mine = &tallies[i];
		mine->tid = (uint64_t)gettid();
	}
	if (mine != NULL)
		atomic_fetch_add_explicit(&mine->n, 1, memory_order_relaxed);
}

void *malloc(size_t n)
{
	add();
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	add();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	add();
	return __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n)
{
	add();
	return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	void *p = memalign(align, n);

	if (p == NULL)
		return ENOMEM;
	*ret = p;
	return 0;
}
