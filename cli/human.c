/* SPDX-License-Identifier: MIT */
/*
 * human.c: what a table or a line on a terminal shows. Payloads and channel names come from
 * strangers: none of their bytes may move a cursor, set a title or look like a second line.
 */
#include "cli/human.h"

#include <stdio.h>

#include "base/obj.h"

static char *next_text(void)
{
	static char texts[16][32];
	static unsigned turn;

	return texts[turn++ % ARRAY_LEN(texts)];
}

const char *human_size(uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	char *out = next_text();
	double v = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, 32, "%u B", (unsigned)bytes);
		return out;
	}
	/* 1023.96 would be shown as 1024. */
	while (v >= 1023.5 && unit + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		unit++;
	}
	snprintf(out, 32, v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return out;
}

const char *human_age(uint64_t ms)
{
	char *out = next_text();
	uint64_t s = ms / 1000;

	if (ms < 10000)
		snprintf(out, 32, "%u.%us", (unsigned)s, (unsigned)(ms % 1000 / 100));
	else if (s < 60)
		snprintf(out, 32, "%us", (unsigned)s);
	else if (s < 3600)
		snprintf(out, 32, "%um %us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		snprintf(out, 32, "%uh %um", (unsigned)(s / 3600), (unsigned)(s % 3600 / 60));
	else
		snprintf(out, 32, "%llud %uh", (unsigned long long)(s / 86400),
			 (unsigned)(s % 86400 / 3600));
	return out;
}

const char *human_rate(double per_second)
{
	static const char *const units[] = {"", "k", "M", "G"};
	char *out = next_text();
	size_t unit = 0;

	while (per_second >= 999.5 && unit + 1 < ARRAY_LEN(units)) {
		per_second /= 1000;
		unit++;
	}
	snprintf(out, 32, per_second < 9.95 && per_second > 0 ? "%.1f%s" : "%.0f%s", per_second,
		 units[unit]);
	return out;
}

int human_add_safe(struct buf *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		/* The second set of control characters, U+0080–U+009F, drives terminals as well. */
		bool is_c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;

		if (c == '\n')
			buf_add_str(out, "\\n");
		else if (c == '\r')
			buf_add_str(out, "\\r");
		else if (c == '\t')
			buf_add_str(out, "\\t");
		else if (c == '\\')
			buf_add_str(out, "\\\\");
		else if (is_c1)
			buf_addf(out, "\\x%02x", (unsigned char)text.p[++i]);
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\x%02x", c);
		else
			buf_add_char(out, (char)c);
	}
	return out->failed ? -1 : 0;
}
