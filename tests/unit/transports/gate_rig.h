/* SPDX-License-Identifier: MIT */
/*
 * gate_rig: one worker's front door, as clients see it: http_serve and the gateway over
 * socketpairs, a hub, and a log that is moved by hand (tests/unit/broker/fake_history.h). The clock
 * stands still until gate_pass.
 *
 * Namespaces: the default one, "few" (3 messages per channel), "open" (public), "closed" (for the
 * admin only). Thread: one.
 */
#ifndef TESTS_UNIT_TRANSPORTS_GATE_RIG_H
#define TESTS_UNIT_TRANSPORTS_GATE_RIG_H

#include "tests/unit/broker/fake_history.h"
#include "transports/gateway.h"

#define GATE_CLIENTS 4
#define GATE_WALL_MS 1790000000123

struct gate_client {
	int fd;         /* our end; -1: not connected */
	struct buf got; /* what came; text */
	bool got_eof;
	bool is_deaf; /* does not read what comes */
};

struct gate {
	struct loop *loop;
	struct conn_env env;
	struct history *history;
	struct namespace_table *namespaces;
	struct census *census;
	struct hub *hub;
	struct hub_limits limits;
	struct gateway_config cfg;
	struct gateway gateway;
	struct http_config http;
	struct gate_client clients[GATE_CLIENTS];
};

/* cmocka's setup and teardown; teardown fails when a session or subscription is left. */
int gate_setup(void **state);
int gate_teardown(void **state);

/* A fresh connection of client i. */
void gate_connect(struct gate *g, size_t i, bool is_admin);
void gate_hang_up(struct gate *g, size_t i);
/* Client i sends text, and what follows from it without the log happens. Connects when need be. */
void gate_say(struct gate *g, size_t i, const char *text);
void gate_say_bytes(struct gate *g, size_t i, struct slice bytes);
/* "GET target HTTP/1.1", with headers ("Name: value\r\n…") if not NULL. */
void gate_get(struct gate *g, size_t i, const char *target, const char *headers);
/* A WebSocket handshake; eats the answer, which must be 101. */
void gate_upgrade(struct gate *g, size_t i, const char *target);
/* A masked frame of a client. */
void gate_frame(struct gate *g, size_t i, unsigned opcode, struct slice payload);
void gate_command(struct gate *g, size_t i, const char *json);
/* Turn until nothing moves that the log has nothing to do with. */
void gate_turn(struct gate *g);
/* The log commits, reads and answers too. */
void gate_settle(struct gate *g);
/* Let time pass; timers run. */
void gate_pass(struct gate *g, uint64_t ms);
/* Commit and deliver a text; return its seq. */
uint64_t gate_publish(struct gate *g, const char *channel, const char *text);

/* What client i has got is exactly this, or contains it, or does not; exactly: it is forgotten. */
void gate_expect(struct gate *g, size_t i, const char *text);
void gate_expect_part(struct gate *g, size_t i, const char *text);
void gate_expect_none(struct gate *g, size_t i, const char *text);
/* The status of the first answer of client i; 0: there is none. */
int gate_status(const struct gate *g, size_t i);
/* Whatever came is forgotten. */
void gate_forget(struct gate *g, size_t i);

#define GATE_TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)

#endif
