/* SPDX-License-Identifier: MIT */
/*
 * load_options: one table of options, one usage text. What is not given is what Holdfast and floor
 * speak; peers are told apart by options only, or by a wire of their own.
 */
#include "bench/load_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load.h"
#include "bench/template.h"

/* clang-format off */
static const char usage_text[] =
	"usage: load --server HOST:PORT [OPTION...]\n"
	"Subscribes to a server that runs already, publishes, and tells what came, when, and what it cost the server.\n"
	"Exit code: 0 all came once and in order, 1 something did not, 2 the run was not possible.\n"
	"\n"
	"The server\n"
	"  --server HOST:PORT       numeric IPv4\n"
	"  --publish-server H:P     where publishers connect (as --server)\n"
	"  --pid PID[,PID...]       its processes; CPU time and memory of them and of all that descend from them\n"
	"  --counter NAME           a line of GET --metrics-path, read before and after; up to 8 of them\n"
	"  --metrics-path PATH      (/metrics)\n"
	"\n"
	"Subscribers\n"
	"  --transport NAME         ws, sse, longpoll, shortpoll (ws)\n"
	"  --subscribers N          connections, 0 to 60000 (1000)\n"
	"  --channels N             channels, 1 to 262144 (1): NAME, or NAME-0, NAME-1, ... if there are several\n"
	"  --channels-each K        of one subscriber (1): subscriber I has K from (I*K) modulo N on\n"
	"  --channel NAME           (bench)\n"
	"  --subscribe-path T       what is asked for (ws: /v1/ws?%q, sse: /v1/sse?%q, longpoll: /v1/poll?%q&since=%1&wait=25,\n"
	"                           shortpoll: without &wait); with --backlog &since=0 is added to ws and sse\n"
	"  --first-path T           polls: the first request, without a cursor (/v1/poll?%q); its answer makes a subscriber\n"
	"                           ready. Empty: it is as --subscribe-path, and a subscriber is ready when it was sent\n"
	"  --cursor TEXT            polls: what stands before a cursor in an answer, head or body (\"cursor\":\"); it ends before\n"
	"                           a quote, a comma or a line end. The first is %1, a second %2\n"
	"  --poll-ms N              short polls: from an answer to the next request (1000)\n"
	"  --header T               a further line of the head of each request; up to 8\n"
	"  --subscribe-text T       ws: a text frame to begin with\n"
	"  --ready TEXT             ws, sse: a subscriber is ready when this came (\"hello\"); empty: when the head of the\n"
	"                           answer came\n"
	"  --connecting N           how many connect at a time (100)\n"
	"  --sources N              source addresses 127.0.0.1, 127.0.0.2, ... (one per 5000 connections to 127.0.0.1)\n"
	"\n"
	"Publishers\n"
	"  --publish NAME           http, ws (http)\n"
	"  --publishers N           connections, 1 to 4096 (1); a message goes to the next that is free\n"
	"  --depth N                publishes without receipt on one of them (so many as --window needs)\n"
	"  --publish-path T         (http: /v1/publish?channel=%c, ws: /v1/ws)\n"
	"  --publish-method M       http (POST)\n"
	"  --publish-header T       a further line of the head; up to 8\n"
	"  --publish-text T         http: the body (%p); ws: a frame ({\"type\":\"publish\",\"channel\":\"%c\",\"data\":%p})\n"
	"  --ack TEXT               ws: each of these that comes is the receipt of a publish (\"type\":\"ok\"); empty: there are\n"
	"                           none, what was sent is taken as acknowledged\n"
	"  --binary                 ws: frames are binary\n"
	"  --bytes N                of a payload, 16 to 1000000 (128); 18 with json\n"
	"  --payload json|text      a JSON string in quotes, or without quotes (json)\n"
	"  --content-type TYPE      http (as the payload)\n"
	"\n"
	"What is done\n"
	"  --backlog N              publish N messages to each channel before anybody subscribes, and see that each\n"
	"                           subscriber gets them all\n"
	"  --messages N             then publish so many (1000; without a limit if there is --seconds)\n"
	"  --warm-up N              and before them so many that are not measured (a tenth)\n"
	"  --seconds S              stop publishing after so long\n"
	"  --window W               closed loop: messages in flight, 1 to 65536 (1)\n"
	"  --until WHAT             in flight until delivered (to all subscribers, and acknowledged) or acknowledged\n"
	"  --rate R                 open loop: messages per second, whatever comes back; latency counts from when a message\n"
	"                           was due\n"
	"  --settle S               wait after all have subscribed (0)\n"
	"  --hold S                 stay so long in the end, connected (0)\n"
	"  --give-up S              a message that did not come everywhere by then is not waited for (5)\n"
	"  --limit S                end the run after so long, whatever it does (300)\n"
	"  --cpu N                  run on this processor\n"
	"  --json                   figures as JSON\n"
	"  --phases                 tell on standard error what begins: connecting, ready, measuring, over\n"
	"SIGTERM ends publishing, and the figures follow. SIGUSR1 forgets the measurements so far and begins to measure.\n"
	"\n"
	"T is a text with fields: %c channel, %q channel=A&channel=B..., %p payload, %n its size, %i number of the\n"
	"subscriber, %1 %2 cursors, %% a percent sign, and \\r \\n \\t \\\\.\n";
/* clang-format on */

enum {
	O_SERVER,
	O_PUBLISH_SERVER,
	O_PID,
	O_COUNTER,
	O_METRICS_PATH,
	O_TRANSPORT,
	O_SUBSCRIBERS,
	O_CHANNELS,
	O_CHANNELS_EACH,
	O_CHANNEL,
	O_SUBSCRIBE_PATH,
	O_FIRST_PATH,
	O_CURSOR,
	O_POLL_MS,
	O_HEADER,
	O_SUBSCRIBE_TEXT,
	O_READY,
	O_CONNECTING,
	O_SOURCES,
	O_PUBLISH,
	O_PUBLISHERS,
	O_DEPTH,
	O_PUBLISH_PATH,
	O_PUBLISH_METHOD,
	O_PUBLISH_HEADER,
	O_PUBLISH_TEXT,
	O_ACK,
	O_BINARY,
	O_BYTES,
	O_PAYLOAD,
	O_CONTENT_TYPE,
	O_BACKLOG,
	O_MESSAGES,
	O_WARM_UP,
	O_SECONDS,
	O_WINDOW,
	O_UNTIL,
	O_RATE,
	O_SETTLE,
	O_HOLD,
	O_GIVE_UP,
	O_LIMIT,
	O_CPU,
	O_JSON,
	O_PHASES,
	O_HELP,
};

static const struct option table[] = {
	{"server", 1, NULL, O_SERVER},
	{"publish-server", 1, NULL, O_PUBLISH_SERVER},
	{"pid", 1, NULL, O_PID},
	{"counter", 1, NULL, O_COUNTER},
	{"metrics-path", 1, NULL, O_METRICS_PATH},
	{"transport", 1, NULL, O_TRANSPORT},
	{"subscribers", 1, NULL, O_SUBSCRIBERS},
	{"channels", 1, NULL, O_CHANNELS},
	{"channels-each", 1, NULL, O_CHANNELS_EACH},
	{"channel", 1, NULL, O_CHANNEL},
	{"subscribe-path", 1, NULL, O_SUBSCRIBE_PATH},
	{"first-path", 1, NULL, O_FIRST_PATH},
	{"cursor", 1, NULL, O_CURSOR},
	{"poll-ms", 1, NULL, O_POLL_MS},
	{"header", 1, NULL, O_HEADER},
	{"subscribe-text", 1, NULL, O_SUBSCRIBE_TEXT},
	{"ready", 1, NULL, O_READY},
	{"connecting", 1, NULL, O_CONNECTING},
	{"sources", 1, NULL, O_SOURCES},
	{"publish", 1, NULL, O_PUBLISH},
	{"publishers", 1, NULL, O_PUBLISHERS},
	{"depth", 1, NULL, O_DEPTH},
	{"publish-path", 1, NULL, O_PUBLISH_PATH},
	{"publish-method", 1, NULL, O_PUBLISH_METHOD},
	{"publish-header", 1, NULL, O_PUBLISH_HEADER},
	{"publish-text", 1, NULL, O_PUBLISH_TEXT},
	{"ack", 1, NULL, O_ACK},
	{"binary", 0, NULL, O_BINARY},
	{"bytes", 1, NULL, O_BYTES},
	{"payload", 1, NULL, O_PAYLOAD},
	{"content-type", 1, NULL, O_CONTENT_TYPE},
	{"backlog", 1, NULL, O_BACKLOG},
	{"messages", 1, NULL, O_MESSAGES},
	{"warm-up", 1, NULL, O_WARM_UP},
	{"seconds", 1, NULL, O_SECONDS},
	{"window", 1, NULL, O_WINDOW},
	{"until", 1, NULL, O_UNTIL},
	{"rate", 1, NULL, O_RATE},
	{"settle", 1, NULL, O_SETTLE},
	{"hold", 1, NULL, O_HOLD},
	{"give-up", 1, NULL, O_GIVE_UP},
	{"limit", 1, NULL, O_LIMIT},
	{"cpu", 1, NULL, O_CPU},
	{"json", 0, NULL, O_JSON},
	{"phases", 0, NULL, O_PHASES},
	{"help", 0, NULL, O_HELP},
	{NULL, 0, NULL, 0},
};

static double real_option(int option, const char *text, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= max))
		die("--%s is 0 to %.0f, not %s", table[option].name, max, text);
	return value;
}

static unsigned count_option(int option, const char *text, unsigned min, unsigned max)
{
	return (unsigned)number_option(table[option].name, text, min, max);
}

static bool choice_option(int option, const char *text, const char *yes, const char *no)
{
	if (strcmp(text, yes) != 0 && strcmp(text, no) != 0)
		die("--%s is %s or %s, not %s", table[option].name, yes, no, text);
	return strcmp(text, yes) == 0;
}

static const char *template_option(int option, const char *text)
{
	template_check(table[option].name, text);
	return text;
}

static void list_option(int option, const char *text, const char **list, unsigned *n)
{
	if (*n == HEADERS_MAX)
		die("--%s: too many", table[option].name);
	list[(*n)++] = text;
}

static void pid_option(struct load_options *o, const char *text)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *save = NULL, *p = strtok_r(copy, ",", &save); p;
	     p = strtok_r(NULL, ",", &save)) {
		if (o->pid_n == PIDS_MAX)
			die("--pid: too many");
		o->pids[o->pid_n++] = (pid_t)count_option(O_PID, p, 1, 1u << 30);
	}
}

static void take_server_option(struct load_options *o, int option, const char *text)
{
	switch (option) {
	case O_SERVER:
		o->server = text;
		break;
	case O_PUBLISH_SERVER:
		o->publish_server = text;
		break;
	case O_PID:
		pid_option(o, text);
		break;
	case O_COUNTER:
		list_option(option, text, o->counters, &o->counter_n);
		break;
	default:
		o->metrics_path = text;
	}
}

static void take_cursor(struct load_options *o, const char *text)
{
	if (o->cursor_n == 2)
		die("--cursor: at most two");
	o->cursors[o->cursor_n++] = text;
}

static void take_subscriber_option(struct load_options *o, int option, const char *text)
{
	switch (option) {
	case O_TRANSPORT:
		o->transport = wire_find(table[option].name, text);
		break;
	case O_SUBSCRIBERS:
		o->subscribers = count_option(option, text, 0, 60000);
		break;
	case O_CHANNELS:
		o->channels = count_option(option, text, 1, 1u << 18);
		break;
	case O_CHANNELS_EACH:
		o->channels_each = count_option(option, text, 1, 1000);
		break;
	case O_CHANNEL:
		o->channel = text;
		break;
	case O_SUBSCRIBE_PATH:
		o->subscribe_path = template_option(option, text);
		break;
	case O_FIRST_PATH:
		o->first_path = template_option(option, text);
		break;
	case O_CURSOR:
		take_cursor(o, text);
		break;
	case O_POLL_MS:
		o->poll_ms = count_option(option, text, 1, 3600000);
		break;
	case O_HEADER:
		list_option(option, template_option(option, text), o->headers, &o->header_n);
		break;
	case O_SUBSCRIBE_TEXT:
		o->subscribe_text = template_option(option, text);
		break;
	case O_READY:
		o->ready = text;
		break;
	case O_CONNECTING:
		o->connecting = count_option(option, text, 1, 60000);
		break;
	default:
		o->sources = count_option(option, text, 1, 250);
	}
}

static void take_publisher_option(struct load_options *o, int option, const char *text)
{
	switch (option) {
	case O_PUBLISH:
		o->publish = wire_find(table[option].name, text);
		break;
	case O_PUBLISHERS:
		o->publishers = count_option(option, text, 1, 4096);
		break;
	case O_DEPTH:
		o->depth = count_option(option, text, 1, 65536);
		break;
	case O_PUBLISH_PATH:
		o->publish_path = template_option(option, text);
		break;
	case O_PUBLISH_METHOD:
		o->publish_method = text;
		break;
	case O_PUBLISH_HEADER:
		list_option(option, template_option(option, text), o->publish_headers,
			    &o->publish_header_n);
		break;
	case O_PUBLISH_TEXT:
		o->publish_text = template_option(option, text);
		break;
	case O_ACK:
		o->ack = text;
		break;
	case O_BINARY:
		o->is_binary = true;
		break;
	case O_BYTES:
		o->bytes = count_option(option, text, PAYLOAD_HEAD, 1000000);
		break;
	case O_PAYLOAD:
		o->is_json = choice_option(option, text, "json", "text");
		break;
	default:
		o->content_type = text;
	}
}

static void take_run_option(struct load_options *o, int option, const char *text)
{
	switch (option) {
	case O_BACKLOG:
		o->backlog = count_option(option, text, 0, OUTSTANDING_MAX);
		break;
	case O_MESSAGES:
		o->messages = count_option(option, text, 0, 1u << 29);
		break;
	case O_WARM_UP:
		o->warm_up = count_option(option, text, 0, 1u << 29);
		break;
	case O_SECONDS:
		o->seconds = real_option(option, text, 86400);
		break;
	case O_WINDOW:
		o->window = count_option(option, text, 1, 65536);
		break;
	case O_UNTIL:
		o->until_delivered = choice_option(option, text, "delivered", "acknowledged");
		break;
	case O_RATE:
		o->rate = real_option(option, text, 1e7);
		break;
	case O_SETTLE:
		o->settle_s = real_option(option, text, 3600);
		break;
	case O_HOLD:
		o->hold_s = real_option(option, text, 86400);
		break;
	case O_GIVE_UP:
		o->give_up_s = real_option(option, text, 3600);
		break;
	case O_LIMIT:
		o->limit_s = real_option(option, text, 86400);
		break;
	case O_CPU:
		o->cpu = (int)count_option(option, text, 0, 1023);
		break;
	case O_JSON:
		o->as_json = true;
		break;
	case O_PHASES:
		o->tells_phases = true;
		break;
	default:
		fputs(usage_text, stdout);
		exit(0);
	}
}

/* What follows from what was given. */
static void complete(struct load_options *o)
{
	if (!o->transport)
		o->transport = wire_find("transport", "ws");
	if (!o->publish)
		o->publish = wire_find("publish", "http");
	if (!o->transport->open_subscriber || !o->publish->open_publisher)
		die("%s is not for subscribers, or %s not for publishers", o->transport->name,
		    o->publish->name);
	if (!o->publish_server)
		o->publish_server = o->server;
	if (o->cursor_n == 0)
		o->cursors[o->cursor_n++] = "\"cursor\":\"";
	if (!o->content_type)
		o->content_type = o->is_json ? "application/json" : "text/plain";
	if (o->bytes < PAYLOAD_HEAD + 2u * o->is_json)
		die("--bytes: a JSON payload has at least %d", PAYLOAD_HEAD + 2);
	if (o->channels_each > o->channels)
		die("--channels-each: there are only %u channels", o->channels);
	if ((uint64_t)o->backlog * o->channels > OUTSTANDING_MAX)
		die("--backlog: at most %u messages in all", OUTSTANDING_MAX);
	if (!o->depth)
		o->depth = o->rate > 0 ? 1024 : (o->window + o->publishers - 1) / o->publishers;
	if (o->messages < 0)
		o->messages = o->seconds > 0 ? 1l << 29 : 1000;
	if (o->warm_up < 0)
		o->warm_up = o->seconds > 0 ? 0 : (o->messages + 9) / 10;
	if (!o->sources)
		o->sources = 1 + (o->subscribers + o->publishers) / 5000;
}

void load_options_read(struct load_options *o, int argc, char **argv)
{
	int option;

	*o = (struct load_options){.metrics_path = "/metrics",
				   .cpu = -1,
				   .subscribers = 1000,
				   .channels = 1,
				   .channels_each = 1,
				   .connecting = 100,
				   .poll_ms = 1000,
				   .channel = "bench",
				   .ready = "\"hello\"",
				   .publishers = 1,
				   .bytes = 128,
				   .is_json = true,
				   .publish_method = "POST",
				   .ack = "\"type\":\"ok\"",
				   .messages = -1,
				   .warm_up = -1,
				   .window = 1,
				   .until_delivered = true,
				   .give_up_s = 5,
				   .limit_s = 300};
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == '?')
			exit(2);
		else if (option <= O_METRICS_PATH)
			take_server_option(o, option, optarg);
		else if (option <= O_SOURCES)
			take_subscriber_option(o, option, optarg);
		else if (option <= O_CONTENT_TYPE)
			take_publisher_option(o, option, optarg);
		else
			take_run_option(o, option, optarg);
	}
	if (optind != argc || !o->server) {
		fputs(usage_text, stderr);
		exit(2);
	}
	complete(o);
}
