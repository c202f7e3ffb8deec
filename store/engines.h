/* SPDX-License-Identifier: MIT */
/* engines: what registry.c lists. Others ask store_engine_find(). Thread: any (constants). */
#ifndef STORE_ENGINES_H
#define STORE_ENGINES_H

#include "store/store.h"

extern const struct store_engine sqlite_engine;
extern const struct store_engine memory_engine;

#endif
