/* SPDX-License-Identifier: MIT */
/*
 * wire: a connection under test over a socketpair, with the client's end in our hand and the clock
 * too. Everything happens in one thread and in loop_turn(), so tests wait for nothing.
 */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include "base/buf.h"
#include "net/conn.h"

struct wire {
	struct loop *loop;
	struct conn_env env;
	struct conn *conn;
	int peer;       /* the client's end; -1: closed */
	struct buf got; /* what the client has received */
	bool got_eof;   /* the client has read FIN */
	bool got_reset;
	int closed; /* on_closed calls that were noted, and the last reason */
	enum close_reason reason;
};

/* Time stands still at one hour until wire_pass. env has timeouts of 1000 ms and lingers for 500
 * ms. */
void wire_init(struct wire *w);
void wire_fini(struct wire *w);
/* A fresh connection, without owner; the earlier one must be over. */
void wire_connect(struct wire *w, const struct conn_ops *ops, void *owner);
/* The client sends; turns the loop now and then, so that any size gets through. */
void wire_send(struct wire *w, struct slice bytes);
/* Turn until nothing moves any more; what the client receives is added to got. */
void wire_settle(struct wire *w);
/* The same without the client reading. */
void wire_turn(struct wire *w);
/* Let time pass, and settle. */
void wire_pass(struct wire *w, uint64_t ms);
void wire_half_close(struct wire *w);
void wire_hang_up(struct wire *w);
/* Forget what was received. */
void wire_clear(struct wire *w);
bool wire_has(const struct wire *w, const char *text);
unsigned wire_count(const struct wire *w, const char *text);
int64_t wire_counter(const struct wire *w, enum counter_id id);

#endif
