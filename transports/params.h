/* SPDX-License-Identifier: MIT */
/*
 * params: what a request's query asks for: channels, where to start, format.
 * Thread: any (pure).
 */
#ifndef TRANSPORTS_PARAMS_H
#define TRANSPORTS_PARAMS_H

#include "broker/durable.h"
#include "net/http.h"
#include "transports/gateway.h"

struct subscribe_params {
	size_t channel_n;
	struct slice *channels; /* owned; the slices point into the request */
	struct start start;
	bool is_raw;                 /* format=raw */
	bool is_ephemeral;           /* ephemeral=1 */
	bool has_since;              /* since or Last-Event-ID was given in the request itself */
	struct durable_want durable; /* its name points into the request */
	/* presence */
	struct slice session; /* session=, as given */
	struct slice info;    /* info=, valid JSON within its limit, or empty */
	bool wants_members;   /* presence=1 */
};

/* Return 0, or negative with fault filled: FAULT_BAD_PARAMETER, FAULT_TOO_MANY_CHANNELS,
 * FAULT_BAD_JSON, FAULT_TOO_LARGE (of info).
 * use_last_event_id: SSE and WebSocket. */
int subscribe_params_parse(const struct http_request *r, const struct gateway_config *cfg,
			   bool use_last_event_id, struct subscribe_params *ret,
			   struct fault *fault);
/* What a client says of itself: valid JSON of at most cfg->info_bytes. FAULT_BAD_JSON,
 * FAULT_TOO_LARGE. */
int info_check(struct slice info, const struct gateway_config *cfg, struct fault *fault);
void subscribe_params_fini(struct subscribe_params *p);

/* A whole number ≤ max. Return 0 and *ret (unchanged when the parameter is absent), or negative
 * with fault. */
int param_u64(const struct http_request *r, const char *name, uint64_t max, uint64_t *ret,
	      struct fault *fault);
/* 1, true, yes, on, or the name alone; 0, false, no, off. */
int param_bool(const struct http_request *r, const char *name, bool *ret, struct fault *fault);
/* Seconds with an optional fraction, as milliseconds. Return 0 or -EINVAL. */
int seconds_parse(struct slice text, uint64_t *ret_ms);
/* The same of a parameter. */
int param_seconds(const struct http_request *r, const char *name, uint64_t *ret_ms,
		  struct fault *fault);

/* Bring what a client asks for within the server's bounds. max_in_flight and ack_wait_ms are set
 * to the server's own before they are read. Return 0, or negative with FAULT_BAD_PARAMETER. */
int durable_want_check(struct durable_want *want, const struct gateway_config *cfg,
		       struct fault *fault);

#endif
