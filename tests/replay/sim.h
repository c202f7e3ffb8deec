/* SPDX-License-Identifier: MIT */
/*
 * sim: what the files of the simulation share. sim.c makes the steps of the log, the readers and
 * the workers, sim_client.c those of the clients, sim_check.c looks at what hubs remember.
 * Thread: one.
 */
#ifndef TESTS_REPLAY_SIM_H
#define TESTS_REPLAY_SIM_H

#include "broker/durable.h"
#include "tests/replay/model.h"
#include "tests/replay/seeds.h"
#include "tests/unit/broker/hub_rig.h"

#define CLIENTS  6
#define ASKS     512
#define CHANNELS 6

extern const char channel_names[CHANNELS][8];

struct client;

/* A durable subscription under way. */
struct join {
	LIST_ENTRY(join) link;
	struct client *client;
	struct asked asked;
	bool is_resume;
	size_t n;
	size_t channels[CHANNELS];
	uint64_t least[CHANNELS]; /* the position before it was asked for */
};

struct client {
	bool is_open;
	struct fake_subscriber f;
	struct model model;
	size_t worker;
	struct asked asks[ASKS]; /* by mark */
	int ask_n;
	/* durable: under this name, "" otherwise */
	char name[4];
	struct durable_ops ops;
	struct durable_want want;
	LIST_HEAD(, join) joins;
	/* what a client keeps when its connection ends */
	bool has_cursor;
	uint64_t resume;
	bool wanted[CHANNELS];
};

struct sim {
	uint64_t seed;
	uint64_t random;
	bool is_loud;
	unsigned step;
	struct hub_rig rig;
	struct hub_limits limits;
	unsigned weights[9]; /* by kind of step */
	struct client clients[CLIENTS];
	/* what each hub was told to forget: nothing up to here may be remembered */
	uint64_t forgotten[FAKE_WORKERS][CHANNELS];
	bool is_untold[FAKE_WORKERS][CHANNELS]; /* of a purge */
	bool has_ttl;                           /* some messages expire */
	unsigned answered;                      /* publishes */
	unsigned posted;
	const char *failure;
	char text[500];
};
extern struct sim sim;

uint64_t roll(uint64_t n);
bool chance(unsigned percent);
#define PICK(...) SEEDS_PICK(&sim.random, __VA_ARGS__)
/* Told when one seed is run alone. */
void PRINTF_LIKE(1, 2) say(const char *fmt, ...);
/* The first one counts. */
void PRINTF_LIKE(1, 2) fail(const char *fmt, ...);
size_t channel_index(const char *name);

/* --- clients --------------------------------------------------------------------------------- */

/* A random step of this one. */
void client_step(struct client *c);
/* Write n events. */
void client_write(struct client *c, size_t n);
/* Acknowledge all that it has seen. */
void client_ack_all(struct client *c);
/* The connection ends; what it has seen must be good to resume from. */
void client_cut(struct client *c);
/* Durable: as much as may be is in flight, and no more. */
void client_check(struct client *c);

/* --- hubs ------------------------------------------------------------------------------------ */

void check_hub(size_t worker);
/* After everybody has left. */
void check_nothing_is_left(void);

#endif
