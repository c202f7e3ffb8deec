/* SPDX-License-Identifier: MIT */
/*
 * target.c: the order in which a daemon is looked for. A default socket counts only when it exists
 * and may be written to: on a machine with a system-wide daemon, users without the right to
 * administer it still publish and subscribe over TCP.
 */
#include "cli/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/xalloc.h"

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static bool is_usable_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && access(path, W_OK) == 0;
}

static int set_socket(struct target *t, const char *path, const char *origin,
		      struct problem *problem)
{
	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return problem_set(problem, -EINVAL,
				   "the socket path of %s is too long for a Unix socket: %s",
				   origin, path);
	t->socket = xstrdup(path);
	t->url = xstrdup("http://localhost");
	t->origin = origin;
	snprintf(t->name, sizeof(t->name), "the socket %s", path);
	return 0;
}

static int set_url(struct target *t, const char *url, const char *origin, struct problem *problem)
{
	size_t n = strlen(url);

	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return problem_set(problem, -EINVAL,
				   "%s must begin with http:// or https://, not \"%s\"", origin,
				   url);
	while (n && url[n - 1] == '/')
		n--;
	t->url = xstrndup(url, n);
	t->origin = origin;
	snprintf(t->name, sizeof(t->name), "%s", t->url);
	return 0;
}

int target_find(struct target *t, const char *url, const char *socket, struct problem *problem)
{
	memset(t, 0, sizeof(*t));
	if (url && socket)
		return problem_set(problem, -EINVAL, "give --url or --socket, not both");
	if (socket)
		return set_socket(t, socket, "--socket", problem);
	if (url)
		return set_url(t, url, "--url", problem);
	if (env("HOLDFAST_SOCKET"))
		return set_socket(t, env("HOLDFAST_SOCKET"), "HOLDFAST_SOCKET", problem);
	if (env("HOLDFAST_URL"))
		return set_url(t, env("HOLDFAST_URL"), "HOLDFAST_URL", problem);
	if (is_usable_socket(TARGET_SOCKET_HERE))
		return set_socket(t, TARGET_SOCKET_HERE, "default", problem);
	if (is_usable_socket(TARGET_SOCKET_SYSTEM))
		return set_socket(t, TARGET_SOCKET_SYSTEM, "default", problem);
	return set_url(t, TARGET_URL_DEFAULT, "default", problem);
}

void target_fini(struct target *t)
{
	free(t->url);
	free(t->socket);
	t->url = NULL;
	t->socket = NULL;
}
