/* SPDX-License-Identifier: MIT */
/*
 * commands: the table of what `holdfast` can do. A new command is a `const struct command` in its
 * own file, a line below and one in commands.c. Thread: main.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/http.h"
#include "cli/options.h"
#include "cli/target.h"

/* Exit codes; holdfast(1) and the help text list them. */
enum cli_exit {
	CLI_OK = 0,
	CLI_REFUSED = 1,     /* the server said no, or something else failed */
	CLI_USAGE = 2,       /* the command line is wrong */
	CLI_UNREACHABLE = 3, /* no daemon there, or it went away */
	CLI_GAP = 4,         /* sub --fail-on-gap met a gap */
	CLI_TIMEOUT = 124,   /* as timeout(1) */
};

/* What every command gets. */
struct cli {
	const struct command *command;
	struct target target;
	struct http http;
	int argc; /* words after the command's name */
	char **argv;
	const void *options; /* the struct that the command's option table describes */
};

struct command {
	const char *name;
	const char *args;                 /* for the usage line */
	const char *summary;              /* one line */
	const char *details;              /* lines for --help, or NULL */
	const struct option_def *options; /* or NULL */
	size_t options_size;
	int args_min;
	int args_max;  /* -1: no limit */
	bool is_admin; /* works through the admin socket only */
	bool is_local; /* needs no daemon */
	int (*run)(struct cli *cli);
};

extern const struct command command_pub;
extern const struct command command_sub;
extern const struct command command_history;
extern const struct command command_presence;
extern const struct command command_acks;
extern const struct command command_ack;
extern const struct command command_channels;
extern const struct command command_channel;
extern const struct command command_purge;
extern const struct command command_connections;
extern const struct command command_kick;
extern const struct command command_stats;
extern const struct command command_backup;
extern const struct command command_check_config;
extern const struct command command_info;
extern const struct command command_help;

/* NULL ends it. */
extern const struct command *const commands[];
/* Options that every command knows. */
struct cli_globals {
	const char *url;
	const char *socket;
	bool help;
	bool version;
};
extern const struct option_def cli_global_options[];

/* NULL after having said so, with the nearest name. */
const struct command *command_find(const char *name);
void command_help_print(const struct command *c, FILE *out);
void cli_help_print(FILE *out);

#endif
