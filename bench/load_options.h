/* SPDX-License-Identifier: MIT */
/* load_options: the command line of load, read once; all texts live as long as argv. Thread: one.
 */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include "bench/common.h"

#define HEADERS_MAX  8
#define COUNTERS_MAX 8
#define PIDS_MAX     64

struct wire;

struct load_options {
	/* the server */
	const char *server, *publish_server;
	const char *counters[COUNTERS_MAX], *metrics_path;
	pid_t pids[PIDS_MAX];
	unsigned counter_n, pid_n, sources;
	int cpu;
	/* subscribers */
	const struct wire *transport;
	unsigned subscribers, channels, channels_each, connecting, poll_ms;
	const char *channel, *subscribe_path, *first_path, *subscribe_text, *ready;
	const char *cursors[2], *headers[HEADERS_MAX];
	unsigned cursor_n, header_n;
	/* publishers */
	const struct wire *publish;
	unsigned publishers, depth, bytes;
	bool is_json, is_binary;
	const char *publish_path, *publish_text, *publish_method, *content_type, *ack;
	const char *publish_headers[HEADERS_MAX];
	unsigned publish_header_n;
	/* what is done */
	unsigned backlog, window;
	long messages, warm_up; /* -1: not given */
	bool until_delivered;
	double rate, seconds, settle_s, hold_s, give_up_s, limit_s;
	bool as_json, tells_phases;
};

void load_options_read(struct load_options *o, int argc, char **argv);

#endif
