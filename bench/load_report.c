/* SPDX-License-Identifier: MIT */
/*
 * load_report: what was measured, as JSON for programs and as text for people.
 *
 * A stretch is a part of the run: its time, what the server's processes used of CPU meanwhile, what
 * the generator did, and how far counters of the server's metrics moved.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load.h"

#define METRICS_MAX (1u << 20)

/* --- what is read from the server ---------------------------------------------------------------
 */

/* The text of the metrics, over a connection of its own; NULL when it does not come in time. */
static char *read_metrics(struct load *l)
{
	struct sockaddr_in to = parse_address(l->o.server);
	struct http_reply reply;
	struct bytes request = {0};
	size_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("%s does not answer", l->o.server);
	bytes_printf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", l->o.metrics_path,
		     l->o.server);
	if (send(fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n)
		die("the request for metrics did not leave");
	bytes_free(&request);
	char *text = must_alloc(1, METRICS_MAX + 1);
	while (n < METRICS_MAX &&
	       poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5000) == 1) {
		ssize_t got = recv(fd, text + n, METRICS_MAX - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
		if (http_whole((struct span){text, n}, &reply) > 0)
			break;
	}
	close(fd);
	return text;
}

static double counter_in(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = text; (at = strstr(at, name)); at += n) {
		if ((at == text || at[-1] == '\n') && at[n] == ' ')
			return strtod(at + n, NULL);
	}
	die("the metrics have no %s", name);
}

static double server_cpu_s(struct load *l)
{
	double sum = 0;

	for (size_t i = 0; i < l->pid_n; i++)
		sum += process_cpu_s(l->pids[i]);
	return sum;
}

struct memory server_memory(struct load *l)
{
	struct memory sum = {0};

	for (size_t i = 0; i < l->pid_n; i++) {
		struct memory m = process_memory(l->pids[i]);

		sum.rss += m.rss;
		sum.pss += m.pss;
		sum.anonymous += m.anonymous;
	}
	return sum;
}

/* Add (sign 1) or take away (-1) how things stand. */
static void stand(struct load *l, struct stretch *s, double sign)
{
	if (l->o.counter_n > 0) {
		char *text = read_metrics(l);

		for (unsigned i = 0; i < l->o.counter_n; i++)
			s->counters[i] += sign * counter_in(text, l->o.counters[i]);
		free(text);
	}
	s->cpu_s += sign * server_cpu_s(l);
	s->own_cpu_s += sign * process_cpu_s(getpid());
}

void stretch_begin(struct load *l, struct stretch *s)
{
	*s = (struct stretch){0};
	stand(l, s, -1);
	s->begin_us = now_us();
}

void stretch_end(struct load *l, struct stretch *s)
{
	s->end_us = now_us();
	stand(l, s, 1);
}

static double seconds_of(const struct stretch *s)
{
	return (double)(s->end_us - s->begin_us) / 1e6;
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

static void print_stretch(const struct load *l, const char *name, const struct stretch *s)
{
	double seconds = seconds_of(s);

	printf(",\"%s\":{\"seconds\":%.6f,\"generator_busy\":%.3f", name, seconds,
	       seconds > 0 ? s->own_cpu_s / seconds : 0);
	if (l->pid_n > 0)
		printf(",\"cpu_s\":%.6f", s->cpu_s);
	for (unsigned i = 0; i < l->o.counter_n; i++)
		printf(",\"%s\":%.0f", l->o.counters[i], s->counters[i]);
	printf("}");
}

static void print_histogram(const char *name, const struct histogram *h)
{
	printf(",\"%s\":{\"n\":%llu", name, (unsigned long long)h->n);
	if (h->n > 0)
		printf(",\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f",
		       histogram_quantile(h, 0.5) / 1e3, histogram_quantile(h, 0.9) / 1e3,
		       histogram_quantile(h, 0.99) / 1e3, histogram_quantile(h, 0.999) / 1e3,
		       (double)h->max / 1e3);
	printf("}");
}

static void print_memory(const struct load *l)
{
	double n = l->o.subscribers ? l->o.subscribers : 1;

	printf(",\"memory\":{\"before\":{\"rss\":%.0f,\"pss\":%.0f,\"anonymous\":%.0f}"
	       ",\"after\":{\"rss\":%.0f,\"pss\":%.0f,\"anonymous\":%.0f},\"end\":{\"rss\":%.0f}"
	       ",\"per_connection\":{\"rss\":%.1f,\"pss\":%.1f,\"anonymous\":%.1f"
	       ",\"second_half\":%.1f}}",
	       l->before.rss, l->before.pss, l->before.anonymous, l->after.rss, l->after.pss,
	       l->after.anonymous, l->end.rss, (l->after.rss - l->before.rss) / n,
	       (l->after.pss - l->before.pss) / n, (l->after.anonymous - l->before.anonymous) / n,
	       (l->after.pss - l->half.pss) / (n / 2));
}

static void print_counts(const struct load *l)
{
	const struct counts *c = &l->counts;

	printf(",\"published\":%llu,\"deliveries\":%llu,\"lost\":%llu,\"repeated\":%llu"
	       ",\"out_of_order\":%llu,\"misrouted\":%llu,\"foreign\":%llu,\"refused\":%llu"
	       ",\"abandoned\":%llu,\"closed\":%llu,\"reopened\":%llu,\"late\":%llu",
	       (unsigned long long)c->published, (unsigned long long)c->deliveries,
	       (unsigned long long)c->lost, (unsigned long long)c->repeated,
	       (unsigned long long)c->disordered, (unsigned long long)c->misrouted,
	       (unsigned long long)c->foreign, (unsigned long long)c->refused,
	       (unsigned long long)c->abandoned, (unsigned long long)c->closed,
	       (unsigned long long)c->reopened, (unsigned long long)c->late);
}

static void print_json(const struct load *l)
{
	const struct load_options *o = &l->o;

	printf("{\"transport\":\"%s\",\"subscribers\":%u,\"channels\":%u,\"publishers\":%u"
	       ",\"window\":%u,\"rate\":%g,\"bytes\":%u,\"backlog\":%u,\"measured\":{\"messages\":%"
	       "llu,"
	       "\"deliveries\":%llu}",
	       o->transport->name, o->subscribers, o->channels, o->publishers, o->window, o->rate,
	       o->bytes, o->backlog * o->channels_each, (unsigned long long)l->measured,
	       (unsigned long long)l->measured_deliveries);
	print_counts(l);
	print_stretch(l, "connect", &l->connecting);
	if (o->backlog)
		print_stretch(l, "replay", &l->replay);
	print_stretch(l, "measure", &l->measuring);
	print_histogram("latency_ms", &l->latency);
	print_histogram("last_ms", &l->last);
	print_histogram("receipt_ms", &l->receipts);
	print_histogram("served_ms", &l->served);
	if (l->pid_n > 0)
		print_memory(l);
	printf("}\n");
}

/* --- text ---------------------------------------------------------------------------------------
 */

static void say_histogram(const char *what, const struct histogram *h)
{
	if (h->n > 0)
		printf("  %-12s p50 %.3f ms, p90 %.3f, p99 %.3f, p99.9 %.3f, largest %.3f (of "
		       "%llu)\n",
		       what, histogram_quantile(h, 0.5) / 1e3, histogram_quantile(h, 0.9) / 1e3,
		       histogram_quantile(h, 0.99) / 1e3, histogram_quantile(h, 0.999) / 1e3,
		       (double)h->max / 1e3, (unsigned long long)h->n);
}

static void say_connections(const struct load *l)
{
	const struct load_options *o = &l->o;
	double seconds = seconds_of(&l->connecting);

	if (o->subscribers == 0)
		return;
	printf("  %-12s %u %s in %.3f s: %.0f/s", "connected", o->subscribers, o->transport->name,
	       seconds, o->subscribers / seconds);
	if (l->pid_n > 0)
		printf("; memory of one: RSS %.0f, PSS %.0f, anonymous %.0f bytes",
		       (l->after.rss - l->before.rss) / o->subscribers,
		       (l->after.pss - l->before.pss) / o->subscribers,
		       (l->after.anonymous - l->before.anonymous) / o->subscribers);
	printf("\n");
	if (o->backlog) {
		seconds = seconds_of(&l->replay);
		printf("  %-12s %llu messages each in %.3f s: %.0f/s in all, CPU %.3f us each\n",
		       "backlog", (unsigned long long)o->backlog * o->channels_each, seconds,
		       (double)o->backlog * o->channels_each * o->subscribers / seconds,
		       l->replay.cpu_s * 1e6 /
			       ((double)o->backlog * o->channels_each * o->subscribers));
	}
}

static void say_text(const struct load *l)
{
	const struct counts *c = &l->counts;
	double seconds = seconds_of(&l->measuring), deliveries = (double)l->measured_deliveries;

	say_connections(l);
	if (l->measured > 0) {
		printf("  %-12s %llu messages in %.3f s: %.0f/s, %.0f deliveries/s; generator %.0f "
		       "%% "
		       "busy\n",
		       "published", (unsigned long long)l->measured, seconds,
		       (double)l->measured / seconds, deliveries / seconds,
		       100 * l->measuring.own_cpu_s / seconds);
		if (l->pid_n > 0)
			printf("  %-12s CPU %.3f us per message, %.3f us per delivery; RSS %.1f "
			       "MiB\n",
			       "server", l->measuring.cpu_s * 1e6 / (double)l->measured,
			       deliveries > 0 ? l->measuring.cpu_s * 1e6 / deliveries : 0,
			       l->end.rss / (1 << 20));
		for (unsigned i = 0; i < l->o.counter_n; i++)
			printf("  %-12s %.0f (%s)\n", "counted", l->measuring.counters[i],
			       l->o.counters[i]);
	}
	say_histogram("latency", &l->latency);
	say_histogram("last one", &l->last);
	say_histogram("receipt", &l->receipts);
	say_histogram("served", &l->served);
	if (c->late)
		printf("  %-12s --limit ended the run\n", "late");
	printf("  %-12s lost %llu, repeated %llu, out of order %llu, misrouted %llu, foreign %llu; "
	       "refused %llu, given up %llu, closed %llu\n",
	       "verdict", (unsigned long long)c->lost, (unsigned long long)c->repeated,
	       (unsigned long long)c->disordered, (unsigned long long)c->misrouted,
	       (unsigned long long)c->foreign, (unsigned long long)c->refused,
	       (unsigned long long)c->abandoned, (unsigned long long)c->closed);
}

bool load_report(struct load *l)
{
	const struct counts *c = &l->counts;

	l->counts.lost = track_lost(l);
	if (l->o.as_json)
		print_json(l);
	else
		say_text(l);
	fflush(stdout);
	return c->lost + c->repeated + c->disordered + c->misrouted + c->foreign + c->refused +
		       c->abandoned + c->closed + c->late ==
	       0;
}
