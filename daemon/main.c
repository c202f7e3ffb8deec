/* SPDX-License-Identifier: MIT */
/* main: read the options, start the server, wait for signals, stop it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/map.h"
#include "base/xalloc.h"
#include "daemon/config.h"
#include "daemon/server.h"

/* Configs are read by workers at any time: they are kept until the end. */
struct generation {
	struct config config;
	struct generation *older;
};

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	log_info("descriptors", "limit=%llu", (unsigned long long)limit.rlim_cur);
}

static void on_kept_option(void *arg, const char *option, const char *running,
			   const char *configured)
{
	(void)arg;
	log_warn("option_needs_restart", "option=%s running=%s configured=%s", option,
		 log_value(running), log_value(configured));
}

static void reload(struct server *server, int argc, char **argv, char **envp,
		   struct generation **newest)
{
	struct generation *g = xcalloc(1, sizeof(*g));
	struct problem problem;

	if (config_reload(argc, argv, envp, &(*newest)->config, &g->config, on_kept_option, NULL,
			  &problem) != 0) {
		log_error("reload_refused", "problem=%s", log_value(problem.text));
		free(g);
		return;
	}
	g->older = *newest;
	*newest = g;
	server_reload(server, &g->config);
	log_info("reloaded", "");
}

static sigset_t block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
	       SIG_IGN); /* a write beyond a file-size limit is an error like a full disk */
	return set;
}

static int serve(int argc, char **argv, char **envp, struct generation *first)
{
	struct generation *newest = first, *older;
	sigset_t signals = block_signals();
	struct problem problem;
	struct server *server;
	int sig;

	log_set_level(first->config.log_level);
	raise_descriptor_limit();
	if (server_start(&first->config, &server, &problem) != 0) {
		fprintf(stderr, "holdfastd: %s\n", problem.text);
		config_free(&first->config);
		free(first);
		return EXIT_FAILURE;
	}
	while (sigwait(&signals, &sig) == 0 && sig == SIGHUP)
		reload(server, argc, argv, envp, &newest);
	server_stop(server);
	for (; newest; newest = older) {
		older = newest->older;
		config_free(&newest->config);
		free(newest);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv, char **envp)
{
	struct generation *g = xcalloc(1, sizeof(*g));
	struct config_action action;
	struct problem problem;

	map_seed();
	if (config_load(argc, argv, envp, &g->config, &action, &problem) != 0) {
		fprintf(stderr, "holdfastd: %s\n", problem.text);
		free(g);
		return 2;
	}
	if (action.verb == CONFIG_RUN)
		return serve(argc, argv, envp, g);
	int rc = config_act(&g->config, &action, stdout);
	config_free(&g->config);
	free(g);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
