/* SPDX-License-Identifier: MIT */
/*
 * lines: standard input gathered while something else goes on, and given away in batches of whole
 * lines.
 * Thread: main.
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct lines {
	struct buf in;
	size_t in_max; /* stop reading above this: the limit of memory and of one line */
	int fd;
	bool is_ended;  /* end of file, or told to stop */
	int error;      /* errno of a read that failed; 0 */
	size_t scanned; /* bytes at the front known to hold no line end */
};

void lines_init(struct lines *l, int fd, size_t in_max);
void lines_fini(struct lines *l);
/* Is there room to read into? */
bool lines_wants_input(const struct lines *l);
/* Read what is there without blocking, up to 256 KiB. */
void lines_read(struct lines *l);
/* No more input: what was read so far is all; a line that is not complete is dropped. */
void lines_stop(struct lines *l);
/* The longest run of whole lines at the front, at most bytes_max long (a first line that is longer
 * comes alone) and lines_max many; at the end of input the last line needs no line end. *ret_n: how
 * many lines. Empty when there is none yet. Valid until the next read; give it back with
 * lines_drop(). */
struct slice lines_batch(struct lines *l, size_t bytes_max, size_t lines_max, size_t *ret_n);
void lines_drop(struct lines *l, size_t bytes);
/* The first line is longer than in_max: it will never be whole. */
bool lines_is_stuck(const struct lines *l);
/* Everything was given away and nothing more comes. */
bool lines_is_done(const struct lines *l);

#endif
