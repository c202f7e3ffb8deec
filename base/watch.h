/* SPDX-License-Identifier: MIT */
/*
 * watch: what a loop's many sockets are waited for with: one epoll set, edge-triggered, sixteen
 * bytes per socket. libevent, which the loop is made of, sees a single descriptor; its own events
 * are for what there are few of (mailboxes, listeners): they take 170 bytes each. However many
 * sockets are ready, a turn serves them for a few milliseconds, and goes on in the next one; crowds
 * that come or leave do not keep the others waiting. Thread: the loop's.
 */
#ifndef BASE_WATCH_H
#define BASE_WATCH_H

#include "base/loop.h"

enum {
	WATCH_READ = 1,   /* bytes, end of stream, or an error */
	WATCH_WRITE = 2,  /* room, or an error */
	WATCH_HANGUP = 4, /* the peer will send no more; there may be bytes before that */
	WATCH_FRESH = 8,  /* how, not what: of those nobody knows yet, a few per turn */
};

/* Embedded by its owner, zeroed but for fn; it must live to the end of the turn in which it was
 * removed. */
struct watch {
	/* what: what of it has changed. May add, change and remove any watch. */
	void (*fn)(struct watch *w, unsigned what);
	uint32_t place; /* private: in the line of those who leave, from 1; 0: not there */
};

/* Have w->fn called whenever something of `what` begins, now included. Return 0 or negative errno
 * (-ENOSPC: the kernel's limit of watched descriptors). */
int watch_add(struct loop *l, struct watch *w, int fd, unsigned what);
/* Watch for this instead; what is the case already is told once more. WATCH_FRESH must be there as
 * it was when added. */
int watch_change(struct loop *l, struct watch *w, int fd, unsigned what);
/* The same for a watch with WATCH_FRESH, which becomes one of the others. After a failure it is
 * fresh still. */
int watch_settle(struct loop *l, struct watch *w, int fd, unsigned what);
/* Before fd is closed. fn is not called any more, not in this turn either. */
void watch_remove(struct loop *l, struct watch *w, int fd);

/* --- for loop.c ------------------------------------------------------------------------------ */

struct watch_set;

struct watch_set *watch_set_new(struct loop *l);
void watch_set_free(struct watch_set *s);

#endif
