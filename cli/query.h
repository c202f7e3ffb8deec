/* SPDX-License-Identifier: MIT */
/*
 * query: request paths with percent-encoded parameters.
 * Thread: any (pure).
 */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Append `?name=value` or `&name=value`; path is a buf that holds a path already. */
void query_add(struct buf *path, const char *name, struct slice value);
void query_add_u64(struct buf *path, const char *name, uint64_t value);

#endif
