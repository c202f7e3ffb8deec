/* SPDX-License-Identifier: MIT */
/*
 * template: texts of the command line with fields in them.
 *
 *   %c channel   %q channel=A&channel=B…   %p payload   %n its size   %i number of the subscriber
 *   %1 %2 cursors of a poll   %% a percent sign   \r \n \t \\ as in C
 *
 * Thread: any one.
 */
#ifndef BENCH_TEMPLATE_H
#define BENCH_TEMPLATE_H

#include "bench/common.h"
#include "bench/http_reply.h"

struct fields {
	const char *channel, *query; /* NULL: empty */
	struct span payload;
	unsigned index;
	const char *cursors[2];
};

/* Append what the template says. */
void template_add(struct bytes *out, const char *template, const struct fields *f);
/* End the program if there is a field that does not exist. */
void template_check(const char *option, const char *template);

#endif
