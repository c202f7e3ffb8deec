/* SPDX-License-Identifier: MIT */
/* close_reason: why a connection or session ended; facts in base/tbl/close_reasons.h. Thread: any.
 */
#ifndef BASE_CLOSE_REASON_H
#define BASE_CLOSE_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"

enum close_reason {
#define CLOSE_REASON(ID, ws_code, reconnect, is_error, text) CLOSE_##ID,
#include "base/tbl/close_reasons.h"
#undef CLOSE_REASON
	CLOSE_REASON_COUNT
};

struct close_reason_info {
	uint16_t ws_code;
	bool may_reconnect;
	bool is_error;
	const char *text;
	enum counter_id counter;
};

const struct close_reason_info *close_reason_info(enum close_reason r);

#endif
