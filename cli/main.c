/* SPDX-License-Identifier: MIT */
/*
 * main.c: `holdfast`, the command line of the Holdfast push broker.
 *
 * DESIGN. Words → a row of the command table (commands.c) → its function, with options parsed into
 * its own struct, the daemon's address chosen (target.c) and an HTTP client that has not connected
 * yet (http.c). stdout carries data, stderr everything about it; exit codes are an interface
 * (commands.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/say.h"

static int usage_error(const struct command *c, const char *text)
{
	say("%s", text);
	if (c)
		say_more("Usage: holdfast %s%s%s", c->name, *c->args ? " " : "", c->args);
	say_more("See: holdfast help%s%s", c ? " " : "", c ? c->name : "");
	return CLI_USAGE;
}

/* The daemon's address, and whether it will do for the command. */
static int find_target(struct cli *cli, const struct cli_globals *globals)
{
	struct problem problem = {""};

	if (target_find(&cli->target, globals->url, globals->socket, &problem))
		return usage_error(cli->command, problem.text);
	if (!cli->command->is_admin || cli->target.socket)
		return CLI_OK;
	if (strcmp(cli->target.origin, "default") != 0) {
		say("%s works through the admin socket only, and %s names an HTTP address",
		    cli->command->name, cli->target.origin);
		say_more("Use --socket PATH instead.");
		return CLI_USAGE;
	}
	say("%s needs the daemon's admin socket, and none was found", cli->command->name);
	say_more("Tried %s and %s.", TARGET_SOCKET_HERE, TARGET_SOCKET_SYSTEM);
	say_more("Start holdfastd, get the right to write to its socket, or use --socket PATH.");
	return CLI_UNREACHABLE;
}

static int run_command(struct cli *cli, const struct cli_globals *globals)
{
	const struct command *c = cli->command;
	int rc;

	if (cli->argc < c->args_min)
		return usage_error(c,
				   cli->argc ? "an argument is missing" : "arguments are missing");
	if (c->args_max >= 0 && cli->argc > c->args_max)
		return usage_error(c, "too many arguments");
	if (c->is_local)
		return c->run(cli);
	rc = find_target(cli, globals);
	if (rc == CLI_OK) {
		curl_global_init(CURL_GLOBAL_DEFAULT);
		http_init(&cli->http, &cli->target);
		rc = c->run(cli);
		http_fini(&cli->http);
		curl_global_cleanup();
	}
	target_fini(&cli->target);
	return rc;
}

/* The words after the command's name, with the options between them taken out. */
static int parse_rest(struct cli *cli, struct option_parser *parser, void *options)
{
	struct problem problem = {""};
	char *word;
	int rc;

	parser->sets[1] = (struct option_set){cli->command->options, options};
	options_defaults(&parser->sets[1]);
	while ((rc = options_next_word(parser, &word, &problem)) == 1)
		cli->argv[cli->argc++] = word;
	if (rc < 0)
		return usage_error(cli->command, problem.text);
	cli->options = options;
	return CLI_OK;
}

static int print_version(void)
{
	printf("holdfast %s\n", HOLDFAST_VERSION);
	return CLI_OK;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
	struct cli_globals globals = {0};
	struct option_parser parser = {.argc = argc, .argv = argv, .next = 1};
	struct problem problem = {""};
	char *word = NULL;
	void *options;
	int rc;

	parser.sets[0] = (struct option_set){cli_global_options, &globals};
	rc = options_next_word(&parser, &word, &problem);
	if (rc < 0)
		return usage_error(NULL, problem.text);
	if (globals.version)
		return print_version();
	if (rc == 0) {
		cli_help_print(globals.help ? stdout : stderr);
		return globals.help ? CLI_OK : CLI_USAGE;
	}
	cli->command = command_find(word);
	if (!cli->command)
		return CLI_USAGE;
	options = xcalloc(1, cli->command->options_size + 1);
	rc = parse_rest(cli, &parser, options);
	if (rc == CLI_OK && globals.version) {
		rc = print_version();
	} else if (rc == CLI_OK && globals.help) {
		command_help_print(cli->command, stdout);
	} else if (rc == CLI_OK) {
		rc = run_command(cli, &globals);
	}
	free(options);
	return rc;
}

/* What stdio still holds. A reader that has gone wanted no more; a full disk is a failure. */
static int finish_output(int rc)
{
	struct out out = {.fd = STDOUT_FILENO};
	int error;

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	error = errno;
	if (error == EPIPE || out_is_closed(&out))
		return rc;
	say("can not write the output%s%s", error ? ": " : "", error ? strerror(error) : "");
	return rc == CLI_OK ? CLI_REFUSED : rc;
}

/* Started with a standard descriptor closed, the first socket would take its number, and data meant
 * for stdout would go to the daemon. */
static void open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	int rc;

	open_standard_files();
	/* A reader that has gone is told by EPIPE, and is no error of ours. */
	signal(SIGPIPE, SIG_IGN);
	cli.argv = xcalloc((size_t)argc + 1, sizeof(*cli.argv));
	rc = dispatch(&cli, argc, argv);
	free(cli.argv);
	return finish_output(rc);
}
