/* SPDX-License-Identifier: MIT */
/*
 * config: the options in force. daemon/tbl/options.h says what there is; here it becomes a struct
 * with one typed field per row. A loaded config is valid: every value within its range, every
 * cross-check passed, every path filled in. It is not changed afterwards; a reload makes another
 * one.
 *
 *   defaults < file ([section] name = value) < environment (HOLDFAST_SECTION_NAME) < flags
 * (--section-name VALUE)
 *
 * Thread: main; a loaded config may be read by any thread.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/namespace.h"
#include "base/problem.h"
#include "net/listener.h"

/* The C type of each TYPE of the table. */
#define OPTION_C_PATH       char *
#define OPTION_C_WORDS      char *
#define OPTION_C_ENGINE     char *
#define OPTION_C_BOOL       bool
#define OPTION_C_COUNT      uint64_t
#define OPTION_C_SIZE       uint64_t /* bytes */
#define OPTION_C_DURATION   uint64_t /* milliseconds */
#define OPTION_C_MODE       unsigned
#define OPTION_C_LEVEL      enum log_level
#define OPTION_C_ACCESS     enum access
#define OPTION_C_DURABILITY enum durability
#define OPTION_C_SLOW       enum slow_policy

enum option_id {
#define OPTION(field, ...) OPTION_##field,
#include "daemon/tbl/options.h"
	OPTION_N
};

enum namespace_option_id {
#define NAMESPACE_OPTION(field, ...) NAMESPACE_OPTION_##field,
#include "daemon/tbl/options.h"
	NAMESPACE_OPTION_N
};

/* Where a value came from. */
enum config_source {
	CONFIG_DEFAULT,
	CONFIG_INHERITED, /* a namespace's option, from [namespace] */
	CONFIG_FILE,
	CONFIG_ENVIRONMENT,
	CONFIG_FLAG,
};

struct config_origin {
	enum config_source source;
	unsigned line; /* CONFIG_FILE */
};

struct config_namespace_origin {
	struct config_origin option[NAMESPACE_OPTION_N];
};

struct config {
#define OPTION(field, name, TYPE, ...) OPTION_C_##TYPE field;
#include "daemon/tbl/options.h"

	/* Worked out from them. admin_socket and database above are never empty: defaults are
	 * filled in. */
	struct listen_address *addresses; /* of listen */
	size_t address_n;
	struct listen_address admin_address; /* of admin_socket, which may be relative */
	struct namespace_table *namespaces;  /* one reference */
	char *file;                          /* the configuration file, NULL when there is none */

	struct config_origin origin[OPTION_N];
	struct config_namespace_origin *namespace_origin; /* of each entry of namespaces */
};

/* What the command line asks for. */
enum config_verb {
	CONFIG_RUN,
	CONFIG_HELP,          /* -h, --help */
	CONFIG_VERSION,       /* -V, --version */
	CONFIG_CHECK,         /* --check-config: the config was loaded, all is well */
	CONFIG_DUMP,          /* --dump-config */
	CONFIG_PRINT_OPTIONS, /* --print-options FORMAT: the reference texts, for docs/ and
				 packaging/ */
};

enum config_format { CONFIG_MARKDOWN, CONFIG_SCDOC, CONFIG_EXAMPLE };

struct config_action {
	enum config_verb verb;
	enum config_format format; /* CONFIG_PRINT_OPTIONS */
};

/* Read all sources. envp ends in NULL; variables that do not begin with HOLDFAST_ are none of ours.
 * Return 0, or -EINVAL or another negative errno; then nothing was stored and problem names the
 * place, what is wrong and what to do. With HELP, VERSION and PRINT_OPTIONS nothing is read and the
 * config is empty. */
MUST_CHECK int config_load(int argc, char **argv, char **envp, struct config *ret,
			   struct config_action *ret_action, struct problem *problem);
/* Free what it holds and zero it. An empty (zeroed) config is fine. */
void config_free(struct config *cfg);

/* Do what the action says, unless it is RUN. Return 0, or -EIO when out could not be written. */
int config_act(const struct config *cfg, const struct config_action *action, FILE *out);

/* A fixed option whose new value waits for a restart. */
typedef void config_kept_fn(void *arg, const char *option, const char *running,
			    const char *configured);
/* Read all sources again, with the argv and envp of the start. Fixed options keep the value of old,
 * and kept is called for each that would have changed. Return as config_load; after a failure go on
 * with old. old is not changed or freed. */
MUST_CHECK int config_reload(int argc, char **argv, char **envp, const struct config *old,
			     struct config *ret, config_kept_fn *kept, void *arg,
			     struct problem *problem);

/* {"file":…,"options":{"server":{"listen":{"value":…,"from":"default"},…},…},"namespaces":{"":{…},"chat":{…}}}
 * Values: COUNT a number, BOOL true or false, all others the string that the file would hold
 * ("32KiB", "25s"). Return 0 or -ENOBUFS. */
int config_to_json(const struct config *cfg, struct buf *out);
/* The same as text: a configuration file with every option and, as a comment, where it came from.
 */
void config_dump(const struct config *cfg, FILE *out);
void config_print_help(FILE *out);

#endif
