/* SPDX-License-Identifier: MIT */
/*
 * close_reason: the facts of base/tbl/close_reasons.h as an array.
 *
 * DESIGN. The enum, this array and the counters come from one table, so no reason can lack a
 * WebSocket code, a text or a counter. Nothing here may be written by hand.
 */
#include "base/close_reason.h"

#include "base/obj.h"

static const struct close_reason_info reasons[] = {
#define CLOSE_REASON(ID, ws_code, reconnect, is_error, text) \
	[CLOSE_##ID] = {ws_code, reconnect, is_error, text, COUNTER_CLOSED_##ID},
#include "base/tbl/close_reasons.h"
#undef CLOSE_REASON
};

const struct close_reason_info *close_reason_info(enum close_reason r)
{
	assert(r < CLOSE_REASON_COUNT);
	return &reasons[r];
}
