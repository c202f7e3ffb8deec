/* SPDX-License-Identifier: MIT */
/*
 * server: start and stop.
 *
 * start: 1 log opened (nothing is touched when that fails)  2 workers made  3 sockets bound  4 log
 * and reader threads 5 worker threads  6 port file written: from here on clients can rely on us
 *
 * stop:  1 not ready; every worker says goodbye to its sessions, answers waiting
 * polls 2 wait until all connections are gone, or the grace period is over 3 workers close what is
 * left, end, and do what they had deferred: from here on no loop turns 4 the log commits what still
 * waits, checkpoints and closes 5 letters that nobody waits for any more are dropped, everything is
 * freed
 */
#include "daemon/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "daemon/worker.h"

/* --- start ----------------------------------------------------------------------------------- */

static unsigned worker_count(const struct config *c)
{
	long n = c->workers ? (long)c->workers : sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

static int make_data_dir(const struct config *c, struct problem *problem)
{
	if (mkdir(c->data_dir, 0750) == 0 || errno == EEXIST)
		return 0;
	return problem_set(problem, -errno,
			   "server.data_dir: can not make %s: %s; make it, or name another",
			   c->data_dir, strerror(errno));
}

static int open_history(struct server *s, struct problem *problem)
{
	const struct config *c = s->config;
	struct history_config h = {
		.engine = c->engine,
		.path = c->database,
		.adopt = c->adopt,
		.namespaces = c->namespaces,
		.readers = (unsigned)c->readers,
		.append_queue_bytes = c->append_queue_bytes,
		.query_queue = c->query_queue,
		.batch_messages = c->batch_messages,
		.worker_lag = (unsigned)c->worker_lag,
		.ack_positions = c->ack_positions,
		.ack_expiry_ms = c->ack_expiry_ms,
		.key_window_ms = c->key_window_ms,
		.key_memory = c->key_memory,
	};

	return history_open(&h, &s->history, problem);
}

/* "127.0.0.1:0" and the port that it became. */
static void note_address(FILE *ports, const struct listen_address *a, uint16_t port)
{
	const char *colon = strrchr(a->text, ':');
	char text[300];

	if (a->is_unix || !colon)
		snprintf(text, sizeof(text), "%s", a->text);
	else
		snprintf(text, sizeof(text), "%.*s:%u", (int)(colon - a->text), a->text, port);
	log_info("listening", "address=%s", log_value(text));
	if (ports)
		fprintf(ports, "%s\n", text);
}

static int bind_address(struct server *s, const struct listen_address *a, FILE *ports,
			struct problem *problem)
{
	/* A Unix socket has one listener; TCP one per worker, the kernel spreads connections over
	 * them. */
	unsigned n = a->is_unix ? 1 : s->worker_n;
	uint16_t port = 0;

	for (unsigned i = 0; i < n; i++) {
		int fd = listen_open(a, &port, (int)s->config->listen_backlog, 0666, problem);

		if (fd < 0)
			return fd;
		worker_listen(s->workers[i], fd, false);
	}
	note_address(ports, a, port);
	return 0;
}

static int bind_all(struct server *s, FILE *ports, struct problem *problem)
{
	const struct config *c = s->config;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->address_n; i++)
		rc = bind_address(s, &c->addresses[i], ports, problem);
	if (rc)
		return rc;
	uint16_t none = 0;
	int fd = listen_open(&c->admin_address, &none, 64, c->admin_socket_mode, problem);
	if (fd < 0)
		return fd;
	worker_listen(s->workers[0], fd, true);
	note_address(ports, &c->admin_address, 0);
	return 0;
}

static int open_sockets(struct server *s, struct problem *problem)
{
	const char *path = s->config->port_file;
	char temporary[4096];
	FILE *ports = NULL;

	if (path && *path) {
		snprintf(temporary, sizeof(temporary), "%s.new", path);
		ports = fopen(temporary, "w");
		if (!ports)
			return problem_set(problem, -errno,
					   "server.port_file: can not write %s: %s", temporary,
					   strerror(errno));
	}
	int rc = bind_all(s, ports, problem);
	if (!ports)
		return rc;
	/* Renamed into place: who sees the file sees all of it. */
	if (fclose(ports) != 0 || (rc == 0 && rename(temporary, path) != 0))
		rc = problem_set(problem, -errno, "server.port_file: can not write %s: %s", path,
				 strerror(errno));
	if (rc)
		unlink(temporary);
	return rc;
}

static void start_threads(struct server *s)
{
	int rc = history_start(s->history);

	for (unsigned i = 0; rc == 0 && i < s->worker_n; i++)
		rc = worker_start(s->workers[i]);
	if (rc == 0)
		return;
	/* Some threads run already; a machine that refuses the others is no place to go on. */
	log_error("threads_refused", "error=%s", log_value(strerror(-rc)));
	exit(EXIT_FAILURE);
}

static void free_all(struct server *s)
{
	for (unsigned i = 0; i < s->worker_n; i++)
		if (s->workers[i])
			worker_settle(s->workers[i]);
	if (s->history)
		history_close(s->history);
	for (unsigned i = 0; i < s->worker_n; i++)
		if (s->workers[i])
			worker_free(s->workers[i]);
	free(s->workers);
	census_free(s->census);
	presence_free(s->presence);
	sem_destroy(&s->idle);
	free(s);
}

int server_start(const struct config *cfg, struct server **ret, struct problem *problem)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->config = cfg;
	atomic_init(&s->newest, cfg);
	s->census = census_new();
	s->presence = presence_new(&(struct presence_config){
		.entries = cfg->presence_entries,
		.grace_ms = cfg->presence_grace_ms,
		.batch_ms = cfg->presence_batch_ms,
	});
	session_key_make(&s->session_key);
	sem_init(&s->idle, 0, 0);
	int rc = make_data_dir(cfg, problem);
	if (rc == 0)
		rc = open_history(s, problem);
	if (rc == 0) {
		s->worker_n = worker_count(cfg);
		s->workers = xcalloc(s->worker_n, sizeof(struct worker *));
		for (unsigned i = 0; i < s->worker_n; i++)
			s->workers[i] = worker_new(s, i);
		rc = open_sockets(s, problem);
	}
	if (rc) {
		free_all(s);
		return rc;
	}
	start_threads(s);
	log_info("ready", "version=" HOLDFAST_VERSION " workers=%u epoch=%s head=%llu", s->worker_n,
		 history_epoch(s->history)->text,
		 (unsigned long long)history_start_head(s->history));
	*ret = s;
	return 0;
}

/* --- reload ---------------------------------------------------------------------------------- */

void server_reload(struct server *s, const struct config *cfg)
{
	atomic_store(&s->newest, cfg);
	log_set_level(cfg->log_level);
	history_set_namespaces(s->history, namespace_table_ref(cfg->namespaces));
	for (unsigned i = 0; i < s->worker_n; i++) {
		struct config_letter *l = xcalloc(1, sizeof(*l));

		l->letter.kind = LETTER_CONFIG;
		l->namespaces = namespace_table_ref(cfg->namespaces);
		l->log_sessions = cfg->log_sessions;
		mailbox_post(&s->workers[i]->mailbox, &l->letter);
	}
}

/* --- stop ------------------------------------------------------------------------------------ */

static void post_all(struct server *s, enum letter_kind kind)
{
	for (unsigned i = 0; i < s->worker_n; i++)
		worker_post(s->workers[i], kind);
}

/* True: all connections are gone. */
static bool wait_until_idle(struct server *s, uint64_t grace_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(grace_ms / 1000);
	until.tv_nsec += (long)(grace_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	for (unsigned i = 0; i < s->worker_n; i++) {
		int rc;

		while ((rc = sem_timedwait(&s->idle, &until)) != 0 && errno == EINTR)
			continue;
		if (rc != 0)
			return false;
	}
	return true;
}

void server_stop(struct server *s)
{
	uint64_t began_ms = clock_mono_ms();

	atomic_store(&s->is_draining, true);
	log_info("draining", "connections=%lld", (long long)counters_sum(COUNTER_CONNECTIONS));
	post_all(s, LETTER_DRAIN);
	bool is_idle = wait_until_idle(s, atomic_load(&s->newest)->drain_grace_ms);
	if (!is_idle)
		log_warn("drain_grace_over", "connections=%lld",
			 (long long)counters_sum(COUNTER_CONNECTIONS));
	post_all(s, LETTER_STOP);
	for (unsigned i = 0; i < s->worker_n; i++)
		pthread_join(s->workers[i]->thread, NULL);
	unlink(s->config->admin_socket);
	free_all(s);
	log_info("stopped", "duration_ms=%llu", (unsigned long long)(clock_mono_ms() - began_ms));
}
