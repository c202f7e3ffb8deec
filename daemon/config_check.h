/* SPDX-License-Identifier: MIT */
/*
 * config_check: what no single option can be blamed for. Inside daemon/config*.c only. Thread:
 * main.
 */
#ifndef DAEMON_CONFIG_CHECK_H
#define DAEMON_CONFIG_CHECK_H

#include "daemon/config.h"

/* Check the options against each other; fill in addresses. Return 0 or -EINVAL. */
MUST_CHECK int config_check(struct config *cfg, struct problem *problem);

#endif
