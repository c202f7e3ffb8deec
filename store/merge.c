/* SPDX-License-Identifier: MIT */
/*
 * merge: a binary heap of cursors, smallest seq first.
 *
 * DESIGN: heap[0] is the smallest; the children of i are 2i+1 and 2i+2. The engines move the top
 * cursor themselves and then say merge_sink() or merge_pop(); nothing else ever changes a seq.
 */
#include "store/merge.h"

#include <stdlib.h>

#include "base/obj.h"
#include "base/xalloc.h"

void merge_reset(struct merge *m, size_t n)
{
	m->n = 0;
	if (n > m->room) {
		m->heap = xrealloc(m->heap, n * sizeof(struct merge_cursor *));
		m->room = n;
	}
}

void merge_fini(struct merge *m)
{
	free(m->heap);
	m->heap = NULL;
	m->n = m->room = 0;
}

void merge_push(struct merge *m, struct merge_cursor *c)
{
	size_t i = m->n++;

	assert(m->n <= m->room);
	while (i > 0 && m->heap[(i - 1) / 2]->seq > c->seq) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = c;
}

struct merge_cursor *merge_top(const struct merge *m)
{
	return m->n > 0 ? m->heap[0] : NULL;
}

void merge_sink(struct merge *m)
{
	struct merge_cursor *c = m->heap[0];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= m->n)
			break;
		if (child + 1 < m->n && m->heap[child + 1]->seq < m->heap[child]->seq)
			child++;
		if (m->heap[child]->seq >= c->seq)
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = c;
}

void merge_pop(struct merge *m)
{
	assert(m->n > 0);
	m->heap[0] = m->heap[--m->n];
	if (m->n > 0)
		merge_sink(m);
}
