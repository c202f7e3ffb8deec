/* SPDX-License-Identifier: MIT */
/*
 * history_rig: a log with its threads on a file of its own, and two workers that remember what they
 * are sent. Thread: the test's is both workers'.
 */
#ifndef TESTS_UNIT_STORE_HISTORY_RIG_H
#define TESTS_UNIT_STORE_HISTORY_RIG_H

#include "store/history_internal.h"
#include "tests/unit/store/store_test.h"

#define PATIENCE_MS 20000

/* A worker that does nothing but remember. */
struct rig_worker {
	struct mailbox box;
	struct test_rows rows; /* everything announced */
	uint64_t head;
	size_t batches;
	size_t receipts;
	size_t refused;          /* receipts with an error */
	bool is_forgetful;       /* keeps no rows */
	int error;               /* of the newest receipt */
	struct append *answered; /* it */
	struct query *query;
	struct store_task *task;
};

struct history_rig {
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct history_config cfg;
	struct history *h;
	int length_limit; /* SQLite refuses longer values; 0: its own limit */
	struct rig_worker w[2];
};

/* Set-up and tear-down of cmocka: state is the rig, its log started. */
int history_rig_set_up(void **state);
int history_rig_set_up_memory(void **state);
int history_rig_tear_down(void **state);
/* The log again, after a change of the rig's config. */
void rig_stop(struct history_rig *f);
void rig_start(struct history_rig *f);

/* Open all letters that wait. */
void rig_take(struct rig_worker *w);
/* Take letters until the condition holds. */
#define RIG_WAIT_FOR(w, condition)                                 \
	do {                                                       \
		while (!(condition)) {                             \
			mailbox_wait(&(w)->box, PATIENCE_MS);      \
			assert_true(mailbox_count(&(w)->box) > 0); \
			rig_take(w);                               \
		}                                                  \
	} while (0)

struct message *rig_draft(const char *channel, const char *payload, enum durability d);
struct append *rig_append(struct rig_worker *w, const char *channel, enum durability d, size_t n);
/* The first worker publishes n messages. */
void rig_publish_n(struct history_rig *f, const char *channel, enum durability d, size_t n);
/* Publish one message and wait for its receipt; return its seq. */
uint64_t rig_publish(struct history_rig *f, const char *channel, enum durability d);
/* Ask for one or two channels, and wait for the answer. b may be NULL. */
struct query *rig_ask(struct history_rig *f, const char *a, const char *b, uint64_t after,
		      uint64_t upto, size_t row_max);
/* The same for a task. */
struct store_task *rig_task(struct history_rig *f, enum store_task_kind kind, const char *text,
			    const char *after, size_t max);

#endif
