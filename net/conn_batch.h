/* SPDX-License-Identifier: MIT */
/*
 * conn_batch: what many connections have to send at the end of a turn, given to the kernel in one
 * system call (io_uring) instead of one each: a quarter less processor time per send. Optional in
 * every way: built when liburing is there, used where the kernel allows it, and not worth it for
 * one or two. Without it each connection writes for itself, and nothing else differs.
 * Thread: the loop's. Inside net/, but for conn_batch_start().
 */
#ifndef NET_CONN_BATCH_H
#define NET_CONN_BATCH_H

#include "net/conn.h"

struct conn_batch;

/* Have the connections of env write together from now on. Its loop's thread must be the caller, and
 * nothing may be queued. False: it can not be done here, and *ret_why says why (a constant). */
bool conn_batch_start(struct conn_env *env, const char **ret_why);
/* With the last connection; NULL is fine. */
void conn_batch_free(struct conn_batch *b);

/* Write the queue of c, which is not empty, together with others before this turn ends; then
 * conn_flushed() is called for it. False: not this one, write it now. */
bool conn_batch_add(struct conn *c);

#endif
