/* SPDX-License-Identifier: MIT */
/*
 * local.c: commands that need no running daemon: help, and check-config, which hands over to
 * holdfastd, since only the daemon knows its options.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/say.h"

static int run_help(struct cli *cli)
{
	const struct command *c;

	if (cli->argc == 0) {
		cli_help_print(stdout);
		return CLI_OK;
	}
	c = command_find(cli->argv[0]);
	if (!c)
		return CLI_USAGE;
	command_help_print(c, stdout);
	return CLI_OK;
}

/* Try to become the holdfastd of our own installation or build, then one on PATH. Returns when
 * there is none. */
static void exec_daemon(char *const args[])
{
	static const char *const places[] = {"holdfastd", "../sbin/holdfastd",
					     "../daemon/holdfastd"};
	char self[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
			snprintf(path, sizeof(path), "%s/%s", self, places[i]);
			execv(path, args);
		}
	}
	execvp("holdfastd", args);
}

static int run_check_config(struct cli *cli)
{
	char name[] = "holdfastd", check[] = "--check-config", c[] = "-c";
	char *args[] = {name, check, NULL, NULL, NULL};

	if (cli->argc) {
		args[2] = c;
		args[3] = cli->argv[0];
	}
	fflush(stdout);
	/* An ignored signal would stay ignored in the daemon. */
	signal(SIGPIPE, SIG_DFL);
	exec_daemon(args);
	say("can not run holdfastd: %s", strerror(errno));
	say_more("It was looked for beside this program, in ../sbin, in ../daemon, and on PATH.");
	return CLI_UNREACHABLE;
}

const struct command command_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "Show help",
	.args_max = 1,
	.is_local = true,
	.run = run_help,
};

const struct command command_check_config = {
	.name = "check-config",
	.args = "[FILE]",
	.summary = "Check a configuration file with holdfastd --check-config",
	.details = "The exit code is that of holdfastd.\n",
	.args_max = 1,
	.is_local = true,
	.run = run_check_config,
};
