/* SPDX-License-Identifier: MIT */
#include "tests/unit/store/sqlite_rig.h"

int sqlite_rig_set_up(void **state)
{
	struct sqlite_rig *f = calloc(1, sizeof(*f));

	f->e = store_engine_find("sqlite");
	test_folder_make(f->folder);
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->folder);
	f->namespaces = test_namespaces();
	*state = f;
	return 0;
}

int sqlite_rig_tear_down(void **state)
{
	struct sqlite_rig *f = *state;

	f->e->ops.close(f->s);
	test_rows_clear(&f->rows);
	namespace_table_unref(f->namespaces);
	test_folder_remove(f->folder);
	free(f);
	return 0;
}

int rig_try_open(struct sqlite_rig *f, const char *path)
{
	struct store_config cfg = {
		.path = path, .namespaces = f->namespaces, .first_seq = 1, .create = true};

	f->problem.text[0] = '\0';
	return f->e->ops.open(&cfg, &f->s, &f->problem);
}

void rig_open(struct sqlite_rig *f)
{
	if (rig_try_open(f, f->path) != 0)
		fail_msg("%s", f->problem.text);
}

void rig_close(struct sqlite_rig *f)
{
	f->e->ops.close(f->s);
	f->s = NULL;
}

void rig_fill(struct sqlite_rig *f, uint64_t from, size_t n)
{
	char payload[101];

	memset(payload, 'p', 100);
	payload[100] = '\0';
	for (size_t i = 0; i < n; i++)
		test_append(f->e, f->s, "a", from + i, 1, payload);
}

size_t rig_count_rows(struct sqlite_rig *f)
{
	struct store_reader *r;

	assert_int_equal(f->e->ops.reader_open(f->s, &r), 0);
	test_read_channel(f->e, r, "a", 0, &f->rows);
	size_t n = f->rows.n;
	test_rows_clear(&f->rows);
	f->e->ops.reader_close(r);
	return n;
}
