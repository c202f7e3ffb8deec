/* SPDX-License-Identifier: MIT */
/*
 * Reads of all channels with a prefix (store/store.h), asked of every engine and held against the
 * plainest possible store: an array, and a flag for what was removed. Channels are few or many, the
 * log is short or long, so that every way of reading is taken.
 */
#include "tests/unit/store/store_test.h"

#include <time.h>

#include "base/map.h"
#include "base/obj.h"

#define CHANNELS 320
#define ROUNDS   500

static const char *const engines[] = {"memory", "sqlite"};
static const char *const prefixes[] = {"few:", "few:c1", "many:", "many:c30", "p", "", "none:"};

struct fixture {
	const struct store_engine *e;
	char folder[64];
	char path[96];
	struct namespace_table *namespaces;
	struct store *s;
	struct store_reader *r;
	struct test_rows rows;
	unsigned seed;
	/* the model */
	size_t n;
	struct {
		size_t channel;
		uint64_t seq;
		bool is_gone;
		bool is_expired;
	} m[40000];
	char names[CHANNELS][16];
	uint64_t floors[CHANNELS];
};

static unsigned roll(struct fixture *f, unsigned n)
{
	f->seed = f->seed * 1664525u + 1013904223u;
	return (f->seed >> 8) % n;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct problem problem = {""};

	f->e = store_engine_find(*state);
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	struct store_config cfg = {
		.path = f->path, .namespaces = f->namespaces, .first_seq = 1, .create = true};
	if (f->e->ops.open(&cfg, &f->s, &problem) != 0)
		fail_msg("%s", problem.text);
	assert_int_equal(f->e->ops.reader_open(f->s, &f->r), 0);
	for (size_t i = 0; i < CHANNELS; i++)
		snprintf(f->names[i], sizeof(f->names[i]), "%s%zu",
			 i < 12   ? "few:c"
			 : i < 16 ? "p"
				  : "many:c",
			 i);
	f->seed = (unsigned)time(NULL);
	print_message("# seed %u\n", f->seed);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	test_rows_clear(&f->rows);
	f->e->ops.reader_close(f->r);
	f->e->ops.close(f->s);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

/* --- changes --------------------------------------------------------------------------------- */

static void append(struct fixture *f, size_t n, unsigned stride)
{
	struct message *batch[64];

	for (size_t i = 0; i < n; i++) {
		size_t c = roll(f, 4) ? roll(f, 16) : roll(f, CHANNELS);
		uint64_t seq = (f->n ? f->m[f->n - 1].seq : 0) + 1 + roll(f, stride);

		assert_true(f->n < ARRAY_LEN(f->m));
		batch[i] = test_message(f->names[c], seq, 0, 1, "x");
		f->m[f->n].channel = c;
		f->m[f->n].is_gone = false;
		/* its time is over, and trimming has not seen it yet */
		f->m[f->n].is_expired = roll(f, 5) == 0;
		if (f->m[f->n].is_expired)
			batch[i]->expires_ms = 1000;
		f->m[f->n++].seq = seq;
	}
	assert_int_equal(f->e->ops.append(f->s, batch, n, false), 0);
	for (size_t i = 0; i < n; i++)
		message_unref(batch[i]);
}

static void lose(struct fixture *f, size_t i)
{
	f->m[i].is_gone = true;
	if (f->m[i].seq > f->floors[f->m[i].channel])
		f->floors[f->m[i].channel] = f->m[i].seq;
}

static void trim(struct fixture *f)
{
	size_t kept[CHANNELS] = {0}, want = 0;

	for (size_t i = f->n; i-- > 0;) {
		size_t c = f->m[i].channel;
		if (c < 12 && !f->m[i].is_gone && kept[c]++ >= 3) {
			lose(f, i);
			want++;
		}
	}
	assert_int_equal(test_trim(f->e, f->s, 5, 64), want);
}

static void purge(struct fixture *f, size_t c)
{
	uint64_t n;

	for (size_t i = 0; i < f->n; i++)
		if (f->m[i].channel == c && !f->m[i].is_gone)
			lose(f, i);
	assert_int_equal(f->e->admin.purge(f->s, slice_str(f->names[c]), INT64_MAX, 100000, &n), 0);
}

/* --- reads ----------------------------------------------------------------------------------- */

static bool stands_for(const struct store_range *range, const char *name)
{
	return range->is_prefix ? strncmp(name, range->channel.p, range->channel.n) == 0
				: slice_eq_str(range->channel, name);
}

static void read_page(struct fixture *f, struct store_read *q)
{
	test_rows_clear(&f->rows);
	assert_int_equal(f->e->ops.read(f->r, q, test_row, &f->rows), 0);
}

/* The losses that the range was told are those that there are. */
static void check_losses(struct fixture *f, const struct store_range *range, uint64_t after)
{
	const struct store_losses *l = range->losses;
	size_t told = 0;

	for (size_t c = 0; c < CHANNELS; c++) {
		bool is_lost = f->floors[c] > after && stands_for(range, f->names[c]);
		bool is_told = false;

		for (size_t i = 0; l && i < l->n; i++) {
			struct slice name = slice_make(l->each[i].name, l->each[i].name_n);
			if (!slice_eq_str(name, f->names[c]))
				continue;
			is_told = true;
			assert_int_equal(l->each[i].floor, f->floors[c]);
		}
		if (is_lost) {
			assert_non_null(l);
			assert_true(range->floor >= f->floors[c]);
			assert_true(is_told || l->more);
		} else {
			assert_false(is_told);
		}
		told += is_told;
	}
	assert_int_equal(told, l ? l->n : 0);
}

/* Are the rows of this page just those that the ranges ask for? */
static void check_rows(struct fixture *f, const struct store_range *asked, size_t n,
		       uint64_t reached)
{
	size_t at = 0;

	for (size_t i = 0; i < f->n && f->m[i].seq <= reached; i++) {
		bool is_wanted = false;

		for (size_t k = 0; k < n; k++)
			is_wanted |= f->m[i].seq > asked[k].after &&
				     stands_for(&asked[k], f->names[f->m[i].channel]);
		if (!is_wanted || f->m[i].is_gone)
			continue;
		assert_true(at < f->rows.n);
		assert_int_equal(f->rows.m[at]->seq, f->m[i].seq);
		assert_true(
			slice_eq_str(message_channel(f->rows.m[at]), f->names[f->m[i].channel]));
		at++;
	}
	assert_int_equal(at, f->rows.n);
}

static void free_losses(struct store_range *ranges, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		free(ranges[k].losses);
		ranges[k].losses = NULL;
	}
}

static size_t make_ranges(struct fixture *f, struct store_range *ranges, uint64_t top)
{
	size_t n = 1 + roll(f, 3);

	memset(ranges, 0, n * sizeof(*ranges));
	for (size_t k = 0; k < n; k++) {
		ranges[k].is_prefix = k == 0 || roll(f, 2);
		ranges[k].channel =
			slice_str(ranges[k].is_prefix ? prefixes[roll(f, ARRAY_LEN(prefixes))]
						      : f->names[roll(f, 12)]);
		ranges[k].after = top ? roll(f, (unsigned)top + 2) : 0;
		for (size_t j = 0; j < k; j++)
			if (!ranges[k].is_prefix && slice_eq(ranges[j].channel, ranges[k].channel))
				return k;
	}
	return n;
}

static void read_all(struct fixture *f)
{
	uint64_t top = f->n ? f->m[f->n - 1].seq : 0;
	struct store_range ranges[3], asked[3];
	size_t n = make_ranges(f, ranges, top);
	struct store_read q = {
		.ranges = ranges,
		.range_n = n,
		.upto = roll(f, 4) ? top : roll(f, (unsigned)top + 5),
		.row_max = 1 + roll(f, 40),
		.byte_max = 1 + roll(f, 100),
		.scan_max = roll(f, 2) ? 1 + roll(f, 30) : 10000,
	};

	for (size_t page = 0;; page++) {
		uint64_t least = UINT64_MAX;

		assert_true(page < 50000);
		memcpy(asked, ranges, sizeof(asked));
		read_page(f, &q);
		check_rows(f, asked, n, q.reached);
		for (size_t k = 0; k < n; k++) {
			if (ranges[k].is_prefix)
				check_losses(f, &ranges[k], asked[k].after);
			least = asked[k].after < least ? asked[k].after : least;
		}
		free_losses(ranges, n);
		if (q.reached >= q.upto)
			break;
		assert_true(q.reached > least || f->rows.n);
		for (size_t k = 0; k < n; k++)
			ranges[k].after = q.reached > ranges[k].after ? q.reached : ranges[k].after;
	}
}

static void read_newest(struct fixture *f)
{
	uint64_t top = f->n ? f->m[f->n - 1].seq : 0;
	struct store_range range = {.is_prefix = true, .last = 1 + roll(f, 30)};
	struct store_read q = {
		.ranges = &range,
		.range_n = 1,
		.upto = roll(f, (unsigned)top + 5),
		.row_max = 1000,
		.byte_max = 100000,
		.scan_max = roll(f, 2) ? 1 + roll(f, 30) : 10000,
	};
	size_t left = range.last, pages = 0;
	uint64_t want = q.upto;

	range.channel = slice_str(prefixes[roll(f, ARRAY_LEN(prefixes))]);
	for (size_t i = f->n; i-- > 0 && left > 0;) {
		if (f->m[i].seq > q.upto || f->m[i].is_gone || f->m[i].is_expired ||
		    !stands_for(&range, f->names[f->m[i].channel]))
			continue;
		want = f->m[i].seq - 1;
		left--;
	}
	do {
		assert_true(pages++ < 50000);
		range.is_partial = false;
		read_page(f, &q);
		assert_true(!range.is_partial || f->rows.n == 0);
	} while (range.is_partial);
	/* when there are fewer, it may begin anywhere before them */
	if (left == 0)
		assert_true(range.after == want);
	else
		assert_true(range.after <= want);
	check_losses(f, &range, 0);
	struct store_range from = {
		.is_prefix = true, .channel = range.channel, .after = range.after};
	check_rows(f, &from, 1, q.reached);
	free_losses(&range, 1);
}

static void test_prefixes_against_a_model(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned dice = roll(f, 20);

		if (dice == 0)
			trim(f);
		else if (dice == 1)
			purge(f, roll(f, CHANNELS));
		else if (dice < 9)
			append(f, 1 + roll(f, 64), roll(f, 3) ? 3 : 400);
		else if (dice < 15)
			read_all(f);
		else
			read_newest(f);
	}
}

static void test_rare_matches_come_in_bounded_steps(void **state)
{
	struct fixture *f = *state;
	struct store_range range = {.is_prefix = true, .channel = SLICE("p")};
	struct store_read q = {
		.ranges = &range, .range_n = 1, .row_max = 10, .byte_max = 1000, .scan_max = 100};
	size_t steps = 0, rows = 0;

	for (uint64_t seq = 1; seq <= 1800; seq++) {
		const char *name = seq % 600 == 0 ? "p:x" : "other";
		test_append(f->e, f->s, name, seq, 1, "x");
	}
	q.upto = 1800;
	for (; range.after < q.upto; range.after = q.reached, steps++) {
		read_page(f, &q);
		assert_true(q.reached > range.after);
		assert_true(q.scanned <= 512);
		rows += f->rows.n;
	}
	assert_int_equal(rows, 3);
	assert_in_range(steps, 5, 40);
}

int main(void)
{
	struct CMUnitTest all[2 * ARRAY_LEN(engines)];
	char names[ARRAY_LEN(all)][80];
	size_t n = 0;

	map_seed();
	for (size_t e = 0; e < ARRAY_LEN(engines); e++) {
		for (int t = 0; t < 2; t++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", engines[e],
				 t ? "rare matches come in bounded steps"
				   : "prefixes against a model");
			all[n] = (struct CMUnitTest){names[n],
						     t ? test_rare_matches_come_in_bounded_steps
						       : test_prefixes_against_a_model,
						     setup, teardown, (void *)engines[e]};
		}
	}
	return cmocka_run_group_tests(all, NULL, NULL);
}
