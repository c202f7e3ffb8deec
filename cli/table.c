/* SPDX-License-Identifier: MIT */
/*
 * table.c: columns as wide as their widest cell, two spaces apart. Widths count bytes of
 * characters, not of code points' display cells: what stands in tables here is ASCII nearly always,
 * and a continuation byte takes no room.
 */
#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_init(struct table *t, const char *const *heads, const char *aligns)
{
	*t = (struct table){.heads = heads, .aligns = aligns, .columns = strlen(aligns)};
	assert(t->columns >= 1 && t->columns <= TABLE_COLUMNS_MAX);
	for (size_t i = 0; heads && i < t->columns; i++)
		t->widths[i] = width_of(heads[i]);
}

static void forget_cells(struct table *t)
{
	for (size_t i = 0; i < t->cells_n; i++)
		free(t->cells[i]);
	t->cells_n = 0;
}

void table_fini(struct table *t)
{
	forget_cells(t);
	free(t->cells);
	t->cells = NULL;
	t->cells_room = 0;
}

void table_add(struct table *t, const char *fmt, ...)
{
	size_t column = t->cells_n % t->columns;
	char *text = NULL;
	size_t width;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (t->cells_n == t->cells_room) {
		t->cells_room = t->cells_room ? 2 * t->cells_room : 64;
		t->cells = xrealloc(t->cells, t->cells_room * sizeof(*t->cells));
	}
	t->cells[t->cells_n++] = text;
	width = width_of(text);
	if (width > t->widths[column])
		t->widths[column] = width;
}

static void print_row(const struct table *t, const char *const *cells, FILE *out)
{
	size_t columns = t->columns;

	/* No blanks at the end of a line. */
	while (columns && !*cells[columns - 1])
		columns--;
	for (size_t i = 0; i < columns; i++) {
		int pad = (int)(t->widths[i] - width_of(cells[i]));
		if (i)
			fputs("  ", out);
		if (t->aligns[i] == 'r')
			fprintf(out, "%*s%s", pad, "", cells[i]);
		else if (i + 1 < columns)
			fprintf(out, "%s%*s", cells[i], pad, "");
		else
			fputs(cells[i], out);
	}
	putc('\n', out);
}

void table_print(struct table *t, FILE *out)
{
	assert(t->cells_n % t->columns == 0);
	if (t->heads && !t->head_is_out)
		print_row(t, t->heads, out);
	t->head_is_out = true;
	for (size_t i = 0; i < t->cells_n; i += t->columns)
		print_row(t, (const char *const *)t->cells + i, out);
	forget_cells(t);
}
