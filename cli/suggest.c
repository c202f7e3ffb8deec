/* SPDX-License-Identifier: MIT */
/*
 * suggest.c: Damerau-Levenshtein distance (optimal string alignment) on short words. A suggestion
 * is only worth its line when it is likely right: at most a third of the typed word may be wrong,
 * or the typed word is the beginning of the name.
 */
#include "cli/suggest.h"

#include <limits.h>
#include <stdint.h>

#include "base/obj.h"

#define WORD_MAX 31u

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;
	return m < c ? m : c;
}

unsigned suggest_distance(struct slice a, struct slice b)
{
	uint8_t d[WORD_MAX + 1][WORD_MAX + 1];

	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return UINT_MAX;
	for (size_t i = 0; i <= a.n; i++)
		d[i][0] = (uint8_t)i;
	for (size_t j = 0; j <= b.n; j++)
		d[0][j] = (uint8_t)j;
	for (size_t i = 1; i <= a.n; i++) {
		for (size_t j = 1; j <= b.n; j++) {
			unsigned change = a.p[i - 1] != b.p[j - 1];
			unsigned v =
				min3(d[i - 1][j] + 1u, d[i][j - 1] + 1u, d[i - 1][j - 1] + change);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && d[i - 2][j - 2] + 1u < v)
				v = d[i - 2][j - 2] + 1u;
			d[i][j] = (uint8_t)v;
		}
	}
	return d[a.n][b.n];
}

void suggest_start(struct suggest *s, struct slice typed)
{
	*s = (struct suggest){.typed = typed, .distance = UINT_MAX};
}

void suggest_offer(struct suggest *s, const char *name)
{
	struct slice n = slice_str(name);
	unsigned d = suggest_distance(s->typed, n);

	/* An unfinished word is nearer than its missing letters say. */
	if (s->typed.n >= 2 && n.n > s->typed.n && memcmp(n.p, s->typed.p, s->typed.n) == 0)
		d = 1;
	if (d < s->distance) {
		s->distance = d;
		s->best = name;
	}
}

const char *suggest_best(const struct suggest *s)
{
	unsigned allowed = s->typed.n <= 3 ? 1 : (unsigned)(s->typed.n + 2) / 3;

	return s->distance <= allowed ? s->best : NULL;
}
