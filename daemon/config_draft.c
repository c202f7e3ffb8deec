/* SPDX-License-Identifier: MIT */
/*
 * config_draft: the configuration while it is put together, and the names of its options.
 *
 * DESIGN. Every kind of source writes the same option in its own way. config_spell makes each
 * spelling from the row, and sources compare what they were given with the spellings: what a
 * message suggests is exactly what would have been understood. Only the name of a namespace has to
 * be cut out of a flag or a variable, and it is what stands between `namespace` and the name of an
 * option.
 */
#include "daemon/config_draft.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* Every default of the table is valid; the unit test goes through them. */
static void set_defaults(const struct option *rows, size_t n, void *base)
{
	for (size_t i = 0; i < n; i++) {
		int rc = option_parse(&rows[i], rows[i].fallback, base);
		assert(rc == 0);
	}
}

void config_draft_init(struct config_draft *d)
{
	memset(d, 0, sizeof(*d));
	set_defaults(config_options, OPTION_N, &d->cfg);
	d->ns = xcalloc(1, sizeof(*d->ns));
	d->cfg.namespace_origin = xcalloc(1, sizeof(*d->cfg.namespace_origin));
	d->ns_n = 1;
	set_defaults(namespace_options, NAMESPACE_OPTION_N, &d->ns[0]);
}

void config_draft_fini(struct config_draft *d)
{
	config_free(&d->cfg);
	free(d->ns);
	memset(d, 0, sizeof(*d));
}

static void *target_base(struct config_draft *d, const struct config_target *t)
{
	return t->is_namespace ? (void *)&d->ns[t->ns] : (void *)&d->cfg;
}

struct config_origin *config_target_origin(struct config_draft *d, const struct config_target *t)
{
	return t->is_namespace ? &d->cfg.namespace_origin[t->ns].option[t->row]
			       : &d->cfg.origin[t->row];
}

int config_assign(struct config_draft *d, const struct config_target *t, const char *place,
		  const char *text, struct config_origin origin, struct problem *problem)
{
	struct buf allowed = {.cap = 512};
	int rc = option_parse(t->option, text, target_base(d, t));

	if (rc == 0) {
		*config_target_origin(d, t) = origin;
		return 0;
	}
	option_allowed(t->option, &allowed);
	rc = problem_set(problem, rc, "%s: %s is not allowed here; expected %.*s", place,
			 *text ? log_value(text) : "an empty value",
			 SLICE_ARG(buf_slice(&allowed)));
	buf_fini(&allowed);
	return rc;
}

int config_namespace_add(struct config_draft *d, struct slice name, size_t *ret_ns,
			 struct problem *problem)
{
	for (size_t i = 1; i < d->ns_n; i++) {
		if (slice_eq_str(name, d->ns[i].name)) {
			*ret_ns = i;
			return 0;
		}
	}
	if (name.n == 0 || name.n > NAMESPACE_NAME_MAX || channel_name_problem(name) ||
	    memchr(name.p, ':', name.n))
		return problem_set(
			problem, -EINVAL,
			"the name of a namespace is 1 to %d bytes of printable ASCII without "
			"spaces, ':' and '*'",
			NAMESPACE_NAME_MAX);
	if (d->ns_n == CONFIG_NAMESPACES_MAX)
		return problem_set(problem, -EINVAL, "there can be %d namespaces at most",
				   CONFIG_NAMESPACES_MAX - 1);
	d->ns = xrealloc(d->ns, (d->ns_n + 1) * sizeof(*d->ns));
	memset(&d->ns[d->ns_n], 0, sizeof(*d->ns));
	memcpy(d->ns[d->ns_n].name, name.p, name.n);
	d->cfg.namespace_origin =
		xrealloc(d->cfg.namespace_origin, (d->ns_n + 1) * sizeof(*d->cfg.namespace_origin));
	memset(&d->cfg.namespace_origin[d->ns_n], 0, sizeof(*d->cfg.namespace_origin));
	*ret_ns = d->ns_n++;
	return 0;
}

/* --- names ----------------------------------------------------------------------------------- */

const char *const config_command_flags[] = {"--config",       "--help",        "--version",
					    "--check-config", "--dump-config", NULL};

struct config_spelling config_spell(enum config_source source, const struct option *o,
				    const char *ns)
{
	struct config_spelling s;
	const char *name = option_short_name(o);
	const char *section = ns ? "namespace" : o->name;
	int section_n = ns ? (int)strlen(section) : (int)(name - o->name - 1);
	const char *of = ns ? ns : "";
	char *p;

	if (source == CONFIG_FLAG) {
		snprintf(s.text, sizeof(s.text), "--%.*s%s%s-%s", section_n, section,
			 *of ? "-" : "", of, name);
		/* the name of the namespace is left as it is */
		for (p = s.text + strlen(s.text) - strlen(name); *p; p++)
			*p = *p == '_' ? '-' : *p;
	} else if (source == CONFIG_ENVIRONMENT) {
		snprintf(s.text, sizeof(s.text), "HOLDFAST_%.*s%s%s_%s", section_n, section,
			 *of ? "_" : "", of, name);
		for (p = s.text; *p; p++)
			*p = (char)toupper((unsigned char)*p);
	} else {
		snprintf(s.text, sizeof(s.text), "[%.*s%s%s] %s", section_n, section,
			 *of ? " " : "", of, name);
	}
	return s;
}

static bool is_spelled(enum config_source source, const struct option *o, const char *ns,
		       const char *name)
{
	return strcmp(config_spell(source, o, ns).text, name) == 0;
}

/* `--namespace-NAME-history-count`, `HOLDFAST_NAMESPACE_NAME_HISTORY_COUNT`: is this the row's?
 * Then *ret is NAME. */
static bool names_namespace(enum config_source source, const struct option *o, const char *name,
			    struct slice *ret)
{
	struct config_spelling whole = config_spell(source, o, "");
	size_t tail_n = strlen(option_short_name(o)) + 1;
	size_t head_n = strlen(whole.text) - tail_n;
	size_t n = strlen(name);

	/* head, separator, one byte at least, tail (which begins with a separator) */
	if (n < head_n + 2 + tail_n || strncmp(name, whole.text, head_n) != 0 ||
	    name[head_n] != whole.text[head_n] ||
	    strcmp(name + n - tail_n, whole.text + head_n) != 0)
		return false;
	*ret = slice_make(name + head_n + 1, n - head_n - 1 - tail_n);
	return true;
}

static int find_named_namespace(struct config_draft *d, enum config_source source, const char *name,
				struct config_target *ret)
{
	char lower[NAMESPACE_NAME_MAX + 1];
	struct slice ns_name;

	for (size_t row = 0; row < NAMESPACE_OPTION_N; row++) {
		const struct option *o = &namespace_options[row];

		if (!names_namespace(source, o, name, &ns_name) || ns_name.n > NAMESPACE_NAME_MAX)
			continue;
		*ret = (struct config_target){o, true, 0, row};
		/* Variables are upper case: they mean the namespace that is there, or else the
		 * lower-case one. */
		for (size_t i = 1; i < d->ns_n && source == CONFIG_ENVIRONMENT; i++) {
			if (slice_eq_nocase(ns_name, d->ns[i].name)) {
				ret->ns = i;
				return 0;
			}
		}
		for (size_t i = 0; i < ns_name.n; i++)
			lower[i] = source == CONFIG_ENVIRONMENT
					   ? (char)tolower((unsigned char)ns_name.p[i])
					   : ns_name.p[i];
		if (config_namespace_add(d, slice_make(lower, ns_name.n), &ret->ns, NULL) == 0)
			return 0;
	}
	return -ENOENT;
}

int config_find(struct config_draft *d, enum config_source source, const char *name,
		struct config_target *ret)
{
	for (size_t row = 0; row < OPTION_N; row++) {
		if (is_spelled(source, &config_options[row], NULL, name)) {
			*ret = (struct config_target){&config_options[row], false, 0, row};
			return 0;
		}
	}
	for (size_t row = 0; row < NAMESPACE_OPTION_N; row++) {
		if (is_spelled(source, &namespace_options[row], "", name)) {
			*ret = (struct config_target){&namespace_options[row], true, 0, row};
			return 0;
		}
	}
	return find_named_namespace(d, source, name, ret);
}

int config_find_in_section(const char *section, size_t ns, const char *name,
			   struct config_target *ret)
{
	bool is_namespace = ns != SIZE_MAX;
	const struct option *rows = is_namespace ? namespace_options : config_options;
	size_t n = is_namespace ? NAMESPACE_OPTION_N : OPTION_N;

	for (size_t row = 0; row < n; row++) {
		if (!is_namespace && !option_in_section(&rows[row], section))
			continue;
		if (strcmp(option_short_name(&rows[row]), name) == 0) {
			*ret = (struct config_target){&rows[row], is_namespace,
						      is_namespace ? ns : 0, row};
			return 0;
		}
	}
	return -ENOENT;
}

/* --- what was perhaps meant ------------------------------------------------------------------ */

#define WORD_MAX 128 /* longer words are not compared */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters to insert, remove or replace to make b of a (Levenshtein). */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t a_n = strlen(a), b_n = strlen(b);

	if (a_n > WORD_MAX || b_n > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_n; j++) {
			size_t replaced = diagonal + (tolower((unsigned char)a[i - 1]) !=
						      tolower((unsigned char)b[j - 1]));

			diagonal = row[j];
			row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_n];
}

/* So many wrong letters are a slip; more make another word. */
static size_t slip_max(const char *text)
{
	return 1 + strlen(text) / 4;
}

const char *config_nearest(const char *text, const char *const *candidates, size_t n)
{
	size_t best = slip_max(text) + 1;
	const char *ret = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = edit_distance(text, candidates[i]);

		if (d < best) {
			best = d;
			ret = candidates[i];
		}
	}
	return ret;
}

struct search {
	enum config_source source;
	const char *name, *tail;
	size_t best;
	struct config_spelling found;
};

/* A name may be wrong by a slip, or stand in the wrong section (or in none: --listen), which counts
 * as one slip. */
static void try_rows(struct search *s, const struct option *rows, size_t n, const char *ns)
{
	for (size_t i = 0; i < n; i++) {
		struct config_spelling candidate = config_spell(s->source, &rows[i], ns);
		const char *short_name = candidate.text + strlen(candidate.text) -
					 strlen(option_short_name(&rows[i]));
		size_t d = edit_distance(s->name, candidate.text);

		if (d > 1)
			d = smaller(d, edit_distance(s->tail, short_name) + 1);
		if (d < s->best) {
			s->best = d;
			s->found = candidate;
		}
	}
}

int config_unknown(enum config_source source, const char *ns, const char *place, const char *name,
		   const char *tail, struct problem *problem)
{
	struct search s = {source, name, tail, slip_max(tail) + 1, {""}};

	if (ns)
		try_rows(&s, namespace_options, NAMESPACE_OPTION_N, ns);
	try_rows(&s, config_options, OPTION_N, NULL);
	try_rows(&s, namespace_options, NAMESPACE_OPTION_N, "");
	for (size_t i = 0; source == CONFIG_FLAG && config_command_flags[i]; i++) {
		size_t d = edit_distance(name, config_command_flags[i]);

		if (d < s.best) {
			s.best = d;
			snprintf(s.found.text, sizeof(s.found.text), "%s", config_command_flags[i]);
		}
	}
	if (s.found.text[0])
		return problem_set(problem, -EINVAL,
				   "%s: there is no such option; did you mean %s?", place,
				   s.found.text);
	return problem_set(problem, -EINVAL,
			   "%s: there is no such option; holdfastd --help lists all", place);
}
