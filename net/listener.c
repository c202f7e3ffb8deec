/* SPDX-License-Identifier: MIT */
/*
 * listener: addresses, listening sockets, and the accepting of connections for one worker.
 *
 * DESIGN. Every worker has a socket of its own on each TCP port (SO_REUSEPORT), so that the kernel
 * spreads connections and no lock is shared. The price of SO_REUSEPORT is that a second broker on
 * the same port would silently take half of the clients; so the first call for an address probes it
 * without that option.
 *
 * A socket with waiting connections stays readable, and accept fails at once when descriptors have
 * run out: an accept loop would spin. So the listener is either ARMED (event added) or PAUSED
 * (event removed, timer set); a freed connection (env->on_room) or the timer arms it again.
 * Listeners of one env form a list behind env->room_arg, because the room they wait for is the
 * same.
 *
 * It must never keep an event armed after a failure that will repeat itself, nor accept without end
 * while the connections it has already accepted wait.
 */
#include "net/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/obj.h"
#include "base/xalloc.h"

#define LISTENER_MAGIC 0x4c53544eu
#define ACCEPT_US      500  /* per event: the connections accepted want their turn too */
#define RETRY_MS       1000 /* descriptors may be freed by other threads, which do not tell us */

struct listener {
	unsigned magic;
	int fd;
	bool is_admin;
	bool is_paused;
	struct conn_env *env;
	void (*accept_fn)(void *arg, int fd, bool is_admin);
	void *arg;
	struct event event;
	struct loop_timer timer;
	struct listener *next; /* of the same env */
};

/* --- addresses ------------------------------------------------------------------------------- */

/* "host:port" → its parts; brackets around host are taken off. False when it has not that form. */
static bool split_address(const char *text, char host[256], unsigned *ret_port)
{
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text || !colon[1] || strlen(colon + 1) > 5)
		return false;
	*ret_port = 0;
	for (const char *p = colon + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		*ret_port = *ret_port * 10 + (unsigned)(*p - '0');
	}
	size_t n = (size_t)(colon - text);
	bool is_bracketed = text[0] == '[' && text[n - 1] == ']';
	if (*ret_port > 65535 || n >= 256 || (is_bracketed && n < 3) ||
	    (!is_bracketed && memchr(text, ':', n)))
		return false;
	snprintf(host, 256, "%.*s", (int)(is_bracketed ? n - 2 : n), text + is_bracketed);
	return true;
}

static bool host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcmp(host, "localhost") == 0;
}

int listen_address_parse(const char *text, struct listen_address *ret, struct problem *problem)
{
	struct listen_address a = {0};
	struct sockaddr_un un;
	char host[256];
	unsigned port;

	if (strlen(text) >= sizeof(a.text))
		return problem_set(problem, -EINVAL, "the listen address is too long");
	memcpy(a.text, text, strlen(text) + 1);
	if (strncmp(text, "unix:", 5) == 0) {
		if (text[5] != '/' || strlen(text + 5) >= sizeof(un.sun_path))
			return problem_set(
				problem, -EINVAL,
				"listen address '%s': after unix: an absolute path of at "
				"most %zu bytes is needed",
				text, sizeof(un.sun_path) - 1);
		a.is_unix = a.is_loopback = true;
	} else if (!split_address(text, host, &port)) {
		return problem_set(problem, -EINVAL,
				   "listen address '%s' is not of the form 127.0.0.1:8080, "
				   "[::1]:8080, *:8080, name:8080 or unix:/path",
				   text);
	} else {
		a.is_loopback = host_is_loopback(host);
	}
	*ret = a;
	return 0;
}

/* --- Unix sockets ---------------------------------------------------------------------------- */

/* Remove a socket file that nobody listens on. */
static int remove_stale(const struct sockaddr_un *un, struct problem *problem)
{
	struct stat st;
	const char *path = un->sun_path;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0
				       : problem_set(problem, -errno, "cannot look at %s: %s", path,
						     strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return problem_set(problem, -EEXIST,
				   "%s exists and is no socket; remove it or use another path",
				   path);
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return problem_set(problem, -errno, "cannot make a socket: %s", strerror(errno));
	int err = connect(probe, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;
	close(probe);
	if (err != ECONNREFUSED)
		return problem_set(problem, -EADDRINUSE,
				   "another process listens on %s; stop it or use another path",
				   path);
	if (unlink(path) != 0 && errno != ENOENT)
		return problem_set(problem, -errno, "cannot remove the stale socket %s: %s", path,
				   strerror(errno));
	return 0;
}

static int listen_unix(const char *path, int backlog, unsigned mode, struct problem *problem)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	int err = remove_stale(&un, problem);
	if (err < 0)
		return err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return problem_set(problem, -errno, "cannot make a socket: %s", strerror(errno));
	/* fchmod: from its first moment the file is no more open than it should be; chmod: nor
	 * less, whatever the umask says. */
	if (fchmod(fd, mode) != 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 ||
	    chmod(path, mode) != 0 || listen(fd, backlog) != 0) {
		err = problem_set(problem, -errno,
				  "cannot listen on %s: %s; check that its folder exists and may "
				  "be written to",
				  path, strerror(errno));
		close(fd);
		return err;
	}
	return fd;
}

/* --- TCP ------------------------------------------------------------------------------------- */

struct tcp_address {
	struct sockaddr_storage ss;
	socklen_t n;
	bool is_dual; /* IPv6 socket for both families */
};

static void set_port(struct tcp_address *t, uint16_t port)
{
	if (t->ss.ss_family == AF_INET)
		((struct sockaddr_in *)&t->ss)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)&t->ss)->sin6_port = htons(port);
}

static uint16_t get_port(const struct tcp_address *t)
{
	if (t->ss.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&t->ss)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)&t->ss)->sin6_port);
}

static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int resolve(const char *host, struct tcp_address *ret, struct problem *problem)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	*ret = (struct tcp_address){0};
	if (strcmp(host, "*") == 0) {
		ret->is_dual = has_ipv6();
		host = ret->is_dual ? "::" : "0.0.0.0";
	}
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1"; /* whichever family the resolver would put first */
	int err = getaddrinfo(host, "0", &hints, &found);
	if (err != 0)
		return problem_set(problem, -EINVAL, "cannot resolve the listen address '%s': %s",
				   host, gai_strerror(err));
	memcpy(&ret->ss, found->ai_addr, found->ai_addrlen);
	ret->n = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* A bound socket, or -errno. is_shared: other sockets of ours may have the port too. */
static int bind_tcp(const struct tcp_address *t, bool is_shared)
{
	int one = 1, only_v6 = !t->is_dual;
	int fd = socket(t->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
	    (t->ss.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) != 0) ||
	    bind(fd, (const struct sockaddr *)&t->ss, t->n) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int listen_tcp(struct tcp_address *t, bool is_first, int backlog)
{
	if (is_first && get_port(t) != 0) {
		int probe = bind_tcp(t, false);
		if (probe < 0)
			return probe;
		close(probe);
	}
	int fd = bind_tcp(t, true);
	if (fd < 0)
		return fd;
	t->n = sizeof(t->ss);
	if (listen(fd, backlog) != 0 || getsockname(fd, (struct sockaddr *)&t->ss, &t->n) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int listen_open(const struct listen_address *a, uint16_t *io_port, int backlog, unsigned unix_mode,
		struct problem *problem)
{
	struct tcp_address t;
	char host[256];
	unsigned port;

	if (a->is_unix)
		return listen_unix(a->text + 5, backlog, unix_mode, problem);
	if (!split_address(a->text, host, &port))
		return problem_set(problem, -EINVAL, "listen address '%s' is malformed", a->text);
	int err = resolve(host, &t, problem);
	if (err < 0)
		return err;
	bool is_first = !io_port || *io_port == 0;
	set_port(&t, is_first ? (uint16_t)port : *io_port);
	int fd = listen_tcp(&t, is_first, backlog);
	if (fd < 0)
		return problem_set(problem, fd, "cannot listen on %s: %s%s", a->text, strerror(-fd),
				   fd == -EADDRINUSE ? "; stop the process that does, or use "
						       "another port"
						     : "");
	if (io_port)
		*io_port = get_port(&t);
	return fd;
}

/* --- accepting ------------------------------------------------------------------------------- */

static void pause_accepting(struct listener *l, const char *why)
{
	if (l->is_paused)
		return;
	l->is_paused = true;
	event_del(&l->event);
	loop_timer_set(l->env->loop, &l->timer, RETRY_MS);
	count_inc(l->env->counters, COUNTER_ACCEPT_PAUSED);
	log_warn("accept-paused", "reason=%s connections=%zu", log_value(why), l->env->n);
}

static bool is_full(const struct listener *l)
{
	return !l->is_admin && l->env->max > 0 && l->env->n >= l->env->max;
}

static void resume_accepting(struct listener *l)
{
	if (!l->is_paused || is_full(l))
		return;
	l->is_paused = false;
	loop_timer_clear(l->env->loop, &l->timer);
	if (event_add(&l->event, NULL) != 0)
		pause_accepting(l, "the event loop takes no more descriptors");
}

static void on_retry(struct loop_timer *t)
{
	struct listener *l = container_of(t, struct listener, timer);
	CHECK_OBJ(l, LISTENER_MAGIC);
	if (is_full(l))
		loop_timer_set(l->env->loop, &l->timer, RETRY_MS);
	else
		resume_accepting(l);
}

static void on_room(struct conn_env *env)
{
	for (struct listener *l = env->room_arg; l; l = l->next)
		resume_accepting(l);
}

/* One connection. False when there is none or none can be taken. */
static bool accept_one(struct listener *l)
{
	if (is_full(l)) {
		pause_accepting(l, "max_connections is reached");
		return false;
	}
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		count_inc(l->env->counters, COUNTER_ACCEPTED);
		l->accept_fn(l->arg, fd, l->is_admin);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EINTR:
	case ECONNABORTED:
	case EPERM: /* a firewall's word */
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		/* The connection died in the queue (accept(2) passes its error on): the next may
		 * live. */
		return true;
	default:
		pause_accepting(l, strerror(errno)); /* EMFILE, ENFILE, ENOMEM and the like */
		return false;
	}
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	CHECK_OBJ(l, LISTENER_MAGIC);
	uint64_t end_us = clock_mono_us() + ACCEPT_US;
	while (l->fd >= 0 && accept_one(l) && clock_mono_us() < end_us)
		;
}

struct listener *listener_new(struct conn_env *env, int fd, bool is_admin,
			      void (*accept_fn)(void *arg, int fd, bool is_admin), void *arg)
{
	loop_assert(env->loop);
	struct listener *l = xcalloc(1, sizeof(*l));
	l->magic = LISTENER_MAGIC;
	l->fd = fd;
	l->is_admin = is_admin;
	l->env = env;
	l->accept_fn = accept_fn;
	l->arg = arg;
	l->next = env->room_arg;
	env->room_arg = l;
	env->on_room = on_room;
	loop_timer_init(&l->timer, on_retry);
	event_assign(&l->event, loop_event_base(env->loop), fd, EV_READ | EV_PERSIST, on_acceptable,
		     l);
	if (event_add(&l->event, NULL) != 0)
		pause_accepting(l, "the event loop takes no more descriptors");
	return l;
}

static void listener_forget(void *p)
{
	struct listener *l = p;
	CHECK_OBJ(l, LISTENER_MAGIC);
	l->magic = 0;
	free(l);
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	CHECK_OBJ(l, LISTENER_MAGIC);
	struct listener *first = l->env->room_arg;
	struct listener **at = &first;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	l->env->room_arg = first;
	event_del(&l->event);
	loop_timer_clear(l->env->loop, &l->timer);
	close(l->fd);
	l->fd = -1;
	loop_free_later(l->env->loop, l, listener_forget); /* we may be inside accept_fn */
}
