/* SPDX-License-Identifier: MIT */
/*
 * field.c: how replies are read: with the same scanner as everything else (base/json.h). libjansson
 * would be the obvious choice for a command line, but it exports json_object_get() as well, and one
 * program can not hold both.
 */
#include "cli/field.h"

#include <stdio.h>

#include "base/json.h"
#include "base/obj.h"
#include "cli/event.h"

#define SHOWN_MAX 300

uint64_t field_u64(struct slice object, const char *name, uint64_t def)
{
	struct slice value;
	uint64_t v;

	return json_object_get(object, name, &value) && json_get_u64(value, &v) ? v : def;
}

struct slice field_bare(struct slice object, const char *name)
{
	struct slice value;

	if (!json_object_get(object, name, &value) || json_type_of(value) == JSON_NULL)
		return slice_make("", 0);
	if (json_type_of(value) == JSON_STRING)
		return slice_make(value.p + 1, value.n - 2);
	return value;
}

bool field_is_true(struct slice object, const char *name)
{
	struct slice value;

	return json_object_get(object, name, &value) && slice_eq_str(value, "true");
}

struct slice field_tree(struct slice object, const char *name)
{
	struct slice value;

	if (json_object_get(object, name, &value) &&
	    (json_type_of(value) == JSON_OBJECT || json_type_of(value) == JSON_ARRAY))
		return value;
	return slice_make("", 0);
}

const char *field_show_value(struct slice value)
{
	static char texts[8][SHOWN_MAX + 4];
	static unsigned turn;
	char *out = texts[turn++ % ARRAY_LEN(texts)];
	struct buf b;

	buf_init(&b, 0);
	event_text(value, &b);
	snprintf(out, sizeof(texts[0]), "%.*s%s", b.n > SHOWN_MAX ? SHOWN_MAX : (int)b.n,
		 b.n ? b.p : "", b.n > SHOWN_MAX ? "..." : "");
	buf_fini(&b);
	return out;
}

const char *field_show(struct slice object, const char *name)
{
	struct slice value;

	if (!json_object_get(object, name, &value) || json_type_of(value) == JSON_NULL)
		return "-";
	return field_show_value(value);
}

void field_text(struct slice object, const char *name, struct buf *out)
{
	struct slice value;

	if (json_object_get(object, name, &value) && json_type_of(value) == JSON_STRING)
		json_unescape(value, out);
}
