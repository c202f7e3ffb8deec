/* SPDX-License-Identifier: MIT */
/* params: reading queries. Unknown parameters are ignored, known ones with a bad value are refused
 * and named. */
#include "transports/params.h"

#include <errno.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/xalloc.h"

#define ACK_WAIT_MAX_MS (86400 * UINT64_C(1000))

int param_u64(const struct http_request *r, const char *name, uint64_t max, uint64_t *ret,
	      struct fault *fault)
{
	struct slice v = http_param_get(r, name);
	uint64_t n = 0;

	if (!v.p)
		return 0;
	for (size_t i = 0; i < v.n; i++) {
		uint64_t digit = (uint64_t)(v.p[i] - '0');

		if (v.p[i] < '0' || v.p[i] > '9' || n > (max - digit) / 10 || digit > max)
			goto bad;
		n = n * 10 + digit;
	}
	if (v.n == 0 || n > max)
		goto bad;
	*ret = n;
	return 0;
bad:
	return fault_set(fault, FAULT_BAD_PARAMETER,
			 "%s=%s: a whole number from 0 to %llu is expected", name,
			 log_value_n(v.p, v.n), (unsigned long long)max);
}

int param_bool(const struct http_request *r, const char *name, bool *ret, struct fault *fault)
{
	static const char *const yes[] = {"1", "true", "yes", "on", ""};
	static const char *const no[] = {"0", "false", "no", "off"};
	struct slice v = http_param_get(r, name);

	if (!v.p)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (slice_eq_nocase(v, yes[i])) {
			*ret = true;
			return 0;
		}
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (slice_eq_nocase(v, no[i])) {
			*ret = false;
			return 0;
		}
	return fault_set(fault, FAULT_BAD_PARAMETER, "%s=%s: 1 or 0 is expected", name,
			 log_value_n(v.p, v.n));
}

int seconds_parse(struct slice v, uint64_t *ret_ms)
{
	uint64_t ms = 0, unit = 1000;
	size_t i = 0;

	for (; i < v.n && v.p[i] >= '0' && v.p[i] <= '9' && ms < UINT64_MAX / 100; i++)
		ms = ms * 10 + (uint64_t)(v.p[i] - '0') * 1000;
	if (i > 0 && i < v.n && v.p[i] == '.')
		for (i++; i < v.n && v.p[i] >= '0' && v.p[i] <= '9'; i++)
			ms += (uint64_t)(v.p[i] - '0') * (unit /= 10);
	if (v.n == 0 || i != v.n)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}

int param_seconds(const struct http_request *r, const char *name, uint64_t *ret_ms,
		  struct fault *fault)
{
	struct slice v = http_param_get(r, name);

	if (!v.p)
		return 0;
	if (seconds_parse(v, ret_ms) != 0)
		return fault_set(fault, FAULT_BAD_PARAMETER,
				 "%s=%s: seconds are expected, such as 25 or 0.5", name,
				 log_value_n(v.p, v.n));
	return 0;
}

static int parse_channels(const struct http_request *r, size_t max, struct subscribe_params *ret,
			  struct fault *fault)
{
	ret->channels = xcalloc((r->param_n < max ? r->param_n : max) + 1, sizeof(*ret->channels));
	for (size_t i = 0; i < r->param_n; i++) {
		struct slice name = r->params[i].value;
		bool is_new = slice_eq_str(r->params[i].name, "channel");

		for (size_t j = 0; is_new && j < ret->channel_n; j++)
			is_new = !slice_eq(ret->channels[j], name);
		if (!is_new)
			continue;
		if (ret->channel_n == max)
			return fault_set(fault, FAULT_TOO_MANY_CHANNELS,
					 "at most %zu channels for one subscription", max);
		ret->channels[ret->channel_n++] = name;
	}
	return 0;
}

/* The first entity tag of If-None-Match, without quotes and W/. */
static struct slice etag_of(struct slice v)
{
	if (slice_starts(v, "W/"))
		v = slice_skip(v, 2);
	if (v.n < 2 || v.p[0] != '"')
		return slice_str("");
	const char *end = memchr(v.p + 1, '"', v.n - 1);
	return end ? slice_make(v.p + 1, (size_t)(end - v.p - 1)) : slice_str("");
}

static int parse_start(const struct http_request *r, uint32_t last_max, bool use_last_event_id,
		       struct subscribe_params *ret, struct fault *fault)
{
	struct slice since = http_param_get(r, "since");
	uint64_t last = 0;

	if (use_last_event_id && http_header_get(r, "Last-Event-ID").n)
		since = http_header_get(r, "Last-Event-ID");
	ret->has_since = since.n > 0;
	int rc = param_u64(r, "last", last_max, &last, fault);
	if (rc)
		return rc;
	if (since.n)
		ret->start = slice_eq_str(since, "0") ? (struct start){.kind = START_ALL}
						      : (struct start){START_AFTER, since, 0};
	else if (http_param_get(r, "last").p)
		ret->start = (struct start){.kind = START_LAST, .last = (uint32_t)last};
	else if (!use_last_event_id && etag_of(http_header_get(r, "If-None-Match")).n)
		ret->start = (struct start){START_AFTER,
					    etag_of(http_header_get(r, "If-None-Match")), 0};
	else
		ret->start = (struct start){.kind = START_NOW};
	return 0;
}

int info_check(struct slice info, const struct gateway_config *cfg, struct fault *fault)
{
	size_t at;

	if (info.n > cfg->info_bytes)
		return fault_set(fault, FAULT_TOO_LARGE,
				 "info of %zu bytes; at most %zu are taken (limits.info_bytes)",
				 info.n, cfg->info_bytes);
	if (!json_is_valid(info, &at))
		return fault_set(fault, FAULT_BAD_JSON,
				 "info is not valid JSON: byte %zu of %zu is wrong", at, info.n);
	return 0;
}

static int parse_presence(const struct http_request *r, const struct gateway_config *cfg,
			  struct subscribe_params *ret, struct fault *fault)
{
	struct slice info = http_param_get(r, "info");

	ret->session = http_param_get(r, "session");
	if (info.p) {
		int rc = info_check(info, cfg, fault);

		if (rc)
			return rc;
		ret->info = info;
	}
	return param_bool(r, "presence", &ret->wants_members, fault);
}

int durable_want_check(struct durable_want *want, const struct gateway_config *cfg,
		       struct fault *fault)
{
	if (!want->name.p)
		return 0;
	const char *wrong = channel_name_problem(want->name);
	if (wrong)
		return fault_set(fault, FAULT_BAD_PARAMETER, "subscriber: %s", wrong);
	if (want->max_in_flight == 0)
		return fault_set(fault, FAULT_BAD_PARAMETER, "max_in_flight: at least 1");
	if (want->max_in_flight > cfg->in_flight_max)
		want->max_in_flight = cfg->in_flight_max;
	if (want->ack_wait_ms && want->ack_wait_ms < cfg->ack_wait_min_ms)
		want->ack_wait_ms = cfg->ack_wait_min_ms;
	if (want->ack_wait_ms > ACK_WAIT_MAX_MS)
		want->ack_wait_ms = ACK_WAIT_MAX_MS;
	return 0;
}

static int parse_durable(const struct http_request *r, const struct gateway_config *cfg,
			 struct durable_want *ret, struct fault *fault)
{
	uint64_t max = cfg->in_flight;

	ret->name = http_param_get(r, "subscriber");
	ret->ack_wait_ms = cfg->ack_wait_ms;
	int rc = param_u64(r, "max_in_flight", UINT32_MAX, &max, fault);
	if (rc == 0)
		rc = param_seconds(r, "ack_wait", &ret->ack_wait_ms, fault);
	ret->max_in_flight = (uint32_t)max;
	return rc ? rc : durable_want_check(ret, cfg, fault);
}

int subscribe_params_parse(const struct http_request *r, const struct gateway_config *cfg,
			   bool use_last_event_id, struct subscribe_params *ret,
			   struct fault *fault)
{
	struct slice format = http_param_get(r, "format");

	*ret = (struct subscribe_params){0};
	int rc = parse_channels(r, cfg->channels_per_subscription, ret, fault);
	if (rc == 0)
		rc = parse_start(r, cfg->last_limit, use_last_event_id, ret, fault);
	if (rc == 0)
		rc = param_bool(r, "ephemeral", &ret->is_ephemeral, fault);
	if (rc == 0)
		rc = parse_presence(r, cfg, ret, fault);
	if (rc == 0)
		rc = parse_durable(r, cfg, &ret->durable, fault);
	for (size_t i = 0; i < ret->channel_n && rc == 0 && ret->durable.name.p; i++)
		rc = durable_check_channel(ret->channels[i], fault);
	if (rc == 0 && format.p) {
		ret->is_raw = slice_eq_str(format, "raw");
		if (!ret->is_raw && !slice_eq_str(format, "json"))
			rc = fault_set(fault, FAULT_BAD_PARAMETER,
				       "format=%s: raw or json is expected",
				       log_value_n(format.p, format.n));
	}
	if (rc)
		subscribe_params_fini(ret);
	return rc;
}

void subscribe_params_fini(struct subscribe_params *p)
{
	free(p->channels);
	p->channels = NULL;
	p->channel_n = 0;
}
