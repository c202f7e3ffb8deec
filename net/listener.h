/* SPDX-License-Identifier: MIT */
/*
 * listener: accepts connections for one worker. TCP (IPv4, IPv6; every worker its own socket with
 * SO_REUSEPORT) and Unix sockets. When descriptors or the connection limit run out, accepting
 * pauses, without spinning, and goes on when a connection is freed or after a second.
 *
 * Thread: the owner loop's, listen_open excepted.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/problem.h"
#include "net/conn.h"

/* Where to listen: "127.0.0.1:8080", "[::]:8080", "*:8080" (both families, dual stack),
 * "localhost:0", "unix:/path". */
struct listen_address {
	char text[256];
	bool is_unix;
	bool is_loopback; /* reachable from this machine only */
};

int listen_address_parse(const char *text, struct listen_address *ret, struct problem *problem);
/* Make, bind and listen. Return the fd ≥ 0 or -errno. *io_port: 0 in the first call for an address,
 * which stores the port in it (picks one if the address says 0) and refuses a port that another
 * process listens on; later calls with that *io_port share it with the first (SO_REUSEPORT). A
 * stale Unix socket file is replaced; one in use is not; mode is set on it. Thread: main. */
int listen_open(const struct listen_address *a, uint16_t *io_port, int backlog, unsigned unix_mode,
		struct problem *problem);

struct listener;
/* Admin listeners are not held up by env->max. Uses env->on_room. accept_fn makes a conn of the fd
 * it is given (it takes the fd). Takes fd. */
struct listener *listener_new(struct conn_env *env, int fd, bool is_admin,
			      void (*accept_fn)(void *arg, int fd, bool is_admin), void *arg);
/* Stop accepting and close the socket. */
void listener_free(struct listener *l);

#endif
