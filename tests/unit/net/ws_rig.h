/* SPDX-License-Identifier: MIT */
/*
 * ws_rig: one WebSocket server side over a socketpair, a hand-made client at the other end, the
 * clock in our hand. Everything happens in loop_turn(), so tests wait for nothing. What ws_ops are
 * told is noted as text lines ("text abc", "closed normal").
 */
#ifndef TESTS_WS_RIG_H
#define TESTS_WS_RIG_H

#include "net/ws.h"

/* A literal with any bytes in it, as a slice. */
#define T(literal) slice_make(literal, sizeof(literal) - 1)

#define NOTE_SHORT_MAX 60

struct rig {
	struct loop *loop;
	struct conn_env env;
	struct ws_config cfg;
	struct http_config http; /* of the tests that begin with HTTP */
	struct conn *conn;       /* NULL once it is over */
	struct ws socket;
	struct ws *ws; /* &socket; NULL: there is none */
	int peer;
	bool peer_eof;    /* the client has read our FIN */
	struct buf in;    /* bytes the client received and no expect_* has taken */
	struct buf notes; /* what ws_ops were told, a line each */
	void (*on_message)(struct rig *r, struct slice payload);
	unsigned closed_n;
};

extern const struct ws_ops rig_ops;

/* cmocka fixtures: a connection without an owner; one that speaks WebSocket; the end. */
int rig_setup(void **state);
int rig_setup_ws(void **state);
int rig_teardown(void **state);

/* The connection speaks WebSocket from now on. */
void rig_speak_ws(struct rig *r);
/* Let everything happen that can happen without the clock moving. */
void rig_settle(struct rig *r);
/* Move the clock, and settle. */
void rig_pass_ms(struct rig *r, uint64_t ms);
/* Append a masked frame, as a client would send it. */
void rig_add_frame(struct buf *b, bool fin, unsigned opcode, struct slice payload);
/* Messages of more than NOTE_SHORT_MAX bytes are noted by size and this. */
uint32_t rig_checksum(struct slice s);

void client_sends(struct rig *r, struct slice bytes);
void client_sends_frame(struct rig *r, bool fin, unsigned opcode, struct slice payload);
/* The client closes its socket. */
void client_closes(struct rig *r);

/* The next frame the client has received is this one. */
void expect_frame(struct rig *r, enum ws_opcode opcode, struct slice payload);
/* … is a close frame with this code (0: none), whatever its text. */
void expect_close(struct rig *r, unsigned code);
/* Exactly this was noted since the last time. */
void expect_notes(struct rig *r, const char *want);

#endif
