/* SPDX-License-Identifier: MIT */
#include "broker/outbox.h"

#include <stdlib.h>

#include "base/xalloc.h"

static void post_stored(struct outbox *o)
{
	size_t n = o->stored_n;

	o->stored_n = 0;
	if (n > 0)
		history_append_all(o->history, &o->stored, n);
}

static void post_ephemeral(struct outbox *o)
{
	size_t n = o->ephemeral_n;

	o->ephemeral_n = 0;
	if (n > 0)
		history_announce(o->history, o->ephemeral, n, o->counters);
}

void outbox_post(struct outbox *o)
{
	/* While there is something ephemeral, what is stored was put in later. */
	post_ephemeral(o);
	post_stored(o);
}

static void on_stage_end(struct loop_task *t)
{
	outbox_post(container_of(t, struct outbox, post));
}

void outbox_init(struct outbox *o, struct loop *l, struct history *h, struct counters *counters)
{
	*o = (struct outbox){.loop = l, .history = h, .counters = counters};
	STAILQ_INIT(&o->stored);
	loop_task_init(&o->post, on_stage_end);
}

void outbox_fini(struct outbox *o)
{
	assert(o->stored_n == 0 && o->ephemeral_n == 0);
	loop_soon_cancel(o->loop, &o->post);
	free(o->ephemeral);
}

static void put_ephemeral(struct outbox *o, struct append *a)
{
	if (o->ephemeral_n == o->ephemeral_room) {
		o->ephemeral_room = o->ephemeral_room ? o->ephemeral_room * 2 : 64;
		o->ephemeral = xrealloc(o->ephemeral, o->ephemeral_room * sizeof(*o->ephemeral));
	}
	o->ephemeral[o->ephemeral_n++] = a;
}

static int put_stored(struct outbox *o, struct append *a)
{
	int rc = history_admit(o->history, a);

	if (rc != 0)
		return rc;
	STAILQ_INSERT_TAIL(&o->stored, &a->letter, link);
	o->stored_n++;
	o->under_way++;
	a->is_counted = true;
	return 0;
}

int outbox_put(struct outbox *o, struct append *a)
{
	int rc = 0;

	if (o->under_way == 0 && history_takes_short_way(o->history, a))
		put_ephemeral(o, a);
	else
		rc = put_stored(o, a);
	if (rc == 0)
		loop_soon(o->loop, &o->post);
	return rc;
}

void outbox_note_back(struct outbox *o, struct append *a)
{
	o->under_way -= a->is_counted;
}
