/* SPDX-License-Identifier: MIT */
/* store_test: see store_test.h. */
#include "tests/unit/store/store_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

void test_folder_make(char folder[64])
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, 64, "%.40s/holdfast-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(folder));
}

static size_t walk(const char *folder, int remove)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		if (remove && unlinkat(dirfd(d), e->d_name, 0) != 0)
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
	return n;
}

void test_folder_remove(const char *folder)
{
	walk(folder, 1);
	rmdir(folder);
}

size_t test_folder_count(const char *folder)
{
	return walk(folder, 0);
}

struct namespace_table *test_namespaces(void)
{
	struct namespace_table *t = namespace_table_new(6);

	for (size_t i = 0; i < t->n; i++)
		t->ns[i].durability = DURABILITY_COMMIT;
	strcpy(t->ns[1].name, "few");
	t->ns[1].history_count = 3;
	strcpy(t->ns[2].name, "young");
	t->ns[2].history_age_ms = 1000;
	strcpy(t->ns[3].name, "small");
	t->ns[3].history_bytes = 100;
	strcpy(t->ns[4].name, "ram");
	t->ns[4].durability = DURABILITY_MEMORY;
	strcpy(t->ns[5].name, "safe");
	t->ns[5].durability = DURABILITY_SYNC;
	return t;
}

struct message *test_message(const char *channel, uint64_t seq, uint64_t prev, int64_t ts_ms,
			     const char *payload)
{
	struct message *m = message_new(&(struct message_spec){
		.channel = slice_str(channel),
		.payload = slice_str(payload),
		.kind = MESSAGE_TEXT,
		.durability = DURABILITY_COMMIT,
	});

	assert_non_null(m);
	m->seq = seq;
	m->prev = prev;
	m->ts_ms = ts_ms;
	return m;
}

void test_append(const struct store_engine *e, struct store *s, const char *channel, uint64_t seq,
		 int64_t ts_ms, const char *payload)
{
	uint64_t head;

	assert_int_equal(e->ops.head(s, slice_str(channel), &head), 0);
	struct message *m = test_message(channel, seq, head, ts_ms, payload);
	assert_int_equal(e->ops.append(s, &m, 1, false), 0);
	message_unref(m);
}

void test_row(void *arg, struct message *m)
{
	struct test_rows *r = arg;

	assert_true(r->n < sizeof(r->m) / sizeof(r->m[0]));
	r->m[r->n++] = m;
}

void test_rows_clear(struct test_rows *r)
{
	while (r->n > 0)
		message_unref(r->m[--r->n]);
}

void test_read_channel(const struct store_engine *e, struct store_reader *r, const char *channel,
		       uint64_t after, struct test_rows *ret)
{
	struct store_range range = {.channel = slice_str(channel), .after = after};
	struct store_read read = {.ranges = &range,
				  .range_n = 1,
				  .upto = INT64_MAX,
				  .row_max = 4096,
				  .byte_max = SIZE_MAX};

	ret->n = 0;
	assert_int_equal(e->ops.read(r, &read, test_row, ret), 0);
	assert_true(read.reached == read.upto);
}

size_t test_trim(const struct store_engine *e, struct store *s, int64_t now_ms, size_t row_max)
{
	size_t total = 0;
	int rc;

	do {
		size_t n = 0;
		rc = e->ops.trim(s, now_ms, row_max, &n);
		assert_true(rc >= 0);
		assert_true(n <= row_max);
		total += n;
	} while (rc > 0);
	return total;
}
