/* SPDX-License-Identifier: MIT */
/*
 * call.c: the plain way most commands talk to the daemon. An error message names what was tried,
 * why it was tried, what went wrong, and what to do.
 */
#include "cli/call.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/event.h"
#include "cli/say.h"

int call_unreachable(const struct cli *cli, const char *reason)
{
	const struct target *t = &cli->target;

	say("can not reach the daemon at %s: %s", t->name, reason);
	if (strcmp(t->origin, "default") != 0)
		say_more("That address was given by %s.", t->origin);
	else if (t->socket)
		say_more(
			"That is where a socket was found (neither --socket nor --url was given).");
	else
		say_more("Looked for %s, %s, then %s.", TARGET_SOCKET_HERE, TARGET_SOCKET_SYSTEM,
			 TARGET_URL_DEFAULT);
	if (t->socket && access(t->socket, F_OK) != 0)
		say_more(
			"There is no such socket. Start holdfastd, or name it with --socket PATH.");
	else if (t->socket && access(t->socket, W_OK) != 0)
		say_more(
			"You may not write to it: use its owner's account or group, or --url URL.");
	else
		say_more("Is holdfastd running there? Name another place with --socket PATH or "
			 "--url URL.");
	return CLI_UNREACHABLE;
}

int call_failed(const struct cli *cli, const struct http_reply *reply)
{
	struct buf text;

	switch (reply->result) {
	case HTTP_UNREACHABLE:
		return call_unreachable(cli, reply->reason);
	case HTTP_LOST:
	case HTTP_STALLED:
		say("the connection to %s was lost before the answer: %s", cli->target.name,
		    reply->reason);
		return CLI_UNREACHABLE;
	case HTTP_STOPPED:
		return CLI_REFUSED;
	case HTTP_ANSWERED:
		break;
	}
	if (reply->status == 200) {
		say("%s answered with something that is not Holdfast's JSON", cli->target.name);
		return CLI_REFUSED;
	}
	buf_init(&text, 0);
	http_refusal(reply, &text);
	say("%.*s", SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
	return CLI_REFUSED;
}

int call(struct cli *cli, const char *method, const struct buf *path, struct http_reply *ret_reply)
{
	struct http_request request = {.method = method, .path = buf_slice(path)};
	struct slice body;
	int rc;

	http_perform(&cli->http, &request, ret_reply);
	body = buf_slice(&ret_reply->body);
	if (ret_reply->result == HTTP_ANSWERED && ret_reply->status == 200 &&
	    json_is_valid(body, NULL) && json_type_of(body) == JSON_OBJECT)
		return CLI_OK;
	rc = call_failed(cli, ret_reply);
	http_reply_fini(ret_reply);
	return rc;
}

void call_print_json(struct slice json)
{
	struct buf line;

	buf_init(&line, json.n + 1);
	event_show_json(json_trim(json), &line);
	fwrite(line.p, 1, line.n, stdout);
	buf_fini(&line);
}
