/* SPDX-License-Identifier: MIT */
/* frame: holds its bytes until the last reference is dropped (ASan proves the rest). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <string.h>

#include "base/frame.h"

static void test_new_frame(void **state)
{
	struct frame *f = frame_new(5);

	memcpy(f->bytes, "hello", 5);
	assert_int_equal(f->refs, 1);
	assert_int_equal(f->n, 5);
	assert_int_equal(f->seq, 0);
	assert_false(f->is_message);
	assert_null(frame_unref(f));
}

static void test_copies(void **state)
{
	struct frame *f = frame_copy(SLICE("abc"));

	assert_int_equal(f->n, 3);
	assert_memory_equal(f->bytes, "abc", 3);
	frame_unref(f);
	f = frame_copy(slice_make(NULL, 0));
	assert_int_equal(f->n, 0);
	frame_unref(f);
}

static void test_references(void **state)
{
	struct frame *f = frame_copy(SLICE("abc"));

	assert_ptr_equal(frame_ref(f), f);
	frame_unref(f);
	assert_int_equal(f->refs, 1);
	assert_memory_equal(f->bytes, "abc", 3);
	frame_unref(f);
	assert_null(frame_unref(NULL));
}

/* What is kept for the next frame is bounded, and given back. */
static void test_memory_is_used_again(void **state)
{
	enum { N = 3000, BYTES = 1000 };
	static struct frame *frames[N];
	size_t before = mallinfo2().uordblks;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			frames[i] = frame_new((size_t)(i % 2 ? BYTES : 3 * BYTES));
			memset(frames[i]->bytes, 'x', frames[i]->n);
		}
		for (int i = 0; i < N; i++)
			frame_unref(frames[i]);
	}
	assert_true(mallinfo2().uordblks <= before + (1100 << 10));
	frames_trim();
	assert_true(mallinfo2().uordblks <= before + (10 << 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_frame),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_memory_is_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
