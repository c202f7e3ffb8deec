/* SPDX-License-Identifier: MIT */
/* admin_internal: what the admin calls share. Inside daemon/ only. Thread: the worker's. */
#ifndef DAEMON_ADMIN_INTERNAL_H
#define DAEMON_ADMIN_INTERNAL_H

#include "daemon/worker.h"
#include "net/http.h"

/* One call that waits for an answer of the log or of other workers. When the client goes, exchange
 * becomes NULL and the answer is thrown away. */
struct admin_call {
	struct worker *worker;
	struct http_exchange *exchange;
	struct slice name; /* of the request; valid while exchange is not NULL */
	struct slice after;
	size_t limit;
};

struct admin_call *admin_call_new(struct worker *w, struct http_exchange *x);
/* Answer, if anybody still waits; frees the call. */
void admin_call_answer(struct admin_call *c, struct slice json);
void admin_call_refuse(struct admin_call *c, enum fault_id id, const char *text);

void admin_channels(struct worker *w, struct http_exchange *x);
void admin_channel(struct worker *w, struct http_exchange *x);
void admin_purge(struct worker *w, struct http_exchange *x);
void admin_backup(struct worker *w, struct http_exchange *x);
void admin_connections(struct worker *w, struct http_exchange *x);
void admin_kick(struct worker *w, struct http_exchange *x);

#endif
