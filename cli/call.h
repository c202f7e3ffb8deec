/* SPDX-License-Identifier: MIT */
/*
 * call: one request, one answer, and what to tell the user when there is none.
 * Thread: main.
 */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include "cli/commands.h"
#include "cli/http.h"

/* Perform and check: a 200 with a JSON object gives CLI_OK and *ret_reply (to be ended with
 * http_reply_fini()); everything else is reported, cleaned up, and gives the exit code. */
int call(struct cli *cli, const char *method, const struct buf *path, struct http_reply *ret_reply);
/* Report a reply that is no success; return the exit code. */
int call_failed(const struct cli *cli, const struct http_reply *reply);
/* Report that the daemon can not be reached, why, and what to do. Returns CLI_UNREACHABLE. */
int call_unreachable(const struct cli *cli, const char *reason);
/* Print a reply's body as one JSON line. */
void call_print_json(struct slice json);

#endif
