/* SPDX-License-Identifier: MIT */
/*
 * common: clocks, figures of a process and sockets, each as plainly as the kernel offers them.
 *
 * CPU time is read from the process's CPU clock (clock_getcpuclockid), which counts nanoseconds for
 * all threads, also for those that have ended; /proc/PID/stat has the same figure in ticks of 10
 * ms. Memory is /proc/PID/smaps_rollup: what is resident, its share where pages are shared, and
 * what is anonymous, i.e. heap and stacks.
 */
#include "bench/common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MAX 65536

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

void *must_alloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		die("no memory");
	return p;
}

char *bytes_room(struct bytes *b, size_t n)
{
	if (b->room - b->n < n) {
		size_t room = (b->n + n) * 2;

		b->p = realloc(b->p, room);
		if (!b->p)
			die("no memory");
		b->room = room;
	}
	return b->p + b->n;
}

void bytes_add(struct bytes *b, const char *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(bytes_room(b, n), p, n);
	b->n += n;
}

void bytes_printf(struct bytes *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *p = bytes_room(b, (size_t)n + 1);
	va_start(args, format);
	vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	b->n += (size_t)n;
}

void bytes_take(struct bytes *b, size_t n)
{
	if (n >= b->n && b->room > KEPT_MAX) {
		bytes_free(b);
		return;
	}
	b->n -= n < b->n ? n : b->n;
	memmove(b->p, b->p + n, b->n);
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){0};
}

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}

double process_cpu_s(pid_t pid)
{
	clockid_t clock;
	struct timespec t;
	int err = clock_getcpuclockid(pid, &clock);

	if (err || clock_gettime(clock, &t) != 0)
		die("no CPU clock of process %d: %s", (int)pid, strerror(err ? err : errno));
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct memory process_memory(pid_t pid)
{
	char path[64], line[256];
	struct memory m = {0};
	unsigned long kib;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Rss: %lu", &kib) == 1)
			m.rss = (double)kib * 1024;
		else if (sscanf(line, "Pss: %lu", &kib) == 1)
			m.pss = (double)kib * 1024;
		else if (sscanf(line, "Anonymous: %lu", &kib) == 1)
			m.anonymous = (double)kib * 1024;
	}
	fclose(f);
	return m;
}

/* The parent of a process; 0: it is gone. The name, in parentheses, may itself hold anything. */
static pid_t parent_of(pid_t pid)
{
	char path[64], text[512];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *p = strrchr(text, ')');
	return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

size_t process_tree(pid_t pid, pid_t *ret, size_t room)
{
	size_t n = 0, before;

	ret[n++] = pid;
	do { /* a child may come before its parent in /proc */
		DIR *proc = opendir("/proc");
		struct dirent *e;

		if (!proc)
			die("/proc: %s", strerror(errno));
		before = n;
		while ((e = readdir(proc)) && n < room) {
			pid_t child = (pid_t)atoi(e->d_name), parent = child ? parent_of(child) : 0;
			bool is_new = parent > 0, is_ours = false;

			for (size_t i = 0; i < n; i++) {
				is_new = is_new && ret[i] != child;
				is_ours = is_ours || ret[i] == parent;
			}
			if (is_new && is_ours)
				ret[n++] = child;
		}
		closedir(proc);
	} while (n > before);
	return n;
}

struct sockaddr_in parse_address(const char *host_port)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char host[64];
	const char *colon = strrchr(host_port, ':');

	if (!colon || (size_t)(colon - host_port) >= sizeof(host))
		die("%s is not HOST:PORT", host_port);
	memcpy(host, host_port, (size_t)(colon - host_port));
	host[colon - host_port] = '\0';
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die("%s is not a numeric IPv4 address", host);
	return to;
}

void set_nonblocking(int fd)
{
	int on = 1;

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
		die("fcntl: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int listen_at(const char *host_port, char *ret_address, size_t room)
{
	struct sockaddr_in at = parse_address(host_port);
	socklen_t size = sizeof(at);
	char host[INET_ADDRSTRLEN];
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &size) != 0)
		die("%s: %s", host_port, strerror(errno));
	inet_ntop(AF_INET, &at.sin_addr, host, sizeof(host));
	snprintf(ret_address, room, "%s:%d", host, ntohs(at.sin_port));
	return fd;
}

void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		die("processor %d: %s", cpu, strerror(errno));
}

unsigned long number_option(const char *name, const char *text, unsigned long min,
			    unsigned long max)
{
	char *end;

	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < min || value > max)
		die("--%s is %lu to %lu, not %s", name, min, max, text);
	return value;
}
