/* SPDX-License-Identifier: MIT */
/*
 * options: command line words read against tables: `--name VALUE`, `--name=VALUE`, flags, `--`
 * before words that begin with a dash. Options and words may be mixed. Values land in a struct by
 * offset, so that one table row is parser, help and default at once. Thread: main.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/problem.h"

enum option_kind {
	OPTION_FLAG,    /* bool */
	OPTION_TEXT,    /* const char *, points into argv */
	OPTION_COUNT,   /* uint64_t */
	OPTION_SECONDS, /* uint64_t in milliseconds; the user gives seconds, fractions allowed */
};

/* Default of a number that was not given. */
#define OPTION_UNSET UINT64_MAX

struct option_def {
	const char *name; /* without dashes; NULL ends a table */
	enum option_kind kind;
	size_t offset;    /* of the value in the struct */
	const char *arg;  /* what the value is called in help; NULL for flags */
	const char *help; /* one line */
	uint64_t def;     /* of numbers */
	bool is_optional; /* the value may be left out and then is `implied`; given with = only */
	uint64_t implied;
};

/* A table and the struct it fills. */
struct option_set {
	const struct option_def *defs;
	void *values;
};

struct option_parser {
	struct option_set sets[2]; /* both are searched; an unused one is zero */
	int argc;
	char **argv;
	int next;        /* index of the next word */
	bool only_words; /* `--` was seen */
};

/* Write the defaults of all rows. */
void options_defaults(const struct option_set *set);
/* Take options until a plain word comes. Return 1 and *ret_word, 0 at the end, -EINVAL for an
 * option that is unknown or has a bad value (then problem says what and, if there is one, the
 * nearest name). */
int options_next_word(struct option_parser *p, char **ret_word, struct problem *problem);
/* Help lines of a table, indented. */
void options_print(const struct option_def *defs, FILE *out);

#endif
