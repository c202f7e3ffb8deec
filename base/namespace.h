/* SPDX-License-Identifier: MIT */
/*
 * namespace: the options of all channels whose name begins with `<namespace>:`. Channels without a
 * colon, and names of no configured namespace, get the default options. A table is immutable once
 * built and shared by all threads by reference; a reload builds a new one.
 */
#ifndef BASE_NAMESPACE_H
#define BASE_NAMESPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/message.h"
#include "base/slice.h"

#define NAMESPACE_NAME_MAX 63

enum access {
	ACCESS_ANYONE, /* whoever reaches the public listener */
	ACCESS_ADMIN,  /* only through the admin socket */
};

/* What becomes of a subscriber that can not keep up. In the order of strictness. */
enum slow_policy {
	SLOW_LAG,        /* fed from history, at its own pace */
	SLOW_SKIP,       /* told of a gap, and on with the newest */
	SLOW_DISCONNECT, /* sent away, to come back with its id */
};

struct namespace
{
	char name[NAMESPACE_NAME_MAX + 1]; /* "" for the default one */
	enum durability durability; /* memory, commit or sync; fixed while the process runs */
	uint64_t history_count;     /* messages kept per channel; 0: no limit */
	uint64_t history_age_ms;    /* kept no longer than this; 0: no limit */
	uint64_t history_bytes;     /* payload bytes kept in the whole namespace; 0: no limit */
	enum access publish;
	enum access subscribe;
	bool has_presence;        /* who is there is known, and may be asked */
	bool has_presence_events; /* … and its subscribers are told of those who come and go */
	enum slow_policy slow;
	bool is_public; /* replies may be stored by shared caches (Cache-Control: public) */
};

struct namespace_table {
	atomic_uint refs;
	size_t n; /* ≥ 1; [0] is the default */
	struct namespace *ns;
};

/* A table of n zeroed entries, one reference. */
struct namespace_table *namespace_table_new(size_t n);
struct namespace_table *namespace_table_ref(struct namespace_table *t);
struct namespace_table *namespace_table_unref(struct namespace_table *t);
/* The options of a channel. Never NULL. */
const struct namespace *namespace_find(const struct namespace_table *t, struct slice channel);

/* 1–255 bytes of printable ASCII without space and '*'. Return NULL when valid, else what is wrong.
 */
const char *channel_name_problem(struct slice name);

#endif
