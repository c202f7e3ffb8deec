/* SPDX-License-Identifier: MIT */
/*
 * commands.c: the table, and help made from it.
 */
#include "cli/commands.h"

#include <string.h>

#include "cli/say.h"
#include "cli/suggest.h"

const struct command *const commands[] = {
	&command_pub,   &command_sub,    &command_history,      &command_presence,
	&command_acks,  &command_ack,    &command_channels,     &command_channel,
	&command_info,  &command_stats,  &command_connections,  &command_kick,
	&command_purge, &command_backup, &command_check_config, &command_help,
	NULL,
};

const struct option_def cli_global_options[] = {
	{
		.name = "url",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct cli_globals, url),
		.arg = "URL",
		.help = "the daemon's HTTP address (environment: HOLDFAST_URL)",
	},
	{
		.name = "socket",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct cli_globals, socket),
		.arg = "PATH",
		.help = "the daemon's admin socket (environment: HOLDFAST_SOCKET)",
	},
	{
		.name = "help",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct cli_globals, help),
		.help = "help for the command",
	},
	{
		.name = "version",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct cli_globals, version),
		.help = "the version of this program",
	},
	{0},
};

const struct command *command_find(const char *name)
{
	struct suggest s;

	suggest_start(&s, slice_str(name));
	for (size_t i = 0; commands[i]; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
		suggest_offer(&s, commands[i]->name);
	}
	if (suggest_best(&s))
		say("unknown command \"%s\"; did you mean \"%s\"?", name, suggest_best(&s));
	else
		say("unknown command \"%s\"; see: holdfast help", name);
	return NULL;
}

static const char exit_codes[] = "\nExit codes:\n"
				 "  0    done\n"
				 "  1    refused by the server, or failed\n"
				 "  2    the command line is wrong\n"
				 "  3    the daemon can not be reached\n"
				 "  4    sub --fail-on-gap met a gap\n"
				 "  124  sub --timeout ran out\n";

void command_help_print(const struct command *c, FILE *out)
{
	fprintf(out, "Usage: holdfast %s%s%s%s\n\n%s.\n", c->name, c->options ? " [OPTIONS]" : "",
		*c->args ? " " : "", c->args, c->summary);
	if (c->details)
		fprintf(out, "\n%s", c->details);
	if (c->options) {
		fputs("\nOptions:\n", out);
		options_print(c->options, out);
	}
	if (!c->is_local) {
		fputs("\nGlobal options:\n", out);
		options_print(cli_global_options, out);
	}
	if (c->is_admin)
		fputs("\nThis command works through the daemon's admin socket only.\n", out);
}

void cli_help_print(FILE *out)
{
	fputs("Usage: holdfast COMMAND [OPTIONS] [ARGUMENTS]\n\n"
	      "Talks to holdfastd, the Holdfast push broker.\n\nCommands:\n",
	      out);
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nGlobal options:\n", out);
	options_print(cli_global_options, out);
	fputs("\nWithout --url, --socket and their environment variables the daemon is looked for "
	      "at\n"
	      "" TARGET_SOCKET_HERE " in the current directory, at " TARGET_SOCKET_SYSTEM
	      ",\nand at " TARGET_URL_DEFAULT ".\n"
	      "\nHelp for one command: holdfast help COMMAND\n",
	      out);
	fputs(exit_codes, out);
}
