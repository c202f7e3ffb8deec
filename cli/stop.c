/* SPDX-License-Identifier: MIT */
/*
 * stop.c: a signalfd instead of a handler: it can be polled together with the socket, so no signal
 * falls between a check and a wait.
 */
#include "cli/stop.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"

static int stop_fd = -1;
static bool was_asked;

static void signals_of_stop(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

int stop_open(void)
{
	sigset_t set;

	signals_of_stop(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stop_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	/* Without it (no descriptors left?) the signals must not be lost: let them kill. */
	if (stop_fd < 0)
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	return stop_fd;
}

bool stop_asked(void)
{
	struct signalfd_siginfo info;
	sigset_t set;

	if (!was_asked && stop_fd >= 0 && read(stop_fd, &info, sizeof(info)) == sizeof(info)) {
		was_asked = true;
		signals_of_stop(&set);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	return was_asked;
}

bool stop_wait(uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (!stop_asked()) {
		struct pollfd p = {.fd = stop_fd, .events = POLLIN};
		uint64_t now = clock_mono_ms();
		if (now >= end)
			break;
		poll(&p, 1, end - now > 60000 ? 60000 : (int)(end - now));
	}
	return was_asked;
}
