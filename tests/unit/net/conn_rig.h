/* SPDX-License-Identifier: MIT */
/* conn_rig: an owner that notes what it is told, and a socket that takes what the test says. */
#ifndef TESTS_CONN_RIG_H
#define TESTS_CONN_RIG_H

#include "tests/unit/net/wire.h"

struct rig {
	struct wire w;
	struct buf input; /* all that was offered and consumed */
	unsigned inputs;  /* on_input calls */
	size_t take;      /* consume at most so much per call */
	unsigned eofs, drains;
	size_t drained_at; /* out_bytes when on_drain came */
	void (*on_input)(struct rig *r);
	void (*on_drain)(struct rig *r);
	unsigned rooms;
	ssize_t write_max;   /* what scripted_io takes in the next writev; negative: -errno */
	ssize_t write_again; /* and after it has said -EAGAIN once */
	ssize_t read_error;  /* what it says to reads; 0: the real thing */
	int iov_most;
};

extern const struct conn_ops rig_ops;
size_t rig_on_input(struct conn *c, struct slice bytes);
void rig_on_eof(struct conn *c);
void rig_on_closed(struct conn *c, enum close_reason reason);

int rig_setup(void **state);
int rig_teardown(void **state);
/* A fresh connection. */
struct conn *rig_start(struct rig *r);
/* The same over a socket that takes write_max bytes, then is full. */
struct conn *rig_start_scripted(struct rig *r, ssize_t write_max);
void rig_send_message(struct conn *c, const char *text, uint64_t seq);
/* Exactly this has reached the client. */
void rig_expect_got(struct rig *r, const char *text);
/* Fill the socket until bytes stay queued; return how many there are in all. */
size_t rig_stuff(struct rig *r);
int64_t rig_count(struct rig *r, enum counter_id id);

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

#endif
