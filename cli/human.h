/* SPDX-License-Identifier: MIT */
/*
 * human: numbers and strangers' text for people's eyes.
 * Thread: main (the texts live in rotating static buffers: valid until the 16th next call).
 */
#ifndef CLI_HUMAN_H
#define CLI_HUMAN_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* 999 B, 1.2 KiB, 34 MiB. */
const char *human_size(uint64_t bytes);
/* 0.4s, 12s, 5m 12s, 2h 3m, 4d 1h. */
const char *human_age(uint64_t ms);
/* Per second: 0.5, 17, 1.2k, 34k, 5.6M. */
const char *human_rate(double per_second);

/* Append text with everything that could drive a terminal or break a line escaped: \n \r \t \\ stay
 * readable, other control characters become \xNN. text must be UTF-8. */
int human_add_safe(struct buf *out, struct slice text);

#endif
