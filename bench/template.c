/* SPDX-License-Identifier: MIT */
/* template: one pass; what lies between two fields is copied at once. */
#include "bench/template.h"

#include <string.h>

static void add_text(struct bytes *out, const char *text)
{
	if (text)
		bytes_add(out, text, strlen(text));
}

static void add_field(struct bytes *out, char name, const struct fields *f)
{
	switch (name) {
	case 'c':
		add_text(out, f->channel);
		break;
	case 'q':
		add_text(out, f->query);
		break;
	case 'p':
		bytes_add(out, f->payload.p, f->payload.n);
		break;
	case 'n':
		bytes_printf(out, "%zu", f->payload.n);
		break;
	case 'i':
		bytes_printf(out, "%u", f->index);
		break;
	case '1':
	case '2':
		add_text(out, f->cursors[name - '1']);
		break;
	default:
		bytes_add(out, &name, 1);
	}
}

static void add_escape(struct bytes *out, char name)
{
	static const char from[] = "rnt", to[] = "\r\n\t";
	const char *at = strchr(from, name);

	bytes_add(out, at ? to + (at - from) : &name, 1);
}

void template_add(struct bytes *out, const char *template, const struct fields *f)
{
	for (const char *p = template; *p;) {
		size_t n = strcspn(p, "%\\");

		bytes_add(out, p, n);
		p += n;
		if (*p && p[1]) {
			if (*p == '%')
				add_field(out, p[1], f);
			else
				add_escape(out, p[1]);
			p += 2;
		} else if (*p) {
			bytes_add(out, p++, 1);
		}
	}
}

void template_check(const char *option, const char *template)
{
	for (const char *p = template; *p; p++) {
		if (*p != '%' && *p != '\\')
			continue;
		const char *known = *p == '%' ? "cqpni12%" : "rnt\\";
		if (!p[1] || !strchr(known, p[1]))
			die("--%s: there is no %.2s", option, p);
		p++;
	}
}
