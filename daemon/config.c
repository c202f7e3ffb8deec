/* SPDX-License-Identifier: MIT */
/*
 * config: from all sources to one valid struct config.
 *
 * DESIGN. A load goes through these steps, and so does a reload, which adds step 4:
 *   1. a draft with every default;
 *   2. file, environment and flags over it, each weightier than the one before;
 *   3. fill in what depends on other options: default paths, and what namespaces inherit;
 *   4. fixed options get the value of the running config back;
 *   5. the demo page gets its namespace, the namespaces become a table, and the whole is checked.
 * A step that fails leaves nothing behind: the caller's struct is written by the last one.
 */
#include "daemon/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "daemon/config_check.h"
#include "daemon/config_parse.h"

static bool is_set(const struct config_origin *o)
{
	return o->source != CONFIG_DEFAULT;
}

/* An empty *path becomes <dir>/<name>. */
static void default_path(char **path, const char *dir, const char *name)
{
	struct buf b = {.cap = 1 << 16};

	if (**path)
		return;
	buf_addf(&b, "%s/%s", dir, name);
	free(*path);
	*path = xstrndup(buf_slice(&b).p, b.n);
	buf_fini(&b);
}

static int fill_paths(struct config *cfg, struct problem *problem)
{
	const struct option *o = &config_options[OPTION_admin_socket];

	default_path(&cfg->admin_socket, cfg->data_dir, "admin.sock");
	default_path(&cfg->database, cfg->data_dir, "holdfast.db");
	if (strlen(cfg->admin_socket) > o->max)
		return problem_set(
			problem, -EINVAL,
			"the path of the admin socket is longer than %u bytes, which is what "
			"the system allows; set server.admin_socket: %s",
			(unsigned)o->max, cfg->admin_socket);
	return 0;
}

/* What a namespace does not set it has from the default one. */
static void inherit(struct config_draft *d, size_t ns)
{
	const struct config_origin *from = d->cfg.namespace_origin[0].option;
	struct config_origin *to = d->cfg.namespace_origin[ns].option;

	for (size_t i = 0; i < NAMESPACE_OPTION_N; i++) {
		if (is_set(&to[i]))
			continue;
		option_copy(&namespace_options[i], &d->ns[ns], &d->ns[0]);
		to[i].source = is_set(&from[i]) ? CONFIG_INHERITED : CONFIG_DEFAULT;
	}
}

static int fill(struct config_draft *d, struct problem *problem)
{
	const struct config_origin *durability =
		&d->cfg.namespace_origin[0].option[NAMESPACE_OPTION_durability];

	/* The default follows the engine: receipts must not promise what it can not keep. */
	if (strcmp(d->cfg.engine, "memory") == 0 && !is_set(durability))
		d->ns[0].durability = DURABILITY_MEMORY;
	for (size_t i = 1; i < d->ns_n; i++)
		inherit(d, i);
	return fill_paths(&d->cfg, problem);
}

/* Steps 1 to 3. After a failure, and when the action wants no options, the draft is empty. */
static int read_sources(struct config_draft *d, int argc, char **argv, char **envp,
			struct config_action *ret_action, struct problem *problem)
{
	struct config_command c;
	const char *path;
	int rc;

	config_draft_init(d);
	rc = config_parse_command(d, argc, argv, &c, problem);
	if (rc < 0) {
		config_draft_fini(d);
		return rc;
	}
	*ret_action = c.action;
	if (!config_wants_options(&c)) {
		config_draft_fini(d);
		config_command_fini(&c);
		return 0;
	}
	path = c.file ? c.file : config_file_of_environment(envp);
	if (path)
		rc = config_parse_file(d, path, problem);
	if (rc == 0)
		rc = config_parse_environment(d, envp, problem);
	if (rc == 0)
		rc = config_parse_flags(d, &c, problem);
	if (rc == 0)
		rc = fill(d, problem);
	config_command_fini(&c);
	if (rc < 0)
		config_draft_fini(d);
	return rc;
}

/* The demo page shows who is there, so its namespace keeps that unless somebody said otherwise.
 * When there are as many namespaces as there can be, the page has to do without. */
static void fill_demo(struct config_draft *d)
{
	const size_t row = NAMESPACE_OPTION_has_presence;
	size_t ns;

	if (!d->cfg.demo || config_namespace_add(d, SLICE("demo"), &ns, NULL) < 0)
		return;
	inherit(d, ns);
	if (!is_set(&d->cfg.namespace_origin[ns].option[row]))
		d->ns[ns].has_presence = true;
}

/* Step 5. Takes what the draft holds; it is empty afterwards. */
static int finish(struct config_draft *d, struct config *ret, struct problem *problem)
{
	int rc;

	fill_demo(d);
	d->cfg.namespaces = namespace_table_new(d->ns_n);
	memcpy(d->cfg.namespaces->ns, d->ns, d->ns_n * sizeof(*d->ns));
	rc = config_check(&d->cfg, problem);
	if (rc == 0) {
		*ret = d->cfg;
		memset(&d->cfg, 0, sizeof(d->cfg));
	}
	config_draft_fini(d);
	return rc;
}

int config_load(int argc, char **argv, char **envp, struct config *ret,
		struct config_action *ret_action, struct problem *problem)
{
	struct config_action action;
	struct config_draft d;
	int rc = read_sources(&d, argc, argv, envp, &action, problem);

	if (rc == 0 && d.ns_n > 0)
		rc = finish(&d, ret, problem);
	else if (rc == 0)
		memset(ret, 0, sizeof(*ret));
	if (rc == 0)
		*ret_action = action;
	return rc;
}

void config_free(struct config *cfg)
{
	for (size_t i = 0; i < OPTION_N; i++)
		option_clear(&config_options[i], cfg);
	free(cfg->addresses);
	namespace_table_unref(cfg->namespaces);
	free(cfg->file);
	free(cfg->namespace_origin);
	memset(cfg, 0, sizeof(*cfg));
}

/* --- reload ---------------------------------------------------------------------------------- */

/* What fixed options would have become: three strings each, with their NULs. Told only when the
 * whole reload is good. */
static void note_kept(struct buf *kept, const struct option *o, const char *ns, const void *running,
		      const void *configured)
{
	buf_add_str(kept, ns ? config_spell(CONFIG_FILE, o, ns).text : o->name);
	buf_add_char(kept, '\0');
	option_format(o, running, kept);
	buf_add_char(kept, '\0');
	option_format(o, configured, kept);
	buf_add_char(kept, '\0');
}

static void tell_kept(const struct buf *kept, config_kept_fn *fn, void *arg)
{
	const char *p = kept->p;

	while (p && p < kept->p + kept->n) {
		const char *running = p + strlen(p) + 1;
		const char *configured = running + strlen(running) + 1;

		fn(arg, p, running, configured);
		p = configured + strlen(configured) + 1;
	}
}

static void keep_fixed(struct config_draft *d, const struct config *old, struct buf *kept)
{
	for (size_t i = 0; i < OPTION_N; i++) {
		const struct option *o = &config_options[i];

		if (o->live || option_equal(o, &d->cfg, old))
			continue;
		note_kept(kept, o, NULL, old, &d->cfg);
		option_copy(o, &d->cfg, old);
		d->cfg.origin[i] = old->origin[i];
	}
}

static size_t find_namespace(const struct namespace *ns, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(ns[i].name, name) == 0)
			return i;
	}
	return SIZE_MAX;
}

static bool fixed_are_equal(const struct namespace *a, const struct namespace *b)
{
	for (size_t i = 0; i < NAMESPACE_OPTION_N; i++) {
		if (!namespace_options[i].live && !option_equal(&namespace_options[i], a, b))
			return false;
	}
	return true;
}

/* The messages of a namespace lie where its durability put them, so it stays what it was: for a new
 * namespace what the default one had, and for one that was removed what it had itself. */
static void keep_fixed_of_namespaces(struct config_draft *d, const struct config *old,
				     struct buf *kept)
{
	const struct namespace_table *was = old->namespaces;

	for (size_t i = 0; i < was->n; i++) {
		size_t ns;

		if (fixed_are_equal(&was->ns[i], &was->ns[0]) ||
		    find_namespace(d->ns, d->ns_n, was->ns[i].name) != SIZE_MAX ||
		    config_namespace_add(d, slice_str(was->ns[i].name), &ns, NULL) < 0)
			continue;
		inherit(d, ns);
	}
	for (size_t i = 0; i < d->ns_n; i++) {
		size_t at = find_namespace(was->ns, was->n, d->ns[i].name);

		at = at == SIZE_MAX ? 0 : at;
		for (size_t j = 0; j < NAMESPACE_OPTION_N; j++) {
			const struct option *o = &namespace_options[j];

			if (o->live || option_equal(o, &d->ns[i], &was->ns[at]))
				continue;
			note_kept(kept, o, d->ns[i].name, &was->ns[at], &d->ns[i]);
			option_copy(o, &d->ns[i], &was->ns[at]);
			d->cfg.namespace_origin[i].option[j] = old->namespace_origin[at].option[j];
		}
	}
}

int config_reload(int argc, char **argv, char **envp, const struct config *old, struct config *ret,
		  config_kept_fn *kept, void *arg, struct problem *problem)
{
	struct buf kept_text = {0};
	struct config_action action;
	struct config_draft d;
	int rc = read_sources(&d, argc, argv, envp, &action, problem);

	if (rc < 0)
		return rc;
	assert(d.ns_n > 0); /* the command line has not changed since it asked to run */
	keep_fixed(&d, old, &kept_text);
	keep_fixed_of_namespaces(&d, old, &kept_text);
	rc = finish(&d, ret, problem);
	if (rc == 0)
		tell_kept(&kept_text, kept, arg);
	buf_fini(&kept_text);
	return rc;
}
