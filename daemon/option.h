/* SPDX-License-Identifier: MIT */
/*
 * option: one row of daemon/tbl/options.h as data, and what can be done with a value of its type.
 * base is the struct that holds the field: struct config, or struct namespace for options of a
 * namespace. Inside daemon/config*.c only.
 * Thread: main.
 */
#ifndef DAEMON_OPTION_H
#define DAEMON_OPTION_H

#include "daemon/config.h"

enum option_type {
	OPTION_TYPE_PATH,
	OPTION_TYPE_WORDS,
	OPTION_TYPE_ENGINE,
	OPTION_TYPE_BOOL,
	OPTION_TYPE_COUNT,
	OPTION_TYPE_SIZE,
	OPTION_TYPE_DURATION,
	OPTION_TYPE_MODE,
	OPTION_TYPE_LEVEL,
	OPTION_TYPE_ACCESS,
	OPTION_TYPE_DURABILITY,
	OPTION_TYPE_SLOW,
};

struct option {
	const char *name; /* "server.listen"; of a namespace only "history_count" */
	const char *fallback;
	const char *help;
	uint64_t min, max;
	size_t offset; /* of the field in its base */
	enum option_type type;
	bool live; /* follows a reload */
};

struct option_section {
	const char *name;
	const char *what;
};

extern const struct option config_options[OPTION_N];
extern const struct option namespace_options[NAMESPACE_OPTION_N];
extern const struct option_section option_sections[]; /* the last one is "namespace" */
extern const size_t option_section_n;

/* Does the row stand in this section? Of rows of config_options. */
bool option_in_section(const struct option *o, const char *section);
/* The name without its section. */
const char *option_short_name(const struct option *o);

/* Set the field from text. Return 0, or -EINVAL: the field is as before. */
MUST_CHECK int option_parse(const struct option *o, const char *text, void *base);
/* Text that option_parse understands and gives the same value for. */
void option_format(const struct option *o, const void *base, struct buf *out);
/* Its bounds or choices, for people: "1KiB to 1MiB", "yes or no"; nothing for paths and words. */
void option_range(const struct option *o, struct buf *out);
/* What option_parse takes, for people: "a size such as …, from 1KiB to 1MiB". */
void option_allowed(const struct option *o, struct buf *out);
/* What stands for its values in a synopsis: "SIZE", "yes|no". */
void option_metavar(const struct option *o, struct buf *out);
bool option_equal(const struct option *o, const void *a, const void *b);
/* The value of src into dst; what dst held is freed. */
void option_copy(const struct option *o, void *dst, const void *src);
/* Free what the field holds. */
void option_clear(const struct option *o, void *base);

/* May text be the value of a PATH or WORDS option? It must survive a configuration file and JSON.
 */
bool option_text_is_clean(const char *text);

#endif
