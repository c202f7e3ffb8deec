/* SPDX-License-Identifier: MIT */
/*
 * options.c: a small reader of command line words.
 *
 * DESIGN. getopt_long knows neither defaults nor help nor the nearest name, so every tool grows a
 * switch, a usage text and a struct that drift apart. Here a row of a table is all three. Global
 * options stand in one table, those of the command in a second; while the command is not known yet
 * the second set is empty.
 */
#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "cli/suggest.h"

#define SECONDS_MAX (86400.0 * 366 * 100)

void options_defaults(const struct option_set *set)
{
	const struct option_def *d;

	for (d = set->defs; d && d->name; d++) {
		if (d->kind == OPTION_COUNT || d->kind == OPTION_SECONDS)
			*(uint64_t *)((char *)set->values + d->offset) = d->def;
	}
}

static const struct option_def *find(const struct option_parser *p, struct slice name,
				     void **ret_values)
{
	const struct option_def *d;

	for (size_t i = 0; i < ARRAY_LEN(p->sets); i++) {
		for (d = p->sets[i].defs; d && d->name; d++) {
			if (slice_eq_str(name, d->name)) {
				*ret_values = p->sets[i].values;
				return d;
			}
		}
	}
	return NULL;
}

static int unknown(const struct option_parser *p, const char *word, struct slice name,
		   struct problem *problem)
{
	struct suggest s;

	suggest_start(&s, name);
	for (size_t i = 0; i < ARRAY_LEN(p->sets); i++) {
		for (const struct option_def *d = p->sets[i].defs; d && d->name; d++)
			suggest_offer(&s, d->name);
	}
	if (strncmp(word, "--", 2) != 0)
		return problem_set(
			problem, -EINVAL,
			"unknown option %s (write -- before words that begin with a dash)", word);
	if (suggest_best(&s))
		return problem_set(problem, -EINVAL, "unknown option --%.*s; did you mean --%s?",
				   SLICE_ARG(name), suggest_best(&s));
	return problem_set(problem, -EINVAL, "unknown option --%.*s", SLICE_ARG(name));
}

static int parse_count(const char *name, const char *text, uint64_t *ret, struct problem *problem)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	/* strtoull takes signs and leading space; a count has neither. */
	if (text[0] < '0' || text[0] > '9' || *end || errno || v > INT64_MAX)
		return problem_set(problem, -EINVAL,
				   "--%s needs a whole number of 0 or more, not \"%s\"", name,
				   text);
	*ret = v;
	return 0;
}

static int parse_seconds(const char *name, const char *text, uint64_t *ret, struct problem *problem)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v) || v < 0 || v > SECONDS_MAX)
		return problem_set(problem, -EINVAL, "--%s needs a number of seconds, not \"%s\"",
				   name, text);
	*ret = (uint64_t)(v * 1000 + 0.5);
	return 0;
}

static int store(const struct option_def *d, void *values, const char *text,
		 struct problem *problem)
{
	void *at = (char *)values + d->offset;

	switch (d->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)at = text;
		return 0;
	case OPTION_COUNT:
		return parse_count(d->name, text, at, problem);
	case OPTION_SECONDS:
		return parse_seconds(d->name, text, at, problem);
	}
	return -EINVAL;
}

/* One `--name…` word, and the next word when it is the value. */
static int take_option(struct option_parser *p, const char *word, struct problem *problem)
{
	const char *equals = strchr(word, '=');
	const struct option_def *d;
	void *values = NULL;
	struct slice name;

	if (strcmp(word, "-h") == 0)
		word = "--help";
	if (strncmp(word, "--", 2) != 0)
		return unknown(p, word, slice_str(word + 1), problem);
	name = slice_make(word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word + 2));
	d = find(p, name, &values);
	if (!d)
		return unknown(p, word, name, problem);
	if (d->kind == OPTION_FLAG) {
		if (equals)
			return problem_set(problem, -EINVAL, "--%s takes no value", d->name);
		return store(d, values, NULL, problem);
	}
	if (equals)
		return store(d, values, equals + 1, problem);
	if (d->is_optional) {
		*(uint64_t *)((char *)values + d->offset) = d->implied;
		return 0;
	}
	if (p->next >= p->argc)
		return problem_set(problem, -EINVAL, "--%s needs a value: %s", d->name, d->arg);
	return store(d, values, p->argv[p->next++], problem);
}

int options_next_word(struct option_parser *p, char **ret_word, struct problem *problem)
{
	while (p->next < p->argc) {
		char *word = p->argv[p->next++];
		int rc;

		/* A lone dash is a word: standard input. */
		if (p->only_words || word[0] != '-' || word[1] == '\0') {
			*ret_word = word;
			return 1;
		}
		if (strcmp(word, "--") == 0) {
			p->only_words = true;
			continue;
		}
		rc = take_option(p, word, problem);
		if (rc)
			return rc;
	}
	return 0;
}

void options_print(const struct option_def *defs, FILE *out)
{
	for (const struct option_def *d = defs; d && d->name; d++) {
		char left[64];
		if (!d->arg)
			snprintf(left, sizeof(left), "--%s", d->name);
		else if (d->is_optional)
			snprintf(left, sizeof(left), "--%s[=%s]", d->name, d->arg);
		else
			snprintf(left, sizeof(left), "--%s %s", d->name, d->arg);
		fprintf(out, "  %-22s %s\n", left, d->help);
	}
}
