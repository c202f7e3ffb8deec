/* SPDX-License-Identifier: MIT */
/*
 * catch_up: what a subscriber has while it is CATCHING_UP, the lists on which it waits, and whose
 * turn it is. recovery.c says what is done then.
 * Thread: the hub's. Inside broker/ only.
 */
#ifndef BROKER_CATCH_UP_H
#define BROKER_CATCH_UP_H

#include "broker/hub.h"

struct catch_up {
	struct subscriber *subscriber;
	uint64_t base;       /* where it began */
	uint64_t not_before; /* wait until the hub's head is here: what was acknowledged before
				counts as past */
	struct query *query; /* under way */
	bool is_detour;      /* live but for one message: it need not stand in line */
	struct catch_up_list *waits_on; /* of a channel being warmed, or of the hub; NULL: none */
	TAILQ_ENTRY(catch_up) link;
};

/* Of a new hub, and of one that goes. */
void catch_up_start(struct hub *h);
void catch_up_stop(struct hub *h);

void catch_up_wait(struct subscriber *s, struct catch_up_list *list);
void catch_up_wait_no_more(struct catch_up *c);

/* May it go on in this turn of the loop? False: it stands in line, and will be stepped. */
bool catch_up_is_its_turn(struct subscriber *s);
/* Bytes were handed over, or work was done that takes as long as sending them. */
void catch_up_gave(struct hub *h, size_t bytes);

/* May the readers be asked for one more page? False: it stands in line until an answer has come. */
bool catch_up_may_read(struct subscriber *s);
/* They were asked; and the answer is here, or is not waited for any more. */
void catch_up_reads(struct hub *h);
void catch_up_has_read(struct hub *h);

#endif
