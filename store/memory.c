/* SPDX-License-Identifier: MIT */
/*
 * memory: the engine that keeps the log in memory. It serves namespaces with durability `memory`
 * beside another engine, and can be the whole store of a broker that needs no history across
 * starts.
 *
 * DESIGN
 *  - A message that is there is one `struct item`: a reference to the sealed message, a place in
 * its channel's ring (oldest to newest, for range reads by binary search), one in its namespace's
 *    list (oldest to newest, for retention by age and bytes) and one in the log of all
 *    (memory_prefix.c, for reads of many channels at once).
 *  - One lock: the log thread writes under it, readers read a page under it. Writers are preferred,
 * so that readers cannot starve the log.
 *  - Retention never searches: too many → the channel is on the `over` list; too old, too large →
 *    the head of the namespace's list.
 *  - A channel that ran empty is remembered for its head (prev, gaps). At most EMPTY_MAX of them:
 * then the one that has been empty longest is forgotten, and every unknown channel is said to have
 *    lost everything up to its head, so that nobody who comes back is told that nothing is missing.
 *
 * It must never call out while it holds the lock for writing, and never fail an append.
 */
#include "store/memory_engine.h"

#include <errno.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "store/engines.h"

#define EMPTY_MAX     65536
#define RING_ROOM_MIN 4

/* --- channels -------------------------------------------------------------------------------- */

static struct mem_channel *channel_find(const struct store *s, struct slice name)
{
	struct mem_channel *c;

	HASH_FIND(hh, s->channels, name.p, name.n, c);
	return c;
}

static void channel_free(struct store *s, struct mem_channel *c)
{
	if (c->cut_top)
		TAILQ_REMOVE(&s->cut, c, in_cut);
	HASH_DEL(s->channels, c);
	free(c->ring);
	free(c);
}

/* Which options hold for it; set with each new table. */
static size_t namespace_index(const struct store *s, struct slice name)
{
	return (size_t)(namespace_find(s->namespaces, name) - s->namespaces->ns);
}

static struct mem_channel *channel_make(struct store *s, struct slice name)
{
	struct mem_channel *c = xcalloc(1, sizeof(*c) + name.n);

	memcpy(c->name, name.p, name.n);
	c->name_n = (uint8_t)name.n;
	c->ns = namespace_index(s, name);
	c->floor = s->unknown_floor;
	HASH_ADD_KEYPTR(hh, s->channels, c->name, name.n, c);
	TAILQ_INSERT_TAIL(&s->empty, c, in_empty);
	s->empty_n++;
	return c;
}

static void ring_grow(struct mem_channel *c)
{
	size_t room = c->room ? c->room * 2 : RING_ROOM_MIN;
	struct item **ring = xmalloc(room * sizeof(struct item *));

	for (size_t i = 0; i < c->n; i++)
		ring[i] = channel_item(c, i);
	free(c->ring);
	c->ring = ring;
	c->room = room;
	c->first = 0;
}

/* Put the channel on the over list, or take it off, as its namespace says. */
static void channel_mark_over(struct store *s, struct mem_channel *c)
{
	uint64_t limit = s->namespaces->ns[c->ns].history_count;
	bool is_over = limit != 0 && c->n > limit;

	if (is_over && !c->is_over)
		TAILQ_INSERT_TAIL(&s->over, c, in_over);
	if (!is_over && c->is_over)
		TAILQ_REMOVE(&s->over, c, in_over);
	c->is_over = is_over;
}

/* Forget the channel that has been empty longest. Whoever asks for it later hears that everything
 * up to here is gone: true for it, and an honest "may be" for channels that never were. */
static void forget_one(struct store *s)
{
	struct mem_channel *c = TAILQ_FIRST(&s->empty);

	TAILQ_REMOVE(&s->empty, c, in_empty);
	s->empty_n--;
	if (c->head > s->unknown_floor)
		s->unknown_floor = c->head;
	channel_free(s, c);
}

static void remove_oldest(struct store *s, struct mem_channel *c)
{
	struct item *it = channel_item(c, 0);
	struct mem_namespace *ns = &s->ns[c->ns];

	c->first = (c->first + 1) & (c->room - 1);
	c->n--;
	c->bytes -= it->m->payload_n;
	c->floor = it->m->seq;
	ns->bytes -= it->m->payload_n;
	TAILQ_REMOVE(&ns->items, it, in_ns);
	expiry_remove(&s->expiry, &it->expiry);
	mem_log_remove(s, it);
	mem_note_cut(s, c);
	message_unref(it->m);
	free(it);
	channel_mark_over(s, c);
	if (c->n > 0)
		return;
	free(c->ring);
	c->ring = NULL;
	c->room = c->first = 0;
	TAILQ_INSERT_TAIL(&s->empty, c, in_empty);
	if (++s->empty_n > EMPTY_MAX)
		forget_one(s);
}

/* --- life ------------------------------------------------------------------------------------ */

static struct mem_namespace *namespaces_new(size_t n)
{
	struct mem_namespace *ns = xcalloc(n, sizeof(*ns));

	for (size_t i = 0; i < n; i++)
		TAILQ_INIT(&ns[i].items);
	return ns;
}

static int memory_open(const struct store_config *cfg, struct store **ret, struct problem *problem)
{
	struct store *s = xcalloc(1, sizeof(*s));
	pthread_rwlockattr_t attr;

	s->magic = STORE_MAGIC;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	int rc = pthread_rwlock_init(&s->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	if (rc != 0) {
		free(s);
		return problem_set(problem, -rc, "The memory engine got no lock: %s.",
				   strerror(rc));
	}
	s->namespaces = cfg->namespaces;
	s->ns = namespaces_new(s->namespaces->n);
	TAILQ_INIT(&s->over);
	TAILQ_INIT(&s->empty);
	TAILQ_INIT(&s->cut);
	mem_acks_init(&s->acks, cfg->ack_max);
	s->unknown_floor = cfg->first_seq > 1 ? cfg->first_seq - 1 : 0;
	epoch_make(&s->epoch);
	mem_dedup_init(&s->dedup, cfg->dedup_max);
	*ret = s;
	return 0;
}

static void memory_close(struct store *s)
{
	struct mem_channel *c, *next;

	if (s == NULL)
		return;
	CHECK_OBJ(s, STORE_MAGIC);
	HASH_ITER (hh, s->channels, c, next) {
		for (size_t i = 0; i < c->n; i++) {
			struct item *it = channel_item(c, i);
			message_unref(it->m);
			free(it);
		}
		channel_free(s, c);
	}
	mem_acks_fini(&s->acks);
	free(s->ns);
	free(s->log.entries);
	mem_dedup_fini(&s->dedup);
	expiry_fini(&s->expiry);
	pthread_rwlock_destroy(&s->lock);
	s->magic = 0;
	free(s);
}

static int memory_origin(struct store *s, struct store_origin *ret)
{
	CHECK_OBJ(s, STORE_MAGIC);
	*ret = (struct store_origin){
		.epoch = s->epoch, .top = s->top, .reserved = 0, .top_ts_ms = s->top_ts_ms};
	return 0;
}

/* Every start is a new epoch: there is nothing to remember. */
static int memory_reserve(struct store *s, uint64_t seq)
{
	CHECK_OBJ(s, STORE_MAGIC);
	UNUSED(seq);
	return 0;
}

/* --- the log thread's half ------------------------------------------------------------------- */

static void append_one(struct store *s, struct message *m)
{
	struct mem_channel *c = channel_find(s, message_channel(m));
	struct item *it = xcalloc(1, sizeof(*it));

	if (c == NULL)
		c = channel_make(s, message_channel(m));
	if (c->n == 0) {
		TAILQ_REMOVE(&s->empty, c, in_empty);
		s->empty_n--;
	}
	if (c->n == c->room)
		ring_grow(c);
	it->channel = c;
	it->m = message_ref(m);
	if (m->expires_ms != 0)
		expiry_add(&s->expiry, &it->expiry, m->expires_ms);
	c->ring[(c->first + c->n++) & (c->room - 1)] = it;
	c->bytes += m->payload_n;
	c->head = m->seq;
	c->head_ts_ms = m->ts_ms;
	TAILQ_INSERT_TAIL(&s->ns[c->ns].items, it, in_ns);
	s->ns[c->ns].bytes += m->payload_n;
	mem_log_append(s, it);
	s->top = m->seq;
	s->top_ts_ms = m->ts_ms;
	channel_mark_over(s, c);
}

static int memory_append(struct store *s, struct message *const *batch, size_t n, bool sync)
{
	CHECK_OBJ(s, STORE_MAGIC);
	UNUSED(sync);
	pthread_rwlock_wrlock(&s->lock);
	for (size_t i = 0; i < s->staged_n; i++)
		mem_acks_put(&s->acks, s->staged[i]);
	s->staged_n = 0;
	for (size_t i = 0; i < n; i++) {
		assert(batch[i]->seq > s->top);
		append_one(s, batch[i]);
	}
	pthread_rwlock_unlock(&s->lock);
	mem_dedup_write(&s->dedup);
	return 0;
}

static int memory_find_key(struct store *s, struct slice channel, struct slice key,
			   struct dedup_row *ret)
{
	CHECK_OBJ(s, STORE_MAGIC);
	return mem_dedup_find_key(&s->dedup, channel, key, ret);
}

static int memory_find_producer(struct store *s, struct slice producer, struct dedup_row *ret)
{
	CHECK_OBJ(s, STORE_MAGIC);
	return mem_dedup_find_producer(&s->dedup, producer, ret);
}

static void memory_stage(struct store *s, const struct dedup_record *records, size_t n)
{
	CHECK_OBJ(s, STORE_MAGIC);
	s->dedup.staged = records;
	s->dedup.staged_n = n;
}

static int memory_head(struct store *s, struct slice channel, uint64_t *ret_seq)
{
	CHECK_OBJ(s, STORE_MAGIC);
	/* No lock: only this thread writes. */
	const struct mem_channel *c = channel_find(s, channel);
	*ret_seq = c ? c->head : 0;
	return 0;
}

/* The oldest message of the namespace when it has to go. */
static struct item *expired(const struct store *s, size_t i, int64_t now_ms)
{
	const struct namespace *ns = &s->namespaces->ns[i];
	struct item *it = TAILQ_FIRST(&s->ns[i].items);

	if (it == NULL)
		return NULL;
	if (ns->history_bytes != 0 && s->ns[i].bytes > ns->history_bytes)
		return it;
	if (ns->history_age_ms != 0 && it->m->ts_ms <= now_ms - (int64_t)ns->history_age_ms)
		return it;
	return NULL;
}

/* Put a marker in the place of what expired first, if its time is over. */
static bool expire_one(struct store *s, int64_t now_ms)
{
	struct expiry_entry *first = expiry_first(&s->expiry);

	if (first == NULL || first->at_ms > now_ms)
		return false;
	struct item *it = container_of(first, struct item, expiry);
	struct message *m = it->m;
	struct message *marker = message_new(&(struct message_spec){
		.channel = message_channel(m),
		.kind = MESSAGE_BINARY,
		.durability = (enum durability)m->durability,
	});
	if (marker == NULL)
		return false; /* no memory for it now: the message stays, and is not delivered */
	marker->seq = m->seq;
	marker->prev = m->prev;
	marker->ts_ms = m->ts_ms;
	marker->expires_ms = MESSAGE_MARKER;
	marker->born_us = 0;
	expiry_remove(&s->expiry, first);
	it->channel->bytes -= m->payload_n;
	s->ns[it->channel->ns].bytes -= m->payload_n;
	message_unref(m);
	it->m = marker;
	return true;
}

static int memory_trim(struct store *s, int64_t now_ms, size_t row_max, size_t *ret_n)
{
	struct mem_channel *c;
	struct item *it;
	size_t n = 0;

	CHECK_OBJ(s, STORE_MAGIC);
	pthread_rwlock_wrlock(&s->lock);
	while (n < row_max && (c = TAILQ_FIRST(&s->over)) != NULL) {
		remove_oldest(s, c);
		n++;
	}
	for (size_t i = 0; i < s->namespaces->n; i++) {
		while (n < row_max && (it = expired(s, i, now_ms)) != NULL) {
			remove_oldest(s, it->channel);
			n++;
		}
	}
	size_t expired = 0;
	while (expired < row_max && expire_one(s, now_ms))
		expired++;
	pthread_rwlock_unlock(&s->lock);
	bool more = mem_dedup_forget(&s->dedup, now_ms, row_max);
	more |= n == row_max || expired == row_max;
	*ret_n = n + expired;
	return more ? 1 : 0;
}

static int memory_purge(struct store *s, struct slice channel, uint64_t upto, size_t row_max,
			uint64_t *ret_n)
{
	size_t n = 0;
	int more = 0;

	CHECK_OBJ(s, STORE_MAGIC);
	pthread_rwlock_wrlock(&s->lock);
	struct mem_channel *c = channel_find(s, channel);
	/* The last one may take the channel with it: count first. */
	for (size_t left = c ? c->n : 0; left > 0 && channel_item(c, 0)->m->seq <= upto; left--) {
		if (n == row_max) {
			more = 1;
			break;
		}
		remove_oldest(s, c);
		n++;
	}
	pthread_rwlock_unlock(&s->lock);
	*ret_n = n;
	return more;
}

static int by_seq(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;

	return x->m->seq < y->m->seq ? -1 : x->m->seq > y->m->seq;
}

/* Deal all items out again: a channel may belong to another entry of the new table. */
static void deal_items(struct store *s, struct mem_namespace *old, size_t old_n)
{
	struct item **all = NULL;
	struct item *it;
	size_t n = 0, room = 0;

	for (size_t i = 0; i < old_n; i++) {
		TAILQ_FOREACH (it, &old[i].items, in_ns) {
			if (n == room) {
				room = room ? room * 2 : 1024;
				all = xrealloc(all, room * sizeof(struct item *));
			}
			all[n++] = it;
		}
	}
	if (n > 0)
		qsort(all, n, sizeof(struct item *), by_seq);
	for (size_t i = 0; i < n; i++) {
		struct mem_namespace *ns = &s->ns[all[i]->channel->ns];
		TAILQ_INSERT_TAIL(&ns->items, all[i], in_ns);
		ns->bytes += all[i]->m->payload_n;
	}
	free(all);
}

static int memory_set_namespaces(struct store *s, const struct namespace_table *t)
{
	struct mem_channel *c, *next;

	CHECK_OBJ(s, STORE_MAGIC);
	pthread_rwlock_wrlock(&s->lock);
	struct mem_namespace *old = s->ns;
	size_t old_n = s->namespaces->n;
	s->namespaces = t;
	s->ns = namespaces_new(t->n);
	HASH_ITER (hh, s->channels, c, next) {
		c->ns = namespace_index(s, slice_make(c->name, c->name_n));
		channel_mark_over(s, c);
	}
	deal_items(s, old, old_n);
	free(old);
	pthread_rwlock_unlock(&s->lock);
	return 0;
}

static int memory_sizes(struct store *s, uint64_t *ret_db_bytes, uint64_t *ret_wal_bytes)
{
	CHECK_OBJ(s, STORE_MAGIC);
	*ret_db_bytes = 0;
	*ret_wal_bytes = 0;
	return 0;
}

/* --- the readers' half ----------------------------------------------------------------------- */

static int memory_reader_open(struct store *s, struct store_reader **ret)
{
	CHECK_OBJ(s, STORE_MAGIC);
	struct store_reader *r = xcalloc(1, sizeof(*r));
	r->magic = READER_MAGIC;
	r->s = s;
	*ret = r;
	return 0;
}

static void memory_reader_close(struct store_reader *r)
{
	if (r == NULL)
		return;
	CHECK_OBJ(r, READER_MAGIC);
	free(r->cursors);
	merge_fini(&r->merge);
	r->magic = 0;
	free(r);
}

/* Index of the first message with seq > after. */
static size_t first_after(const struct mem_channel *c, uint64_t after)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (channel_item(c, mid)->m->seq > after)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Index of the first of the newest n messages ≤ upto that have not expired; of the first beyond
 * upto when there are none. */
static size_t find_last(const struct mem_channel *c, uint64_t upto, uint32_t n)
{
	size_t end = first_after(c, upto), found = end;

	for (size_t i = end; i > 0 && n > 0; i--) {
		if (message_is_expired(channel_item(c, i - 1)->m))
			continue;
		found = i - 1;
		n--;
	}
	return found;
}

/* Answer the range's questions and put a cursor at its first row ≤ upto; false when there is none.
 */
static bool range_start(const struct store *s, struct store_range *range, uint64_t upto,
			struct mem_cursor *cur)
{
	const struct mem_channel *c = channel_find(s, range->channel);

	range->head = c ? c->head : 0;
	range->floor = c ? c->floor : s->unknown_floor;
	range->oldest = c && c->n > 0 ? channel_item(c, 0)->m->seq : 0;
	if (c == NULL) {
		if (range->last != 0)
			range->after = upto;
		return false;
	}
	cur->channel = c;
	if (range->last != 0) {
		cur->i = find_last(c, upto, range->last);
		range->after = cur->i < c->n && channel_item(c, cur->i)->m->seq <= upto
				       ? channel_item(c, cur->i)->m->seq - 1
				       : upto;
	} else {
		cur->i = first_after(c, range->after);
	}
	if (cur->i == c->n)
		return false;
	cur->item = channel_item(c, cur->i);
	cur->at.seq = cur->item->m->seq;
	return cur->at.seq <= upto;
}

/* Move the cursor; false when its channel holds nothing more up to upto. */
static bool cursor_next(struct mem_cursor *cur, uint64_t upto)
{
	if (++cur->i == cur->channel->n)
		return false;
	cur->item = channel_item(cur->channel, cur->i);
	cur->at.seq = cur->item->m->seq;
	return cur->at.seq <= upto;
}

static void read_rows(struct store_reader *r, struct store_read *q, struct mem_scan *scan,
		      store_row_fn *row, void *arg)
{
	struct merge_cursor *top;
	size_t n = 0, bytes = 0;
	uint64_t given = 0;

	while ((top = merge_top(&r->merge)) != NULL && top->seq <= scan->limit &&
	       (top->seq == given || (n < q->row_max && (n == 0 || bytes < q->byte_max)))) {
		struct mem_cursor *cur = container_of(top, struct mem_cursor, at);
		/* a range may overlap a prefix */
		if (top->seq != given) {
			row(arg, message_ref(cur->item->m));
			given = top->seq;
			n++;
			bytes += cur->item->m->payload_n;
		}
		if (cur == &scan->cursor ? mem_scan_next(scan, q) : cursor_next(cur, q->upto))
			merge_sink(&r->merge);
		else
			merge_pop(&r->merge);
	}
	q->reached = top && top->seq <= scan->limit ? top->seq - 1 : scan->limit;
}

static int memory_read(struct store_reader *r, struct store_read *q, store_row_fn *row, void *arg)
{
	struct mem_scan scan = {.limit = q->upto};

	CHECK_OBJ(r, READER_MAGIC);
	if (q->range_n > r->room) {
		r->cursors = xrealloc(r->cursors, q->range_n * sizeof(*r->cursors));
		r->room = q->range_n;
	}
	merge_reset(&r->merge, q->range_n + 1);
	pthread_rwlock_rdlock(&r->s->lock);
	if (mem_scan_start(r->s, q, &scan)) {
		for (size_t i = 0; i < q->range_n; i++) {
			if (!q->ranges[i].is_prefix &&
			    range_start(r->s, &q->ranges[i], q->upto, &r->cursors[i]))
				merge_push(&r->merge, &r->cursors[i].at);
		}
		if (scan.has_prefix && mem_scan_next(&scan, q))
			merge_push(&r->merge, &scan.cursor.at);
		read_rows(r, q, &scan, row, arg);
	} else {
		q->reached = 0;
	}
	pthread_rwlock_unlock(&r->s->lock);
	q->scanned = scan.looked;
	return 0;
}

static void channel_describe(const struct mem_channel *c, struct channel_info *ret)
{
	*ret = (struct channel_info){
		.head = c->head,
		.floor = c->floor,
		.count = c->n,
		.bytes = c->bytes,
	};
	if (c->n > 0) {
		ret->oldest = channel_item(c, 0)->m->seq;
		ret->oldest_ts_ms = channel_item(c, 0)->m->ts_ms;
		ret->head_ts_ms = c->head_ts_ms;
	}
}

static int memory_channel(struct store_reader *r, struct slice channel, struct channel_info *ret)
{
	CHECK_OBJ(r, READER_MAGIC);
	pthread_rwlock_rdlock(&r->s->lock);
	const struct mem_channel *c = channel_find(r->s, channel);
	if (c != NULL)
		channel_describe(c, ret);
	else
		*ret = (struct channel_info){.floor = r->s->unknown_floor};
	pthread_rwlock_unlock(&r->s->lock);
	return 0;
}

static int slice_compare(struct slice a, struct slice b)
{
	int rc = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return rc != 0 ? rc : (a.n > b.n) - (a.n < b.n);
}

static int by_name(const void *a, const void *b)
{
	const struct mem_channel *x = *(struct mem_channel *const *)a;
	const struct mem_channel *y = *(struct mem_channel *const *)b;

	return slice_compare(slice_make(x->name, x->name_n), slice_make(y->name, y->name_n));
}

static int memory_channels(struct store_reader *r, struct slice prefix, struct slice after,
			   size_t max,
			   void (*row)(void *arg, struct slice name, const struct channel_info *),
			   void *arg)
{
	struct mem_channel *c, *next;
	size_t n = 0;

	CHECK_OBJ(r, READER_MAGIC);
	pthread_rwlock_rdlock(&r->s->lock);
	struct mem_channel **all = xcalloc(HASH_COUNT(r->s->channels) + 1, sizeof(*all));
	HASH_ITER (hh, r->s->channels, c, next) {
		struct slice name = slice_make(c->name, c->name_n);
		if (name.n >= prefix.n && memcmp(name.p, prefix.p, prefix.n) == 0 &&
		    slice_compare(name, after) > 0)
			all[n++] = c;
	}
	qsort(all, n, sizeof(*all), by_name);
	for (size_t i = 0; i < n && i < max; i++) {
		struct channel_info info;
		channel_describe(all[i], &info);
		row(arg, slice_make(all[i]->name, all[i]->name_n), &info);
	}
	free(all);
	pthread_rwlock_unlock(&r->s->lock);
	return 0;
}

static int memory_backup(struct store_reader *r, const char *path, struct problem *problem)
{
	CHECK_OBJ(r, READER_MAGIC);
	UNUSED(path);
	return problem_set(problem, -ENOTSUP,
			   "The memory engine has nothing on disk to back up; set engine = sqlite "
			   "for a log that outlives the process.");
}

/* --- positions of durable subscribers -------------------------------------------------------- */

static void memory_ack_stage(struct store *s, struct store_ack *const *acks, size_t n)
{
	CHECK_OBJ(s, STORE_MAGIC);
	s->staged = acks;
	s->staged_n = n;
}

static int memory_ack_forget(struct store *s, const struct store_ack *acks, size_t n)
{
	CHECK_OBJ(s, STORE_MAGIC);
	pthread_rwlock_wrlock(&s->lock);
	mem_acks_forget(&s->acks, acks, n);
	pthread_rwlock_unlock(&s->lock);
	return 0;
}

static int memory_ack_scan(struct store *s, const struct store_ack_range *range, store_ack_fn *row,
			   void *arg)
{
	CHECK_OBJ(s, STORE_MAGIC);
	/* No lock: only this thread writes. */
	mem_acks_list(&s->acks, range, row, arg);
	return 0;
}

static int memory_ack_standing(struct store *s, struct slice channel, struct channel_info *ret)
{
	CHECK_OBJ(s, STORE_MAGIC);
	const struct mem_channel *c = channel_find(s, channel);
	*ret = (struct channel_info){.floor = s->unknown_floor};
	if (c != NULL)
		channel_describe(c, ret);
	return 0;
}

static int memory_ack_list(struct store_reader *r, const struct store_ack_range *range,
			   store_ack_fn *row, void *arg)
{
	CHECK_OBJ(r, READER_MAGIC);
	pthread_rwlock_rdlock(&r->s->lock);
	mem_acks_list(&r->s->acks, range, row, arg);
	pthread_rwlock_unlock(&r->s->lock);
	return 0;
}

static int memory_ack_behind(struct store_reader *r, struct slice channel, uint64_t after,
			     size_t max, uint64_t *ret_n)
{
	CHECK_OBJ(r, READER_MAGIC);
	pthread_rwlock_rdlock(&r->s->lock);
	const struct mem_channel *c = channel_find(r->s, channel);
	size_t n = c ? c->n - first_after(c, after) : 0;
	pthread_rwlock_unlock(&r->s->lock);
	*ret_n = n < max ? n : max;
	return 0;
}

const struct store_engine memory_engine = {
	.ops =
		{
			.name = "memory",
			.open = memory_open,
			.close = memory_close,
			.append = memory_append,
			.head = memory_head,
			.trim = memory_trim,
			.reader_open = memory_reader_open,
			.reader_close = memory_reader_close,
			.read = memory_read,
		},
	.admin =
		{
			.channels = memory_channels,
			.channel = memory_channel,
			.purge = memory_purge,
			.backup = memory_backup,
			.set_namespaces = memory_set_namespaces,
			.sizes = memory_sizes,
		},
	.ack =
		{
			.stage = memory_ack_stage,
			.forget = memory_ack_forget,
			.scan = memory_ack_scan,
			.standing = memory_ack_standing,
			.list = memory_ack_list,
			.behind = memory_ack_behind,
		},
	.dedup =
		{
			.find_key = memory_find_key,
			.find_producer = memory_find_producer,
			.stage = memory_stage,
		},
	.origin = memory_origin,
	.reserve = memory_reserve,
};
