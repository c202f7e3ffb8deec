/* SPDX-License-Identifier: MIT */
/*
 * power_loss: the machine goes down while the log is being written. Whatever the disk had not
 * synced is lost, kept or half there, by seed. What must hold of the log that is found afterwards:
 *
 *  - every message that was acknowledged at `sync` is there, and its batch is whole;
 *  - what is there is the beginning of what was written, without a hole;
 *  - no number is given out again that anybody has seen;
 *  - it is the same log: the epoch stays.
 *
 * DESIGN: the cut is made while the log thread and the checkpointer run, at a moment of their
 * choosing, from the list of writes that vfs_shim keeps. HOLDFAST_TEST_LONG=1 tries more seeds;
 * HOLDFAST_TEST_SEED=N tries one.
 */
#include "tests/unit/store/store_test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/map.h"
#include "base/obj.h"
#include "store/history.h"
#include "tests/fault/vfs_shim.h"

#define PATIENCE_MS 20000
#define SEEDS       120
#define SEEDS_LONG  4000
#define SEQ_MAX     20000

struct rig {
	char folder[64], path[96], cut[96];
	struct namespace_table *namespaces;
	struct history *h;
	struct mailbox box;
	unsigned seed, dice;
	size_t out;              /* appends on their way */
	uint64_t seen;           /* newest seq that was announced */
	bool is_synced[SEQ_MAX]; /* acknowledged at sync */
	uint8_t batch_of[SEQ_MAX]
			[2]; /* of a message: its place in its append, and how many there are */
	bool is_known[SEQ_MAX];
	uint64_t base; /* seq of is_synced[0] */
};

static unsigned roll(struct rig *r, unsigned n)
{
	r->dice = r->dice * 1664525u + 1013904223u;
	return (r->dice >> 16) % n;
}

static void on_receipt(struct append *a)
{
	struct rig *r = a->owner;

	assert_int_equal(a->error, 0);
	r->out--;
	for (size_t i = 0; i < a->n; i++) {
		const struct message *m = a->messages[i];
		if (m->durability == DURABILITY_MEMORY || m->durability == DURABILITY_EPHEMERAL)
			continue;
		uint64_t at = m->seq - r->base;
		assert_true(at < SEQ_MAX && !r->is_known[at]);
		r->is_known[at] = true;
		r->is_synced[at] = m->durability == DURABILITY_SYNC;
		r->batch_of[at][0] = (uint8_t)i;
		r->batch_of[at][1] = (uint8_t)a->n;
	}
	append_free(a);
}

static void take_letters(struct rig *r)
{
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	struct letter *l;

	mailbox_take(&r->box, &letters);
	while ((l = STAILQ_FIRST(&letters)) != NULL) {
		STAILQ_REMOVE_HEAD(&letters, link);
		if (l->kind == LETTER_QUERY) {
			struct query *q = container_of(l, struct query, letter);
			q->done(q);
			continue;
		}
		struct batch_letter *b = container_of(l, struct batch_letter, letter);
		struct append *a;
		if (b->batch->n > 0)
			r->seen = b->batch->head;
		while ((a = STAILQ_FIRST(&b->receipts)) != NULL) {
			STAILQ_REMOVE_HEAD(&b->receipts, receipt);
			a->done(a);
		}
		batch_letter_free(b);
	}
}

static void wait_letters(struct rig *r)
{
	mailbox_wait(&r->box, PATIENCE_MS);
	assert_true(mailbox_count(&r->box) > 0);
	take_letters(r);
}

static void publish(struct rig *r, size_t payload_n)
{
	static const struct {
		const char *name;
		enum durability d;
	} channels[] = {{"a", DURABILITY_COMMIT},    {"b", DURABILITY_COMMIT},
			{"safe:a", DURABILITY_SYNC}, {"ram:a", DURABILITY_MEMORY},
			{"c", DURABILITY_EPHEMERAL}, {"d", DURABILITY_COMMIT}};
	static char payload[4096];
	unsigned which = roll(r, ARRAY_LEN(channels));
	size_t n = 1 + roll(r, 4);
	struct append *a = append_new(n);

	memset(payload, 'x', sizeof(payload));
	a->reply_to = &r->box;
	a->owner = r;
	a->done = on_receipt;
	for (size_t i = 0; i < n; i++)
		a->messages[i] = message_new(
			&(struct message_spec){.channel = slice_str(channels[which].name),
					       .payload = slice_make(payload, payload_n),
					       .kind = MESSAGE_TEXT,
					       .durability = channels[which].d});
	assert_int_equal(history_append(r->h, a), 0);
	r->out++;
}

static void open_log(struct rig *r, const char *path)
{
	struct history_config cfg = {.engine = "sqlite",
				     .path = path,
				     .namespaces = r->namespaces,
				     .readers = 1,
				     .append_queue_bytes = 64 << 20,
				     .query_queue = 100,
				     .batch_messages = 64,
				     .worker_lag = 1000000};
	struct problem problem;

	if (history_open(&cfg, &r->h, &problem) != 0)
		fail_msg("seed %u: %s", r->seed, problem.text);
	history_add_worker(r->h, &r->box);
	assert_int_equal(history_start(r->h), 0);
}

static void close_log(struct rig *r)
{
	history_close(r->h);
	take_letters(r);
}

/* The file beside the database, as another boot would find it. */
static void copy_witness(struct rig *r)
{
	char name[128], text[256];
	int n, fd;

	snprintf(name, sizeof(name), "%s.incarnation", r->path);
	fd = open(name, O_RDONLY);
	n = (int)read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	char *boot = strstr(text, "\nboot ");
	assert_non_null(boot);
	boot[6] = boot[6] == '0' ? '1' : '0';
	snprintf(name, sizeof(name), "%s.incarnation", r->cut);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, (size_t)n), n);
	close(fd);
}

static struct query *answered;

static void on_rows(struct query *q)
{
	answered = q;
}

/* Everything of the channels that are on the disk. */
static struct query *read_all(struct rig *r)
{
	static const char *const names[] = {"a", "b", "safe:a", "d"};
	struct query *q = query_new(ARRAY_LEN(names));

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		query_set_channel(q, i, slice_str(names[i]));
	q->upto = INT64_MAX;
	q->row_max = SEQ_MAX;
	q->byte_max = SIZE_MAX;
	q->reply_to = &r->box;
	q->done = on_rows;
	answered = NULL;
	assert_int_equal(history_query(r->h, q), 0);
	while (answered == NULL)
		wait_letters(r);
	assert_int_equal(q->error, 0);
	return q;
}

static void judge(struct rig *r, uint64_t last_known, const bool *is_synced)
{
	struct query *q = read_all(r);
	uint64_t last = q->row_n ? q->rows[q->row_n - 1]->seq - r->base : 0;
	static bool is_there[SEQ_MAX];

	memset(is_there, 0, sizeof(is_there));
	for (size_t i = 0; i < q->row_n; i++)
		is_there[q->rows[i]->seq - r->base] = true;
	for (uint64_t at = 0; at <= last_known; at++) {
		if (is_synced[at] && !is_there[at])
			fail_msg("seed %u: %llu was acknowledged at sync and is gone", r->seed,
				 (unsigned long long)at);
		if (r->is_known[at] && at < last && !is_there[at])
			fail_msg("seed %u: a hole at %llu, before %llu", r->seed,
				 (unsigned long long)at, (unsigned long long)last);
	}
	if (q->row_n > 0 && r->is_known[last])
		assert_int_equal(r->batch_of[last][0] + 1, r->batch_of[last][1]);
	query_free(q);
}

static void one_seed(struct rig *r)
{
	static bool is_synced[SEQ_MAX];
	/* now and then enough for a checkpoint */
	bool is_long = r->seed % 12 == 0;
	size_t payload_n = is_long ? 4000 : 1 + roll(r, 600);
	unsigned n = is_long ? 800 + roll(r, 1200) : roll(r, 300);

	memset(r->is_known, 0, sizeof(r->is_known));
	memset(r->is_synced, 0, sizeof(r->is_synced));
	r->seen = 0;
	vfs_shim_install();
	open_log(r, r->path);
	r->base = history_start_head(r->h);
	struct epoch epoch = *history_epoch(r->h);
	for (unsigned i = 0; i < n; i++) {
		publish(r, payload_n);
		if (r->out > 1 + roll(r, 40))
			wait_letters(r);
	}
	/* What had been told when the power went; the log thread may be in the midst of the next.
	 */
	uint64_t seen = r->seen;
	memcpy(is_synced, r->is_synced, sizeof(is_synced));
	vfs_shim_power_cut(r->path, r->cut, r->seed);
	copy_witness(r);
	while (r->out > 0)
		wait_letters(r);
	close_log(r);
	uint64_t last_known = r->seen > r->base ? r->seen - r->base : 0;
	vfs_shim_uninstall();

	open_log(r, r->cut);
	if (history_start_head(r->h) < seen)
		fail_msg("seed %u: numbers go on from %llu, but %llu was seen", r->seed,
			 (unsigned long long)history_start_head(r->h), (unsigned long long)seen);
	assert_string_equal(history_epoch(r->h)->text, epoch.text);
	judge(r, last_known, is_synced);
	close_log(r);
}

static void remove_files(struct rig *r)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".incarnation"};
	char name[128];

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", r->path, suffixes[i]);
		unlink(name);
		snprintf(name, sizeof(name), "%s%s", r->cut, suffixes[i]);
		unlink(name);
	}
}

static void test_power_loss(void **state)
{
	const char *one = getenv("HOLDFAST_TEST_SEED");
	const char *is_long = getenv("HOLDFAST_TEST_LONG");
	unsigned seeds = is_long && *is_long ? SEEDS_LONG : SEEDS;
	struct rig *r = calloc(1, sizeof(*r));

	UNUSED(state);
	test_folder_make(r->folder);
	snprintf(r->path, sizeof(r->path), "%s/log.db", r->folder);
	snprintf(r->cut, sizeof(r->cut), "%s/cut.db", r->folder);
	r->namespaces = test_namespaces();
	mailbox_init(&r->box);
	for (unsigned i = 1; i <= seeds; i++) {
		r->seed = r->dice = one ? (unsigned)atoi(one) : i;
		one_seed(r);
		remove_files(r);
		if (one)
			break;
	}
	mailbox_fini(&r->box);
	namespace_table_unref(r->namespaces);
	test_folder_remove(r->folder);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_power_loss)};

	map_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
