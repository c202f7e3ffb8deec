/* SPDX-License-Identifier: MIT */
/*
 * common: what the programs of bench/ need of the system: clocks, what the kernel knows of a
 * process, sockets. They share no code with the broker: a mistake there must not be able to hide
 * itself here. What goes wrong ends the program. Thread: any.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes on the heap that grow at their end and are taken from their front. All zero is empty. */
struct bytes {
	char *p;
	size_t n, room;
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
void *must_alloc(size_t n, size_t size); /* zeroed */

/* Room for n more bytes behind those that are there; count them with b->n. */
char *bytes_room(struct bytes *b, size_t n);
void bytes_add(struct bytes *b, const char *p, size_t n);
__attribute__((format(printf, 2, 3))) void bytes_printf(struct bytes *b, const char *format, ...);
void bytes_take(struct bytes *b,
		size_t n); /* the first n are done with; much memory goes with the last */
void bytes_free(struct bytes *b);

uint64_t now_us(void); /* monotonic, the same in all processes */

/* User and system time of a process, all its threads together, in seconds; grain: nanoseconds. */
double process_cpu_s(pid_t pid);

struct memory {
	double rss, pss, anonymous; /* bytes */
};
struct memory process_memory(pid_t pid);

/* Those who descend from pid, itself first, as /proc tells; at most room. */
size_t process_tree(pid_t pid, pid_t *ret, size_t room);

struct sockaddr_in parse_address(const char *host_port); /* numeric IPv4 */
void set_nonblocking(int fd);                            /* and without delay */
/* Listen there (port 0: any), and say where in ret_address. */
int listen_at(const char *host_port, char *ret_address, size_t room);
/* Run on this processor only; negative: anywhere. */
void pin(int cpu);

unsigned long number_option(const char *name, const char *text, unsigned long min,
			    unsigned long max);

#endif
