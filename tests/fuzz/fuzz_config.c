/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config: a configuration file, and after a line `%%` flags and variables, one per line. What
 * loads can be written as a file that loads as the same, is valid JSON, and is not changed by a
 * reload of the same sources.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/config.h"
#include "daemon/option.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One load: the file behind path, and the other sources. */
struct sources {
	char *argv[WORDS_MAX + 1], *envp[WORDS_MAX + 1];
	int argc, env_n;
};

static char path[32];
static int file_fd = -1;

static void write_file(const void *p, size_t n)
{
	if (file_fd < 0)
		file_fd = memfd_create("config", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
	if (ftruncate(file_fd, 0) != 0 || pwrite(file_fd, p, n, 0) != (ssize_t)n)
		abort();
}

static void begin(struct sources *s)
{
	static char program[] = "holdfastd", option[] = "-c";

	memset(s, 0, sizeof(*s));
	s->argv[0] = program;
	s->argv[1] = option;
	s->argv[2] = path;
	s->argc = 3;
}

/* Lines of text, which is changed; other files than ours are not read. */
static void add_words(struct sources *s, char *text)
{
	for (char *w = strtok(text, "\n"); w; w = strtok(NULL, "\n")) {
		if (strncmp(w, "-c", 2) == 0 || strncmp(w, "--config", 8) == 0 ||
		    strncmp(w, "HOLDFAST_CONFIG", 15) == 0)
			continue;
		if (strncmp(w, "HOLDFAST_", 9) == 0 && s->env_n < WORDS_MAX)
			s->envp[s->env_n++] = w;
		else if (s->argc < WORDS_MAX)
			s->argv[s->argc++] = w;
	}
}

static void assert_same(const struct config *a, const struct config *b)
{
	for (size_t i = 0; i < OPTION_N; i++)
		assert(option_equal(&config_options[i], a, b));
	assert(a->namespaces->n == b->namespaces->n);
	for (size_t i = 0; i < a->namespaces->n; i++) {
		assert(strcmp(a->namespaces->ns[i].name, b->namespaces->ns[i].name) == 0);
		for (size_t j = 0; j < NAMESPACE_OPTION_N; j++)
			assert(option_equal(&namespace_options[j], &a->namespaces->ns[i],
					    &b->namespaces->ns[i]));
	}
}

static void on_kept(void *arg, const char *option, const char *running, const char *configured)
{
	abort();
}

static void check_reload(struct sources *s, const struct config *cfg)
{
	struct problem problem;
	struct config again;

	if (config_reload(s->argc, s->argv, s->envp, cfg, &again, on_kept, NULL, &problem) < 0)
		abort();
	assert_same(cfg, &again);
	config_free(&again);
}

static void check_json(const struct config *cfg)
{
	struct buf json = {0};

	assert(config_to_json(cfg, &json) == 0);
	assert(json_is_valid(buf_slice(&json), NULL));
	buf_fini(&json);
}

/* Some names of namespaces (with ']') and very long words fit into flags only. */
static bool fits_into_file(const char *dump, const struct config *cfg)
{
	for (size_t i = 0; i < cfg->namespaces->n; i++) {
		if (strchr(cfg->namespaces->ns[i].name, ']'))
			return false;
	}
	for (const char *line = dump; *line; line += strcspn(line, "\n") + 1) {
		if (strcspn(line, "\n") > 190)
			return false;
	}
	return true;
}

static void check_dump(const struct config *cfg)
{
	struct config_action action = {.verb = CONFIG_DUMP};
	struct problem problem;
	struct config again;
	struct sources s;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert(config_act(cfg, &action, f) == 0);
	fclose(f);
	if (fits_into_file(text, cfg)) {
		write_file(text, n);
		begin(&s);
		if (config_load(s.argc, s.argv, s.envp, &again, &action, &problem) < 0) {
			fprintf(stderr, "%s\n%s\n", problem.text, text);
			abort();
		}
		assert_same(cfg, &again);
		config_free(&again);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memmem(data, size, "\n%%\n", 4) : NULL;
	size_t file_n = end ? (size_t)(end - data) + 1 : size;
	size_t words_at = end ? file_n + 3 : size;
	struct config_action action;
	struct problem problem;
	struct config cfg;
	struct sources s;
	char *words = calloc(1, size - words_at + 1);

	if (size > words_at)
		memcpy(words, data + words_at, size - words_at);
	write_file(data, file_n);
	begin(&s);
	add_words(&s, words);
	if (config_load(s.argc, s.argv, s.envp, &cfg, &action, &problem) == 0) {
		if (cfg.namespaces) {
			check_reload(&s, &cfg);
			check_json(&cfg);
			check_dump(&cfg);
		}
		config_free(&cfg);
	}
	free(words);
	return 0;
}
