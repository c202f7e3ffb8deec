/* SPDX-License-Identifier: MIT */
/*
 * admin_channels: channels as operators see them: what the log holds of them, and who subscribes
 * (census). A channel is listed when either knows it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "daemon/admin_internal.h"
#include "transports/encode.h"
#include "transports/params.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX     100000

/* Names with subscribers, for merging with the names of the log. */
struct names {
	struct slice after;
	char **v;
	size_t n, room;
};

static void names_add(void *arg, struct slice name, const struct census_row *row)
{
	struct names *names = arg;
	char *copy = xstrndup(name.p, name.n);

	UNUSED(row);
	if (names->after.n) {
		char *after = xstrndup(names->after.p, names->after.n);
		bool is_after = strcmp(copy, after) > 0;

		free(after);
		if (!is_after) {
			free(copy);
			return;
		}
	}
	if (names->n == names->room) {
		names->room = names->room ? names->room * 2 : 16;
		names->v = xrealloc(names->v, names->room * sizeof(char *));
	}
	names->v[names->n++] = copy;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
}

static void add_channel(struct buf *b, struct worker *w, const char *name,
			const struct channel_info *info, bool with_kinds)
{
	const struct epoch *e = history_epoch(w->server->history);
	struct census_row row = census_get(w->server->census, slice_str(name));
	unsigned total = 0;

	for (size_t k = 0; k < KIND_COUNT; k++)
		total += row.by_kind[k];
	buf_add_str(b, "{\"name\":");
	json_add_string(b, slice_str(name));
	buf_add_str(b, ",\"head\":");
	json_add_id_or_null(b, e, info->head);
	buf_add_str(b, ",\"oldest\":");
	json_add_id_or_null(b, e, info->oldest);
	buf_addf(b,
		 ",\"count\":%llu,\"bytes\":%llu,\"oldest_ts\":", (unsigned long long)info->count,
		 (unsigned long long)info->bytes);
	if (info->oldest)
		buf_addf(b, "%lld", (long long)info->oldest_ts_ms);
	else
		buf_add_str(b, "null");
	buf_addf(b, ",\"subscribers\":%u", total);
	for (size_t k = 0; with_kinds && k < KIND_COUNT; k++)
		buf_addf(b, "%s\"%s\":%u%s", k ? "," : ",\"subscribers_by_transport\":{",
			 subscriber_kind_name(k), row.by_kind[k], k + 1 == KIND_COUNT ? "}" : "");
	buf_add_char(b, '}');
}

/* Both lists are in byte order: merge them, a name in both once. */
static void merge(struct buf *b, struct worker *w, const struct store_task *t,
		  const struct names *active, size_t limit)
{
	static const struct channel_info nothing;
	size_t i = 0, j = 0, n = 0;

	buf_add_str(b, "{\"channels\":[");
	for (; n < limit && (i < t->row_n || j < active->n); n++) {
		int order = i == t->row_n    ? 1
			    : j == active->n ? -1
					     : strcmp(t->rows[i].name, active->v[j]);

		if (n)
			buf_add_char(b, ',');
		add_channel(b, w, order <= 0 ? t->rows[i].name : active->v[j],
			    order <= 0 ? &t->rows[i].info : &nothing, false);
		i += order <= 0;
		j += order >= 0;
	}
	buf_addf(b, "],\"more\":%s}", i < t->row_n || j < active->n ? "true" : "false");
}

static void on_channels(struct store_task *t)
{
	struct admin_call *c = t->owner;
	struct names active = {0};
	struct buf b = {0};

	if (t->error) {
		admin_call_refuse(c, FAULT_STORE_UNAVAILABLE,
				  "the message store can not be read now");
	} else if (!c->exchange) {
		admin_call_answer(c, slice_str(""));
	} else {
		active.after = c->after;
		census_each(c->worker->server->census, c->name, names_add, &active);
		if (active.n)
			qsort(active.v, active.n, sizeof(char *), by_name);
		merge(&b, c->worker, t, &active, c->limit);
		admin_call_answer(c, buf_slice(&b));
	}
	names_fini(&active);
	buf_fini(&b);
	store_task_free(t);
}

static void post(struct admin_call *c, struct store_task *t, void (*done)(struct store_task *))
{
	t->reply_to = &c->worker->mailbox;
	t->done = done;
	t->owner = c;
	if (history_task(c->worker->server->history, t) == 0)
		return;
	store_task_free(t);
	admin_call_refuse(c, FAULT_OVERLOADED,
			  "too much is waiting for the message store; try again");
}

void admin_channels(struct worker *w, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	uint64_t limit = LIMIT_DEFAULT;
	struct fault fault;

	if (param_u64(r, "limit", LIMIT_MAX, &limit, &fault) != 0) {
		http_respond_fault(x, fault.id, "", "%s", fault.message);
		return;
	}
	struct admin_call *c = admin_call_new(w, x);
	struct slice prefix = http_param_get(r, "prefix");
	c->name = prefix.p ? prefix : slice_str("");
	c->after = http_param_get(r, "after");
	c->limit = limit;
	struct store_task *t = store_task_new(TASK_CHANNELS, c->name);
	t->max = limit + 1;
	t->after = c->after.p ? xstrndup(c->after.p, c->after.n) : NULL;
	post(c, t, on_channels);
}

/* --- one channel ----------------------------------------------------------------------------- */

/* The channel parameter, or NULL: the request has been refused. */
static struct admin_call *call_with_channel(struct worker *w, struct http_exchange *x)
{
	struct slice name = http_param_get(http_exchange_request(x), "channel");

	if (!name.p) {
		http_respond_fault(x, FAULT_NO_CHANNEL, "", "name the channel: ?channel=NAME");
		return NULL;
	}
	if (channel_name_problem(name)) {
		http_respond_fault(x, FAULT_BAD_CHANNEL, "", "channel name: %s",
				   channel_name_problem(name));
		return NULL;
	}
	struct admin_call *c = admin_call_new(w, x);
	c->name = name;
	return c;
}

static void on_channel(struct store_task *t)
{
	struct admin_call *c = t->owner;
	struct buf b = {0};

	if (t->error && t->error != -ENOENT) {
		admin_call_refuse(c, FAULT_STORE_UNAVAILABLE,
				  "the message store can not be read now");
	} else if (t->info.head == 0 &&
		   !census_has(c->worker->server->census, slice_str(t->text))) {
		admin_call_refuse(c, FAULT_NOT_FOUND,
				  "nobody published or subscribes to this channel");
	} else {
		add_channel(&b, c->worker, t->text, &t->info, true);
		admin_call_answer(c, buf_slice(&b));
	}
	buf_fini(&b);
	store_task_free(t);
}

void admin_channel(struct worker *w, struct http_exchange *x)
{
	struct admin_call *c = call_with_channel(w, x);

	if (c)
		post(c, store_task_new(TASK_CHANNEL, c->name), on_channel);
}

/* --- purge: first the log, then what the workers remember ------------------------------------ */

struct purge {
	struct errand errand;
	struct admin_call *call;
	char *channel;
	uint64_t removed;
};

static void forget_on(struct worker *w, struct errand *e)
{
	hub_forget(w->hub, slice_str(container_of(e, struct purge, errand)->channel));
}

static void on_forgotten(struct errand *e)
{
	struct purge *p = container_of(e, struct purge, errand);
	struct buf b = {0};

	buf_add_str(&b, "{\"channel\":");
	json_add_string(&b, slice_str(p->channel));
	buf_addf(&b, ",\"removed\":%llu}", (unsigned long long)p->removed);
	admin_call_answer(p->call, buf_slice(&b));
	buf_fini(&b);
	free(p->channel);
	free(p);
}

static void on_purged(struct store_task *t)
{
	struct admin_call *c = t->owner;

	if (t->error) {
		admin_call_refuse(c, FAULT_STORE_UNAVAILABLE,
				  "the message store can not be written now");
	} else {
		struct purge *p = xcalloc(1, sizeof(*p));

		p->call = c;
		p->channel = xstrdup(t->text);
		p->removed = t->removed;
		p->errand.visit = forget_on;
		p->errand.done = on_forgotten;
		errand_send(c->worker, &p->errand);
	}
	store_task_free(t);
}

void admin_purge(struct worker *w, struct http_exchange *x)
{
	struct admin_call *c = call_with_channel(w, x);

	if (c)
		post(c, store_task_new(TASK_PURGE, c->name), on_purged);
}

/* --- backup ---------------------------------------------------------------------------------- */

static void on_backup(struct store_task *t)
{
	struct admin_call *c = t->owner;
	struct buf b = {0};

	if (t->error) {
		admin_call_refuse(
			c, t->error == -EEXIST ? FAULT_BAD_PARAMETER : FAULT_STORE_UNAVAILABLE,
			t->problem.text);
	} else {
		struct stat st;

		buf_add_str(&b, "{\"path\":");
		json_add_string(&b, slice_str(t->text));
		buf_addf(&b, ",\"bytes\":%llu}",
			 stat(t->text, &st) == 0 ? (unsigned long long)st.st_size : 0);
		admin_call_answer(c, buf_slice(&b));
	}
	buf_fini(&b);
	store_task_free(t);
}

void admin_backup(struct worker *w, struct http_exchange *x)
{
	struct slice path = http_param_get(http_exchange_request(x), "path");

	if (!path.n || !utf8_is_valid(path.p, path.n)) {
		http_respond_fault(x, FAULT_BAD_PARAMETER, "", "name the new file: ?path=FILE");
		return;
	}
	struct admin_call *c = admin_call_new(w, x);
	post(c, store_task_new(TASK_BACKUP, path), on_backup);
}
