/* SPDX-License-Identifier: MIT */
/*
 * mailbox: the only door between threads. Many senders, one receiver. A sender appends under the
 * lock and wakes the receiver only when it sleeps; the receiver detaches the whole list and works
 * outside the lock. All kinds of letters: base/tbl/letters.h.
 *
 * A letter that asks something travels back as the same object with the answer filled in: who made
 * it frees it.
 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct loop;
struct event;

enum letter_kind {
#define LETTER(NAME, from, to, payload) LETTER_##NAME,
#include "base/tbl/letters.h"
#undef LETTER
};

struct letter {
	STAILQ_ENTRY(letter) link;
	enum letter_kind kind;
};
STAILQ_HEAD(letter_list, letter);

struct mailbox {
	pthread_mutex_t lock;
	pthread_cond_t arrived; /* signalled to a receiver without a loop */
	pthread_cond_t shrunk;  /* signalled when the receiver took letters */
	struct letter_list letters;
	size_t count;
	bool is_asleep;      /* the receiver: who posts wakes it */
	atomic_uint waker_n; /* senders that are about to */
	struct loop *loop;   /* when attached to it … */
	struct event *event; /* … by an event of … */
	int fd;              /* … an eventfd */
	void (*fn)(struct letter *, void *arg);
	void *arg;
};

void mailbox_init(struct mailbox *mb);
/* The box must be empty and detached. */
void mailbox_fini(struct mailbox *mb);

/* Any thread. Takes the letter. */
void mailbox_post(struct mailbox *mb, struct letter *l);
/* Any thread. Takes n > 0 letters, in order: one wake-up. */
void mailbox_post_all(struct mailbox *mb, struct letter_list *letters, size_t n);
/* Any thread. Letters waiting now. */
size_t mailbox_count(struct mailbox *mb);
/* Any thread but the receiver: wait until at most max letters wait, or timeout_ms has passed.
 * Back-pressure for a sender that may block (the log thread); an I/O thread must not call it. */
void mailbox_wait_below(struct mailbox *mb, size_t max, int timeout_ms);

/* Receiver: move all letters to the end of ret, in order; return how many. */
size_t mailbox_take(struct mailbox *mb, struct letter_list *ret);
/* Receiver without a loop: sleep until there is a letter or timeout_ms passed (-1: no limit). */
void mailbox_wait(struct mailbox *mb, int timeout_ms);
/* Receiver with a loop: from now on each letter is handed to fn on the loop's thread. */
void mailbox_attach(struct mailbox *mb, struct loop *l, void (*fn)(struct letter *, void *arg),
		    void *arg);
void mailbox_detach(struct mailbox *mb);

#endif
