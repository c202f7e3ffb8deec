/* SPDX-License-Identifier: MIT */
/*
 * mailbox: the only door between threads.
 *
 * DESIGN. A list and an eventfd behind one lock, with one invariant: whenever the lock is free, the
 * eventfd is readable exactly while the list has letters. So a sender writes it only when the box
 * was empty, a receiver reads it only when it takes something, and a box that is attached to a loop
 * after letters came in needs no special case. The receiver takes the whole list at once and
 * handles it without the lock: a burst of a thousand letters costs it one wake-up and one lock.
 *
 * The eventfd is written under the lock on purpose. Were it written after, a receiver could take
 * the letter (STOP, say), end, and close the descriptor before the sender gets to its write, which
 * would then go into whatever file has got that number since.
 *
 * The lock is a leaf: nothing is called while it is held but list macros, read and write.
 */
#include "base/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/obj.h"

int mailbox_init(struct mailbox *mb)
{
	pthread_condattr_t attr;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*mb = (struct mailbox){.fd = fd};
	STAILQ_INIT(&mb->letters);
	pthread_mutex_init(&mb->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&mb->shrunk, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void mailbox_fini(struct mailbox *mb)
{
	/* Under the lock, so that a sender which is still on its way out has left. */
	pthread_mutex_lock(&mb->lock);
	assert(STAILQ_EMPTY(&mb->letters) && mb->event == NULL);
	pthread_mutex_unlock(&mb->lock);
	close(mb->fd);
	mb->fd = -1;
	pthread_cond_destroy(&mb->shrunk);
	pthread_mutex_destroy(&mb->lock);
}

static void wake_locked(struct mailbox *mb)
{
	uint64_t one = 1;
	ssize_t n = write(mb->fd, &one, sizeof(one));

	assert(n == (ssize_t)sizeof(one)); /* can only fail when the counter is full: it is 0 */
}

static void unwake_locked(struct mailbox *mb)
{
	uint64_t count;
	ssize_t n = read(mb->fd, &count, sizeof(count));

	assert(n == (ssize_t)sizeof(count));
}

void mailbox_post(struct mailbox *mb, struct letter *l)
{
	pthread_mutex_lock(&mb->lock);
	if (STAILQ_EMPTY(&mb->letters))
		wake_locked(mb);
	STAILQ_INSERT_TAIL(&mb->letters, l, link);
	mb->count++;
	pthread_mutex_unlock(&mb->lock);
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
	if (n > 0) {
		unwake_locked(mb);
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

/* Milliseconds until then, rounded up; 0 when it has passed. */
static int ms_until(struct timespec then)
{
	struct timespec now = real_now();
	int64_t ns = (int64_t)(then.tv_sec - now.tv_sec) * 1000000000 + then.tv_nsec - now.tv_nsec;

	return ns <= 0 ? 0 : (int)((ns + 999999) / 1000000);
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
	struct pollfd pfd = {.fd = mb->fd, .events = POLLIN};
	struct timespec deadline = deadline_in(timeout_ms < 0 ? 0 : timeout_ms);
	int left_ms = timeout_ms;

	/* Signals are handled elsewhere: sleep on. */
	while (poll(&pfd, 1, left_ms) < 0 && errno == EINTR) {
		if (timeout_ms >= 0)
			left_ms = ms_until(deadline);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *mb = arg;
	struct letter_list letters = STAILQ_HEAD_INITIALIZER(letters);
	void (*fn)(struct letter *, void *) = mb->fn;
	void *fn_arg = mb->arg;

	UNUSED(fd);
	UNUSED(what);
	/* What fn posts to this box waits for the next turn. fn may detach the box and even free
	 * it: mb is not touched below, and the letters already taken are still handed out. */
	mailbox_take(mb, &letters);
	while (!STAILQ_EMPTY(&letters)) {
		struct letter *l = STAILQ_FIRST(&letters);
		STAILQ_REMOVE_HEAD(&letters, link);
		fn(l, fn_arg);
	}
}

void mailbox_attach(struct mailbox *mb, struct loop *l, void (*fn)(struct letter *, void *arg),
		    void *arg)
{
	int rc;

	assert(mb->event == NULL);
	mb->fn = fn;
	mb->arg = arg;
	mb->event = event_new(loop_event_base(l), mb->fd, EV_READ | EV_PERSIST, on_readable, mb);
	/* At start-up, and without it the thread is deaf: as in xalloc.c, there is no going on. */
	assert(mb->event != NULL);
	rc = event_add(mb->event, NULL);
	assert(rc == 0);
}

void mailbox_detach(struct mailbox *mb)
{
	if (mb->event == NULL)
		return;
	event_free(mb->event);
	mb->event = NULL;
}
