/* SPDX-License-Identifier: MIT */
/*
 * worker: one I/O thread with all that is its own: loop, mailbox, hub, connections, front door.
 * Thread: made and freed by main while its thread does not run; in between its own.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <pthread.h>

#include "base/mailbox.h"
#include "daemon/server.h"
#include "net/listener.h"
#include "transports/gateway.h"

#define WORKER_MAGIC 0x574f524bu

struct worker {
	unsigned magic;
	unsigned index;
	pthread_t thread;
	struct server *server;
	struct loop *loop;
	struct mailbox mailbox;
	struct counters *counters;
	struct hub *hub;
	struct presence_desk *desk;
	struct deflater *deflater;
	struct conn_env conns;
	struct http_config http;
	struct gateway_config gateway_config;
	struct gateway gateway;
	struct listener *listeners[64];
	size_t listener_n;
	struct loop_timer drain_timer;
	unsigned accepted_n; /* since memory was last trimmed */
	struct loop_timer trim_timer;
	struct demo_stats *demo_stats; /* of the first worker, with server.demo; else NULL */
};

/* A question that visits every worker in turn and comes home with the answers: made by the worker
 * that asks. */
struct errand {
	struct letter letter;                              /* private */
	unsigned home, visited;                            /* private */
	void (*visit)(struct worker *w, struct errand *e); /* on each worker */
	void (*done)(struct errand *e);                    /* at home, once; owns the errand */
};
void errand_send(struct worker *home, struct errand *e);

struct config_letter {
	struct letter letter;
	struct namespace_table *namespaces; /* a reference */
	bool log_sessions;
};

struct worker *worker_new(struct server *s, unsigned index);
/* Takes fd. Before worker_start. */
void worker_listen(struct worker *w, int fd, bool is_admin);
int worker_start(struct worker *w);
/* Any thread: ask the worker to drain, to stop. */
void worker_post(struct worker *w, enum letter_kind kind);
/* After its thread ended, and before the log is closed: what it had deferred is done; its loop does
 * not turn again. */
void worker_settle(struct worker *w);
/* After worker_settle(), and after the log was closed: what still lies in the mailbox is dropped.
 */
void worker_free(struct worker *w);

#endif
