/* SPDX-License-Identifier: MIT */
/* config: what sources say, who wins, what is refused and in which words, and what a reload
 * changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/config.h"
#include "daemon/option.h"

#define WORDS_MAX 16

/* All sources of one load. Words are separated by '|'. */
struct sources {
	const char *file, *env, *flags;
};

static char file_path[64];
static int file_fd;

static int make_file(void **state)
{
	file_fd = memfd_create("holdfast.conf", MFD_CLOEXEC);
	snprintf(file_path, sizeof(file_path), "/proc/self/fd/%d", file_fd);
	return file_fd < 0;
}

static int close_file(void **state)
{
	return close(file_fd);
}

static void write_file(const char *text)
{
	assert_int_equal(ftruncate(file_fd, 0), 0);
	assert_int_equal(pwrite(file_fd, text, strlen(text), 0), strlen(text));
}

static size_t split(char *words, char **ret)
{
	size_t n = 0;

	for (char *w = strtok(words, "|"); w; w = strtok(NULL, "|")) {
		assert_true(n < WORDS_MAX - 4);
		ret[n++] = w;
	}
	ret[n] = NULL;
	return n;
}

/* argv and envp of the sources; the strings are theirs. */
struct command {
	char flags[2048], env[1024];
	char *argv[WORDS_MAX], *envp[WORDS_MAX];
	int argc;
};

static void make_command(struct command *c, struct sources s)
{
	static char program[] = "holdfastd", option[] = "-c";

	snprintf(c->flags, sizeof(c->flags), "%s", s.flags ? s.flags : "");
	snprintf(c->env, sizeof(c->env), "%s", s.env ? s.env : "");
	c->argv[0] = program;
	c->argv[1] = option;
	c->argv[2] = file_path;
	c->argc = s.file ? 3 : 1;
	if (s.file)
		write_file(s.file);
	c->argc += (int)split(c->flags, c->argv + c->argc);
	split(c->env, c->envp);
}

static int load(struct sources s, struct config *ret, struct problem *problem)
{
	struct config_action action;
	struct command c;

	make_command(&c, s);
	return config_load(c.argc, c.argv, c.envp, ret, &action, problem);
}

static struct config loaded(struct sources s)
{
	struct problem problem = {""};
	struct config cfg;
	int rc = load(s, &cfg, &problem);

	if (rc < 0)
		fail_msg("%s", problem.text);
	return cfg;
}

static void assert_refused(struct sources s, const char *words)
{
	struct problem problem = {""};
	struct config cfg;
	char text[512];
	char *wanted[WORDS_MAX];
	size_t n;

	memset(&cfg, 0x5a, sizeof(cfg));
	assert_int_equal(load(s, &cfg, &problem), -EINVAL);
	for (size_t i = 0; i < sizeof(cfg); i++)
		assert_int_equal(((unsigned char *)&cfg)[i], 0x5a);
	snprintf(text, sizeof(text), "%s", words);
	n = split(text, wanted);
	for (size_t i = 0; i < n; i++) {
		if (!strstr(problem.text, wanted[i]))
			fail_msg("no \"%s\" in \"%s\"", wanted[i], problem.text);
	}
}

static void test_defaults(void **state)
{
	struct config cfg = loaded((struct sources){0});

	assert_string_equal(cfg.listen, "127.0.0.1:8080");
	assert_int_equal(cfg.address_n, 1);
	assert_true(cfg.addresses[0].is_loopback);
	assert_string_equal(cfg.admin_socket, "data/admin.sock");
	assert_string_equal(cfg.admin_address.text, "unix:data/admin.sock");
	assert_string_equal(cfg.database, "data/holdfast.db");
	assert_int_equal(cfg.admin_socket_mode, 0600);
	assert_int_equal(cfg.head_bytes, 32 << 10);
	assert_int_equal(cfg.head_timeout_ms, 10000);
	assert_int_equal(cfg.log_level, LOG_LEVEL_INFO);
	assert_true(cfg.demo);
	assert_false(cfg.allow_anonymous_publish);
	assert_null(cfg.file);
	assert_int_equal(cfg.namespaces->n, 2); /* and that of the demo page */
	assert_int_equal(cfg.namespaces->ns[0].durability, DURABILITY_COMMIT);
	assert_int_equal(cfg.namespaces->ns[0].history_age_ms, 7 * 86400000ull);
	config_free(&cfg);
	config_free(&cfg);
}

/* --- sources -----------------------------------------------------------------------------------
 */

static void test_later_source_wins(void **state)
{
	static const char file[] =
		"[server]\nworkers = 2\n[http]\npipeline = 2\n[store]\nreaders=2\n";
	struct config cfg = loaded((struct sources){
		.file = file,
		.env = "HOLDFAST_HTTP_PIPELINE=3|HOLDFAST_STORE_READERS=3|OTHER=1",
		.flags = "--store-readers|4|--store-readers=5|--limits-message-bytes=64k",
	});

	assert_int_equal(cfg.workers, 2);
	assert_int_equal(cfg.origin[OPTION_workers].source, CONFIG_FILE);
	assert_int_equal(cfg.origin[OPTION_workers].line, 2);
	assert_int_equal(cfg.pipeline, 3);
	assert_int_equal(cfg.origin[OPTION_pipeline].source, CONFIG_ENVIRONMENT);
	assert_int_equal(cfg.readers, 5);
	assert_int_equal(cfg.origin[OPTION_readers].source, CONFIG_FLAG);
	assert_int_equal(cfg.message_bytes, 65536);
	assert_int_equal(cfg.origin[OPTION_listen].source, CONFIG_DEFAULT);
	assert_string_equal(cfg.file, file_path);
	config_free(&cfg);
}

static void test_file_from_environment(void **state)
{
	char env[128];
	struct config cfg;

	write_file("[server]\nworkers = 7\n");
	snprintf(env, sizeof(env), "HOLDFAST_CONFIG=%s", file_path);
	cfg = loaded((struct sources){.env = env});
	assert_int_equal(cfg.workers, 7);
	config_free(&cfg);
	cfg = loaded((struct sources){.env = "HOLDFAST_CONFIG="});
	assert_null(cfg.file);
	config_free(&cfg);
	/* the flag wins, and the other file is not read */
	cfg = loaded((struct sources){.file = "", .env = "HOLDFAST_CONFIG=/nowhere"});
	assert_string_equal(cfg.file, file_path);
	config_free(&cfg);
}

static void test_file_syntax(void **state)
{
	struct config cfg = loaded((struct sources){
		.file = "\xef\xbb\xbf[server] ; this machine\r\n"
			"# a comment\n"
			"; another\n"
			"\n"
			"\tworkers=3\r\n"
			"  listen = 127.0.0.1:1 ; and\n"
			"  listen = [::1]:2   unix:/run/x\n"
			"port_file =\n"
			"[store]\n"
			"readers : 4\n"
			"[server]\n"
			"log_level = warn",
	});

	assert_int_equal(cfg.workers, 3);
	assert_string_equal(cfg.listen, "127.0.0.1:1 [::1]:2 unix:/run/x");
	assert_int_equal(cfg.address_n, 3);
	assert_true(cfg.addresses[2].is_unix);
	assert_int_equal(cfg.readers, 4);
	assert_int_equal(cfg.log_level, LOG_LEVEL_WARN);
	assert_string_equal(cfg.port_file, "");
	config_free(&cfg);
}

static void test_bad_files(void **state)
{
	static const char long_line[] =
		"[server]\n"
		"data_dir = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
		"dddddddddddddddddddd\n";
	static const struct {
		const char *file, *words;
	} cases[] = {
		{"\n\n[server]\nlisten\n", ":4: expected `name = value`"},
		{"[server\n", ":1: expected"},
		{"workers = 1\n", ":1:|a line such as [server]"},
		{"[server] workers = 1\n", ":1:|on the line after"},
		{"[sever]\n", ":1: there is no section [sever]; did you mean [server]?"},
		{"[nothing]\n", "there is no section [nothing]|[store]|[namespace]"},
		{"[server]\nworker = 1\n", ":2: [server] worker:|did you mean [server] workers?"},
		{"[server]\nheartbeat = 1\n", "did you mean [delivery] heartbeat?"},
		{"[server]\nshoesize = 1\n", ":2: [server] shoesize|no such option|--help"},
		{"[server]\nlog-level = info\n", "did you mean [server] log_level?"},
		{"[server]\nworkers = 1\n\nworkers = 2\n", ":4: workers was set before, on line 2"},
		{"[server]\nworkers = many\n",
		 ":2: [server] workers: many is not allowed|a whole number from 0 to 256"},
		{"[http]\nhead_timeout = 2h\n", ":2:|2h|250ms, 25s, 5m, 24h or 7d|from 10ms to 1h"},
		{"[http]\nbody_bytes =\n", "an empty value|from 1KiB to 1GiB"},
		{"[namespace]\npublish = all\n", "anyone or admin"},
		{"[namespace]\npubish = all\n", "did you mean [namespace] publish?"},
		{"[namespace chat]\npubish = admin\n", "did you mean [namespace chat] publish?"},
		{"[namespace a:b]\n", ":1:|the name of a namespace"},
		{"[namespace  a]\n", ":1:|the name of a namespace"},
		{"[namespace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n",
		 "1 to 63 bytes"},
		/* the first mistake is the one that is told */
		{"[server]\nx\n[sever]\n", ":2: expected"},
		{"[sever]\nx\n", ":1: there is no section"},
		{long_line, ":2: the line is longer than"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_refused((struct sources){.file = cases[i].file}, cases[i].words);
}

static void test_unreadable_files(void **state)
{
	struct problem problem;
	struct config cfg;
	char text[128];

	assert_int_equal(load((struct sources){.flags = "-c|/nowhere"}, &cfg, &problem), -ENOENT);
	assert_non_null(strstr(problem.text, "/nowhere: No such file"));
	assert_int_equal(load((struct sources){.flags = "-c|/"}, &cfg, &problem), -EISDIR);
	assert_non_null(strstr(problem.text, "Is a directory"));
	write_file("[server]\n");
	assert_int_equal(pwrite(file_fd, "x\0y", 3, 9), 3);
	snprintf(text, sizeof(text), "-c|%s", file_path);
	assert_refused((struct sources){.flags = text}, ":2: there is a NUL byte");
}

static void test_bad_flags(void **state)
{
	static const struct {
		const char *flags, *words;
	} cases[] = {
		{"--server-workers",
		 "--server-workers needs a value: a whole number from 0 to 256"},
		{"--server-workers=x", "--server-workers: x is not allowed"},
		{"--server-worker|1", "--server-worker: |did you mean --server-workers?"},
		{"--listen|x", "did you mean --server-listen?"},
		{"--server_workers|1", "did you mean --server-workers?"},
		{"--chek-config", "did you mean --check-config?"},
		{"--help=yes", "--help takes no value"},
		{"-x", "-x: there is no such argument"},
		{"run", "run: there is no such argument"},
		{"-c", "-c needs a value: the configuration file"},
		{"--print-options|html", "markdown, scdoc or example"},
		{"--namespace-a:b-publish|admin",
		 "--namespace-a:b-publish: there is no such option"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_refused((struct sources){.flags = cases[i].flags}, cases[i].words);
}

static void test_bad_environment(void **state)
{
	struct config cfg;

	assert_refused((struct sources){.env = "HOLDFAST_SERVER_WORKER=1"},
		       "HOLDFAST_SERVER_WORKER: |did you mean HOLDFAST_SERVER_WORKERS?");
	assert_refused((struct sources){.env = "HOLDFAST_WORKERS=1"},
		       "did you mean HOLDFAST_SERVER_WORKERS?");
	assert_refused((struct sources){.env = "HOLDFAST_SERVER_WORKERS=x"},
		       "HOLDFAST_SERVER_WORKERS: x is not allowed");
	assert_refused((struct sources){.env = "HOLDFAST_PORT=8080"}, "HOLDFAST_PORT:");
	/* what Kubernetes says about services called holdfast and holdfast-admin */
	cfg = loaded((struct sources){
		.env = "HOLDFAST_SERVICE_HOST=10.0.0.1|HOLDFAST_SERVICE_PORT=8080|"
		       "HOLDFAST_PORT=tcp://10.0.0.1:8080|HOLDFAST_PORT_8080_TCP_ADDR=10.0.0.1|"
		       "HOLDFAST_ADMIN_SERVICE_HOST=10.0.0.1|HOLDFAST_ADMIN_SERVICE_PORT_HTTP=1"});
	config_free(&cfg);
}

static void test_actions(void **state)
{
	static const struct {
		const char *flags;
		enum config_verb verb;
		bool is_empty;
	} cases[] = {
		{"", CONFIG_RUN, false},
		{"-h", CONFIG_HELP, true},
		{"--help", CONFIG_HELP, true},
		{"--server-workers|-h|--version", CONFIG_VERSION, true},
		{"-V|nonsense", CONFIG_VERSION, true},
		{"--check-config|--server-workers|1", CONFIG_CHECK, false},
		{"--server-workers=1|--dump-config", CONFIG_DUMP, false},
		{"--print-options|scdoc", CONFIG_PRINT_OPTIONS, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sources s = {.flags = cases[i].flags, .env = "HOLDFAST_CONFIG="};
		struct config_action action;
		struct problem problem;
		struct config cfg;
		struct command c;

		make_command(&c, s);
		assert_int_equal(config_load(c.argc, c.argv, c.envp, &cfg, &action, &problem), 0);
		assert_int_equal(action.verb, cases[i].verb);
		assert_int_equal(cfg.namespaces == NULL, cases[i].is_empty);
		config_free(&cfg);
	}
}

/* --- namespaces ----------------------------------------------------------------------------------
 */

static const struct namespace *namespace_of(const struct config *cfg, const char *channel)
{
	return namespace_find(cfg->namespaces, slice_str(channel));
}

static void test_namespaces_inherit(void **state)
{
	struct config cfg = loaded((struct sources){
		.file = "[namespace chat]\nhistory_count = 5\n[namespace empty]\n"
			"[namespace]\npublish = admin\nhistory_age = 1h\n",
		.env = "HOLDFAST_NAMESPACE_CHAT_PUBLIC=yes|HOLDFAST_NAMESPACE_LOG_DURABILITY=sync",
		.flags = "--namespace-Big_one-history-bytes|1g|--namespace-history-bytes|2g",
	});

	assert_int_equal(cfg.namespaces->n, 6);
	assert_int_equal(namespace_of(&cfg, "chat:1")->history_count, 5);
	assert_int_equal(namespace_of(&cfg, "chat:1")->history_age_ms, 3600000);
	assert_int_equal(namespace_of(&cfg, "chat:1")->publish, ACCESS_ADMIN);
	assert_true(namespace_of(&cfg, "chat:1")->is_public);
	assert_string_equal(namespace_of(&cfg, "empty:1")->name, "empty");
	assert_int_equal(namespace_of(&cfg, "empty:1")->history_bytes, 2ull << 30);
	assert_int_equal(namespace_of(&cfg, "log:1")->durability, DURABILITY_SYNC);
	assert_int_equal(namespace_of(&cfg, "Big_one:1")->history_bytes, 1 << 30);
	assert_int_equal(namespace_of(&cfg, "other:1")->history_count, 10000);
	assert_false(namespace_of(&cfg, "other:1")->is_public);
	config_free(&cfg);
}

static void test_environment_means_the_namespace_of_the_file(void **state)
{
	struct config cfg = loaded((struct sources){
		.file = "[namespace Chat]\n",
		.env = "HOLDFAST_NAMESPACE_CHAT_HISTORY_COUNT=7",
	});

	assert_int_equal(cfg.namespaces->n, 3);
	assert_int_equal(namespace_of(&cfg, "Chat:1")->history_count, 7);
	config_free(&cfg);
}

static void test_the_demo_page_has_a_namespace(void **state)
{
	static const struct {
		const char *file, *flags;
		bool is_there, has_presence;
	} cases[] = {
		{.is_there = true, .has_presence = true},
		{.flags = "--server-demo|no"},
		{.file = "[namespace demo]\nhistory_count = 5\n",
		 .is_there = true,
		 .has_presence = true},
		{.file = "[namespace demo]\npresence = no\n", .is_there = true},
		{.file = "[namespace]\npresence = no\n", .is_there = true},
		{.file = "[namespace]\npresence = yes\n", .is_there = true, .has_presence = true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config cfg =
			loaded((struct sources){.file = cases[i].file, .flags = cases[i].flags});
		const struct namespace *ns = namespace_of(&cfg, "demo:chat");

		assert_string_equal(ns->name, cases[i].is_there ? "demo" : "");
		assert_int_equal(ns->has_presence, cases[i].has_presence);
		assert_int_equal(namespace_of(&cfg, "chat:1")->has_presence,
				 i == ARRAY_LEN(cases) - 1);
		config_free(&cfg);
	}
}

static void test_too_many_namespaces(void **state)
{
	struct buf file = {0};

	for (int i = 0; i < 256; i++)
		buf_addf(&file, "[namespace n%d]\n", i);
	buf_add_char(&file, '\0');
	assert_refused((struct sources){.file = file.p}, ":256: there can be 255 namespaces");
	buf_fini(&file);
}

/* --- options against each other ------------------------------------------------------------------
 */

static void test_cross_checks(void **state)
{
	static const struct {
		const char *flags, *words; /* NULL: fine */
	} cases[] = {
		{"--server-listen|127.0.0.1:8080 nonsense", "server.listen: |nonsense"},
		{"--server-listen|127.0.0.1:1 127.0.0.1:1",
		 "server.listen names 127.0.0.1:1 twice"},
		{"--server-listen|127.0.0.1:0 127.0.0.1:0", NULL},
		{"--server-listen|unix:/x|--server-admin-socket|/x", "the same file"},
		{"--server-listen|0.0.0.0:80",
		 "0.0.0.0:80|[namespace] lets anyone publish|publish = admin|--namespace-publish "
		 "admin|"
		 "allow_anonymous_publish = yes|--server-allow-anonymous-publish yes"},
		{"--server-listen|127.0.0.1:1 *:80", "reach *:80"},
		{"--server-listen|*:80|--server-allow-anonymous-publish|yes", NULL},
		{"--server-listen|*:80|--namespace-publish|admin", NULL},
		{"--server-listen|*:80|--namespace-publish|admin|--namespace-chat-publish|anyone",
		 "[namespace chat] lets anyone publish|--namespace-chat-publish admin"},
		{"--server-listen|unix:/run/x", NULL},
		{"--limits-message-bytes|2m", "limits.message_bytes (2MiB)|http.body_bytes (1MiB)"},
		{"--limits-message-bytes|2m|--http-body-bytes|2m",
		 "limits.message_bytes (2MiB)|websocket.message_bytes (1MiB)"},
		{"--websocket-message-bytes|64MiB|--websocket-fragments|1000000", NULL},
		{"--http-body-bytes|32m", "http.batch_bytes (16MiB)"},
		{"--http-batch-bytes|128m", "store.append_queue_bytes (64MiB)"},
		{"--delivery-poll-batch|2s|--delivery-poll-wait-max|1s",
		 "delivery.poll_wait_max (1s)"},
		{"--server-cors-origins|example.com",
		 "server.cors_origins: example.com is no web origin"},
		{"--server-ws-origins|https://a.example/", "server.ws_origins: "},
		{"--server-ws-origins|https://a.example http://localhost:8080", NULL},
		{"--server-ws-origins=", NULL},
		{"--store-engine|memory|--namespace-chat-durability|sync",
		 "[namespace chat] durability is sync|memory engine"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sources s = {.flags = cases[i].flags};

		if (cases[i].words) {
			assert_refused(s, cases[i].words);
		} else {
			struct config cfg = loaded(s);
			config_free(&cfg);
		}
	}
}

static void test_long_admin_socket(void **state)
{
	char dir[120];
	struct buf flags = {0};

	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	buf_addf(&flags, "--server-data-dir|%s", dir);
	buf_add_char(&flags, '\0');
	assert_refused((struct sources){.flags = flags.p},
		       "longer than 107 bytes|set server.admin_socket");
	buf_fini(&flags);
}

static void test_memory_engine_promises_memory(void **state)
{
	struct config cfg = loaded((struct sources){.flags = "--store-engine|memory"});

	assert_int_equal(cfg.namespaces->ns[0].durability, DURABILITY_MEMORY);
	config_free(&cfg);
}

/* --- what is shown -------------------------------------------------------------------------------
 */

static const struct sources everything = {
	.file = "[server]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2\nworkers = 3\n"
		"[namespace chat]\npublish = admin\n[namespace]\nhistory_age = 36h\n",
	.env = "HOLDFAST_SERVER_DATA_DIR=/tmp/with space",
	.flags = "--http-idle-timeout=90s",
};

static char *dump(const struct config *cfg)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	config_dump(cfg, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void assert_line(const char *text, const char *section, const char *name, const char *value,
			const char *from)
{
	char pattern[160];
	const char *at = strstr(text, section);

	assert_non_null(at);
	snprintf(pattern, sizeof(pattern), "\n%s = %s ", name, value);
	at = strstr(at, pattern);
	assert_non_null(at);
	at += strlen(pattern);
	at += strspn(at, " ");
	if (strncmp(at, from, strlen(from)) != 0)
		fail_msg("no %s = %s %s in %s", name, value, from, text);
}

/* Used as a file, a dump gives the same values. */
static void test_dump_is_a_file(void **state)
{
	struct config cfg = loaded(everything), again;
	char *text = dump(&cfg);

	assert_line(text, "[server]", "listen", "127.0.0.1:1 127.0.0.1:2", "; /proc/self/fd/");
	assert_line(text, "[server]", "data_dir", "/tmp/with space",
		    "; HOLDFAST_SERVER_DATA_DIR\n");
	assert_line(text, "[http]", "idle_timeout", "90s", "; --http-idle-timeout\n");
	assert_line(text, "[namespace chat]", "history_age", "36h", "; [namespace]\n");
	assert_line(text, "[namespace chat]", "publish", "admin", "; /proc/self/fd/");
	again = loaded((struct sources){.file = text});
	for (size_t i = 0; i < OPTION_N; i++)
		assert_true(option_equal(&config_options[i], &cfg, &again));
	assert_int_equal(cfg.namespaces->n, again.namespaces->n);
	for (size_t i = 0; i < cfg.namespaces->n; i++) {
		for (size_t j = 0; j < NAMESPACE_OPTION_N; j++)
			assert_true(option_equal(&namespace_options[j], &cfg.namespaces->ns[i],
						 &again.namespaces->ns[i]));
	}
	config_free(&cfg);
	config_free(&again);
	free(text);
}

/* Lines of a file are short; what takes several words takes several lines. */
static void test_long_values_are_dumped_as_short_lines(void **state)
{
	struct config cfg, again;
	struct buf flags = {0};
	char *text;

	buf_add_str(&flags, "--server-cors-origins|");
	for (int i = 0; i < 40; i++)
		buf_addf(&flags, "%shttps://host-%d.example", i ? " " : "", i);
	buf_add_str(&flags, "|--server-data-dir|/");
	for (int i = 0; i < 16; i++)
		buf_add_str(&flags, "0123456789");
	buf_add_str(&flags, "|--server-admin-socket|/run/x");
	buf_add_char(&flags, '\0');
	cfg = loaded((struct sources){.flags = flags.p});
	text = dump(&cfg);
	again = loaded((struct sources){.file = text});
	assert_string_equal(cfg.cors_origins, again.cors_origins);
	assert_string_equal(cfg.data_dir, again.data_dir);
	config_free(&cfg);
	config_free(&again);
	buf_fini(&flags);
	free(text);
}

static struct slice member(struct slice object, const char *name)
{
	struct slice value;

	if (!json_object_get(object, name, &value))
		fail_msg("no %s in %.*s", name, SLICE_ARG(object));
	return value;
}

static void test_json(void **state)
{
	struct config cfg = loaded(everything);
	struct slice options, server, chat;
	struct buf out = {0};

	assert_int_equal(config_to_json(&cfg, &out), 0);
	assert_true(json_is_valid(buf_slice(&out), NULL));
	options = member(buf_slice(&out), "options");
	server = member(options, "server");
	assert_true(slice_eq_str(member(member(server, "workers"), "value"), "3"));
	assert_true(slice_eq_str(member(member(server, "demo"), "value"), "true"));
	assert_true(slice_eq_str(member(member(server, "demo"), "from"), "\"default\""));
	assert_true(slice_eq_str(member(member(member(options, "http"), "idle_timeout"), "value"),
				 "\"90s\""));
	chat = member(member(buf_slice(&out), "namespaces"), "chat");
	assert_true(slice_eq_str(member(member(chat, "publish"), "value"), "\"admin\""));
	buf_fini(&out);
	out.cap = 100;
	assert_int_equal(config_to_json(&cfg, &out), -ENOBUFS);
	buf_fini(&out);
	config_free(&cfg);
}

/* 80 columns, and every option is there. */
static void test_help(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct config_action action = {.verb = CONFIG_HELP};

	assert_int_equal(config_act(NULL, &action, f), 0);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "--server-listen WORDS  (127.0.0.1:8080)\n"));
	assert_non_null(strstr(text, "--namespace-durability memory|commit|sync  (commit)\n"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= 80);
	free(text);
}

static void test_act_says_when_it_could_not_write(void **state)
{
	struct config_action action = {.verb = CONFIG_HELP};
	FILE *full = fopen("/dev/full", "w");

	if (full == NULL)
		skip();
	assert_int_equal(config_act(NULL, &action, full), -EIO);
	fclose(full);
}

/* --- reload --------------------------------------------------------------------------------------
 */

struct kept_list {
	char text[1024];
};

static void on_kept(void *arg, const char *option, const char *running, const char *configured)
{
	struct kept_list *l = arg;
	size_t n = strlen(l->text);

	snprintf(l->text + n, sizeof(l->text) - n, "%s %s %s\n", option, running, configured);
}

static int reload(const struct config *old, struct sources s, struct config *ret,
		  struct kept_list *kept, struct problem *problem)
{
	struct command c;

	kept->text[0] = '\0';
	make_command(&c, s);
	return config_reload(c.argc, c.argv, c.envp, old, ret, on_kept, kept, problem);
}

static void test_reload(void **state)
{
	struct config old =
		loaded((struct sources){.file = "[server]\nworkers = 2\nlog_level = "
						"info\n[namespace]\nhistory_count = 1\n"});
	struct problem problem;
	struct kept_list kept;
	struct config cfg;
	struct sources s = {
		.file = "[server]\nworkers = 3\nlog_level = debug\ndata_dir = elsewhere\n"
			"[namespace]\nhistory_count = 2\npublish = admin\n"};

	assert_int_equal(reload(&old, s, &cfg, &kept, &problem), 0);
	assert_int_equal(cfg.workers, 2);
	assert_int_equal(cfg.log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(cfg.data_dir, "data");
	assert_string_equal(cfg.database, "data/holdfast.db");
	assert_int_equal(cfg.namespaces->ns[0].history_count, 2);
	assert_int_equal(cfg.namespaces->ns[0].publish, ACCESS_ADMIN);
	assert_string_equal(kept.text, "server.admin_socket data/admin.sock elsewhere/admin.sock\n"
				       "server.data_dir data elsewhere\n"
				       "server.workers 2 3\n"
				       "store.database data/holdfast.db elsewhere/holdfast.db\n");
	assert_int_equal(old.namespaces->ns[0].history_count, 1);
	config_free(&cfg);

	s.file = "[server]\nlog_level = verbose\nworkers = 4\n";
	assert_int_equal(reload(&old, s, &cfg, &kept, &problem), -EINVAL);
	assert_string_equal(kept.text, "");
	config_free(&old);
}

static void test_reload_checks_what_is_in_force(void **state)
{
	struct config old = loaded((struct sources){
		.file = "[server]\nlisten = *:80\n[namespace]\npublish = admin\n"});
	struct problem problem;
	struct kept_list kept;
	struct config cfg;
	/* the new listen address would make it fine, but the old one stays */
	struct sources s = {.file = "[server]\nlisten = 127.0.0.1:80\n"};

	assert_int_equal(reload(&old, s, &cfg, &kept, &problem), -EINVAL);
	assert_non_null(strstr(problem.text, "lets anyone publish"));
	assert_string_equal(kept.text, "");
	config_free(&old);
}

static void test_reload_keeps_durability(void **state)
{
	struct config old = loaded((struct sources){
		.file = "[namespace a]\ndurability = memory\n[namespace b]\ndurability = sync\n"
			"[namespace c]\n[namespace gone]\nhistory_count = 3\n"});
	struct problem problem;
	struct kept_list kept;
	struct config cfg;
	struct sources s = {.file = "[namespace]\ndurability = sync\nhistory_count = 9\n"
				    "[namespace b]\ndurability = memory\n[namespace c]\n"
				    "[namespace new]\ndurability = memory\n"};

	assert_int_equal(reload(&old, s, &cfg, &kept, &problem), 0);
	assert_int_equal(cfg.namespaces->ns[0].durability, DURABILITY_COMMIT);
	/* a was removed: it stays because its messages lie in memory, with all else from the
	 * default */
	assert_int_equal(namespace_of(&cfg, "a:1")->durability, DURABILITY_MEMORY);
	assert_int_equal(namespace_of(&cfg, "a:1")->history_count, 9);
	assert_int_equal(namespace_of(&cfg, "b:1")->durability, DURABILITY_SYNC);
	assert_int_equal(namespace_of(&cfg, "c:1")->durability, DURABILITY_COMMIT);
	assert_int_equal(namespace_of(&cfg, "new:1")->durability, DURABILITY_COMMIT);
	assert_string_equal(namespace_of(&cfg, "gone:1")->name, "");
	assert_string_equal(kept.text, "[namespace] durability commit sync\n"
				       "[namespace b] durability sync memory\n"
				       "[namespace c] durability commit sync\n"
				       "[namespace new] durability commit memory\n"
				       "[namespace a] durability memory sync\n");
	config_free(&cfg);
	config_free(&old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_later_source_wins),
		cmocka_unit_test(test_file_from_environment),
		cmocka_unit_test(test_file_syntax),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_unreadable_files),
		cmocka_unit_test(test_bad_flags),
		cmocka_unit_test(test_bad_environment),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_namespaces_inherit),
		cmocka_unit_test(test_environment_means_the_namespace_of_the_file),
		cmocka_unit_test(test_the_demo_page_has_a_namespace),
		cmocka_unit_test(test_too_many_namespaces),
		cmocka_unit_test(test_cross_checks),
		cmocka_unit_test(test_long_admin_socket),
		cmocka_unit_test(test_memory_engine_promises_memory),
		cmocka_unit_test(test_dump_is_a_file),
		cmocka_unit_test(test_long_values_are_dumped_as_short_lines),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_act_says_when_it_could_not_write),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_reload_checks_what_is_in_force),
		cmocka_unit_test(test_reload_keeps_durability),
	};

	return cmocka_run_group_tests(tests, make_file, close_file);
}
