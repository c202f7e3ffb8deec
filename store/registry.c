/* SPDX-License-Identifier: MIT */
/*
 * registry: the list of engines. A new engine is one file, one line in each list below, its sources
 * in meson.build, and its name in the contract suite (tests/contract/test_store.c).
 */
#include <string.h>

#include "base/obj.h"
#include "store/engines.h"

static const struct store_engine *const engines[] = {
	&sqlite_engine,
	&memory_engine,
};

const struct store_engine *store_engine_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		if (strcmp(engines[i]->ops.name, name) == 0)
			return engines[i];
	}
	return NULL;
}

const char *const *store_engine_names(void)
{
	static const char *const names[] = {"sqlite", "memory", NULL};

	return names;
}
