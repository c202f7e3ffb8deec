/* SPDX-License-Identifier: MIT */
/*
 * demo_stats: the broker's own figures as messages on the channel demo:stats, once a second, for
 * as long as somebody subscribes to it. Only with server.demo; kept by one worker.
 * Thread: that worker's.
 */
#ifndef DAEMON_DEMO_STATS_H
#define DAEMON_DEMO_STATS_H

struct worker;
struct demo_stats;

/* Begin to look once a second whether somebody subscribes. */
struct demo_stats *demo_stats_new(struct worker *w);
/* No figures any more. Before the worker's loop turns for the last time. NULL is fine. */
void demo_stats_stop(struct demo_stats *s);
void demo_stats_free(struct demo_stats *s);

#endif
