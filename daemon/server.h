/* SPDX-License-Identifier: MIT */
/*
 * server: the whole process: history, workers, and the order in which they start and stop. Main
 * owns it; workers read what does not change after the start.
 * Thread: main, unless said otherwise.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <semaphore.h>
#include <stdatomic.h>

#include "base/session_id.h"
#include "broker/census.h"
#include "broker/presence.h"
#include "daemon/config.h"
#include "store/history.h"

struct worker;

struct server {
	const struct config *config; /* of the start; live options: see worker_reload */
	struct history *history;
	struct census *census;
	struct presence *presence;
	struct session_key session_key; /* of the ids that this process gives */
	struct worker **workers;
	unsigned worker_n;
	atomic_bool is_draining;
	sem_t idle; /* a draining worker has no connection left */
	_Atomic(const struct config *)
		newest; /* the options in force; configs live as long as the process */
};

/* Open the log, bind the listeners, start every thread. On failure nothing runs and problem says
 * why. */
int server_start(const struct config *cfg, struct server **ret, struct problem *problem);
/* New options from now on; cfg must live until server_stop returned. */
void server_reload(struct server *s, const struct config *cfg);
/* Drain and stop (see the numbered steps in server.c). Frees s. */
void server_stop(struct server *s);

#endif
