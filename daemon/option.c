/* SPDX-License-Identifier: MIT */
/*
 * option: the table as data, and its types.
 *
 * DESIGN. A type is a way to read a value, a way to write it, and what to tell people about it; the
 * switch statements below are all that knows them, so that a new option is one row in the table and
 * a new type is one case per switch (the compiler names those that are missing). What option_format
 * writes, option_parse reads as the same value: dumps can be used as configuration files.
 */
#include "daemon/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xalloc.h"
#include "store/store.h"

enum { RELOAD_fixed = false, RELOAD_live = true };

#define ROW(BASE, FIELD, NAME, TYPE, FALLBACK, MIN, MAX, RELOAD, HELP) \
	{                                                              \
		.name = (NAME),                                        \
		.fallback = (FALLBACK),                                \
		.help = (HELP),                                        \
		.min = (MIN),                                          \
		.max = (MAX),                                          \
		.offset = offsetof(BASE, FIELD),                       \
		.type = OPTION_TYPE_##TYPE,                            \
		.live = RELOAD_##RELOAD,                               \
	},

const struct option config_options[OPTION_N] = {
#define OPTION(...) ROW(struct config, __VA_ARGS__)
#include "daemon/tbl/options.h"
};

const struct option namespace_options[NAMESPACE_OPTION_N] = {
#define NAMESPACE_OPTION(...) ROW(struct namespace, __VA_ARGS__)
#include "daemon/tbl/options.h"
};

const struct option_section option_sections[] = {
#define SECTION(NAME, WHAT) {.name = (NAME), .what = (WHAT)},
#include "daemon/tbl/options.h"
};
const size_t option_section_n = ARRAY_LEN(option_sections);

/* Struct namespace is declared in base/ and knows nothing of the table: its fields must have the
 * types that the rows say. */
#define NAMESPACE_OPTION(FIELD, NAME, TYPE, ...)                                                \
	_Static_assert(__builtin_types_compatible_p(__typeof__(((struct namespace *)0)->FIELD), \
						    OPTION_C_##TYPE),                           \
		       NAME " has another type in struct namespace");
#include "daemon/tbl/options.h"

/* Words for the values of an enum, in its order, from `first` on. */
struct choice {
	const char *const *words;
	unsigned first;
};

static const char *const level_words[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const access_words[] = {"anyone", "admin", NULL};
static const char *const durability_words[] = {"memory", "commit", "sync", NULL};
static const char *const slow_words[] = {"lag", "skip", "disconnect", NULL};

_Static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_OFF == 4, "level_words follows enum log_level");
_Static_assert(ACCESS_ANYONE == 0 && ACCESS_ADMIN == 1, "access_words follows enum access");
_Static_assert(DURABILITY_SYNC == DURABILITY_MEMORY + 2, "durability_words follows the enum");
_Static_assert(SLOW_LAG == 0 && SLOW_DISCONNECT == 2, "slow_words follows enum slow_policy");
_Static_assert(sizeof(enum log_level) == sizeof(unsigned) &&
		       sizeof(enum access) == sizeof(unsigned) &&
		       sizeof(enum durability) == sizeof(unsigned) &&
		       sizeof(enum slow_policy) == sizeof(unsigned),
	       "choices are copied as unsigned");

static struct choice choice_of(enum option_type type)
{
	switch (type) {
	case OPTION_TYPE_LEVEL:
		return (struct choice){level_words, LOG_LEVEL_DEBUG};
	case OPTION_TYPE_ACCESS:
		return (struct choice){access_words, ACCESS_ANYONE};
	case OPTION_TYPE_DURABILITY:
		return (struct choice){durability_words, DURABILITY_MEMORY};
	case OPTION_TYPE_SLOW:
		return (struct choice){slow_words, SLOW_LAG};
	case OPTION_TYPE_ENGINE:
		return (struct choice){store_engine_names(), 0};
	case OPTION_TYPE_PATH:
	case OPTION_TYPE_WORDS:
	case OPTION_TYPE_BOOL:
	case OPTION_TYPE_COUNT:
	case OPTION_TYPE_SIZE:
	case OPTION_TYPE_DURATION:
	case OPTION_TYPE_MODE:
		break;
	}
	return (struct choice){NULL, 0};
}

/* Units of sizes and durations, largest first; spellings that are read besides the one that is
 * written. */
struct unit {
	const char *name;
	const char *also;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"TiB", "t", UINT64_C(1) << 40},
	{"GiB", "g", UINT64_C(1) << 30},
	{"MiB", "m", UINT64_C(1) << 20},
	{"KiB", "k", UINT64_C(1) << 10},
	{"", "b", 1},
	{NULL, NULL, 0},
};

/* A bare number is seconds. */
static const struct unit duration_units[] = {
	{"d", "d", UINT64_C(86400000)},
	{"h", "h", UINT64_C(3600000)},
	{"m", "m", UINT64_C(60000)},
	{"s", "", UINT64_C(1000)},
	{"ms", "ms", 1},
	{NULL, NULL, 0},
};

static void *field(const struct option *o, void *base)
{
	return (char *)base + o->offset;
}

static const void *const_field(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
}

static const char *string_value(const struct option *o, const void *base)
{
	const char *s;

	memcpy(&s, const_field(o, base), sizeof(s));
	return s ? s : "";
}

static bool is_string(const struct option *o)
{
	return o->type == OPTION_TYPE_PATH || o->type == OPTION_TYPE_WORDS ||
	       o->type == OPTION_TYPE_ENGINE;
}

/* The value as a number, for all that are not strings. */
static uint64_t number_value(const struct option *o, const void *base)
{
	const void *p = const_field(o, base);
	uint64_t wide;
	unsigned narrow;

	if (o->type == OPTION_TYPE_BOOL)
		return *(const bool *)p;
	if (o->type == OPTION_TYPE_COUNT || o->type == OPTION_TYPE_SIZE ||
	    o->type == OPTION_TYPE_DURATION) {
		memcpy(&wide, p, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, p, sizeof(narrow));
	return narrow;
}

static void set_number(const struct option *o, void *base, uint64_t v)
{
	unsigned narrow = (unsigned)v;

	if (o->type == OPTION_TYPE_BOOL)
		*(bool *)field(o, base) = v != 0;
	else if (o->type == OPTION_TYPE_COUNT || o->type == OPTION_TYPE_SIZE ||
		 o->type == OPTION_TYPE_DURATION)
		memcpy(field(o, base), &v, sizeof(v));
	else
		memcpy(field(o, base), &narrow, sizeof(narrow));
}

/* Takes s. */
static void set_string_take(const struct option *o, void *base, char *s)
{
	option_clear(o, base);
	memcpy(field(o, base), &s, sizeof(s));
}

bool option_in_section(const struct option *o, const char *section)
{
	size_t n = strlen(section);

	return strncmp(o->name, section, n) == 0 && o->name[n] == '.';
}

const char *option_short_name(const struct option *o)
{
	const char *dot = strchr(o->name, '.');

	return dot ? dot + 1 : o->name;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Digits of the base at *p, which is moved behind them. */
static int read_digits(const char **p, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;

	if (**p < '0' || **p >= (char)('0' + base))
		return -EINVAL;
	for (; **p >= '0' && **p < (char)('0' + base); (*p)++) {
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

static int read_with_unit(const char *text, const struct unit *units, uint64_t *ret)
{
	uint64_t v;

	if (read_digits(&text, 10, &v) < 0)
		return -EINVAL;
	for (const struct unit *u = units; u->name; u++) {
		if (strcasecmp(text, u->name) != 0 && strcasecmp(text, u->also) != 0)
			continue;
		return __builtin_mul_overflow(v, u->factor, ret) ? -EINVAL : 0;
	}
	return -EINVAL;
}

static int read_plain(const char *text, unsigned base, uint64_t *ret)
{
	if (read_digits(&text, base, ret) < 0 || *text)
		return -EINVAL;
	return 0;
}

static int read_bool(const char *text, uint64_t *ret)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*ret = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_choice(const char *text, struct choice c, uint64_t *ret)
{
	for (unsigned i = 0; c.words[i]; i++) {
		if (strcmp(text, c.words[i]) == 0) {
			*ret = c.first + i;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_number(const struct option *o, const char *text, uint64_t *ret)
{
	switch (o->type) {
	case OPTION_TYPE_BOOL:
		return read_bool(text, ret);
	case OPTION_TYPE_COUNT:
		return read_plain(text, 10, ret);
	case OPTION_TYPE_SIZE:
		return read_with_unit(text, size_units, ret);
	case OPTION_TYPE_DURATION:
		return read_with_unit(text, duration_units, ret);
	case OPTION_TYPE_MODE:
		return read_plain(text, 8, ret);
	case OPTION_TYPE_LEVEL:
	case OPTION_TYPE_ACCESS:
	case OPTION_TYPE_DURABILITY:
	case OPTION_TYPE_SLOW:
	case OPTION_TYPE_ENGINE:
		return read_choice(text, choice_of(o->type), ret);
	case OPTION_TYPE_PATH:
	case OPTION_TYPE_WORDS:
		break;
	}
	return -EINVAL;
}

bool option_text_is_clean(const char *text)
{
	size_t n = strlen(text);

	/* People quote paths out of habit, and then own a file with quotes in its name. */
	if (text[0] == '"' || text[0] == '\'')
		return false;
	if (n > 0 && (text[0] == ' ' || text[n - 1] == ' '))
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
		/* This begins a comment in the file. */
		if (text[i] == ';' && (i == 0 || text[i - 1] == ' '))
			return false;
	}
	return utf8_is_valid(text, n);
}

/* Of the others the type says all there is to say. */
static bool has_bounds(const struct option *o)
{
	return o->type == OPTION_TYPE_COUNT || o->type == OPTION_TYPE_SIZE ||
	       o->type == OPTION_TYPE_DURATION || o->type == OPTION_TYPE_MODE;
}

static int parse_path(const struct option *o, const char *text, void *base)
{
	size_t n = strlen(text);

	if (n < o->min || n > o->max || !option_text_is_clean(text))
		return -EINVAL;
	set_string_take(o, base, xstrdup(text));
	return 0;
}

/* Words end up separated by one space each. */
static int parse_words(const struct option *o, const char *text, void *base)
{
	char *joined = xmalloc(strlen(text) + 1);
	uint64_t words = 0;
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		if (*p == ' ' || *p == '\t')
			continue;
		if (p == text || p[-1] == ' ' || p[-1] == '\t') {
			if (words++ > 0)
				joined[n++] = ' ';
		}
		joined[n++] = *p;
	}
	joined[n] = '\0';
	if (words < o->min || words > o->max || !option_text_is_clean(joined)) {
		free(joined);
		return -EINVAL;
	}
	set_string_take(o, base, joined);
	return 0;
}

int option_parse(const struct option *o, const char *text, void *base)
{
	uint64_t v;

	if (o->type == OPTION_TYPE_PATH)
		return parse_path(o, text, base);
	if (o->type == OPTION_TYPE_WORDS)
		return parse_words(o, text, base);
	if (read_number(o, text, &v) < 0)
		return -EINVAL;
	if (o->type == OPTION_TYPE_ENGINE) {
		set_string_take(o, base, xstrdup(text));
		return 0;
	}
	if (has_bounds(o) && (v < o->min || v > o->max))
		return -EINVAL;
	set_number(o, base, v);
	return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_with_unit(uint64_t v, const struct unit *units, struct buf *out)
{
	const struct unit *u = units;

	while (u->factor > 1 && (v == 0 || v % u->factor != 0))
		u++;
	/* a bare 0 is 0 in every unit */
	buf_addf(out, "%llu%s", (unsigned long long)(v / u->factor), v ? u->name : "");
}

static void write_number(const struct option *o, uint64_t v, struct buf *out)
{
	switch (o->type) {
	case OPTION_TYPE_BOOL:
		buf_add_str(out, v ? "yes" : "no");
		break;
	case OPTION_TYPE_COUNT:
		buf_add_u64(out, v);
		break;
	case OPTION_TYPE_SIZE:
		write_with_unit(v, size_units, out);
		break;
	case OPTION_TYPE_DURATION:
		write_with_unit(v, duration_units, out);
		break;
	case OPTION_TYPE_MODE:
		buf_addf(out, "%04o", (unsigned)v);
		break;
	case OPTION_TYPE_LEVEL:
	case OPTION_TYPE_ACCESS:
	case OPTION_TYPE_DURABILITY:
	case OPTION_TYPE_SLOW:
		buf_add_str(out, choice_of(o->type).words[v - choice_of(o->type).first]);
		break;
	case OPTION_TYPE_PATH:
	case OPTION_TYPE_WORDS:
	case OPTION_TYPE_ENGINE:
		break;
	}
}

void option_format(const struct option *o, const void *base, struct buf *out)
{
	if (is_string(o))
		buf_add_str(out, string_value(o, base));
	else
		write_number(o, number_value(o, base), out);
}

/* "a, b or c" with separators ", " and " or ". */
static void write_choices(const char *const *words, const char *between, const char *last,
			  struct buf *out)
{
	for (size_t i = 0; words[i]; i++) {
		if (i > 0)
			buf_add_str(out, words[i + 1] ? between : last);
		buf_add_str(out, words[i]);
	}
}

void option_range(const struct option *o, struct buf *out)
{
	struct choice c = choice_of(o->type);

	if (o->type == OPTION_TYPE_BOOL) {
		buf_add_str(out, "yes or no");
	} else if (c.words) {
		write_choices(c.words, ", ", " or ", out);
	} else if (!is_string(o)) {
		write_number(o, o->min, out);
		buf_add_str(out, " to ");
		write_number(o, o->max, out);
	}
}

void option_allowed(const struct option *o, struct buf *out)
{
	const char *some = o->min ? "1 to " : "up to ";
	unsigned long long max = o->max;

	if (o->type == OPTION_TYPE_PATH)
		buf_addf(out, "a path of %s%llu bytes, without quotes", some, max);
	else if (o->type == OPTION_TYPE_WORDS)
		buf_addf(out, "%s%llu words separated by spaces, without quotes", some, max);
	else if (o->type == OPTION_TYPE_COUNT)
		buf_add_str(out, "a whole number from ");
	else if (o->type == OPTION_TYPE_SIZE)
		buf_add_str(out, "a size such as 4096, 64k, 16MiB or 1g, from ");
	else if (o->type == OPTION_TYPE_DURATION)
		buf_add_str(out, "a time such as 250ms, 25s, 5m, 24h or 7d, from ");
	else if (o->type == OPTION_TYPE_MODE)
		buf_add_str(out, "an octal file mode from ");
	option_range(o, out);
}

void option_metavar(const struct option *o, struct buf *out)
{
	struct choice c = choice_of(o->type);

	if (c.words)
		write_choices(c.words, "|", "|", out);
	else if (o->type == OPTION_TYPE_BOOL)
		buf_add_str(out, "yes|no");
	else if (o->type == OPTION_TYPE_PATH)
		buf_add_str(out, "PATH");
	else if (o->type == OPTION_TYPE_WORDS)
		buf_add_str(out, "WORDS");
	else if (o->type == OPTION_TYPE_SIZE)
		buf_add_str(out, "SIZE");
	else if (o->type == OPTION_TYPE_DURATION)
		buf_add_str(out, "TIME");
	else if (o->type == OPTION_TYPE_MODE)
		buf_add_str(out, "MODE");
	else
		buf_add_char(out, 'N');
}

/* --- values as a whole ----------------------------------------------------------------------- */

bool option_equal(const struct option *o, const void *a, const void *b)
{
	if (is_string(o))
		return strcmp(string_value(o, a), string_value(o, b)) == 0;
	return number_value(o, a) == number_value(o, b);
}

void option_copy(const struct option *o, void *dst, const void *src)
{
	if (dst == src)
		return;
	if (is_string(o))
		set_string_take(o, dst, xstrdup(string_value(o, src)));
	else
		set_number(o, dst, number_value(o, src));
}

void option_clear(const struct option *o, void *base)
{
	char *s;

	if (!is_string(o))
		return;
	memcpy(&s, field(o, base), sizeof(s));
	free(s);
	memset(field(o, base), 0, sizeof(s));
}
