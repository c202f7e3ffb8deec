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
	const char *key;
	const char *expect;
	const char *producer;
	uint64_t ttl_ms; /* OPTION_UNSET: none */
	bool ephemeral;
	bool json;
};

/* Initialise out with the path and query of a publish request. */
void pub_path(const struct pub_options *opt, const char *channel, struct buf *out);
/* What may be done about a post that was not answered. */
struct pub_try {
	bool is_repeatable; /* the server knows a repetition: send it again until it is answered */
	bool was_up;        /* the server was there a moment ago: wait until it is back */
	int quiet_status;   /* a refusal with this status is the caller's to report; 0: none */
	/* answer */
	bool is_repeated;   /* it was sent more than once */
	bool may_be_stored; /* some try was not answered */
};

/* Post, with retries while the server is overloaded, and of what is repeatable while it is away.
 * Return CLI_OK on a 200; else it was reported. ret_reply is for the caller to end either way. */
int pub_post(struct cli *cli, const struct http_request *request, struct pub_try *t,
	     struct http_reply *ret_reply);
/* `pub CHANNEL -`. */
int pub_stream(struct cli *cli);

#endif
