/* SPDX-License-Identifier: MIT */
/*
 * fail_shim: preloaded into the daemon (LD_PRELOAD), it makes the n-th call of a kind fail.
 * parts.js aims and fires while the daemon runs, through a small file that both have open:
 * FAIL_SHIM=FILE, one struct aim per kind, in this order:
 *
 *   memory   malloc, calloc, realloc                        NULL
 *   write    write and pwrite to files (not to stderr)      -1, errno
 *   sync     fsync, fdatasync                               -1, errno
 *   accept   accept4                                        -1, errno
 *   wake     write to an eventfd                            -1, errno
 *   send     sendmsg                                        -1, errno
 *
 * It must never allocate.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { KIND_MEMORY, KIND_WRITE, KIND_SYNC, KIND_ACCEPT, KIND_WAKE, KIND_SEND, KIND_N };

struct aim {
	atomic_int countdown; /* the call that makes it 0 fails; 0: none */
	atomic_int times;     /* and so many in all */
	atomic_int error;     /* errno */
	atomic_int failed;    /* answer: how many did */
};

#define FD_MAX 65536

static struct aim *aims;
static atomic_bool is_eventfd[FD_MAX];

/* glibc's own names for what is replaced here; dlsym() would allocate. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAIL_SHIM");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0) {
		p = mmap(NULL, sizeof(struct aim) * KIND_N, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);
		close(fd);
	}
	if (p != MAP_FAILED)
		aims = p;
}

static bool fails(enum kind kind)
{
	if (aims == NULL || atomic_load(&aims[kind].countdown) <= 0)
		return false;
	struct aim *a = &aims[kind];
	if (atomic_fetch_sub(&a->countdown, 1) != 1)
		return false;
	if (atomic_fetch_sub(&a->times, 1) > 1)
		atomic_store(&a->countdown, 1);
	atomic_fetch_add(&a->failed, 1);
	errno = atomic_load(&a->error);
	return true;
}

void *malloc(size_t n)
{
	return fails(KIND_MEMORY) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails(KIND_MEMORY) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails(KIND_MEMORY) ? NULL : __libc_realloc(p, n);
}

ssize_t write(int fd, const void *p, size_t n)
{
	bool is_wake = fd >= 0 && fd < FD_MAX && atomic_load(&is_eventfd[fd]);

	if (fd > STDERR_FILENO && fails(is_wake ? KIND_WAKE : KIND_WRITE))
		return -1;
	return syscall(SYS_write, fd, p, n);
}

/* pwrite64 to the linker, as files are large here. */
ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails(KIND_WRITE) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

int fsync(int fd)
{
	return fails(KIND_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fails(KIND_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *n, int flags)
{
	struct sockaddr *plain = addr.__sockaddr__;

	return fails(KIND_ACCEPT) ? -1 : (int)syscall(SYS_accept4, fd, plain, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return fails(KIND_SEND) ? -1 : syscall(SYS_sendmsg, fd, m, flags);
}

int eventfd(unsigned value, int flags)
{
	int fd = (int)syscall(SYS_eventfd2, value, flags);

	if (fd >= 0 && fd < FD_MAX)
		atomic_store(&is_eventfd[fd], true);
	return fd;
}
