/* SPDX-License-Identifier: MIT */
/*
 * config_print: the table and a loaded config as text: --help, --dump-config, the admin API, and
 * the parts of docs/config.md, the man page and the example file that list the options
 * (tests/lint/docs_config.sh puts them there and fails when they differ).
 */
#include "daemon/config.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "daemon/config_draft.h"

/* --- text ------------------------------------------------------------------------------------ */

/* Words of text in lines of at most width columns, each begun with prefix. */
static void print_wrapped(FILE *out, const char *prefix, const char *text, size_t width)
{
	size_t column = 0;

	for (const char *p = text; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (column > 0 && column + 1 + n > width) {
			fputc('\n', out);
			column = 0;
		}
		if (column == 0)
			column = (size_t)fprintf(out, "%s%.*s", prefix, (int)n, p);
		else
			column += (size_t)fprintf(out, " %.*s", (int)n, p);
		p += n;
	}
	fputc('\n', out);
}

/* text with a backslash before each byte that the format would take for markup. */
static void print_escaped(FILE *out, const char *text, const char *markup)
{
	for (const char *p = text; *p; p++) {
		if (strchr(markup, *p))
			fputc('\\', out);
		fputc(*p, out);
	}
}

/* What to print for each section, and then for each of its options. */
struct walk {
	void (*section)(FILE *out, const struct option_section *s);
	void (*option)(FILE *out, const struct option *o, const char *ns);
};

static void walk_options(FILE *out, const struct walk *w)
{
	for (size_t i = 0; i < option_section_n; i++) {
		const struct option_section *s = &option_sections[i];

		w->section(out, s);
		for (size_t j = 0; j < OPTION_N; j++) {
			if (option_in_section(&config_options[j], s->name))
				w->option(out, &config_options[j], NULL);
		}
		for (size_t j = 0; j < NAMESPACE_OPTION_N && i == option_section_n - 1; j++)
			w->option(out, &namespace_options[j], "");
	}
}

/* --- help ------------------------------------------------------------------------------------ */

static void help_section(FILE *out, const struct option_section *s)
{
	fprintf(out, "\n[%s]\n", s->name);
	print_wrapped(out, "  ", s->what, 79);
	fputc('\n', out);
}

static void help_option(FILE *out, const struct option *o, const char *ns)
{
	struct buf values = {.cap = 256};

	option_metavar(o, &values);
	fprintf(out, "  %s %.*s", config_spell(CONFIG_FLAG, o, ns).text,
		SLICE_ARG(buf_slice(&values)));
	buf_fini(&values);
	if (*o->fallback)
		fprintf(out, "  (%s)", o->fallback);
	fputc('\n', out);
	print_wrapped(out, "        ", o->help, 79);
}

void config_print_help(FILE *out)
{
	static const struct walk help = {help_section, help_option};

	fputs("Usage: holdfastd [-c FILE] [--SECTION-NAME VALUE]...\n"
	      "\n"
	      "Holdfast is a push broker: it takes messages and delivers them over WebSocket,\n"
	      "Server-Sent Events, long polling and short polling, without silent loss.\n"
	      "\n"
	      "  -c, --config FILE  read options from this file\n"
	      "  --check-config     check the options and exit\n"
	      "  --dump-config      print the options in force, where each came from, and exit\n"
	      "  -h, --help         print this and exit\n"
	      "  -V, --version      print the version and exit\n"
	      "\n"
	      "Each option can be given in the file, in the environment, and as a flag; the\n"
	      "later of these wins:\n"
	      "\n"
	      "  [server]                                    in the file\n"
	      "  listen = 127.0.0.1:8080\n"
	      "  HOLDFAST_SERVER_LISTEN=127.0.0.1:8080       in the environment\n"
	      "  --server-listen 127.0.0.1:8080              as a flag\n"
	      "\n"
	      "HOLDFAST_CONFIG=FILE is the same as -c FILE. Sizes are bytes, 64KiB, 16MiB or\n"
	      "1GiB; times are 250ms, 25s, 5m, 24h or 7d, and seconds without a unit. SIGHUP\n"
	      "reads everything again. Defaults stand in parentheses.\n",
	      out);
	walk_options(out, &help);
	fputs("\nFor one namespace: --namespace-chat-history-count 100, or in the file, below\n"
	      "[namespace chat]: history_count = 100\n",
	      out);
}

/* --- reference texts ------------------------------------------------------------------------- */

static void markdown_section(FILE *out, const struct option_section *s)
{
	fprintf(out, "\n### [%s]\n\n%s\n\n", s->name, s->what);
	fputs("| option | default | allowed | reload | |\n|---|---|---|---|---|\n", out);
}

static void markdown_option(FILE *out, const struct option *o, const char *ns)
{
	struct buf range = {.cap = 256};

	UNUSED(ns);
	option_range(o, &range);
	fprintf(out, "| `%s` | ", option_short_name(o));
	if (*o->fallback)
		fprintf(out, "`%s`", o->fallback);
	fprintf(out, " | %.*s | %s | ", SLICE_ARG(buf_slice(&range)), o->live ? "yes" : "no");
	print_escaped(out, o->help, "\\*_<>|`[");
	fputs(" |\n", out);
	buf_fini(&range);
}

static void scdoc_section(FILE *out, const struct option_section *s)
{
	fprintf(out, "\n## [%s]\n\n", s->name);
	print_escaped(out, s->what, "\\*_");
	fputc('\n', out);
}

static void scdoc_option(FILE *out, const struct option *o, const char *ns)
{
	struct buf values = {.cap = 256}, range = {.cap = 256};

	option_metavar(o, &values);
	option_range(o, &range);
	fprintf(out, "\n*%s* _%.*s_\n\t", config_spell(CONFIG_FLAG, o, ns).text,
		SLICE_ARG(buf_slice(&values)));
	print_escaped(out, o->help, "\\*_");
	if (range.n > 0)
		fprintf(out, " Allowed: %.*s.", SLICE_ARG(buf_slice(&range)));
	if (*o->fallback) {
		fputs(" Default: ", out);
		print_escaped(out, o->fallback, "\\*_");
		fputc('.', out);
	}
	if (o->live)
		fputs(" Follows a reload.", out);
	fputc('\n', out);
	buf_fini(&values);
	buf_fini(&range);
}

static void example_section(FILE *out, const struct option_section *s)
{
	fputc('\n', out);
	print_wrapped(out, "# ", s->what, 79);
	fprintf(out, "[%s]\n", s->name);
}

static void example_option(FILE *out, const struct option *o, const char *ns)
{
	UNUSED(ns);
	fputc('\n', out);
	print_wrapped(out, "# ", o->help, 79);
	fprintf(out, "#%s = %s\n", option_short_name(o), o->fallback);
}

static void print_reference(FILE *out, enum config_format format)
{
	static const struct walk walks[] = {
		[CONFIG_MARKDOWN] = {markdown_section, markdown_option},
		[CONFIG_SCDOC] = {scdoc_section, scdoc_option},
		[CONFIG_EXAMPLE] = {example_section, example_option},
	};

	walk_options(out, &walks[format]);
}

/* --- the options in force -------------------------------------------------------------------- */

static void add_origin(const struct config *cfg, const struct option *o, const char *ns,
		       const struct config_origin *from, struct buf *out)
{
	switch (from->source) {
	case CONFIG_DEFAULT:
		buf_add_str(out, "default");
		break;
	case CONFIG_INHERITED:
		buf_add_str(out, "[namespace]");
		break;
	case CONFIG_FILE:
		buf_addf(out, "%s:%u", cfg->file ? cfg->file : "file", from->line);
		break;
	case CONFIG_ENVIRONMENT:
	case CONFIG_FLAG:
		buf_add_str(out, config_spell(from->source, o, ns).text);
		break;
	}
}

/* Files have short lines (config_parse.c): an origin that does not fit goes on the line above. */
static void dump_line(const char *name, struct slice value, struct slice origin, FILE *out)
{
	int pad = 44 - (int)(strlen(name) + strlen(" = ") + value.n);

	if (strlen(name) + value.n + origin.n > 160)
		fprintf(out, "; %.*s\n%s = %.*s\n", SLICE_ARG(origin), name, SLICE_ARG(value));
	else
		fprintf(out, "%s = %.*s%*s ; %.*s\n", name, SLICE_ARG(value), pad > 0 ? pad : 0, "",
			SLICE_ARG(origin));
}

/* Some of the words at the beginning of text: at least one, and no more than fit into n bytes
 * otherwise. */
static struct slice words_within(struct slice text, size_t n)
{
	size_t end = 0;

	for (size_t i = 0; i <= text.n && (i <= n || end == 0); i++) {
		if (i == text.n || text.p[i] == ' ')
			end = i;
	}
	return slice_make(text.p, end);
}

static void dump_option(const struct config *cfg, const struct option *o, const char *ns,
			const void *base, const struct config_origin *from, FILE *out)
{
	struct buf value = {.cap = 1 << 20}, origin = {.cap = 8192};
	struct slice rest;

	option_format(o, base, &value);
	add_origin(cfg, o, ns, from, &origin);
	rest = buf_slice(&value);
	while (o->type == OPTION_TYPE_WORDS && rest.n > 100) {
		struct slice some = words_within(rest, 100);

		dump_line(option_short_name(o), some, buf_slice(&origin), out);
		rest = slice_skip(rest, some.n + 1);
	}
	if (rest.n > 0 || value.n == 0)
		dump_line(option_short_name(o), rest, buf_slice(&origin), out);
	buf_fini(&value);
	buf_fini(&origin);
}

void config_dump(const struct config *cfg, FILE *out)
{
	for (size_t i = 0; i < option_section_n - 1; i++) {
		fprintf(out, "%s[%s]\n", i ? "\n" : "", option_sections[i].name);
		for (size_t j = 0; j < OPTION_N; j++) {
			if (option_in_section(&config_options[j], option_sections[i].name))
				dump_option(cfg, &config_options[j], NULL, cfg, &cfg->origin[j],
					    out);
		}
	}
	for (size_t i = 0; i < cfg->namespaces->n; i++) {
		const struct namespace *ns = &cfg->namespaces->ns[i];

		fprintf(out, "\n[namespace%s%s]\n", *ns->name ? " " : "", ns->name);
		for (size_t j = 0; j < NAMESPACE_OPTION_N; j++)
			dump_option(cfg, &namespace_options[j], ns->name, ns,
				    &cfg->namespace_origin[i].option[j], out);
	}
}

/* "name":{"value":…,"from":"…"} */
static void json_option(const struct config *cfg, const struct option *o, const char *ns,
			const void *base, const struct config_origin *from, struct buf *out)
{
	struct buf text = {.cap = 1 << 20};

	buf_addf(out, "\"%s\":{\"value\":", option_short_name(o));
	option_format(o, base, &text);
	if (o->type == OPTION_TYPE_BOOL)
		buf_add_str(out, slice_eq_str(buf_slice(&text), "yes") ? "true" : "false");
	else if (o->type == OPTION_TYPE_COUNT)
		buf_add_slice(out, buf_slice(&text));
	else
		json_add_string(out, buf_slice(&text));
	buf_clear(&text);
	add_origin(cfg, o, ns, from, &text);
	buf_add_str(out, ",\"from\":");
	json_add_string(out, buf_slice(&text));
	buf_add_char(out, '}');
	buf_fini(&text);
}

static void json_section(const struct config *cfg, const char *section, struct buf *out)
{
	bool first = true;

	json_add_string(out, slice_str(section));
	buf_add_str(out, ":{");
	for (size_t i = 0; i < OPTION_N; i++) {
		if (!option_in_section(&config_options[i], section))
			continue;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		json_option(cfg, &config_options[i], NULL, cfg, &cfg->origin[i], out);
	}
	buf_add_char(out, '}');
}

static void json_namespace(const struct config *cfg, size_t i, struct buf *out)
{
	const struct namespace *ns = &cfg->namespaces->ns[i];

	json_add_string(out, slice_str(ns->name));
	buf_add_str(out, ":{");
	for (size_t j = 0; j < NAMESPACE_OPTION_N; j++) {
		if (j > 0)
			buf_add_char(out, ',');
		json_option(cfg, &namespace_options[j], ns->name, ns,
			    &cfg->namespace_origin[i].option[j], out);
	}
	buf_add_char(out, '}');
}

int config_to_json(const struct config *cfg, struct buf *out)
{
	buf_add_str(out, "{\"file\":");
	if (cfg->file)
		json_add_string(out, slice_str(cfg->file));
	else
		buf_add_str(out, "null");
	buf_add_str(out, ",\"options\":{");
	for (size_t i = 0; i < option_section_n - 1; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		json_section(cfg, option_sections[i].name, out);
	}
	buf_add_str(out, "},\"namespaces\":{");
	for (size_t i = 0; i < cfg->namespaces->n; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		json_namespace(cfg, i, out);
	}
	buf_add_str(out, "}}");
	return out->failed ? -ENOBUFS : 0;
}

int config_act(const struct config *cfg, const struct config_action *action, FILE *out)
{
	switch (action->verb) {
	case CONFIG_RUN:
		break;
	case CONFIG_HELP:
		config_print_help(out);
		break;
	case CONFIG_VERSION:
		fprintf(out, "holdfastd %s\n", HOLDFAST_VERSION);
		break;
	case CONFIG_CHECK:
		fputs("the configuration is good\n", out);
		break;
	case CONFIG_DUMP:
		config_dump(cfg, out);
		break;
	case CONFIG_PRINT_OPTIONS:
		print_reference(out, action->format);
		break;
	}
	return fflush(out) == 0 && !ferror(out) ? 0 : -EIO;
}
