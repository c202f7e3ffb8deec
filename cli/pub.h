/* SPDX-License-Identifier: MIT */
/*
 * pub: what publishing one message and publishing a stream share.
 * Thread: main.
 */
#ifndef CLI_PUB_H
#define CLI_PUB_H

#include "cli/commands.h"

struct pub_options {
	const char *file;
	const char *type;
	bool ephemeral;
	bool json;
};

/* Initialise out with the path and query of a publish request. */
void pub_path(const struct pub_options *opt, const char *channel, struct buf *out);
/* Post, with retries while the server is overloaded. Return CLI_OK on a 200; else it was reported.
 * ret_reply is for the caller to end either way. */
int pub_post(struct cli *cli, const struct http_request *request, struct http_reply *ret_reply);
/* `pub CHANNEL -`. */
int pub_stream(struct cli *cli);

#endif
