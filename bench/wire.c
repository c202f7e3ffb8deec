/* SPDX-License-Identifier: MIT */
/* wire: the registry. A wire is a file wire_*.c with a const struct wire, and two lines here. */
#include <stdio.h>
#include <string.h>

#include "bench/load.h"

extern const struct wire wire_http, wire_longpoll, wire_shortpoll, wire_sse, wire_ws;

static const struct wire *const wires[] = {&wire_http, &wire_longpoll, &wire_shortpoll, &wire_sse,
					   &wire_ws};

const struct wire *wire_find(const char *option, const char *name)
{
	for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		if (strcmp(wires[i]->name, name) == 0)
			return wires[i];
	}
	die("--%s: there is no %s", option, name);
}
