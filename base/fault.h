/* SPDX-License-Identifier: MIT */
/*
 * fault: a refusal on its way to a client: a row of base/tbl/errors.h and a sentence that says what
 * was wrong and what to do. HTTP shows it as status and {"error":{"code","message"}}, WebSocket as
 * an `error` frame.
 * Thread: any.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/obj.h"

enum fault_id {
	FAULT_NONE,
#define FAULT(ID, code, status) FAULT_##ID,
#include "base/tbl/errors.h"
#undef FAULT
	FAULT_COUNT
};

struct fault {
	enum fault_id id;
	char message[256]; /* valid UTF-8 */
};

const char *fault_code(enum fault_id id);
int fault_status(enum fault_id id);
/* Fill f (f may be NULL) and return -EINVAL, for `return fault_set(…)`. Bytes of the client that
 * fmt prints must have been checked to be UTF-8, or use "%s" of log_value(). */
int fault_set(struct fault *f, enum fault_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
