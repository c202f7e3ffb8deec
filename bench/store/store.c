/* SPDX-License-Identifier: MIT */
/*
 * store: what the log costs beside SQLite itself. See bench/README.md.
 *
 * DESIGN: a case is some rounds; in each round the log and raw SQLite do the same work one after
 * the other, each on a fresh database in the same folder, so that whatever slows the machine slows
 * both. The ratio is that of one round; its median over the rounds is the figure. The log goes
 * first, since only then is known how many messages its commits hold: raw SQLite gets the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/map.h"
#include "bench/common.h"
#include "bench/store/raw.h"
#include "bench/store/subject.h"

#define WINDOW     256
#define ROUNDS_MAX 99

struct options {
	const char *folder;
	unsigned rounds;
	double seconds;      /* of one round's half */
	double long_seconds; /* of the steady cases */
	size_t payload;
	bool is_json;
};

/* One half of a round. */
struct half {
	double per_s;
	double cpu_us; /* user and system time per row, all threads */
	double commit_n;
	double longest_ms; /* raw: one transaction */
};

struct round_result {
	struct half log, raw;
};

struct result {
	const char *name;
	unsigned rounds;
	bool has_raw;
	struct round_result round[ROUNDS_MAX];
	struct durations acks;
	/* steady cases; trim: the longest step */
	unsigned wal_restarts;
	int64_t trimmed;
};

struct bench {
	const char *name;
	void (*run)(const struct bench *b, const struct options *o, struct result *r);
	enum durability durability;
	size_t batch; /* messages in a commit at most */
};

static bool is_first_row = true;

/* --- folders and clocks ---------------------------------------------------------------------- */

static char *folder_make(const struct options *o)
{
	char *path = must_alloc(strlen(o->folder) + 32, 1);

	sprintf(path, "%s/holdfast-bench-XXXXXX", o->folder);
	if (mkdtemp(path) == NULL)
		die("%s: %s", path, strerror(errno));
	return path;
}

static void folder_remove(char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0); /* not "." and ".." */
	if (d != NULL)
		closedir(d);
	rmdir(path);
	free(path);
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

struct watch {
	uint64_t start_ns;
	double start_cpu_us;
};

static struct watch watch_start(void)
{
	return (struct watch){mono_ns(), cpu_us()};
}

static struct half watch_stop(const struct watch *w, uint64_t rows)
{
	double ns = (double)(mono_ns() - w->start_ns);

	if (rows == 0)
		die("nothing was done in %.1f s: give it longer (--seconds)", ns / 1e9);
	return (struct half){.per_s = (double)rows * 1e9 / ns,
			     .cpu_us = (cpu_us() - w->start_cpu_us) / (double)rows};
}

/* --- append ---------------------------------------------------------------------------------- */

static struct half append_log(const struct subject_config *cfg, double seconds, struct result *r)
{
	int64_t commits = counters_sum(COUNTER_COMMITS), trimmed = counters_sum(COUNTER_TRIMMED);
	struct subject s;

	subject_open(&s, cfg);
	struct watch w = watch_start();
	uint64_t n = subject_publish(&s, WINDOW, seconds);
	struct half h = watch_stop(&w, n);
	commits = counters_sum(COUNTER_COMMITS) - commits;
	h.commit_n = commits ? (double)n / (double)commits : 0;
	r->trimmed += counters_sum(COUNTER_TRIMMED) - trimmed;
	r->wal_restarts += subject_wal_restarts(&s);
	durations_merge(&r->acks, &s.acks);
	subject_close(&s);
	return h;
}

static struct half append_raw(const struct subject_config *cfg, double seconds, double commit_n)
{
	size_t n = commit_n < 1.5 ? 1 : (size_t)(commit_n + 0.5);
	char *payload = must_alloc(cfg->payload_n, 1);
	uint64_t rows = 0;
	struct raw raw;

	memset(payload, 'x', cfg->payload_n);
	raw_open(&raw, cfg->folder, cfg->durability == DURABILITY_SYNC, cfg->channels, cfg->keep);
	struct watch w = watch_start();
	uint64_t end = w.start_ns + (uint64_t)(seconds * 1e9);
	uint64_t longest = 0;
	for (uint64_t now = w.start_ns; now < end; rows += n) {
		uint64_t start = now;
		raw_append(&raw, n, payload, cfg->payload_n);
		now = mono_ns();
		if (now - start > longest)
			longest = now - start;
	}
	struct half h = watch_stop(&w, rows);
	h.commit_n = (double)n;
	h.longest_ms = ms(longest);
	raw_close(&raw);
	free(payload);
	return h;
}

static void append_rounds(struct subject_config *cfg, double seconds, struct result *r)
{
	const char *top = cfg->folder;

	r->has_raw = cfg->durability != DURABILITY_MEMORY;
	for (unsigned i = 0; i < r->rounds; i++) {
		char *folder = folder_make(&(struct options){.folder = top});
		cfg->folder = folder;
		r->round[i].log = append_log(cfg, seconds, r);
		if (r->has_raw)
			r->round[i].raw = append_raw(cfg, seconds, r->round[i].log.commit_n);
		folder_remove(folder);
	}
	cfg->folder = top;
}

static void run_append(const struct bench *b, const struct options *o, struct result *r)
{
	struct subject_config cfg = {.folder = o->folder,
				     .durability = b->durability,
				     .channels = 16,
				     .batch_messages = b->batch,
				     .payload_n = o->payload};

	append_rounds(&cfg, o->seconds, r);
}

/* One long run: retention at work in every step, the write-ahead log starting anew many times. */
static void run_steady(const struct bench *b, const struct options *o, struct result *r)
{
	struct subject_config cfg = {.folder = o->folder,
				     .durability = b->durability,
				     .channels = 16,
				     .batch_messages = b->batch,
				     .keep = 1000,
				     .payload_n = o->payload};

	r->rounds = 1;
	append_rounds(&cfg, o->long_seconds, r);
}

/* --- replay ---------------------------------------------------------------------------------- */

#define REPLAY_N 10000

static struct half replay_log(const struct subject_config *cfg, double seconds)
{
	struct subject s;
	uint64_t rows = 0;

	subject_open(&s, cfg);
	subject_fill(&s, WINDOW, REPLAY_N);
	subject_replay(&s, REPLAY_N); /* the page cache is warm, as after the first who returns */
	struct watch w = watch_start();
	uint64_t end = w.start_ns + (uint64_t)(seconds * 1e9);
	for (; mono_ns() < end; rows += REPLAY_N)
		subject_replay(&s, REPLAY_N);
	struct half h = watch_stop(&w, rows);
	subject_close(&s);
	return h;
}

static struct half replay_raw(const struct subject_config *cfg, double seconds)
{
	char *payload = must_alloc(cfg->payload_n, 1);
	uint64_t rows = 0;
	struct raw raw;

	raw_open(&raw, cfg->folder, false, 1, 0);
	for (size_t i = 0; i < REPLAY_N; i += 100)
		raw_append(&raw, 100, payload, cfg->payload_n);
	struct watch w = watch_start();
	uint64_t end = w.start_ns + (uint64_t)(seconds * 1e9);
	while (mono_ns() < end) {
		uint64_t after = 0;
		size_t n;
		/* pages as large as the log's at the default payload */
		while ((n = raw_read(&raw, &after, 256)) > 0)
			rows += n;
	}
	struct half h = watch_stop(&w, rows);
	raw_close(&raw);
	free(payload);
	return h;
}

static void run_replay(const struct bench *b, const struct options *o, struct result *r)
{
	struct subject_config cfg = {.durability = b->durability,
				     .channels = 1,
				     .batch_messages = b->batch,
				     .payload_n = o->payload};

	r->has_raw = b->durability != DURABILITY_MEMORY;
	for (unsigned i = 0; i < r->rounds; i++) {
		char *folder = folder_make(o);
		cfg.folder = folder;
		r->round[i].log = replay_log(&cfg, o->seconds);
		if (r->has_raw)
			r->round[i].raw = replay_raw(&cfg, o->seconds);
		folder_remove(folder);
	}
}

/* --- trim ------------------------------------------------------------------------------------ */

#define TRIM_N    50000
#define TRIM_STEP 256 /* as store/writer.c */

static struct half trim_log(const struct subject_config *cfg, struct result *r)
{
	const struct store_engine *e = store_engine_find("sqlite");
	struct namespace_table *ns = namespace_table_new(1);
	struct problem problem = {""};
	struct store *store;
	struct subject s;
	int rc = 1;

	subject_open(&s, cfg);
	subject_fill(&s, WINDOW, TRIM_N);
	subject_close(&s);
	ns->ns[0].durability = DURABILITY_COMMIT;
	ns->ns[0].history_count = 1;
	struct store_config sc = {.path = s.path, .namespaces = ns, .ack_max = 1};
	if (e->ops.open(&sc, &store, &problem) != 0)
		die("%s", problem.text);
	struct watch w = watch_start();
	uint64_t total = 0;
	while (rc > 0) {
		uint64_t start = mono_ns();
		size_t n = 0;
		rc = e->ops.trim(store, 0, TRIM_STEP, &n);
		durations_add(&r->acks, mono_ns() - start);
		total += n;
	}
	struct half h = watch_stop(&w, total);
	if (rc != 0 || total != TRIM_N - 1)
		die("trim: %s, %llu went", strerror(-rc), (unsigned long long)total);
	h.commit_n = TRIM_STEP;
	e->ops.close(store);
	namespace_table_unref(ns);
	return h;
}

static struct half trim_raw(const struct subject_config *cfg)
{
	char *payload = must_alloc(cfg->payload_n, 1);
	struct raw raw;
	size_t n = 0;

	raw_open(&raw, cfg->folder, false, 1, 0);
	for (size_t i = 0; i < TRIM_N; i += 100)
		raw_append(&raw, 100, payload, cfg->payload_n);
	struct watch w = watch_start();
	for (; n + TRIM_STEP <= TRIM_N; n += TRIM_STEP)
		raw_trim(&raw, TRIM_STEP);
	struct half h = watch_stop(&w, n);
	h.commit_n = TRIM_STEP;
	raw_close(&raw);
	free(payload);
	return h;
}

static void run_trim(const struct bench *b, const struct options *o, struct result *r)
{
	struct subject_config cfg = {.durability = b->durability,
				     .channels = 1,
				     .batch_messages = b->batch,
				     .payload_n = o->payload};

	r->has_raw = true;
	for (unsigned i = 0; i < r->rounds; i++) {
		char *folder = folder_make(o);
		cfg.folder = folder;
		r->round[i].log = trim_log(&cfg, r);
		r->round[i].raw = trim_raw(&cfg);
		folder_remove(folder);
	}
}

/* --- the table ------------------------------------------------------------------------------- */

#define DEFAULT_BATCH 4096 /* store.batch_messages */

static const struct bench benches[] = {
	{"memory", run_append, DURABILITY_MEMORY, DEFAULT_BATCH},
	{"commit-1", run_append, DURABILITY_COMMIT, 1},
	{"commit-10", run_append, DURABILITY_COMMIT, 10},
	{"commit-100", run_append, DURABILITY_COMMIT, 100},
	{"commit", run_append, DURABILITY_COMMIT, DEFAULT_BATCH},
	{"sync-1", run_append, DURABILITY_SYNC, 1},
	{"sync-10", run_append, DURABILITY_SYNC, 10},
	{"sync-100", run_append, DURABILITY_SYNC, 100},
	{"sync", run_append, DURABILITY_SYNC, DEFAULT_BATCH},
	{"steady-commit", run_steady, DURABILITY_COMMIT, DEFAULT_BATCH},
	{"steady-sync", run_steady, DURABILITY_SYNC, DEFAULT_BATCH},
	{"replay", run_replay, DURABILITY_COMMIT, DEFAULT_BATCH},
	{"replay-memory", run_replay, DURABILITY_MEMORY, DEFAULT_BATCH},
	{"trim", run_trim, DURABILITY_COMMIT, DEFAULT_BATCH},
};

#define BENCH_N (sizeof(benches) / sizeof(benches[0]))

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

enum figure { LOG_PER_S, RAW_PER_S, LOG_CPU, RAW_CPU, COMMIT_N, RAW_LONGEST, RATIO };

static double figure_of(const struct round_result *r, enum figure f)
{
	switch (f) {
	case LOG_PER_S:
		return r->log.per_s;
	case RAW_PER_S:
		return r->raw.per_s;
	case LOG_CPU:
		return r->log.cpu_us;
	case RAW_CPU:
		return r->raw.cpu_us;
	case COMMIT_N:
		return r->log.commit_n;
	case RAW_LONGEST:
		return r->raw.longest_ms;
	case RATIO:
		return r->log.per_s / r->raw.per_s;
	}
	return 0;
}

/* The q-th part (0: smallest, 0.5: median, 1: largest) of the rounds' values. */
static double over_rounds(const struct result *r, enum figure f, double q)
{
	double v[ROUNDS_MAX];

	for (unsigned i = 0; i < r->rounds; i++)
		v[i] = figure_of(&r->round[i], f);
	qsort(v, r->rounds, sizeof(v[0]), compare);
	return v[(unsigned)(q * (r->rounds - 1) + 0.5)];
}

static void print_head(void)
{
	printf("%-14s %10s %7s %8s %8s %8s %8s %10s %7s %8s %6s %13s %8s %5s\n", "case", "log/s",
	       "us CPU", "rows/txn", "p50 ms", "p99 ms", "max ms", "raw/s", "us CPU", "max ms",
	       "ratio", "(min - max)", "trimmed", "turns");
}

static void print_raw(const struct result *r)
{
	printf(" %10.0f %7.2f ", over_rounds(r, RAW_PER_S, 0.5), over_rounds(r, RAW_CPU, 0.5));
	if (over_rounds(r, RAW_LONGEST, 1) > 0)
		printf("%8.2f", over_rounds(r, RAW_LONGEST, 1));
	else
		printf("%8s", "-");
	printf(" %6.2f  %5.2f - %4.2f", over_rounds(r, RATIO, 0.5), over_rounds(r, RATIO, 0),
	       over_rounds(r, RATIO, 1));
}

static void print_row(const struct result *r)
{
	printf("%-14s %10.0f %7.2f ", r->name, over_rounds(r, LOG_PER_S, 0.5),
	       over_rounds(r, LOG_CPU, 0.5));
	if (r->round[0].log.commit_n > 0)
		printf("%8.1f ", over_rounds(r, COMMIT_N, 0.5));
	else
		printf("%8s ", "-");
	if (r->acks.n > 0)
		printf("%8.2f %8.2f %8.2f", ms(durations_at(&r->acks, 0.5)),
		       ms(durations_at(&r->acks, 0.99)), ms(r->acks.max_ns));
	else
		printf("%8s %8s %8s", "-", "-", "-");
	if (r->has_raw)
		print_raw(r);
	if (r->trimmed > 0)
		printf(" %8lld %5u", (long long)r->trimmed, r->wal_restarts);
	putchar('\n');
	fflush(stdout);
}

static void print_json(const struct result *r)
{
	printf("%s\n  {\"case\": \"%s\", \"rounds\": %u, \"per_s\": %.0f, \"cpu_us\": %.3f",
	       is_first_row ? "[" : ",", r->name, r->rounds, over_rounds(r, LOG_PER_S, 0.5),
	       over_rounds(r, LOG_CPU, 0.5));
	if (r->round[0].log.commit_n > 0)
		printf(", \"rows_per_commit\": %.1f", over_rounds(r, COMMIT_N, 0.5));
	if (r->has_raw)
		printf(", \"raw_per_s\": %.0f, \"raw_cpu_us\": %.3f, \"raw_max_ms\": %.3f,"
		       " \"ratio\": %.3f, \"ratio_min\": %.3f, \"ratio_max\": %.3f",
		       over_rounds(r, RAW_PER_S, 0.5), over_rounds(r, RAW_CPU, 0.5),
		       over_rounds(r, RAW_LONGEST, 1), over_rounds(r, RATIO, 0.5),
		       over_rounds(r, RATIO, 0), over_rounds(r, RATIO, 1));
	if (r->acks.n > 0)
		printf(", \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f",
		       ms(durations_at(&r->acks, 0.5)), ms(durations_at(&r->acks, 0.99)),
		       ms(durations_at(&r->acks, 0.999)), ms(r->acks.max_ns));
	if (r->trimmed > 0)
		printf(", \"trimmed\": %lld, \"wal_restarts\": %u", (long long)r->trimmed,
		       r->wal_restarts);
	putchar('}');
	is_first_row = false;
	fflush(stdout);
}

/* --- main ------------------------------------------------------------------------------------ */

static void usage(void)
{
	fputs("usage: store [--folder DIR] [--rounds N] [--seconds S] [--long S] [--payload BYTES]"
	      " [--json] [CASE...]\ncases:",
	      stderr);
	for (size_t i = 0; i < BENCH_N; i++)
		fprintf(stderr, " %s", benches[i].name);
	fputc('\n', stderr);
	exit(2);
}

static double number(const char *text, double min, double max)
{
	char *end;
	double v = strtod(text, &end);

	if (*end != '\0' || !(v >= min && v <= max))
		die("%s is no number from %g to %g", text, min, max);
	return v;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {{"folder", required_argument, NULL, 'f'},
					      {"rounds", required_argument, NULL, 'r'},
					      {"seconds", required_argument, NULL, 's'},
					      {"long", required_argument, NULL, 'l'},
					      {"payload", required_argument, NULL, 'p'},
					      {"json", no_argument, NULL, 'j'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'f')
			o->folder = optarg;
		else if (c == 'r')
			o->rounds = (unsigned)number(optarg, 1, ROUNDS_MAX);
		else if (c == 's')
			o->seconds = number(optarg, 0.01, 3600);
		else if (c == 'l')
			o->long_seconds = number(optarg, 0.01, 86400);
		else if (c == 'p')
			o->payload = (size_t)number(optarg, 1, 1 << 20);
		else if (c == 'j')
			o->is_json = true;
		else
			usage();
	}
}

static bool is_wanted(const char *name, char *const *wanted)
{
	for (size_t i = 0; wanted[i] != NULL; i++) {
		if (strcmp(wanted[i], name) == 0)
			return true;
	}
	return wanted[0] == NULL;
}

static void check_names(char *const *wanted)
{
	for (size_t i = 0; wanted[i] != NULL; i++) {
		size_t k = 0;
		while (k < BENCH_N && strcmp(benches[k].name, wanted[i]) != 0)
			k++;
		if (k == BENCH_N)
			usage();
	}
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	struct options o = {.folder = tmp ? tmp : "/tmp",
			    .rounds = 5,
			    .seconds = 1,
			    .long_seconds = 30,
			    .payload = 128};
	struct result *r = must_alloc(1, sizeof(*r));

	parse(argc, argv, &o);
	check_names(argv + optind);
	map_seed();
	if (!o.is_json)
		print_head();
	for (size_t i = 0; i < BENCH_N; i++) {
		if (!is_wanted(benches[i].name, argv + optind))
			continue;
		*r = (struct result){.name = benches[i].name, .rounds = o.rounds};
		benches[i].run(&benches[i], &o, r);
		if (o.is_json)
			print_json(r);
		else
			print_row(r);
	}
	if (o.is_json)
		puts("\n]");
	free(r);
	return 0;
}
