/* SPDX-License-Identifier: MIT */
/*
 * load: the load generator. One thread, one epoll, no client library.
 *
 * The phases of a run:
 *
 *   publishers connect · the backlog is published · subscribers connect, --connecting at a time,
 * and get the backlog · --settle · warm-up · what is measured · all that is under way arrives · a
 * moment for what should not come · --hold · figures
 */
#include "bench/load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TURN_US 100000
#define QUIET_S 0.1 /* in the end: time for what should not come */

static void tell(const struct load *l, const char *phase)
{
	if (l->o.tells_phases)
		fprintf(stderr, "load: %s\n", phase);
}

static void must_be_in_time(const struct load *l, const char *what)
{
	if (now_us() > l->deadline_us || publish_is_stopped())
		die("no time left for %s: %u of %u subscribers are ready", what, l->ready,
		    l->o.subscribers);
}

static void wait_for(struct load *l, double seconds)
{
	uint64_t end = now_us() + (uint64_t)(seconds * 1e6);

	for (uint64_t now; (now = now_us()) < end && now < l->deadline_us;)
		conn_turn(l, end - now < TURN_US ? end - now : TURN_US);
}

/* --hold, which a signal ends. */
static void hold(struct load *l)
{
	uint64_t end = now_us() + (uint64_t)(l->o.hold_s * 1e6);

	while (now_us() < end && !publish_is_stopped())
		conn_turn(l, TURN_US);
}

static bool publishers_are_ready(const struct load *l)
{
	for (unsigned i = 0; i < l->o.publishers; i++) {
		if (!l->publishers[i].is_connected || !l->publishers[i].is_ready)
			return false;
	}
	return true;
}

static void connect_publishers(struct load *l)
{
	for (unsigned i = 0; i < l->o.publishers; i++) {
		struct conn *c = &l->publishers[i];

		*c = (struct conn){.is_publisher = true, .index = i, .wire = l->o.publish};
		c->sent = must_alloc(l->o.depth, sizeof(*c->sent));
		conn_open(l, c);
	}
	while (!publishers_are_ready(l)) {
		conn_turn(l, TURN_US);
		must_be_in_time(l, "publishers");
	}
}

static void connect_subscribers(struct load *l)
{
	unsigned n = l->o.subscribers;

	for (unsigned i = 0; i < n; i++) {
		struct conn *c = &l->subscribers[i];

		*c = (struct conn){.index = i,
				   .wire = l->o.transport,
				   .backlog_left = l->o.backlog * l->o.channels_each};
		l->backlog_left += c->backlog_left;
		conn_open(l, c);
		if (i == n / 2)
			l->half = server_memory(l);
		while (i + 1 - l->ready >= l->o.connecting || (i + 1 == n && l->ready < n)) {
			conn_turn(l, TURN_US);
			must_be_in_time(l, "subscribers");
		}
	}
}

/* Everybody gets the backlog; when nothing comes for --give-up it is as it is. */
static void take_backlog(struct load *l)
{
	l->last_news_us = now_us();
	while (l->backlog_left > 0 && !publish_is_stopped() &&
	       now_us() < l->last_news_us + (uint64_t)(l->o.give_up_s * 1e6))
		conn_turn(l, TURN_US);
	stretch_end(l, &l->replay);
}

static void subscribe(struct load *l)
{
	tell(l, "connecting");
	l->before = server_memory(l);
	stretch_begin(l, &l->replay);
	stretch_begin(l, &l->connecting);
	l->return_us = l->connecting.begin_us;
	connect_subscribers(l);
	stretch_end(l, &l->connecting);
	if (l->o.backlog)
		take_backlog(l);
	wait_for(l, l->o.settle_s);
	l->after = server_memory(l);
	tell(l, "ready");
}

static void publish(struct load *l)
{
	publish_run(l, (uint64_t)l->o.warm_up, 0, 0);
	tell(l, "measuring");
	stretch_begin(l, &l->measuring);
	uint64_t end = l->o.seconds > 0 ? now_us() + (uint64_t)(l->o.seconds * 1e6) : 0;
	publish_run(l, (uint64_t)l->o.messages, MEASURED, end);
	stretch_end(l, &l->measuring);
	wait_for(l, QUIET_S);
	hold(l);
	l->end = server_memory(l);
	tell(l, "over");
}

/* --- setting up ---------------------------------------------------------------------------------
 */

static void plan_paths(struct load *l)
{
	struct load_options *o = &l->o;

	if (!o->subscribe_path && o->backlog && !o->transport->comes_back) {
		bytes_printf(&l->path, "%s&since=0", o->transport->subscribe_path);
		o->subscribe_path = l->path.p;
	}
	if (!o->subscribe_path)
		o->subscribe_path = o->transport->subscribe_path;
	if (!o->first_path)
		o->first_path = o->backlog ? "/v1/poll?%q&since=0" : "/v1/poll?%q";
	if (!o->publish_path)
		o->publish_path = o->publish->publish_path;
	if (!o->publish_text)
		o->publish_text = o->publish->publish_text;
}

static void find_processes(struct load *l)
{
	for (unsigned i = 0; i < l->o.pid_n; i++) {
		pid_t tree[PIDS_MAX];
		size_t n = process_tree(l->o.pids[i], tree, PIDS_MAX);

		for (size_t j = 0; j < n; j++) {
			bool is_new = l->pid_n < PIDS_MAX;

			for (size_t k = 0; k < l->pid_n; k++)
				is_new = is_new && l->pids[k] != tree[j];
			if (is_new)
				l->pids[l->pid_n++] = tree[j];
		}
	}
}

static void set_up(struct load *l)
{
	struct load_options *o = &l->o;

	signal(SIGTERM, publish_stop);
	signal(SIGINT, publish_stop);
	signal(SIGUSR1, publish_renew);
	pin(o->cpu);
	prctl(PR_SET_TIMERSLACK, 1000);
	plan_paths(l);
	find_processes(l);
	l->deadline_us = now_us() + (uint64_t)(o->limit_s * 1e6);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		die("epoll: %s", strerror(errno));
	TAILQ_INIT(&l->due);
	l->subscribers = must_alloc(o->subscribers, sizeof(*l->subscribers));
	l->publishers = must_alloc(o->publishers, sizeof(*l->publishers));
	l->dirty = must_alloc(o->subscribers + o->publishers, sizeof(*l->dirty));
	track_init(l);
}

static void free_conns(struct conn *conns, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (conns[i].fd > 0)
			close(conns[i].fd);
		bytes_free(&conns[i].in);
		bytes_free(&conns[i].out);
		free(conns[i].sent);
		free(conns[i].cursors[0]);
		free(conns[i].cursors[1]);
	}
	free(conns);
}

static void tear_down(struct load *l)
{
	free_conns(l->subscribers, l->o.subscribers);
	free_conns(l->publishers, l->o.publishers);
	for (unsigned i = 0; i < l->o.channels; i++)
		free(l->channels[i].name);
	bytes_free(&l->path);
	free(l->dirty);
	free(l->channels);
	free(l->tracks);
	free(l->messages);
	free(l->numbers);
	free(l->payload);
	free(l->buffer);
	bytes_free(&l->scratch);
	close(l->epoll);
	free(l);
}

int main(int argc, char **argv)
{
	struct load *l = must_alloc(1, sizeof(*l));

	load_options_read(&l->o, argc, argv);
	set_up(l);
	connect_publishers(l);
	publish_run(l, (uint64_t)l->o.backlog * l->o.channels, BACKLOG, 0);
	subscribe(l);
	publish(l);
	bool is_good = load_report(l);
	tear_down(l);
	return is_good ? 0 : 1;
}
