/* SPDX-License-Identifier: MIT */
/*
 * http_rig: one HTTP connection over a wire, and a handler that describes the request in its
 * answer. The first part of the path says how it behaves otherwise:
 *
 *   /later /wait /orphan   keep the exchange in kept[]; /wait waits long; /orphan has no on_abort
 *   /take                  takes the connection over, when its turn has come, and sends "stream:"
 *   /close                 closes the connection
 *   /empty /missing        304; 404 with an extra header
 */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include "net/http.h"
#include "tests/unit/net/wire.h"

#define KEPT_MAX    64
#define RIG_WAIT_MS 1000000 /* of /wait */

struct rig {
	struct wire w;
	struct http_config cfg;
	unsigned requests;
	struct http_exchange *kept[KEPT_MAX]; /* /later, /wait and /orphan, by number */
	size_t kept_n;
	unsigned aborted;
	unsigned waited;    /* of /wait: as long as it was to */
	struct conn *taken; /* by /take */
	bool taken_gone;
	struct buf taken_input;
	size_t small_limit; /* body limit of /small; 0: that of all */
};

int rig_setup(void **state);
int rig_teardown(void **state);
/* A fresh connection, served. */
void rig_start(struct rig *r);
void rig_ask(struct rig *r, const char *text);
/* Fail, showing what was received, unless text is (not) in it, or at its beginning. */
void rig_expect(const struct rig *r, const char *text);
void rig_expect_not(const struct rig *r, const char *text);
void rig_expect_begin(const struct rig *r, const char *text);
/* The only answer is a refusal: complete JSON, says close, and FIN follows; the handler saw
 * nothing. */
void rig_expect_refusal(struct rig *r, int status, const char *code);
/* No connection is left. */
bool rig_is_over(const struct rig *r);
/* Answer kept[i]. */
void rig_answer(struct rig *r, size_t i, const char *body);
/* For http_exchange_wait. */
void rig_on_time(struct http_exchange *x);
/* For http_take_over. */
void rig_on_ready(struct http_exchange *x);
/* For cfg.body_limit: small_limit for /small. */
size_t rig_limit_of(void *arg, const struct http_request *q);
/* Make b anew: before, n letters, after. */
void rig_fill(struct buf *b, const char *before, size_t n, const char *after);

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

#endif
