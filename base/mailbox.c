/* SPDX-License-Identifier: MIT */
/*
 * mailbox: the only door between threads.
 *
 * DESIGN. A list behind one lock, and a flag: is the receiver asleep? It says so under the lock,
 * having seen that the list is empty; who posts then takes the flag back and wakes it. So nobody
 * makes a system call for a receiver that is awake: it looks at its box before it sleeps anyway. It
 * takes the whole list at once and handles it without the lock: a burst of a thousand letters costs
 * it one wake-up and one lock.
 *
 * A receiver with a loop is woken by an eventfd, which is edge-triggered and never read; one
 * without by a condition. Both after the lock was left, or on one processor the receiver would wake
 * up only to wait for it. Therefore a sender may still be on its way to wake a receiver that has
 * already taken the letter (STOP, say): mailbox_fini() waits for it.
 *
 * The lock is a leaf: nothing is called while it is held but list macros.
 */
#include "base/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/obj.h"

void mailbox_init(struct mailbox *mb)
{
	pthread_condattr_t attr;

	*mb = (struct mailbox){.fd = -1};
	STAILQ_INIT(&mb->letters);
	atomic_init(&mb->waker_n, 0);
	pthread_mutex_init(&mb->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&mb->arrived, &attr);
	pthread_cond_init(&mb->shrunk, &attr);
	pthread_condattr_destroy(&attr);
}

void mailbox_fini(struct mailbox *mb)
{
	/* A sender that is still on its way out: it has nothing left to do but to leave. */
	while (atomic_load(&mb->waker_n) > 0)
		sched_yield();
	pthread_mutex_lock(&mb->lock);
	assert(STAILQ_EMPTY(&mb->letters) && mb->event == NULL);
	pthread_mutex_unlock(&mb->lock);
	if (mb->fd >= 0)
		close(mb->fd);
	mb->fd = -1;
	pthread_cond_destroy(&mb->arrived);
	pthread_cond_destroy(&mb->shrunk);
	pthread_mutex_destroy(&mb->lock);
}

static void wake(struct mailbox *mb)
{
	uint64_t one = 1;

	if (mb->fd < 0)
		pthread_cond_signal(&mb->arrived);
	else if (write(mb->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		assert(!"an eventfd takes 2^64 of them");
	atomic_fetch_sub(&mb->waker_n, 1);
}

void mailbox_post_all(struct mailbox *mb, struct letter_list *letters, size_t n)
{
	assert(n > 0);
	pthread_mutex_lock(&mb->lock);
	bool must_wake = mb->is_asleep;
	if (must_wake)
		atomic_fetch_add(&mb->waker_n, 1);
	mb->is_asleep = false;
	STAILQ_CONCAT(&mb->letters, letters);
	mb->count += n;
	pthread_mutex_unlock(&mb->lock);
	if (must_wake)
		wake(mb);
}

void mailbox_post(struct mailbox *mb, struct letter *l)
{
	struct letter_list one = STAILQ_HEAD_INITIALIZER(one);

	STAILQ_INSERT_TAIL(&one, l, link);
	mailbox_post_all(mb, &one, 1);
}

size_t mailbox_count(struct mailbox *mb)
{
	size_t n;

	pthread_mutex_lock(&mb->lock);
	n = mb->count;
	pthread_mutex_unlock(&mb->lock);
	return n;
}

size_t mailbox_take(struct mailbox *mb, struct letter_list *ret)
{
	size_t n;

	pthread_mutex_lock(&mb->lock);
	n = mb->count;
	mb->is_asleep = false;
	if (n > 0) {
		STAILQ_CONCAT(ret, &mb->letters);
		mb->count = 0;
		pthread_cond_broadcast(&mb->shrunk);
	}
	pthread_mutex_unlock(&mb->lock);
	return n;
}

/* The kernel's clock, not clock.h: the kernel waits by it, and it never stands still. */
static struct timespec real_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts;
}

static struct timespec deadline_in(int timeout_ms)
{
	struct timespec ts = real_now();

	ts.tv_sec += timeout_ms / 1000;
	ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

void mailbox_wait_below(struct mailbox *mb, size_t max, int timeout_ms)
{
	struct timespec deadline;
	int rc = 0;

	assert(timeout_ms >= 0);
	deadline = deadline_in(timeout_ms);
	pthread_mutex_lock(&mb->lock);
	while (mb->count > max && rc == 0)
		rc = pthread_cond_timedwait(&mb->shrunk, &mb->lock, &deadline);
	pthread_mutex_unlock(&mb->lock);
}

void mailbox_wait(struct mailbox *mb, int timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms < 0 ? 0 : timeout_ms);
	int rc = 0;

	assert(mb->fd < 0);
	pthread_mutex_lock(&mb->lock);
	while (STAILQ_EMPTY(&mb->letters) && rc == 0) {
		mb->is_asleep = true;
		rc = timeout_ms < 0 ? pthread_cond_wait(&mb->arrived, &mb->lock)
				    : pthread_cond_timedwait(&mb->arrived, &mb->lock, &deadline);
	}
	mb->is_asleep = false;
	pthread_mutex_unlock(&mb->lock);
}

/* --- receivers with a loop ------------------------------------------------------------------- */

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	UNUSED(arg); /* the turn that this begins opens the box */
}

static bool may_sleep(void *arg)
{
	struct mailbox *mb = arg;

	pthread_mutex_lock(&mb->lock);
	mb->is_asleep = STAILQ_EMPTY(&mb->letters);
	bool is_empty = mb->is_asleep;
	pthread_mutex_unlock(&mb->lock);
	return is_empty;
}

static void awake(void *arg)
{
	struct mailbox *mb = arg;

	pthread_mutex_lock(&mb->lock);
	mb->is_asleep = false;
	pthread_mutex_unlock(&mb->lock);
}

static bool open_box(void *arg)
{
	struct mailbox *mb = arg;
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	void (*fn)(struct letter *, void *) = mb->fn;
	void *fn_arg = mb->arg;

	/* What fn posts to this box waits until it is opened again. fn may detach the box and even
	 * free it: mb is not touched below, and the letters already taken are still handed out. */
	if (mailbox_take(mb, &letters) == 0)
		return false;
	while (!STAILQ_EMPTY(&letters)) {
		struct letter *l = STAILQ_FIRST(&letters);
		STAILQ_REMOVE_HEAD(&letters, link);
		fn(l, fn_arg);
	}
	return true;
}

void mailbox_attach(struct mailbox *mb, struct loop *l, void (*fn)(struct letter *, void *arg),
		    void *arg)
{
	assert(mb->event == NULL);
	mb->fn = fn;
	mb->arg = arg;
	mb->loop = l;
	if (mb->fd < 0)
		mb->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (mb->fd >= 0)
		mb->event = event_new(loop_event_base(l), mb->fd, EV_READ | EV_ET | EV_PERSIST,
				      on_woken, NULL);
	/* At start-up, and without it the thread is deaf: as in xalloc.c, there is no going on. */
	if (mb->event == NULL || event_add(mb->event, NULL) != 0) {
		log_error("out_of_descriptors", "");
		abort();
	}
	loop_set_inbox(l, &(struct loop_inbox){may_sleep, awake, open_box, mb});
}

void mailbox_detach(struct mailbox *mb)
{
	if (mb->event == NULL)
		return;
	event_free(mb->event);
	mb->event = NULL;
	loop_set_inbox(mb->loop, NULL);
}
