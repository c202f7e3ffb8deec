/* SPDX-License-Identifier: MIT */
/*
 * table: rows of text in aligned columns. Printed page by page: the head once, and columns that
 * never get narrower. Thread: main.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/obj.h"

#define TABLE_COLUMNS_MAX 12

struct table {
	const char *const *heads; /* one per column */
	const char *aligns;       /* 'l' or 'r' per column; its length is the number of columns */
	size_t columns;
	size_t widths[TABLE_COLUMNS_MAX];
	char **cells; /* row by row, owned */
	size_t cells_n;
	size_t cells_room;
	bool head_is_out;
};

/* heads and aligns are borrowed for the table's life; heads NULL: no head line. */
void table_init(struct table *t, const char *const *heads, const char *aligns);
void table_fini(struct table *t);
/* Append one cell, left to right, row after row. */
void table_add(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Print the rows and forget them. */
void table_print(struct table *t, FILE *out);

#endif
