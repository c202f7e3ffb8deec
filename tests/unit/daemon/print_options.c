/* SPDX-License-Identifier: MIT */
/* print_options: holdfastd without the broker, for tests/lint/docs_config.sh. */
#include <stdio.h>
#include <unistd.h>

#include "daemon/config.h"

int main(int argc, char **argv)
{
	struct config_action action;
	struct problem problem;
	struct config cfg;
	int rc;

	if (config_load(argc, argv, environ, &cfg, &action, &problem) < 0) {
		fprintf(stderr, "print_options: %s\n", problem.text);
		return 2;
	}
	rc = config_act(&cfg, &action, stdout);
	config_free(&cfg);
	return rc < 0 ? 1 : 0;
}
