/* SPDX-License-Identifier: MIT */
/*
 * presence: a sharded table of rooms (channels with somebody in them) and their members.
 *
 * DESIGN: what subscribers were told of a member (is_told) and what is true (is_here) are two
 * facts. A member for which they differ, or whose info changed, stands on its room's list of
 * changes; the room stands on its shard's list of news until batch_ms have passed; then one event
 * tells of all that differ, and what cancelled out meanwhile is never told. While an event is on
 * its way (is_posted) no other is made of that room, so workers can not overtake each other.
 *
 *   member:  here, connected ──last connection gone──▶ here, on shard->leaving
 *               ▲   ▲──────────────comes back──────────────┘   │ grace over
 *               │                                              ▼
 *               └────────comes back────────────── gone, but not told yet ──told──▶ freed
 *
 * Lists are in the order of time, for the delays are the same for all: the head is the next. A room
 * lives while it has members or an event of it is on its way. Events and pages are bounded in
 * bytes; the rest of the changes waits for the next event. No call leaves this file under a lock,
 * page->row excepted.
 */
#include "broker/presence.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "base/tree.h"
#include "base/xalloc.h"

#define SHARDS     16
#define NEWS_BYTES ((size_t)64 << 10) /* of one event, about */

struct member {
	RB_ENTRY(member) node;
	struct room *room;
	struct session_id id;
	struct user *user; /* NULL: not known */
	char *info;        /* owned; NULL: none */
	size_t info_n;
	uint32_t by_kind[KIND_COUNT]; /* connections */
	uint8_t kind;                 /* of the newest connection */
	bool is_here;
	bool is_told;    /* subscribers know it as here */
	bool is_changed; /* on room->changes */
	bool is_leaving; /* on shard->leaving: no connection is left */
	bool has_news;   /* its info is another than subscribers know */
	uint64_t due_ms; /* while leaving */
	int64_t since_ms;
	TAILQ_ENTRY(member) leaving;
	TAILQ_ENTRY(member) change;
};

/* A user with members in a room. */
struct user {
	UT_hash_handle hh;
	uint32_t n; /* members that are here or not told to be gone */
	uint32_t here_n;
	size_t name_n;
	char name[];
};

RB_HEAD(member_tree, member);
TAILQ_HEAD(member_list, member);

struct room {
	UT_hash_handle hh;
	struct member_tree members;
	struct user *users;
	size_t user_n;    /* users with somebody here */
	size_t unknown_n; /* members here whose user is not known */
	struct member_list changes;
	bool has_events;
	bool is_due;    /* on shard->news */
	bool is_posted; /* an event is on its way */
	uint64_t due_ms;
	TAILQ_ENTRY(room) news;
	uint8_t name_n;
	char name[];
};

struct shard {
	pthread_mutex_t lock;
	struct room *rooms;
	struct member_list leaving;
	TAILQ_HEAD(, room) news;
};

struct presence {
	struct presence_config cfg;
	atomic_size_t entry_n;
	struct shard shards[SHARDS];
};

static int member_compare(const struct member *a, const struct member *b)
{
	return memcmp(a->id.bytes, b->id.bytes, SESSION_ID_BYTES);
}

/* RB_GENERATE_STATIC needs a macro that the header leaves to <sys/cdefs.h> of BSD. */
RB_GENERATE_INTERNAL(member_tree, member, node, member_compare, static __attribute__((unused)))

/* --- life ------------------------------------------------------------------------------------ */

struct presence *presence_new(const struct presence_config *cfg)
{
	struct presence *p = xcalloc(1, sizeof(*p));

	p->cfg = *cfg;
	atomic_init(&p->entry_n, 0);
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&p->shards[i].lock, NULL);
		TAILQ_INIT(&p->shards[i].leaving);
		TAILQ_INIT(&p->shards[i].news);
	}
	return p;
}

static void room_free(struct shard *s, struct room *r)
{
	struct member *m, *next_member;
	struct user *u, *next_user;

	RB_FOREACH_SAFE(m, member_tree, &r->members, next_member)
	{
		RB_REMOVE(member_tree, &r->members, m);
		free(m->info);
		free(m);
	}
	HASH_ITER (hh, r->users, u, next_user) {
		HASH_DEL(r->users, u);
		free(u);
	}
	HASH_DEL(s->rooms, r);
	free(r);
}

void presence_free(struct presence *p)
{
	struct room *r, *next;

	if (!p)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		HASH_ITER (hh, p->shards[i].rooms, r, next)
			room_free(&p->shards[i], r);
		pthread_mutex_destroy(&p->shards[i].lock);
	}
	free(p);
}

static struct shard *shard_of(struct presence *p, struct slice channel)
{
	return &p->shards[(map_hash(channel.p, channel.n) >> 24) % SHARDS];
}

static struct room *room_find(struct shard *s, struct slice channel)
{
	struct room *r = NULL;

	HASH_FIND(hh, s->rooms, channel.p, channel.n, r);
	return r;
}

static struct room *room_get(struct shard *s, struct slice channel)
{
	struct room *r = room_find(s, channel);

	if (r)
		return r;
	assert(channel.n >= 1 && channel.n <= UINT8_MAX);
	r = xcalloc(1, sizeof(*r) + channel.n);
	RB_INIT(&r->members);
	TAILQ_INIT(&r->changes);
	r->name_n = (uint8_t)channel.n;
	memcpy(r->name, channel.p, channel.n);
	HASH_ADD_KEYPTR(hh, s->rooms, r->name, r->name_n, r);
	return r;
}

static void room_free_if_empty(struct shard *s, struct room *r)
{
	if (!RB_EMPTY(&r->members) || r->is_posted)
		return;
	if (r->is_due)
		TAILQ_REMOVE(&s->news, r, news);
	room_free(s, r);
}

static struct member *member_find(struct room *r, const struct session_id *id)
{
	struct member key = {.id = *id};

	return RB_FIND(member_tree, &r->members, &key);
}

/* --- who counts ------------------------------------------------------------------------------ */

/* The one place that decides: a user counts once, however many sessions it has here; a session
 * whose user is not known counts by itself. */
static size_t occupancy(const struct room *r)
{
	return r->user_n + r->unknown_n;
}

static void count_in(struct member *m)
{
	if (!m->user)
		m->room->unknown_n++;
	else if (m->user->here_n++ == 0)
		m->room->user_n++;
}

static void count_out(struct member *m)
{
	if (!m->user)
		m->room->unknown_n--;
	else if (--m->user->here_n == 0)
		m->room->user_n--;
}

static struct user *user_get(struct room *r, struct slice name)
{
	struct user *u = NULL;

	if (!name.n)
		return NULL;
	HASH_FIND(hh, r->users, name.p, name.n, u);
	if (!u) {
		u = xcalloc(1, sizeof(*u) + name.n);
		u->name_n = name.n;
		memcpy(u->name, name.p, name.n);
		HASH_ADD_KEYPTR(hh, r->users, u->name, u->name_n, u);
	}
	u->n++;
	return u;
}

static void user_put(struct room *r, struct user *u)
{
	if (!u || --u->n)
		return;
	HASH_DEL(r->users, u);
	free(u);
}

/* --- changes --------------------------------------------------------------------------------- */

static uint64_t plan_news(struct presence *p, struct shard *s, struct room *r)
{
	if (r->is_due || r->is_posted)
		return 0; /* whoever planned, or posted, sees to it */
	r->is_due = true;
	r->due_ms = clock_mono_ms() + p->cfg.batch_ms;
	TAILQ_INSERT_TAIL(&s->news, r, news);
	return r->due_ms;
}

static uint64_t note_change(struct presence *p, struct shard *s, struct member *m)
{
	if (!m->is_changed) {
		m->is_changed = true;
		TAILQ_INSERT_TAIL(&m->room->changes, m, change);
	}
	return plan_news(p, s, m->room);
}

static struct member *member_add(struct presence *p, struct room *r, const struct attendee *who)
{
	struct member *m = xcalloc(1, sizeof(*m));

	m->room = r;
	m->id = who->id;
	m->user = user_get(r, who->user);
	RB_INSERT(member_tree, &r->members, m);
	atomic_fetch_add(&p->entry_n, 1);
	return m;
}

static void member_free(struct presence *p, struct counters *c, struct member *m)
{
	struct room *r = m->room;

	if (m->is_changed)
		TAILQ_REMOVE(&r->changes, m, change);
	RB_REMOVE(member_tree, &r->members, m);
	user_put(r, m->user);
	free(m->info);
	free(m);
	atomic_fetch_sub(&p->entry_n, 1);
	count_add(c, COUNTER_PRESENCE_ENTRIES, -1);
}

static void take_info(struct member *m, struct slice info)
{
	if (!info.n || slice_eq(info, slice_make(m->info, m->info_n)))
		return;
	free(m->info);
	m->info = xstrndup(info.p, info.n);
	m->info_n = info.n;
	m->has_news = true;
}

/* It is here from now on. */
static void member_enter(struct counters *c, struct member *m)
{
	m->is_here = true;
	m->since_ms = clock_wall_ms();
	count_in(m);
	count_inc(c, COUNTER_PRESENCE_JOINED);
}

uint64_t presence_join(struct presence *p, struct counters *c, const struct presence_place *at,
		       const struct attendee *who)
{
	struct shard *s = shard_of(p, at->channel);
	uint64_t due = 0;

	pthread_mutex_lock(&s->lock);
	struct room *r = room_get(s, at->channel);
	struct member *m = member_find(r, &who->id);
	r->has_events = at->has_events;
	if (!m) {
		m = member_add(p, r, who);
		count_inc(c, COUNTER_PRESENCE_ENTRIES);
	}
	if (!m->is_here) {
		member_enter(c, m);
	} else if (m->is_leaving) {
		m->is_leaving = false;
		TAILQ_REMOVE(&s->leaving, m, leaving);
	}
	m->by_kind[at->kind]++;
	m->kind = (uint8_t)at->kind;
	take_info(m, who->info);
	if (!r->has_events) {
		/* Nobody is told now; should events be switched on, it is known as here. */
		m->is_told = true;
		m->has_news = false;
	} else if (!m->is_told || m->has_news) {
		due = note_change(p, s, m);
	}
	pthread_mutex_unlock(&s->lock);
	return due;
}

static uint32_t connections(const struct member *m)
{
	uint32_t n = 0;

	for (size_t k = 0; k < KIND_COUNT; k++)
		n += m->by_kind[k];
	return n;
}

/* It is not here any more; m and its room may be gone afterwards. */
static uint64_t member_go(struct presence *p, struct counters *c, struct shard *s, struct member *m)
{
	struct room *r = m->room;

	if (m->is_leaving)
		TAILQ_REMOVE(&s->leaving, m, leaving);
	m->is_leaving = false;
	m->is_here = false;
	count_out(m);
	count_inc(c, COUNTER_PRESENCE_LEFT);
	if (m->is_told && r->has_events)
		return note_change(p, s, m);
	member_free(p, c, m);
	room_free_if_empty(s, r);
	return 0;
}

uint64_t presence_leave(struct presence *p, struct counters *c, const struct presence_place *at,
			const struct session_id *id, bool at_once)
{
	struct shard *s = shard_of(p, at->channel);
	uint64_t due = 0;

	pthread_mutex_lock(&s->lock);
	struct room *r = room_find(s, at->channel);
	struct member *m = r ? member_find(r, id) : NULL;
	assert(m && m->by_kind[at->kind] > 0);
	m->by_kind[at->kind]--;
	if (connections(m) > 0) {
		due = 0;
	} else if (at_once || p->cfg.grace_ms == 0) {
		due = member_go(p, c, s, m);
	} else {
		m->is_leaving = true;
		due = m->due_ms = clock_mono_ms() + p->cfg.grace_ms;
		TAILQ_INSERT_TAIL(&s->leaving, m, leaving);
	}
	pthread_mutex_unlock(&s->lock);
	return due;
}

size_t presence_room(const struct presence *p)
{
	size_t n = atomic_load(&p->entry_n);

	return n < p->cfg.entries ? p->cfg.entries - n : 0;
}

bool presence_has(struct presence *p, struct slice channel, const struct session_id *id)
{
	struct shard *s = shard_of(p, channel);

	pthread_mutex_lock(&s->lock);
	struct room *r = room_find(s, channel);
	bool has = r && member_find(r, id);
	pthread_mutex_unlock(&s->lock);
	return has;
}

/* --- asking ---------------------------------------------------------------------------------- */

static struct presence_entry entry_of(const struct member *m)
{
	struct presence_entry e = {
		.id = m->id,
		.info = slice_make(m->info, m->info_n),
		.kind = m->kind,
		.connections = connections(m),
		.since_ms = m->since_ms,
	};

	if (m->user)
		e.user = slice_make(m->user->name, m->user->name_n);
	/* Of several connections the newest; when that is gone, the first kind that is left. */
	for (unsigned k = 0; e.connections && !m->by_kind[e.kind] && k < KIND_COUNT; k++)
		if (m->by_kind[k])
			e.kind = k;
	return e;
}

size_t presence_count(struct presence *p, struct slice channel)
{
	struct shard *s = shard_of(p, channel);

	pthread_mutex_lock(&s->lock);
	const struct room *r = room_find(s, channel);
	size_t n = r ? occupancy(r) : 0;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* True: there is an entry beyond what was given. */
static bool list_room(struct room *r, const struct presence_page *page)
{
	struct member key = {.id = page->after};
	struct member *m = RB_NFIND(member_tree, &r->members, &key);
	size_t n = 0;

	for (; m; m = RB_NEXT(member_tree, &r->members, m)) {
		if (!m->is_here || member_compare(m, &key) == 0)
			continue;
		struct presence_entry e = entry_of(m);
		if (n++ >= page->entry_max || !page->row(page->arg, &e))
			return true;
	}
	return false;
}

size_t presence_list(struct presence *p, struct slice channel, const struct presence_page *page,
		     bool *ret_more)
{
	struct shard *s = shard_of(p, channel);
	size_t n = 0;

	*ret_more = false;
	pthread_mutex_lock(&s->lock);
	struct room *r = room_find(s, channel);
	if (r) {
		n = occupancy(r);
		*ret_more = list_room(r, page);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* `"session":…,"user":…` */
static void add_identity(struct buf *out, const struct presence_entry *e)
{
	char name[SESSION_NAME_TEXT + 1];

	session_name_format(name, &e->id);
	buf_addf(out, "\"session\":\"%s\",\"user\":", name);
	if (e->user.n)
		json_add_string(out, e->user);
	else
		buf_add_str(out, "null");
}

void presence_add_entry(struct buf *out, const struct presence_entry *e)
{
	buf_add_char(out, '{');
	add_identity(out, e);
	buf_add_str(out, ",\"info\":");
	buf_add_slice(out, e->info.n ? e->info : SLICE("null"));
	buf_addf(out, ",\"transport\":\"%s\",\"since_ts\":%lld,\"connections\":%u}",
		 subscriber_kind_name(e->kind), (long long)e->since_ms, e->connections);
}

/* --- time, and telling ----------------------------------------------------------------------- */

size_t presence_sweep(struct presence *p, struct counters *c, uint64_t now_ms, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < SHARDS && n < max; i++) {
		struct shard *s = &p->shards[i];
		struct member *m;

		pthread_mutex_lock(&s->lock);
		while (n < max && (m = TAILQ_FIRST(&s->leaving)) != NULL && m->due_ms <= now_ms) {
			member_go(p, c, s, m);
			n++;
		}
		pthread_mutex_unlock(&s->lock);
	}
	return n;
}

static void begin_member(struct buf *out, const struct room *r, const char *type)
{
	if (out->n) {
		buf_add_char(out, ',');
		return;
	}
	buf_addf(out, "{\"type\":\"%s\",\"channel\":", type);
	json_add_string(out, slice_make(r->name, r->name_n));
	buf_add_str(out, ",\"members\":[");
}

/* What differs from what was told becomes told. */
static void tell(struct presence *p, struct counters *c, struct member *m,
		 struct presence_news *news)
{
	struct presence_entry e = entry_of(m);

	TAILQ_REMOVE(&m->room->changes, m, change);
	m->is_changed = false;
	if (!m->is_here) {
		begin_member(&news->leave, m->room, "leave");
		buf_add_char(&news->leave, '{');
		add_identity(&news->leave, &e);
		buf_add_char(&news->leave, '}');
		member_free(p, c, m);
		return;
	}
	if (m->is_told && !m->has_news)
		return; /* was gone for less than a batch */
	begin_member(&news->join, m->room, "join");
	presence_add_entry(&news->join, &e);
	m->is_told = true;
	m->has_news = false;
}

/* Take a room off the list of news. True: there is something to tell. */
static bool take_room(struct presence *p, struct counters *c, struct shard *s, struct room *r,
		      struct presence_news *news)
{
	struct member *m;

	TAILQ_REMOVE(&s->news, r, news);
	r->is_due = false;
	while ((m = TAILQ_FIRST(&r->changes)) != NULL && news->join.n + news->leave.n < NEWS_BYTES)
		tell(p, c, m, news);
	if (!news->join.n && !news->leave.n) {
		room_free_if_empty(s, r);
		return false;
	}
	if (news->join.n)
		buf_add_str(&news->join, "]}");
	if (news->leave.n)
		buf_add_str(&news->leave, "]}");
	r->is_posted = true;
	news->channel_n = r->name_n;
	memcpy(news->channel, r->name, r->name_n);
	return true;
}

bool presence_take_news(struct presence *p, struct counters *c, uint64_t now_ms,
			struct presence_news *ret)
{
	bool has_news = false;

	*ret = (struct presence_news){.channel_n = 0};
	for (size_t i = 0; i < SHARDS && !has_news; i++) {
		struct shard *s = &p->shards[i];
		struct room *r;

		pthread_mutex_lock(&s->lock);
		while (!has_news && (r = TAILQ_FIRST(&s->news)) != NULL && r->due_ms <= now_ms)
			has_news = take_room(p, c, s, r, ret);
		pthread_mutex_unlock(&s->lock);
	}
	return has_news;
}

uint64_t presence_told(struct presence *p, struct slice channel)
{
	struct shard *s = shard_of(p, channel);
	uint64_t due = 0;

	pthread_mutex_lock(&s->lock);
	struct room *r = room_find(s, channel);
	assert(r && r->is_posted);
	r->is_posted = false;
	if (!TAILQ_EMPTY(&r->changes))
		due = plan_news(p, s, r);
	else
		room_free_if_empty(s, r);
	pthread_mutex_unlock(&s->lock);
	return due;
}

void presence_news_fini(struct presence_news *n)
{
	buf_fini(&n->leave);
	buf_fini(&n->join);
}

uint64_t presence_next_due(struct presence *p)
{
	uint64_t due = 0;

	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &p->shards[i];

		pthread_mutex_lock(&s->lock);
		const struct member *m = TAILQ_FIRST(&s->leaving);
		const struct room *r = TAILQ_FIRST(&s->news);
		if (m && (due == 0 || m->due_ms < due))
			due = m->due_ms;
		if (r && (due == 0 || r->due_ms < due))
			due = r->due_ms;
		pthread_mutex_unlock(&s->lock);
	}
	return due;
}
