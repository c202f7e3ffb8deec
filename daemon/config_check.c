/* SPDX-License-Identifier: MIT */
/*
 * config_check: options that are right each for itself and wrong together.
 *
 * DESIGN. Refuse at start what would otherwise be met as a strange failure later, and say in the
 * same breath how to get out. Nothing here looks at the machine (ports, files, descriptors): the
 * same configuration is good or bad everywhere, so that --check-config can run on another one.
 */
#include "daemon/config_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "daemon/option.h"

/* One must not be larger than the other. */
static const struct order {
	enum option_id small, large;
	const char *why;
} orders[] = {
	{OPTION_message_bytes, OPTION_body_bytes,
	 "such a message could not be published over HTTP"},
	{OPTION_message_bytes, OPTION_ws_message_bytes,
	 "such a message could not be published over WebSocket"},
	{OPTION_body_bytes, OPTION_batch_bytes, "a batch may hold what a single publish may"},
	{OPTION_batch_bytes, OPTION_append_queue_bytes,
	 "such a batch would not fit into the queue"},
	{OPTION_target_bytes, OPTION_head_bytes, "the target is a part of the head"},
	{OPTION_replay_window_bytes, OPTION_out_queue_bytes, "the window is a part of the queue"},
	{OPTION_recent_bytes, OPTION_recent_total_bytes, "one channel is a part of the total"},
	{OPTION_in_flight, OPTION_in_flight_max, "nobody could have that many"},
	{OPTION_gzip_min_bytes, OPTION_gzip_max_bytes, "no body would be compressed"},
	{OPTION_ws_deflate_min_bytes, OPTION_ws_deflate_max_bytes,
	 "no message would be compressed"},
	{OPTION_poll_batch_ms, OPTION_poll_wait_max_ms, "the one is a part of the other"},
};

static int check_order(const struct config *cfg, const struct order *o, struct problem *problem)
{
	const struct option *small = &config_options[o->small], *large = &config_options[o->large];
	uint64_t small_value, large_value;
	struct buf a = {.cap = 64}, b = {.cap = 64};
	int rc;

	memcpy(&small_value, (const char *)cfg + small->offset, sizeof(small_value));
	memcpy(&large_value, (const char *)cfg + large->offset, sizeof(large_value));
	if (small_value <= large_value)
		return 0;
	option_format(small, cfg, &a);
	option_format(large, cfg, &b);
	rc = problem_set(problem, -EINVAL,
			 "%s (%.*s) is larger than %s (%.*s): %s; lower the first or "
			 "raise the second",
			 small->name, SLICE_ARG(buf_slice(&a)), large->name,
			 SLICE_ARG(buf_slice(&b)), o->why);
	buf_fini(&a);
	buf_fini(&b);
	return rc;
}

/* The words of a WORDS option, one by one. */
static bool next_word(const char **p, struct slice *ret)
{
	size_t n;

	*p += strspn(*p, " ");
	n = strcspn(*p, " ");
	*ret = slice_make(*p, n);
	*p += n;
	return n > 0;
}

static int check_origins(const char *option, const char *words, struct problem *problem)
{
	struct slice w;

	while (next_word(&words, &w)) {
		const char *scheme_end = memmem(w.p, w.n, "://", 3);

		if (slice_eq_str(w, "*"))
			continue;
		if (scheme_end && scheme_end > w.p && scheme_end + 3 < w.p + w.n &&
		    !memchr(scheme_end + 3, '/', (size_t)(w.p + w.n - scheme_end - 3)))
			continue;
		return problem_set(
			problem, -EINVAL,
			"%s: %s is no web origin; write * or scheme://host[:port] without "
			"anything behind it, such as https://app.example.com",
			option, log_value_n(w.p, w.n));
	}
	return 0;
}

static int parse_addresses(struct config *cfg, struct problem *problem)
{
	const char *p = cfg->listen;
	struct problem why;
	struct slice w;
	size_t n = 0;

	for (struct slice each; next_word(&p, &each);)
		n++;
	cfg->addresses = xcalloc(n, sizeof(*cfg->addresses));
	p = cfg->listen;
	while (next_word(&p, &w)) {
		char *text = xstrndup(w.p, w.n);
		int rc = listen_address_parse(text, &cfg->addresses[cfg->address_n], &why);

		if (rc < 0)
			rc = problem_set(problem, -EINVAL, "server.listen: %s", why.text);
		else
			cfg->address_n++;
		free(text);
		if (rc < 0)
			return rc;
	}
	cfg->admin_address.is_unix = cfg->admin_address.is_loopback = true;
	snprintf(cfg->admin_address.text, sizeof(cfg->admin_address.text), "unix:%s",
		 cfg->admin_socket);
	return 0;
}

/* SO_REUSEPORT would let one address be bound twice without a word. */
static int check_addresses(const struct config *cfg, struct problem *problem)
{
	for (size_t i = 0; i < cfg->address_n; i++) {
		const char *text = cfg->addresses[i].text;
		size_t n = strlen(text);

		if (strcmp(text, cfg->admin_address.text) == 0)
			return problem_set(
				problem, -EINVAL,
				"server.listen and server.admin_socket are the same file: %s",
				cfg->admin_socket);
		if (n >= 2 && strcmp(text + n - 2, ":0") == 0)
			continue;
		for (size_t j = 0; j < i; j++) {
			if (strcmp(text, cfg->addresses[j].text) == 0)
				return problem_set(problem, -EINVAL, "server.listen names %s twice",
						   text);
		}
	}
	return 0;
}

/* Anyone may publish, and anyone may connect: hardly ever meant, and found out by others first. */
static int check_anonymous(const struct config *cfg, struct problem *problem)
{
	const struct listen_address *open = NULL;
	const struct namespace *ns = NULL;
	const char *name;

	for (size_t i = 0; i < cfg->address_n && !open; i++) {
		if (!cfg->addresses[i].is_unix && !cfg->addresses[i].is_loopback)
			open = &cfg->addresses[i];
	}
	for (size_t i = 0; i < cfg->namespaces->n && !ns; i++) {
		if (cfg->namespaces->ns[i].publish == ACCESS_ANYONE)
			ns = &cfg->namespaces->ns[i];
	}
	if (!open || !ns || cfg->allow_anonymous_publish)
		return 0;
	name = ns->name;
	return problem_set(problem, -EINVAL,
			   "server.listen: other machines can reach %s, and [namespace%s%s] lets "
			   "anyone publish. "
			   "Either publish through the admin socket only: `publish = admin` in "
			   "[namespace%s%s] "
			   "(--namespace%s%s-publish admin). Or, if everybody shall publish: "
			   "`allow_anonymous_publish = yes` in [server] "
			   "(--server-allow-anonymous-publish yes)",
			   open->text, *name ? " " : "", name, *name ? " " : "", name,
			   *name ? "-" : "", name);
}

/* The memory engine can not keep the promises of the others (docs/guarantees.md). */
static int check_durability(const struct config *cfg, struct problem *problem)
{
	if (strcmp(cfg->engine, "memory") != 0)
		return 0;
	for (size_t i = 0; i < cfg->namespaces->n; i++) {
		const struct namespace *ns = &cfg->namespaces->ns[i];

		if (ns->durability != DURABILITY_MEMORY)
			return problem_set(
				problem, -EINVAL,
				"[namespace%s%s] durability is %s, which the memory engine "
				"can not promise; set it to memory, or store.engine to sqlite",
				*ns->name ? " " : "", ns->name, durability_name(ns->durability));
	}
	return 0;
}

int config_check(struct config *cfg, struct problem *problem)
{
	int rc = parse_addresses(cfg, problem);

	for (size_t i = 0; i < ARRAY_LEN(orders) && rc == 0; i++)
		rc = check_order(cfg, &orders[i], problem);
	if (rc == 0)
		rc = check_addresses(cfg, problem);
	if (rc == 0)
		rc = check_origins("server.cors_origins", cfg->cors_origins, problem);
	if (rc == 0)
		rc = check_origins("server.ws_origins", cfg->ws_origins, problem);
	if (rc == 0)
		rc = check_durability(cfg, problem);
	if (rc == 0)
		rc = check_anonymous(cfg, problem);
	return rc;
}
