/* SPDX-License-Identifier: MIT */
/*
 * target: where the daemon is: a Unix socket or a URL, and why it was chosen.
 * Thread: main.
 */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include <stdbool.h>

#include "base/problem.h"

#define TARGET_SOCKET_HERE   "data/admin.sock"
#define TARGET_SOCKET_SYSTEM "/run/holdfast/admin.sock"
#define TARGET_URL_DEFAULT   "http://127.0.0.1:8080"

struct target {
	char *url;          /* without a slash at the end; http://localhost for a socket */
	char *socket;       /* path, or NULL: TCP */
	const char *origin; /* "--socket", "HOLDFAST_URL", "default" … */
	char name[256];     /* for messages: the path or the URL */
};

/* Choose: options before environment before what is found in the usual places. url and socket: the
 * options' values or NULL. Return 0, or -EINVAL with problem: both given, or a URL that is none. */
int target_find(struct target *t, const char *url, const char *socket, struct problem *problem);
void target_fini(struct target *t);

#endif
