/* SPDX-License-Identifier: MIT */
/* common: clocks, process figures and sockets, each as plainly as the kernel offers them. */
#include "bench/common.h"

#include <arpa/inet.h>
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

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("fanout: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void *must_alloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		die("no memory");
	return p;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void read_proc(pid_t pid, const char *name, char *text, size_t room)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	FILE *f = fopen(path, "r");
	if (!f)
		die("%s: %s", path, strerror(errno));
	size_t n = fread(text, 1, room - 1, f);
	fclose(f);
	text[n] = '\0';
}

double process_cpu_s(pid_t pid)
{
	char text[1024];
	unsigned long user, system;

	read_proc(pid, "stat", text, sizeof(text));
	/* The second field is a name in parentheses, and may itself hold anything. utime and stime
	 * are 14 and 15. */
	const char *p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			 &system) != 2)
		die("/proc/%d/stat is not understood", (int)pid);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

size_t process_rss(pid_t pid)
{
	char text[256];
	unsigned long pages;

	read_proc(pid, "statm", text, sizeof(text));
	if (sscanf(text, "%*u %lu", &pages) != 1)
		die("/proc/%d/statm is not understood", (int)pid);
	return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

void set_nonblocking(int fd)
{
	int on = 1;

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
		die("fcntl: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int dial(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char host[64];
	const char *colon = strrchr(address, ':');

	if (!colon || (size_t)(colon - address) >= sizeof(host))
		die("%s is not HOST:PORT", address);
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = '\0';
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die("%s is not an IPv4 address", host);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect to %s: %s", address, strerror(errno));
	set_nonblocking(fd);
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
