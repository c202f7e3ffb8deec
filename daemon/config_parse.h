/* SPDX-License-Identifier: MIT */
/*
 * config_parse: from a file, the environment and the command line into a draft of the
 * configuration. One function per kind of source; config.c calls them in the order of their weight.
 * Inside daemon/config*.c only.
 * Thread: main.
 */
#ifndef DAEMON_CONFIG_PARSE_H
#define DAEMON_CONFIG_PARSE_H

#include "daemon/config_draft.h"

/* One flag that sets an option; it waits until file and environment have been read. */
struct config_flag {
	struct config_target target;
	char *name; /* as given */
	const char *value;
};

/* A command line, sorted out. file and values are argv's. */
struct config_command {
	struct config_action action;
	const char *file; /* of -c, or NULL */
	struct config_flag *flags;
	size_t flag_n;
};

/* Namespaces that flags name are added to the draft; nothing is set. Return 0 or -EINVAL. After
 * HELP, VERSION or PRINT_OPTIONS the rest of the line is not looked at. */
MUST_CHECK int config_parse_command(struct config_draft *d, int argc, char **argv,
				    struct config_command *ret, struct problem *problem);
/* Does the action need a configuration? */
bool config_wants_options(const struct config_command *c);
void config_command_fini(struct config_command *c);

/* The value of HOLDFAST_CONFIG, or NULL when it is not there or empty. */
const char *config_file_of_environment(char **envp);

MUST_CHECK int config_parse_file(struct config_draft *d, const char *path, struct problem *problem);
MUST_CHECK int config_parse_environment(struct config_draft *d, char **envp,
					struct problem *problem);
MUST_CHECK int config_parse_flags(struct config_draft *d, const struct config_command *c,
				  struct problem *problem);

#endif
