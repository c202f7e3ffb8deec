/* SPDX-License-Identifier: MIT */
/*
 * load: what the files of the load generator share. One thread, one struct load.
 *
 *   load.c         the phases of a run            load_conn.c    sockets: open, read, write, close
 *   load_options.c the command line               load_publish.c what is published when
 *   load_track.c   who must get what, who got it  load_report.c  figures, as text and as JSON
 *   wire_*.c       one way to subscribe or to publish each (struct wire)
 *
 * A wire takes the framing off and hands what is inside to track_scan(), which finds the
 * generator's payloads in any bytes. So a wire need not know how a server wraps a payload, and
 * another server is a few options, or a small wire: a file, and a line in wire.c.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <sys/queue.h>

#include "bench/common.h"
#include "bench/histogram.h"
#include "bench/http_reply.h"
#include "bench/load_options.h"

#define PAYLOAD_HEAD    16                  /* see load_track.c */
#define MESSAGES_RING   (1u << 20)          /* messages that are remembered: a power of two */
#define OUTSTANDING_MAX (MESSAGES_RING / 2) /* no more than these are under way */

struct load;
struct conn;

enum message_flag { ACKED = 1, MEASURED = 2, BACKLOG = 4, FINISHED = 8, COMPLETE = 16 };

/* A publish, from the moment it is due. */
struct message {
	uint32_t g; /* its number in this run, from 0 */
	uint32_t channel;
	uint32_t number;  /* among those of its publisher to its channel */
	uint32_t missing; /* subscribers that do not have it yet */
	uint64_t due_us;
	uint16_t publisher;
	uint8_t flags;
};

/* What a subscriber has of one publisher's messages to one channel. */
struct track {
	uint32_t next;   /* behind the largest number that it has */
	uint64_t recent; /* bit i: it has next - 1 - i */
};

struct channel {
	char *name;
	uint32_t subscribers; /* that are ready */
};

struct conn {
	int fd; /* -1: closed */
	bool is_publisher, is_connected, is_ready, is_dirty, waits_for_room;
	uint8_t carry_n, step; /* step: the wire's own */
	uint32_t index;        /* among subscribers, or among publishers */
	const struct wire *wire;
	struct bytes in;  /* of a piece that is not whole yet */
	struct bytes out; /* not written yet */
	char carry[PAYLOAD_HEAD];
	struct http_reply reply; /* the wire's own */
	char *cursors[2];        /* polls: what the next request says */
	uint64_t due_us;         /* short polls: when to ask again */
	TAILQ_ENTRY(conn) due;
	uint32_t *sent; /* publisher: ring of those without receipt, oldest first; its size is depth
			 */
	uint32_t sent_first, sent_n;
	uint32_t backlog_left; /* subscriber: what it has not got of the backlog */
};

TAILQ_HEAD(conn_list, conn);

struct wire {
	const char *name;
	/* Default templates. */
	const char *subscribe_path, *publish_path, *publish_text;
	/* Requests, not a stream: a connection that the server closes is opened again. */
	bool comes_back;
	/* TCP is there: say what is to be said first. NULL: not for subscribers, not for
	 * publishers. */
	void (*open_subscriber)(struct load *l, struct conn *c);
	void (*open_publisher)(struct load *l, struct conn *c);
	/* Bytes have come: take a whole piece from the front and return its size; 0: it is not
	 * whole yet. A NUL stands behind the bytes. What subscribers get goes to track_scan(),
	 * receipts to publish_acked() and publish_refused(), who is ready to conn_ready(). */
	size_t (*input)(struct load *l, struct conn *c, struct span bytes);
	void (*publish)(struct load *l, struct conn *c, struct span payload, const char *channel);
};

struct counts {
	uint64_t deliveries, lost, repeated, disordered, misrouted, foreign;
	uint64_t published, refused, abandoned, closed, reopened;
	uint64_t late; /* 1: --limit ended the run */
};

/* From here to there: times and what was used meanwhile. */
struct stretch {
	uint64_t begin_us, end_us;
	double cpu_s, own_cpu_s, counters[COUNTERS_MAX];
};

struct load {
	struct load_options o;
	int epoll;
	char *buffer; /* what is read */
	size_t buffer_room;
	struct bytes scratch;
	struct bytes path; /* of subscriptions that begin with the backlog */
	uint64_t now_us;   /* when it was read */
	struct conn *subscribers, *publishers;
	uint32_t ready, next_publisher, next_channel;
	struct conn **dirty; /* have something to write */
	uint32_t dirty_n;
	struct conn_list due; /* short polls, the next one first */
	struct channel *channels;
	struct track *tracks;     /* [subscriber][channel of it][publisher] */
	struct message *messages; /* ring */
	uint32_t *numbers;        /* [publisher][channel]: the next */
	uint32_t next_g, oldest;  /* oldest: all before it are COMPLETE */
	uint32_t in_flight;       /* not FINISHED */
	uint32_t incomplete;      /* not COMPLETE */
	uint64_t last_news_us, return_us;
	char tag[4]; /* of this run's payloads */
	char *payload;
	uint8_t new_flags; /* of what is published now */
	struct counts counts;
	struct histogram latency, last, receipts, served;
	uint64_t measured, measured_deliveries, backlog_left;
	pid_t pids[PIDS_MAX];
	size_t pid_n;
	struct stretch connecting, replay, measuring;
	struct memory before, half, after, end;
	uint64_t deadline_us;
};

/* wire.c */
const struct wire *wire_find(const char *option, const char *name);

/* load_conn.c */
void conn_open(struct load *l, struct conn *c);
void conn_send(struct load *l, struct conn *c, const char *p,
	       size_t n);                       /* leaves before the next wait */
void conn_sent(struct load *l, struct conn *c); /* the same, after c->out was filled */
void conn_ready(struct load *l, struct conn *c);
void conn_close(struct load *l, struct conn *c, const char *why);
void conn_poll_later(struct load *l, struct conn *c); /* open_subscriber() again after --poll-ms */
/* The head of a request for path, with the headers of the command line; without the blank line. */
void conn_request(struct load *l, struct conn *c, const char *method, const char *path);
struct fields conn_fields(struct load *l, struct conn *c, struct bytes *query);
/* One turn of the loop, which waits so long at most; false: nothing came. */
bool conn_turn(struct load *l, uint64_t wait_us);

/* load_track.c */
void track_init(struct load *l);
/* Something that a subscriber was sent, in order, whole or in pieces. */
void track_scan(struct load *l, struct conn *c, struct span bytes);
void track_ready(struct load *l, struct conn *c, bool is_ready); /* it counts among its channels' */
struct message *track_publish(struct load *l, uint32_t publisher, uint32_t channel,
			      uint64_t due_us);
void track_payload(struct load *l, const struct message *m);
void track_acked(struct load *l, uint32_t g);
void track_give_up(struct load *l); /* on those that wait for too long */
uint64_t track_lost(struct load *l);
const char *track_channel(struct load *l, const struct conn *c, uint32_t i); /* its i-th */

/* load_publish.c */
void publish_acked(struct load *l, struct conn *c);
void publish_refused(struct load *l, struct conn *c, struct span what);
/* Publish n messages with these flags, as the options say, or until end_us (0: never), and see them
 * through. */
void publish_run(struct load *l, uint64_t n, uint8_t flags, uint64_t end_us);
void publish_stop(int signal); /* handlers */
void publish_renew(int signal);
bool publish_is_stopped(void);

/* load_report.c */
void stretch_begin(struct load *l, struct stretch *s);
void stretch_end(struct load *l, struct stretch *s);
struct memory server_memory(struct load *l);
/* Print; false: something is not as it should be. */
bool load_report(struct load *l);

#endif
