/* SPDX-License-Identifier: MIT */
/*
 * fuzz_params: a request's target and one header through net/http and subscribe_params_parse(). The
 * input: a byte of options, the target, a line feed, the value of Last-Event-ID or If-None-Match.
 *
 * What is accepted keeps the promises of transports/params.h; what is refused names a code and owns
 * nothing.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "net/http_private.h"
#include "transports/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 4096

static const struct gateway_config cfg = {.channels_per_subscription = 5, .last_limit = 1000};

static void check_refusal(const struct fault *f)
{
	assert(f->id == FAULT_BAD_PARAMETER || f->id == FAULT_TOO_MANY_CHANNELS);
	assert(f->message[0] && utf8_is_valid(f->message, strlen(f->message)));
}

static void check_channels(const struct http_request *r, const struct subscribe_params *p)
{
	assert(p->channel_n <= cfg.channels_per_subscription);
	for (size_t i = 0; i < p->channel_n; i++)
		for (size_t k = 0; k < i; k++)
			assert(!slice_eq(p->channels[i], p->channels[k]));
	/* Each that was named is there, and in the request. */
	for (size_t i = 0; i < r->param_n; i++) {
		size_t k = 0;

		if (!slice_eq_str(r->params[i].name, "channel"))
			continue;
		while (k < p->channel_n && !slice_eq(p->channels[k], r->params[i].value))
			k++;
		assert(k < p->channel_n);
	}
}

static void check_start(const struct start *s)
{
	assert(s->kind <= START_LAST);
	if (s->kind == START_AFTER)
		assert(s->since.p && s->since.n && !slice_eq_str(s->since, "0"));
	if (s->kind == START_LAST)
		assert(s->last <= cfg.last_limit);
}

static void check_single(const struct http_request *r)
{
	uint64_t n = 5, ms = 5;
	bool flag = false;
	struct fault f;

	if (param_u64(r, "limit", 1000, &n, &f) != 0)
		check_refusal(&f);
	assert(n <= 1000);
	n = 5;
	assert(param_u64(r, "id", UINT64_MAX, &n, &f) == 0 || n == 5);
	if (param_seconds(r, "wait", &ms, &f) != 0) {
		check_refusal(&f);
		assert(ms == 5);
	}
	(void)param_bool(r, "ephemeral", &flag, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_header params[HTTP_PARAMS_MAX], header;
	char decoded[INPUT_MAX + 1];
	struct http_request r = {.params = params, .headers = &header, .header_n = 1};
	struct subscribe_params p;
	struct fault fault;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	bool use_last_event_id = data[0] & 1;
	struct slice in = slice_make((const char *)data + 1, size - 1);
	const char *lf = memchr(in.p, '\n', in.n);
	struct slice target = slice_make(in.p, lf ? (size_t)(lf - in.p) : in.n);
	header.name = data[0] & 2 ? SLICE("Last-Event-ID") : SLICE("If-None-Match");
	header.value = slice_skip(in, target.n + 1);
	size_t pairs = 0;
	for (size_t i = 0; i < target.n; i++)
		pairs += target.p[i] == '&';
	if (pairs + 1 > HTTP_PARAMS_MAX)
		return 0;
	if (http_target_parse(&r, target, SLICE("h"), decoded))
		return 0;
	assert(r.param_n <= pairs + 1);
	check_single(&r);
	if (subscribe_params_parse(&r, &cfg, use_last_event_id, &p, &fault) != 0) {
		check_refusal(&fault);
		assert(!p.channels && p.channel_n == 0);
		return 0;
	}
	check_channels(&r, &p);
	check_start(&p.start);
	subscribe_params_fini(&p);
	return 0;
}
