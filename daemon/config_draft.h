/* SPDX-License-Identifier: MIT */
/*
 * config_draft: the configuration while it is put together, and the names of its options in each
 * kind of source. Inside daemon/config*.c only.
 * Thread: main.
 */
#ifndef DAEMON_CONFIG_DRAFT_H
#define DAEMON_CONFIG_DRAFT_H

#include "daemon/option.h"

#define CONFIG_NAMESPACES_MAX 256

/* cfg has every option of the sections and the origins of all; the namespaces stand in ns, the
 * default one first, until config.c makes the table of them. An option whose origin is
 * CONFIG_DEFAULT has not been set. */
struct config_draft {
	struct config cfg;
	struct namespace *ns;
	size_t ns_n;
};

/* The draft holds the defaults. */
void config_draft_init(struct config_draft *d);
void config_draft_fini(struct config_draft *d);

/* One option of the draft: of the sections, or of a namespace. */
struct config_target {
	const struct option *option;
	bool is_namespace;
	size_t ns;  /* which namespace */
	size_t row; /* in config_options or namespace_options */
};

struct config_origin *config_target_origin(struct config_draft *d, const struct config_target *t);

/* Set the option. place begins the text of a problem. Return 0 or -EINVAL. */
MUST_CHECK int config_assign(struct config_draft *d, const struct config_target *t,
			     const char *place, const char *text, struct config_origin origin,
			     struct problem *problem);

/* The namespace with this name, made if need be. Return 0 or -EINVAL. */
MUST_CHECK int config_namespace_add(struct config_draft *d, struct slice name, size_t *ret_ns,
				    struct problem *problem);

/* An option as its source writes it: "[server] listen", "HOLDFAST_SERVER_LISTEN",
 * "--server-listen". */
struct config_spelling {
	char text[256];
};
/* ns: the namespace's name ("" for the default one), NULL for an option of a section. */
struct config_spelling config_spell(enum config_source source, const struct option *o,
				    const char *ns);

/* The option that the environment or a flag means by this name. A namespace that is not there yet
 * is made. Return 0, or -ENOENT when there is no such option. */
MUST_CHECK int config_find(struct config_draft *d, enum config_source source, const char *name,
			   struct config_target *ret);
/* The row of the section, or of the namespace when ns ≠ SIZE_MAX, that a file means. Return 0 or
 * -ENOENT. */
MUST_CHECK int config_find_in_section(const char *section, size_t ns, const char *name,
				      struct config_target *ret);

/* Make a problem that says that name is no option, and which one was perhaps meant. tail: name
 * without what all names of the source begin with. Return -EINVAL. */
int config_unknown(enum config_source source, const char *ns, const char *place, const char *name,
		   const char *tail, struct problem *problem);

/* The one of the candidates that is most like text, or NULL when none is like it. */
const char *config_nearest(const char *text, const char *const *candidates, size_t n);

/* Flags that set no option: NULL-terminated. */
extern const char *const config_command_flags[];

#endif
