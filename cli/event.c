/* SPDX-License-Identifier: MIT */
/*
 * event.c: the server's JSON objects.
 *
 * DESIGN. A walk with a table of names, no tree: `data` stays the very bytes of the publisher, and
 * a message of a megabyte costs one scan. The only change ever made to bytes that are passed on as
 * JSON: a line end between tokens of a pretty-printed payload becomes a space, because one line per
 * message is what scripts rely on. In valid JSON it can stand nowhere else.
 */
#include "cli/event.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>

#include "base/json.h"
#include "base/obj.h"
#include "cli/field.h"
#include "cli/human.h"

static const struct {
	const char *name;
	size_t offset;
	bool is_bare; /* take the quotes off, null is empty */
} members[] = {
#define MEMBER(name, is_bare)                                \
	{                                                    \
#name, offsetof(struct event, name), is_bare \
	}
	MEMBER(type, true),       MEMBER(channel, false),   MEMBER(id, true),
	MEMBER(prev, true),       MEMBER(data, false),      MEMBER(content_type, false),
	MEMBER(encoding, true),   MEMBER(from, false),      MEMBER(to, true),
	MEMBER(oldest, true),     MEMBER(reason, true),     MEMBER(cursor, true),
	MEMBER(heartbeat, false), MEMBER(reconnect, false), MEMBER(delay_ms, false),
	MEMBER(code, true),       MEMBER(message, false),   MEMBER(session, true),
	MEMBER(count, false),     MEMBER(members, false),
#undef MEMBER
};

static struct slice bare(struct slice value)
{
	if (json_type_of(value) == JSON_STRING)
		return slice_make(value.p + 1, value.n - 2);
	return json_type_of(value) == JSON_NULL ? slice_make("", 0) : value;
}

int event_parse(struct slice json, struct event *ret)
{
	struct slice key, value;
	size_t pos = 0;

	memset(ret, 0, sizeof(*ret));
	if (!json_is_valid(json, NULL) || json_type_of(json) != JSON_OBJECT)
		return -EINVAL;
	while (json_object_next(json, &pos, &key, &value)) {
		for (size_t i = 0; i < ARRAY_LEN(members); i++) {
			if (!slice_eq_str(key, members[i].name))
				continue;
			*(struct slice *)((char *)ret + members[i].offset) =
				members[i].is_bare ? bare(value) : value;
			break;
		}
	}
	return ret->type.n ? 0 : -EINVAL;
}

void event_text(struct slice value, struct buf *out)
{
	struct buf text;

	buf_init(&text, 0);
	if (value.n && json_type_of(value) == JSON_STRING && json_unescape(value, &text) == 0)
		human_add_safe(out, buf_slice(&text));
	else
		human_add_safe(out, value);
	buf_fini(&text);
}

static int decode_base64(struct slice text, struct buf *out)
{
	size_t room = text.n / 4 * 3 + 3;
	size_t n;

	if (buf_reserve(out, room))
		return -ENOBUFS;
	if (sodium_base642bin((unsigned char *)out->p + out->n, room, text.p, text.n, NULL, &n,
			      NULL, sodium_base64_VARIANT_ORIGINAL))
		return -EINVAL;
	out->n += n;
	return 0;
}

int event_payload(const struct event *e, struct buf *out)
{
	int rc;

	if (!e->data.n)
		return -EINVAL;
	if (json_type_of(e->data) != JSON_STRING)
		return buf_add_slice(out, e->data);
	if (slice_eq_str(e->encoding, "base64"))
		return decode_base64(slice_make(e->data.p + 1, e->data.n - 2), out);
	rc = json_unescape(e->data, out);
	/* A JSON payload may hold an escape that no text can hold (a lone surrogate): its bytes
	 * then. */
	return rc == -EINVAL ? buf_add_slice(out, e->data) : rc;
}

/* JSON made safe for a terminal: a backslash is part of it, line ends are white space. */
static void show_json(struct slice json, struct buf *out)
{
	for (size_t i = 0; i < json.n; i++) {
		unsigned char c = (unsigned char)json.p[i];
		bool is_c1 = c == 0xc2 && i + 1 < json.n && (unsigned char)json.p[i + 1] < 0xa0;

		if (is_c1)
			buf_addf(out, "\\u%04x", (unsigned char)json.p[++i]);
		else if (c == 0x7f)
			buf_add_str(out, "\\u007f");
		else
			buf_add_char(out, c < 0x20 ? ' ' : (char)c);
	}
}

static void show_human(const struct event *e, struct buf *out)
{
	if (e->id.n)
		human_add_safe(out, e->id);
	else
		buf_add_char(out, '-'); /* ephemeral */
	buf_add_char(out, ' ');
	event_text(e->channel, out);
	buf_add_char(out, ' ');
	if (slice_eq_str(e->encoding, "base64")) {
		uint64_t size = e->data.n >= 2 ? (e->data.n - 2) / 4 * 3 : 0;
		for (size_t i = 2; i <= 3 && e->data.n > i + 1; i++)
			size -= e->data.p[e->data.n - i] == '=';
		buf_addf(out, "(binary, %s", human_size(size));
		if (e->content_type.n) {
			buf_add_str(out, ", ");
			event_text(e->content_type, out);
		}
		buf_add_char(out, ')');
	} else if (json_type_of(e->data) == JSON_STRING) {
		event_text(e->data, out);
	} else {
		show_json(e->data, out);
	}
	buf_add_char(out, '\n');
}

int event_show(const struct event *e, struct slice json, enum event_style style, struct buf *out)
{
	switch (style) {
	case EVENT_HUMAN:
		if (e->data.n)
			show_human(e, out);
		break;
	case EVENT_RAW:
		event_payload(e, out);
		buf_add_char(out, '\n');
		break;
	case EVENT_JSON:
		event_show_json(json, out);
		break;
	}
	return out->failed ? -ENOBUFS : 0;
}

int event_show_json(struct slice json, struct buf *out)
{
	size_t start = out->n;

	if (buf_add_slice(out, json) == 0) {
		for (size_t i = start; i < out->n; i++) {
			if (out->p[i] == '\n' || out->p[i] == '\r')
				out->p[i] = ' ';
		}
	}
	return buf_add_char(out, '\n');
}

void event_show_members(const struct event *e, struct buf *out)
{
	char sign = slice_eq_str(e->type, "join")    ? '+'
		    : slice_eq_str(e->type, "leave") ? '-'
						     : '=';
	struct slice one, info;
	size_t pos = 0;

	if (sign == '=') {
		buf_add_str(out, "= ");
		event_text(e->channel, out);
		buf_add_char(out, ' ');
		human_add_safe(out, e->count);
		buf_add_char(out, '\n');
	}
	while (e->members.n && json_array_next(e->members, &pos, &one)) {
		buf_addf(out, "%c ", sign);
		event_text(e->channel, out);
		buf_add_char(out, ' ');
		human_add_safe(out, field_bare(one, "session"));
		if (json_object_get(one, "info", &info) && json_type_of(info) != JSON_NULL) {
			buf_add_char(out, ' ');
			show_json(info, out);
		}
		buf_add_char(out, '\n');
	}
}

void event_show_gap(const struct event *e, struct buf *out)
{
	buf_add_str(out, "gap in ");
	event_text(e->channel, out);
	buf_add_str(out, ": messages after ");
	event_text(e->from, out);
	if (e->to.n) {
		buf_add_str(out, " up to ");
		human_add_safe(out, e->to);
	}
	buf_add_str(out, " can not be had any more (");
	human_add_safe(out, e->reason);
	if (e->oldest.n) {
		buf_add_str(out, "; the oldest kept is ");
		human_add_safe(out, e->oldest);
	}
	buf_add_char(out, ')');
}
