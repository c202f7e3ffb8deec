/* SPDX-License-Identifier: MIT */
/*
 * id: `<epoch>.<seq>` as clients see it. epoch: a short random word made with the log; seq: decimal
 * position in it. A position is always the pair: an offset without an epoch lies after a wiped log.
 * Thread: any (pure).
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define EPOCH_MAX   15                       /* bytes of an epoch word: [a-z0-9] */
#define ID_TEXT_MAX (EPOCH_MAX + 1 + 20 + 1) /* with the ending NUL */

struct epoch {
	char text[EPOCH_MAX + 1];
};

enum id_verdict {
	ID_VALID,         /* same epoch */
	ID_FOREIGN_EPOCH, /* well formed, of another log */
	ID_MALFORMED,
};

/* A fresh random epoch of six letters and digits (first one a letter). */
void epoch_make(struct epoch *ret);
bool epoch_is_valid(struct slice text);

/* Parse text against our epoch. ret_seq is set for ID_VALID only (0 ≤ seq < 2^63; no leading
 * zeros). */
enum id_verdict id_parse(struct slice text, const struct epoch *epoch, uint64_t *ret_seq);
/* Write the id, NUL-terminated; return its length. */
size_t id_format(char out[ID_TEXT_MAX], const struct epoch *epoch, uint64_t seq);

#endif
